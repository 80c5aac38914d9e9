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

    #[command(flatten)]
    form: ResultForm,
}

impl DatabaseCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self::Create(settings) = self;
        let tenant = Tenant::new(&settings.schema, &settings.role_prefix)?;
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
