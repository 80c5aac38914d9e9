//! Restores: two dumps of one snapshot into an empty database, and then what has to follow so that programs may start on it: the
//! chain goes on from where it is, what was erased is erased again, and nobody stays logged in. What was lost is told.

pub(crate) mod check;
pub(crate) mod follow;
pub(crate) mod load;
