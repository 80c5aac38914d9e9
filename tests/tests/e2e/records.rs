//! Records: stored, listed, read, verified.
