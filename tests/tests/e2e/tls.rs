//! TLS to the database, to the node and by the api itself: who is believed, and who is not.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::commands::says;
use tests::{World, eventually};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

use crate::monitoring::Settings;
use crate::telemetry::Collector;

/// Somebody who signs certificates.
pub(crate) struct Authority {
    key: KeyPair,
    certificate: Certificate,
}

/// A certificate and its key, both in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Until when a certificate is in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InForce {
    Still,
    NoMore,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        Self { key, certificate }
    }

    pub(crate) fn issues(&self, name: &str, in_force: InForce) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        if in_force == InForce::NoMore {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let signed = params.signed_by(&key, &self.certificate, &self.key);
        Issued {
            certificate: signed.expect("signed").pem(),
            key: key.serialize_pem(),
        }
    }

    /// The authority as a file.
    fn file(&self, world: &World, name: &str) -> String {
        let path = world.file(name);
        fs::write(&path, self.certificate.pem()).expect("written");
        path
    }

    /// A client that believes this authority alone.
    pub(crate) fn believed(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("added");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// Writes a file that its owner alone can read, in the place of the one that is there.
fn replaces(path: &str, text: &str) {
    let fresh = format!("{path}.new");
    fs::write(&fresh, text).expect("written");
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("set");
    fs::rename(&fresh, path).expect("renamed");
}

/// Has the world's own PostgreSQL speak TLS by this certificate.
async fn database_shows(world: &World, issued: &Issued) {
    let url = world.foundation.database.superuser_url();
    let mut superuser = PgConnection::connect(&url).await.expect("a superuser");
    let write = |text: &str, name: &str| {
        // Its own process writes them: it alone may read the key.
        format!(
            "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {name}'",
            text.trim_end()
        )
    };
    for statement in [
        write(&issued.certificate, "server.crt"),
        write(&issued.key, "server.key"),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut superuser);
        done.await.expect("the superuser may");
    }
}

/// The address of the database for a role, with other words about TLS.
fn by_tls(world: &World, role: &str, mode: &str, root: &str) -> String {
    let url = world.foundation.url_of(role).expect("there is the role");
    assert!(
        !url.contains('?'),
        "the address of a world's own PostgreSQL says nothing more"
    );
    format!("{url}?sslmode={mode}&sslrootcert={root}")
}

/// What a command that reads the database says, and whether it could.
async fn asks(world: &World, url: &str) -> Result<(), String> {
    let output = Command::new(&world.foundation.programs.meditrustal)
        .args(["retention", "rules"])
        .env_clear()
        .env("DATABASE_URL", url)
        .output()
        .await
        .expect("the program starts");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_database_is_believed_by_its_certificate_alone() {
    let world = World::with_its_own_postgres().await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let root = authority.file(&world, "root.pem");
    let stranger = other.file(&world, "other.pem");
    let role = "meditrustal_api";
    database_shows(&world, &authority.issues("127.0.0.1", InForce::Still)).await;

    let url = by_tls(&world, role, "verify-full", &root);
    eventually("PostgreSQL shows its certificate", async || {
        asks(&world, &url).await.ok()
    })
    .await;
    for mode in ["require", "verify-ca", "disable"] {
        let url = by_tls(&world, role, mode, &root);
        assert_eq!(asks(&world, &url).await, Ok(()), "{mode}");
    }
    let said = asks(&world, &by_tls(&world, role, "verify-full", &stranger)).await;
    let said = said.expect_err("another authority");
    assert!(
        said.contains("no encrypted line to it could be had"),
        "{said}"
    );
    assert!(said.contains("UnknownIssuer"), "{said}");
    let said = asks(
        &world,
        &by_tls(&world, role, "verify-full", "/nowhere/root.pem"),
    )
    .await;
    said.expect_err("there is no such file");

    // The name is another one; the authority is the same.
    database_shows(&world, &authority.issues("db.example.org", InForce::Still)).await;
    let said = eventually("PostgreSQL shows another name", async || {
        asks(&world, &url).await.err()
    })
    .await;
    assert!(
        said.contains("no encrypted line to it could be had"),
        "{said}"
    );
    let by_authority = by_tls(&world, role, "verify-ca", &root);
    assert_eq!(asks(&world, &by_authority).await, Ok(()));

    database_shows(&world, &authority.issues("127.0.0.1", InForce::NoMore)).await;
    let said = eventually("PostgreSQL shows what is over", async || {
        asks(&world, &by_authority).await.err()
    })
    .await;
    assert!(said.to_lowercase().contains("expired"), "{said}");
}

#[tokio::test]
async fn every_connection_to_the_database_is_encrypted_where_it_is_wanted() {
    let world = World::with_its_own_postgres().await;
    let authority = Authority::new("ours");
    let root = authority.file(&world, "root.pem");
    database_shows(&world, &authority.issues("127.0.0.1", InForce::Still)).await;
    let api = by_tls(&world, "meditrustal_api", "verify-full", &root);
    eventually("PostgreSQL shows its certificate", async || {
        asks(&world, &api).await.ok()
    })
    .await;
    world.api.stop().await;
    world.indexer.stop().await;
    let connections = "SELECT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
                       WHERE usename IN ('meditrustal_api', 'meditrustal_indexer')";
    eventually("those of before have ended", async || {
        world.sql(connections).await.is_empty().then_some(())
    })
    .await;
    let indexer = by_tls(&world, "meditrustal_indexer", "verify-full", &root);

    let api = world
        .another_api("by-tls", &[("DATABASE_URL", api.as_str())])
        .await;
    let indexer = [("DATABASE_URL", indexer.as_str())];
    let indexer = world.another_indexer("indexer-by-tls", &indexer).await;
    api.ready().await;
    indexer.ready().await;

    // Beside the pool there are those for notices and for health.
    let found = eventually("both programs have connections", async || {
        let found = world.sql(connections).await;
        (found.len() >= 4).then_some(found)
    })
    .await;
    assert!(found.iter().all(|row| row["ssl"] == true), "{found:?}");
}

#[tokio::test]
async fn a_line_to_the_database_that_nothing_verifies_is_refused_in_production() {
    let world = World::with_its_own_postgres().await;
    let authority = Authority::new("ours");
    let root = authority.file(&world, "root.pem");
    // This machine by an address that is not known to be this machine's.
    database_shows(&world, &authority.issues("0.0.0.0", InForce::Still)).await;
    let url = |mode| {
        let url = by_tls(&world, "meditrustal_api", mode, &root);
        url.replace("@127.0.0.1:", "@0.0.0.0:")
    };
    let verified = url("verify-full");
    eventually("PostgreSQL shows its certificate", async || {
        asks(&world, &verified).await.ok()
    })
    .await;
    let refused = async |url: &str| {
        let mut environment = world.foundation.options().api.clone();
        let more = [
            ("MEDITRUSTAL_ENVIRONMENT", "production"),
            ("DATABASE_URL", url),
        ];
        environment.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let started = world.foundation.api("refused", 0, &environment).await;
        started.expect_err("it must not serve").to_string()
    };

    for mode in ["disable", "prefer", "require", "verify-ca"] {
        let said = refused(&url(mode)).await;
        assert!(said.contains("(plain-database)"), "{mode}: {said}");
    }
    // What else is wrong with a world's api is refused all the same.
    let said = refused(&verified).await;
    assert!(said.contains("(durability)"), "{said}");
    assert!(!said.contains("(plain-database)"), "{said}");
    // The same of a command, which looks at nothing else.
    let plain = url("require");
    let said = asks(&world, &plain).await.expect_err("nobody accepted it");
    assert!(said.contains("(plain-database)"), "{said}");
    let accepted = [
        ("DATABASE_URL", plain.as_str()),
        ("MEDITRUSTAL_ACCEPTED_RISKS", "plain-database"),
    ];
    let (code, said) = says(&world, "meditrustal", &["retention", "rules"], &accepted).await;
    assert_eq!(code, Some(0), "{said}");
}

/// Ends TLS before a server that speaks none, until the test's runtime ends; answers where.
async fn ends_tls_before(server: &str, issued: &Issued) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let server = server
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.ok()?;
                let mut server = TcpStream::connect(server).await.ok()?;
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok()
            });
        }
    });
    address
}

#[tokio::test]
async fn a_node_is_reached_by_https_and_believed_by_its_certificate_alone() {
    let world = World::start().await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let root = authority.file(&world, "root.pem");
    let stranger = other.file(&world, "other.pem");
    let document = world.file("document.json");
    fs::write(&document, "{}").expect("written");
    let deployment = world.foundation.dir().join("deployment.json");
    let in_clear = world.foundation.chain_rpc_url().to_owned();
    let verify = async |address: SocketAddr, root: Option<&str>| {
        let mut command = Command::new(&world.foundation.programs.meditrustal);
        command
            .args(["verify", &document, "--rpc", &format!("https://{address}")])
            .arg("--deployment")
            .arg(&deployment)
            .env_clear();
        if let Some(root) = root {
            command.env("MEDITRUSTAL_ROOT_CERTIFICATES", root);
        }
        let output = command.output().await.expect("the program starts");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };

    let issued = authority.issues("127.0.0.1", InForce::Still);
    let right = ends_tls_before(&in_clear, &issued).await;
    let (code, said) = verify(right, Some(&root)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("NOT_ANCHORED"), "{said}");

    let wrong_name = authority.issues("node.example.org", InForce::Still);
    let wrong_name = ends_tls_before(&in_clear, &wrong_name).await;
    let over = authority.issues("127.0.0.1", InForce::NoMore);
    let over = ends_tls_before(&in_clear, &over).await;
    for (address, root) in [
        (right, Some(stranger.as_str())),
        (right, None),
        (wrong_name, Some(root.as_str())),
        (over, Some(root.as_str())),
    ] {
        let (code, said) = verify(address, root).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(!said.contains("NOT_ANCHORED"), "{said}");
    }
    // An indexer follows the chain by it.
    let url = format!("https://{right}");
    let environment = [
        ("CHAIN_RPC_URL", url.as_str()),
        ("MEDITRUSTAL_ROOT_CERTIFICATES", root.as_str()),
    ];
    world.indexer.stop().await;
    let indexer = world.another_indexer("by-tls", &environment).await;
    world.mine(1).await;
    world.wait_for_indexer().await;
    drop(indexer);
}

#[tokio::test]
async fn traces_go_by_https_to_a_collector_that_is_believed_and_to_no_other() {
    let world = World::start().await;
    let (collector, in_clear) = Collector::start().await;
    let authority = Authority::new("ours");
    let root = authority.file(&world, "root.pem");
    let issued = authority.issues("127.0.0.1", InForce::Still);
    let address = ends_tls_before(&in_clear, &issued).await;
    let url = format!("https://{address}");
    let collects = ("MEDITRUSTAL_OTLP_URL", url.as_str());

    let stranger = world.another_api("not-believing", &[collects]).await;
    eventually("the collector is not believed", async || {
        let said = stranger.log();
        said.contains("The collector of traces takes none")
            .then_some(())
    })
    .await;
    assert_eq!(collector.bodies(), "");

    let believes = [collects, ("MEDITRUSTAL_ROOT_CERTIFICATES", root.as_str())];
    let believing = world.another_api("believing", &believes).await;
    eventually("the collector has spans", async || {
        collector.bodies().contains("node call").then_some(())
    })
    .await;
    drop(believing);
}

#[tokio::test]
async fn a_node_tells_of_new_blocks_by_wss_and_is_believed_by_its_certificate_alone() {
    let mut world = World::start().await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let root = authority.file(&world, "root.pem");
    let stranger = other.file(&world, "other.pem");
    let issued = authority.issues("127.0.0.1", InForce::Still);
    let address = ends_tls_before(world.foundation.chain_rpc_url(), &issued).await;
    let url = format!("wss://{address}");

    for (name, root, is_believed) in [("wss", &root, true), ("wss-of-another", &stranger, false)] {
        world.indexer.stop().await;
        let environment = [
            ("CHAIN_RPC_URLS", url.as_str()),
            ("MEDITRUSTAL_ROOT_CERTIFICATES", root.as_str()),
        ];
        world.indexer = world.another_indexer(name, &environment).await;
        let said = eventually("the line is begun, or is not", async || {
            let said = world.indexer.says("/health/ready").await["subscriptions"][0].clone();
            let has_failed = said["failures"].as_u64() > Some(0);
            (said["isConnected"] == true || has_failed).then_some(said)
        })
        .await;
        assert_eq!(said["isConnected"], is_believed, "{said}");
        // The node itself is asked in clear text.
        world.mine(1).await;
        world.wait_for_indexer().await;
    }
}

/// An api that speaks TLS itself.
struct OverTls {
    _process: Child,
    log: String,
    port: u16,
}

impl OverTls {
    fn start(world: &World, certificate: &str, key: &str) -> Self {
        let port = dev::port::claim().expect("there are ports");
        let dir = world.foundation.dir();
        let keys = dir.join("keys");
        let url = world
            .foundation
            .url_of("meditrustal_api")
            .expect("the role");
        let log = world.file("over-tls.log");
        let written = fs::File::create(&log).expect("it can be made");
        let process = Command::new(&world.foundation.programs.meditrustal)
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", url)
            .env("CHAIN_RPC_URL", world.foundation.chain_rpc_url())
            .env("MEDITRUSTAL_ENVIRONMENT", "development")
            .env("MEDITRUSTAL_DEPLOYMENT_FILE", dir.join("deployment.json"))
            .env(
                "MEDITRUSTAL_MASTER_KEYS_FILE",
                keys.join("master-keys.json"),
            )
            .env("MEDITRUSTAL_INDEX_KEY_FILE", keys.join("index.key"))
            .env("MEDITRUSTAL_TOKEN_KEY_FILE", keys.join("token-key.pem"))
            .env("MEDITRUSTAL_REGISTRAR_KEY_FILE", keys.join("registrar.key"))
            .env("MEDITRUSTAL_LISTEN", format!("127.0.0.1:{port}"))
            .env("MEDITRUSTAL_TLS_CERT_FILE", certificate)
            .env("MEDITRUSTAL_TLS_KEY_FILE", key)
            .env("MEDITRUSTAL_HEADER_TIMEOUT", "1")
            .stdout(Stdio::null())
            .stderr(written)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self {
            _process: process,
            log,
            port,
        }
    }

    /// What it answers who believes this authority alone; `None` where that one is not believed, or nobody answers.
    async fn answers(&self, believed: &Authority) -> Option<u16> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(believed.believed())
            .build()
            .expect("a client");
        let url = format!("https://localhost:{}/health/live", self.port);
        let answer = client.get(url).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    async fn connects(&self, believed: &Authority) -> TlsStream<TcpStream> {
        let mut config = believed.believed();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream.expect("a connection"))
            .await
            .expect("it is believed")
    }
}

#[tokio::test]
async fn an_api_speaks_tls_by_a_certificate_that_can_be_replaced() {
    let world = World::start().await;
    let (authority, next) = (Authority::new("ours"), Authority::new("another"));
    let (certificate, key) = (world.file("cert.pem"), world.file("key.pem"));
    let issued = authority.issues("localhost", InForce::Still);
    replaces(&certificate, &issued.certificate);
    replaces(&key, &issued.key);

    let api = OverTls::start(&world, &certificate, &key);

    let status = eventually("the api answers by TLS", async || {
        api.answers(&authority).await
    })
    .await;
    assert_eq!(status, 200);
    assert_eq!(api.answers(&next).await, None, "another authority");
    let in_clear = format!("http://127.0.0.1:{}/health/live", api.port);
    assert!(dev::http::get(in_clear).await.is_err(), "no TLS, no answer");
    let mut silent = TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("taken");
    let read = silent.read(&mut [0; 1]).await;
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "who says nothing is cut off: {read:?}"
    );

    // A WebSocket over it goes on after the certificate was replaced.
    let ana = world.patient("ana").await;
    let stream = api.connects(&authority).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let address = format!("wss://localhost:{}/graphql", api.port);
    let request = ClientRequestBuilder::new(address.parse().expect("an address"))
        .with_sub_protocol("graphql-transport-ws");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("it is a WebSocket");
    let mut says = async |message: &str, wanted: &str| {
        let message = Message::text(message.to_owned());
        socket.send(message).await.expect("the line is there");
        loop {
            let answer = socket.next().await.expect("an answer");
            let answer = answer.expect("a message");
            if answer.is_text() {
                assert!(answer.to_string().contains(wanted), "{answer}");
                break;
            }
        }
    };
    let payload = json!({ "authorization": ana.bearer() });
    let init = json!({ "type": "connection_init", "payload": payload });
    says(&init.to_string(), "connection_ack").await;
    let renewed = next.issues("localhost", InForce::Still);
    replaces(&certificate, &renewed.certificate);
    replaces(&key, &renewed.key);
    let status = eventually("the new certificate is shown", async || {
        api.answers(&next).await
    })
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        api.answers(&authority).await,
        None,
        "that of before is gone"
    );
    says(r#"{"type":"ping"}"#, "pong").await;

    // What cannot be used is not taken.
    replaces(&certificate, "no certificate");
    eventually("the api says that it keeps what it has", async || {
        let log = fs::read_to_string(&api.log).unwrap_or_default();
        let keeps = log.contains("The certificate of before is shown on");
        keeps.then_some(())
    })
    .await;
    assert_eq!(api.answers(&next).await, Some(200));
}

#[tokio::test]
async fn commands_reach_an_api_by_https_where_they_believe_it() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let authority = Authority::new("ours");
    let root = authority.file(&world, "root.pem");
    let (certificate, key) = (world.file("cert.pem"), world.file("key.pem"));
    let issued = authority.issues("localhost", InForce::Still);
    replaces(&certificate, &issued.certificate);
    replaces(&key, &issued.key);
    let api = OverTls::start(&world, &certificate, &key);
    eventually("the api answers by TLS", async || {
        api.answers(&authority).await
    })
    .await;
    let export = async |file: &str, root: Option<&str>| {
        let file = world.file(file);
        let arguments = ["export", &file, "--everything", "--tries", "1"];
        let mut command = world.command(&ana, &ana, &arguments);
        command.env("MEDITRUSTAL_URL", format!("https://localhost:{}", api.port));
        if let Some(root) = root {
            command.env("MEDITRUSTAL_ROOT_CERTIFICATES", root);
        }
        let output = command.output().await.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };

    let (code, said) = export("mine.tar", Some(&root)).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = export("not-believed.tar", None).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("certificate"), "{said}");
    // A certificate without its key, and one that is none, are told before anything begins.
    for (variable, value, wanted) in [
        (
            "MEDITRUSTAL_ROOT_CERTIFICATES",
            key.as_str(),
            "holds no certificate",
        ),
        (
            "MEDITRUSTAL_TLS_CERT_FILE",
            certificate.as_str(),
            "(MEDITRUSTAL_TLS_KEY_FILE) is missing",
        ),
    ] {
        let output = Command::new(&world.foundation.programs.meditrustal)
            .args(["config", "check"])
            .env_clear()
            .env(variable, value)
            .output()
            .await
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{said}");
    }
}

#[tokio::test]
async fn health_says_for_how_long_a_certificate_is_in_force() {
    let world = World::start().await;
    let authority = Authority::new("an authority of this test");
    let file = world.file("looked-at.pem");
    let settings = Settings::of(&world);
    let (checks, _) = settings.checks(&world).await;
    assert!(!checks.contains_key("certificate"), "{checks:#?}");

    let settings = settings.and("MEDITRUSTAL_TLS_CERT_FILE", file.as_str());
    let issued = |in_force| authority.issues("localhost", in_force).certificate;
    for (text, status, wanted) in [
        (issued(InForce::Still), "ok", "it is in force for"),
        (issued(InForce::NoMore), "critical", "it was over"),
        ("none".to_owned(), "warning", "holds no certificate"),
    ] {
        fs::write(&file, text).expect("written");
        let (checks, _) = settings.checks(&world).await;
        let check = &checks["certificate"];
        assert_eq!(check["status"], status, "{check:#?}");
        let found = check["found"].as_str().unwrap_or_default();
        assert!(found.contains(wanted), "{found}");
    }
}
