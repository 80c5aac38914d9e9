//! Whose tables they are, where several tenants share a database or a server: the schema, and how the names of the roles begin.
//!
//! Programs are told neither: a role's `search_path` leads to its schema. Migrations name both, so they are rewritten before
//! they run; what the migrator remembers of them is the hash of the file as it is.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, PgExecutor, SqlSafeStr, migrate::Migrator};

use crate::{StoreError, migrate::MigrateError};

/// The schema of whoever has a database alone.
const USUAL_SCHEMA: &str = "public";
/// How the names of the roles begin on a server that has one tenant.
const USUAL_PREFIX: &str = "meditrustal";
/// How the names of the roles end.
const ROLES: [&str; 7] = [
    "migrator",
    "api",
    "indexer",
    "keys",
    "backup",
    "retention",
    "monitor",
];
/// Stands for a tenant's prefix while statements are rewritten.
const MARK: &str = "\u{1}";
/// How long a prefix may be: with the longest ending it is a name of PostgreSQL, which has 63 bytes.
const LONGEST: usize = 50;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    schema: String,
    prefix: String,
}

/// Why a name cannot be used for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a schema or the beginning of roles' names: 1 to {LONGEST} small letters, digits and \
     underscores, a letter first, and not pg_"
)]
pub struct InvalidTenantName(String);

impl Tenant {
    /// The tenant of this schema, whose roles' names begin so.
    ///
    /// # Errors
    /// [`InvalidTenantName`].
    pub fn new(schema: &str, prefix: &str) -> Result<Self, InvalidTenantName> {
        for name in [schema, prefix] {
            if !is_usable(name) {
                return Err(InvalidTenantName(name.to_owned()));
            }
        }
        Ok(Self {
            schema: schema.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The usual tenant.
    pub fn usual() -> Self {
        Self {
            schema: USUAL_SCHEMA.to_owned(),
            prefix: USUAL_PREFIX.to_owned(),
        }
    }

    /// The tenant of this schema, one of whose roles is called so. A role that is not called as ours are, such as a superuser,
    /// works on the usual roles.
    ///
    /// # Errors
    /// [`InvalidTenantName`].
    pub fn of_role(schema: &str, role: &str) -> Result<Self, InvalidTenantName> {
        let prefix = role.rsplit_once('_');
        let prefix = prefix.filter(|(_, ending)| ROLES.contains(ending));
        Self::new(schema, prefix.map_or(USUAL_PREFIX, |(prefix, _)| prefix))
    }

    /// The tenant that a connection leads to: its current schema, and the beginning of its role's name.
    pub(crate) async fn of(conn: impl PgExecutor<'_>) -> Result<Self, MigrateError> {
        let found = sqlx::query!(
            r#"SELECT current_schema()::text AS schema, current_user::text AS "role!""#
        )
        .fetch_one(conn)
        .await
        .map_err(StoreError::from)?;
        let schema = found.schema.ok_or(MigrateError::NoSchema)?;
        Ok(Self::of_role(&schema, &found.role)?)
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether the schema is the one that every database has.
    pub fn is_in_usual_schema(&self) -> bool {
        self.schema == USUAL_SCHEMA
    }

    /// How the names of its roles begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole names of all its roles.
    pub fn roles(&self) -> Vec<String> {
        ROLES.iter().map(|ending| self.role(ending)).collect()
    }

    /// A role's whole name, by its ending.
    pub fn role(&self, ending: &str) -> String {
        format!("{}_{ending}", self.prefix)
    }

    /// Statements that name the usual schema and roles, with this tenant's instead.
    pub(crate) fn rewrite<'a>(&self, statements: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(statements);
        if !self.is_in_usual_schema() {
            for usual in [
                "SCHEMA public",
                "search_path = public",
                "'public'::regnamespace",
            ] {
                let ours = usual.replace(USUAL_SCHEMA, &self.schema);
                text = Cow::Owned(text.replace(usual, &ours));
            }
        }
        if self.prefix != USUAL_PREFIX {
            // By way of a mark that stands in no statement: a prefix may begin as a usual role does.
            for ending in ROLES {
                let usual = format!("{USUAL_PREFIX}_{ending}");
                text = Cow::Owned(text.replace(&usual, &format!("{MARK}{ending}")));
            }
            text = Cow::Owned(text.replace(MARK, &self.role("")));
        }
        text
    }

    /// The migrations as they run for this tenant. Locks nothing: whoever runs them holds the lock of the schema.
    pub(crate) fn migrations(&self, usual: &Migrator) -> Migrator {
        let rewritten = usual.iter().map(|migration| {
            let mut migration = migration.clone();
            let sql = self.rewrite(migration.sql.as_str()).into_owned();
            // The hash stays that of the file: it tells whether the file was changed.
            migration.sql = AssertSqlSafe(sql).into_sql_str();
            migration
        });
        let mut migrator = Migrator::with_migrations(rewritten.collect());
        migrator.set_locking(false);
        migrator
    }
}

/// Whether a name needs no quotes wherever it stands in a statement.
fn is_usable(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= LONGEST
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MIGRATOR;

    /// Where the usual schema is told from others.
    const TOLD_APART: &str = "CASE current_schema() WHEN 'public'";

    #[test]
    fn a_name_that_would_need_quotes_is_refused() {
        for name in ["north", "north_2", "public"] {
            assert!(Tenant::new(name, name).is_ok(), "{name}");
        }
        let long = "a".repeat(LONGEST + 1);
        for name in [
            "", "2nd", "_a", "North", "no-rth", "a'b", "a\"b", "a b", "pg_x", &long,
        ] {
            assert!(Tenant::new(name, "meditrustal").is_err(), "{name}");
            assert!(Tenant::new("public", name).is_err(), "{name}");
        }
    }

    #[test]
    fn no_migration_names_another_tenants_schema_or_roles() {
        let north = Tenant::new("north", "north").expect("a tenant");
        let rewritten = north.migrations(&MIGRATOR);

        let is_part = |byte: Option<char>| byte.is_some_and(|it| it.is_alphanumeric() || it == '_');
        for migration in rewritten.iter() {
            let lines = migration.sql.as_str().lines();
            let statements = lines.filter(|line| !line.trim_start().starts_with("--"));
            for line in statements.filter(|line| !line.contains(TOLD_APART)) {
                let named = line.match_indices(USUAL_SCHEMA).any(|(at, found)| {
                    !is_part(line[..at].chars().next_back())
                        && !is_part(line[at + found.len()..].chars().next())
                });
                assert!(!named, "{}: {line}", migration.version);
                assert!(
                    !line.contains("meditrustal_"),
                    "{}: {line}",
                    migration.version
                );
            }
        }
        let hashes = |migrator: &Migrator| -> Vec<_> {
            migrator.iter().map(|it| it.checksum.clone()).collect()
        };
        assert_eq!(hashes(&rewritten), hashes(&MIGRATOR));
    }

    #[test]
    fn a_tenant_is_told_by_its_schema_and_one_of_its_roles() {
        for (role, wanted) in [
            ("north_backup", "north"),
            ("north_api_migrator", "north_api"),
            ("postgres", USUAL_PREFIX),
            ("north_owner", USUAL_PREFIX),
        ] {
            let tenant = Tenant::of_role("north", role).expect("a tenant");
            assert_eq!((tenant.schema(), tenant.prefix()), ("north", wanted));
        }
        assert!(Tenant::of_role("No/rth", "north_backup").is_err());
    }

    #[test]
    fn a_prefix_that_begins_as_a_role_does_is_put_in_once() {
        let tenant = Tenant::new("public", "meditrustal_api").expect("a tenant");
        let rewritten =
            tenant.rewrite("GRANT meditrustal_monitor TO meditrustal_migrator, meditrustal_api");
        let expected =
            "GRANT meditrustal_api_monitor TO meditrustal_api_migrator, meditrustal_api_api";
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn the_usual_tenants_migrations_are_as_they_are() {
        let usual = Tenant::new(USUAL_SCHEMA, USUAL_PREFIX).expect("a tenant");
        for migration in MIGRATOR.iter() {
            let sql = migration.sql.as_str();
            assert_eq!(usual.rewrite(sql), sql);
        }
    }
}
