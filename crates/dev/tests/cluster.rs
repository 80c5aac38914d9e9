//! The launcher's promises: it starts, stops, and heals what a killed run left.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dev::postgres::{Cluster, Options};
use dev::process::Signal;
use dev::scratch::Scratch;
use dev::{Error, repository};
use sqlx::{Connection, PgConnection};

fn throw_away() -> Cluster {
    let root = repository::root().expect("the tests run inside a clone");
    Cluster::start(Options::throw_away(&root)).expect("a cluster starts")
}

async fn connect(cluster: &Cluster) -> PgConnection {
    let url = cluster.superuser_url("postgres");
    PgConnection::connect(&url)
        .await
        .expect("the cluster answers")
}

#[tokio::test]
async fn a_throw_away_cluster_answers_and_leaves_nothing() {
    let cluster = throw_away();
    let home = cluster
        .data()
        .parent()
        .expect("the data is in a directory")
        .to_owned();

    connect(&cluster)
        .await
        .ping()
        .await
        .expect("a statement runs");
    drop(cluster);

    assert!(!home.exists(), "{} is still there", home.display());
}

#[tokio::test]
async fn a_killed_server_is_started_again_on_the_same_data_and_port() {
    let mut cluster = throw_away();
    let port = cluster.port();
    let mut admin = connect(&cluster).await;
    sqlx::raw_sql("CREATE ROLE kept")
        .execute(&mut admin)
        .await
        .expect("a role is made");

    cluster.server().signal(Signal::KILL);
    assert!(cluster.server().wait(Duration::from_secs(10)).is_some());
    cluster.restart().expect("the cluster starts again");

    assert_eq!(cluster.port(), port);
    let mut admin = connect(&cluster).await;
    sqlx::raw_sql("SET ROLE kept")
        .execute(&mut admin)
        .await
        .expect("the role is still there");
}

#[tokio::test]
async fn a_pid_file_of_garbage_or_of_another_process_does_not_stop_a_start() {
    let mut cluster = throw_away();
    let pid_file = cluster.data().join("postmaster.pid");
    let living = std::process::id();

    for left in [
        String::new(),
        "garbage\n".to_owned(),
        format!("{living}\n/nowhere\n"),
    ] {
        cluster.stop();
        fs::write(&pid_file, left).expect("the pid file can be written");
        cluster.restart().expect("the cluster starts again");
    }

    connect(&cluster)
        .await
        .ping()
        .await
        .expect("a statement runs");
}

#[tokio::test]
async fn two_clusters_run_side_by_side() {
    let (one, other) = (throw_away(), throw_away());

    assert_ne!(one.port(), other.port());
    connect(&one).await.ping().await.expect("the first answers");
    connect(&other)
        .await
        .ping()
        .await
        .expect("the second answers");
}

/// Not a test: the launcher that the tests below kill. It ends when its input does.
#[test]
#[ignore = "another process of the tests below; alone it proves nothing"]
fn launcher() {
    let root = std::env::current_dir().expect("a working directory");
    if root.join("launcher").exists() {
        let cluster = Cluster::start(Options::persistent(&root)).expect("a cluster starts");
        fs::write(root.join("launcher"), cluster.superuser_url("postgres")).expect("it is told");
        std::io::stdin()
            .read_to_end(&mut Vec::new())
            .expect("the input ends");
    }
}

/// A directory that looks enough like a clone to have a cluster of its own.
fn clone() -> Scratch {
    let scratch = Scratch::new("clone").expect("a directory is made");
    let modules = repository::root()
        .expect("the tests run inside a clone")
        .join("node_modules");
    symlink(modules, scratch.path().join("node_modules")).expect("a link is made");
    fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("it is opened");
    scratch
}

/// Starts another process that runs the cluster of `root`, and waits until it answers.
fn launch(root: &Path) -> Child {
    fs::write(root.join("launcher"), "").expect("a file is written");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "launcher", "--ignored", "--nocapture"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test starts itself");
    while fs::read(root.join("launcher"))
        .expect("the file is there")
        .is_empty()
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[tokio::test]
async fn a_persistent_cluster_keeps_its_data_when_its_launcher_is_killed() {
    let clone = clone();
    let mut launcher = launch(clone.path());
    let url = fs::read_to_string(clone.path().join("launcher")).expect("the url is told");
    let mut admin = PgConnection::connect(&url)
        .await
        .expect("the cluster answers");
    sqlx::raw_sql("CREATE ROLE kept")
        .execute(&mut admin)
        .await
        .expect("a role is made");

    launcher.kill().expect("the launcher is killed");
    launcher.wait().expect("the launcher ends");
    let cluster = Cluster::start(Options::persistent(clone.path())).expect("a cluster starts");

    let mut admin = connect(&cluster).await;
    sqlx::raw_sql("SET ROLE kept")
        .execute(&mut admin)
        .await
        .expect("the role is still there");
    let log = fs::File::open(cluster.log()).expect("the log is there");
    let lines: Vec<_> = BufReader::new(log).lines().map_while(Result::ok).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("database system was shut down at")),
        "the tie did not stop the server: {lines:#?}"
    );
}

#[test]
fn a_second_launcher_on_the_same_data_is_told_who_has_it() {
    let clone = clone();
    let mut launcher = launch(clone.path());

    let refused = Cluster::start(Options::persistent(clone.path())).expect_err("it is in use");

    let Error::InUse { pid, .. } = refused else {
        unreachable!("{refused}")
    };
    assert_eq!(pid, launcher.id().to_string());
    drop(launcher.stdin.take());
    launcher.wait().expect("the launcher ends");
}
