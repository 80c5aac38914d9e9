//! Who may see what, and what the others are told.
