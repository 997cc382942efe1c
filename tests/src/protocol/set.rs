//! Set: a few small numbers in one byte.
//!
//! In: numbers below eight (sessions, packs). Out: their union, difference and order. Never: allocates; a state of the model is copied millions of times.

use std::{
    fmt,
    ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Sub, SubAssign},
};

/// A set of numbers from 0 to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Set(u8);

impl Set {
    /// Nothing.
    pub const EMPTY: Set = Set(0);
    /// Everything.
    pub const ALL: Set = Set(u8::MAX);

    /// Only `number`.
    pub const fn of(number: u8) -> Set {
        Set(1 << number)
    }

    /// All numbers below `end`.
    pub const fn below(end: u8) -> Set {
        Set(((1u16 << end) - 1) as u8)
    }

    /// All numbers from `start` on.
    pub const fn from(start: u8) -> Set {
        if start > 7 { Set::EMPTY } else { Set(u8::MAX << start) }
    }

    /// Whether it holds `number`.
    pub const fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `self` is in `other`.
    pub const fn within(self, other: Set) -> bool {
        self.0 & !other.0 == 0
    }

    /// The lowest number.
    pub fn first(self) -> Option<u8> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as u8)
    }

    /// 0 to 2 and 3 to 5 change places.
    pub const fn exchanged(self) -> Set {
        Set((self.0 & 0b111) << 3 | self.0 >> 3 & 0b111 | self.0 & 0b1100_0000)
    }

    /// The numbers, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |&number| self.has(number))
    }

    /// All sets that are within this one.
    pub fn subsets(self) -> impl Iterator<Item = Set> {
        let mut next = Some(self.0);
        std::iter::from_fn(move || {
            let now = next?;
            next = (now != 0).then(|| (now - 1) & self.0);
            Some(Set(now))
        })
    }
}

impl BitOr for Set {
    type Output = Set;
    fn bitor(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }
}

impl BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Set) {
        self.0 |= other.0;
    }
}

impl BitAnd for Set {
    type Output = Set;
    fn bitand(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }
}

impl BitAndAssign for Set {
    fn bitand_assign(&mut self, other: Set) {
        self.0 &= other.0;
    }
}

impl Sub for Set {
    type Output = Set;
    fn sub(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }
}

impl SubAssign for Set {
    fn sub_assign(&mut self, other: Set) {
        self.0 &= !other.0;
    }
}

impl FromIterator<u8> for Set {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Set {
        numbers.into_iter().fold(Set::EMPTY, |set, number| set | Set::of(number))
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, number) in self.iter().enumerate() {
            write!(f, "{}{number}", if position == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}
