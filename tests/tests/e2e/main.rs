//! Everything that is proven with the real programs, in one binary: it is linked once, and its
//! tests share one cluster.

mod access;
mod accounts;
mod amendments;
mod audit;
mod bulk;
mod commands;
mod database;
mod deep_check;
mod durability;
mod edits;
mod exports;
mod flood;
mod health;
mod indexer;
mod keys;
mod lists;
mod plans;
mod process;
mod records;
mod restores;
mod rotation;
mod search;
mod second_factor;
mod sessions;
mod shares;
mod starts;
mod subscription;
mod summary;
mod throttling;
mod transfer;
mod transport;
mod trouble;
mod verifier;
mod wallets;
mod world;
