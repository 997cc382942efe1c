//! Settings: what the command line says, and where it is silent the environment.
//!
//! In: [`Global`] arguments and the environment as a function. Out: [`Settings`]. Never: reads the process environment itself, opens a file, or prefers a variable
//! to a word of the command line.

mod other;

use std::ffi::OsString;
use std::path::PathBuf;

use repository::write::MEMORY_BUDGET_BYTES_DEFAULT;

use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::quantity::parse_bytes;

pub(crate) use other::OtherVariables;

/// The environment: a variable's value, if it is set.
pub(crate) type Environment = dyn Fn(&str) -> Option<OsString>;

/// Where the secret comes from that opens the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretFrom {
    /// A file with one line.
    PassphraseFile(PathBuf),
    /// A file with age identities.
    IdentityFile(PathBuf),
    /// Whoever sits at the terminal.
    Terminal,
}

/// The domain of whoever names none.
const DOMAIN_DEFAULT: &str = "default";

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the repository is, if anybody said so.
    pub(crate) repository: Option<String>,
    /// What opens it.
    pub(crate) secret: SecretFrom,
    /// A key that was exported.
    pub(crate) exported_key: Option<PathBuf>,
    /// What may be kept on this machine; `None`: nothing.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Memory for the work, in bytes.
    pub(crate) memory_budget_bytes: usize,
    /// Bytes a second; 0: no limit.
    pub(crate) bandwidth_bytes: u64,
    /// Name of the domain, if anybody said so.
    pub(crate) domain: Option<String>,
    /// How results are printed.
    pub(crate) format: Format,
    /// How much is said.
    pub(crate) verbose: u8,
}

impl Settings {
    /// The domain that a command works on which works on one.
    pub(crate) fn one_domain(&self) -> &str {
        self.domain.as_deref().unwrap_or(DOMAIN_DEFAULT)
    }

    /// Puts both together.
    pub(crate) fn new(global: Global, environment: &Environment) -> Result<Settings, Failure> {
        // A variable that is set to nothing is not set.
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| text_of(name, value)).transpose();
        let path = |name: &str| variable(name).map(PathBuf::from);
        let repository = match global.repository {
            Some(repository) => Some(repository),
            None => text("HOLDFAST_REPOSITORY")?,
        };
        let memory_budget = match (global.memory_budget, text("HOLDFAST_MEMORY_BUDGET")?) {
            (Some(bytes), _) => bytes,
            (None, Some(text)) => {
                parse_bytes(&text).map_err(|why| Failure::Usage(format!("HOLDFAST_MEMORY_BUDGET: {why}")))?
            }
            (None, None) => MEMORY_BUDGET_BYTES_DEFAULT as u64,
        };
        let default_cache = || {
            let base = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
            base.or_else(|| Some(path("HOME")?.join(".cache"))).map(|base| base.join("holdfast"))
        };
        Ok(Settings {
            repository,
            secret: secret(
                (global.passphrase_file, global.identity_file),
                (path("HOLDFAST_PASSPHRASE_FILE"), path("HOLDFAST_IDENTITY_FILE")),
            )?,
            exported_key: global.exported_key,
            cache_dir: global.cache_dir.or_else(|| path("HOLDFAST_CACHE_DIR")).or_else(default_cache),
            memory_budget_bytes: usize::try_from(memory_budget).unwrap_or(usize::MAX),
            bandwidth_bytes: global.bandwidth_limit.unwrap_or(0),
            domain: global.domain,
            format: global.output,
            verbose: global.verbose,
        })
    }
}

fn text_of(name: &str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| Failure::Usage(format!("the value of {name} is not UTF-8 text")))
}

type Files = (Option<PathBuf>, Option<PathBuf>);

/// Passphrase file and identity file, from the command line and from the environment.
fn secret(line: Files, environment: Files) -> Result<SecretFrom, Failure> {
    let files = if line == (None, None) { environment } else { line };
    match files {
        (Some(passphrase), None) => Ok(SecretFrom::PassphraseFile(passphrase)),
        (None, Some(identity)) => Ok(SecretFrom::IdentityFile(identity)),
        (None, None) => Ok(SecretFrom::Terminal),
        (Some(_), Some(_)) => Err(Failure::Usage(
            "both HOLDFAST_PASSPHRASE_FILE and HOLDFAST_IDENTITY_FILE are set; unset one of them".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(global: Global, variables: &'static [(&'static str, &'static str)]) -> Result<Settings, Failure> {
        let environment =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Settings::new(global, &environment)
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let global = Global {
            repository: Some("/a".into()),
            identity_file: Some("/key".into()),
            memory_budget: Some(7),
            ..Global::default()
        };
        let variables =
            &[("HOLDFAST_REPOSITORY", "/b"), ("HOLDFAST_PASSPHRASE_FILE", "/p"), ("HOLDFAST_MEMORY_BUDGET", "64M")];
        let settings = settings(global, variables).unwrap();
        assert_eq!(settings.repository.as_deref(), Some("/a"));
        assert_eq!(settings.secret, SecretFrom::IdentityFile("/key".into()));
        assert_eq!(settings.memory_budget_bytes, 7);
    }

    #[test]
    fn the_environment_counts_where_the_command_line_is_silent() {
        let variables =
            &[("HOLDFAST_REPOSITORY", "/b"), ("HOLDFAST_PASSPHRASE_FILE", "/p"), ("HOLDFAST_MEMORY_BUDGET", "64M")];
        let settings = settings(Global::default(), variables).unwrap();
        assert_eq!(settings.repository.as_deref(), Some("/b"));
        assert_eq!(settings.secret, SecretFrom::PassphraseFile("/p".into()));
        assert_eq!(settings.memory_budget_bytes, 64 << 20);
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_not_set() {
        let settings =
            settings(Global::default(), &[("HOLDFAST_REPOSITORY", ""), ("HOLDFAST_MEMORY_BUDGET", "")]).unwrap();
        assert_eq!(settings.repository, None);
        assert_eq!(settings.memory_budget_bytes, MEMORY_BUDGET_BYTES_DEFAULT);
    }

    #[test]
    fn the_cache_follows_the_desktop_rules() {
        let cache = |variables| settings(Global::default(), variables).unwrap().cache_dir;
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/holdfast".into()));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]), Some("/h/.cache/holdfast".into()));
        assert_eq!(cache(&[("HOLDFAST_CACHE_DIR", "/c"), ("HOME", "/h")]), Some("/c".into()));
        assert_eq!(cache(&[]), None);
    }

    #[test]
    fn two_secrets_in_the_environment_are_refused() {
        let both = settings(Global::default(), &[("HOLDFAST_PASSPHRASE_FILE", "/p"), ("HOLDFAST_IDENTITY_FILE", "/i")]);
        assert_eq!(both.unwrap_err().class().exit_code(), 2);
    }

    #[test]
    fn a_bad_budget_in_the_environment_is_a_usage_error_that_names_it() {
        let failure = settings(Global::default(), &[("HOLDFAST_MEMORY_BUDGET", "lots")]).unwrap_err();
        assert!(failure.line().contains("HOLDFAST_MEMORY_BUDGET"));
        assert_eq!(failure.class().exit_code(), 2);
    }
}
