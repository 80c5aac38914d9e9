//! `meditrustal verify`: a document against the chain, and nothing else. It reads no key, asks no
//! database and no api, and believes no more than what one node answers.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use chain::{ChainAddress, Client, Deployment, Evidence, NoEvidence, OnChainStatus, ProvenAnchor};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use domain::records::DataHash;
use serde_json::{Value, json};
use vault::digest;

use super::{Failure, say};
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
                    super::fail(error.as_ref());
                }
                Ok(DocumentVerdict::Unknown.exit())
            }
        }
    }

    async fn find(&self) -> Result<DocumentFinding, Failure> {
        let bytes = read(&self.file)?;
        let hash = digest::of_document(&bytes);
        let client = self.client().await?;
        let evidence = match client.evidence_of(&hash).await {
            // A block may have been undone between two questions.
            Err(NoEvidence::Contradiction { .. }) => client.evidence_of(&hash).await?,
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
            evidence,
            hint,
        })
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

fn status(anchor: &ProvenAnchor) -> &'static str {
    match anchor.status {
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
            "anchor": anchor.map(|anchor| json!({
                "status": status(anchor),
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
            "  read at      block {} of {}",
            self.evidence.read_at.number,
            time(self.evidence.read_at.timestamp)
        ));
        lines.extend(
            self.hint
                .iter()
                .map(|hint| format!("  note         {hint}")),
        );
        lines.join("\n")
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
        if let Some(current) = anchor.current.filter(|it| Some(*it) != anchor.successor) {
            lines.push(format!("  newest       {current}"));
        }
        lines
    }
}
