//! A hundred thousand one-byte edits, over every column of records and keys: each is found, and nothing
//! of a document comes out of a row that was edited.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{PatientKeyId, RecordId, UserId};
use domain::stored::{StoredKey, StoredRecord};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tests::{Person, World, documents, eventually, id};
use vault::keyring::Keyring;
use vault::row::{self, Opened};

/// How many edits are judged in this process.
const EDITS: usize = 100_000;
/// How many times every record in the database is edited, found and put back.
const ROUNDS: usize = 5;

const RECORD_COLUMNS: [&str; 20] = [
    "id",
    "patient_id",
    "blockchain_record_id",
    "record_type",
    "record_metadata",
    "encrypted_data",
    "data_hash",
    "created_at",
    "updated_at",
    "author_id",
    "patient_key_id",
    "version",
    "predecessor_id",
    "superseded_at",
    "withdrawn",
    "effective_at",
    "code_tokens",
    "missing_elements",
    "restricted_at",
    "erased_at",
];
const KEY_COLUMNS: [&str; 6] = [
    "id",
    "patient_id",
    "wrapped_key",
    "master_key_id",
    "created_at",
    "destroyed_at",
];

/// Chance with a memory: the same edits every time, so that one that is missed can be made again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).expect("a small number")).expect("smaller")
    }

    /// Bytes with one of them changed; `None` for an empty value.
    fn edits(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let place = (!bytes.is_empty()).then(|| self.below(bytes.len()))?;
        let mut edited = bytes.to_vec();
        edited[place] ^= u8::try_from(1 + self.below(255)).expect("a byte");
        Some(edited)
    }
}

/// A value that PostgreSQL stores, as the bytes that it stores.
trait Stored: Sized {
    fn bytes(&self) -> Vec<u8>;
    /// What these bytes are; `None` where PostgreSQL would not have them.
    fn of(bytes: Vec<u8>) -> Option<Self>;
}

impl Stored for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        Some(bytes)
    }
}

impl Stored for String {
    fn bytes(&self) -> Vec<u8> {
        self.clone().into_bytes()
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        Self::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'))
    }
}

impl Stored for Value {
    fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }
}

impl Stored for bool {
    fn bytes(&self) -> Vec<u8> {
        vec![u8::from(*self)]
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        Some(bytes.first()? & 1 == 1)
    }
}

impl Stored for i32 {
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

impl Stored for chrono::DateTime<chrono::Utc> {
    fn bytes(&self) -> Vec<u8> {
        self.timestamp_micros().to_be_bytes().to_vec()
    }
    fn of(bytes: Vec<u8>) -> Option<Self> {
        Self::from_timestamp_micros(i64::from_be_bytes(bytes.try_into().ok()?))
    }
}

macro_rules! stored_id {
    ($($id:ident)+) => { $(
        impl Stored for $id {
            fn bytes(&self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }
            fn of(bytes: Vec<u8>) -> Option<Self> {
                Some(Self(uuid::Uuid::from_bytes(bytes.try_into().ok()?)))
            }
        }
    )+ };
}
stored_id!(RecordId UserId PatientKeyId);

/// Changes one byte of a value. False where that is no value, or the same one.
fn edit<T: Stored + PartialEq>(value: &mut T, chance: &mut Chance) -> bool {
    let edited = chance.edits(&value.bytes()).and_then(T::of);
    match edited {
        Some(edited) if edited != *value => {
            *value = edited;
            true
        }
        _ => false,
    }
}

fn edit_some<T: Stored + PartialEq>(value: &mut Option<T>, chance: &mut Chance) -> bool {
    value.as_mut().is_some_and(|value| edit(value, chance))
}

fn edit_record(row: &mut StoredRecord, column: &str, chance: &mut Chance) -> bool {
    match column {
        "id" => edit(&mut row.id, chance),
        "patient_id" => edit(&mut row.patient, chance),
        "blockchain_record_id" => edit(&mut row.blockchain_record_id, chance),
        "record_type" => edit(&mut row.record_type, chance),
        "record_metadata" => edit_some(&mut row.metadata, chance),
        "encrypted_data" => edit(&mut row.encrypted_data, chance),
        "data_hash" => edit(&mut row.data_hash, chance),
        "created_at" => edit(&mut row.created_at, chance),
        "updated_at" => edit(&mut row.updated_at, chance),
        "author_id" => edit_some(&mut row.author, chance),
        "patient_key_id" => edit_some(&mut row.key_id, chance),
        "version" => edit(&mut row.version, chance),
        "predecessor_id" => edit_some(&mut row.predecessor, chance),
        "superseded_at" => edit_some(&mut row.superseded_at, chance),
        "withdrawn" => edit(&mut row.is_withdrawn, chance),
        "effective_at" => edit_some(&mut row.effective_at, chance),
        "code_tokens" => {
            let tokens = row.code_tokens.as_mut().filter(|tokens| !tokens.is_empty());
            tokens.is_some_and(|tokens| {
                let which = chance.below(tokens.len());
                edit(&mut tokens[which], chance)
            })
        }
        "missing_elements" => edit_some(&mut row.missing, chance),
        "restricted_at" => edit_some(&mut row.restricted_at, chance),
        "erased_at" => edit_some(&mut row.erased_at, chance),
        other => panic!("there is no column {other}"),
    }
}

fn edit_key(key: &mut StoredKey, column: &str, chance: &mut Chance) -> bool {
    match column {
        "id" => edit(&mut key.id, chance),
        "patient_id" => edit(&mut key.patient, chance),
        "wrapped_key" => edit_some(&mut key.wrapped_key, chance),
        "master_key_id" => edit(&mut key.master_key_id, chance),
        "created_at" => edit(&mut key.created_at, chance),
        "destroyed_at" => edit_some(&mut key.destroyed_at, chance),
        other => panic!("there is no column {other}"),
    }
}

/// Opens a row as the api does: by the same functions.
async fn judge(keyring: &Keyring, row: &StoredRecord) -> (bool, Opened) {
    let stored = row.key.as_ref().expect("a record has a key");
    let unwrapped = keyring.unwrap(&[stored]).await.expect("no token is asked");
    let key = unwrapped.into_iter().next().and_then(Result::ok);
    (
        row::key_is_right(stored, key.is_some(), false),
        row::open(row, key.as_ref()),
    )
}

async fn rows_of(world: &World) -> Vec<StoredRecord> {
    let mut conn = world.connects_as("meditrustal_api").await;
    let ids: Vec<RecordId> = sqlx::query_scalar("SELECT id FROM medical_records ORDER BY id")
        .fetch_all(&mut conn)
        .await
        .expect("the ids")
        .into_iter()
        .map(RecordId)
        .collect();
    let rows = store::records::sealed(&mut conn, &ids).await;
    rows.expect("the rows can be read")
}

/// One record of each type, with metadata; one that is incomplete, one in two versions, and one in the
/// grace of a deletion.
async fn stores_one_of_each(world: &World, ana: &Person, dr_bo: &Person) {
    for (record_type, _) in documents::ALL {
        let more = json!({ "metadata": { "department": "ICU-3" } });
        let answer = dr_bo
            .stores(ana, record_type, documents::of(record_type), more)
            .await;
        answer.data();
    }
    let signs: Value = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    let mut one = signs["entry"][1]["resource"].clone();
    one.as_object_mut().expect("an object").remove("category");
    let incomplete = ana.creates(ana, "VITAL_SIGNS", &one).await;
    assert_eq!(incomplete["completeness"], "INCOMPLETE");
    let first = ana
        .creates(ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let amended = ana.amends(&first, documents::vital_signs(), json!({}));
    amended.await.data();
    // What carries a deletion out will write its row of the trail in the same transaction.
    let restrict = format!(
        "DO $$ DECLARE record UUID := (SELECT id FROM medical_records ORDER BY id LIMIT 1); BEGIN
             UPDATE medical_records SET restricted_at = decision_time() WHERE id = record;
             INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id,
                 purpose, retention_period, data_classification, encryption_status, patient_id)
             VALUES ('{0}', 'DELETION_REQUEST', 'MEDICAL_RECORD', record, '::1', record, 'HCOMPL', '7 years',
                 'MEDICAL', 'ENCRYPTED_AT_REST', '{0}');
         END $$",
        ana.id
    );
    world.executes(&restrict).await;
}

fn keyring_of(world: &World) -> Keyring {
    let file = world.foundation.dir().join("keys/master-keys.json");
    Keyring::load(&file).expect("the master keys of this world")
}

#[tokio::test]
async fn a_hundred_thousand_one_byte_edits_are_all_found_and_nothing_comes_out() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    stores_one_of_each(&world, &ana, &dr_bo).await;
    let all = RECORD_COLUMNS.map(str::to_owned);
    assert_eq!(world.columns("medical_records").await, BTreeSet::from(all));
    let all = KEY_COLUMNS.map(str::to_owned);
    assert_eq!(world.columns("patient_keys").await, BTreeSet::from(all));
    let rows = rows_of(&world).await;
    let keyring = keyring_of(&world);
    let intact = async || {
        for row in &rows {
            let (key, opened) = judge(&keyring, row).await;
            assert!(key && matches!(opened, Opened::Intact(_)), "{opened:?}");
        }
    };
    // Without an edit nothing is found: the judge does not simply say no.
    intact().await;

    let mut chance = Chance(20_261_126);
    let mut edits: BTreeMap<String, usize> = BTreeMap::new();
    let mut made = 0;
    while made < EDITS {
        let mut row = rows[chance.below(rows.len())].clone();
        // Half of the edits are in sealed bytes: there are the most of them.
        let (column, of_key) = match chance.below(4) {
            0 => ("encrypted_data", false),
            1 => ("wrapped_key", true),
            2 => (RECORD_COLUMNS[chance.below(RECORD_COLUMNS.len())], false),
            _ => (KEY_COLUMNS[chance.below(KEY_COLUMNS.len())], true),
        };
        let edited = match row.key.as_mut().filter(|_| of_key) {
            Some(key) => edit_key(key, column, &mut chance),
            None => edit_record(&mut row, column, &mut chance),
        };
        if !edited {
            continue;
        }
        made += 1;

        let (key_is_right, opened) = judge(&keyring, &row).await;

        let table = if of_key {
            "patient_keys"
        } else {
            "medical_records"
        };
        assert!(
            !matches!(opened, Opened::Intact(_)),
            "edit {made} in {table}.{column} let the document out: {row:?}"
        );
        assert!(
            !of_key || !key_is_right,
            "edit {made} in {table}.{column}: {row:?}"
        );
        *edits.entry(format!("{table}.{column}")).or_default() += 1;
    }

    intact().await;
    println!("{edits:#?}");
    // Null everywhere: there is no byte to edit, and that they become something is found elsewhere.
    let never = ["medical_records.erased_at", "patient_keys.destroyed_at"];
    let columns = RECORD_COLUMNS.map(|it| format!("medical_records.{it}"));
    for column in columns
        .into_iter()
        .chain(KEY_COLUMNS.map(|it| format!("patient_keys.{it}")))
    {
        let wanted = !never.contains(&column.as_str());
        assert_eq!(
            edits.get(&column).is_some_and(|&n| n >= 20),
            wanted,
            "{column}: {edits:?}"
        );
    }
}

/// Writes an edited row over the one that was. False where PostgreSQL does not have it.
async fn writes(conn: &mut PgConnection, was: RecordId, row: &StoredRecord) -> bool {
    let done = sqlx::query(
        "UPDATE medical_records SET id = $2, patient_id = $3, blockchain_record_id = $4, record_type = $5,
             record_metadata = $6, encrypted_data = $7, data_hash = $8, created_at = $9, updated_at = $10,
             author_id = $11, patient_key_id = $12, version = $13, predecessor_id = $14,
             missing_elements = $15, restricted_at = $16, erased_at = $17, effective_at = $18,
             code_tokens = $19, superseded_at = $20, withdrawn = $21
         WHERE id = $1",
    )
    .bind(was.0)
    .bind(row.id.0)
    .bind(row.patient.0)
    .bind(&row.blockchain_record_id)
    .bind(&row.record_type)
    .bind(&row.metadata)
    .bind(&row.encrypted_data)
    .bind(&row.data_hash)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.author.map(|it| it.0))
    .bind(row.key_id.map(|it| it.0))
    .bind(row.version)
    .bind(row.predecessor.map(|it| it.0))
    .bind(&row.missing)
    .bind(row.restricted_at)
    .bind(row.erased_at)
    .bind(row.effective_at)
    .bind(&row.code_tokens)
    .bind(row.superseded_at)
    .bind(row.is_withdrawn)
    .execute(conn)
    .await;
    done.is_ok_and(|done| done.rows_affected() == 1)
}

#[tokio::test]
async fn an_edit_of_any_column_in_the_database_is_found_by_the_deep_check() {
    let world = World::with(|options| {
        let rate = ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "2000");
        options.api.push((rate.0.to_owned(), rate.1.to_owned()));
    })
    .await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    stores_one_of_each(&world, &ana, &dr_bo).await;
    let mut left = Vec::new();
    for _ in 0..40 {
        let more = json!({ "metadata": { "department": "ICU-3" } });
        let answer = ana
            .stores(&ana, "VITAL_SIGNS", documents::vital_signs(), more)
            .await;
        left.push(id(&answer.data()["createMedicalRecord"]["record"]));
    }
    let rows = rows_of(&world).await;
    for table in ["medical_records", "patient_keys"] {
        world
            .executes(&format!(
                "CREATE TABLE saved_{table} AS SELECT * FROM {table}"
            ))
            .await;
    }
    // Somebody with the highest rights, who leaves no trace that a trigger would leave.
    let mut attacker = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("a superuser connects");
    let unseen = sqlx::query("SET session_replication_role = replica");
    unseen.execute(&mut attacker).await.expect("no triggers");
    let open = async || {
        let query = "SELECT record_id FROM integrity_findings WHERE resolved_at IS NULL
                     AND kind IN ('CONTENT_MISMATCH', 'UNDECRYPTABLE') AND record_id IS NOT NULL";
        let rows = world.sql(query).await;
        rows.iter()
            .map(|row| tests::text(&row["record_id"]))
            .collect::<std::collections::BTreeSet<String>>()
    };
    let mut chance = Chance(777);
    let mut edits = 0;

    for round in 0..ROUNDS {
        let mut wanted = std::collections::BTreeSet::new();
        for row in &rows {
            loop {
                let mut edited = row.clone();
                let column = RECORD_COLUMNS[chance.below(RECORD_COLUMNS.len())];
                if edit_record(&mut edited, column, &mut chance)
                    && writes(&mut attacker, row.id, &edited).await
                {
                    wanted.insert(edited.id.to_string());
                    edits += 1;
                    break;
                }
            }
        }
        eventually(
            &format!("every edit of round {round} is found"),
            async || open().await.is_superset(&wanted).then_some(()),
        )
        .await;
        let mut put_back = attacker.begin().await.expect("a transaction");
        for statement in [
            "DELETE FROM medical_records",
            "INSERT INTO medical_records SELECT * FROM saved_medical_records",
            // They are about ids that there never were.
            "UPDATE integrity_findings SET resolved_at = now()
             WHERE resolved_at IS NULL AND record_id NOT IN (SELECT id FROM medical_records)",
        ] {
            let done = sqlx::query(statement).execute(&mut *put_back).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        put_back.commit().await.expect("it is put back");
        eventually("what is right again is no finding any more", async || {
            open().await.is_empty().then_some(())
        })
        .await;
    }

    assert_eq!(edits, ROUNDS * rows.len());
    for record in &left {
        ana.reads(record).await.data();
    }
}
