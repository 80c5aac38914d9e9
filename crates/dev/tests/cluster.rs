//! The launcher's promises: it starts, stops, and heals what a killed run left.

use std::fs;
use std::time::Duration;

use dev::postgres::{Cluster, Options};
use dev::process::Signal;
use dev::repository;
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
