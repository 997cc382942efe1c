//! `repo init`: the store is tried out, then keys, `repository.json` and the first domain are written.
//!
//! In: a place, a secret, perhaps further recipients. Out: the id of the new repository, which this machine remembers from now on. Never: touches a repository that is
//! there already.

use repository::domain::Domain;
use repository::keys::{KeyError, Recipient, init_repository};
use repository::layout::REPOSITORY;
use repository::store::{OpenMode, RetryPolicy, Store, probe};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::hex;

/// How it is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// An age recipient (age1…) who can open the repository too; may be given several times
    #[arg(long, value_name = "AGE1…")]
    recipient: Vec<String>,
    /// Whose key it is, in a line; it is sealed [default: the name of this machine]
    #[arg(long)]
    label: Option<String>,
    /// Only try out the store
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Made {
    repository: Option<String>,
    location: String,
    domain: String,
    keys: usize,
    dry_run: bool,
}

/// Makes a repository.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let further: Vec<Recipient> = options.recipient.iter().map(|text| text.parse()).collect::<Result<_, KeyError>>()?;
    let location = context.location()?.to_string();
    // Before anything is made: a secret that is missing leaves no empty folder behind.
    let recipients = context.new_recipients()?;
    let store = context.store(OpenMode::Create)?;
    let contact = store.clone().with_retry(RetryPolicy::first_contact());
    if contact.exists(REPOSITORY)? {
        return Err(KeyError::AlreadyARepository.into());
    }
    try_out(context, &contact)?;
    let mut made = Made {
        repository: None,
        location,
        domain: context.settings.one_domain().to_owned(),
        keys: recipients.len() + further.len(),
        dry_run: options.dry_run,
    };
    if !options.dry_run {
        let label = options.label.clone().unwrap_or_else(|| context.host.clone());
        let labelled: Vec<_> =
            recipients.into_iter().chain(further).map(|recipient| (recipient, label.clone())).collect();
        made.repository = Some(make(context, &store, &labelled)?);
    }
    print(context, &made)
}

fn try_out(context: &Context, store: &Store) -> Result<(), Failure> {
    let token: [u8; 8] = context.with_random(|random| repository::keys::random_array(random))?;
    let report = probe(store, &hex(&token))?;
    tracing::info!(
        met = report.met.len(),
        requests = report.requests.total(),
        "the store keeps what the protocol needs"
    );
    Ok(())
}

fn make(context: &Context, store: &Store, recipients: &[(Recipient, String)]) -> Result<String, Failure> {
    let created = (context.clock)();
    let opened = context.with_random(|random| init_repository(store, recipients, created, random))?;
    if let Some(pin) = context.pin()? {
        pin.write(opened.id());
    }
    let access = context.with_random(|random| opened.domain_or_new(store, context.settings.one_domain(), random))?;
    let domain = Domain::new(
        store.clone(),
        access,
        opened.manifest.upkeep_public,
        context.random.clone(),
        context.clock.clone(),
    );
    tracing::info!(domain = domain.name(), id = %domain.id(), "the domain has its keys");
    Ok(opened.id().to_string())
}

fn print(context: &Context, made: &Made) -> Result<Exit, Failure> {
    context.output.value(made, |out| match &made.repository {
        Some(id) => writeln!(out, "repository {id} made at {}", made.location),
        None => writeln!(out, "{} can hold a repository; none was made", made.location),
    })?;
    if made.repository.is_some() {
        context.output.note(
            "without its key nobody can restore anything: `holdfast keys export > escrow.age` writes a copy, keep it and the passphrase somewhere else",
        );
    }
    Ok(Exit::Done)
}
