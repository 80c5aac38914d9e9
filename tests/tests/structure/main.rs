//! What holds whatever the programs do: the arrows between the crates, the database's shape and its
//! privileges, who may ask for what, and that what is generated is what it is generated from.

mod arrows;
mod authorization;
mod catalogue;
mod contracts;
mod migrations;
mod playground;
mod privileges;
mod schema;
mod settings;
mod specification;
mod threats;
