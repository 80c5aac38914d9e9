//! How old the newest backups are, by what stands beside them: a manifest, `*.manifest.json`, which says when the backup was
//! finished.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use domain::{
    clock::Clock,
    monitoring::{
        CheckLimits, CheckName, DAILY_BACKUP_AGE, DISK_FREE, HealthCheck, MONTHLY_BACKUP_AGE,
        RESTORE_DRILL_AGE, WEEKLY_BACKUP_AGE,
    },
};
use serde::Deserialize;

use super::{CheckHealth, span};

/// The folders, what each is checked as, and how old its newest may be.
const FOLDERS: [(&str, CheckName, CheckLimits); 4] = [
    ("daily", CheckName::DailyBackup, DAILY_BACKUP_AGE),
    ("weekly", CheckName::WeeklyBackup, WEEKLY_BACKUP_AGE),
    ("monthly", CheckName::MonthlyBackup, MONTHLY_BACKUP_AGE),
    ("restore-drills", CheckName::RestoreDrill, RESTORE_DRILL_AGE),
];
/// How the name of a manifest ends.
const MANIFEST: &str = ".manifest.json";

/// What is read of a manifest.
#[derive(Debug, Deserialize)]
struct BackupManifest {
    finished_at: DateTime<Utc>,
}

impl CheckHealth {
    pub(super) fn backups(&self) -> Vec<HealthCheck> {
        let Some(dir) = self.backup_dir.as_deref() else {
            let found = "not configured (MEDITRUSTAL_BACKUP_DIR)";
            return FOLDERS
                .iter()
                .map(|(_, name, _)| HealthCheck::warning(*name, found))
                .collect();
        };
        let now = Clock::System.now();
        let mut checks: Vec<_> = FOLDERS
            .iter()
            .map(|(folder, name, limits)| newest(&dir.join(folder), *name, *limits, now))
            .collect();
        checks.push(disk(dir));
        checks
    }
}

/// The newest of a folder.
fn newest(folder: &Path, name: CheckName, limits: CheckLimits, now: DateTime<Utc>) -> HealthCheck {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let found = format!("{} cannot be read: {error}", folder.display());
            return HealthCheck::warning(name, found);
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let manifests = paths.filter(|path| {
        let file = path.file_name().map(|file| file.to_string_lossy());
        file.is_some_and(|file| file.ends_with(MANIFEST))
    });
    // One that is being written, or is none, is passed over.
    let finished = manifests.filter_map(|path| {
        let text = fs::read(path).ok()?;
        let manifest: BackupManifest = serde_json::from_slice(&text).ok()?;
        Some(manifest.finished_at)
    });
    let Some(finished) = finished.max() else {
        return HealthCheck::warning(name, format!("there is none in {}", folder.display()));
    };
    let age = (now - finished).as_seconds_f64();
    if age < -60.0 {
        return HealthCheck::warning(name, format!("the newest is of the future: {finished}"));
    }
    HealthCheck::at_most(
        name,
        age,
        limits,
        format!("the newest is {} old", span(age)),
    )
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
    fn the_newest_manifest_counts_and_what_is_none_is_passed_over() {
        let dir =
            std::env::temp_dir().join(format!("meditrustal-manifests-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let now = "2026-12-01T12:00:00Z".parse().expect("a time");
        let judge = || newest(&dir, CheckName::DailyBackup, DAILY_BACKUP_AGE, now);
        assert_eq!(judge().status, CheckStatus::Warning, "there is none");

        for (file, text, status) in [
            (
                "a.manifest.json",
                r#"{"finished_at":"2026-11-01T02:00:00Z"}"#,
                CheckStatus::Critical,
            ),
            (
                "b.manifest.json",
                r#"{"finished_at":"2026-11-30T02:00:00+07:00","size":1}"#,
                CheckStatus::Warning,
            ),
            (
                "c.manifest.json",
                r#"{"finished_at":"#,
                CheckStatus::Warning,
            ),
            (
                "d.json",
                r#"{"finished_at":"2026-12-01T02:00:00Z"}"#,
                CheckStatus::Warning,
            ),
            (
                "e.manifest.json",
                r#"{"finished_at":"2026-12-01T02:00:00Z"}"#,
                CheckStatus::Ok,
            ),
        ] {
            fs::write(dir.join(file), text).expect("written");
            let found = judge();
            assert_eq!(found.status, status, "{file}: {}", found.found);
        }
        fs::remove_dir_all(&dir).ok();
    }
}
