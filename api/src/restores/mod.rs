//! Restores: two dumps of one snapshot into an empty database, and then what has to follow so that programs may start on it: the
//! chain goes on from where it is, what was erased is erased again, nobody stays logged in, what the indexer wrote is held against
//! the chain, and every key, record and row that decides is opened once. What was lost is told.

pub(crate) mod check;
pub(crate) mod follow;
pub(crate) mod indexer;
pub(crate) mod load;
