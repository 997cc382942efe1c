//! Between any two requests of one actor, another does something whole: the collector stands whatever writers and other collectors do, and writers stand whatever
//! collectors do. Most orders of docs/protocol.md break here when they are reversed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::ErrorClass;
use repository::generated::{Dice, Shape, Tree};
use repository::layout::{self, Mark, ParsedName};
use repository::point::Point;
use repository::read;
use repository::session::{PointId, Session, read_point};
use repository::store::{Effect, Faults, MeanwhileHook, Rule};
use repository::upkeep::{CollectOptions, Keeper, collect, retire};
use repository::write::backup;

use super::super::world::World;
use super::{assert_exact, at_once, keeper, run, three_points_apart, without_grace};

/// No actor here sends more requests.
const REQUESTS_MAX: u64 = 200;

/// A repository with a restore point that everybody is after.
struct Scene {
    world: World,
    hidden: PointId,
    /// What each restore point holds, those that may come to be included.
    trees: Mutex<Vec<(PointId, Tree)>>,
    /// Somebody who has pinned the hidden point, and what he will commit.
    announced: Mutex<Option<(Session, Point)>>,
    /// What was reported as successful.
    reported: Mutex<Vec<PointId>>,
}

type Deed = fn(&Scene);
/// What it is, and what happens before, during and after the run.
type Story<'a> = (&'a str, &'a [Deed], &'a [Deed], &'a [Deed]);

impl Scene {
    fn new(world: &World, points: &[(PointId, Tree)]) -> Arc<Scene> {
        Arc::new(Scene {
            world: world.copy(),
            hidden: points[0].0,
            trees: Mutex::new(points.to_vec()),
            announced: Mutex::default(),
            reported: Mutex::default(),
        })
    }

    /// W0 to W2 of a session that pins the hidden point.
    fn announce_on(&self, domain: &repository::domain::Domain) {
        let session = Session::open(domain, self.hidden.volume, vec![self.hidden], "somebody").expect("announced");
        if let ([_], Ok(point)) = (session.pins(), read_point(domain, self.hidden)) {
            *self.announced.lock().expect("no panic") = Some((session, point));
        }
    }

    fn announce(&self) {
        self.announce_on(&self.world.domain());
    }

    /// W4 and W5.
    fn commit(&self) {
        let Some((session, point)) = self.announced.lock().expect("no panic").take() else { return };
        let mut trees = self.trees.lock().expect("no panic");
        let tree = trees[0].1.clone();
        trees.push((PointId { session: session.id(), ..self.hidden }, tree));
        match session.commit(&point) {
            Ok((point, _)) => self.reported.lock().expect("no panic").push(point),
            Err(error) => assert_eq!(error.class(), ErrorClass::Busy, "{error}"),
        }
    }

    fn undelete(&self) {
        self.announce();
        self.commit();
    }

    fn back_up(&self) {
        self.world.source.operate(&mut Dice::new(7), &Shape::tiny(), 5);
        self.world.source.clock().advance(Duration::from_secs(10));
        let report = backup(&self.world.domain(), &self.world.source, &self.world.options()).expect("a backup");
        self.trees.lock().expect("no panic").push((report.point, self.world.source.snapshot()));
        self.reported.lock().expect("no panic").push(report.point);
    }

    /// A whole run; it may find another one at work.
    fn collect_with(&self, options: &CollectOptions) {
        if let Err(error) = collect(&keeper(&self.world), options) {
            assert_eq!(error.class(), ErrorClass::Busy, "{error}");
        }
    }

    fn collect(&self) {
        self.collect_with(&without_grace());
    }

    /// Two runs that wait for nobody: who is in their way is ended, and cleaned away.
    fn sweep(&self) {
        (0..2).for_each(|_| self.collect_with(&at_once()));
    }

    /// The names of the hidden point are gone, as if another run had taken no notice of this one.
    fn clean_hidden(&self) {
        keeper(&self.world).mark(self.hidden, Mark::Doomed).expect("a mark");
        let domain = self.world.domain().id();
        self.world.delete(&layout::session_open(domain, self.hidden.session));
        self.world.delete(&layout::point(domain, self.hidden.volume, self.hidden.session));
    }

    /// Nothing of a session is left, as if a collector had listed the sessions before it was announced.
    fn remove_all_of(&self, point: PointId) {
        let domain = self.world.domain().id();
        self.world.delete(&layout::session_open(domain, point.session));
        self.world.delete(&layout::point(domain, point.volume, point.session));
        let of_it = |name: &String| name.contains(&point.session.to_string());
        self.world.names().iter().filter(|name| of_it(name)).for_each(|name| self.world.delete(name));
    }

    fn remove_hidden(&self) {
        self.remove_all_of(self.hidden);
    }

    /// What was announced as the newest session.
    fn remove_announced(&self) {
        let of_session = |name: &String| match ParsedName::parse(name) {
            Ok(ParsedName::SessionOpen { session, .. }) => Some(session),
            _ => None,
        };
        if let Some(session) = self.world.names().iter().filter_map(of_session).max() {
            self.remove_all_of(PointId { session, ..self.hidden });
        }
    }

    fn assert_promises(&self, what: &str) {
        let trees = self.trees.lock().expect("no panic");
        let valid = read::points_with_hidden(&self.world.domain(), None).expect("a list").points;
        for point in &valid {
            let (_, tree) = trees.iter().find(|(id, _)| *id == point.id).expect("a point that somebody made");
            self.world.assert_restores(point.id, tree, what);
        }
        for point in self.reported.lock().expect("no panic").iter() {
            assert!(valid.iter().any(|valid| valid.id == *point), "{what}: {} was reported", point.session);
        }
    }

    fn assert_kept(&self, what: &str) {
        self.assert_promises(what);
        run(&self.world, &at_once());
        run(&self.world, &at_once());
        self.assert_promises(&format!("{what}, and two runs"));
        assert_exact(&self.world, what);
    }
}

/// Before each request of `outer` in turn, `between` happens; false: it had fewer.
fn at_request(k: u64, scene: &Arc<Scene>, between: Vec<Deed>, outer: impl Fn(&Scene, &Keeper)) -> bool {
    let faults = Faults::seeded(k);
    let other = scene.clone();
    let hook: MeanwhileHook = Arc::new(move || between.iter().for_each(|deed| deed(&other)));
    faults.add(Rule::any("", Effect::Meanwhile(hook)).after(k).times(1));
    let upkeep = Arc::new(scene.world.repository.upkeep().expect("the key"));
    let disturbed = Keeper::new(scene.world.faulty_domain(&faults), upkeep).expect("a keeper");
    outer(scene, &disturbed);
    faults.fired() > 0
}

fn prepared() -> (World, Vec<(PointId, Tree)>) {
    let (world, points) = three_points_apart();
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    (world, points)
}

#[test]
fn a_collector_stands_whatever_happens_between_its_requests() {
    let stories: [Story<'_>; 10] = [
        ("a backup", &[], &[Scene::back_up], &[]),
        ("an undelete", &[], &[Scene::undelete], &[]),
        ("an announcement, committed when the run is over", &[], &[Scene::announce], &[Scene::commit]),
        ("a commit", &[Scene::announce], &[Scene::commit], &[]),
        ("nothing, and a commit when the run is over", &[Scene::announce], &[], &[Scene::commit]),
        ("another run", &[], &[Scene::collect], &[]),
        ("another run between announcement and commit", &[Scene::announce], &[Scene::collect], &[Scene::commit]),
        ("a commit and another run", &[Scene::announce], &[Scene::commit, Scene::collect], &[]),
        ("an announcement and another run", &[], &[Scene::announce, Scene::collect], &[Scene::commit]),
        ("a commit whose pin goes", &[Scene::announce, mark_hidden], &[Scene::commit, Scene::clean_hidden], &[]),
    ];
    let (world, points) = prepared();
    // One waits for sessions, the other for nobody.
    for (options, (name, before, between, after)) in
        [without_grace(), at_once()].iter().flat_map(|options| stories.iter().map(move |story| (options, *story)))
    {
        let disturbed = |k: u64| {
            let what = format!("{name} before request {k}, session grace {:?}", options.session_grace);
            let scene = Scene::new(&world, &points);
            before.iter().for_each(|deed| deed(&scene));
            let fired = at_request(k, &scene, between.to_vec(), |_, keeper| {
                if let Err(error) = collect(keeper, options) {
                    assert_eq!(error.class(), ErrorClass::Busy, "{what}: {error}");
                }
            });
            after.iter().for_each(|deed| deed(&scene));
            scene.assert_kept(&what);
            fired
        };
        let requests = (0..REQUESTS_MAX).take_while(|k| disturbed(*k)).count();
        assert!((15..REQUESTS_MAX as usize).contains(&requests), "{name}: {requests} requests");
    }
}

fn mark_hidden(scene: &Scene) {
    keeper(&scene.world).mark(scene.hidden, Mark::Doomed).expect("a mark");
}

#[test]
fn a_session_stands_whatever_collectors_do_between_its_requests() {
    let deeds: [(&str, &[Deed]); 5] = [
        ("a run", &[Scene::collect]),
        ("two runs", &[Scene::collect, Scene::collect]),
        ("two runs that wait for nobody", &[Scene::sweep]),
        ("four of them", &[Scene::sweep, Scene::sweep]),
        ("a run that declares it dead", &[|scene| scene.collect_with(&at_once())]),
    ];
    let (world, points) = prepared();
    for (name, between) in deeds {
        let disturbed = |k: u64| {
            let scene = Scene::new(&world, &points);
            let fired = at_request(k, &scene, between.to_vec(), |scene, keeper| {
                scene.announce_on(keeper.domain());
                scene.commit();
            });
            scene.assert_kept(&format!("{name} before request {k}"));
            fired
        };
        let requests = (0..REQUESTS_MAX).take_while(|k| disturbed(*k)).count();
        assert!((6..REQUESTS_MAX as usize).contains(&requests), "{name}: {requests} requests");
    }
}

#[test]
fn a_pin_that_goes_while_it_is_looked_at_is_dropped() {
    let (world, points) = prepared();
    for k in 0..REQUESTS_MAX {
        let scene = Scene::new(&world, &points);
        mark_hidden(&scene);
        let fired = at_request(k, &scene, vec![Scene::remove_hidden], |scene, keeper| {
            let session = Session::open(keeper.domain(), scene.hidden.volume, vec![scene.hidden], "somebody");
            assert_eq!(session.expect("announced").pins(), [], "before request {k}");
        });
        if !fired {
            assert!(k >= 3, "{k} requests");
            return;
        }
    }
}

#[test]
fn a_session_that_goes_while_it_looks_at_itself_has_failed() {
    let (world, points) = prepared();
    for k in 0..REQUESTS_MAX {
        let scene = Scene::new(&world, &points);
        // Declared dead before its point is put, and cleaned away afterwards: the names are what it can find out from.
        let fired = at_request(k, &scene, vec![Scene::remove_announced], |scene, keeper| {
            let session = Session::open(keeper.domain(), scene.hidden.volume, Vec::new(), "slow").expect("announced");
            let own = PointId { session: session.id(), ..scene.hidden };
            super::keeper(&scene.world).mark(own, Mark::Dead).expect("a mark");
            let content = read_point(keeper.domain(), scene.hidden).expect("a point");
            let error = session.commit(&content).expect_err("it was declared dead");
            assert_eq!(error.class(), ErrorClass::Busy, "before request {k}: {error}");
        });
        if !fired {
            assert!(k >= 5, "{k} requests");
            return;
        }
    }
}
