//! Process: other programs, run to their end.
//!
//! In: a `Command`. Out: success, or an error that shows the command as a shell would take it. Never: a shell, so that no name needs quoting.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// The command line as a person would type it, for messages.
pub(crate) fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { format!("'{text}'") }
}

/// Runs with our own terminal; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", display(command));
    }
    Ok(())
}

/// Runs and keeps what it wrote; an exit code other than 0 is an error that carries its standard error.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            display(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}

/// Runs and returns its standard output as text, trimmed.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let output = capture(command)?;
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` wrote something that is not UTF-8", display(command)))?;
    Ok(text.trim().to_owned())
}

/// Runs with `input` on its standard input; its standard output is dropped.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().with_context(|| cannot_start(command))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(input),
        None => Ok(()),
    };
    let status = child.wait().with_context(|| format!("`{}` could not be waited for", display(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", display(command));
    }
    written.with_context(|| format!("`{}` did not take its input", display(command)))
}

/// The message for a command that could not be started.
pub(crate) fn cannot_start(command: &Command) -> String {
    format!("`{}` could not be started; is {} installed?", display(command), command.get_program().to_string_lossy())
}

/// Where a program is: on `PATH`, or where Debian keeps programs for root, which an ordinary user's `PATH` lacks.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    places.map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether we may mount, install packages and drop caches.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_names_itself_and_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo gone >&2; exit 3"]);
        let error = format!("{:#}", capture(&mut command).expect_err("exit code 3 is a failure"));
        assert!(error.contains("sh -c 'echo gone >&2; exit 3'"), "{error}");
        assert!(error.contains("exit status: 3") && error.ends_with("gone"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error =
            format!("{:#}", run(&mut Command::new("holdfast-no-such-program")).expect_err("there is no such program"));
        assert!(error.contains("is holdfast-no-such-program installed?"), "{error}");
        assert_eq!(find_program("holdfast-no-such-program"), None);
        assert!(find_program("sh").is_some());
    }

    #[test]
    fn input_reaches_the_program() {
        feed(Command::new("grep").args(["-q", "needle"]), b"hay\nneedle\n").expect("grep finds the needle");
        feed(Command::new("grep").args(["-q", "needle"]), b"hay\n").expect_err("grep finds nothing");
    }
}
