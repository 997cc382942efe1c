//! Sequence: one plan, carried out.
//!
//! In: a place and a plan. Out: nothing, or how a restore differs from what was there, and all that was done until then. Never: leaves anything open, mapped, or on the
//! volume.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use repository::point::Outcome;
use repository::write::BackupReport;
use tests::folder::{Folder, SmallDisk};
use volume::track::scrub::Pace;
use volume::{Handover, SourceOptions};

use super::Tally;
use super::plan::{Moment, Plan, Step};
use crate::mounted::{Kind, Volume, text};
use crate::program::{Dialog, run};
use crate::protected::Protected;

/// Where live writers have their files.
const LIVE: &str = "live";
/// More than any sequence has, holes of sparse files not counted.
const RESTORED_BYTES: u64 = 256 << 20;
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/writers/driver.py");

/// What many sequences share: a volume, another mount of it, a place to restore to, and the program that changes things.
pub(crate) struct Place {
    driver: Dialog,
    kind: Kind,
    bind: Folder,
    restored: SmallDisk,
    volume: Volume,
}

impl Place {
    pub(crate) fn new(volume: Volume) -> Place {
        let bind = Folder::new("bind");
        run("mount", &["--bind", text(&volume.root()), text(bind.path())]);
        let driver = Dialog::with(Command::new("python3").args(["-B", DRIVER]));
        let restored = SmallDisk::mount(RESTORED_BYTES).expect("who can mount the one can mount the other");
        Place { driver, kind: volume.kind, bind, restored, volume }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        run("umount", &["-l", text(self.bind.path())]);
    }
}

/// One sequence on its way.
pub(crate) struct Sequence<'a> {
    place: &'a mut Place,
    tally: &'a mut Tally,
    seed: u64,
    folder: PathBuf,
    done: Vec<String>,
}

impl<'a> Sequence<'a> {
    pub(crate) fn begin(place: &'a mut Place, tally: &'a mut Tally, seed: u64) -> Sequence<'a> {
        let (name, folder) = (seed.to_string(), place.volume.at(&seed.to_string()));
        fs::create_dir_all(folder.join("in").join(LIVE)).expect("a folder");
        let bind = place.bind.path().join(name);
        place.driver.order(&format!("begin {} {}", text(&folder), text(&bind))).expect("a beginning");
        Sequence { place, tally, seed, folder, done: Vec::new() }
    }

    /// What is backed up.
    fn root(&self) -> PathBuf {
        self.folder.join("in")
    }

    pub(crate) fn run(mut self, plan: &Plan) {
        for (number, kind) in plan.live.iter().enumerate() {
            let file = self.root().join(LIVE).join(format!("{number}-{kind}"));
            self.must(&format!("live {kind} {} {number}", text(&file)));
        }
        self.must("resume");
        let protected = Protected::ahead(plan.ahead_seconds);
        let mut is_first = true;
        for step in &plan.steps {
            match step {
                Step::Change(order) => self.change(order),
                Step::BackUp(moment) => {
                    self.back_up(&protected, moment, is_first);
                    is_first = false;
                }
            }
        }
        self.must("pause");
        self.must("end");
        fs::remove_dir_all(&self.folder).expect("the folder goes");
    }

    /// An order that can always be carried out.
    fn must(&mut self, order: &str) -> Vec<String> {
        match self.place.driver.order(order) {
            Ok(answer) => answer,
            Err(why) => self.fail(&format!("{order}: {why}")),
        }
    }

    fn change(&mut self, order: &str) {
        let answer = self.place.driver.order(order);
        self.note(order, &answer);
    }

    fn note(&mut self, order: &str, answer: &Result<Vec<String>, String>) {
        let of = self.tally.operations.entry(order.split(' ').next().unwrap_or_default().to_owned()).or_default();
        match answer {
            Ok(_) => {
                of.0 += 1;
                self.done.push(order.to_owned());
            }
            Err(why) => {
                of.1 += 1;
                self.done.push(format!("{order}   # {why}"));
            }
        }
    }

    fn back_up(&mut self, protected: &Protected, moment: &Moment, is_first: bool) {
        let report = match moment {
            Moment::Quiet => {
                self.must("pause");
                let report = self.attempt(protected, &[], "a quiet backup");
                self.claim(report.outcome == Outcome::Complete, &format!("missed: {:?}", report.not_captured));
                let target = self.restore(protected, &report);
                self.same(&target, |_| true);
                self.must("resume");
                self.tally.quiet += 1;
                report
            }
            Moment::Live => {
                let before = self.words(&self.root());
                let report = self.attempt(protected, &[], "a backup with live writers");
                let after = self.words(&self.root());
                let is_live = |path: &str| path.strip_prefix(LIVE).is_some_and(|rest| rest.starts_with('/'));
                let others = report.not_captured.iter().find(|missed| !is_live(&missed.path));
                self.claim(others.is_none(), &format!("{others:?} was missed"));
                let target = self.restore(protected, &report);
                self.same(&target, |line| !is_live(line));
                self.between(&target, [&before, &after], &report);
                self.tally.live += 1;
                report
            }
            Moment::Storm(orders) => {
                let before = self.words(&self.root());
                let report = self.attempt(protected, orders, "a backup in a storm");
                let after = self.words(&self.root());
                let target = self.restore(protected, &report);
                self.between(&target, [&before, &after], &report);
                self.tally.storms += 1;
                report
            }
        };
        self.tally.missed += report.missed;
        self.healed_nothing(&report, is_first);
    }

    /// A backup, while orders are given.
    fn attempt(&mut self, protected: &Protected, orders: &[String], what: &str) -> BackupReport {
        self.done.push(format!("# {what}"));
        let (root, driver) = (self.root(), &mut self.place.driver);
        let options = SourceOptions { pace: Pace { round_ms: None }, ..protected.asked(Some(Handover::Clean)) };
        let (report, answers) = std::thread::scope(|scope| {
            let storm = scope.spawn(|| orders.iter().map(|order| driver.order(order)).collect::<Vec<_>>());
            (protected.try_back_up(&root, &options), storm.join().expect("the storm ends"))
        });
        orders.iter().zip(&answers).for_each(|(order, answer)| self.note(order, answer));
        match report {
            Ok(report) => {
                let outcome = (report.outcome == Outcome::Complete) == (report.missed == 0);
                self.claim(outcome, &format!("{:?} with {} missed", report.outcome, report.missed));
                report
            }
            Err(error) => self.fail(&format!("no backup: {error}")),
        }
    }

    /// Without this a missed change would be found by other means than those that are tested.
    fn healed_nothing(&self, report: &BackupReport, is_first: bool) {
        let proof = &report.proof;
        self.claim(proof.silent_changes == 0, &format!("changed silently: {:?}", proof.silently_changed));
        self.claim(is_first || proof.full_pass.is_none(), &format!("everything was read: {:?}", proof.full_pass));
    }

    /// Restores; what was restored before goes.
    fn restore(&mut self, protected: &Protected, report: &BackupReport) -> PathBuf {
        let target = self.place.restored.path().join("in");
        if target.exists() {
            fs::remove_dir_all(&target).expect("the last restore goes");
        }
        fs::create_dir(&target).expect("a folder");
        match protected.restore(report, &target, false) {
            Ok(restored) if restored.failed_count == 0 => target,
            other => self.fail(&format!("the restore: {other:?}")),
        }
    }

    /// What was restored is what is there, as far as it counts.
    fn same(&mut self, target: &Path, counts: impl Fn(&str) -> bool) {
        let (expected, found) = (self.census(&self.root()), self.census(target));
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| counts(line) && !those.contains(line)).cloned().collect()
        };
        let (missing, extra) = (only(&expected, &found), only(&found, &expected));
        if !missing.is_empty() || !extra.is_empty() {
            self.fail(&format!("there was\n{}\nand the restore has\n{}", missing.join("\n"), extra.join("\n")));
        }
    }

    fn census(&mut self, root: &Path) -> Vec<String> {
        self.must(&format!("census {}", text(root)))
    }

    /// The numbers in the files of live writers.
    fn words(&mut self, root: &Path) -> Vec<String> {
        self.must(&format!("words {}", text(&root.join(LIVE))))
    }

    /// Pages of live files only count up: what was captured is not older than the beginning of the backup and not newer than its end. A file may be missing if that was
    /// said.
    fn between(&mut self, target: &Path, [before, after]: [&[String]; 2], report: &BackupReport) {
        let captured = self.words(target);
        for (before, after) in before.iter().zip(after) {
            let name = before.split(' ').next().unwrap_or_default();
            let Some(found) = captured.iter().find(|line| line.split(' ').next() == Some(name)) else {
                let is_said = report.not_captured.iter().any(|missed| missed.path == format!("{LIVE}/{name}"));
                self.claim(is_said, &format!("{name} is not there, and nobody says so"));
                continue;
            };
            let numbers = |line: &str| -> Vec<u64> {
                line.split(' ').skip(1).map(|word| word.parse().expect("a number")).collect()
            };
            let (before, found, after) = (numbers(before), numbers(found), numbers(after));
            let is_between = found.len() == before.len()
                && (0..found.len()).all(|at| before[at] <= found[at] && found[at] <= after[at]);
            self.claim(is_between, &format!("{name}: {before:?}, captured {found:?}, {after:?}"));
        }
    }

    fn claim(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    fn fail(&self, what: &str) -> ! {
        let (kind, seed) = (self.place.kind, self.seed);
        panic!(
            "{kind:?}, HOLDFAST_SEED={seed}: {what}\nThe same operations: HOLDFAST_SEED={seed} HOLDFAST_SEEDS=1\n{}",
            self.done.join("\n")
        );
    }
}
