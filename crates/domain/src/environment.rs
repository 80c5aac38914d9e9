//! Whether real records are kept here, and the names of what can be set.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// Whether real records are kept here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// They are: what is insecure is refused.
    #[default]
    Production,
    /// They are not: what is insecure is warned of.
    Development,
}

impl Environment {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Production, Self::Development]
            .into_iter()
            .find(|it| it.as_str() == name)
            .ok_or_else(|| "it is production or development".to_owned())
    }
}

/// Something that is right where nothing is at stake, and is refused where real records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    name: &'static str,
    text: String,
}

/// The names of all risks, by which an operator can accept them.
pub const RISKS: [&str; 15] = [
    "database-role",
    "development-keys",
    "durability",
    "empty-password",
    "introspection",
    "no-deletion-grace",
    "open-cors",
    "open-metrics",
    "plain-collector",
    "plain-database",
    "plain-http",
    "plain-node",
    "playground",
    "trusts-all-proxies",
    "unknown-settings",
];

impl Risk {
    /// A risk of [`RISKS`], in words that say what to do.
    pub fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.name)
    }
}

/// What keeps a program from being started where real records are kept: all of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooRisky(Vec<Risk>);

impl fmt::Display for TooRisky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not safe for real records:")?;
        for risk in &self.0 {
            write!(f, "\n  - {risk}")?;
        }
        f.write_str(
            "\nmend it; or name in MEDITRUSTAL_ACCEPTED_RISKS what is to be accepted (the words in brackets); \
             or set MEDITRUSTAL_ENVIRONMENT=development where no real records are kept",
        )
    }
}

impl std::error::Error for TooRisky {}

impl Environment {
    /// What is to be warned of.
    ///
    /// # Errors
    /// [`TooRisky`] where one of them must not be, and nobody accepted it.
    pub fn judge(self, risks: Vec<Risk>, accepted: &[String]) -> Result<Vec<Risk>, TooRisky> {
        let is_borne = |risk: &Risk| {
            self == Self::Development || accepted.iter().any(|name| name == risk.name)
        };
        let (borne, refused): (Vec<_>, Vec<_>) = risks.into_iter().partition(is_borne);
        if refused.is_empty() {
            Ok(borne)
        } else {
            Err(TooRisky(refused))
        }
    }
}

/// Whether a host is this machine: by its name, or by an address that never leaves it.
pub fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether an address leads beyond this machine in clear text, by HTTP or by a WebSocket.
fn leaves_in_clear(url: &str) -> bool {
    // Readers of addresses take capitals, and other slashes than two.
    let Some((scheme, rest)) = url.trim_start().split_once(':') else {
        return false;
    };
    let mut plain = ["http", "ws"].iter();
    if !plain.any(|it| scheme.eq_ignore_ascii_case(it)) {
        return false;
    }
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    !is_here(host)
}

/// The risk of a node that is reached in clear text beyond this machine.
pub fn plain_node(url: &str) -> Option<Risk> {
    leaves_in_clear(url).then(|| {
        Risk::new(
            "plain-node",
            "the line to the chain's node leaves this machine and is not encrypted, so that who is on it can \
             lie to us: use https (or wss), or a tunnel",
        )
    })
}

/// The risk of an api that a token is sent to in clear text beyond this machine.
pub fn plain_api(url: &str) -> Option<Risk> {
    leaves_in_clear(url).then(|| {
        Risk::new(
            "plain-http",
            "the access token and the records would go to the api in clear text: let MEDITRUSTAL_URL begin with https, or \
             use a tunnel",
        )
    })
}

/// The risk of a collector that traces are sent to in clear text beyond this machine: they tell who does what, and when.
pub fn plain_collector(url: &str) -> Option<Risk> {
    leaves_in_clear(url).then(|| {
        Risk::new(
            "plain-collector",
            "the traces leave this machine in clear text: let MEDITRUSTAL_OTLP_URL begin with https, or use a collector on \
             this machine",
        )
    })
}

/// The risk of a password that is there and empty: PostgreSQL then asks for none.
pub fn empty_password(url: &str) -> Option<Risk> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, _) = authority.rsplit_once('@')?;
    user.ends_with(':').then(|| {
        Risk::new(
            "empty-password",
            "the password for the database is empty: set the one that `meditrustal database create` gave the role",
        )
    })
}

/// The risk of metrics that can be read from anywhere: they tell how much is done, and what fails.
pub fn open_metrics(address: SocketAddr) -> Option<Risk> {
    let is_inside = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    (!is_inside).then(|| {
        Risk::new(
            "open-metrics",
            format!(
                "the metrics at {address} can be read from beyond the private network: let MEDITRUSTAL_METRICS_ADDRESS \
                 be an address of this machine's own or of a private network"
            ),
        )
    })
}

/// What all settings of ours begin with in the environment.
pub const PREFIX: &str = "MEDITRUSTAL_";

/// The settings of all our programs and commands, without [`PREFIX`]: they are often set together.
pub const SETTINGS: [&str; 120] = [
    "ACCEPTED_RISKS",
    "ACCOUNT_FAILURES",
    "ACCOUNT_FAILURES_A_MINUTE",
    "ADDRESS_FAILURES",
    "ADDRESS_FAILURES_A_MINUTE",
    "ALLOWED_ORIGINS",
    "ALL_FAILURES",
    "ALL_FAILURES_A_MINUTE",
    "ANSWERS_MIB",
    "ANSWERS_OF_ACCOUNT_MIB",
    "ANSWER_MIB",
    "API_PASSWORD",
    "BACKUP_DIR",
    "BACKUP_PASSWORD",
    "BACKUP_RECIPIENTS",
    "BROWSER",
    "CHALLENGES",
    "CHALLENGES_A_MINUTE",
    "CHECKPOINT_EVERY",
    "CHECKPOINT_KEY_FILE",
    "CHECKPOINT_ROWS",
    "CONFIG",
    "CONNECTIONS",
    "CONNECTIONS_OF_ADDRESS",
    "COST_AT_ONCE",
    "COST_A_MINUTE",
    "DATABASE",
    "DATABASE_CAPACITY_GIB",
    "DEEP_CHECK_PER_SECOND",
    "DEEP_CHECK_REST",
    "DELETION_EVERY",
    "DELETION_GRACE",
    "DEPLOYMENT_FILE",
    "DRAIN",
    "ENVIRONMENT",
    "ERASURE_LEDGER",
    "FINALITY_DEPTH",
    "FIRST_WAIT",
    "GUESSES",
    "HEADER_TIMEOUT",
    "HEAD_AGE",
    "HELD_ENTRIES_MIB",
    "HOME_COUNTRY",
    "HOUSEKEEPING",
    "INDEXER_LISTEN",
    "INDEXER_PASSWORD",
    "INDEXER_SILENCE",
    "INDEXER_URL",
    "INDEX_KEY_FILE",
    "INTROSPECTION",
    "KEEP_DAILY_BACKUPS",
    "KEEP_ENDED_SESSIONS",
    "KEEP_IDEMPOTENCY_KEYS",
    "KEEP_MONTHLY_BACKUPS",
    "KEEP_WEEKLY_BACKUPS",
    "KEYS_BACKUP_DIR",
    "KEYS_BACKUP_RECIPIENTS",
    "KEYS_DATABASE_URL",
    "KEYS_PASSWORD",
    "LEAST_DEAD_ROWS",
    "LISTEN",
    "LOG",
    "LOG_FILE",
    "LOG_FORMAT",
    "LONGEST_QUERY",
    "LONGEST_WAIT",
    "LONG_ENTRIES_MIB",
    "MASTER_KEYS_FILE",
    "MAX_FEE_GWEI",
    "METRICS_ADDRESS",
    "MIGRATOR_PASSWORD",
    "ONLY_TRUSTED",
    "OTLP_URL",
    "PG_BIN",
    "PG_CLIENT_BIN",
    "PKCS11_MODULE",
    "PKCS11_PIN_FILE",
    "PKCS11_SLOT",
    "PKCS11_TOKEN",
    "PLAYGROUND_DIR",
    "POLL_MS",
    "POOL_MAX_OVERFLOW",
    "POOL_MAX_SIZE",
    "POOL_MIN_SIZE",
    "POOL_RECYCLE",
    "POOL_TIMEOUT",
    "PORTAL_DIR",
    "PROFILES",
    "PROMTOOL",
    "PROXY_HEADER",
    "RAISE_FEE_AFTER",
    "REGISTRAR_KEY_FILE",
    "REGISTRAR_KEY_FILES",
    "REGISTRATIONS",
    "REGISTRATIONS_A_MINUTE",
    "RELAY_CONSENTS",
    "REPLICA_WAIT",
    "REQUEST_TIMEOUT",
    "REQUIRE_SECOND_FACTOR",
    "RETENTION_EVERY",
    "ROLE_PREFIX",
    "ROOT_CERTIFICATES",
    "SCHEMA",
    "SEND_TIMEOUT",
    "SITE",
    "SLOW_OPERATION_MS",
    "SLOW_STATEMENT_MS",
    "SOCKETS_OF_ACCOUNT",
    "SOCKETS_OF_ADDRESS",
    "SWEEP_MS",
    "SWEEP_ROUND",
    "TIME_ZONE",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "TOKEN_FILE",
    "TOKEN_KEY_FILE",
    "TRUSTED_DOCUMENTS",
    "TRUSTED_PROXIES",
    "UPLOADS_A_DAY_MIB",
    "URL",
];

/// The variables that are set for us and have no [`PREFIX`].
const OTHERS: [&str; 5] = [
    "ADMIN_DATABASE_URL",
    "CHAIN_RPC_URL",
    "CHAIN_RPC_URLS",
    "DATABASE_REPLICA_URL",
    "DATABASE_URL",
];

/// The variables whose values may hold a secret. Each can be in a file of its own, which the same name with `_FILE` names.
pub const SECRETS: [&str; 14] = [
    "ADMIN_DATABASE_URL",
    "CHAIN_RPC_URL",
    "CHAIN_RPC_URLS",
    "DATABASE_REPLICA_URL",
    "DATABASE_URL",
    "MEDITRUSTAL_API_PASSWORD",
    "MEDITRUSTAL_BACKUP_PASSWORD",
    "MEDITRUSTAL_INDEXER_PASSWORD",
    "MEDITRUSTAL_INDEXER_URL",
    "MEDITRUSTAL_KEYS_DATABASE_URL",
    "MEDITRUSTAL_KEYS_PASSWORD",
    "MEDITRUSTAL_MIGRATOR_PASSWORD",
    "MEDITRUSTAL_OTLP_URL",
    "MEDITRUSTAL_URL",
];

/// The variables of all settings.
pub fn variables() -> Vec<String> {
    let ours = SETTINGS.iter().map(|name| format!("{PREFIX}{name}"));
    ours.chain(OTHERS.map(str::to_owned)).collect()
}

/// A setting that nobody knows, and the one that may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unknown {
    name: String,
    meant: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, meant } = self;
        write!(f, "{name} is no setting of ours")?;
        match meant {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => Ok(()),
        }
    }
}

/// The risk of each variable that is set for us and means nothing to us. `own` are names that the program knows
/// besides [`SETTINGS`].
pub fn unknown_settings(variables: impl IntoIterator<Item = String>, own: &[String]) -> Vec<Risk> {
    let unknown = unknown(variables, own);
    let text = unknown.iter().map(ToString::to_string);
    text.map(|text| Risk::new("unknown-settings", text))
        .collect()
}

/// Which of these variables are set for us, and mean nothing to us. `own` are names that the program knows
/// besides [`SETTINGS`].
fn unknown(variables: impl IntoIterator<Item = String>, own: &[String]) -> Vec<Unknown> {
    let known: Vec<String> = SETTINGS
        .iter()
        .map(|name| format!("{PREFIX}{name}"))
        .chain(SECRETS.iter().map(|name| format!("{name}_FILE")))
        .chain(own.iter().cloned())
        .collect();
    let mut unknown: Vec<_> = variables
        .into_iter()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .map(|name| {
            let nearest = known
                .iter()
                .min_by_key(|known| strsim::osa_distance(known, &name));
            let meant = nearest
                .filter(|known| strsim::osa_distance(known, &name) <= known.len() / 4)
                .cloned();
            Unknown { name, meant }
        })
        .collect();
    unknown.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_setting_is_told_with_the_one_that_was_meant() {
        let variables = [
            "HOME",
            "MEDITRUSTAL_GUESSES",
            "MEDITRUSTAL_GUESES",
            "MEDITRUSTAL_MASTER_KEY_FILE",
            "MEDITRUSTAL_INTROSPECTOIN",
            "MEDITRUSTAL_FAVOURITE_COLOUR_OF_THE_WARD",
            "MEDITRUSTAL_NEWEST",
            "MEDITRUSTAL_API_PASSWORD_FILE",
        ];
        let text: Vec<_> = unknown(
            variables.map(str::to_owned),
            &["MEDITRUSTAL_NEWEST".to_owned()],
        )
        .iter()
        .map(ToString::to_string)
        .collect();

        assert_eq!(
            text,
            [
                "MEDITRUSTAL_FAVOURITE_COLOUR_OF_THE_WARD is no setting of ours",
                "MEDITRUSTAL_GUESES is no setting of ours; did you mean MEDITRUSTAL_GUESSES?",
                "MEDITRUSTAL_INTROSPECTOIN is no setting of ours; did you mean MEDITRUSTAL_INTROSPECTION?",
                "MEDITRUSTAL_MASTER_KEY_FILE is no setting of ours; did you mean MEDITRUSTAL_MASTER_KEYS_FILE?",
            ]
        );
    }

    #[test]
    fn only_what_never_leaves_the_machine_is_here() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "/run/postgresql",
        ] {
            assert!(is_here(host), "{host}");
        }
        let elsewhere = [
            "db",
            "10.0.0.1",
            "0.0.0.0",
            "::",
            "localhost.example.org",
            "1270.0.0.1",
            "",
        ];
        for host in elsewhere {
            assert!(!is_here(host), "{host}");
        }
        for url in [
            "wss://node.example.org/key",
            "ws://127.0.0.1:8546",
            "http://127.0.0.1:8545",
            "http://user:word@localhost/path",
            "http://[::1]:8545/",
            "https://node.example.org",
        ] {
            for judge in [plain_node, plain_api, plain_collector] {
                assert_eq!(judge(url), None, "{url}");
            }
        }
        for url in [
            "ws://node:8546",
            "http://node.example.org:8545",
            "http://127.0.0.1@evil.example/",
            "HTTP://node.example.org:8545",
            "http:node.example.org:8545",
        ] {
            for judge in [plain_node, plain_api, plain_collector] {
                assert!(judge(url).is_some(), "{url}");
            }
        }
    }

    #[test]
    fn a_password_is_empty_where_it_stands_and_says_nothing() {
        assert!(empty_password("postgres://meditrustal_api:@db/meditrustal").is_some());
        for url in [
            "postgres://meditrustal_api:word@db/meditrustal",
            "postgres://meditrustal_api@db/meditrustal",
            "postgres://db:5432/meditrustal?options=a:@b",
            "postgres:///meditrustal?host=/run/postgresql",
        ] {
            assert_eq!(empty_password(url), None, "{url}");
        }
    }

    #[test]
    fn metrics_are_open_unless_they_stay_in_a_private_network() {
        for inside in [
            "127.0.0.1:9100",
            "10.1.2.3:9100",
            "172.31.0.1:9100",
            "192.168.0.9:9100",
            "[::1]:9100",
            "[fd00::1]:9100",
            "[::ffff:10.0.0.1]:9100",
        ] {
            let address = inside.parse().expect("an address");
            assert_eq!(open_metrics(address), None, "{inside}");
        }
        for open in [
            "0.0.0.0:9100",
            "[::]:9100",
            "172.32.0.1:9100",
            "203.0.113.9:9100",
            "[2001:db8::1]:9100",
        ] {
            let address = open.parse().expect("an address");
            assert!(open_metrics(address).is_some(), "{open}");
        }
    }

    #[test]
    fn a_risk_is_refused_in_production_unless_it_is_accepted() {
        let risks = || {
            vec![
                Risk::new("durability", "one"),
                Risk::new("plain-http", "two"),
            ]
        };
        let accepted = ["durability".to_owned()];

        let refused = Environment::Production
            .judge(risks(), &[])
            .expect_err("both");
        assert!(
            refused.to_string().contains("one (durability)"),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("two (plain-http)"),
            "{refused}"
        );
        let refused = Environment::Production
            .judge(risks(), &accepted)
            .expect_err("one");
        assert!(!refused.to_string().contains("one"), "{refused}");
        assert_eq!(
            Environment::Production
                .judge(risks()[..1].to_vec(), &accepted)
                .map(|it| it.len()),
            Ok(1)
        );
        assert_eq!(
            Environment::Development
                .judge(risks(), &[])
                .map(|it| it.len()),
            Ok(2)
        );
    }

    #[test]
    fn nothing_is_production_unless_it_says_otherwise() {
        assert_eq!(Environment::default(), Environment::Production);
        assert_eq!("development".parse(), Ok(Environment::Development));
        assert!("Development ".parse::<Environment>().is_err());
    }
}
