//! The limit of GraphQL: a server written by hand that answers `me` and one record with the checks that the api makes and
//! the audit rows that it writes. The token, the locks, the log-in, the memberships, the consents and every seal are looked
//! at, the record is opened and compared with its hash and its anchor. It has what the api has beneath it, and commits for each
//! request by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::{DateTime, Utc};
use domain::access::{AccessRequest, Action, Actor, decide};
use domain::audit::{
    AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType,
};
use domain::consents::Consent;
use domain::ids::{RecordId, RequestId, UserId};
use domain::organizations::CurrentMemberships;
use domain::purpose::Purpose;
use domain::seals::StoredConsents;
use serde_json::{Value, json};
use store::facts::{self, PersonFacts};
use store::users::Present;
use store::{Plans, Pool, PoolSettings, Tx, audit, barrier, records, users};
use tests::World;
use tokio::net::TcpListener;
use vault::keyring::Keyring;
use vault::row::{self, Opened};
use vault::token::{Bearer, TokenKeys};

/// How long a transaction waits for a lock.
const WAIT: Duration = Duration::from_secs(1);

struct Peer {
    pool: Pool,
    keyring: Keyring,
    tokens: TokenKeys,
}

/// Serves until the benchmark ends, on the database of this world.
pub(crate) async fn serve(world: &World) -> SocketAddr {
    let url = world.foundation.url_of("meditrustal_api");
    let url = url.expect("there is such a role");
    let settings = PoolSettings {
        by_index: true,
        ..PoolSettings::default()
    };
    let keys = world.foundation.dir().join("keys");
    let peer = Peer {
        pool: store::connect(&url, "meditrustal bench", settings).expect("a pool"),
        keyring: Keyring::load(&keys.join("master-keys.json")).expect("the keys are there"),
        tokens: TokenKeys::load(&keys.join("token-key.pem")).expect("the key is there"),
    };
    let router = Router::new()
        .route("/me", post(me))
        .route("/record", post(record))
        .with_state(Arc::new(peer));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn me(State(peer): State<Arc<Peer>>, headers: HeaderMap) -> Response {
    let answered = match peer.caller(&headers) {
        Some(caller) => peer.account(&caller).await,
        None => None,
    };
    answer(answered)
}

async fn record(State(peer): State<Arc<Peer>>, headers: HeaderMap, body: Bytes) -> Response {
    let answered = match (peer.caller(&headers), asked(&body)) {
        (Some(caller), Some(id)) => peer.document(&caller, id).await,
        _ => None,
    };
    answer(answered)
}

fn answer(body: Option<Vec<u8>>) -> Response {
    match body {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Which record a request is for.
fn asked(body: &[u8]) -> Option<RecordId> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let id = asked["variables"]["id"].as_str()?;
    Some(RecordId(id.parse().ok()?))
}

/// Who asks, from where.
struct Asking {
    bearer: Bearer,
    origin: Origin,
}

/// What is decided by.
struct Known {
    now: DateTime<Utc>,
    actor: Actor,
    /// Of the patients' consents those that concern the caller.
    consents: Vec<Consent>,
}

impl Asking {
    fn entry(&self, action: AuditAction, purpose: Purpose) -> AuditEntry {
        AuditEntry::new(self.bearer.user, action, purpose, &self.origin)
    }
}

impl Peer {
    fn caller(&self, headers: &HeaderMap) -> Option<Asking> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok();
        let token = text(header::AUTHORIZATION)?.strip_prefix("Bearer ")?;
        let origin = Origin::new(
            RequestId::fresh(),
            [127, 0, 0, 1].into(),
            text(header::USER_AGENT),
        );
        Some(Asking {
            bearer: self.tokens.check(token, Utc::now()).ok()?,
            origin,
        })
    }

    async fn account(&self, caller: &Asking) -> Option<Vec<u8>> {
        let mut tx = self.pool.begin().await.ok()?;
        let user = caller.bearer.user;
        barrier::lock_shared(&mut tx, [user]).await.ok()?;
        let Known { actor, .. } = self.known(&mut tx, caller.bearer, &[]).await?;
        let found = users::by_ids(&mut tx, &[actor.id]).await.ok()?.pop()?;
        let entry = AuditEntry {
            resource_id: actor.id.0,
            classification: Classification::Personal,
            encryption: EncryptionStatus::MetadataOnly,
            ..caller.entry(AuditAction::UserRead, Purpose::default_of(actor.role))
        };
        audit::insert(&mut tx, &[entry]).await.ok()?;
        tx.commit().await.ok()?;
        let shown =
            json!({ "id": found.id, "username": found.username, "role": found.role.as_str() });
        Some(format!(r#"{{"data":{{"me":{shown}}}}}"#).into_bytes())
    }

    async fn document(&self, caller: &Asking, id: RecordId) -> Option<Vec<u8>> {
        let begun = self.pool.begin_with_lock_wait(WAIT, Plans::Kept).await;
        let mut tx = begun.ok()?;
        let asking = [caller.bearer.user];
        let patients = barrier::lock_shared_with_records(&mut tx, asking, &[id]).await;
        let patients = patients.ok()?;
        let Known {
            now,
            actor,
            consents,
        } = self.known(&mut tx, caller.bearer, &patients).await?;
        let record = records::by_ids(&mut tx, &[id]).await.ok()?.pop()?;
        let purpose = actor.default_purpose(Some(record.patient));
        let decision = decide(
            &AccessRequest {
                actor,
                patient: record.patient,
                action: Action::Read,
                purpose,
                record_type: record.record_type,
                availability: record.availability,
                destination: None,
                emergency: None,
                now,
            },
            &consents,
        );
        if !decision.is_permit() {
            return None;
        }
        let stored = records::sealed(&mut tx, &[id]).await.ok()?.pop()?;
        let entry = AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: id.0,
            new_value: Some(json!({ "version": record.version })),
            consent: decision.consent(),
            classification: Classification::Medical,
            encryption: EncryptionStatus::DecryptedForDisclosure,
            patient: Some(record.patient),
            ..caller.entry(AuditAction::RecordRead, purpose)
        };
        audit::insert(&mut tx, &[entry]).await.ok()?;
        tx.commit().await.ok()?;
        let keys = self.keyring.unwrap(&[stored.key.as_ref()?]).await.ok()?;
        let key = keys.into_iter().next()?.ok()?;
        let Opened::Intact(document) = row::open(&stored, Some(&key)) else {
            return None;
        };
        let (start, end) = (
            br#"{"data":{"medicalRecord":{"document":"#.as_slice(),
            b"}}}".as_slice(),
        );
        Some([start, document.as_slice(), end].concat())
    }

    /// What is decided by, if the account and the log-in are as they were sealed, read by one statement as the api reads it.
    async fn known(&self, tx: &mut Tx<'_>, bearer: Bearer, patients: &[UserId]) -> Option<Known> {
        let read = facts::of_person(tx, bearer.user, &[bearer.session], patients).await;
        let PersonFacts {
            present,
            memberships,
            consents,
        } = read.ok()?;
        let Present {
            now, mut claims, ..
        } = present;
        let claim = claims.remove(&bearer.session)?;
        let account = self.keyring.open_row(claim.account).ok()?;
        let session = self.keyring.open_row(claim.session?).ok()?;
        if !account.is_active || session.parent.is_some() || now >= session.expires_at {
            return None;
        }
        // Those of the benchmark belong to no organisation, which has to be asked.
        if !memberships.stored.is_empty() || !memberships.contradicted.is_empty() {
            return None;
        }
        let actor = Actor {
            id: account.user,
            role: account.role,
            is_active: true,
            memberships: CurrentMemberships::default(),
            acts_for: None,
            second_factor: session.second_factor_at.is_some(),
        };
        Some(Known {
            now,
            actor,
            consents: self.consents(consents)?,
        })
    }

    /// The consents that were read; none are believed where an account or a consent is not as it was sealed, or a refusal is
    /// missing.
    fn consents(&self, stored: StoredConsents) -> Option<Vec<Consent>> {
        let opened = stored.consents.into_iter();
        let opened: Result<Vec<Consent>, _> = opened.map(|it| self.keyring.open_row(it)).collect();
        let consents = opened.ok()?;
        for sealed in stored.patients {
            let account = self.keyring.open_row(sealed).ok()?;
            let mut refusals = account.refusals.into_iter();
            if !refusals.all(|id| consents.iter().any(|consent| consent.id.0 == id)) {
                return None;
            }
        }
        stored.unreadable.is_empty().then_some(consents)
    }
}
