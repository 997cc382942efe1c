use tests::protocol::{check::explore, collector::Lists, replica::{Bounds, Replica, RULES}, rules::{Rules, Rule}, set::Set};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = |n: &[u8]| n.iter().copied().collect::<Set>();
    let b = |needs: &[&[u8]], rr: &[u8], cr: &[u8], sd, td, l, p, lists| Bounds { needs: needs.iter().map(|n| s(n)).collect(), committed: if a[1].starts_with("shared") {2} else {1}, replicator_runs: rr.to_vec(), collector_runs: cr.to_vec(), source_dooms: sd, target_dooms: td, lates: l, promotion: p, lists };
    let cfgs: Vec<(&str, Bounds)> = vec![
        ("one", b(&[&[0]], &[2, 0], &[2], 1, 1, 0, false, Lists::AtOnce)),
        ("two", b(&[&[0], &[0, 1]], &[2, 1], &[2], 1, 1, 0, false, Lists::AtOnce)),
        ("two-late", b(&[&[0], &[0, 1]], &[2, 1], &[2], 1, 1, 2, false, Lists::AtOnce)),
        ("two-reps", b(&[&[0], &[0, 1]], &[2, 2], &[1, 1], 2, 1, 0, false, Lists::AtOnce)),
        ("promo", b(&[&[0], &[0, 1]], &[2, 1], &[2], 1, 1, 0, true, Lists::AtOnce)),
        ("stale", b(&[&[0], &[0, 1]], &[2, 1], &[1], 2, 1, 0, false, Lists::AtOnce)),
        ("tomb", b(&[&[0]], &[2, 1], &[2], 1, 1, 2, false, Lists::AtOnce)),
        ("tomb1", b(&[&[0]], &[2, 1], &[2], 1, 1, 1, false, Lists::AtOnce)),
        ("promo1", b(&[&[0]], &[2, 2], &[2], 1, 1, 0, true, Lists::AtOnce)),
        ("shared", b(&[&[0], &[0]], &[2, 1], &[1], 2, 1, 0, false, Lists::AtOnce)),
        ("shared-keys", b(&[&[0], &[0]], &[2, 1], &[1], 2, 1, 0, false, Lists::KeyByKey)),
        ("keys", b(&[&[0], &[0, 1]], &[2, 1], &[2], 1, 1, 0, false, Lists::KeyByKey)),
        ("back", b(&[&[0], &[0, 1]], &[2, 1], &[2], 1, 1, 0, false, Lists::Backwards)),
    ];
    let cap: usize = a[2].parse().unwrap();
    let run = |name: &str, b: &Bounds, r: Rules| {
        let t = std::time::Instant::now();
        let o = explore(Replica::new(b.clone(), r), cap);
        println!("{name}: {} states depth {} exhausted {} {:.1}s {}", o.states, o.depth, o.exhausted, t.elapsed().as_secs_f64(), o.broken.as_ref().map_or("", |b| b.claim));
        if let (Some(b), true) = (&o.broken, a.len() > 3) { for l in &b.trace { println!("    {l}"); } }
    };
    for (n, b) in &cfgs { if *n == a[1] { run(n, b, Rules::ALL);
        if a.len() > 3 && a[3] == "m" { for r in RULES { let _: Rule = r; run(&format!("{n} without {r:?}"), b, Rules::ALL.without(r)); } } } }
}
