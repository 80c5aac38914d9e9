//! A chain that was made up, and a node that knows nothing else: what the indexer asks of it is answered from memory, so that the
//! node is no part of what is measured.

mod chain;
mod node;

pub(crate) use chain::{Hash, Layout, RecordedChain, shown};
pub(crate) use node::{RecordedNode, THREADS};
