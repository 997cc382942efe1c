//! The golden repository: read from files, or written to them anew.
//!
//! In: `tests/golden/v1`. Out: its objects, and domains on copies of them. Never: a store that could write to the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use object_store::memory::InMemory;
use repository::Error;
use repository::domain::Domain;
use repository::generated::{GeneratedSource, Kind, LogicalClock, SeededRandom, Tree};
use repository::keys::{OpenedRepository, Random, Recipient, Unlock, init_repository, open_repository};
use repository::layout::Mark;
use repository::store::{Bytes, RetryPolicy, Store};
use repository::upkeep::Keeper;
use repository::write::{BackupOptions, backup};
use tokio::runtime::Runtime;

/// Objects by name.
pub(crate) type Objects = BTreeMap<String, Bytes>;

const SEED: u64 = 20_260_101;

/// What is to be written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Regenerate {
    Golden,
    Zoo,
}

impl Regenerate {
    /// What the environment asks for.
    pub(crate) fn asked() -> Option<Regenerate> {
        match std::env::var("HOLDFAST_REGENERATE").ok()?.as_str() {
            "golden" => Some(Regenerate::Golden),
            "zoo" => Some(Regenerate::Zoo),
            other => panic!("HOLDFAST_REGENERATE is {other:?}; it can be golden or zoo"),
        }
    }
}

/// The golden repository in memory.
pub(crate) struct Golden {
    runtime: Runtime,
    objects: Objects,
    identity: Identity,
}

impl Golden {
    pub(crate) fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
    }

    /// The one of this process.
    pub(crate) fn get() -> &'static Golden {
        static GOLDEN: OnceLock<Golden> = OnceLock::new();
        GOLDEN.get_or_init(|| {
            if Regenerate::asked() == Some(Regenerate::Golden) {
                write();
            }
            let identity = std::fs::read_to_string(Golden::folder().join("identity")).expect("the identity");
            let mut objects = Objects::new();
            read_below(&Golden::folder().join("repository"), "", &mut objects);
            Golden { runtime: runtime(), objects, identity: identity.trim().parse().expect("an identity") }
        })
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// How large all of it is.
    pub(crate) fn bytes(&self) -> usize {
        self.objects.values().map(Bytes::len).sum()
    }

    /// A store of its own with these objects.
    pub(crate) fn store(&self, objects: &Objects) -> Store {
        let store = memory(&self.runtime);
        objects.iter().for_each(|(name, bytes)| store.put(name, bytes.clone()).expect("a put into memory"));
        store
    }

    /// The repository that these objects are.
    pub(crate) fn open(&self, store: &Store) -> Result<OpenedRepository, Error> {
        open_repository(store, &Unlock::Identities(vec![self.identity.clone()]), None)
    }

    /// Its domain.
    pub(crate) fn domain(&self, store: &Store) -> Result<(OpenedRepository, Domain), Error> {
        let opened = self.open(store)?;
        let access = opened.domain(store, "default")?;
        let random: Arc<Mutex<dyn Random + Send>> = Arc::new(Mutex::new(SeededRandom::new(1)));
        let clock = LogicalClock::default().for_domain();
        let domain = Domain::new(store.clone(), access, opened.manifest.upkeep_public, random, clock);
        Ok((opened, domain))
    }

    /// The domain of the golden repository itself.
    pub(crate) fn sound(&self) -> Domain {
        self.domain(&self.store(&self.objects)).expect("the golden repository opens").1
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn memory(runtime: &Runtime) -> Store {
    let patience = RetryPolicy { budget: Duration::from_millis(5), ..RetryPolicy::first_contact() };
    Store::new(Arc::new(InMemory::new()), runtime.handle().clone()).with_retry(patience).with_one_connection()
}

fn read_below(folder: &Path, prefix: &str, objects: &mut Objects) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}; see tests/golden/README.md", folder.display()));
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => read_below(&entry.path(), &format!("{name}/"), objects),
            false => drop(objects.insert(name, Bytes::from(std::fs::read(entry.path()).expect("an object")))),
        }
    }
}

/// Two volumes; of the first a whole point, a hidden increment, a checkpoint and the point that ended its run; keys of two epochs.
fn write() {
    let runtime = runtime();
    let store = memory(&runtime);
    let identity = Identity::generate();
    let source = GeneratedSource::empty();
    let mut random = SeededRandom::new(SEED);
    let recipients = [(Recipient::Age(identity.to_public()), "golden".to_owned())];
    let created = source.clock().for_domain()();
    let opened = init_repository(&store, &recipients, created, &mut random).expect("a new repository");
    let access = opened.domain_or_new(&store, "default", &mut random).expect("a domain");
    let shared: Arc<Mutex<dyn Random + Send>> = Arc::new(Mutex::new(random));
    let domain = |access| {
        let clock = source.clock();
        let now = clock.for_domain();
        let ticking = Arc::new(move || {
            clock.advance(Duration::from_millis(1));
            now()
        });
        Domain::new(store.clone(), access, opened.manifest.upkeep_public, shared.clone(), ticking)
    };
    let first = domain(access);
    let run = |domain: &Domain, volume: &str, checkpoint_bytes: u64| {
        source.clock().advance(Duration::from_secs(3600));
        let options = BackupOptions {
            process: 1,
            memory_budget_bytes: 32 << 20,
            workers: 1,
            checkpoint_bytes,
            pack_bytes: 1 << 10,
            ..BackupOptions::new(volume, "golden")
        };
        backup(domain, &source, &options).expect("a backup").point
    };
    source.with(plant);
    run(&first, "volume", 1 << 30);
    source.with(|tree| page(tree, "large", 3, 9001));
    let hidden = run(&first, "volume", 1 << 30);
    let rotated = opened.rotate_domain(&store, "default", &mut SeededRandom::new(SEED + 1)).expect("new keys");
    let second = domain(rotated);
    source.with(|tree| {
        page(tree, "large", 20, 7020);
        // Large enough for a checkpoint on the way, and small when it is compressed.
        let text: Vec<u8> = (0..80_000).flat_map(|line| format!("{:027}{}\n", "", line / 64).into_bytes()).collect();
        let inode = tree.file("text").expect("a file");
        tree.edit(inode, |content| content.write(0, &text)).expect("an edit");
        let small = tree.lookup(&[b"d", b"small"]).expect("a file");
        tree.edit(small, |content| content.write(0, b"changed")).expect("an edit");
        tree.remove(tree.root(), b"gone").expect("a removal");
    });
    run(&second, "volume", 3000);
    source.with(|tree| tree.remove(tree.root(), b"large").expect("a removal"));
    run(&second, "other", 1 << 30);
    let keeper = Keeper::new(second, Arc::new(opened.upkeep().expect("the upkeep key"))).expect("a keeper");
    keeper.mark(hidden, Mark::Retired).expect("a mark");
    write_files(&store, &identity);
}

fn write_files(store: &Store, identity: &Identity) {
    let folder = Golden::folder();
    let _ = std::fs::remove_dir_all(&folder);
    for listed in store.list("").expect("a list") {
        let file = folder.join("repository").join(&listed.name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder is made");
        std::fs::write(file, store.get(&listed.name).expect("an object")).expect("an object is written");
    }
    let secret = identity.to_string();
    std::fs::write(folder.join("identity"), format!("{}\n", secret.expose_secret())).expect("the identity is written");
}

fn page(tree: &mut Tree, path: &str, number: u64, id: u64) {
    let inode = tree.file(path).expect("a file");
    tree.edit(inode, |content| content.make_page(number, id)).expect("an edit");
}

/// Something of everything.
fn plant(tree: &mut Tree) {
    (0..10).for_each(|number| page(tree, "large", number, number + 1));
    (300..304).for_each(|number| page(tree, "large", number, number + 1));
    for (path, content) in
        [("d/small", &b"small content"[..]), ("d/empty", b""), ("gone", b"for a while"), ("d/e/deep", b"deep")]
    {
        let inode = tree.file(path).expect("a file");
        tree.edit(inode, |file| file.write(0, content)).expect("an edit");
    }
    let small = tree.lookup(&[b"d", b"small"]).expect("a file");
    tree.link(tree.root(), b"link", small).expect("a link");
    let root = tree.root();
    tree.create(root, b"to", Kind::Symlink(b"d/small".to_vec()), 0o777).expect("a link");
    tree.create(root, b"fifo", Kind::Fifo, 0o600).expect("a fifo");
    tree.create(root, b"device", Kind::CharDevice(1, 3), 0o666).expect("a device");
    let odd = tree.create(root, b"not \xff text", Kind::Regular(Default::default()), 0o640).expect("a file");
    tree.change(odd, |node| {
        node.extended.insert(b"user.small".to_vec(), b"value".to_vec());
        node.extended.insert(b"user.large".to_vec(), (0..2500u32).flat_map(u32::to_le_bytes).collect());
        (node.uid, node.gid) = (1000, 100);
    })
    .expect("attributes");
}
