//! A directory that changes in every way that the format has rows for.
//!
//! In: a seed and the number of a step. Out: the directory as it is after that step. Never: anything that depends on the clock but time stamps.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

const PAGE: u64 = 4096;
const DATABASE_PAGES: u64 = 1100;
const SPARSE_BYTES: u64 = 40 << 20;

/// The directory, and the dice that change it.
pub(crate) struct Source {
    root: PathBuf,
    dice: SmallRng,
}

impl Source {
    /// Everything that a directory can hold; devices only as root.
    pub(crate) fn new(root: PathBuf, seed: u64) -> Source {
        let mut source = Source { root, dice: SmallRng::seed_from_u64(seed) };
        fs::create_dir(&source.root).expect("the source is made");
        source.write("database", DATABASE_PAGES * PAGE);
        source.write("log", 70_000);
        source.write("grows and shrinks", 3 << 20);
        for size in [0, 1, 4095, 4096, 4097, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
            source.write(&format!("size {size}"), size);
            fs::write(source.at(&format!("zeros {size}")), vec![0; size as usize]).expect("zeros are written");
        }
        File::create(source.at("sparse")).and_then(|file| file.set_len(SPARSE_BYTES)).expect("a sparse file");
        source.tree("tree", 60);
        source.special();
        source
    }

    fn special(&mut self) {
        let odd = self.root.join(std::ffi::OsStr::from_bytes(b"not \xff text\n"));
        fs::write(odd, "a name of any bytes").expect("a name of any bytes");
        symlink("../nowhere", self.at("link")).expect("a link");
        fs::hard_link(self.at("database"), self.at("database, too")).expect("a hard link");
        fs::hard_link(self.at("size 4097"), self.at("tree/size 4097")).expect("a hard link");
        fs::set_permissions(self.at("size 1"), Permissions::from_mode(0o4751)).expect("a mode");
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::new(86_400, 1);
        let file = File::options().write(true).open(self.at("size 4096")).expect("a file opens");
        file.set_modified(before_1970).expect("a time before 1970");
        self.run("mkfifo", &["fifo"]).expect("a FIFO");
        // Without root, or on a file system that has none of it, there is less to compare.
        for arguments in [&["mknod", "character", "c", "5", "259"][..], &["chown", "1234:4321", "size 1"]] {
            self.run(arguments[0], &arguments[1..]).unwrap_or_else(|why| println!("left out: {why}"));
        }
        let value = "x".repeat(2000);
        for arguments in [["user.short", "value", "log"], ["user.empty", "", "tree"], ["user.long", &value, "database"]]
        {
            self.attribute(arguments);
        }
    }

    fn attribute(&self, [name, value, file]: [&str; 3]) {
        self.run("setfattr", &["-n", name, "-v", value, file]).unwrap_or_else(|why| println!("left out: {why}"));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let done = Command::new(program).args(arguments).current_dir(&self.root).output();
        match done {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Half of all content can be compressed.
    fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = vec![0; count as usize];
        self.dice.fill_bytes(&mut bytes);
        if self.dice.random() {
            bytes.iter_mut().for_each(|byte| *byte = b'a' + (*byte & 3));
        }
        bytes
    }

    fn write(&mut self, name: &str, count: u64) {
        let bytes = self.bytes(count);
        fs::write(self.at(name), bytes).expect("a file is written");
    }

    fn tree(&mut self, name: &str, files: u64) {
        fs::create_dir_all(self.at(name).join("inner")).expect("a folder");
        for number in 0..files {
            let (count, inner) = (self.dice.random_range(0..12_000), if number % 3 == 0 { "inner/" } else { "" });
            self.write(&format!("{name}/{inner}file {number}"), count);
        }
    }

    /// The next state. Step 5 changes nothing.
    pub(crate) fn change(&mut self, step: u64) {
        if step == 5 {
            return;
        }
        self.overwrite();
        self.resize(step);
        let small = self.bytes(5000);
        append(&self.at("log"), &small);
        self.tree(&format!("new {step}"), 12);
        if step.is_multiple_of(3) {
            fs::remove_dir_all(self.at(&format!("new {}", step - 2))).expect("a tree is removed");
        }
        if step % 4 == 1 {
            fs::rename(self.at(&format!("new {step}")), self.at(&format!("moved {step}"))).expect("a tree is renamed");
            fs::create_dir(self.at(&format!("new {step}"))).expect("a folder of the old name");
        }
        match step {
            2 => self.attribute(["user.short", "another", "log"]),
            3 => fs::rename(self.at("size 4095"), self.at("zeros 4095")).expect("a file takes another's place"),
            // One of two names goes; the content stays with the other.
            4 => self.replace("database"),
            6 => self.write("size 65536", 2 << 20),
            7 => self.write("size 1048576", 100),
            8 => fs::remove_file(self.at("size 4097")).expect("a name is removed"),
            9 => self.swap("database", "grows and shrinks"),
            10 => self.file_to_folder("log"),
            11 => fs::hard_link(self.at("size 65537"), self.at("size 65537, too")).expect("a hard link"),
            _ => {}
        }
    }

    /// Pages of the database and of the sparse file; some become zeros, some writes are not aligned.
    fn overwrite(&mut self) {
        let database = OpenOptions::new().write(true).open(self.at("database, too")).expect("the database opens");
        for _ in 0..self.dice.random_range(1..25) {
            let (page, count) = (self.dice.random_range(0..DATABASE_PAGES - 2), self.dice.random_range(1..2 * PAGE));
            let bytes = if self.dice.random_range(0..4) == 0 { vec![0; count as usize] } else { self.bytes(count) };
            database.write_all_at(&bytes, page * PAGE).expect("pages are written");
        }
        let sparse = OpenOptions::new().write(true).open(self.at("sparse")).expect("the sparse file opens");
        let (at, bytes) = (self.dice.random_range(0..SPARSE_BYTES - 9000), self.bytes(9000));
        sparse.write_all_at(&bytes, at).expect("the sparse file is written");
    }

    /// Cuts content off in the middle of a page, and grows over the place with zeros: what was cut must not come back.
    fn resize(&mut self, step: u64) {
        let path = self.at("grows and shrinks");
        let bytes = self.bytes(1_200_001);
        match step {
            2 => set_length(&path, 700_003),
            3 => set_length(&path, 2_900_000),
            // So small that it moves inline; the next step makes it large again, but shorter than it was.
            6 | 12 => set_length(&path, 5000),
            8 => set_length(&path, 1_000_001),
            _ => append(&path, &bytes),
        }
    }

    fn replace(&mut self, name: &str) {
        self.write("replacement", 900_000);
        fs::rename(self.at("replacement"), self.at(name)).expect("a file is replaced");
    }

    fn swap(&self, one: &str, other: &str) {
        for (from, to) in [(one, "between"), (other, one), ("between", other)] {
            fs::rename(self.at(from), self.at(to)).expect("a file is renamed");
        }
    }

    fn file_to_folder(&mut self, name: &str) {
        fs::remove_file(self.at(name)).expect("a file is removed");
        fs::create_dir(self.at(name)).expect("a folder takes its place");
        self.write(&format!("{name}/inside"), 10);
        fs::rename(self.at(&format!("{name}/inside")), self.at("inside")).expect("a file is renamed");
        fs::remove_dir(self.at(name)).expect("the folder is removed");
        self.write(name, 3000);
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, bytes)).expect("bytes are appended");
}

fn set_length(path: &Path, count: u64) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(count)).expect("a length is set");
}
