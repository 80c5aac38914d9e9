//! What only the operator does, on the command line: making administrators, and taking a second factor off
//! whose device is lost.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin, ResourceType},
    ids::{RequestId, UserId},
    purpose::Purpose,
    seals::Authority,
    users::{Email, Role, SCHEDULER, Username},
};
use serde_json::json;
use store::{
    PoolSettings, audit, seals, second_factors,
    sessions::{self, Which},
    users::NewUser,
};
use vault::password;

use super::{
    output::{Failure, ResultForm},
    seal::MasterKeys,
};
use crate::{config::database_url, users::password::choose};

/// What can be done about administrators.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make an account with the role ADMIN
    Create(CreateAdmin),
    /// Take the second factor off somebody who has lost their device, and end their log-ins
    ResetSecondFactor(ResetSecondFactor),
}

/// Settings of `admin reset-second-factor`.
#[derive(Debug, Args)]
pub(crate) struct ResetSecondFactor {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// Whose
    #[arg(long)]
    username: String,

    /// Change nothing; say what would be done
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `admin create`.
#[derive(Debug, Args)]
pub(crate) struct CreateAdmin {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// Where mail reaches them
    #[arg(long)]
    email: String,

    /// What they call themselves
    #[arg(long)]
    username: String,

    /// A file whose first line is the password; - reads standard input
    #[arg(long)]
    password_file: PathBuf,

    /// Change nothing; say what would be made
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl AdminCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(settings) => settings.run().await,
            Self::ResetSecondFactor(settings) => settings.run().await,
        }
    }
}

impl ResetSecondFactor {
    async fn run(self) -> Result<(), Failure> {
        let pool = connect(&self.url)?;
        let keyring = self.keys.open_for(&pool, self.dry_run).await?;
        let mut tx = pool.begin().await?;
        let found = store::users::by_login(&mut tx, &self.username).await?;
        let user = found.ok_or("there is no such account")?;
        let is_there = second_factors::remove(&mut tx, user.id).await?;
        let account = seals::lock_authority(&mut tx, user.id).await?;
        let account = account.ok_or("there is no such account")?;
        let Ok(mut account) = keyring.open_row(account) else {
            return Err(format!(
                "the account of {} is not as it was sealed: look, and then `meditrustal seal rows --table users --id {}`",
                user.username, user.id
            )
            .into());
        };
        if !is_there && !account.has_second_factor {
            return Err(format!("{} has no second factor", user.username).into());
        }
        if self.dry_run {
            tx.rollback().await?;
            return self.form.say(
                &format!(
                    "the second factor of {} would be off, and their log-ins over; nothing was changed",
                    user.username
                ),
                &json!({ "dryRun": true, "id": user.id, "username": user.username }),
            );
        }
        store::barrier::lock_exclusive(&mut tx, [user.id]).await?;
        account.has_second_factor = false;
        seals::write_authority(&mut tx, &account, &keyring.seal_row(&account)?).await?;
        sessions::revoke(&mut tx, user.id, Which::All).await?;
        let entry = AuditEntry {
            resource_type: ResourceType::User,
            resource_id: user.id.0,
            new_value: Some(json!({ "by": "command line" })),
            classification: Classification::Security,
            patient: Some(user.id),
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::SecondFactorRemove,
                Purpose::SystemAdministration,
                &Origin::job(RequestId::fresh()),
            )
        };
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        self.form.say(
            &format!(
                "the second factor of {} is off, and their log-ins are over",
                user.username
            ),
            &json!({ "id": user.id, "username": user.username, "hasSecondFactor": false }),
        )
    }
}

fn connect(url: &str) -> Result<store::Pool, Failure> {
    let one = PoolSettings {
        min: 0,
        ..PoolSettings::default()
    };
    Ok(store::connect(url, "meditrustal admin", one)?)
}

impl CreateAdmin {
    async fn run(self) -> Result<(), Failure> {
        let settings = self;
        let email = Email::parse(&settings.email)?;
        let username = Username::parse(&settings.username)?;
        let names = [username.as_str(), email.as_str()];
        let new_password = choose(&read_password(&settings.password_file)?, &names)?;
        let hashed = password::hash(new_password.as_str());

        let pool = connect(&settings.url)?;
        let keyring = settings.keys.open_for(&pool, settings.dry_run).await?;
        let mut tx = pool.begin().await?;
        let id = UserId::fresh();
        let account = Authority::new(id, &email, &username, Role::Admin, hashed);
        let user = NewUser {
            authority: &account,
            seal: &keyring.seal_row(&account)?,
        };
        store::users::insert(&mut tx, &user).await?;
        if settings.dry_run {
            tx.rollback().await?;
            return settings.form.say(
                &format!(
                    "administrator {} would be made; nothing was changed",
                    username.as_str()
                ),
                &json!({ "dryRun": true, "username": username.as_str(), "role": Role::Admin }),
            );
        }
        let entry = AuditEntry {
            resource_type: ResourceType::User,
            resource_id: id.0,
            new_value: Some(json!({ "role": Role::Admin, "by": "command line" })),
            classification: Classification::Security,
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::UserRoleChange,
                Purpose::SystemAdministration,
                &Origin::job(RequestId::fresh()),
            )
        };
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        settings.form.say(
            &format!("administrator {} made, id {id}", username.as_str()),
            &json!({ "id": id, "username": username.as_str(), "role": Role::Admin }),
        )
    }
}

fn read_password(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path).map_err(|error| {
            format!(
                "the password file {} cannot be read: {error}",
                path.display()
            )
        })?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
