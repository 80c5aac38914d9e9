//! One run in each clone: who holds it, and how another command finds and stops it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dev::scratch::Scratch;
use dev::stack::{Run, RunFile};

#[test]
fn a_second_run_is_told_who_has_the_clone_and_the_first_can_be_found() {
    let clone = Scratch::new("run").expect("a directory is made");
    assert!(Run::find(clone.path()).is_none());
    let first = Run::begin(clone.path()).expect("nobody else runs");
    assert!(Run::find(clone.path()).is_none(), "it has told nothing yet");
    let told = RunFile {
        process: std::process::id(),
        api_url: "http://127.0.0.1:8000".to_owned(),
        chain_rpc_url: "http://127.0.0.1:8545".to_owned(),
        superuser_url: "postgres://secret".to_owned(),
        programs: "target/debug".into(),
        deployment: ".dev/deployment.json".into(),
        people: Vec::new(),
    };
    first.tell(&told).expect("the file is written");

    let refused = Run::begin(clone.path())
        .expect_err("the clone is taken")
        .to_string();

    assert!(
        refused.contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    let found = Run::find(clone.path()).expect("the run is found");
    assert_eq!(found.api_url, told.api_url);
    let file = std::fs::metadata(clone.path().join(".dev/run.json")).expect("the file is there");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    drop(first);
    assert!(Run::find(clone.path()).is_none());
    assert_eq!(
        Run::stop(clone.path(), Duration::ZERO).expect("nothing to stop"),
        None
    );
    Run::begin(clone.path()).expect("the clone is free again");
}
