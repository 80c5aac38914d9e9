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

/// Begins `meditrustal migrate …`, by the role that owns the tables; answers at its end what it printed.
pub fn migrate(world: &World, arguments: &[&str]) -> impl Future<Output = String> + use<> {
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let arguments: Vec<String> = [&["migrate"][..], arguments]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let migration = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        programs.operate(&arguments, &[("DATABASE_URL", &owner)], "")
    });
    async move {
        let said = migration.await.expect("a command does not panic");
        said.unwrap_or_else(|error| panic!("{error}"))
    }
}
