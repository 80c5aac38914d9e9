//! Accounts: registering, logging in, roles.
