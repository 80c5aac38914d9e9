//! A script that node runs, and what it says, line by line.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// It runs; dropped, it is killed.
pub(crate) struct Script {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<String>,
}

impl Script {
    /// Starts the script of this path inside the repository.
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg(path)
            .args(arguments)
            .current_dir(dev::repository::root().expect("the tests run inside a clone"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let output = child.stdout.take().expect("it is piped");
        Self {
            input: child.stdin.take().expect("it is piped"),
            lines: BufReader::new(output).lines(),
            heard: Vec::new(),
            child,
        }
    }

    /// The next line that it says; `None` where it says no more.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let line = self.lines.next_line().await.ok().flatten()?;
        self.heard.push(line.clone());
        Some(line)
    }

    /// Hands it a line.
    pub(crate) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        let told = self.input.write_all(line.as_bytes()).await;
        told.expect("it listens");
    }

    /// Everything that it said, once it has ended, which must be well.
    pub(crate) async fn ends_well(self) -> Vec<String> {
        let Self {
            child,
            input,
            heard,
            ..
        } = self;
        drop(input);
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let ended = ended.expect("it ends when it has said all");
        let ended = ended.expect("it is ours");
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{heard:#?}\n{complaint}");
        heard
    }
}
