//! What holds whatever the programs do: the arrows between the crates, the database's shape and its
//! privileges, and that what is generated is what it is generated from.

mod arrows;
mod catalogue;
mod migrations;
mod privileges;
mod specification;
