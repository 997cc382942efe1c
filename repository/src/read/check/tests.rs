//! What a collector does while a check is under way is not damage.

use super::*;
use crate::layout::Mark;
use crate::read::tests::World;
use crate::tree::PackId;

#[test]
fn what_was_removed_while_it_was_looked_at_is_neither_reported_nor_quarantined() {
    let world = World::known();
    let (gone, stays) = (world.backup(), world.backup_as("other"));
    let (domain, options) = (world.domain(), CheckOptions::default());
    let pack = |seq: u32, points: &[PointId]| DamagedPack {
        pack: PackId { session: gone.session, seq },
        summary: crate::pack::PackSummary::default(),
        points: points.to_vec(),
    };
    let mut findings = Findings::default();
    findings.add("one", "it is missing", [gone]);
    findings.add("other", "it is missing", [gone, stays]);
    let of_point = |point: PointId| Affected { point, volume: "v".into(), paths: vec![".".into()], paths_count: 1 };
    let mut affected = vec![of_point(gone), of_point(stays)];
    let mut packs = vec![pack(0, &[gone]), pack(1, &[gone, stays])];
    world.mark(gone, Mark::Doomed);
    keep_valid(&domain, &options, (&mut findings, &mut affected, &mut packs)).unwrap();
    assert_eq!(packs, [pack(1, &[stays])]);
    assert_eq!(affected, [of_point(stays)]);
    let (damaged, _) = findings.into_lists();
    assert_eq!(damaged.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn a_point_whose_announcement_went_while_the_lists_were_made_is_a_collectors() {
    let world = World::known();
    let point = world.backup();
    let (domain, options) = (world.domain(), CheckOptions::default());
    let mut findings = Findings::default();
    let mut survey = Survey::of(&domain, &options, &mut findings).unwrap();
    // The marks came after the list of marks, the announcement went before the list of sessions.
    world.mark(point, Mark::Doomed);
    survey.add_unannounced(&domain, point, &mut findings).unwrap();
    assert_eq!((survey.unannounced.len(), findings.is_empty()), (0, true));
}
