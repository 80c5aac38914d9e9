//! The supervisor's promises about one of our programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dev::process::{Echo, Program, Supervised};
use dev::scratch::Scratch;

/// A shell script in the place of a program; nobody listens at its address.
fn script(dir: &Path, text: &str) -> Program {
    Program {
        name: "script".to_owned(),
        executable: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), text.to_owned()],
        environment: vec![("GIVEN".to_owned(), "this alone".to_owned())],
        log: dir.join("script.log"),
        ready_url: "http://127.0.0.1:9/health/ready".to_owned(),
        ready_within: Duration::from_millis(300),
        echo: Echo::Nothing,
    }
}

#[tokio::test]
async fn a_program_that_ends_too_early_is_told_with_the_end_of_its_log() {
    let dir = Scratch::new("program").expect("a directory is made");

    let text = "echo \"no key in $GIVEN, $CARGO_MANIFEST_DIR\" >&2; exit 4";
    let ended = Supervised::start(script(dir.path(), text))
        .await
        .expect_err("it ends")
        .to_string();

    assert!(
        ended.contains("script ended before it was ready (exit status: 4)"),
        "{ended}"
    );
    assert!(
        ended.contains("no key in this alone, \n") || ended.ends_with("no key in this alone, "),
        "{ended}"
    );
}

#[tokio::test]
async fn a_program_that_never_gets_ready_is_stopped() {
    let dir = Scratch::new("program").expect("a directory is made");
    let pid = dir.path().join("pid");

    let text = format!("echo $$ > {}; exec sleep 60", pid.display());
    let late = Supervised::start(script(dir.path(), &text))
        .await
        .expect_err("it is late");

    assert!(
        late.to_string().contains("was not ready within 300ms"),
        "{late}"
    );
    let pid = fs::read_to_string(pid).expect("it ran");
    assert!(
        !Path::new("/proc").join(pid.trim()).exists(),
        "it still runs"
    );
}
