//! Protocol model: every claim holds within the short bounds, and no rule is there for nothing.

use tests::protocol::{
    configurations::{self, MUTANTS},
    rules::Rules,
};

/// Looks at every state of one configuration.
fn every_claim_holds(name: &str) {
    let configuration = configurations::named(name).expect("the configuration is named here and there");
    let outcome = configuration.run(Rules::ALL);
    if let Some(broken) = outcome.broken {
        panic!("{name}: {} is broken by\n{}", broken.claim, broken.trace.join("\n"));
    }
    assert!(outcome.exhausted, "{name}: {} states were seen, and there are more", outcome.states);
}

/// Each rule that shows in this configuration, left out, breaks the claim that the table names.
fn every_rule_is_needed(name: &str) {
    let configuration = configurations::named(name).expect("the configuration is named here and there");
    let mutants: Vec<_> = MUTANTS.iter().filter(|(_, where_it_shows, _)| *where_it_shows == name).collect();
    assert!(!mutants.is_empty(), "no rule shows in {name}");
    for &&(rule, _, claim) in &mutants {
        let broken = configuration.run(configurations::without(rule)).broken;
        let broken = broken.unwrap_or_else(|| panic!("{name}: no claim breaks without {rule:?}"));
        assert!(broken.claim.starts_with(claim), "{name} without {rule:?}: {} breaks, not {claim}", broken.claim);
    }
}

/// One test per configuration, so that each is run and timed by itself.
macro_rules! short {
    ($($test:ident: $name:literal $(, $needed:ident)?;)*) => {
        $(#[test]
        fn $test() {
            every_claim_holds($name);
            $($needed($name);)?
        })*

        #[test]
        fn no_short_configuration_is_forgotten() {
            let here = [$($name),*];
            for configuration in configurations::all().iter().filter(|configuration| configuration.short) {
                assert!(here.contains(&configuration.name), "{} has no test", configuration.name);
            }
        }
    };
}

short! {
    one_writer_and_two_collectors: "single", every_rule_is_needed;
    one_writer_and_two_runs: "twice", every_rule_is_needed;
    a_pin_is_handed_on_while_a_list_is_read: "handover", every_rule_is_needed;
    requests_may_land_late: "late", every_rule_is_needed;
    two_requests_may_land_late: "late-twice";
    lists_may_be_read_key_by_key: "ascending";
    lists_may_be_read_backwards: "descending";
    lists_and_gets_may_fail: "failing";
    an_undelete_is_a_session_that_pins: "undelete";
    a_long_reader_is_a_session_without_end: "reader";
    evacuation_may_keep_any_part_of_a_pin: "evacuation";
    writers_may_pin_each_other_while_points_are_doomed: "chain", every_rule_is_needed;
    a_point_whose_open_is_lost_keeps_its_packs: "lost-open";
    a_pack_may_be_put_again_after_it_was_deleted: "repair";
    an_aborted_point_may_be_pinned: "aborted", every_rule_is_needed;
    a_point_is_copied: "copy";
    a_target_may_be_promoted_at_any_time: "copy-promoted", every_rule_is_needed;
    copies_may_land_late: "copy-late";
    a_source_grows_while_it_is_copied: "copy-growing", every_rule_is_needed;
    copies_share_packs: "copy-shared", every_rule_is_needed;
    reported_damage_stays_reported: "quarantine", every_rule_is_needed;
    keys_rotate_and_old_ones_are_destroyed: "rotation", every_rule_is_needed;
    keys_of_pins_are_kept: "rotation-pinned";
}

#[test]
fn every_rule_has_its_mutant() {
    let rules: std::collections::BTreeSet<u8> = MUTANTS.iter().map(|&(rule, _, _)| rule as u8).collect();
    let expected: std::collections::BTreeSet<u8> = (0..=tests::protocol::rules::LAST as u8).collect();
    assert_eq!(rules, expected);
}
