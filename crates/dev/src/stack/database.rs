//! The database of a stack: a cluster of our own, or one that runs already.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::Options;
use crate::postgres::{self, Cluster};
use crate::{Error, Result};

/// The database's name, as in the operator's manual.
const NAME: &str = "meditrustal";

/// Where the data is.
#[derive(Debug)]
pub enum Database {
    /// Started by us.
    Own(Box<Cluster>),
    /// Somebody else's, by a superuser's URL.
    Given(Box<PgConnectOptions>),
    /// A copy in the cluster of a template, by a superuser's URL and its own name.
    Copy(Box<PgConnectOptions>, String),
}

impl Database {
    /// Blocks until it is there.
    pub(super) fn start(options: &Options) -> Result<Self> {
        if let Some(url) = &options.database_url {
            let given = url.parse().map_err(|error| {
                Error::Needs(format!(
                    "DATABASE_URL is not the URL of a PostgreSQL: {error}"
                ))
            })?;
            return Ok(Self::Given(Box::new(given)));
        }
        let mut wanted = if options.keep {
            postgres::Options::persistent(&options.root)
        } else {
            postgres::Options::throw_away(&options.root)
        };
        wanted = wanted.on_port(options.postgres_port);
        if options.measured {
            wanted = wanted.durable();
        }
        for (name, value) in &options.postgres {
            wanted = wanted.setting(name, value);
        }
        Ok(Self::Own(Box::new(Cluster::start(wanted)?)))
    }

    /// Our own cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Own(cluster) => Some(cluster),
            Self::Given(_) | Self::Copy(..) => None,
        }
    }

    /// Our own cluster, to be restarted.
    pub fn cluster_mut(&mut self) -> Option<&mut Cluster> {
        match self {
            Self::Own(cluster) => Some(cluster),
            Self::Given(_) | Self::Copy(..) => None,
        }
    }

    /// The URL of the product's database for one of its roles.
    pub fn url(&self, role: &str, password: &str) -> String {
        match self {
            Self::Own(cluster) => cluster.url(role, password, NAME),
            Self::Given(server) | Self::Copy(server, _) => url_of(
                &server.as_ref().clone().username(role).password(password),
                self.name(),
            ),
        }
    }

    /// The superuser's URL of the product's database.
    pub fn superuser_url(&self) -> String {
        self.admin_url(self.name())
    }

    /// The product's database.
    pub fn name(&self) -> &str {
        match self {
            Self::Own(_) | Self::Given(_) => NAME,
            Self::Copy(_, name) => name,
        }
    }

    /// The superuser's URL of the database that is always there.
    pub(super) fn maintenance_url(&self) -> String {
        self.admin_url("postgres")
    }

    fn admin_url(&self, database: &str) -> String {
        match self {
            Self::Own(cluster) => cluster.superuser_url(database),
            Self::Given(server) | Self::Copy(server, _) => url_of(server, database),
        }
    }

    /// What it is, for a person.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Own(cluster) => format!(
                "PostgreSQL {} on 127.0.0.1:{}, data in {}",
                cluster.version(),
                cluster.port(),
                cluster.data().display()
            ),
            Self::Given(given) => {
                format!(
                    "the PostgreSQL of DATABASE_URL, {}:{}",
                    given.get_host(),
                    given.get_port()
                )
            }
            Self::Copy(_, name) => format!("the database {name}, a copy"),
        }
    }

    /// A database of its own with everything that this one holds, which nobody may be using.
    pub(super) async fn copy(&self, name: &str) -> Result<Self> {
        let original = self.name();
        let statements = [
            format!("CREATE DATABASE {name} OWNER meditrustal_migrator TEMPLATE {original}"),
            // Rights on a database are no part of what is copied.
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!(
                "GRANT CONNECT ON DATABASE {name} TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup"
            ),
        ];
        self.maintain(&statements).await?;
        let server = self.maintenance_url().parse()?;
        Ok(Self::Copy(Box::new(server), name.to_owned()))
    }

    /// Drops a copy, and cuts off whoever still uses it. Any other database stays.
    ///
    /// # Errors
    ///
    /// When the server does not do it.
    pub async fn end(&self) -> Result<()> {
        match self {
            Self::Own(_) | Self::Given(_) => Ok(()),
            Self::Copy(_, name) => {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                self.maintain(&[drop]).await
            }
        }
    }

    async fn maintain(&self, statements: &[String]) -> Result<()> {
        let mut server = PgConnection::connect(&self.maintenance_url()).await?;
        for statement in statements {
            // Built from our own names alone.
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()))
                .execute(&mut server)
                .await?;
        }
        server.close().await?;
        Ok(())
    }
}

/// A URL that every client of PostgreSQL understands: sqlx adds a word of its own.
fn url_of(server: &PgConnectOptions, database: &str) -> String {
    let mut url = server.clone().database(database).to_url_lossy();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let common = pairs
        .iter()
        .filter(|(name, _)| name != "statement-cache-capacity");
    url.query_pairs_mut().clear().extend_pairs(common);
    url.to_string()
}
