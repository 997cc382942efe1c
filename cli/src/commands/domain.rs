//! `domain`: what has keys and deduplication of its own.
//!
//! In: an open repository. Out: its domains listed; new keys for one, an end for old ones that nothing needs, or an end for all of it. Never: destroys a domain whose
//! name was not given twice.

use model::ErrorClass;
use repository::keys::{KeyUse, destroy_unused_keys, key_use};
use repository::layout::NeededBy;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::{Context, Opened};
use crate::output::{escape, table};
use crate::quantity::{bytes_text, count_text};

/// What to do with a domain.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the domains of the repository by name
    List,
    /// Seal everything new with new keys; what is stored stays as it is
    RotateKeys,
    /// Destroy keys that were rotated away and that no object needs any more
    RetireKeys(Retire),
    /// Destroy a domain for good: its keys, then everything in it
    Destroy(Destroy),
}

/// Options of `domain retire-keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    /// Only say which keys are in use
    #[arg(long)]
    dry_run: bool,
}

/// Which domain ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Destroy {
    /// The domain
    name: String,
    /// Its name again; without it nothing is destroyed, and what would be is shown
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

#[derive(Serialize)]
struct DomainRow {
    domain: String,
    name: Option<String>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct Rotated {
    epoch: u64,
    key: String,
}

#[derive(Serialize)]
struct KeyRow {
    epoch: u64,
    key: String,
    newest: bool,
    objects: u64,
    example: Option<String>,
    destroyed: bool,
}

#[derive(Serialize)]
struct Destroyed {
    domain: String,
    name: String,
    keys: u64,
    objects: u64,
    bytes: u64,
}

/// Does it.
pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::List => list(context),
        Command::RotateKeys => rotate_keys(context),
        Command::RetireKeys(options) => retire_keys(context, options),
        Command::Destroy(options) => destroy(context, options),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let Opened { store, repository, .. } = context.open()?;
    let row = |found: repository::keys::FoundDomain| {
        let (name, problem) = match found.name {
            Ok(name) => (Some(name), None),
            Err(why) => (None, Some(why)),
        };
        DomainRow { domain: found.id.to_string(), name, problem }
    };
    let rows: Vec<DomainRow> = repository.domains(&store)?.into_iter().map(row).collect();
    let name = |row: &DomainRow| match (&row.name, &row.problem) {
        (Some(name), _) => escape(name.as_bytes()),
        (None, problem) => format!("unreadable: {}", escape(problem.clone().unwrap_or_default().as_bytes())),
    };
    let cells: Vec<[String; 2]> = rows.iter().map(|row| [row.domain.clone(), name(row)]).collect();
    context.output.value(&rows, |out| table(out, ["domain", "name"], &cells))?;
    Ok(if rows.iter().any(|row| row.problem.is_some()) { Exit::Damaged } else { Exit::Done })
}

fn rotate_keys(context: &Context) -> Result<Exit, Failure> {
    let Opened { store, repository, .. } = context.open()?;
    repository.features.check(NeededBy::Write)?;
    let access =
        context.with_random(|random| repository.rotate_domain(&store, context.settings.one_domain(), random))?;
    let newest = access.sets().first().ok_or(repository::keys::KeyError::Bug("a rotation left no keys"))?;
    let rotated = Rotated { epoch: newest.epoch, key: newest.id.to_string() };
    context.output.value(&rotated, |out| {
        writeln!(out, "epoch {} of the keys, {}: everything new is sealed with it", rotated.epoch, rotated.key)
    })?;
    context.output.note(
        "what is stored stays under its old keys; `domain retire-keys` destroys those that nothing needs any more",
    );
    Ok(Exit::Done)
}

fn retire_keys(context: &Context, options: &Retire) -> Result<Exit, Failure> {
    let Opened { store, repository, .. } = context.open()?;
    repository.features.check(NeededBy::Collect)?;
    let access = repository.domain(&store, context.settings.one_domain())?;
    let sets = match options.dry_run {
        true => key_use(&store, &access)?.into_iter().map(|used| (used, false)).collect(),
        false => destroy_unused_keys(&store, &access)?,
    };
    let rows: Vec<KeyRow> = sets.into_iter().map(|(used, destroyed)| key_row(used, destroyed)).collect();
    let cells = |row: &KeyRow| [row.epoch.to_string(), row.key.clone(), row.objects.to_string(), row.what().to_owned()];
    context
        .output
        .value(&rows, |out| table(out, ["epoch", "key", "objects", ""], &rows.iter().map(cells).collect::<Vec<_>>()))?;
    Ok(Exit::Done)
}

fn key_row(used: KeyUse, destroyed: bool) -> KeyRow {
    KeyRow {
        epoch: used.set.epoch,
        key: used.set.id.to_string(),
        newest: used.newest,
        objects: used.objects,
        example: used.example,
        destroyed,
    }
}

impl KeyRow {
    fn what(&self) -> &'static str {
        match (self.destroyed, self.newest, self.objects) {
            (true, _, _) => "destroyed",
            (false, true, _) => "in use by writers",
            (false, false, 0) => "not in use",
            (false, false, _) => "in use",
        }
    }
}

fn destroy(context: &Context, options: &Destroy) -> Result<Exit, Failure> {
    let Opened { store, repository, .. } = context.open()?;
    repository.features.check(NeededBy::Collect)?;
    let name = &options.name;
    if options.confirm.as_ref() != Some(name) {
        let content = repository.domain_content(&store, name)?;
        return Err(Failure::Usage(format!(
            "nothing was destroyed: domain {name:?} has {}, {} and {}, and nobody will be able to read them again; to go on, give its name again with --confirm",
            count_text(content.keys, "set of keys", "sets of keys"),
            count_text(content.objects, "other object", "other objects"),
            bytes_text(content.bytes)
        )));
    }
    let content = repository.destroy_domain(&store, name).map_err(|error| match error.class() {
        ErrorClass::Retry => repository::Error::Busy(format!(
            "domain {name:?} is destroyed in part ({error}); run it again to destroy the rest"
        )),
        _ => error,
    })?;
    let destroyed = Destroyed {
        domain: content.id.to_string(),
        name: name.clone(),
        keys: content.keys,
        objects: content.objects,
        bytes: content.bytes,
    };
    context.output.value(&destroyed, |out| {
        writeln!(
            out,
            "domain {} is destroyed: {} objects, {}",
            escape(name.as_bytes()),
            content.keys + content.objects,
            bytes_text(content.bytes)
        )
    })?;
    context.output.note("versions that the bucket keeps, and replicas, still have its keys: remove those below the same names there too");
    Ok(Exit::Done)
}
