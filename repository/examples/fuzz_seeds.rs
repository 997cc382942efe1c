//! Seeds for the fuzz targets, taken out of a real repository.
//!
//! In: a folder. Out: below it one folder per target of `fuzz/`, with inputs in the form that the target takes: objects, and the plaintext of every kind of
//! blob, as three backups of a generated tree leave them. Never: keeps what is larger than a seed should be; `cargo fuzz cmin` makes few of many.
//!
//! `cargo run -p repository --example fuzz_seeds -- FOLDER`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use age::secrecy::SecretString;
use age::x25519::Identity;
use model::SessionId;
use object_store::memory::InMemory;
use repository::domain::Domain;
use repository::generated::{Dice, GeneratedSource, SeededRandom, Shape};
use repository::keys::{OpenedRepository, Random, Recipient, init_repository};
use repository::layout::{Mark, MarkRun, ParsedName};
use repository::marks::{damage_name, mark_name};
use repository::pack::{Directory, DirectoryEntry, FOOTER_BYTES, Footer};
use repository::seal::{BlobKind, ObjectKind, Opener, SectionReader};
use repository::store::Store;
use repository::table::TableFooter;
use repository::tree::block::decode_block;
use repository::tree::{Class, PackId, PackList, value};
use repository::write::{BackupOptions, backup};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A seed that is larger says nothing that a smaller one does not.
const SEED_BYTES_MAX: usize = 12 << 10;
/// As many packs as the targets know.
const PACKS: u8 = 64;
/// Backups of one tree, so that there are runs to be merged.
const BACKUPS: usize = 3;

/// Where seeds go.
struct Seeds(PathBuf);

impl Seeds {
    fn add(&self, target: &str, parts: &[&[u8]]) -> Outcome<()> {
        let seed = parts.concat();
        if seed.len() > SEED_BYTES_MAX {
            return Ok(());
        }
        let folder = self.0.join(target);
        std::fs::create_dir_all(&folder)?;
        let name: String = blake3::hash(&seed).to_hex().chars().take(16).collect();
        std::fs::write(folder.join(name), seed)?;
        Ok(())
    }
}

/// A part with its length before it.
fn part(bytes: &[u8]) -> Outcome<Vec<u8>> {
    Ok([&u16::try_from(bytes.len())?.to_le_bytes(), bytes].concat())
}

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder for the seeds")?;
    let seeds = Seeds(Path::new(&folder).to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shapes = [Shape { attribute_bytes_max: 300, ..Shape::mixed() }, Shape::tiny().without_handles()];
    for (seed, shape) in (1..).zip(shapes) {
        let store = Store::new(Arc::new(InMemory::new()), runtime.handle().clone());
        let opened = fill(&store, seed, &shape)?;
        collect(&store, &opened, &seeds)?;
    }
    fields(&seeds)?;
    key_files(&seeds)
}

/// A repository with some backups of one tree, which changes between them.
fn fill(store: &Store, seed: u64, shape: &Shape) -> Outcome<(OpenedRepository, Domain)> {
    let (source, mut dice) = (GeneratedSource::new(seed, shape), Dice::new(seed));
    let mut random = SeededRandom::new(seed);
    let recipients = [(Recipient::Age(Identity::generate().to_public()), "seed".to_owned())];
    let opened = init_repository(store, &recipients, source.clock().for_domain()(), &mut random)?;
    let access = opened.domain_or_new(store, "default", &mut random)?;
    let random: Arc<Mutex<dyn Random + Send>> = Arc::new(Mutex::new(random));
    let clock = source.clock().for_domain();
    let domain = Domain::new(store.clone(), access, opened.manifest.upkeep_public, random, clock);
    for _ in 0..BACKUPS {
        source.clock().advance(Duration::from_secs(10));
        backup(&domain, &source, &BackupOptions { workers: 1, ..BackupOptions::new("volume", "seed") })?;
        source.operate(&mut dice, shape, 15);
    }
    Ok((opened, domain))
}

/// Every object, taken apart.
fn collect(store: &Store, (opened, domain): &(OpenedRepository, Domain), seeds: &Seeds) -> Outcome<()> {
    let mut blocks = Vec::new();
    for name in store.list("")?.into_iter().map(|listed| listed.name) {
        let bytes = store.get(&name)?;
        seeds.add("name", &[name.as_bytes()])?;
        match ParsedName::parse(&name)? {
            ParsedName::Repository => seeds.add("manifest", &[&bytes])?,
            ParsedName::RecipientKey(_) => seeds.add("key_file", &[&[0], &bytes])?,
            ParsedName::Pack { .. } => pack(domain, &name, &bytes, seeds, &mut blocks)?,
            ParsedName::SessionOpen { .. } => {
                let plain = sections(domain, (ObjectKind::Session, &name), &bytes, &[BlobKind::Session], seeds)?;
                seeds.add("announcement", &[&plain[0]])?;
            }
            ParsedName::Point { volume, session, .. } => {
                let kinds = [BlobKind::Reference, BlobKind::Description, BlobKind::Runs];
                let plain = sections(domain, (ObjectKind::Point, &name), &bytes, &kinds, seeds)?;
                for (target, plain) in ["reference", "description", "runs"].into_iter().zip(&plain) {
                    seeds.add(target, &[plain])?;
                }
                let (key, run) = (opened.upkeep()?, MarkRun([9; 16]));
                let upkeep = (&key, opened.id());
                for mark in Mark::ALL {
                    let name = mark_name(upkeep, domain.id(), (volume, session), mark, run)?;
                    seeds.add("name", &[name.as_bytes()])?;
                }
                seeds.add("name", &[damage_name(upkeep, domain.id(), (session, 3), run)?.as_bytes()])?;
            }
            _ => {}
        }
    }
    merges(&blocks, seeds)
}

/// An object of sections: as it is, behind its header, and its plaintexts sealed anew.
fn sections(
    domain: &Domain,
    (kind, name): (ObjectKind, &str),
    bytes: &[u8],
    kinds: &[BlobKind],
    seeds: &Seeds,
) -> Outcome<Vec<Vec<u8>>> {
    let binding = domain.binding(kind, name);
    let header = Opener::new(binding, bytes, domain.ring())?.header_bytes();
    let reader = SectionReader::new(binding, bytes, domain.ring(), kinds)?;
    let plain = (0..kinds.len()).map(|index| reader.open(index)).collect::<Result<Vec<_>, _>>()?;
    seeds.add("header", &[&bytes[..header]])?;
    seeds.add("sections", &[&[0], bytes])?;
    seeds.add("sections", &[&[1], &bytes[header..]])?;
    let parts = plain.iter().map(|plain| part(plain)).collect::<Outcome<Vec<_>>>()?.concat();
    seeds.add("sections", &[&[2, 50, 0, 1], &parts])?;
    Ok(plain)
}

type Blocks = Vec<(Class, Vec<u8>)>;

fn pack(domain: &Domain, name: &str, bytes: &[u8], seeds: &Seeds, blocks: &mut Blocks) -> Outcome<()> {
    let opener = Opener::new(domain.binding(ObjectKind::Pack, name), bytes, domain.ring())?;
    let end = &bytes[bytes.len() - FOOTER_BYTES..];
    let footer = Footer::decode(end, bytes.len() as u64)?;
    let directory = Directory::open(&opener, &footer, bytes)?;
    seeds.add("header", &[&bytes[..opener.header_bytes()]])?;
    seeds.add("pack", &[&[0], &(bytes.len() as u64).to_le_bytes(), end])?;
    let open = |entry: &DirectoryEntry| -> Outcome<Vec<u8>> {
        let range = entry.position.range();
        Ok(opener.open(entry.position.label, &bytes[range.start as usize..range.end as usize])?)
    };
    let position = footer.position;
    let plain = opener.open(position.label, &bytes[position.offset as usize..bytes.len() - FOOTER_BYTES])?;
    let list = directory.segment_list().map(open).transpose()?.unwrap_or_default();
    let (end, length) = (u32::try_from(position.offset)?.to_le_bytes(), u32::try_from(plain.len())?.to_le_bytes());
    seeds.add("pack", &[&[1], &end, &length, &plain, &list])?;
    seeds.add("pack", &[&[2, 0], &204u32.to_le_bytes()[..], &[0]])?;
    let mut pending: Vec<(BlobKind, Vec<u8>)> = Vec::new();
    for entry in &directory.blobs {
        let (plain, kind) = (open(entry)?, entry.position.label.kind);
        compressed(&plain, seeds)?;
        match kind {
            BlobKind::TableBlock | BlobKind::TableIndex => pending.push((kind, plain)),
            BlobKind::TableFooter => {
                let class = TableFooter::decode(&plain)?.class;
                seeds.add("table_footer", &[&plain])?;
                for (kind, plain) in pending.drain(..) {
                    table_blob(class, kind, plain, seeds, blocks)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn compressed(plain: &[u8], seeds: &Seeds) -> Outcome<()> {
    let compressed = repository::compress::Compressor::new(3)?.compress(plain)?;
    seeds.add("decompress", &[&compressed.plaintext_bytes.to_le_bytes(), &compressed.bytes])
}

fn table_blob(class: Class, kind: BlobKind, plain: Vec<u8>, seeds: &Seeds, blocks: &mut Blocks) -> Outcome<()> {
    if kind == BlobKind::TableIndex {
        return seeds.add("index", &[&[class as u8], &plain]);
    }
    seeds.add("block", &[&[class as u8], &plain])?;
    let packs: Vec<PackId> =
        (0..PACKS).map(|number| PackId { session: SessionId([number; 16]), seq: u32::from(number) }).collect();
    let mut list = PackList::new();
    for pack in &packs {
        list.number(*pack);
    }
    for row in decode_block(class, &plain, &packs)? {
        let value = value::encode(&row.value, &mut list);
        seeds.add("row", &[&[class as u8], &part(&row.key)?, &value])?;
    }
    blocks.push((class, plain));
    Ok(())
}

/// The blocks of each class as runs over each other, newest first.
fn merges(blocks: &Blocks, seeds: &Seeds) -> Outcome<()> {
    for class in Class::ALL {
        let small = blocks.iter().rev().filter(|(of, plain)| *of == class && plain.len() < SEED_BYTES_MAX / 2);
        let parts = small.take(BACKUPS).map(|(_, plain)| part(plain)).collect::<Outcome<Vec<_>>>()?.concat();
        seeds.add("merge", &[&[class as u8], &parts])?;
    }
    Ok(())
}

/// Every field once, in a row.
fn fields(seeds: &Seeds) -> Outcome<()> {
    let mut encoder = repository::codec::Encoder::new();
    encoder.u8(1).u16(2).u32(3).u64(4).varint(u64::MAX).varint(6).svarint(-7).bytes(b"eight").varint(3).raw(&[0; 5]);
    seeds.add("codec", &[&part(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 59])?, &encoder.finish()])
}

/// Key files that take little work, one that would take too much, and what may stand inside.
fn key_files(seeds: &Seeds) -> Outcome<()> {
    let payload =
        format!(r#"{{"version":1,"repository":"{}","key":"{}","label":"x"}}"#, "ab".repeat(32), "cd".repeat(32));
    seeds.add("key_file", &[&[1], payload.as_bytes()])?;
    for work_factor_log2 in [2, 6] {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
        recipient.set_work_factor(work_factor_log2);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))?;
        let mut writer = encryptor.wrap_output(Vec::new())?;
        writer.write_all(payload.as_bytes())?;
        let file = writer.finish()?;
        seeds.add("key_file", &[&[0], &file])?;
        let at = file.windows(11).position(|window| window.starts_with(b"-> scrypt "));
        let line = at.and_then(|at| file[at..].iter().position(|byte| *byte == b'\n').map(|length| at + length));
        let end = line.ok_or("a passphrase file has a stanza of scrypt")?;
        seeds.add("key_file", &[&[0], &file[..end - 1], b"21", &file[end..]])?;
    }
    Ok(())
}
