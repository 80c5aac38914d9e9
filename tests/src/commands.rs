//! What the commands of our programs come to, each with an environment of its own.

use std::process::Stdio;

use tokio::process::Command;

use crate::World;
use crate::transfer::Ended;

/// Runs one of our programs to its end, with this environment alone.
pub async fn ends(
    world: &World,
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Ended {
    let programs = &world.foundation.programs;
    let executable = match program {
        "meditrustal" => &programs.meditrustal,
        "meditrustal-indexer" => &programs.indexer,
        _ => panic!("{program} is no program of ours"),
    };
    let mut command = Command::new(executable);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    Ended::of(&mut command).await
}

/// The same: its exit code, and all that it said, its result first.
pub async fn says(
    world: &World,
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let ended = ends(world, program, arguments, environment).await;
    (ended.code, ended.said + &ended.complaint)
}
