//! Data: what the demonstration protects, how it changes and how it is lost.
//!
//! In: the project's own files and a seed. Out: three folders. Never: easy data only - the tree has what backup programs get wrong: names
//! that are not UTF-8, holes, hard links, FIFOs, ACLs, capabilities, nanoseconds.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::{Context, Result, bail};

use crate::{
    process,
    scratch::{Disk, Scratch},
    seed::Seed,
    workspace::Workspace,
};

const MIB: u64 = 1 << 20;
const SMALL_FILES: u64 = 3_000;

/// The three volumes.
pub(super) struct Sources {
    database: PathBuf,
    tree: PathBuf,
    disk: Option<Disk>,
    image: PathBuf,
    image_bytes: u64,
    large_bytes: u64,
    writing: Arc<AtomicBool>,
}

impl Sources {
    /// Makes all of it; says what this machine has no means for.
    pub(super) fn create(workspace: &Workspace, scratch: &Scratch, megabytes: u64) -> Result<Self> {
        let (database, tree) = (scratch.folder("database")?, scratch.folder("tree")?);
        let large_bytes = megabytes.max(1) * MIB;
        let image_bytes = large_bytes + large_bytes / 2 + 64 * MIB;
        let image = scratch.path.join("disk.img");
        create_database(&database, large_bytes / 4)?;
        create_tree(workspace, &tree)?;
        let mut sources = Self {
            database,
            tree,
            disk: None,
            image,
            image_bytes,
            large_bytes,
            writing: Arc::new(AtomicBool::new(false)),
        };
        match Disk::obstacle() {
            Some(why) => println!("demo: SKIP the loop-mounted filesystem with a large file: {why}"),
            None => {
                let disk = sources.fresh_disk(&scratch.path.join("disk"))?;
                write_large(&disk.path.join("large.bin"), large_bytes)?;
                sources.disk = Some(disk);
            }
        }
        Ok(sources)
    }

    fn fresh_disk(&self, place: &Path) -> Result<Disk> {
        Disk::format(&self.image, self.image_bytes, 1024)?;
        Disk::mount(&self.image, place)
    }

    /// The volumes and where they are.
    pub(super) fn places(&self) -> Vec<(String, PathBuf)> {
        let mut places = vec![("database".to_owned(), self.database.clone()), ("tree".to_owned(), self.tree.clone())];
        places.extend(self.disk.iter().map(|disk| ("disk".to_owned(), disk.path.clone())));
        places
    }

    /// Whether somebody writes to the volume at the moment.
    pub(super) fn is_written(&self, volume: &str) -> bool {
        volume == "database" && self.writing.load(Ordering::SeqCst)
    }

    /// Starts to write to the database as fast as SQLite takes it.
    pub(super) fn start_writer(&self) -> Result<Writer> {
        Writer::start(&self.database.join("orders.db"), &self.writing)
    }

    /// Changes a little of everything, in every way that data changes.
    pub(super) fn change(&self) -> Result<()> {
        let update = "PRAGMA wal_autocheckpoint=0; UPDATE orders SET amount = amount + 1 WHERE id % 500 = 7; PRAGMA wal_checkpoint(TRUNCATE);";
        process::feed(Command::new("sqlite3").arg("-bail").arg(self.database.join("orders.db")), update.as_bytes())?;
        change_tree(&self.tree)?;
        if let Some(disk) = &self.disk {
            change_large(&disk.path.join("large.bin"), self.large_bytes)?;
        }
        Ok(())
    }

    /// Loses all of it: the folders are emptied, the filesystem is made anew.
    pub(super) fn destroy(&mut self) -> Result<()> {
        super::empty(&self.database)?;
        super::empty(&self.tree)?;
        if let Some(disk) = self.disk.take() {
            let place = disk.path.clone();
            drop(disk);
            self.disk = Some(self.fresh_disk(&place)?);
        }
        Ok(())
    }

    /// SQLite's own opinion of the restored database.
    pub(super) fn check_database(&self) -> Result<()> {
        let database = self.database.join("orders.db");
        let answer = process::text(Command::new("sqlite3").arg(&database).arg("PRAGMA integrity_check;"))?;
        let rows = process::text(Command::new("sqlite3").arg(&database).arg("SELECT count(*) > 0 FROM orders;"))?;
        if answer != "ok" || rows != "1" {
            bail!("SQLite says of the restored database: {answer}");
        }
        Ok(())
    }
}

/// A process that writes to the database until it is stopped.
pub(super) struct Writer {
    child: Child,
    feeder: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    writing: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
}

impl Writer {
    fn start(database: &Path, writing: &Arc<AtomicBool>) -> Result<Self> {
        let mut command = Command::new("sqlite3");
        command.arg("-bail").arg(database).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().with_context(|| process::cannot_start(&command))?;
        let mut stdin = child.stdin.take().context("sqlite3 has no standard input")?;
        let (stop, transactions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (asked, count) = (stop.clone(), transactions.clone());
        writing.store(true, Ordering::SeqCst);
        let feeder = std::thread::spawn(move || {
            let mut seed = Seed::new(3, 3);
            while !asked.load(Ordering::SeqCst) {
                let id = seed.below(20_000);
                let sql =
                    format!("UPDATE orders SET note = hex(randomblob(40)) WHERE id BETWEEN {id} AND {};\n", id + 20);
                // SQLite that went away is noticed when it is waited for.
                if stdin.write_all(sql.as_bytes()).is_err() {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { child, feeder: Some(feeder), stop, writing: writing.clone(), transactions })
    }

    /// Stops and waits until the database is at rest; returns how many transactions there were.
    pub(super) fn stop(mut self) -> Result<u64> {
        self.end_feeder();
        let status = self.child.wait().context("sqlite3 could not be waited for")?;
        if !status.success() {
            bail!("the writing sqlite3 ended with {status}");
        }
        self.writing.store(false, Ordering::SeqCst);
        Ok(self.transactions.load(Ordering::SeqCst))
    }

    fn end_feeder(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(feeder) = self.feeder.take()
            && feeder.join().is_err()
        {
            eprintln!("xtask: the thread that feeds sqlite3 panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end_feeder();
        // Its input has ended, so it ends by itself.
        if let Err(error) = self.child.wait() {
            eprintln!("xtask: sqlite3 could not be waited for: {error}");
        }
    }
}

fn create_database(folder: &Path, bytes: u64) -> Result<()> {
    let rows = (bytes / 180).max(1);
    let sql = format!(
        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
         CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, note TEXT, amount INTEGER);
         BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO orders SELECT i, 'customer-' || (i % 977), hex(randomblob(60)), i * 7 % 10007 FROM n; COMMIT;
         CREATE INDEX by_customer ON orders(customer); PRAGMA wal_checkpoint(TRUNCATE);"
    );
    process::feed(Command::new("sqlite3").arg("-bail").arg(folder.join("orders.db")), sql.as_bytes())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} could not be created", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("{} could not be written", path.display()))
}

fn create_tree(workspace: &Workspace, tree: &Path) -> Result<()> {
    for file in workspace.files()? {
        let content =
            fs::read(workspace.root.join(&file)).with_context(|| format!("{} could not be read", file.display()))?;
        write(&tree.join("project").join(file), &content)?;
    }
    let mut seed = Seed::new(1, 1);
    for number in 0..SMALL_FILES {
        let mut content = vec![0; usize::try_from(seed.below(9_000)).unwrap_or_default()];
        seed.fill_rows(&mut content);
        write(&small(tree, number), &content)?;
    }
    create_odd(&tree.join("odd"))
}

fn small(tree: &Path, number: u64) -> PathBuf {
    tree.join("small").join(format!("{:02}", number % 30)).join(format!("{number:05}.txt"))
}

/// What backup programs get wrong.
fn create_odd(odd: &Path) -> Result<()> {
    let owned = |name: &str| odd.join(name);
    write(&owned("original"), b"one file, three names\n")?;
    write(&odd.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), b"a name of bytes\n")?;
    write(&owned("two\nlines"), b"a newline in the name\n")?;
    write(&owned("empty"), b"")?;
    write(&owned("old"), b"nanoseconds of long ago\n")?;
    fs::create_dir_all(owned("empty folder")).context("a folder could not be created")?;
    for name in ["second name", "third name"] {
        fs::hard_link(owned("original"), owned(name)).with_context(|| format!("{name} could not be linked"))?;
    }
    symlink("original", owned("link")).context("a link could not be made")?;
    symlink("nowhere/to/be\u{20ac}found", owned("dangling")).context("a link could not be made")?;
    let mut sparse = File::create(owned("sparse")).context("a sparse file could not be created")?;
    for place in [0, 100 * MIB + 4096, 255 * MIB] {
        sparse
            .seek(SeekFrom::Start(place))
            .and_then(|_| sparse.write_all(b"an island"))
            .context("a sparse file could not be written")?;
    }
    sparse.set_len(256 * MIB).context("a sparse file could not be extended")?;
    process::run(Command::new("mkfifo").arg(owned("fifo")))?;
    process::run(
        Command::new("setfattr").args(["-n", "user.origin", "-v", "the demonstration"]).arg(owned("original")),
    )?;
    process::run(Command::new("setfacl").args(["-m", "u:12345:r--,g:54321:rw-"]).arg(owned("original")))?;
    process::run(Command::new("setfacl").args(["-d", "-m", "u:12345:rwx"]).arg(owned("empty folder")))?;
    fs::set_permissions(owned("empty"), fs::Permissions::from_mode(0o4750)).context("a mode could not be set")?;
    if process::is_root() {
        let capability = ["-n", "security.capability", "-v", "0x0100000200040000000000000000000000000000"];
        process::run(Command::new("setfattr").args(capability).arg(owned("second name")))?;
        process::run(Command::new("chown").args(["-h", "1234:5678"]).args([owned("old"), owned("link")]))?;
    }
    process::run(Command::new("touch").args(["-d", "2001-09-09 01:46:40.123456789"]).arg(owned("old")))
}

fn change_tree(tree: &Path) -> Result<()> {
    let mut seed = Seed::new(2, 2);
    for number in seed.choose(30, SMALL_FILES - 100) {
        let path = small(tree, number);
        let mut file = File::options()
            .append(true)
            .open(&path)
            .with_context(|| format!("{} could not be opened", path.display()))?;
        file.write_all(b"\none more line\n").with_context(|| format!("{} could not be written", path.display()))?;
    }
    for number in SMALL_FILES - 100..SMALL_FILES - 80 {
        let path = small(tree, number);
        fs::remove_file(&path).with_context(|| format!("{} could not be removed", path.display()))?;
        write(&path.with_extension("new"), b"a new file\n")?;
    }
    let moved = tree.join("odd").join("third name");
    fs::rename(&moved, tree.join("third name, moved")).context("a file could not be renamed")?;
    fs::rename(tree.join("small").join("07"), tree.join("small").join("seven"))
        .context("a folder could not be renamed")?;
    fs::set_permissions(tree.join("odd").join("old"), fs::Permissions::from_mode(0o600))
        .context("a mode could not be set")
}

fn write_large(path: &Path, bytes: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("{} could not be created", path.display()))?;
    let mut seed = Seed::new(4, 4);
    let mut block = vec![0; usize::try_from(MIB).unwrap_or(1 << 20)];
    for _ in 0..bytes / MIB {
        seed.fill_rows(&mut block);
        file.write_all(&block).with_context(|| format!("{} could not be written", path.display()))?;
    }
    file.sync_all().with_context(|| format!("{} could not be synced", path.display()))
}

/// Overwrites 1 % of the 8 KiB pages in place, as a database does.
fn change_large(path: &Path, bytes: u64) -> Result<()> {
    const PAGE: u64 = 8192;
    let file =
        File::options().write(true).open(path).with_context(|| format!("{} could not be opened", path.display()))?;
    let (mut seed, mut page) = (Seed::new(5, 5), vec![0; usize::try_from(PAGE).unwrap_or_default()]);
    for number in Seed::new(6, 6).choose(bytes / PAGE / 100, bytes / PAGE) {
        seed.fill_rows(&mut page);
        file.write_all_at(&page, number * PAGE).with_context(|| format!("{} could not be written", path.display()))?;
    }
    file.sync_all().with_context(|| format!("{} could not be synced", path.display()))
}
