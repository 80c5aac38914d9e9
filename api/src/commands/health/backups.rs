//! How old the newest backups are: of the records and of the keys, by the manifests beside the dumps. A manifest whose dump is
//! gone counts as none.

use std::{fs, io, path::Path};

use chrono::{DateTime, Utc};
use domain::{
    clock::Clock,
    monitoring::{
        CheckLimits, CheckName, DAILY_BACKUP_AGE, DISK_FREE, HealthCheck, MONTHLY_BACKUP_AGE,
        RESTORE_DRILL_AGE, WEEKLY_BACKUP_AGE,
    },
};
use serde::Deserialize;
use store::tenant::Tenant;

use super::{CheckHealth, span};
use crate::backups::{
    Tier, home,
    manifest::last_backup,
    retention::{self, AbandonedBackups},
};

/// The tiers, what each is checked as, and how old its newest may be.
const TIERS: [(Tier, CheckName, CheckLimits); 3] = [
    (Tier::Daily, CheckName::DailyBackup, DAILY_BACKUP_AGE),
    (Tier::Weekly, CheckName::WeeklyBackup, WEEKLY_BACKUP_AGE),
    (Tier::Monthly, CheckName::MonthlyBackup, MONTHLY_BACKUP_AGE),
];
/// The file in which the operator notes when a backup was last restored for a trial.
const LAST_DRILL: &str = "last-drill.json";

/// What is read of a note that something happened.
#[derive(Debug, Deserialize)]
struct NotedTime {
    at: DateTime<Utc>,
}

impl CheckHealth {
    /// Those of the tenant that was named, or else of the one that the role leads to; where neither is known, of the usual one.
    pub(super) fn backups(&self, found: Option<Tenant>) -> Vec<HealthCheck> {
        let now = Clock::System.now();
        let tenant = self.schema.clone().or(found);
        let tenant = &tenant.unwrap_or_else(Tenant::usual);
        let records = self.backup_dir.as_deref().map(|it| home(it, tenant));
        let keys = self.keys_backup_dir.as_deref();
        let keys = keys.map(|it| home(it, tenant));
        let mut checks: Vec<_> = TIERS
            .iter()
            .map(|(tier, name, limits)| {
                let judge = |dir: Option<&Path>, part: &str, setting: &str| match dir {
                    None => HealthCheck::warning(*name, format!("not configured ({setting})")),
                    Some(dir) => newest((dir, *tier), part, *name, *limits, now),
                };
                let keys = judge(keys.as_deref(), "keys", "MEDITRUSTAL_KEYS_BACKUP_DIR");
                let records = judge(records.as_deref(), "records", "MEDITRUSTAL_BACKUP_DIR");
                worse(records, keys)
            })
            .collect();
        match records.as_deref() {
            None => checks.push(HealthCheck::warning(
                CheckName::RestoreDrill,
                "not configured (MEDITRUSTAL_BACKUP_DIR)",
            )),
            Some(dir) => checks.extend([drill(&dir.join(LAST_DRILL), now), disk(dir)]),
        }
        checks
    }
}

/// The worse of two, the first where both are alike.
fn worse(first: HealthCheck, second: HealthCheck) -> HealthCheck {
    let is_older = second.value.unwrap_or_default() > first.value.unwrap_or_default();
    if second.status > first.status || (second.status == first.status && is_older) {
        second
    } else {
        first
    }
}

/// The newest dump of a tier in a directory of backups.
fn newest(
    (dir, tier): (&Path, Tier),
    part: &str,
    name: CheckName,
    limits: CheckLimits,
    now: DateTime<Utc>,
) -> HealthCheck {
    let here = dir.join(tier.as_str());
    let found = fs::metadata(&here).and_then(|_| last_backup(dir, tier));
    let last = match found {
        Ok(found) => found,
        Err(error) => {
            let found = format!("{part}: {} cannot be read: {error}", here.display());
            return HealthCheck::warning(name, found);
        }
    };
    let Some(newest) = last.newest else {
        let found = format!("{part}: there is none in {}", here.display());
        return HealthCheck::warning(name, found);
    };
    let check = of_age(name, newest.taken_at, limits, now, |age| {
        format!("{part}: the newest was taken {age} ago")
    });
    let check = match retention::abandoned(dir, tier, now) {
        Err(error) => {
            let found = format!("{part}: {} cannot be read: {error}", here.display());
            return HealthCheck::warning(name, found);
        }
        Ok(abandoned) => abandoned.iter().fold(check, |check, it| {
            worse(check, HealthCheck::warning(name, told(part, it)))
        }),
    };
    match last.failure {
        Some(failure) => worse(
            HealthCheck::warning(
                name,
                format!("{part}: the newest attempt, at {}, failed", failure.at),
            ),
            check,
        ),
        None => check,
    }
}

/// That nobody writes a series any more.
fn told(part: &str, it: &AbandonedBackups) -> String {
    format!(
        "{part}: nobody has written those of {}.{} since {}, and they are never removed by themselves: {} in all",
        it.database,
        it.schema,
        it.newest_taken_at,
        it.files.len()
    )
}

/// When a note says that something happened; `None` where there is no note.
fn noted(path: &Path) -> io::Result<Option<DateTime<Utc>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice::<NotedTime>(&text)?.at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last trial of a restore.
fn drill(note: &Path, now: DateTime<Utc>) -> HealthCheck {
    let name = CheckName::RestoreDrill;
    match noted(note) {
        Ok(Some(at)) => of_age(name, at, RESTORE_DRILL_AGE, now, |age| {
            format!("the last was {age} ago")
        }),
        Ok(None) => HealthCheck::warning(name, format!("none is noted in {}", note.display())),
        Err(error) => {
            HealthCheck::warning(name, format!("{} cannot be read: {error}", note.display()))
        }
    }
}

/// How long ago something was. What is to come says nothing: a warning.
fn of_age(
    name: CheckName,
    at: DateTime<Utc>,
    limits: CheckLimits,
    now: DateTime<Utc>,
    found: impl FnOnce(String) -> String,
) -> HealthCheck {
    let age = (now - at).as_seconds_f64();
    if age < -60.0 {
        return HealthCheck::warning(name, format!("its time is in the future: {at}"));
    }
    HealthCheck::at_most(name, age, limits, found(span(age.max(0.0))))
}

fn disk(dir: &Path) -> HealthCheck {
    let space = match rustix::fs::statvfs(dir) {
        Ok(space) => space,
        Err(error) => return HealthCheck::warning(CheckName::BackupDisk, error.to_string()),
    };
    let [free, all] = [space.f_bavail, space.f_blocks]
        .map(|blocks| i64::try_from(blocks).unwrap_or(i64::MAX).max(0));
    let free = domain::monitoring::ratio(free, all.max(1));
    let found = format!("{:.0} % of its disk are free", free * 100.0);
    HealthCheck::at_least(CheckName::BackupDisk, free, DISK_FREE, found)
}

#[cfg(test)]
mod tests {
    use domain::monitoring::CheckStatus;

    use super::*;

    #[test]
    fn the_newest_finished_dump_counts_and_a_failure_is_told() {
        let root =
            std::env::temp_dir().join(format!("meditrustal-manifests-{}", std::process::id()));
        let dir = root.join("daily");
        fs::create_dir_all(&dir).expect("a folder");
        let now = "2026-12-01T12:00:00Z".parse().expect("a time");
        let name = CheckName::DailyBackup;
        let judge = || newest((&root, Tier::Daily), "records", name, DAILY_BACKUP_AGE, now);
        assert_eq!(judge().status, CheckStatus::Warning, "there is none");
        fs::write(dir.join("old.dump.age"), "").expect("written");
        fs::write(dir.join("new.dump.age"), "").expect("written");
        let manifest = |file: &str, taken_at: &str| {
            serde_json::json!({
                "version": 1, "id": "one", "part": "records", "tier": "daily", "file": file, "bytes": 0,
                "sha256": "", "encryptedTo": [], "takenAt": taken_at, "database": "meditrustal",
                "serverMajor": 18, "program": "0", "migrations": [], "rows": {},
            })
            .to_string()
        };

        for (file, text, status) in [
            (
                "old.json",
                manifest("old.dump.age", "2026-11-01T02:00:00Z"),
                CheckStatus::Critical,
            ),
            (
                "torn.json",
                "{\"takenAt\":".to_owned(),
                CheckStatus::Critical,
            ),
            (
                "gone.json",
                manifest("gone.dump", "2026-12-01T02:00:00Z"),
                CheckStatus::Critical,
            ),
            (
                "new.json",
                manifest("new.dump.age", "2026-12-01T02:00:00Z"),
                CheckStatus::Ok,
            ),
            (
                "last-failure.json",
                r#"{"at":"2026-12-01T03:00:00Z","error":"the disk is full"}"#.to_owned(),
                CheckStatus::Warning,
            ),
        ] {
            fs::write(dir.join(file), text).expect("written");
            let found = judge();
            assert_eq!(found.status, status, "{file}: {}", found.found);
        }
        fs::remove_dir_all(&root).ok();
    }

    #[test]
    fn the_older_of_records_and_keys_decides() {
        let check = |age| HealthCheck::at_most(CheckName::DailyBackup, age, DAILY_BACKUP_AGE, "");
        let none = HealthCheck::warning(CheckName::DailyBackup, "there is none");

        assert_eq!(worse(check(5.0), check(9.0)), check(9.0));
        assert_eq!(worse(check(9.0), check(5.0)), check(9.0));
        assert_eq!(worse(check(5.0), none.clone()), none);
        assert_eq!(worse(check(1e9), none), check(1e9));
    }
}
