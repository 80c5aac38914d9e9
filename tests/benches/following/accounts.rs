//! Accounts that follow: written straight into the database with a log-in of each, because a thousand hashed passwords
//! would take longer than everything that is measured.

use chrono::Utc;
use domain::ids::{SessionId, UserId};
use tests::World;
use tests::bench::analyze;
use vault::token::TokenKeys;

/// Accounts of one role that are logged in.
pub(crate) struct Accounts {
    /// Their ids and those of their log-ins.
    known: Vec<(UserId, SessionId)>,
    keys: TokenKeys,
}

/// So many accounts of each of two roles: patients, and doctors whom each of the patients lets see everything.
pub(crate) async fn make(world: &World, count: u64) -> (Accounts, Accounts) {
    for (name, role) in [("follower", "PATIENT"), ("following", "DOCTOR")] {
        world
            .executes(&format!(
                "INSERT INTO users (id, email, username, hashed_password, role)
                 SELECT uuidv7(), '{name}.' || nth || '@meditrustal.example', '{name}.' || nth, '!', '{role}'
                 FROM generate_series(1, {count}) AS nth;
                 WITH made AS MATERIALIZED (
                     SELECT uuidv7() AS id, id AS account FROM users WHERE username LIKE '{name}.%'
                 )
                 INSERT INTO sessions (id, family_id, user_id, refresh_token, expires_at, idle_expires_at)
                 SELECT id, id, account, encode(sha256(id::text::bytea), 'hex'),
                        now() + INTERVAL '1 day', now() + INTERVAL '1 day'
                 FROM made"
            ))
            .await;
    }
    world
        .executes(
            "INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
             )
             SELECT id, 'TREAT', CURRENT_TIMESTAMP, '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
                    '[{\"kind\": \"role\", \"role\": \"DOCTOR\"}]'
             FROM users WHERE username LIKE 'follower.%'",
        )
        .await;
    world.seals().await;
    analyze(world).await;
    (
        Accounts::of(world, "follower").await,
        Accounts::of(world, "following").await,
    )
}

impl Accounts {
    async fn of(world: &World, name: &str) -> Self {
        let query = format!(
            "SELECT users.id AS account, sessions.id AS session
             FROM users JOIN sessions ON sessions.user_id = users.id
             WHERE users.username LIKE '{name}.%' ORDER BY users.id"
        );
        let rows = world.sql(&query).await;
        let known = rows.into_iter().map(|mut row| {
            let account = serde_json::from_value(row["account"].take());
            let session = serde_json::from_value(row["session"].take());
            (account.expect("an id"), session.expect("an id"))
        });
        let file = world.foundation.dir().join("keys/token-key.pem");
        Self {
            known: known.collect(),
            keys: TokenKeys::load(&file).expect("the key is there"),
        }
    }

    /// The id of the first of them.
    pub(crate) fn first(&self) -> String {
        self.known[0].0.to_string()
    }

    /// A new access token of each, good for ten minutes.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let now = Utc::now();
        let known = self.known.iter();
        known
            .map(|(account, session)| self.keys.issue(*account, *session, now).0)
            .collect()
    }
}
