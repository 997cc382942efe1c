//! Key files that anybody can plant in a bucket: refused, or the key of this repository; a work factor above 2^20 is refused before any work is done.
#![no_main]

use std::io::Write;
use std::sync::{Arc, LazyLock};

use age::Encryptor;
use age::secrecy::SecretString;
use age::x25519::Identity;
use bytes::Bytes;
use holdfast_fuzz::within;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use repository::generated::SeededRandom;
use repository::keys::{
    KEY_FILE_BYTES_MAX, OpenedRepository, Recipient, Unlock, WrapKind, init_repository, list_recipients,
    open_repository_with_export,
};
use repository::layout;
use repository::store::Store;
use tokio::runtime::Runtime;

/// What the cheap seeds are wrapped for.
const PASSPHRASE: &str = "correct horse";
/// Work that every input may cost.
const WORK_LOG2_CHEAP: u8 = 6;
/// What reading a file takes whatever its length: buffers for a content of 64 KiB, and the cheap work.
const FILE_BYTES: usize = 1 << 20;
/// Above this nothing is tried.
const WORK_LOG2_MAX: u8 = 20;

struct World {
    _runtime: Runtime,
    store: Store,
    repository: OpenedRepository,
    recipient: age::x25519::Recipient,
    identities: Unlock,
    passphrase: Unlock,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let store = Store::new(Arc::new(InMemory::new()), runtime.handle().clone());
    let identity = Identity::generate();
    let recipient = identity.to_public();
    let recipients = [(Recipient::Age(recipient.clone()), String::new())];
    let repository = init_repository(&store, &recipients, Timestamp::UNIX_EPOCH, &mut SeededRandom::new(7));
    let repository = repository.expect("a repository in memory");
    let passphrase = Unlock::Passphrase(SecretString::from(PASSPHRASE.to_owned()));
    World {
        _runtime: runtime,
        store,
        repository,
        recipient,
        identities: Unlock::Identities(vec![identity]),
        passphrase,
    }
});

/// What a planted file would be listed as.
fn kind(world: &World, data: &[u8]) -> Option<WrapKind> {
    let id = model::KeyId([0; 16]);
    world.store.put(&layout::recipient_key(id), Bytes::copy_from_slice(data)).expect("a put in memory");
    let listed = list_recipients(&world.store).expect("a list in memory");
    listed.into_iter().find(|entry| entry.id == id)?.kind.ok()
}

fn open(world: &World, data: &[u8], unlock: &Unlock) -> bool {
    match open_repository_with_export(&world.store, data, unlock, None) {
        Ok(opened) => {
            assert_eq!(opened.id(), world.repository.id(), "it is proven to be the key of this repository");
            assert!(data.len() as u64 <= KEY_FILE_BYTES_MAX);
            true
        }
        Err(error) => {
            assert!(error.to_string().len() < 10_000, "a message has a bound");
            false
        }
    }
}

fn file(world: &World, data: &[u8]) {
    let memory = 8 * data.len() + FILE_BYTES;
    let kind = within(memory, || kind(world, data));
    match kind {
        Some(WrapKind::Passphrase { work_factor_log2 }) => {
            assert!(!within(memory, || open(world, data, &world.identities)), "a passphrase file is for a passphrase");
            if work_factor_log2 <= WORK_LOG2_CHEAP || work_factor_log2 > WORK_LOG2_MAX {
                let opened = within(memory, || open(world, data, &world.passphrase));
                assert!(!opened || work_factor_log2 <= WORK_LOG2_CHEAP, "the work is bounded");
            }
        }
        Some(WrapKind::X25519) => {
            within(memory, || open(world, data, &world.identities));
            assert!(!within(memory, || open(world, data, &world.passphrase)), "an X25519 file is for an identity");
        }
        None => {
            for unlock in [&world.identities, &world.passphrase] {
                assert!(!within(memory, || open(world, data, unlock)), "what has no kind opens for nobody");
            }
        }
    }
}

/// What stands inside a file that this identity opens is as little to be trusted: anybody can wrap for a public recipient.
fn payload(world: &World, data: &[u8]) {
    let encryptor = Encryptor::with_recipients(std::iter::once(&world.recipient as &dyn age::Recipient));
    let mut writer = encryptor.and_then(|encryptor| Ok(encryptor.wrap_output(Vec::new())?)).expect("a recipient");
    writer.write_all(data).expect("a write to memory");
    let wrapped = writer.finish().expect("a write to memory");
    let opened = within(8 * wrapped.len() + FILE_BYTES, || open(world, &wrapped, &world.identities));
    assert!(!opened, "the repository's own key has not been guessed");
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0, data)) => file(&WORLD, data),
        Some((_, data)) => payload(&WORLD, data),
        None => {}
    }
});
