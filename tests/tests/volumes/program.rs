//! Program: tools of the system, run to their end or spoken to line by line.
//!
//! In: words of a command line. Out: what it printed. Never: goes on after one that failed, or leaves one running: children are killed by their own handle.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Runs a program that must succeed; returns what it printed.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    succeed(Command::new(program).args(arguments))
}

/// Runs a script of the shell in a directory. It must succeed; returns what it printed.
#[track_caller]
pub(crate) fn shell(directory: &Path, script: &str) -> String {
    let script = format!("trap 'echo \"in: $BASH_COMMAND\" >&2' ERR; {script}");
    succeed(Command::new("bash").args(["-Eeuo", "pipefail", "-c", &script]).current_dir(directory).env("LC_ALL", "C"))
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that maps files into its memory and stores to them, and does what else cannot be done without unsafe code here.
///
/// It is Python with `ctypes`, because Python's own mappings keep the file open. Killed when dropped: no `msync`, no `munmap`.
pub(crate) struct Mapper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// One order a line; the answer `done` comes when it has been carried out.
const MAPPER: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
at = None
for line in sys.stdin:
    order, *words = line.split()
    if order == "map":
        length = int(words[0])
        fd = os.open(b"file", os.O_RDWR)
        at = libc.mmap(None, length, 3, 1, fd, 0)
        assert at not in (None, 2**64 - 1), ctypes.get_errno()
        os.close(fd)
    elif order == "store":
        ctypes.memset(at + int(words[0]), ord(words[1]), 1)
    print("done", flush=True)
"#;

impl Mapper {
    /// Maps the first `length` bytes of `file` in a directory, shared and writable, and closes it.
    pub(crate) fn of(directory: &Path, length: usize) -> Mapper {
        let mut command = Command::new("python3");
        command.args(["-c", MAPPER]).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let orders = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        let mut mapper = Mapper { child, orders, answers };
        mapper.order(&format!("map {length}"));
        mapper
    }

    /// Stores one byte.
    pub(crate) fn store(&mut self, offset: usize, byte: char) {
        self.order(&format!("store {offset} {byte}"));
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("it takes orders");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        assert_eq!(answer, "done\n", "{line}");
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the mapper {} could not be ended: {error}", self.child.id());
        }
    }
}

/// Writes `length` bytes at `offset` of an existing file with an engine of fio that is no plain write(2).
pub(crate) fn fio(file: &Path, engine: &[&str], offset: u64, length: u64, byte: u8) {
    let mut command = Command::new("fio");
    // Without `overwrite` and with `fallocate` it would touch the file by other means first.
    command.args(["--name=overwrite", "--rw=write", "--overwrite=1", "--fallocate=none", "--allow_file_create=0"]);
    command.args(["--bs=4k", "--thread", "--output-format=terse"]).args(engine);
    command.arg(format!("--offset={offset}")).arg(format!("--size={length}"));
    command.arg(format!("--buffer_pattern={byte:#x}")).arg(format!("--filename={}", file.display()));
    succeed(&mut command);
}
