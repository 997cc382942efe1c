//! Slots: which points the rules of a policy keep.
//!
//! In: points that may fill slots. Out: pairs of a point and a reason. Never: lets a point of a worse class take a slot from one of a better class.

use std::cmp::Reverse;

use jiff::Zoned;

use super::{Class, Filler, KeepCount, KeepReason, Policy, Rule};

/// The hour, day, week, month or year of a time, told apart from all others.
type Bucket = (i16, i8, i8, i8, i32);
type BucketOf = fn(&Zoned) -> Bucket;

/// What stays, and why. Once for each class, as if worse ones were not there: so what a worse one adds is only added.
pub(super) fn kept(policy: &Policy, fillers: &[Filler]) -> Vec<(usize, KeepReason)> {
    let mut kept = Vec::new();
    for class in [Class::Good, Class::Late, Class::Partial] {
        let mut in_order: Vec<Filler> = fillers.iter().filter(|filler| filler.class <= class).copied().collect();
        in_order.sort_by_key(|filler| Reverse(filler.rank));
        newest(class, &in_order, &mut kept);
        last(policy.last, &in_order, &mut kept);
        let mut by_time = in_order;
        by_time.sort_by_key(|filler| Reverse((filler.time_ms, filler.rank)));
        let times: Vec<Zoned> = by_time.iter().map(|filler| policy.zoned(filler.time_ms)).collect();
        for (rule, count, bucket) in calendar(policy) {
            let buckets: Vec<Bucket> = times.iter().map(bucket).collect();
            fill(rule, count, &by_time, &buckets, &mut kept);
        }
        within(policy, &by_time, &mut kept);
    }
    kept
}

fn newest(class: Class, in_order: &[Filler], kept: &mut Vec<(usize, KeepReason)>) {
    let Some(newest) = in_order.first() else { return };
    let reason = if class == Class::Partial { KeepReason::Newest } else { KeepReason::NewestGood };
    kept.push((newest.index, reason));
    if let Some(verified) = in_order.iter().find(|filler| filler.verified && filler.class <= Class::Late) {
        kept.push((verified.index, KeepReason::NewestVerified));
    }
}

fn last(count: KeepCount, in_order: &[Filler], kept: &mut Vec<(usize, KeepReason)>) {
    let slots = in_order.iter().enumerate().take_while(|(taken, _)| count.has_room(*taken));
    kept.extend(slots.map(|(taken, filler)| (filler.index, KeepReason::Slot { rule: Rule::Last, slot: taken + 1 })));
}

/// The rules with buckets: how many, and which bucket a time is in.
fn calendar(policy: &Policy) -> [(Rule, KeepCount, BucketOf); 5] {
    [
        // The hour that a clock repeats in autumn is two hours.
        (Rule::Hourly, policy.hourly, |at| (at.year(), at.month(), at.day(), at.hour(), at.offset().seconds())),
        (Rule::Daily, policy.daily, |at| (at.year(), at.month(), at.day(), 0, 0)),
        (Rule::Weekly, policy.weekly, |at| {
            let week = at.date().iso_week_date();
            (week.year(), week.week(), 0, 0, 0)
        }),
        (Rule::Monthly, policy.monthly, |at| (at.year(), at.month(), 0, 0, 0)),
        (Rule::Yearly, policy.yearly, |at| (at.year(), 0, 0, 0, 0)),
    ]
}

/// From the newest bucket on, one point of each: of the best class, and of these the newest.
fn fill(rule: Rule, count: KeepCount, by_time: &[Filler], buckets: &[Bucket], kept: &mut Vec<(usize, KeepReason)>) {
    let mut taken = 0;
    let mut begin = 0;
    while begin < by_time.len() && count.has_room(taken) {
        let end = begin + buckets[begin..].iter().take_while(|bucket| **bucket == buckets[begin]).count();
        taken += 1;
        // Of equals, the first, which is the newest.
        if let Some(best) = by_time[begin..end].iter().min_by_key(|filler| filler.class) {
            kept.push((best.index, KeepReason::Slot { rule, slot: taken }));
        }
        begin = end;
    }
    if let Some(oldest) = by_time.last().filter(|_| count.has_room(taken)) {
        kept.push((oldest.index, KeepReason::Oldest { rule }));
    }
}

fn within(policy: &Policy, by_time: &[Filler], kept: &mut Vec<(usize, KeepReason)>) {
    let Some(begin) = by_time.first().and_then(|newest| policy.within_begins(newest.time_ms)) else { return };
    let near = by_time.iter().take_while(|filler| filler.time_ms >= begin);
    kept.extend(near.map(|filler| (filler.index, KeepReason::Within)));
}
