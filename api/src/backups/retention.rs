//! How long backups are kept: as many of each tier as the specification says, and those before migrations for 30 days. Nothing
//! but finished backups with a manifest, and what was left of unfinished ones, is ever removed, and the newest of a tier never.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    BackupPart, Tier,
    files::{self, PART},
    manifest::{self, BackupManifest},
};

/// Backups of which as many are kept as of any others: a part of a schema of a database.
type BackupSeries = (BackupPart, String, String);

/// How long a backup from before a migration is kept. Unit: days. The specification's "Retention policy: 30 hari".
const MIGRATION_DAYS: i64 = 30;

/// How many backups of each tier are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptBackups {
    /// Of each day.
    pub(crate) daily: usize,
    /// Of each week.
    pub(crate) weekly: usize,
    /// Of each month.
    pub(crate) monthly: usize,
}

impl KeptBackups {
    /// Those of a tier that are to go, of all of them, newest first.
    fn due<'a>(
        &self,
        tier: Tier,
        all: &'a [BackupManifest],
        now: DateTime<Utc>,
    ) -> Vec<&'a BackupManifest> {
        let all = all.iter().enumerate();
        all.filter(|(newer, it)| self.is_due(tier, *newer, it.taken_at, now))
            .map(|(_, it)| it)
            .collect()
    }

    /// Whether a backup is to go of which there are so many newer ones.
    fn is_due(
        &self,
        tier: Tier,
        newer: usize,
        taken_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> bool {
        let keep = match tier {
            Tier::Daily => self.daily,
            Tier::Weekly => self.weekly,
            Tier::Monthly => self.monthly,
            Tier::Migration => {
                return newer > 0 && taken_at < now - TimeDelta::days(MIGRATION_DAYS);
            }
        };
        newer >= keep.max(1)
    }
}

/// What pruning removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pruned {
    /// Files that went, or would.
    pub(crate) removed: Vec<PathBuf>,
    /// How long they were together. Unit: bytes.
    pub(crate) bytes: u64,
}

fn series_of(it: &BackupManifest) -> BackupSeries {
    (it.part, it.database.clone(), it.schema.clone())
}

/// Removes what has been kept long enough. The caller holds the directory's lock.
///
/// # Errors
/// The file system's; what went before is gone.
pub(crate) fn prune(
    directory: &Path,
    tiers: &[Tier],
    keep: KeptBackups,
    now: DateTime<Utc>,
    dry_run: bool,
) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    for tier in tiers {
        let here = directory.join(tier.as_str());
        // A directory that holds both parts, or those of two databases, keeps as many of each.
        let mut series = BTreeMap::<BackupSeries, Vec<BackupManifest>>::new();
        for it in manifest::finished(directory, *tier)? {
            series.entry(series_of(&it)).or_default().push(it);
        }
        for all in series.values() {
            for due in keep.due(*tier, all, now) {
                let dump = here.join(&due.file);
                // The dump first: a manifest without one counts as none, and goes with the next run where this one is cut off.
                let both = [dump.clone(), manifest::beside(&dump)];
                take(&both, dry_run, &mut pruned)?;
            }
        }
        // A manifest stays as long as its backup would: the dump may be elsewhere, and is restored with it.
        for left in manifest::without_dump(directory, *tier)? {
            let others = series.get(&series_of(&left)).into_iter().flatten();
            let newer = others.filter(|it| it.taken_at > left.taken_at).count();
            let is_ours = left.file.starts_with(left.part.prefix());
            if is_ours && keep.is_due(*tier, newer, left.taken_at, now) {
                let beside = manifest::beside(&here.join(&left.file));
                take(&[beside], dry_run, &mut pruned)?;
            }
        }
        take(&unfinished(&here)?, dry_run, &mut pruned)?;
    }
    Ok(pruned)
}

/// Backups of a tier that stay for ever, because whatever writes their directory now writes others: those of a database that was
/// renamed, or is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AbandonedBackups {
    /// What is in them.
    pub(crate) part: BackupPart,
    /// The database's name.
    pub(crate) database: String,
    /// The schema.
    pub(crate) schema: String,
    /// When the newest was taken.
    pub(crate) newest_taken_at: DateTime<Utc>,
    /// The dumps, newest first.
    pub(crate) files: Vec<String>,
}

/// The series of a tier that nobody has written for longer than the specification has its backups kept, neither in this tier nor in
/// another one, while others are written. Pruning keeps the newest of each, so that somebody has to remove them.
///
/// # Errors
/// The directory's.
pub(crate) fn abandoned(
    directory: &Path,
    tier: Tier,
    now: DateTime<Utc>,
) -> io::Result<Vec<AbandonedBackups>> {
    let mut written = BTreeMap::<BackupSeries, DateTime<Utc>>::new();
    for other in Tier::ALL {
        for it in manifest::finished(directory, other)? {
            let newest = written.entry(series_of(&it)).or_insert(it.taken_at);
            *newest = it.taken_at.max(*newest);
        }
    }
    let since = now - TimeDelta::days(days_kept(tier));
    let is_abandoned = |series: &BackupSeries| {
        let last = written.get(series).copied().unwrap_or(now);
        let mut others = written.iter();
        last < since && others.any(|(other, at)| other.0 == series.0 && *at >= since)
    };
    let mut found = BTreeMap::<BackupSeries, AbandonedBackups>::new();
    for it in manifest::finished(directory, tier)? {
        let series = series_of(&it);
        if is_abandoned(&series) {
            let of = found.entry(series).or_insert_with(|| AbandonedBackups {
                part: it.part,
                database: it.database.clone(),
                schema: it.schema.clone(),
                newest_taken_at: it.taken_at,
                files: Vec::new(),
            });
            of.files.push(it.file);
        }
    }
    Ok(found.into_values().collect())
}

/// For how long the specification has the backups of a tier kept. Unit: days.
const fn days_kept(tier: Tier) -> i64 {
    match tier {
        Tier::Daily => 7,
        Tier::Weekly => 28,
        Tier::Monthly => 366,
        Tier::Migration => MIGRATION_DAYS,
    }
}

/// What was left of backups that never came to their end.
fn unfinished(here: &Path) -> io::Result<Vec<PathBuf>> {
    let files = files::in_directory(here)?;
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(BackupPart::Records.prefix()) && name.ends_with(PART)
    };
    Ok(files.into_iter().filter(is_left).collect())
}

fn take(paths: &[PathBuf], dry_run: bool, pruned: &mut Pruned) -> io::Result<()> {
    for path in paths {
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        if !dry_run {
            files::remove(path)?;
        }
        pruned.bytes += metadata.len();
        pruned.removed.push(path.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).expect("a time")
    }

    fn made(tier: Tier, day: i64) -> BackupManifest {
        BackupManifest {
            version: BackupManifest::VERSION,
            id: String::new(),
            part: BackupPart::Records,
            tier,
            file: format!("meditrustal_{day}.dump"),
            bytes: 1,
            sha256: String::new(),
            encrypted_to: Vec::new(),
            taken_at: at(day),
            database: String::new(),
            schema: String::new(),
            role_prefix: None,
            server_major: 18,
            program: String::new(),
            migrations: Vec::new(),
            chain_id: None,
            registry: None,
            master_keys: Vec::new(),
            rows: [("users".to_owned(), 1)].into(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn backups_of_another_database_in_the_same_directory_are_no_reason_to_remove_ours() {
        let root = std::env::temp_dir().join(format!("meditrustal-series-{}", std::process::id()));
        let daily = root.join("daily");
        std::fs::create_dir_all(&daily).expect("a folder");
        for (day, database) in [(1, "north"), (2, "south"), (3, "south")] {
            let manifest = BackupManifest {
                database: database.to_owned(),
                ..made(Tier::Daily, day)
            };
            let dump = daily.join(&manifest.file);
            std::fs::write(&dump, "").expect("written");
            manifest.write(&manifest::beside(&dump)).expect("written");
        }
        let keep = KeptBackups {
            daily: 1,
            weekly: 1,
            monthly: 1,
        };

        let pruned = prune(&root, &[Tier::Daily], keep, at(4), false).expect("pruned");

        let names = pruned.removed.iter().filter_map(|it| it.file_name());
        let names: Vec<_> = names.map(|it| it.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["meditrustal_2.dump", "meditrustal_2.json"]);
        std::fs::remove_dir_all(&root).ok();
    }

    #[test]
    fn a_manifest_whose_dump_is_gone_goes_when_its_backup_would() {
        let root = std::env::temp_dir().join(format!("meditrustal-left-{}", std::process::id()));
        let daily = root.join("daily");
        std::fs::create_dir_all(&daily).expect("a folder");
        // The first was half removed, the second is elsewhere, and the last was cut off before it had its name.
        for day in 1..=5 {
            let manifest = made(Tier::Daily, day);
            let dump = daily.join(&manifest.file);
            manifest.write(&manifest::beside(&dump)).expect("written");
            if [3, 4].contains(&day) {
                std::fs::write(&dump, "").expect("written");
            }
        }
        let foreign = BackupManifest {
            file: "other.dump".to_owned(),
            ..made(Tier::Daily, 1)
        };
        let foreign_at = daily.join("other.json");
        foreign.write(&foreign_at).expect("written");
        let prune_at = |daily: usize, dry_run: bool| {
            let keep = KeptBackups {
                daily,
                weekly: 1,
                monthly: 1,
            };
            let pruned = prune(&root, &[Tier::Daily], keep, at(6), dry_run).expect("pruned");
            let names = pruned.removed.iter().filter_map(|it| it.file_name());
            let names = names.map(|it| it.to_string_lossy().into_owned());
            names.collect::<Vec<String>>()
        };

        assert!(prune_at(3, false).is_empty());
        let wanted = ["meditrustal_2.json", "meditrustal_1.json"];
        assert_eq!(prune_at(2, true), wanted);
        assert_eq!(prune_at(2, false), wanted);
        assert!(prune_at(2, false).is_empty());
        assert!(daily.join("meditrustal_5.json").is_file() && foreign_at.is_file());
        std::fs::remove_dir_all(&root).ok();
    }

    #[test]
    fn a_series_that_nobody_writes_any_more_is_named_and_no_series_alone_is() {
        let root =
            std::env::temp_dir().join(format!("meditrustal-abandoned-{}", std::process::id()));
        let write = |tier: Tier, day: i64, database: &str| {
            let manifest = BackupManifest {
                database: database.to_owned(),
                ..made(tier, day)
            };
            let here = root.join(tier.as_str());
            std::fs::create_dir_all(&here).expect("a folder");
            let dump = here.join(&manifest.file);
            std::fs::write(&dump, "").expect("written");
            manifest.write(&manifest::beside(&dump)).expect("written");
        };
        let named = |tier: Tier, day: i64| -> Vec<(String, Vec<String>)> {
            let found = abandoned(&root, tier, at(day)).expect("it is read");
            let named = found.into_iter().map(|it| (it.database, it.files));
            named.collect()
        };
        write(Tier::Daily, 1, "before");
        write(Tier::Daily, 2, "before");
        write(Tier::Weekly, 2, "before");

        // Nobody writes any: that is another trouble.
        assert!(named(Tier::Daily, 100).is_empty());
        write(Tier::Daily, 9, "after");
        assert!(named(Tier::Daily, 9).is_empty());
        let files = ["meditrustal_2.dump", "meditrustal_1.dump"].map(str::to_owned);
        assert_eq!(
            named(Tier::Daily, 10),
            [("before".to_owned(), files.to_vec())]
        );
        assert!(named(Tier::Weekly, 10).is_empty());
        // It is written elsewhere in the directory.
        write(Tier::Monthly, 8, "before");
        assert!(named(Tier::Daily, 10).is_empty());
        std::fs::remove_dir_all(&root).ok();
    }

    #[test]
    fn as_many_are_kept_as_the_specification_says_and_the_newest_always() {
        let keep = KeptBackups {
            daily: 7,
            weekly: 4,
            monthly: 12,
        };
        let none = KeptBackups {
            daily: 0,
            weekly: 0,
            monthly: 0,
        };
        for (keep, tier, made_on, wanted) in [
            (keep, Tier::Daily, 1..=7, 0),
            (keep, Tier::Daily, 1..=9, 2),
            (keep, Tier::Weekly, 1..=9, 5),
            (keep, Tier::Monthly, 1..=14, 2),
            (none, Tier::Daily, 1..=3, 2),
            // By age: days 1 to 10 of 40 are older than 30 days on day 41.
            (keep, Tier::Migration, 1..=40, 10),
            (keep, Tier::Migration, 1..=1, 0),
        ] {
            let all: Vec<BackupManifest> = made_on.rev().map(|day| made(tier, day)).collect();
            let due = keep.due(tier, &all, at(41));
            assert_eq!(due.len(), wanted, "{tier} of {}", all.len());
            assert!(due.iter().all(|it| it.taken_at < all[0].taken_at));
        }
    }
}
