//! Weather: what goes wrong in a simulation, and how often.
//!
//! In: dice. Out: for each kind of trouble whether this seed has it and how likely it is, and the fate of one request. Never: touches the store.

use repository::generated::Dice;
use repository::store::Operation;

/// Chances are counted in so many.
const CHANCES: u64 = 10_000;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and answered.
    Done,
    /// It is not done, and fails.
    Failed,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The answer is lost, and it is done later. Puts and deletes only.
    Late,
    /// It is done and answered, and done once more later. Puts and deletes only.
    Twice,
    /// One bit of the bytes is flipped: for good on a put, in this answer on a get.
    BitFlipped,
    /// The answer breaks off in the middle. Gets and lists only.
    BrokenOff,
    /// Whoever asked dies, and it was not done.
    DeathBefore,
    /// Whoever asked dies, and it was done.
    DeathAfter,
    /// Whoever asked dies, and it is done later. Puts and deletes only.
    DeathAndLate,
}

impl Fate {
    /// For a trace and a tally.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fate::Done => "request done",
            Fate::Failed => "request failed",
            Fate::AnswerLost => "answer lost",
            Fate::Late => "request late",
            Fate::Twice => "request twice",
            Fate::BitFlipped => "bit flipped",
            Fate::BrokenOff => "answer broken off",
            Fate::DeathBefore => "death before",
            Fate::DeathAfter => "death after",
            Fate::DeathAndLate => "death and late",
        }
    }
}

/// How likely each kind of trouble is with one request, in ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    failed: u64,
    answer_lost: u64,
    late: u64,
    twice: u64,
    flipped_on_put: u64,
    flipped_on_get: u64,
    broken_off: u64,
    death: u64,
    /// A prefix of names is not served for a while.
    pub(crate) storm: u64,
    /// Whoever asks is held up for a long time.
    pub(crate) pause: u64,
    /// Hours or days pass for everybody.
    pub(crate) time_jump: u64,
    /// A clock is set anew.
    pub(crate) clock_set: u64,
}

impl Weather {
    /// Each kind of trouble is there in half of the seeds, and the more often in each, the less of the others there is.
    pub(crate) fn of(dice: &mut Dice) -> Weather {
        let mut chance = |most: u64| if dice.one_in(2) { 1 + dice.below(most) } else { 0 };
        let weather = Weather {
            failed: chance(200),
            answer_lost: chance(200),
            late: chance(200),
            twice: chance(200),
            flipped_on_put: 0,
            flipped_on_get: chance(40),
            broken_off: chance(100),
            death: chance(150),
            storm: chance(40),
            pause: chance(100),
            time_jump: chance(40),
            clock_set: chance(40),
        };
        // What is damaged for good changes what can be promised: rarely, so that most seeds may promise everything.
        let flipped_on_put = if dice.one_in(5) { 1 + dice.below(100) } else { 0 };
        if dice.one_in(20) { Weather::default() } else { Weather { flipped_on_put, ..weather } }
    }

    /// The fate of one request.
    pub(crate) fn fate(&self, dice: &mut Dice, operation: Operation) -> Fate {
        let drawn = dice.below(CHANCES);
        let mut before = 0;
        // Each kind of trouble has its own stretch of the numbers.
        let mut is = |chance: u64| {
            let hit = (before..before + chance).contains(&drawn);
            before += chance;
            hit
        };
        let changes = matches!(operation, Operation::Put | Operation::Delete);
        let answers = matches!(operation, Operation::Get | Operation::List);
        match () {
            () if is(self.failed) => Fate::Failed,
            () if is(self.answer_lost) => Fate::AnswerLost,
            () if is(self.late) && changes => Fate::Late,
            () if is(self.twice) && changes => Fate::Twice,
            () if is(self.broken_off) && answers => Fate::BrokenOff,
            () if is(self.flipped_on_put) && operation == Operation::Put => Fate::BitFlipped,
            () if is(self.flipped_on_get) && operation == Operation::Get => Fate::BitFlipped,
            () if is(self.death) => match dice.below(if changes { 3 } else { 2 }) {
                0 => Fate::DeathBefore,
                1 => Fate::DeathAfter,
                _ => Fate::DeathAndLate,
            },
            () => Fate::Done,
        }
    }

    /// True with this chance.
    pub(crate) fn strikes(dice: &mut Dice, chance: u64) -> bool {
        dice.below(CHANCES) < chance
    }
}
