//! Output: results to standard output, everything else to standard error.
//!
//! In: values with both of their shapes, for people and for programs. Out: text, or exactly one JSON value. Never: mixes the two streams, prints a control character
//! of a name to a terminal, or fails loudly because the reader of a pipe has had enough.

mod table;
mod text;

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;

pub(crate) use table::table;
pub(crate) use text::{Path, escape, hex, mode_text, time_text};

/// So much of an array of JSON is held back, so that a command that fails early has printed nothing.
const HELD_JSON_BYTES: usize = 1 << 20;
/// So much text is collected for one write to a pipe.
const HELD_TEXT_BYTES: usize = 16 << 10;

/// Where results go.
#[derive(Clone)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
    bars: MultiProgress,
}

impl Output {
    /// Prints in `format`.
    pub(crate) fn new(format: Format, quiet: bool) -> Output {
        Output { format, quiet, bars: MultiProgress::new() }
    }

    /// Prints the one result of a command.
    pub(crate) fn value<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut buffer = Vec::new();
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut buffer, value).map_err(io::Error::from)?;
                buffer.push(b'\n');
            }
            Format::Text => text(&mut buffer)?,
        }
        print(&buffer)
    }

    /// Prints a result that is a list, as it comes.
    pub(crate) fn rows(&self) -> Rows {
        let limit = match self.format {
            Format::Json => HELD_JSON_BYTES,
            Format::Text if io::stdout().is_terminal() => 0,
            Format::Text => HELD_TEXT_BYTES,
        };
        Rows { format: self.format, limit, held: Vec::new(), count: 0 }
    }

    /// Says something that is no result.
    pub(crate) fn note(&self, line: &str) {
        self.stderr(format!("holdfast: {line}\n").as_bytes());
    }

    /// Writes to standard error without tearing a progress bar. That nobody reads it is no reason to stop.
    pub(crate) fn stderr(&self, bytes: &[u8]) {
        let _ = self.bars.suspend(|| io::stderr().write_all(bytes));
    }

    /// Where progress bars are drawn; `None`: nobody wants to see any.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (!self.quiet).then_some(&self.bars)
    }
}

/// Writes bytes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// A list that is printed as it comes: a JSON array, or lines.
#[must_use]
pub(crate) struct Rows {
    format: Format,
    limit: usize,
    held: Vec<u8>,
    count: u64,
}

impl Rows {
    /// Prints one row.
    pub(crate) fn push<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                self.held.extend_from_slice(if self.count == 0 { b"[" } else { b",\n" });
                serde_json::to_writer(&mut self.held, value).map_err(io::Error::from)?;
            }
            Format::Text => text(&mut self.held)?,
        }
        self.count += 1;
        if self.held.len() > self.limit {
            print(&self.held)?;
            self.held.clear();
        }
        Ok(())
    }

    /// Ends the list.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if self.format == Format::Json {
            self.held.extend_from_slice(if self.count == 0 { b"[]\n" } else { b"]\n" });
        }
        print(&self.held)
    }
}

/// What the log writes into.
#[derive(Clone)]
pub(crate) struct Log(pub(crate) Output);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stderr(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
