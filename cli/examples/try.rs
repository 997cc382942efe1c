//! scratch
use std::sync::{Arc, Mutex};
use repository::{domain::Domain, keys::*, store::{self, Store}, write::*};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rt = tokio::runtime::Runtime::new().unwrap();
    let env = |n: &str| std::env::var(n).ok();
    let base = store::open(&args[1], &env, store::OpenMode::Create).unwrap();
    let store = Store::new(base, rt.handle().clone());
    let pass = || Unlock::from_passphrase_file(b"hello world long").unwrap();
    let opened = match open_repository(&store, &pass(), None) {
        Ok(o) => o,
        Err(e) => { eprintln!("{e}"); init_repository(&store, &[(Recipient::from_passphrase_file(b"hello world long").unwrap(), "x".into())], jiff::Timestamp::now(), &mut SystemRandom).unwrap() }
    };
    let access = opened.domain_or_new(&store, "default", &mut SystemRandom).unwrap();
    let upkeep = opened.manifest.upkeep_public.clone();
    let domain = Domain::new(store, access, upkeep, Arc::new(Mutex::new(SystemRandom)), Arc::new(jiff::Timestamp::now));
    let now = jiff::Timestamp::now();
    let source = volume::open_source(args[2].as_ref(), &volume::SourceOptions::new(repository::source::Time { seconds: now.as_second(), nanoseconds: 0 })).unwrap();
    let r = backup(&domain, source.as_ref(), &BackupOptions { journal_directory: Some("/tmp/data/journal".into()), ..BackupOptions::new(&args[2], "host") });
    match r { Ok(r) => println!("{:?} missed {} parent {:?}\n{:#?}", r.outcome, r.missed, r.parent, r.statistics), Err(e) => println!("ERR {e}") }
}
