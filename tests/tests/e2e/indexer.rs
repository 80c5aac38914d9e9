//! What the indexer makes of the chain.
