//! The database of a stack: a cluster of our own, or one that runs already.

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

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
        for (name, value) in &options.postgres {
            wanted = wanted.setting(name, value);
        }
        Ok(Self::Own(Box::new(Cluster::start(wanted)?)))
    }

    /// Our own cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Own(cluster) => Some(cluster),
            Self::Given(_) => None,
        }
    }

    /// Our own cluster, to be restarted.
    pub fn cluster_mut(&mut self) -> Option<&mut Cluster> {
        match self {
            Self::Own(cluster) => Some(cluster),
            Self::Given(_) => None,
        }
    }

    /// The URL of the product's database for one of its roles.
    pub fn url(&self, role: &str, password: &str) -> String {
        match self {
            Self::Own(cluster) => cluster.url(role, password, NAME),
            Self::Given(given) => {
                let role = given.as_ref().clone().username(role).password(password);
                role.database(NAME).to_url_lossy().to_string()
            }
        }
    }

    /// The superuser's URL of the product's database.
    pub fn superuser_url(&self) -> String {
        self.admin_url(NAME)
    }

    /// The superuser's URL of the database that is always there.
    pub(super) fn maintenance_url(&self) -> String {
        self.admin_url("postgres")
    }

    fn admin_url(&self, database: &str) -> String {
        match self {
            Self::Own(cluster) => cluster.superuser_url(database),
            Self::Given(given) => given
                .as_ref()
                .clone()
                .database(database)
                .to_url_lossy()
                .to_string(),
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
        }
    }
}
