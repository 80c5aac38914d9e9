//! The registry on a development chain.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::rpc::{quantity, rpc};
use crate::tools::{Tools, exclusive};
use crate::{Error, Result, config, secret};

/// How long forge may take to compile, which it does on a new clone alone: a minute or two.
const COMPILED_WITHIN: Duration = Duration::from_mins(10);
/// How long forge may take to deploy what is compiled: it takes two to six seconds.
const DEPLOYED_WITHIN: Duration = Duration::from_secs(30);
/// How often a deployment is tried before it is said that forge does not end.
const TRIES: u32 = 4;
const SCRIPT: &str = "contracts/script/Deploy.s.sol";
/// anvil's account 0, known to everybody: deploys and administers. For development chains only.
const DEPLOYER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// anvil's account 1, known to everybody: the registrar. For development chains only.
pub const REGISTRAR_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// anvil's account 9, known to everybody: pins checkpoints of the audit trail. For development chains only.
pub const CHECKPOINT_KEY: &str =
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";
const CHECKPOINT: &str = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const REGISTRAR: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// What the deployment file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The chain's id.
    pub chain_id: u64,
    /// The registry's address, in EIP-55 spelling.
    pub registry: String,
    /// The first block that may hold the registry's events.
    pub block: u64,
    /// The Keccak-256 of the registry's code.
    pub code_hash: String,
    /// Who may anchor records.
    pub registrar: String,
    /// The registry of consents, where one was deployed.
    #[serde(default)]
    pub consent_registry: Option<String>,
}

/// Deploys the registry, with one of consents if wanted, unless `file` says where it is and the chain agrees.
///
/// # Errors
///
/// When the node does not answer, or when forge fails: with what it said.
pub async fn deploy_registry(
    tools: &Tools,
    rpc_url: &str,
    file: &Path,
    consents: bool,
) -> Result<Deployment> {
    if let Some(deployment) = read(file)
        && stands(rpc_url, &deployment).await?
    {
        return Ok(deployment);
    }
    let (tools, url, target) = (tools.clone(), rpc_url.to_owned(), file.to_owned());
    let deployed =
        tokio::task::spawn_blocking(move || deploy(&tools, &url, &target, consents)).await;
    deployed.map_err(|error| Error::Needs(format!("the deployment was cut off: {error}")))??;
    read(file).ok_or_else(|| {
        Error::Needs(format!(
            "forge left no deployment that can be read in {}",
            file.display()
        ))
    })
}

fn read(file: &Path) -> Option<Deployment> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Whether the chain is the file's, with the file's code at the file's address.
async fn stands(url: &str, deployment: &Deployment) -> Result<bool> {
    let chain_id = rpc(url, "eth_chainId", json!([])).await?;
    let code = rpc(url, "eth_getCode", json!([deployment.registry, "latest"])).await?;
    if quantity(&chain_id) != Some(deployment.chain_id) || code.as_str() == Some("0x") {
        return Ok(false);
    }
    let hash = rpc(url, "web3_sha3", json!([code])).await?;
    Ok(hash
        .as_str()
        .is_some_and(|hash| hash.eq_ignore_ascii_case(&deployment.code_hash)))
}

fn deploy(tools: &Tools, url: &str, file: &Path, consents: bool) -> Result<()> {
    let environment = [
        ("DEVELOPMENT", "true"),
        ("REGISTRAR_ADDRESS", REGISTRAR),
        ("CHECKPOINT_ADDRESS", CHECKPOINT),
        // As many as the registry allows: benchmarks and tests amend by the hundred.
        ("ENDING_LIMIT", "2047"),
        (
            "DEPLOY_CONSENT_REGISTRY",
            if consents { "true" } else { "false" },
        ),
    ];
    run_deploy_script(
        tools,
        url,
        file,
        &["--private-key", DEPLOYER_KEY],
        &environment,
    )
    .map(drop)
}

/// Runs `Deploy.s.sol` with more of forge's arguments, such as who sends, and with this environment alone; one run at a
/// time, because forge keeps one cache for each clone. Blocks. Leaves the deployment in `file`, and answers what was
/// printed.
///
/// # Errors
///
/// When forge fails: with what it said.
pub fn run_deploy_script(
    tools: &Tools,
    url: &str,
    file: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<String> {
    let root = tools.root();
    let _lock = exclusive(root, "deploy", "another run is deploying: waiting")?;
    // The script may write inside the clone only.
    let written = root
        .join(".dev")
        .join(format!("deployment-{}.json", &secret::fresh()?[..16]));
    let forge = || -> Result<Command> {
        let mut forge = Command::new(tools.forge()?);
        forge
            .env_clear()
            .envs(config::passed_on())
            .current_dir(root);
        Ok(forge)
    };
    let mut build = forge()?;
    build.args(["build", SCRIPT]);
    success(run_within(&mut build, COMPILED_WITHIN, 1)?)?;
    let mut script = forge()?;
    script
        .args(["script", SCRIPT, "--broadcast", "--non-interactive"])
        // One transaction after the other: several at once arrive in any order, and anvil never mines one that it put aside
        // for another, if that was mined while it did.
        .arg("--slow")
        .args(["--rpc-url", url])
        .args(arguments)
        .env("DEPLOYMENT_FILE", &written)
        .envs(environment.iter().copied());
    let output = success(run_within(&mut script, DEPLOYED_WITHIN, TRIES)?);
    let output = output.inspect_err(|_| drop(fs::remove_file(&written)))?;
    fs::copy(&written, file)
        .and_then(|_| fs::remove_file(&written))
        .map_err(Error::file("could not move the deployment to", file))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What forge said, if it ended well.
fn success(output: Output) -> Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Failed {
        program: format!("forge with {SCRIPT}"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// What forge says and how it ends; it is killed and started again when it takes longer than this, so many times.
fn run_within(command: &mut Command, time: Duration, tries: u32) -> Result<Output> {
    let mut run = run_once(command, time)?;
    for _ in 1..tries {
        if !run.killed {
            break;
        }
        run = run_once(command, time)?;
    }
    let ForgeRun { output, killed } = run;
    if !killed {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Needs(format!(
        "forge did not end within {} s, {tries} times; the last time it said:\n{}",
        time.as_secs(),
        String::from_utf8_lossy(&said).trim()
    )))
}

/// One run of forge.
struct ForgeRun {
    output: Output,
    killed: bool,
}

/// Runs forge, and kills it when it takes longer than this.
fn run_once(command: &mut Command, time: Duration) -> Result<ForgeRun> {
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(Error::spawn("forge"))?;
    let said = child.stdout.take().map(all_of);
    let complained = child.stderr.take().map(all_of);
    let until = Instant::now() + time;
    let (status, killed) = loop {
        if let Some(status) = child.try_wait().map_err(Error::spawn("forge"))? {
            break (status, false);
        }
        if Instant::now() > until {
            let killed = child.kill().and_then(|()| child.wait());
            break (killed.map_err(Error::spawn("forge"))?, true);
        }
        thread::sleep(Duration::from_millis(20));
    };
    let text = |reader: Option<JoinHandle<Vec<u8>>>| {
        let read = reader.and_then(|it| it.join().ok());
        read.unwrap_or_default()
    };
    let output = Output {
        status,
        stdout: text(said),
        stderr: text(complained),
    };
    Ok(ForgeRun { output, killed })
}

fn all_of(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).ok();
        all
    })
}
