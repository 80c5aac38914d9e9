//! To be written by the indexer's author.
