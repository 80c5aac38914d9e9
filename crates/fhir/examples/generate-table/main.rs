//! Writes `src/r4.table` from the npm package `hl7.fhir.r4.examples`.
//!
//! `cargo run -p fhir --example generate-table -- node_modules/hl7.fhir.r4.examples`

mod generator;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(package) = std::env::args_os().nth(1) else {
        return complain("usage: generate-table <package directory>");
    };
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/r4.table");
    let written = generator::table(Path::new(&package))
        .and_then(|table| std::fs::write(&target, table).map_err(|e| e.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => complain(&why),
    }
}

#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
fn complain(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
