//! Migrations are compiled in: a new one must rebuild this crate.

fn main() {
    #[expect(
        clippy::print_stdout,
        reason = "this is how a build script speaks to cargo"
    )]
    {
        println!("cargo:rerun-if-changed=../../migrations");
    }
}
