//! The database: its roles, and itself.

use clap::{Args, Subcommand};
use serde_json::json;
use store::{provision, tenant::Tenant};

use super::output::{Failure, ResultForm};
use crate::config::{database_url, password};

/// What can be done to the database as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Make the roles and the database; harmless to repeat
    Create(CreateDatabase),
}

/// Settings of `database create`.
#[derive(Debug, Args)]
pub(crate) struct CreateDatabase {
    /// Where the server is, under a role that may make roles and databases
    #[arg(long, env = "ADMIN_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    admin_database_url: String,

    /// The name of the database
    #[arg(long, env = "MEDITRUSTAL_DATABASE", default_value = "meditrustal")]
    database: String,

    /// The schema of the tables: another one for each tenant of a database that several share
    #[arg(long, env = "MEDITRUSTAL_SCHEMA", default_value = "public")]
    schema: String,

    /// How the names of the roles begin: otherwise for each tenant of a server that several share
    #[arg(long, env = "MEDITRUSTAL_ROLE_PREFIX", default_value = "meditrustal")]
    role_prefix: String,

    /// What meditrustal_migrator logs in with
    #[arg(long, env = "MEDITRUSTAL_MIGRATOR_PASSWORD", hide_env_values = true, value_parser = password)]
    migrator_password: String,

    /// What meditrustal_api logs in with
    #[arg(long, env = "MEDITRUSTAL_API_PASSWORD", hide_env_values = true, value_parser = password)]
    api_password: String,

    /// What meditrustal_indexer logs in with
    #[arg(long, env = "MEDITRUSTAL_INDEXER_PASSWORD", hide_env_values = true, value_parser = password)]
    indexer_password: String,

    /// What meditrustal_keys logs in with
    #[arg(long, env = "MEDITRUSTAL_KEYS_PASSWORD", hide_env_values = true, value_parser = password)]
    keys_password: String,

    /// What meditrustal_backup logs in with
    #[arg(long, env = "MEDITRUSTAL_BACKUP_PASSWORD", hide_env_values = true, value_parser = password)]
    backup_password: String,

    /// Change nothing; say what is there, and what would be made
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl DatabaseCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self::Create(settings) = self;
        let tenant = Tenant::new(&settings.schema, &settings.role_prefix)?;
        if settings.dry_run {
            return settings.try_out(&tenant).await;
        }
        let passwords = provision::Passwords {
            migrator: settings.migrator_password,
            api: settings.api_password,
            indexer: settings.indexer_password,
            keys: settings.keys_password,
            backup: settings.backup_password,
        };
        let database = &settings.database;
        provision::create(&settings.admin_database_url, database, &tenant, &passwords).await?;
        settings.form.say(
            &format!("database {database} and its roles are ready"),
            &json!({
                "database": database, "schema": settings.schema, "rolePrefix": settings.role_prefix,
            }),
        )
    }
}

impl CreateDatabase {
    /// Says what would be made.
    async fn try_out(&self, tenant: &Tenant) -> Result<(), Failure> {
        let database = &self.database;
        let found = provision::look(&self.admin_database_url, database, tenant).await?;
        if !found.may_make_roles {
            return Err(
                "this role may not make roles: name one in ADMIN_DATABASE_URL that may".into(),
            );
        }
        let (there, missing): (Vec<String>, Vec<String>) = tenant
            .roles()
            .into_iter()
            .partition(|role| found.roles.contains(role));
        for role in &missing {
            self.form
                .say_words(&format!("the role {role} would be made"))?;
        }
        for role in &there {
            self.form.say_words(&format!(
                "the role {role} is there: its password would be set, where it logs in"
            ))?;
        }
        for (what, name, is_there) in [
            ("database", database, found.has_database),
            ("schema", &self.schema, found.has_schema),
        ] {
            let would = if is_there {
                "is there, and would stay"
            } else {
                "would be made"
            };
            self.form.say_words(&format!("the {what} {name} {would}"))?;
        }
        self.form.say(
            "nothing was changed",
            &json!({
                "dryRun": true, "database": database, "schema": self.schema, "rolePrefix": self.role_prefix,
                "missingRoles": missing, "hasDatabase": found.has_database, "hasSchema": found.has_schema,
            }),
        )
    }
}
