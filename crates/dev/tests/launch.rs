//! `cargo dev` is the same wherever in the clone it is called.

use std::process::Command;

use dev::{config, repository};

#[test]
fn cargo_dev_works_in_every_directory_of_the_clone() {
    let root = repository::root().expect("the tests run inside a clone");

    for place in [".", "docs", "crates/store/src", "tests/tests/e2e"] {
        let output = Command::new(config::cargo())
            .args(["dev", "--version"])
            .current_dir(root.join(place))
            .output()
            .expect("cargo starts");

        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in {place}: {complaint}");
        assert!(said.starts_with("cargo dev "), "in {place}: {said}");
        // What compiles is shown: a first start is not silent for minutes.
        assert!(complaint.contains("Running"), "in {place}: {complaint}");
    }
}
