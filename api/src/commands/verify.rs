//! `meditrustal verify`: a document against the chain, and nothing else. It reads no key, asks no
//! database and no api, and believes no more than what one node answers.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use chain::{
    Block, ChainAddress, Client, ClientError, Deployment, Evidence, InvalidUrl, NoEvidence,
    OnChainStatus, ProvenAnchor,
};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use domain::{integrity::ClosingReason, records::DataHash};
use serde_json::{Value, json};
use vault::digest;

use super::output::{Failure, fail, say};
use crate::config::chain_url;

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest file that is read. Unit: bytes. A stored document is little longer than 1 MiB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Settings of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  the registry holds exactly this document, and it stands or was superseded
  1  it does not: changed, never anchored, revoked, erased; with --current also superseded;
     with --by also anchored by somebody else
  2  nobody can tell: the node is away, on another chain, contradicts itself, or the file cannot be read")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct VerifyDocument {
    /// The document: exactly the bytes of `canonical`; - for standard input
    file: PathBuf,

    /// Where a node of the chain answers JSON-RPC; yours, if you trust no other
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url)]
    rpc: String,

    /// The registry's address; its code is then not compared with anything
    #[arg(long, required_unless_present = "deployment")]
    registry: Option<ChainAddress>,

    /// A deployment file: the chain and the code of the registry must be the ones it names, and so must
    /// --registry, if it is given, too
    #[arg(long)]
    deployment: Option<PathBuf>,

    /// A node of somebody else, which must have the same block: so a node that makes up a chain is noticed
    #[arg(long, value_parser = chain_url)]
    witness: Option<String>,

    /// Accept no answer that the node does not prove by the hash of its block
    #[arg(long)]
    proven: bool,

    /// Read every event since the deployment and hold them against the registry's head: none may be missing
    #[arg(long, requires = "deployment")]
    complete: bool,

    /// Accept only the version that stands: a superseded one exits 1
    #[arg(long)]
    current: bool,

    /// Accept only what this account anchored
    #[arg(long)]
    by: Option<ChainAddress>,

    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DocumentVerdict {
    Verified,
    NotAnchored,
    Superseded,
    Revoked,
    Erased,
    ForeignRegistrar,
    Unknown,
}

impl DocumentVerdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::NotAnchored => "NOT_ANCHORED",
            Self::Superseded => "SUPERSEDED",
            Self::Revoked => "REVOKED",
            Self::Erased => "ERASED",
            Self::ForeignRegistrar => "FOREIGN_REGISTRAR",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn exit(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Verified => 0,
            Self::NotAnchored
            | Self::Superseded
            | Self::Revoked
            | Self::Erased
            | Self::ForeignRegistrar => 1,
            Self::Unknown => 2,
        })
    }
}

/// What was found out.
struct DocumentFinding {
    verdict: DocumentVerdict,
    hash: DataHash,
    deployment: Deployment,
    /// Whether chain and code were compared with a deployment file.
    compared: bool,
    /// Whether another node has the block, too.
    witnessed: bool,
    evidence: Evidence,
    /// Why a file that is not anchored may be none.
    hint: Option<String>,
}

impl VerifyDocument {
    /// Verifies; the exit code says what it comes to.
    ///
    /// # Errors
    /// Where nobody reads what is printed.
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.find().await {
            Ok(finding) => {
                if self.json {
                    say(&finding.as_json().to_string())?;
                } else {
                    say(&finding.in_words())?;
                }
                Ok(finding.verdict.exit())
            }
            Err(error) => {
                if self.json {
                    let output = json!({ "verdict": DocumentVerdict::Unknown.as_str(), "reason": error.to_string() });
                    say(&output.to_string())?;
                } else {
                    fail(error.as_ref());
                }
                Ok(DocumentVerdict::Unknown.exit())
            }
        }
    }

    async fn find(&self) -> Result<DocumentFinding, Failure> {
        let bytes = read(&self.file)?;
        let hash = digest::of_document(&bytes);
        let client = self.client().await?;
        let evidence = match self.evidence(&client, &hash).await {
            // A block may have been undone between two questions.
            Err(Unproven::Evidence(NoEvidence::Contradiction { .. })) => {
                self.evidence(&client, &hash).await?
            }
            answer => answer?,
        };
        let verdict = self.judge(evidence.anchor.as_ref());
        let hint = match verdict {
            DocumentVerdict::NotAnchored => hint(&client, &bytes).await?,
            _ => None,
        };
        Ok(DocumentFinding {
            verdict,
            hash,
            deployment: client.deployment().clone(),
            compared: self.deployment.is_some(),
            witnessed: self.witness.is_some(),
            evidence,
            hint,
        })
    }

    /// What the node shows, and proves where that is asked for, after a block that the witness has as well.
    async fn evidence(&self, client: &Client, hash: &DataHash) -> Result<Evidence, Unproven> {
        let read_at = self.block(client).await?;
        let mut evidence = client.evidence_of(hash, read_at).await?;
        if (self.proven || self.complete) && evidence.proven.is_none() {
            return Err(Unproven::NoProof);
        }
        if let (true, Some(registry)) = (self.complete, &evidence.proven) {
            evidence.events = Some(client.all_events(&evidence.read_at, registry).await?);
        }
        Ok(evidence)
    }

    /// The newest block of both nodes.
    async fn block(&self, client: &Client) -> Result<Block, Unproven> {
        let newest = client.head().await.map_err(NoEvidence::from)?;
        let Some(url) = &self.witness else {
            return Ok(newest);
        };
        let witness = Client::new(url, NODE_TIMEOUT, client.deployment())?;
        let theirs = witness.head().await.map_err(Unproven::Witness)?;
        let number = newest.number.min(theirs.number);
        let ours = client.block_by_number(number).await;
        let ours = ours.map_err(NoEvidence::from)?.unwrap_or(newest);
        let theirs = witness.block_by_number(number).await;
        match theirs.map_err(Unproven::Witness)? {
            Some(theirs) if theirs.hash == ours.hash => Ok(ours),
            _ => Err(Unproven::OtherBlock { number }),
        }
    }

    /// The registry's client: the right one, where a deployment file says which.
    async fn client(&self) -> Result<Client, Failure> {
        if let Some(file) = &self.deployment {
            let deployment = Deployment::load(file)?;
            if let Some(registry) = self.registry
                && registry != deployment.registry
            {
                return Err(format!(
                    "--registry is {registry}, and --deployment names {}: leave one of them out",
                    deployment.registry
                )
                .into());
            }
            let client = Client::new(&self.rpc, NODE_TIMEOUT, &deployment)?;
            client.check().await?;
            return Ok(client);
        }
        let registry = self.registry.ok_or("name a --registry or a --deployment")?;
        Ok(Client::of_contract_at(&self.rpc, NODE_TIMEOUT, registry).await?)
    }

    fn judge(&self, anchor: Option<&ProvenAnchor>) -> DocumentVerdict {
        let Some(anchor) = anchor else {
            return DocumentVerdict::NotAnchored;
        };
        match anchor.status {
            OnChainStatus::Revoked => DocumentVerdict::Revoked,
            OnChainStatus::Erased => DocumentVerdict::Erased,
            _ if self.by.is_some_and(|by| by != anchor.registrar) => {
                DocumentVerdict::ForeignRegistrar
            }
            OnChainStatus::Superseded if self.current => DocumentVerdict::Superseded,
            OnChainStatus::Active | OnChainStatus::Superseded => DocumentVerdict::Verified,
        }
    }
}

/// Why what a node says is not enough.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    /// It gave no answer, or contradicts itself.
    #[error(transparent)]
    Evidence(#[from] NoEvidence),
    /// The witness cannot be asked.
    #[error(transparent)]
    WitnessUrl(#[from] InvalidUrl),
    /// The witness gave no answer.
    #[error("the witness gave no answer: {0}")]
    Witness(#[source] ClientError),
    /// The two nodes are on different chains.
    #[error(
        "the node and the witness have different blocks {number}: one of them is wrong, or the block is very new; ask again"
    )]
    OtherBlock { number: u64 },
    /// A proof was asked for.
    #[error(
        "the node gives no proofs (eth_getProof): ask another, or leave out --proven and --complete"
    )]
    NoProof,
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let source: Box<dyn io::Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(
            std::fs::File::open(file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?,
        )
    };
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len())? > MAX_FILE_BYTES {
        return Err(format!("{} is too long for a document", file.display()).into());
    }
    Ok(bytes)
}

/// What may be wrong with a file that is not anchored: it may be the right document in another spelling.
async fn hint(client: &Client, bytes: &[u8]) -> Result<Option<String>, Failure> {
    let limits = fhir::reader::Limits {
        max_bytes: usize::MAX,
        ..fhir::reader::Limits::default()
    };
    let json = match fhir::reader::read_within(bytes, limits) {
        Ok(json) => json,
        Err(error) => {
            return Ok(Some(format!(
                "the file is not JSON as records hold it: {error}"
            )));
        }
    };
    let canonical = fhir::canonical::to_bytes(&json);
    if canonical == bytes {
        return Ok(None);
    }
    let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b);
    let how = if bytes.trim_ascii() == canonical {
        "it has white space around it, maybe a line break at the end".to_owned()
    } else {
        format!(
            "it differs from its canonical form (no white space, keys sorted) from byte {} on",
            same.count() + 1
        )
    };
    let hash = digest::of_document(&canonical);
    let anchored = client.anchor_of(&hash).await?.is_some();
    let then = if anchored {
        format!(
            "in canonical form it hashes to {hash}, which IS anchored: save the bytes of `canonical` as they are"
        )
    } else {
        format!("in canonical form it hashes to {hash}, which is not anchored either")
    };
    Ok(Some(format!(
        "the file is not the bytes of `canonical`: {how}; {then}"
    )))
}

fn status_text(status: OnChainStatus) -> &'static str {
    match status {
        OnChainStatus::Active => "ACTIVE",
        OnChainStatus::Superseded => "SUPERSEDED",
        OnChainStatus::Revoked => "REVOKED",
        OnChainStatus::Erased => "ERASED",
    }
}

fn time(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(String::new, |it| {
        it.to_rfc3339_opts(SecondsFormat::Secs, true)
    })
}

impl DocumentFinding {
    fn is_final(&self) -> Option<bool> {
        let anchor = self.evidence.anchor.as_ref()?;
        Some(anchor.block.number <= self.evidence.finalized?)
    }

    fn as_json(&self) -> Value {
        let text = |hash: Option<DataHash>| hash.map(|hash| hash.to_string());
        let anchor = self.evidence.anchor.as_ref();
        json!({
            "verdict": self.verdict.as_str(),
            "hash": self.hash.to_string(),
            "chainId": self.deployment.chain_id,
            "registry": self.deployment.registry.to_string(),
            "codeHash": self.deployment.code_hash.to_string(),
            "codeCompared": self.compared,
            "readAtBlock": self.evidence.read_at.number,
            "readAtBlockHash": self.evidence.read_at.hash.to_string(),
            "witnessed": self.witnessed,
            "proven": self.evidence.proven.is_some(),
            "events": self.evidence.events,
            "anchor": anchor.map(|anchor| json!({
                "status": status_text(anchor.status),
                "registrar": anchor.registrar.to_string(),
                "blockNumber": anchor.block.number,
                "blockHash": anchor.block.hash.to_string(),
                "blockTime": time(anchor.block.timestamp),
                "isFinal": self.is_final(),
                "transaction": anchor.tx_hash.to_string(),
                "logIndex": anchor.log_index,
                "sequence": anchor.sequence,
                "predecessor": text(anchor.predecessor),
                "successor": text(anchor.successor),
                "current": text(anchor.current),
                "currentStatus": anchor.current_status.map(status_text),
                "ended": anchor.ending.map(|ending| json!({
                    "at": time(ending.timestamp),
                    "by": ending.by.to_string(),
                    "reason": ending.reason,
                })),
            })),
            "hint": self.hint,
        })
    }

    fn in_words(&self) -> String {
        let mut lines = vec![
            self.verdict.as_str().to_owned(),
            format!("  SHA-256      {}", self.hash),
        ];
        match &self.evidence.anchor {
            None => lines.push(
                "  anchored     never: the registry does not know this hash, so the document was changed or is not in it"
                    .to_owned(),
            ),
            Some(anchor) => lines.extend(self.anchor_in_words(anchor)),
        }
        let code = if self.compared {
            "its code is the deployment file's"
        } else {
            "its code was compared with nothing"
        };
        lines.push(format!(
            "  registry     {} on chain {}, {code}: {}",
            self.deployment.registry, self.deployment.chain_id, self.deployment.code_hash
        ));
        lines.push(format!(
            "  read at      block {} of {}, {}",
            self.evidence.read_at.number,
            time(self.evidence.read_at.timestamp),
            self.evidence.read_at.hash
        ));
        lines.push(format!("  proof        {}", self.proof_in_words()));
        lines.extend(
            self.hint
                .iter()
                .map(|hint| format!("  note         {hint}")),
        );
        lines.join("\n")
    }

    fn proof_in_words(&self) -> String {
        let proven = match (&self.evidence.proven, self.evidence.events) {
            (None, _) => "none: the node gives no proofs, so all of this is its word".to_owned(),
            (Some(head), None) => format!(
                "by the hash of this block; the registry's head is {}, after {} events",
                head.head, head.sequence
            ),
            (Some(head), Some(events)) => format!(
                "by the hash of this block; all {events} events were read, their head is {}",
                head.head
            ),
        };
        let witness = if self.witnessed {
            "the witness has this block, too"
        } else {
            "compare the hash of the block with one from elsewhere"
        };
        format!("{proven}; {witness}")
    }

    fn anchor_in_words(&self, anchor: &ProvenAnchor) -> Vec<String> {
        let finality = match self.is_final() {
            Some(true) => "final",
            Some(false) => "not final yet",
            None => "this chain does not say what is final",
        };
        let mut lines = vec![
            format!(
                "  anchored     {} in block {}, {finality}",
                time(anchor.block.timestamp),
                anchor.block.number
            ),
            format!("  block        {}", anchor.block.hash),
            format!("  by           {}", anchor.registrar),
            format!(
                "  transaction  {}, event {} of the registry",
                anchor.tx_hash, anchor.sequence
            ),
        ];
        if let Some(predecessor) = anchor.predecessor {
            lines.push(format!("  replaces     {predecessor}"));
        }
        lines.push(match (anchor.status, anchor.successor) {
            (OnChainStatus::Active, _) => "  status       ACTIVE: it stands".to_owned(),
            (OnChainStatus::Superseded, successor) => format!(
                "  status       SUPERSEDED: a newer version took its place, {}",
                successor.map_or_else(String::new, |hash| hash.to_string())
            ),
            (OnChainStatus::Revoked, _) => {
                "  status       REVOKED: it was declared wrong".to_owned()
            }
            (OnChainStatus::Erased, _) => {
                "  status       ERASED: the record was destroyed".to_owned()
            }
        });
        if let Some(ending) = anchor.ending {
            let reason = reason(ending.reason).map_or_else(String::new, |it| format!(", {it}"));
            lines.push(format!(
                "  ended        {} by {}{reason}",
                time(ending.timestamp),
                ending.by
            ));
        }
        if let Some(current) = anchor.current {
            let status = anchor.current_status.map_or("", status_text);
            lines.push(format!("  newest       {current}: {status}"));
        }
        lines
    }
}

/// Why a record was closed; `None` for one that was superseded.
fn reason(code: u8) -> Option<String> {
    let said = match (code, ClosingReason::of(code)) {
        (0, _) => return None,
        (REASON_ANNULLED, _) => "the end of its predecessor was annulled".to_owned(),
        (_, Some(reason)) => reason.as_str().to_ascii_lowercase().replace('_', " "),
        (_, None) => "none of our list".to_owned(),
    };
    Some(format!("for reason {code}: {said}"))
}

/// The contract's own reason (`REASON_ANNULLED`).
const REASON_ANNULLED: u8 = 254;
