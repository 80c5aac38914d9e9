//! A chain of our own: anvil, and the registry deployed on it.

mod node;
mod registry;
mod roles;
mod rpc;

pub use node::{Mining, Node, NodeState, Options};
pub use registry::{CHECKPOINT_KEY, Deployment, REGISTRAR_KEY, deploy_registry, run_deploy_script};
pub use roles::{SECOND_REGISTRAR, SECOND_REGISTRAR_KEY, let_second_registrar_anchor};
pub use rpc::{quantity, rpc};
