//! Rules: what a merge and a reader keep to, each with a name (docs/format.md, section 7.4).
//!
//! In: the name of a rule. Out: whether it holds. Never: switched off outside a test - [`Rules::default`] keeps all, and the one way to lose a rule exists so
//! that `tests/tree_model.rs` can prove that its model notices the loss of every single one.

/// One rule of folding and merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A Head acts on rows of older runs, never on its own run.
    HeadActsOnlyBelow,
    /// If several Heads stand above a row, all act.
    AllHeadsAct,
    /// `gone` hides every older row of the node.
    GoneHides,
    /// `cut` hides pages of older Block rows, inside a block as well.
    CutHidesExtents,
    /// `cut` hides pages of older Sign rows.
    CutHidesSignatures,
    /// The merge of several Heads has `gone` if any had.
    MergedHeadIsGoneIfAny,
    /// The merge of several Heads has the smallest cut.
    MergedHeadHasSmallestCut,
    /// For each page the newest extent decides.
    NewestExtentDecides,
    /// An older Block row stays visible for the pages that newer ones do not name.
    OlderExtentsShowThrough,
    /// Trimming the front of an extent moves its offset.
    TrimmedFrontMovesOffset,
    /// An extent that is trimmed at the back ends with a whole page.
    TrimmedBackEndsWithAPage,
    /// An extent that keeps its last page keeps where that page's bytes end.
    LastPageKeepsItsBytes,
    /// For each page the newest signature decides.
    NewestSignatureDecides,
    /// An older Sign row stays visible for the pages that newer ones do not name.
    OlderSignaturesShowThrough,
    /// Of other rows the newest decides.
    NewestRowDecides,
    /// A tombstone means absent to a reader.
    TombstoneMeansAbsent,
    /// Heads stay unless the lowest run is in the merge.
    HeadsStayAboveLowest,
    /// Tombstones stay unless the lowest run is in the merge.
    TombstonesStayAboveLowest,
    /// Zero extents stay unless the lowest run is in the merge.
    ZeroExtentsStayAboveLowest,
    /// Zero signatures stay unless the lowest run is in the merge.
    ZeroSignaturesStayAboveLowest,
    /// A merge with the lowest run leaves no Head, tombstone, zero extent or zero signature.
    LowestLeavesNothingHidden,
    /// Reading from the middle of a node asks its Heads first.
    SeekAsksHeads,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 22] = [
        Rule::HeadActsOnlyBelow,
        Rule::AllHeadsAct,
        Rule::GoneHides,
        Rule::CutHidesExtents,
        Rule::CutHidesSignatures,
        Rule::MergedHeadIsGoneIfAny,
        Rule::MergedHeadHasSmallestCut,
        Rule::NewestExtentDecides,
        Rule::OlderExtentsShowThrough,
        Rule::TrimmedFrontMovesOffset,
        Rule::TrimmedBackEndsWithAPage,
        Rule::LastPageKeepsItsBytes,
        Rule::NewestSignatureDecides,
        Rule::OlderSignaturesShowThrough,
        Rule::NewestRowDecides,
        Rule::TombstoneMeansAbsent,
        Rule::HeadsStayAboveLowest,
        Rule::TombstonesStayAboveLowest,
        Rule::ZeroExtentsStayAboveLowest,
        Rule::ZeroSignaturesStayAboveLowest,
        Rule::LowestLeavesNothingHidden,
        Rule::SeekAsksHeads,
    ];
}

/// The rules that hold: all of them, but in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    without: Option<Rule>,
}

impl Rules {
    /// All rules but one: for the proof that tests notice it.
    #[doc(hidden)]
    pub fn without(rule: Rule) -> Rules {
        Rules { without: Some(rule) }
    }

    /// True if a rule holds.
    pub fn hold(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
