//! `keys rotate`: what older master keys wrap and seal comes under the first one.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use clap::Args;
use domain::{
    audit::Origin,
    ids::{PatientKeyId, RequestId, UserId},
    seals::SealedTable,
};
use serde_json::json;
use store::keys;
use uuid::Uuid;

use super::{
    master_keys::Rotation,
    reseal::seals_of,
    rewrap::{batch, factors},
};
use crate::commands::output::{Failure, ResultForm, note};

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_secs(2);

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

impl RotateKeys {
    /// Wraps what older master keys wrap under the first one, oldest name first, in batches that each
    /// commit: stopped anywhere, it goes on from there when run again. Two at once do no harm.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let (pool, keyring) = self.rotation.open(self.dry_run).await?;
        let ids = keyring.ids();
        let [first, older @ ..] = ids.as_slice() else {
            return Err("the key file has no key".into());
        };
        let wrapped = keys::count_by_master(&mut *pool.acquire().await?).await?;
        let due = of_older(older, &wrapped);
        if self.dry_run {
            let sealed = keys::count_seals_by_master(&mut *pool.acquire().await?).await?;
            let lost = lost(&ids, wrapped.iter().chain(&sealed));
            self.say_due(&sealed, (first, older), due, &lost)?;
            return none_lost(&lost);
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
        // Last, so that rows that somebody holds locked keep none of the others waiting.
        let sealed = keys::count_seals_by_master(&mut *pool.acquire().await?).await?;
        let lost = lost(&ids, wrapped.iter().chain(&sealed));
        self.form.say(
            &format!(
                "{done} patient key(s) are wrapped by {first} now, and {secrets} secret(s) of second factors; \
                 {rows} row(s) are sealed by it; after {seconds:.1} s"
            ),
            &json!({
                "masterKey": first, "patientKeys": done, "secondFactors": secrets, "rows": rows,
                "failed": failed, "notInFile": lost, "seconds": seconds,
            }),
        )?;
        if failed > 0 {
            return Err(format!(
                "{failed} key(s) or secret(s) do not unwrap and were left as they are; the log names them"
            )
            .into());
        }
        none_lost(&lost)
    }

    /// Says what a rotation would bring under the first master key.
    fn say_due(
        &self,
        sealed: &[(String, i64)],
        (first, older): (&str, &[String]),
        wrapped: i64,
        lost: &BTreeSet<&str>,
    ) -> Result<(), Failure> {
        let rows = of_older(older, sealed);
        self.form.say(
            &format!(
                "{wrapped} key(s) and secret(s) of second factors would be wrapped by {first}, and {rows} row(s) sealed by it; \
                 nothing was changed"
            ),
            &json!({
                "dryRun": true, "masterKey": first, "wrapped": wrapped, "rows": rows, "notInFile": lost,
            }),
        )
    }
}

/// How many of these belong to older master keys.
fn of_older(older: &[String], counted: &[(String, i64)]) -> i64 {
    let due = counted.iter().filter(|(id, _)| older.contains(id));
    due.map(|(_, many)| many).sum()
}

/// The master keys that wrap or seal something and are not among these.
fn lost<'a>(ids: &[String], used: impl Iterator<Item = &'a (String, i64)>) -> BTreeSet<&'a str> {
    used.map(|(id, _)| id)
        .filter(|id| !ids.contains(id))
        .map(String::as_str)
        .collect()
}

/// Whether the file has every key that wraps or seals anything.
fn none_lost(lost: &BTreeSet<&str>) -> Result<(), Failure> {
    if lost.is_empty() {
        return Ok(());
    }
    let lost: Vec<&str> = lost.iter().copied().collect();
    Err(format!(
        "what is wrapped or sealed by {} was left as it is, because the file does not have that: find the file that does, \
         and run this again with both keys in one file",
        lost.join(", ")
    )
    .into())
}
