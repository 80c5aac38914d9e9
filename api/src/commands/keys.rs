//! Key files, made with the operating system's randomness and readable by their owner alone; and the
//! rotation of the master keys, step by step: `add`, `rotate`, `status`, `retire`.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{PatientKeyId, RequestId, UserId},
    purpose::Purpose,
    seals::{Factor, Seal, Sealed, SealedTable},
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Pool, PoolSettings, StoreError, Tx, audit, deletion, keys, legal_holds, memberships, migrate,
    organizations, receipts, representatives,
    seals::{self, Walk},
    second_factors,
};
use uuid::Uuid;
use vault::{
    blind_index::IndexKey,
    keyring::{Keyring, WrappedKey},
    random,
    seal::Sealable,
    token::TokenKeys,
};

use super::{
    output::{Failure, ResultForm, note, say},
    token_keys::AddTokenKey,
};
use crate::{
    config::{Pkcs11Config, database_url},
    key_checks::{check_master_keys, compare_master_keys},
};

/// How many keys are re-wrapped in one transaction. They stay locked for it, which only another
/// rotation notices: readers take no lock.
const BATCH: i64 = 500;
/// What `keys new` makes.
const KEY_FILES: [&str; 5] = [
    "master-keys.json",
    "token-key.pem",
    "registrar.key",
    "checkpoint.key",
    "index.key",
];
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make master-keys.json, index.key, token-key.pem, registrar.key and checkpoint.key; refuses to overwrite. Where a PKCS#11 token
    /// is named, the master key is made inside it
    New(NewKeyFiles),
    /// Make index.key alone, where the others are from before there was one; refuses to overwrite
    Index(NewKeys),
    /// Make checkpoint.key alone, where the others are from before there was one; refuses to overwrite
    Checkpoint(NewKeys),
    /// Put a new token key in front of the others; every api reads the file again by itself
    AddTokenKey(AddTokenKey),
    /// Put a fresh master key in front of the file; programs that run see it by themselves. Where a PKCS#11 token is named, it is inside
    /// that
    Add(AddKey),
    /// Wrap every patient's key, and every second factor, anew under the first master key; may be stopped and run again
    Rotate(RotateKeys),
    /// Say how many patients' keys each master key wraps, and which may be retired
    Status(KeysStatus),
    /// Take a master key out of the file that wraps nothing any more
    Retire(RetireKey),
}

/// Settings of `keys index` and `keys checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct NewKeys {
    /// Where to put them
    #[arg(long)]
    dir: PathBuf,

    /// Make nothing; say which files would be made
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `keys new`.
#[derive(Debug, Args)]
pub(crate) struct NewKeyFiles {
    #[command(flatten)]
    files: NewKeys,

    #[command(flatten)]
    pkcs11: Pkcs11Config,

    /// The label that the master key has in the PKCS#11 token, where one is named; its id, if left out
    #[arg(long, requires = "pkcs11_module")]
    label: Option<String>,
}

/// Which file.
#[derive(Debug, Args)]
pub(crate) struct MasterKeysFile {
    /// The master keys that wrap patients' keys
    #[arg(long = "file", env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    path: PathBuf,

    #[command(flatten)]
    pkcs11: Pkcs11Config,
}

/// Settings of `keys add`.
#[derive(Debug, Args)]
pub(crate) struct AddKey {
    #[command(flatten)]
    file: MasterKeysFile,

    /// Its name, at most 64 bytes, not used before; made up if left out
    #[arg(long)]
    id: Option<String>,

    /// Its label in the PKCS#11 token, where one is named; its id, if left out. A key that has this label there is taken, and one is
    /// made where there is none
    #[arg(long, requires = "pkcs11_module")]
    label: Option<String>,

    /// Change nothing; say what would be put in front. No token is asked
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Where the keys are, and what they wrap.
#[derive(Debug, Args)]
pub(crate) struct Rotation {
    #[command(flatten)]
    file: MasterKeysFile,

    /// Where the database is, under the role meditrustal_keys
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

/// Settings of `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateKeys {
    #[command(flatten)]
    rotation: Rotation,

    /// Change nothing; say how many keys would be wrapped anew, and how many rows sealed
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `keys status`.
#[derive(Debug, Args)]
pub(crate) struct KeysStatus {
    #[command(flatten)]
    rotation: Rotation,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `keys retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireKey {
    #[command(flatten)]
    rotation: Rotation,

    /// Which one
    id: String,

    /// How long to wait before looking a second time, in seconds: until every transaction has ended
    /// that may have begun before the key in front was there
    #[arg(long, default_value = "20")]
    wait: u64,

    /// Change nothing; look once, and say whether it would be taken out
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl KeysCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(settings) => settings.make(),
            Self::Index(settings) if settings.dry_run => settings.try_out(&["index.key"], false),
            Self::Checkpoint(settings) if settings.dry_run => {
                settings.try_out(&["checkpoint.key"], false)
            }
            Self::Index(settings) => {
                let files = settings.make(&[("index.key", IndexKey::generate())])?;
                settings.form.say_json(&json!({ "files": files }))
            }
            Self::Checkpoint(settings) => {
                let files = settings.make(&[("checkpoint.key", random::hex::<32>())])?;
                let checkpointer = settings.say_checkpointer()?;
                let told = json!({ "files": files, "checkpointer": checkpointer });
                settings.form.say_json(&told)
            }
            Self::AddTokenKey(settings) => settings.run(),
            Self::Add(settings) => settings.add(),
            Self::Rotate(settings) => rotate(&settings).await,
            Self::Status(settings) => status(&settings).await,
            Self::Retire(settings) => retire(&settings).await,
        }
    }
}

impl NewKeyFiles {
    fn make(&self) -> Result<(), Failure> {
        let dir = &self.files.dir;
        if self.files.dry_run {
            return self
                .files
                .try_out(&KEY_FILES, self.pkcs11.settings().is_some());
        }
        // Before a key is made in a token.
        require_none(dir, &KEY_FILES)?;
        let id = new_id();
        let master = match self.pkcs11.settings() {
            None => Keyring::generate(&id),
            Some(token) => Keyring::generate_in(&token, &id, self.label.as_deref().unwrap_or(&id))?,
        };
        let texts = [
            master,
            TokenKeys::generate(),
            random::hex::<32>().into(),
            random::hex::<32>().into(),
            IndexKey::generate(),
        ];
        let made: Vec<_> = KEY_FILES.into_iter().zip(texts).collect();
        let files = self.files.make(&made)?;
        let registrar = chain::address_of_key_file(&dir.join("registrar.key"))?;
        let form = self.files.form;
        form.say_words(&format!(
            "the registrar is {registrar}: deploy with REGISTRAR_ADDRESS={registrar}, or grant it the \
             registrar's role"
        ))?;
        let checkpointer = self.files.say_checkpointer()?;
        form.say_json(&json!({
            "files": files, "registrar": registrar.to_string(), "checkpointer": checkpointer,
        }))
    }
}

impl AddKey {
    fn add(self) -> Result<(), Failure> {
        let id = self.id.unwrap_or_else(new_id);
        let path = &self.file.path;
        if self.dry_run {
            let is_in_token = self.file.pkcs11.settings().is_some();
            let label = is_in_token.then(|| self.label.as_deref().unwrap_or(&id));
            Keyring::try_add(path, &id, label)?;
            let file = path.display().to_string();
            return self.form.say(
                &format!("{id} would be put in front of {file}; nothing was changed"),
                &json!({ "dryRun": true, "id": id, "file": file, "label": label }),
            );
        }
        match self.file.pkcs11.settings() {
            None => Keyring::add(path, &id)?,
            Some(token) => {
                let label = self.label.as_deref().unwrap_or(&id);
                Keyring::add_in(path, &token, &id, label)?;
            }
        }
        self.form.say(
            &format!(
                "{id} wraps from now on; `meditrustal keys rotate` brings the older keys under it. \
                 Back the file up"
            ),
            &json!({ "id": id, "file": path.display().to_string() }),
        )
    }
}

fn new_id() -> String {
    format!("master-{}", random::hex::<4>())
}

impl NewKeys {
    /// Makes these files, and says which; gives their paths.
    fn make<T: AsRef<str>>(&self, made: &[(&str, T)]) -> Result<Vec<String>, Failure> {
        let dir = &self.dir;
        fs::create_dir_all(dir)?;
        let names: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
        require_none(dir, &names)?;
        let mut files = Vec::with_capacity(made.len());
        for (name, text) in made {
            let path = dir.join(name);
            write_private(&path, text.as_ref())?;
            let file = path.display().to_string();
            self.form.say_words(&file)?;
            files.push(file);
        }
        Ok(files)
    }

    /// Says which files would be made, and whether the master key would be inside a token.
    fn try_out(&self, names: &[&str], is_in_token: bool) -> Result<(), Failure> {
        require_none(&self.dir, names)?;
        let files = names.iter().map(|name| self.dir.join(name));
        let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
        if is_in_token {
            self.form
                .say_words("the master key would be made inside the token")?;
        }
        self.form.say(
            &format!("{} would be made; nothing was", files.join(", ")),
            &json!({ "dryRun": true, "files": files, "inToken": is_in_token }),
        )
    }

    /// Says whom the registry must let pin checkpoints; gives the account.
    fn say_checkpointer(&self) -> Result<String, Failure> {
        let account = chain::address_of_key_file(&self.dir.join("checkpoint.key"))?;
        self.form.say_words(&format!(
            "checkpoints are pinned by {account}: deploy with CHECKPOINT_ADDRESS={account}, or grant it the checkpoint role"
        ))?;
        Ok(account.to_string())
    }
}

impl Rotation {
    /// With `to_try` the database is not told of keys that it does not know yet.
    async fn open(&self, to_try: bool) -> Result<(Pool, Keyring), Failure> {
        let keyring = self.file.pkcs11.keyring(&self.file.path)?;
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal keys", one)?;
        migrate::require_current(&pool).await?;
        if to_try {
            compare_master_keys(&pool, &keyring).await?;
        } else {
            check_master_keys(&pool, &keyring).await?;
        }
        Ok((pool, keyring))
    }
}

/// Refuses a directory in which one of these is.
fn require_none(dir: &Path, names: &[&str]) -> Result<(), Failure> {
    let mut files = names.iter().map(|name| dir.join(name));
    match files.find(|file| file.exists()) {
        None => Ok(()),
        Some(there) => Err(format!(
            "{} is there already and is not overwritten",
            there.display()
        )
        .into()),
    }
}

/// Wraps what older master keys wrap under the first one, oldest name first, in batches that each
/// commit: stopped anywhere, it goes on from there when run again. Two at once do no harm.
async fn rotate(settings: &RotateKeys) -> Result<(), Failure> {
    let (pool, keyring) = settings.rotation.open(settings.dry_run).await?;
    let ids = keyring.ids();
    let [first, older @ ..] = ids.as_slice() else {
        return Err("the key file has no key".into());
    };
    let mut conn = pool.acquire().await?;
    let wrapped = keys::count_by_master(&mut conn).await?;
    drop(conn);
    let due: i64 = wrapped
        .iter()
        .filter(|(id, _)| older.contains(id))
        .map(|(_, keys)| keys)
        .sum();
    if settings.dry_run {
        return say_due(settings, &pool, (first, older), due).await;
    }
    let origin = Origin::job(RequestId::fresh());
    let (mut done, mut failed) = (0, 0);
    let began = Instant::now();
    let mut shown = began;
    for master in older {
        let mut after = PatientKeyId(Uuid::nil());
        while let Some((last, wrapped_anew, forged)) =
            batch(&pool, &keyring, &origin, (master, first), after).await?
        {
            after = last;
            done += wrapped_anew;
            failed += forged;
            if shown.elapsed() >= SHOW_EVERY {
                shown = Instant::now();
                note(&format!("{done} of {due}"));
            }
        }
    }
    let mut secrets = 0;
    for master in older {
        let mut after = UserId(Uuid::nil());
        while let Some((last, sealed_anew, forged)) =
            factors(&pool, &keyring, &origin, (master, first), after).await?
        {
            after = last;
            secrets += sealed_anew;
            failed += forged;
        }
    }
    let mut rows = 0;
    for master in older {
        for table in SealedTable::ALL {
            let mut after = Uuid::nil();
            while let Some((last, sealed_anew, wrong)) =
                seals_of(&pool, &keyring, &origin, (master, first), (*table, after)).await?
            {
                after = last;
                rows += sealed_anew;
                failed += wrong;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    settings.form.say(
        &format!(
            "{done} patient key(s) are wrapped by {first} now, and {secrets} secret(s) of second factors; \
             {rows} row(s) are sealed by it; after {seconds:.1} s"
        ),
        &json!({
            "masterKey": first, "patientKeys": done, "secondFactors": secrets, "rows": rows,
            "failed": failed, "seconds": seconds,
        }),
    )?;
    if failed > 0 {
        return Err(format!(
            "{failed} key(s) or secret(s) do not unwrap and were left as they are; the log names them"
        )
        .into());
    }
    Ok(())
}

/// Says what a rotation would bring under the first master key.
async fn say_due(
    settings: &RotateKeys,
    pool: &Pool,
    (first, older): (&str, &[String]),
    wrapped: i64,
) -> Result<(), Failure> {
    let sealed = keys::count_seals_by_master(&mut *pool.acquire().await?).await?;
    let due = sealed.iter().filter(|(id, _)| older.contains(id));
    let rows: i64 = due.map(|(_, rows)| rows).sum();
    settings.form.say(
        &format!(
            "{wrapped} key(s) and secret(s) of second factors would be wrapped by {first}, and {rows} row(s) sealed by it; \
             nothing was changed"
        ),
        &json!({ "dryRun": true, "masterKey": first, "wrapped": wrapped, "rows": rows }),
    )
}

/// One batch, one transaction. Gives the last id, how many were wrapped and how many would not unwrap;
/// `None` at the end. Nothing is locked while keys are wrapped: a token may be asked, which may take its time. Those that
/// somebody changed meanwhile stay as they are now.
async fn batch(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    after: PatientKeyId,
) -> Result<Option<(PatientKeyId, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let rows = keys::lock_wrapped_by(&mut tx, from, after, BATCH).await?;
    tx.rollback().await?;
    let Some(last) = rows.last().map(|row| row.id) else {
        return Ok(None);
    };
    let anew = keyring.rewrap(&rows).await?;
    let mut tx = pool.begin().await?;
    let now = keys::lock_wrapped_by(&mut tx, from, after, BATCH).await?;
    let mut wrapped = Vec::with_capacity(rows.len());
    let mut failed = 0;
    for (row, anew) in rows.iter().zip(anew).filter(|(row, _)| now.contains(row)) {
        match anew {
            Ok(key) => wrapped.push(key),
            Err(error) => {
                failed += 1;
                tracing::error!(key.id = %row.id, %error, "Patient key {} is left as it is", row.id);
            }
        }
    }
    if wrapped.is_empty() && failed == 0 {
        return Ok(Some((last, 0, 0)));
    }
    keys::rewrap(&mut tx, &wrapped).await?;
    let details = json!({ "from": from, "to": to, "keys": wrapped.len(), "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, wrapped.len(), failed)))
}

/// One batch of secrets of second factors, one transaction, as [`batch`].
async fn factors(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    after: UserId,
) -> Result<Option<(UserId, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let rows = second_factors::lock_sealed_by(&mut tx, from, after, BATCH).await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let (last, count, mut failed) = (*last, rows.len(), 0);
    for (user, row) in rows {
        match factor_anew(keyring, row) {
            Ok((factor, seal)) => second_factors::reseal(&mut tx, &factor, &seal).await?,
            Err(error) => {
                failed += 1;
                tracing::error!(user.id = %user, error, "The second factor of {user} is left as it is");
            }
        }
    }
    let sealed = count - failed;
    let details = json!({ "from": from, "to": to, "secondFactors": sealed, "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, sealed, failed)))
}

/// A second factor with its secret sealed under the first master key, and the seal of its row.
fn factor_anew(keyring: &Keyring, row: Sealed<Factor>) -> Result<(Factor, Seal), Failure> {
    let factor = keyring
        .open_row(row)
        .map_err(|_| "its row is not as it was sealed")?;
    let secret = WrappedKey {
        bytes: factor.sealed_secret.clone(),
        master_key_id: factor.master_key_id.clone(),
    };
    let secret = keyring.open_factor(factor.user, &secret)?;
    let anew = keyring.seal_factor(factor.user, &secret)?;
    let factor = Factor {
        sealed_secret: anew.bytes,
        master_key_id: anew.master_key_id,
        ..factor
    };
    let seal = keyring.seal_row(&factor)?;
    Ok((factor, seal))
}

/// The old seal and the new one of each row of a stretch; none of one that is not as it was sealed, or cannot be read.
async fn sealed_anew(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    table: SealedTable,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Option<(Seal, Seal)>)>, StoreError> {
    Ok(match table {
        SealedTable::Users => all_anew(keyring, seals::walk_authorities(tx, walk).await?),
        SealedTable::Consents => readable_anew(keyring, seals::walk_consents(tx, walk).await?),
        SealedTable::SecondFactors => all_anew(keyring, seals::walk_factors(tx, walk).await?),
        SealedTable::Sessions => all_anew(keyring, seals::walk_sessions(tx, walk).await?),
        SealedTable::RoleProposals => all_anew(keyring, seals::walk_proposals(tx, walk).await?),
        SealedTable::AccessCodes => readable_anew(keyring, seals::walk_codes(tx, walk).await?),
        SealedTable::BreakGlassWindows => all_anew(keyring, seals::walk_windows(tx, walk).await?),
        SealedTable::DeletionRequests => all_anew(keyring, deletion::walk(tx, walk).await?),
        SealedTable::LegalHolds => all_anew(keyring, legal_holds::walk(tx, walk).await?),
        SealedTable::Organizations => all_anew(keyring, organizations::walk(tx, walk).await?),
        SealedTable::Memberships => all_anew(keyring, memberships::walk(tx, walk).await?),
        SealedTable::Representatives => {
            readable_anew(keyring, representatives::walk(tx, walk).await?)
        }
        SealedTable::RepresentativeProposals => {
            readable_anew(keyring, representatives::walk_proposals(tx, walk).await?)
        }
        SealedTable::ConsentReceipts => readable_anew(keyring, receipts::walk(tx, walk).await?),
    })
}

/// One batch of rows whose seals are by an older master key, one transaction. Gives the last id, how many
/// were sealed anew and how many are not as they were sealed; `None` at the end.
async fn seals_of(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    (table, after): (SealedTable, Uuid),
) -> Result<Option<(Uuid, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let walk = Walk {
        after,
        sealed_by: Some(from),
        only: None,
        limit: BATCH,
    };
    let rows = sealed_anew(&mut tx, keyring, table, walk).await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let (last, mut sealed, mut failed) = (*last, 0, 0);
    for (id, anew) in rows {
        let Some((old, new)) = anew else {
            failed += 1;
            tracing::error!(row.id = %id, "Row {id} of {table} is not as it was sealed, and left as it is");
            continue;
        };
        // One that somebody changes meanwhile is sealed by them, under the first master key.
        if seals::replace_seal(&mut tx, table, id, Some(&old), &new).await? {
            sealed += 1;
        }
    }
    let details =
        json!({ "from": from, "to": to, "table": table, "rows": sealed, "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, sealed, failed)))
}

/// The seal that a row has, and a new one under the first master key; `None` where it is not right.
fn seal_anew<T: Sealable + Clone>(keyring: &Keyring, row: Sealed<T>) -> Option<(Seal, Seal)> {
    let (_, old) = row.clone().into_parts();
    let row = keyring.open_row(row).ok()?;
    Some((old?, keyring.seal_row(&row).ok()?))
}

/// The old seals and the new ones of these rows.
fn all_anew<T: Sealable + Clone>(
    keyring: &Keyring,
    rows: Vec<(Uuid, Sealed<T>)>,
) -> Vec<(Uuid, Option<(Seal, Seal)>)> {
    let rows = rows.into_iter();
    rows.map(|(id, row)| (id, seal_anew(keyring, row)))
        .collect()
}

/// The same of rows that perhaps cannot be read.
fn readable_anew<T: Sealable + Clone>(
    keyring: &Keyring,
    rows: Vec<(Uuid, UserId, Option<Sealed<T>>)>,
) -> Vec<(Uuid, Option<(Seal, Seal)>)> {
    let rows = rows.into_iter();
    rows.map(|(id, _, row)| (id, row.and_then(|row| seal_anew(keyring, row))))
        .collect()
}

async fn status(settings: &KeysStatus) -> Result<(), Failure> {
    let (pool, keyring) = settings.rotation.open(false).await?;
    let mut conn = pool.acquire().await?;
    let wrapped = keys::count_by_master(&mut conn).await?;
    let sealed = keys::count_seals_by_master(&mut conn).await?;
    let ids = keyring.ids();
    let all = wrapped.iter().chain(&sealed).map(|(id, _)| id);
    let lost: BTreeSet<&String> = all.filter(|id| !ids.contains(id)).collect();
    let mut told = Vec::new();
    for (nth, id) in ids.iter().chain(lost.iter().copied()).enumerate() {
        let [keys, rows] = [&wrapped, &sealed].map(|all| count(all, id));
        let what = match (nth, keys + rows) {
            _ if lost.contains(id) => "IS NOT IN THE FILE",
            (0, _) => "wraps new keys",
            (_, 0) => "may be retired",
            (_, _) => "to be rotated",
        };
        if settings.json {
            told.push(json!({
                "id": id, "patientKeys": keys, "seals": rows, "isInFile": ids.contains(id), "isFirst": ids.first() == Some(id),
            }));
        } else {
            say(&format!("{id}  {keys} key(s)  {rows} seal(s)  {what}"))?;
        }
    }
    if settings.json {
        say(&json!({ "masterKeys": told }).to_string())?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err("records of these patients do not open: find the file that has these master keys".into())
}

fn count(all: &[(String, i64)], id: &str) -> i64 {
    all.iter().find(|(of, _)| of == id).map_or(0, |it| it.1)
}

async fn retire(settings: &RetireKey) -> Result<(), Failure> {
    let (pool, keyring) = settings.rotation.open(settings.dry_run).await?;
    let id = &settings.id;
    let ids = keyring.ids();
    if !ids.contains(id) || ids.first() == Some(id) {
        return Err(format!("{id} is not one of the older keys of the file").into());
    }
    let waits = if settings.dry_run {
        vec![0]
    } else {
        vec![settings.wait, 0]
    };
    for wait in waits {
        let mut conn = pool.acquire().await?;
        let wrapped = keys::count_by_master(&mut conn).await?;
        if let Some((_, keys)) = wrapped.iter().find(|(of, _)| of == id) {
            return Err(format!(
                "{id} still wraps {keys} key(s): run `meditrustal keys rotate` first"
            )
            .into());
        }
        let rows = count(&keys::count_seals_by_master(&mut conn).await?, id);
        if rows > 0 {
            return Err(format!(
                "{id} still seals {rows} row(s): run `meditrustal keys rotate` first"
            )
            .into());
        }
        drop(conn);
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
    if settings.dry_run {
        return settings.form.say(
            &format!("{id} would be taken out of the file; nothing was changed"),
            &json!({ "dryRun": true, "retired": id }),
        );
    }
    let mut tx = pool.begin().await?;
    let origin = Origin::job(RequestId::fresh());
    audit::insert(&mut tx, &[entry(&origin, json!({ "retired": id }))]).await?;
    Keyring::remove(&settings.rotation.file.path, id)?;
    tx.commit().await?;
    settings.form.say(
        &format!("{id} is out of the file; backups that are older than the rotation still need it"),
        &json!({ "retired": id }),
    )
}

fn entry(origin: &Origin, details: Value) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::PatientKey,
        resource_id: origin.request.0,
        new_value: Some(details),
        classification: Classification::Security,
        encryption: EncryptionStatus::EncryptedAtRest,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::KeyRotate,
            Purpose::SystemAdministration,
            origin,
        )
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", text.trim_end())?;
    file.sync_all()
}
