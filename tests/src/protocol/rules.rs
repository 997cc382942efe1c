//! Rules: what makes the protocol safe, one by one, so that each can be left out.
//!
//! In: a rule's name. Out: whether it is followed. Never: more than the rules; what happens without one is up to whoever follows it.

/// A rule of the protocol. `docs/protocol.md` has the argument for each under the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Rule {
    /// W1: an `.open` is sent once; without acknowledgement the session id is thrown away.
    OpenSentOnce,
    /// W2: after the acknowledgement of its `.open` a session looks at its pins.
    LookAtPins,
    /// W2: the look sees the pin's marks.
    LookAtPinMarks,
    /// W2: the look sees the pin's `.open`.
    LookAtPinOpen,
    /// W2: marks are looked at before `.open`.
    PinMarksBeforeOpen,
    /// W3: a pack is put, and acknowledged, before a point refers to it.
    PacksBeforePoint,
    /// W5: a writer looks at its own marks after its `.point`.
    LookAtOwnMarks,
    /// W5: `abort` counts there, not `dead` alone.
    OwnAbortCounts,
    /// W5: a writer looks at its own `.open`.
    LookAtOwnOpen,
    /// W5: marks are looked at before `.open`.
    OwnMarksBeforeOpen,
    /// C0: a run announces itself before it lists anything.
    CollectorAnnounces,
    /// C0: as long as another run is announced and not dead, names stay.
    CollectorsKeepNames,
    /// C0: before it deletes anything a run looks whether it was declared dead.
    CollectorLooksAtOwn,
    /// C1: points with marks are listed before sessions.
    MarksListedFirst,
    /// C2: `doomed` is put before sessions are listed.
    DoomBeforeSessions,
    /// C2: roots are read before sessions are listed.
    RootsBeforeSessions,
    /// C4: sessions are listed after packs.
    SessionsAfterPacks,
    /// C5: what running sessions pin is live.
    PinsAreLive,
    /// C5: a running session's own packs are live.
    OwnPacksAreLive,
    /// C5: a session's own `.point` is looked for.
    LookForOwnPoint,
    /// C5: and that after the points that it pins were read.
    PinsBeforeOwnPoint,
    /// C5: the session's `.open` is looked for again, last.
    OpenLookedForAgain,
    /// C5: an `.open` that is gone ends the run; the session is not merely skipped.
    GoneOpenEndsRun,
    /// C7: what a running session pins stays.
    PinnedNamesStay,
    /// C7: `.open` goes before `.point`.
    OpenGoesBeforePoint,
    /// C7: marks go last.
    MarksGoLast,
    /// C7: the `.open` of a valid point stays.
    OpenOfPointStays,
    /// C8: `abort` is put before the look that leads to `dead`.
    AbortBeforeDead,
    /// C8: after `abort` the session's `.point` is looked for.
    LookBeforeDead,
    /// C8: `dead` counts from the next run on.
    DeadCountsNextRun,
    /// R1: a copied `.point` is put, and acknowledged, before the source is looked at.
    PointAnnouncesCopy,
    /// R2: the point's marks and `.open` are looked at in the source after its `.point` stands in the target.
    LookAtSource,
    /// R2: marks are looked at before `.open`.
    SourceMarksBeforeOpen,
    /// R4: `.open` is copied last.
    OpenCopiedLast,
    /// R5: the target's marks are looked at before a copy is reported.
    LookAtTargetMarks,
    /// R2: a target that was promoted is not copied to any more; looked at after the `.point` was put.
    LookForPromotion,
    /// T1: the target's collector deletes only packs that are recorded gone.
    OnlyGonePacksGo,
    /// T2: the target's collector dooms only points that are recorded gone.
    OnlyGonePointsDoomed,
    /// T0: the target is listed before the source when what is gone is recorded.
    TargetListedBeforeSource,
    /// T0: what is gone, and whether the target was promoted, is known before points and marks are listed.
    GoneReadFirst,
    /// T3: `doomed` marks stay in a target.
    TombstonesStay,
    /// Q1: each report of damage has a name of its own.
    ReportNamesFresh,
    /// Q2: a repair lists the reports before it puts the pack again, and deletes only those.
    ReportsListedBeforeRepair,
    /// K1: after the acknowledgement of its `.open` a session looks whether a newer epoch is there, or its key gone.
    LookAtKeys,
    /// K2: who destroys keys lists them before points and sessions.
    KeysListedFirst,
    /// K3: a key of the newest epoch is never destroyed.
    OnlyOlderEpochsGo,
    /// K4: keys with which anything is sealed that a `.point` needs are kept, whether it is valid or not.
    PointKeysCount,
    /// K4: the key of a running session is kept.
    SessionKeysCount,
}

/// The last of them.
pub const LAST: Rule = Rule::SessionKeysCount;

/// The rules that are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules(u64);

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules(u64::MAX);

    /// All but one more.
    pub const fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u8))
    }

    /// Whether a rule is followed.
    pub const fn keep(self, rule: Rule) -> bool {
        self.0 >> rule as u8 & 1 == 1
    }
}
