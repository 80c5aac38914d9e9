//! What is known before the events are read, and what is to be changed after.

use std::collections::{HashMap, HashSet};

use chain::ChainAddress;
use domain::records::DataHash;
use store::{
    closings::ClosingConfirmation,
    reconciliation::{Confirmation, LockedAnchor},
};

use super::suspicion::SuspectedFinding;

/// What is known here of the hashes that the events speak of.
#[derive(Debug, Default)]
pub(crate) struct KnownHashes {
    /// The anchors, by hash.
    pub(crate) anchors: HashMap<DataHash, LockedAnchor>,
    /// Hashes without an anchor that some record has all the same: the sweep reports those.
    pub(crate) unanchored: HashSet<DataHash>,
    /// The accounts that anchor for us.
    pub(crate) registrars: HashSet<ChainAddress>,
}

/// What is to be changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// In the order of the chain.
    pub(crate) confirmed: Vec<Confirmed>,
    /// What was closed as we wanted, in the order of the chain.
    pub(crate) closed: Vec<ClosedRecord>,
    /// What does not fit together.
    pub(crate) suspicions: Vec<SuspectedFinding>,
}

/// A record that is closed now, as its end here asked for.
#[derive(Debug)]
pub(crate) struct ClosedRecord {
    /// Its anchor.
    pub(crate) anchor: LockedAnchor,
    /// Where it was closed.
    pub(crate) confirmation: ClosingConfirmation,
}

/// An anchor that is in a block now.
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// How it stood before.
    pub(crate) anchor: LockedAnchor,
    /// Where it is.
    pub(crate) confirmation: Confirmation,
}

impl Confirmed {
    /// Whether another transaction than the one we last knew was mined.
    pub(crate) fn replaced(&self) -> bool {
        self.anchor.tx_hash != self.confirmation.tx_hash
    }
}
