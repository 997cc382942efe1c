//! `keys`: who can open the repository.
//!
//! In: an open repository. Out: its key files listed, added, removed, replaced, or exported for a safe elsewhere, and whether an export opens everything. Never: shows the
//! repository key itself, or removes the last key that the caller can prove to open the repository.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{ErrorClass, KeyId};
use repository::keys::{
    KeyError, Recipient, RecipientEntry, Unlock, WrapKind, add_recipient, export_key, list_recipients, prove_domain,
    remove_recipient, replace_recipient,
};
use serde::Serialize;

use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::{Context, Opened, identities, read_secret};
use crate::output::{escape, hex, print, table};
use crate::prompt;

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the keys of the repository
    List,
    /// Let one more person or machine open the repository
    Add(For),
    /// Remove a key; another one that opens must remain, and be the one given here
    Remove(Remove),
    /// Let a new secret take the place of the one given here; no data is touched
    Rotate(Rotate),
    /// Write the key of the repository, sealed for its holder, to keep it elsewhere
    Export(Export),
    /// Prove that an exported key opens this repository and all of it; nothing is written
    Verify(Verify),
}

/// What takes the place of the present secret. A bare recipient (age1…) would prove nothing: whoever holds its identity is given a key with `keys add`, and removes the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The passphrase in this file
    #[arg(long, value_name = "FILE", conflicts_with = "new_identity_file")]
    new_passphrase_file: Option<PathBuf>,
    /// The age identities in this file
    #[arg(long, value_name = "FILE")]
    new_identity_file: Option<PathBuf>,
    /// Whose key it is, in a line; it is sealed
    #[arg(long, default_value = "")]
    label: String,
}

/// Which export.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// What `keys export` wrote; the secret of the command line must open it
    file: PathBuf,
}

/// For whom.
#[derive(Debug, clap::Args)]
pub(crate) struct For {
    /// Whoever holds the identity of this age recipient (age1…)
    #[arg(long, value_name = "AGE1…", conflicts_with = "new_passphrase_file")]
    recipient: Option<String>,
    /// Whoever knows the passphrase in this file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Whose key it is, in a line; it is sealed
    #[arg(long, default_value = "")]
    label: String,
}

/// Which key goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The id of the key, or an unambiguous beginning of it
    key: String,
}

/// Where the key goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    holder: For,
    /// Write it into this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// A key file, as it is listed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KeyRow {
    pub(crate) key: String,
    kind: &'static str,
    problem: Option<String>,
}

impl KeyRow {
    /// In words.
    pub(crate) fn description(&self) -> String {
        match &self.problem {
            None => self.kind.to_owned(),
            Some(problem) => format!("unusable: {}", escape(problem.as_bytes())),
        }
    }
}

/// A key file for the list.
pub(crate) fn key_row(entry: &RecipientEntry) -> KeyRow {
    let (kind, problem) = match &entry.kind {
        Ok(WrapKind::Passphrase { .. }) => ("passphrase", None),
        Ok(WrapKind::X25519) => ("age", None),
        Err(why) => ("unusable", Some(why.clone())),
    };
    KeyRow { key: entry.id.to_string(), kind, problem }
}

#[derive(Serialize)]
struct Changed {
    key: String,
}

#[derive(Serialize)]
struct Rotated {
    added: Vec<String>,
    removed: Vec<String>,
}

#[derive(Serialize)]
struct Verified {
    repository: String,
    label: String,
    domains: Vec<VerifiedDomain>,
}

/// What the export opened in one domain.
#[derive(Serialize)]
struct VerifiedDomain {
    name: String,
    key_sets: usize,
    /// The newest restore point, which was opened; null: there is none yet.
    point: Option<String>,
    /// True if content of it was opened; false: it has none.
    content: bool,
}

#[derive(Serialize)]
struct Exported<'a> {
    repository: String,
    file: Option<&'a Path>,
    age_hex: Option<String>,
}

/// Does it.
pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::List => list(context),
        Command::Add(holder) => add(context, holder),
        Command::Remove(options) => remove(context, options),
        Command::Rotate(options) => rotate(context, options),
        Command::Export(options) => export(context, options),
        Command::Verify(options) => verify(context, options),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let rows: Vec<KeyRow> = list_recipients(&opened.store)?.iter().map(key_row).collect();
    let cells = |row: &KeyRow| [row.key.clone(), row.description()];
    context.output.value(&rows, |out| table(out, ["key", "for"], &rows.iter().map(cells).collect::<Vec<_>>()))?;
    Ok(Exit::Done)
}

fn add(context: &Context, holder: &For) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let recipient = match recipient(holder)? {
        Some(recipient) => recipient,
        None if prompt::possible() => Recipient::from_passphrase_file(&prompt::new_passphrase(&context.output)?)?,
        None => {
            return Err(Failure::Usage(
                "for whom? give --recipient or --new-passphrase-file (there is no terminal to ask at)".to_owned(),
            ));
        }
    };
    let store = &opened.store;
    let id =
        context.with_random(|random| add_recipient(store, &opened.repository, &recipient, &holder.label, random))?;
    let changed = Changed { key: id.to_string() };
    context.output.value(&changed, |out| writeln!(out, "key {id} added"))?;
    Ok(Exit::Done)
}

fn recipient(holder: &For) -> Result<Option<Recipient>, Failure> {
    Ok(match (&holder.recipient, &holder.new_passphrase_file) {
        (Some(text), _) => Some(text.parse()?),
        (None, Some(path)) => Some(Recipient::from_passphrase_file(&read_secret(path)?)?),
        (None, None) => None,
    })
}

fn remove(context: &Context, options: &Remove) -> Result<Exit, Failure> {
    let Opened { store, repository, unlock } = context.open()?;
    let id = by_beginning(&list_recipients(&store)?, &options.key)?;
    remove_recipient(&store, &repository, id, &unlock)?;
    let changed = Changed { key: id.to_string() };
    context.output.value(&changed, |out| writeln!(out, "key {id} removed"))?;
    context.output.note("whoever has opened the repository with it may have kept the key of the repository itself; removing takes that from nobody");
    Ok(Exit::Done)
}

fn rotate(context: &Context, options: &Rotate) -> Result<Exit, Failure> {
    let Opened { store, repository, unlock } = context.open()?;
    let new = match (&options.new_passphrase_file, &options.new_identity_file) {
        (Some(path), _) => Unlock::from_passphrase_file(&read_secret(path)?)?,
        (None, Some(path)) => identities(path)?,
        (None, None) if prompt::possible() => Unlock::from_passphrase_file(&prompt::new_passphrase(&context.output)?)?,
        (None, None) => {
            return Err(Failure::Usage(
                "what takes its place? give --new-passphrase-file or --new-identity-file (there is no terminal to ask at)".to_owned(),
            ));
        }
    };
    let replaced = context
        .with_random(|random| replace_recipient(&store, &repository, (&unlock, &new), &options.label, random))?;
    let texts = |ids: &[KeyId]| ids.iter().map(KeyId::to_string).collect::<Vec<_>>();
    let rotated = Rotated { added: texts(&replaced.added), removed: texts(&replaced.removed) };
    context.output.value(&rotated, |out| {
        rotated.added.iter().try_for_each(|key| writeln!(out, "key {key} opens the repository now"))?;
        rotated.removed.iter().try_for_each(|key| writeln!(out, "key {key} removed"))
    })?;
    context.output.note("whoever has opened the repository with the old secret may have kept the key of the repository itself, and so may versions of the bucket");
    Ok(Exit::Done)
}

fn verify(context: &Context, options: &Verify) -> Result<Exit, Failure> {
    let Opened { store, repository, .. } = context.open_with_export(&options.file)?;
    let short = |why: String| Failure::from(KeyError::ExportFallsShort { why });
    let mut verified =
        Verified { repository: repository.id().to_string(), label: repository.label.clone(), domains: Vec::new() };
    for found in repository.domains(&store)? {
        let name = found.name.map_err(|why| short(format!("domain {}: {why}", found.id)))?;
        let access = repository.domain(&store, &name)?;
        if let Some(unreadable) = access.unreadable().first() {
            return Err(short(format!("{}: {}", unreadable.object, unreadable.why)));
        }
        let key_sets = access.sets().len();
        let domain = context.domain_with(&store, &repository, access);
        let proven = prove_domain(&domain).map_err(|error| match error.class() {
            ErrorClass::Corrupt | ErrorClass::Denied | ErrorClass::Missing => {
                short(format!("domain {name:?}: {error}"))
            }
            _ => error.into(),
        })?;
        let point = proven.point.map(|point| point.session.to_string());
        verified.domains.push(VerifiedDomain { name, key_sets, point, content: proven.pack.is_some() });
    }
    context.output.value(&verified, |out| {
        writeln!(out, "it opens repository {}", verified.repository)?;
        verified.domains.iter().try_for_each(|domain| {
            let newest = match (&domain.point, domain.content) {
                (None, _) => "it has no restore point yet".to_owned(),
                (Some(point), true) => format!("restore point {point} and content of it"),
                (Some(point), false) => format!("restore point {point}, which has no content"),
            };
            writeln!(out, "domain {}: {} sets of keys, {newest}", escape(domain.name.as_bytes()), domain.key_sets)
        })
    })?;
    Ok(Exit::Done)
}

fn by_beginning(entries: &[RecipientEntry], text: &str) -> Result<KeyId, Failure> {
    let matching: Vec<KeyId> =
        entries.iter().map(|entry| entry.id).filter(|id| id.to_string().starts_with(text)).collect();
    match matching.as_slice() {
        _ if text.is_empty() => {
            Err(Failure::Usage("the id of a key has characters; `holdfast keys list` shows them".to_owned()))
        }
        [one] => Ok(*one),
        [] => Err(Failure::Engine(repository::Error::Missing(format!(
            "this repository has no key that begins with {text:?}; `holdfast keys list` shows those it has"
        )))),
        several => Err(Failure::Usage(format!("{} keys begin with {text:?}; give more of the id", several.len()))),
    }
}

fn export(context: &Context, options: &Export) -> Result<Exit, Failure> {
    let to_terminal =
        options.to.is_none() && context.settings.format == Format::Text && std::io::stdout().is_terminal();
    if to_terminal {
        return Err(Failure::Usage(
            "an exported key is no text for a terminal: redirect it into a file, or give --to FILE".to_owned(),
        ));
    }
    let opened = context.open()?;
    let recipient = match recipient(&options.holder)? {
        Some(recipient) => recipient,
        None => opened.unlock.recipients().into_iter().next().ok_or(KeyError::NoRecipient)?,
    };
    let bytes = export_key(&opened.repository, &recipient, &options.holder.label)?;
    let mut exported =
        Exported { repository: opened.repository.id().to_string(), file: options.to.as_deref(), age_hex: None };
    match (&options.to, context.settings.format) {
        (Some(path), _) => {
            write_new(path, &bytes)?;
            context.output.value(&exported, |out| {
                writeln!(
                    out,
                    "key of repository {} written to {}",
                    exported.repository,
                    escape(path.as_os_str().as_encoded_bytes())
                )
            })?;
        }
        (None, Format::Text) => print(&bytes)?,
        (None, Format::Json) => {
            exported.age_hex = Some(hex(&bytes));
            context.output.value(&exported, |_| Ok(()))?;
        }
    }
    Ok(Exit::Done)
}

/// A file that did not exist before, for its owner alone.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |source| Failure::File { what: "write", path: path.to_owned(), source };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_an_unambiguous_beginning() {
        let entry = |id| RecipientEntry { id: KeyId(id), kind: Ok(WrapKind::X25519) };
        let entries = [entry([0xaa; 16]), entry([0xab; 16])];
        assert_eq!(by_beginning(&entries, "ab").unwrap(), KeyId([0xab; 16]));
        assert_eq!(by_beginning(&entries, "a").unwrap_err().class().exit_code(), 2);
        assert_eq!(by_beginning(&entries, "").unwrap_err().class().exit_code(), 2);
        assert_eq!(by_beginning(&entries, "f").unwrap_err().class().exit_code(), 6);
    }
}
