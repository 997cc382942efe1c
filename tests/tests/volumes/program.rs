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

/// A program that takes orders, one a line, and answers each: lines, and last one word about how it went. Killed when dropped.
pub(crate) struct Dialog {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Dialog {
    pub(crate) fn with(command: &mut Command) -> Dialog {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let orders = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Dialog { child, orders, answers }
    }

    /// Python with a script, in a directory.
    fn python(directory: &Path, script: &str) -> Dialog {
        Dialog::with(Command::new("python3").args(["-c", script]).current_dir(directory))
    }

    /// Gives an order that can be done, and to which nothing is to be said.
    #[track_caller]
    fn obey(&mut self, order: &str) {
        assert_eq!(self.order(order), Ok(Vec::new()), "{order}");
    }

    /// Gives an order. `Ok`: the lines before `done`; `Err`: why it could not be done. A program that fails, or ends, is a bug.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &str) -> Result<Vec<String>, String> {
        writeln!(self.orders, "{order}").unwrap_or_else(|error| panic!("{order}: no orders are taken: {error}"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).expect("it answers");
            match line.trim_end() {
                "done" => return Ok(lines),
                line => match line.strip_prefix("not ") {
                    Some(why) => return Err(why.to_owned()),
                    None if line.is_empty() || line.starts_with("failed ") => panic!("{order}: {line}"),
                    None => lines.push(line.to_owned()),
                },
            }
        }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the program {} could not be ended: {error}", self.child.id());
        }
    }
}

/// A process with a mapping of `file`. Dropped, it is killed: no `msync`, no `munmap`.
///
/// It is Python with `ctypes`, because a mapping needs unsafe code here, and Python's own mappings keep the file open.
pub(crate) struct Mapper(Dialog);

const MAPPER: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
at = None
for line in sys.stdin:
    order, *words = line.split()
    if order == "map":
        fd = os.open("file", os.O_RDWR)
        at = libc.mmap(None, int(words[0]), 3, 1, fd, 0)
        assert at not in (None, 2**64 - 1), ctypes.get_errno()
        os.close(fd)
    elif order == "store":
        ctypes.memset(at + int(words[0]), ord(words[1]), 1)
    print("done", flush=True)
"#;

impl Mapper {
    /// Maps the first `length` bytes of `file` in a directory, shared and writable, and closes it.
    pub(crate) fn of(directory: &Path, length: usize) -> Mapper {
        let mut process = Dialog::python(directory, MAPPER);
        process.obey(&format!("map {length}"));
        Mapper(process)
    }

    /// Stores one byte.
    pub(crate) fn store(&mut self, offset: usize, byte: char) {
        self.0.obey(&format!("store {offset} {byte}"));
    }
}

/// A single write(2) of [`HALTED_BYTES`] times `b` that stops half-way, because the second half of what it writes is not in memory until it is told to be
/// (userfaultfd).
pub(crate) struct HaltedWrite(Dialog);

/// How much it writes.
pub(crate) const HALTED_BYTES: usize = 1 << 20;

/// Numbers are those of linux/userfaultfd.h and of the system call.
const HALTED_WRITE: &str = r#"
import ctypes, fcntl, mmap, os, platform, struct, sys, threading
HALF = 512 << 10
libc = ctypes.CDLL(None, use_errno=True)
faults = libc.syscall({"x86_64": 323, "aarch64": 282}[platform.machine()], os.O_CLOEXEC)
assert faults >= 0, ctypes.get_errno()
fcntl.ioctl(faults, 0xC018AA3F, struct.pack("QQQ", 0xAA, 0, 0))
memory, second = mmap.mmap(-1, 2 * HALF, flags=mmap.MAP_PRIVATE), mmap.mmap(-1, HALF)
memory[:HALF], second[:] = b"b" * HALF, b"b" * HALF
address = lambda of: ctypes.addressof(ctypes.c_char.from_buffer(of))
fcntl.ioctl(faults, 0xC020AA00, struct.pack("QQQQ", address(memory) + HALF, HALF, 1, 0))
def write():
    assert os.pwrite(os.open("file", os.O_WRONLY), memory, 0) == 2 * HALF
writer = threading.Thread(target=write)
for line in sys.stdin:
    if line.strip() == "begin":
        writer.start()
        os.read(faults, 32)
    else:
        fcntl.ioctl(faults, 0xC028AA03, struct.pack("QQQQq", address(memory) + HALF, address(second), HALF, 0, 0))
        writer.join()
    print("done", flush=True)
"#;

impl HaltedWrite {
    /// Writes the first half of `file` in a directory.
    pub(crate) fn begin(directory: &Path) -> HaltedWrite {
        let mut process = Dialog::python(directory, HALTED_WRITE);
        process.obey("begin");
        HaltedWrite(process)
    }

    /// Writes the second.
    pub(crate) fn end(mut self) {
        self.0.obey("end");
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
