//! Store: what one repository's bucket holds, as far as the protocol cares.
//!
//! In: puts and deletes of one object each. Out: what is there, what is valid, what is complete. Never: knows who does it or why.
//!
//! A session and its restore point share a number; number 0 is the point that exists from the start. A late request is a put whose first
//! attempt was given up or repeated: it lands at any later time, also after the object was deleted.

use super::set::Set;

/// The most sessions of a model.
pub const SESSIONS: usize = 5;

/// The objects of one repository.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Store {
    /// Sessions with an `.open`.
    pub open: Set,
    /// Sessions with a `.point`.
    pub point: Set,
    /// Packs.
    pub packs: Set,
    /// Sessions with an `abort` mark.
    pub abort: Set,
    /// Sessions with a `dead` mark.
    pub dead: Set,
    /// Points with a `doomed` mark.
    pub doomed: Set,
    /// What each `.open` says: the points it may refer to.
    pub pins: [Set; SESSIONS],
    /// What each `.point` says: the packs it needs.
    pub needs: [Set; SESSIONS],
    /// Collector runs that are announced.
    pub collectors: Set,
    /// Collector runs that were declared dead.
    pub dead_collectors: Set,
    /// Only at a target: packs that were seen here and afterwards not at the source.
    pub gone_packs: Set,
    /// Only at a target: points that were seen here and afterwards not at the source.
    pub gone_points: Set,
    /// Only at a target: it has become a repository of its own.
    pub promoted: bool,
    /// Puts that will land at any time.
    pub late: Late,
    /// What the environment may still do.
    pub left: Left,
    /// Not in the store: points that retention has ever doomed.
    pub ever_doomed: Set,
}

/// Requests in flight whose sender no longer waits for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs, reason = "the fields are the objects of the store")]
pub struct Late {
    pub open: Set,
    pub point: Set,
    pub packs: Set,
    pub abort: Set,
    pub dead: Set,
    pub doomed: Set,
}

/// What the environment may still do before the model ends: this bounds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Left {
    /// Points that retention may doom.
    pub dooms: u8,
    /// Requests that may be late.
    pub lates: u8,
    /// `.open`s that may be lost to damage.
    pub losses: u8,
    /// Packs that a repair may put again with their identical bytes, even after they were deleted.
    pub repairs: u8,
}

/// A kind of object that a late request may put.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the variants are the objects of the store")]
pub enum Kind {
    Open,
    Point,
    Pack,
    Abort,
    Dead,
    Doomed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [Kind::Open, Kind::Point, Kind::Pack, Kind::Abort, Kind::Dead, Kind::Doomed];
}

impl Late {
    /// The requests of one kind.
    pub fn of(&mut self, kind: Kind) -> &mut Set {
        match kind {
            Kind::Open => &mut self.open,
            Kind::Point => &mut self.point,
            Kind::Pack => &mut self.packs,
            Kind::Abort => &mut self.abort,
            Kind::Dead => &mut self.dead,
            Kind::Doomed => &mut self.doomed,
        }
    }
}

impl Store {
    /// The objects of one kind.
    pub fn objects(&mut self, kind: Kind) -> &mut Set {
        match kind {
            Kind::Open => &mut self.open,
            Kind::Point => &mut self.point,
            Kind::Pack => &mut self.packs,
            Kind::Abort => &mut self.abort,
            Kind::Dead => &mut self.dead,
            Kind::Doomed => &mut self.doomed,
        }
    }

    /// Puts one object.
    pub fn put(&mut self, kind: Kind, number: u8) {
        *self.objects(kind) |= Set::of(number);
    }

    /// Deletes one object.
    pub fn delete(&mut self, kind: Kind, number: u8) {
        *self.objects(kind) -= Set::of(number);
    }

    /// The same store with another attempt of this put in flight, while the model allows one.
    pub fn with_late(mut self, kind: Kind, number: u8) -> Option<Store> {
        self.left.lates = self.left.lates.checked_sub(1)?;
        *self.late.of(kind) |= Set::of(number);
        Some(self)
    }

    /// Every store in which one late request has landed.
    pub fn landings(self) -> impl Iterator<Item = (Kind, u8, Store)> {
        Kind::ALL.into_iter().flat_map(move |kind| {
            let waiting = *{ self }.late.of(kind);
            waiting.iter().map(move |number| {
                let mut landed = self;
                *landed.late.of(kind) -= Set::of(number);
                landed.put(kind, number);
                (kind, number, landed)
            })
        })
    }

    /// All late requests have landed.
    pub fn settled(mut self) -> Store {
        for kind in Kind::ALL {
            let waiting = std::mem::take(self.late.of(kind));
            *self.objects(kind) |= waiting;
        }
        self
    }

    /// What is valid to a reader.
    pub fn valid(&self) -> Set {
        (self.point & self.open) - self.dead - self.doomed
    }

    /// Whether all packs of a point are there.
    pub fn complete(&self, point: u8) -> bool {
        self.needs[point as usize].within(self.packs)
    }

    /// The packs that these points need.
    pub fn needs_of(&self, points: Set) -> Set {
        points.iter().fold(Set::EMPTY, |needs, point| needs | self.needs[point as usize])
    }
}
