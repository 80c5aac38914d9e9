//! README.md's chunks, run as they stand.

use std::fs;
use std::process::Stdio;

use tests::{World, documents};

/// The chunks of a language, in their order.
fn chunks(manual: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let chunks = manual.split(&fence).skip(1);
    chunks
        .filter_map(|rest| rest.split("\n```").next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn what_the_readme_has_for_a_terminal_runs_as_it_stands() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.finalizes().await;
    let root = dev::repository::root().expect("the tests run inside a clone");
    let manual = fs::read_to_string(root.join("README.md")).expect("there is one");
    // In a directory of its own, with what is there in a clone.
    let place = world.files().join("clone");
    fs::create_dir_all(&place).expect("made");
    std::os::unix::fs::symlink(root.join("crates"), place.join("crates")).expect("linked");
    let programs = world.foundation.programs.directory();
    let path = std::env::var("PATH").unwrap_or_default();
    let chunks = chunks(&manual, "sh");
    let chunks: Vec<_> = chunks
        .iter()
        .filter(|chunk| chunk.contains("$API"))
        .collect();
    assert!(
        chunks.len() >= 2,
        "the README has chunks that speak to the api"
    );

    for chunk in chunks {
        // `cargo dev as ana` prints these; it needs a stack of its own.
        let chunk: String = chunk
            .lines()
            .filter(|line| !line.starts_with("eval "))
            .flat_map(|line| [line, "\n"])
            .collect();
        let output = tokio::process::Command::new("bash")
            .args(["-e", "-u", "-o", "pipefail", "-c", &chunk])
            .current_dir(&place)
            .env("API", world.api.url())
            .env("CHAIN", world.foundation.chain_rpc_url())
            .env("DEPLOYMENT", world.foundation.dir().join("deployment.json"))
            .env("PERSON", &ana.id)
            .env("TOKEN", ana.client.token().expect("logged in"))
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::null())
            .output()
            .await
            .expect("bash starts");

        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{chunk}\n{said}");
        assert!(!said.contains("REFUSED"), "{chunk}\n{said}");
    }
    assert!(place.join("record.json").is_file() && place.join("ana.ndjson").is_file());
}

/// Each request of the README, held against the schema by GraphQL's own reference library.
#[test]
fn the_requests_of_the_readme_fit_the_schema() {
    const CHECK: &str = "
        import { readFileSync } from 'node:fs';
        import { buildSchema, parse, validate } from 'graphql';
        const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
        const chunks = readFileSync('README.md', 'utf8').split('```graphql\\n').slice(1);
        if (chunks.length < 2) throw new Error('there are no requests');
        for (const chunk of chunks) {
            const text = chunk.split('```')[0];
            const wrong = validate(schema, parse(text));
            if (wrong.length) throw new Error(`${text}: ${wrong.join('; ')}`);
        }";
    let root = dev::repository::root().expect("the tests run inside a clone");
    dev::tools::Tools::ensure(&root, dev::tools::Scope::Test).expect("the tools are there");

    let output = std::process::Command::new("node")
        .args(["--input-type=module", "--eval", CHECK])
        .current_dir(root)
        .output()
        .expect("node starts");

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
