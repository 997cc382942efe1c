//! Delta: what changed from one snapshot to another.
//!
//! In: two snapshots. Out: changes, one per volume that differs. Never: depends on the order in which changes are applied, or minds when one is applied twice.

use std::collections::BTreeSet;

use serde::Serialize;

use super::problem::Problem;
use super::snapshot::{Snapshot, Volume, VolumeKey};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", content = "to", rename_all = "snake_case")]
pub enum Change {
    /// A volume that was not there.
    Appeared(Volume),
    /// A volume that is there otherwise: mounted again, unmounted, in another pod.
    Changed(Volume),
    /// A volume that is not there any more.
    Gone(VolumeKey),
    /// What is wrong now, all of it.
    Problems(BTreeSet<Problem>),
}

/// What makes `new` of `old`.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let gone = old.volumes.keys().filter(|key| !new.volumes.contains_key(*key)).cloned().map(Change::Gone);
    let here = new.volumes.iter().filter_map(|(key, volume)| match old.volumes.get(key) {
        None => Some(Change::Appeared(volume.clone())),
        Some(known) if known != volume => Some(Change::Changed(volume.clone())),
        Some(_) => None,
    });
    let problems = (old.problems != new.problems).then(|| Change::Problems(new.problems.clone()));
    gone.chain(here).chain(problems).collect()
}

/// Applies a change to a snapshot.
pub fn apply(snapshot: &mut Snapshot, change: Change) {
    match change {
        Change::Appeared(volume) | Change::Changed(volume) => drop(snapshot.volumes.insert(volume.key.clone(), volume)),
        Change::Gone(key) => drop(snapshot.volumes.remove(&key)),
        Change::Problems(problems) => snapshot.problems = problems,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::discovery::layout::{NameIs, Taking};
    use crate::discovery::listing::Kind;
    use crate::discovery::snapshot::{Place, State};
    use crate::discovery::{Identity, PodUid};

    fn volume(handle: u8, look: u8) -> Volume {
        let identity = Identity::Csi { driver: "d".into(), handle: handle.to_string() };
        let state = [State::Unmounted, State::Directory, State::Unknown][usize::from(look % 3)].clone();
        let place = Place { pod_uid: Some(PodUid("u".into())), name: "pv".into(), path: "/k".into(), state };
        Volume {
            key: VolumeKey { identity, kind: Kind::Filesystem },
            plugin: "kubernetes.io~csi".into(),
            name_is: NameIs::PersistentVolume,
            csi: None,
            taking: Taking::Taken,
            problem: None,
            places: vec![place],
        }
    }

    fn snapshots() -> impl Strategy<Value = Snapshot> {
        let volumes = proptest::collection::btree_map(0_u8..6, 0_u8..3, 0..6);
        let problems = proptest::collection::btree_set(0_u8..3, 0..3);
        (volumes, problems).prop_map(|(volumes, problems)| Snapshot {
            volumes: volumes
                .into_iter()
                .map(|(handle, look)| volume(handle, look))
                .map(|v| (v.key.clone(), v))
                .collect(),
            problems: problems
                .into_iter()
                .map(|number| Problem::StrangeName { path: PathBuf::from(number.to_string()) })
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn a_diff_makes_new_of_old_in_any_order_and_any_number_of_times(
            old in snapshots(), new in snapshots(), order in Just((0..16).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let changes = diff(&old, &new);
            let mut shuffled: Vec<Change> = order.iter().filter_map(|at| changes.get(*at).cloned()).collect();
            prop_assert_eq!(shuffled.len(), changes.len());
            shuffled.extend(changes);
            let mut made = old;
            shuffled.into_iter().for_each(|change| apply(&mut made, change));
            prop_assert_eq!(made, new);
        }

        #[test]
        fn nothing_changes_between_equal_snapshots(snapshot in snapshots()) {
            prop_assert!(diff(&snapshot, &snapshot).is_empty());
        }
    }
}
