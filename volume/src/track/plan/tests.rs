//! What has to hold of the module above: the table of trust.

use super::*;

fn known() -> Known {
    Known {
        wall_ms: 1_000_000_000_000,
        uptime_ms: Some(5_000_000),
        session: Session { boot: "boot-1".to_owned(), superblock: Some(77), mount: Some(9) },
        filesystem: Some(FilesystemIdentity {
            kind: "ext4".to_owned(),
            id: "ab".to_owned(),
            root: "2.1.0".to_owned(),
            bytes: 1 << 30,
        }),
    }
}

/// The record of a run an hour before.
fn recorded() -> Trust {
    let Known { wall_ms, uptime_ms, session, filesystem } = known();
    Trust {
        epoch: 1,
        wall_ms: wall_ms - 3_600_000,
        uptime_ms: uptime_ms.map(|uptime| uptime - 3_600_000),
        session,
        filesystem,
        ..Trust::default()
    }
}

fn filesystem(change: impl Fn(&mut FilesystemIdentity)) -> Known {
    let mut now = known();
    now.filesystem.iter_mut().for_each(change);
    now
}

fn session(change: impl Fn(&mut Session)) -> Known {
    let mut now = known();
    change(&mut now.session);
    now
}

fn clock(wall_ms: i64) -> Known {
    let now = known();
    Known { wall_ms: now.wall_ms + wall_ms, ..now }
}

fn asked(handover: Handover) -> Asked {
    Asked { handover: Some(handover), read_all: false, watching: Watching::Nobody }
}

const NOBODY: Asked = Asked { handover: None, read_all: false, watching: Watching::Nobody };

#[test]
fn the_table_of_trust() {
    use Doubt::*;
    let clean = asked(Handover::Clean);
    let elsewhere =
        || session(|session| *session = Session { boot: "boot-2".into(), superblock: Some(1), mount: None });
    let table: Vec<(&str, Known, Asked, Option<Doubt>)> = vec![
        ("nothing happened", known(), NOBODY, None),
        ("nothing happened, and somebody watched", known(), clean, None),
        (
            "everything is asked for",
            known(),
            Asked { handover: Some(Handover::Clean), read_all: true, watching: Watching::Nobody },
            Some(Requested),
        ),
        ("the node was lost", known(), asked(Handover::Unclean), Some(UncleanHandover)),
        ("nobody knows of the other node", known(), asked(Handover::Unknown), Some(UnknownHandover)),
        (
            "a pod was started anew beside the same superblock",
            session(|session| session.mount = Some(10)),
            NOBODY,
            None,
        ),
        ("mounted anew", session(|session| session.superblock = Some(78)), NOBODY, Some(Remounted)),
        ("mounted anew, and somebody watched", session(|session| session.superblock = Some(78)), clean, None),
        ("no sysfs, the same mount", session(|session| session.superblock = None), NOBODY, None),
        (
            "no sysfs, another mount",
            session(|session| (session.superblock, session.mount) = (None, Some(10))),
            NOBODY,
            Some(Remounted),
        ),
        ("the machine was started anew", session(|session| session.boot = "boot-2".into()), NOBODY, Some(Restarted)),
        (
            "a kernel that does not name its start",
            session(|session| session.boot = String::new()),
            NOBODY,
            Some(Restarted),
        ),
        ("moved to another node in order", elsewhere(), clean, None),
        ("moved to another node, and nobody watched", elsewhere(), NOBODY, Some(Restarted)),
        ("formatted anew", filesystem(|found| found.id = "cd".into()), clean, Some(AnotherFilesystem)),
        ("another kind", filesystem(|found| found.kind = "xfs".into()), clean, Some(AnotherFilesystem)),
        ("another directory", filesystem(|found| found.root = "12.1.0".into()), clean, Some(AnotherFilesystem)),
        ("moved onto tmpfs", Known { filesystem: None, ..known() }, clean, Some(AnotherFilesystem)),
        ("grown", filesystem(|found| found.bytes *= 2), clean, Some(Resized)),
        ("the clock was set forward", clock(10_000), NOBODY, Some(ClockSet(10))),
        ("the clock was set back by an hour", clock(-3_600_000), clean, Some(ClockSet(-3600))),
        ("the clock was steered: 3.6 s in an hour and 2 s", clock(5_599), NOBODY, None),
        ("a little more than that", clock(5_601), NOBODY, Some(ClockSet(5))),
        (
            "the machine slept",
            Known { uptime_ms: known().uptime_ms.map(|uptime| uptime + 1), ..clock(1) },
            NOBODY,
            None,
        ),
        (
            "without an uptime a clock that went forward does not show",
            Known { uptime_ms: None, ..clock(10_000) },
            NOBODY,
            None,
        ),
        (
            "without an uptime a clock that went back does",
            Known { uptime_ms: None, ..clock(-3_605_000) },
            NOBODY,
            Some(ClockSet(-5)),
        ),
        (
            "another node whose clock is behind",
            Known { wall_ms: recorded().wall_ms - 5_000, ..elsewhere() },
            clean,
            Some(ClockSet(-5)),
        ),
    ];
    for (what, now, asked, doubt) in table {
        let plan = plan(Some(&recorded()), &now, &asked, &Pace::default());
        assert_eq!(plan.doubt, doubt, "{what}");
        let belief = match doubt {
            None => Belief::Stamps,
            Some(AnotherFilesystem) => Belief::Names,
            Some(_) => Belief::Handles,
        };
        assert_eq!(plan.read.belief, belief, "{what}");
        assert_eq!(plan.read.full_pass.is_some(), doubt.is_some(), "{what}");
        for watching in [Watching::Nobody, Watching::Unbroken, Watching::Broken] {
            let heard = super::plan(Some(&recorded()), &now, &Asked { watching, ..asked }, &Pace::default());
            assert_eq!(heard, plan, "events take nothing away: {what}");
        }
    }
}

#[test]
fn without_a_record_nothing_is_believed() {
    assert_eq!(plan(None, &known(), &NOBODY, &Pace::default()).doubt, Some(Doubt::NoRecord));
}

#[test]
fn what_the_run_before_left_is_done_first() {
    let pending = Trust { doubt: Some("a file changed without a sign".into()), ..recorded() };
    let plan = plan(Some(&pending), &known(), &asked(Handover::Clean), &Pace::default());
    assert_eq!(plan.read.full_pass.as_deref(), Some("a file changed without a sign"));
}

#[test]
fn where_nothing_is_ever_settled_there_is_nothing_to_doubt() {
    let tmpfs = Known { filesystem: None, ..session(|session| session.boot = "boot-2".into()) };
    let before = Trust { filesystem: None, ..recorded() };
    assert_eq!(plan(Some(&before), &tmpfs, &NOBODY, &Pace::default()).doubt, None);
}

#[test]
fn after_a_clock_was_set_forward_stamps_are_judged_by_the_old_one() {
    let planned = |now: Known| plan(Some(&recorded()), &now, &NOBODY, &Pace::default()).settle_earlier_seconds;
    assert_eq!(planned(clock(100_000)), 100);
    assert_eq!(planned(clock(-100_000)), 0);
}
