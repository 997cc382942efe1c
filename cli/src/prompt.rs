//! Prompt: a passphrase typed at the terminal.
//!
//! In: key strokes. Out: the line, without its end. Never: shows it, or leaves the terminal without echo - also when the user gives up.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::Output;

/// Nobody types more.
const PASSPHRASE_BYTES_MAX: usize = 4096;
const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const KILL_LINE: u8 = 0x15;
const QUIT: u8 = 0x1c;

/// True if there is somebody to ask.
pub(crate) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a passphrase.
pub(crate) fn passphrase(output: &Output, question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    output.stderr(format!("{question}: ").as_bytes());
    let silent = Silent::begin().map_err(failed)?;
    let line = read_line();
    drop(silent);
    output.stderr(b"\n");
    line
}

/// Asks for a new passphrase, twice.
pub(crate) fn new_passphrase(output: &Output) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let first = passphrase(output, "New passphrase")?;
    let second = passphrase(output, "The same again")?;
    if *first != *second {
        return Err(Failure::Usage("the two passphrases differ; start again".to_owned()));
    }
    Ok(first)
}

fn failed(errno: Errno) -> Failure {
    Failure::Machine { what: "read from the terminal", source: errno.into() }
}

fn read_line() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX));
    let mut byte = [0];
    loop {
        match nix::unistd::read(io::stdin(), &mut byte) {
            Ok(0) => return if line.is_empty() { Err(Failure::Interrupted) } else { Ok(line) },
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(failed(errno)),
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(line),
            INTERRUPT | QUIT => return Err(Failure::Interrupted),
            END_OF_INPUT if line.is_empty() => return Err(Failure::Interrupted),
            END_OF_INPUT => return Ok(line),
            KILL_LINE => line.clear(),
            0x08 | 0x7f => erase(&mut line),
            byte if line.len() < PASSPHRASE_BYTES_MAX => line.push(byte),
            _ => return Err(Failure::Usage("a passphrase has at most 4,096 bytes".to_owned())),
        }
    }
}

/// Takes back the last character, which may be several bytes.
fn erase(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// The terminal without echo, and with `^C` as a key: a signal would end the process before it could turn the echo on again.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> Result<Silent, Errno> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Silent { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // If this fails the terminal is gone.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasing_takes_a_whole_character() {
        let mut line = "aä".as_bytes().to_vec();
        erase(&mut line);
        assert_eq!(line, b"a");
        erase(&mut line);
        erase(&mut line);
        assert_eq!(line, b"");
    }
}
