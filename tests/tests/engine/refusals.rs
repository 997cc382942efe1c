//! What is not this repository, or newer than this program, is refused by name.

use age::x25519::Identity;
use model::ErrorClass;
use repository::Error;
use repository::generated::{GeneratedSource, Shape};
use repository::keys::{Unlock, open_repository};
use repository::layout::{self, REPOSITORY};
use repository::store::Bytes;

use super::world::World;

fn world(seed: u64) -> World {
    let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
    world.backup();
    world
}

fn refusal(world: &World) -> Error {
    match world.reopen() {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_wrong_key_is_denied() {
    let world = world(1);
    let opened = open_repository(&world.store(), &Unlock::Identities(vec![Identity::generate()]), None);
    assert_eq!(opened.err().map(|error| error.class()), Some(ErrorClass::Denied));
}

#[test]
fn a_foreign_repository_under_this_name_is_refused() {
    let (world, other) = (world(1), world(2));
    // All of it: the pinned id differs.
    world.put(REPOSITORY, other.object(REPOSITORY));
    let error = refusal(&world);
    assert!(error.to_string().contains(&other.repository.id().to_string()), "{error}");
    // Its description alone, for a client that never saw either: the key confirms another id.
    let unlock = Unlock::Identities(vec![world.identity.clone()]);
    assert!(
        open_repository(&world.store(), &unlock, None).is_err(),
        "a key that is not of this repository was accepted"
    );
}

#[test]
fn objects_of_a_foreign_repository_are_refused() {
    let (world, other) = (world(1), world(2));
    let point = |world: &World| world.names().into_iter().find(|name| name.ends_with(".point")).expect("a point");
    world.put(&point(&world), other.object(&point(&other)));
    let id = repository::session::Session::candidates(&world.domain(), world.domain().volume_id(super::world::VOLUME));
    let id = id.expect("a list").pop().expect("a point");
    let error = world.restore(id).expect_err("it is not of this repository");
    assert_eq!(error.class(), ErrorClass::Denied, "{error}");
}

#[test]
fn a_newer_repository_is_refused_by_its_version() {
    let world = world(1);
    let text = String::from_utf8(world.object(REPOSITORY).to_vec()).expect("JSON");
    let newer = text.replacen("\"version\":1", "\"version\":2", 1).replacen("\"version\": 1", "\"version\": 2", 1);
    assert_ne!(text, newer);
    world.put(REPOSITORY, newer.into());
    let error = refusal(&world);
    assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn a_feature_that_readers_must_know_is_refused_by_name() {
    let world = world(1);
    world.put(&format!("{}/parity.read", layout::FEATURES), Bytes::new());
    let error = refusal(&world);
    assert!(error.to_string().contains("parity"), "{error}");
}

#[test]
fn an_object_of_a_newer_format_is_refused_by_its_version() {
    let world = world(1);
    let id = world.points()[0].id;
    let name = layout::point(world.domain().id(), id.volume, id.session);
    let mut bytes = world.object(&name).to_vec();
    bytes[8] = 2;
    world.put(&name, bytes.into());
    let error = world.restore(id).expect_err("it is newer");
    assert!(matches!(error, Error::Newer { version: 2, .. }), "{error}");
}

#[test]
fn a_place_without_a_repository_says_so() {
    let world = world(1);
    world.delete(REPOSITORY);
    assert_eq!(refusal(&world).class(), ErrorClass::Missing);
}
