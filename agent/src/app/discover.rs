//! Discover: the volumes of this node, for people and for scripts.
//!
//! In: the kubelet's root and what is allowed outside it. Out: a list, or one JSON value (with `--watch` one per line and change). Never: opens a volume.

mod text;

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::node::Node;
use super::{Exit, Failure};
use crate::discovery::Watch;
use crate::discovery::watch::Settings;

/// Any time will do: whoever waits has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Which volumes there are.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    node: Node,
    /// Go on, and show what changes
    #[arg(long)]
    watch: bool,
    /// How results are printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    if options.watch {
        return watch(options);
    }
    let snapshot = options.node.look()?;
    print(options.output, &snapshot, |out| text::snapshot(out, &snapshot))?;
    let whole = snapshot.problems.is_empty() && snapshot.volumes.values().all(|volume| volume.problem.is_none());
    Ok(if whole { Exit::Done } else { Exit::Partial })
}

/// Until the process is ended.
fn watch(options: &Options) -> Result<Exit, Failure> {
    let watch = Watch::start(Settings::new(options.node.kubelet_root.clone()), options.node.outside()?)?;
    loop {
        if let Some(update) = watch.next(PATIENCE)? {
            print(options.output, &update, |out| text::update(out, &update))?;
        }
    }
}

fn print<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut buffer = Vec::new();
    match format {
        Format::Json => {
            serde_json::to_writer(&mut buffer, value).map_err(io::Error::from)?;
            buffer.push(b'\n');
        }
        Format::Text => text(&mut buffer)?,
    }
    let mut out = io::stdout().lock();
    out.write_all(&buffer)?;
    out.flush()?;
    Ok(())
}
