//! Store: what actors send their requests to.
//!
//! In: the requests of one actor. Out: what the world's objects answer, one request at a time, or trouble. A put, a get or a delete is one step; a list is one, or one for each
//! of its pages, between which others may change what is still to come. Never: changes the order of names, forgets an acknowledged request, or does without a turn.

use std::ops::Range;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use repository::layout::ParsedName;
use repository::session::PointId;
use repository::store::{Bytes, Operation};

use super::gate::Gate;
use super::place::{Object, Side, is_below};
use super::weather::Fate;
use super::world::World;

/// One of the stores as one actor sees it.
#[derive(Clone)]
pub(crate) struct ActorStore {
    gate: Arc<Gate>,
    actor: usize,
    side: Side,
}

/// The request did not get an answer.
fn unavailable() -> Error {
    Error::Generic { store: "simulated", source: Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) }
}

fn unused<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.to_owned(), implementer: "simulated".to_owned() })
}

fn meta(name: &str, object: &Object) -> Result<ObjectMeta> {
    let modified = UNIX_EPOCH + Duration::from_millis(object.modified_ms.unsigned_abs());
    Ok(ObjectMeta {
        location: Path::parse(name)?,
        last_modified: modified.into(),
        size: object.bytes.len() as u64,
        e_tag: None,
        version: None,
    })
}

fn flipped(bytes: &Bytes, at: u64) -> Bytes {
    let mut flipped = bytes.to_vec();
    let bit = at % (flipped.len() as u64 * 8).max(1);
    if let Some(byte) = flipped.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
    flipped.into()
}

impl ActorStore {
    /// For one actor.
    pub(crate) fn new(gate: Arc<Gate>, actor: usize, side: Side) -> ActorStore {
        ActorStore { gate, actor, side }
    }

    /// The next step, and what becomes of the request.
    fn ask(&self, operation: Operation, name: &str) -> (MutexGuard<'_, World>, Fate) {
        let mut world = self.gate.step(self.actor);
        let fate = world.fate(self.side, operation, name);
        let at = if self.side == Side::Target { " at the target" } else { "" };
        world.note(|| match fate {
            Fate::Done => format!("{operation}{at} {name}"),
            fate => format!("{operation}{at} {name}: {}", fate.name()),
        });
        (world, fate)
    }

    /// A put or a delete: `apply` makes it take effect.
    fn change(&self, operation: Operation, name: &str, bytes: Option<&Bytes>) -> Result<()> {
        let (mut world, fate) = self.ask(operation, name);
        if let Some(bytes) = bytes {
            self.sent(&mut world, name, bytes);
        }
        let side = self.side;
        let apply = |world: &mut World| match bytes {
            Some(bytes) => world.put(side, name, bytes, bytes.clone()),
            None => {
                world.delete(side, name);
            }
        };
        match (fate, bytes) {
            (Fate::BitFlipped, Some(bytes)) => {
                let at = world.dice.number();
                world.put(side, name, bytes, flipped(bytes, at));
            }
            (Fate::Done | Fate::AnswerLost | Fate::Twice | Fate::DeathAfter, _) => apply(&mut world),
            _ => {}
        }
        if matches!(fate, Fate::Late | Fate::Twice | Fate::DeathAndLate) {
            world.keep_for_later(side, name, bytes.cloned());
        }
        match fate {
            Fate::DeathBefore | Fate::DeathAfter | Fate::DeathAndLate => self.gate.die(world, self.actor),
            Fate::Failed | Fate::AnswerLost | Fate::Late | Fate::BrokenOff => Err(unavailable()),
            Fate::Done | Fate::Twice | Fate::BitFlipped => {
                if operation == Operation::Put {
                    self.announced(&mut world, name);
                }
                Ok(())
            }
        }
    }

    fn answer(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let name = location.as_ref();
        let (mut world, fate) = self.ask(Operation::Get, name);
        match fate {
            Fate::DeathBefore | Fate::DeathAfter | Fate::DeathAndLate => self.gate.die(world, self.actor),
            Fate::Failed | Fate::AnswerLost | Fate::Late => return Err(unavailable()),
            Fate::Done | Fate::Twice | Fate::BitFlipped | Fate::BrokenOff => {}
        }
        let Some(object) = world.place(self.side).objects.get(name).cloned() else {
            return Err(Error::NotFound { path: name.to_owned(), source: "no such object".into() });
        };
        let all = 0..object.bytes.len() as u64;
        let range = match &options.range {
            None => all,
            Some(range) => range
                .as_range(all.end)
                .map_err(|error| Error::Generic { store: "simulated", source: Box::new(error) })?,
        };
        let mut body = object.bytes.slice(range.start as usize..range.end as usize);
        if fate == Fate::BitFlipped {
            body = flipped(&body, world.dice.number());
        }
        if !options.head {
            self.relied_on(&mut world, name);
        }
        let broken_off = fate == Fate::BrokenOff && !options.head;
        result(meta(name, &object)?, range, body, broken_off)
    }

    /// The names after `after`, at most a page of them; the second is where the next page begins.
    fn page(&self, prefix: &str, after: &str, page_max: usize) -> Result<(Vec<ObjectMeta>, Option<String>)> {
        let (mut world, fate) = self.ask(Operation::List, prefix);
        match fate {
            Fate::DeathBefore | Fate::DeathAfter | Fate::DeathAndLate => self.gate.die(world, self.actor),
            Fate::Failed | Fate::AnswerLost | Fate::Late | Fate::BrokenOff => return Err(unavailable()),
            Fate::Done | Fate::Twice | Fate::BitFlipped => {}
        }
        if self.side == Side::Target && after.is_empty() && prefix.contains("/marks/") {
            let step = world.step;
            world.standings[self.actor].marks_listed.insert(prefix.to_owned(), step);
        }
        let beyond = (std::ops::Bound::Excluded(after.to_owned()), std::ops::Bound::Unbounded);
        let objects = &world.place(self.side).objects;
        let mut below =
            objects.range::<String, _>(beyond).filter(|(name, _)| is_below(name, prefix) && *name != prefix);
        let names: Vec<ObjectMeta> =
            below.by_ref().take(page_max).map(|(name, object)| meta(name, object)).collect::<Result<_>>()?;
        let next = names.last().map(|last| last.location.to_string()).filter(|_| names.len() == page_max);
        Ok((names, next))
    }

    /// Notes what an actor is about to put.
    fn sent(&self, world: &mut World, name: &str, bytes: &Bytes) {
        let standing = &world.standings[world.turn];
        if let Ok(ParsedName::Point { session, .. }) = ParsedName::parse(name)
            && self.side == standing.side
            && standing.session != Some(session)
        {
            world.tally.count("commit of a session that another process announced");
        }
        world.sent(self.side, name, bytes);
    }

    /// Notes which session an actor announced.
    fn announced(&self, world: &mut World, name: &str) {
        if let Ok(ParsedName::SessionOpen { session, .. }) = ParsedName::parse(name) {
            let standing = &mut world.standings[self.actor];
            // Whoever puts one elsewhere copies it.
            if standing.side == self.side {
                standing.session = Some(session);
            }
        }
    }

    /// Whoever reads a point that it has pinned relies on it from then on.
    fn relied_on(&self, world: &mut World, name: &str) {
        let Ok(ParsedName::Point { volume, session: pin, .. }) = ParsedName::parse(name) else { return };
        let Some(session) = world.standings[self.actor].session else { return };
        let held = world.place(self.side).truth().rely(session, PointId { volume, session: pin });
        world.claim(held);
    }

    /// How many names a page of the next list has: mostly all of them.
    fn page_max(&self) -> usize {
        let mut world = self.gate.world(self.actor);
        let few = 1 + world.dice.below(4) as usize;
        if world.dice.one_in(3) { few } else { usize::MAX }
    }
}

fn result(meta: ObjectMeta, range: Range<u64>, body: Bytes, broken_off: bool) -> Result<GetResult> {
    let pieces = match broken_off {
        false => vec![Ok(body)],
        true => vec![Ok(body.slice(..body.len() / 2)), Err(unavailable())],
    };
    let payload = GetResultPayload::Stream(futures::stream::iter(pieces).boxed());
    Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
}

impl std::fmt::Debug for ActorStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the simulated {:?} of actor {}", self.side, self.actor)
    }
}

impl std::fmt::Display for ActorStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

#[async_trait]
impl ObjectStore for ActorStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        self.change(Operation::Put, location.as_ref(), Some(&Bytes::from(payload)))?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unused("put_multipart")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.answer(location, &options)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let location = location?;
            store.change(Operation::Delete, location.as_ref(), None)?;
            Ok(location)
        };
        locations.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.map(Path::to_string).unwrap_or_default());
        let pages = futures::stream::unfold(Some((String::new(), 0)), move |next| {
            let (store, prefix) = (store.clone(), prefix.clone());
            async move {
                let (after, page_max) = next?;
                let page_max = if page_max == 0 { store.page_max() } else { page_max };
                let page = match store.page(&prefix, &after, page_max) {
                    Ok((names, next)) => (names.into_iter().map(Ok).collect(), next.map(|after| (after, page_max))),
                    Err(error) => (vec![Err(error)], None),
                };
                Some(page)
            }
        });
        pages.flat_map(futures::stream::iter::<Vec<Result<ObjectMeta>>>).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unused("list_with_delimiter")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unused("copy")
    }
}
