//! What is written down about whom.
