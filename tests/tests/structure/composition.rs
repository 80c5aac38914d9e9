//! The composition of `ops/container` fits together: what waits for what, files, addresses and ports. That its programs take what it
//! gives them is tried in `e2e`; no container engine has run it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use dev::scratch::Scratch;
use tests::composition::{ComposedService, composition, timers};

/// What `meditrustal keys new` makes, and what the registry is deployed with.
const SECRETS: [&str; 6] = [
    "checkpoint.key",
    "deployment.json",
    "index.key",
    "master-keys.json",
    "registrar.key",
    "token-key.pem",
];

fn read(name: &str) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let text = fs::read_to_string(root.join("ops/container").join(name));
    text.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn services() -> Vec<ComposedService> {
    composition().services
}

fn of(name: &str) -> ComposedService {
    let found = services().into_iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

#[test]
fn whatever_a_service_waits_for_comes_and_ends_or_is_asked_whether_it_is_well() {
    for service in services() {
        for (other, until) in &service.waits_for {
            let other = of(other);
            let comes = match until.as_str() {
                "service_healthy" => !other.health.is_empty() && other.restart != "no",
                // What is started again never ends.
                "service_completed_successfully" => other.restart == "no",
                _ => false,
            };
            assert!(comes, "{} waits for {}: {until}", service.name, other.name);
        }
    }
    // Nobody serves before the schema is there, and no request comes before somebody serves.
    for (name, other) in [
        ("migrate", "create"),
        ("create", "primary"),
        ("standby", "primary"),
        ("api-1", "migrate"),
        ("api-2", "migrate"),
        ("indexer-1", "migrate"),
        ("indexer-2", "migrate"),
        ("proxy", "api-1"),
        ("proxy", "api-2"),
    ] {
        assert!(of(name).waits_for.contains_key(other), "{name}: {other}");
    }
}

#[test]
fn every_network_and_every_volume_is_declared_and_used() {
    let all = composition();
    let mut used = BTreeSet::new();
    for service in &all.services {
        assert_eq!(service.networks, ["inside"], "{}", service.name);
        let volumes = service.mounts.iter().map(|(from, _)| from);
        used.extend(volumes.filter(|from| !from.starts_with('.')).cloned());
    }
    assert_eq!(used, BTreeSet::from_iter(all.volumes));

    // The proxies are believed, and the standby let in, in this network alone.
    let networks: Vec<_> = all.networks.iter().collect();
    let [(name, subnet)] = networks.as_slice() else {
        panic!("{networks:?}");
    };
    assert_eq!(name.as_str(), "inside");
    for api in ["api-1", "api-2"] {
        let believed = &of(api).environment["MEDITRUSTAL_TRUSTED_PROXIES"];
        assert_eq!(believed, *subnet);
    }
    assert!(read("primary.sh").contains(&format!("host replication standby {subnet} ")));
    // Each service has an address there; the first, the last and the gateway's are taken.
    let bits: u32 = subnet
        .split('/')
        .nth(1)
        .expect("a size")
        .parse()
        .expect("a size");
    let addresses = 2_usize.pow(32 - bits) - 3;
    assert!(all.services.len() <= addresses, "{addresses} addresses");
}

#[test]
fn every_file_that_a_program_is_told_of_is_mounted_and_has_the_name_that_it_is_made_with() {
    for service in services().iter().filter(|it| it.is_ours()) {
        for (name, value) in &service.environment {
            if !value.starts_with('/') {
                continue;
            }
            let mounted = service.mounts.iter().find(|(_, at)| value.starts_with(at));
            let (from, _) = mounted.unwrap_or_else(|| panic!("{}: {name}", service.name));
            if from.starts_with("./secrets") {
                let file = value.rsplit('/').next().unwrap_or_default();
                assert!(SECRETS.contains(&file), "{}: {name}", service.name);
            } else {
                let volumes = ["ledger", "backups", "keys-backups"];
                assert!(volumes.contains(&from.as_str()), "{}: {name}", service.name);
            }
        }
        // Only the apis have keys.
        let has_keys = service.mounts.iter().any(|(from, _)| from == "./secrets");
        assert_eq!(
            has_keys,
            service.name.starts_with("api-"),
            "{}",
            service.name
        );
    }
    // The image has the volume's directory, of its user, which a new volume takes over.
    assert!(
        read("Containerfile")
            .contains("--owner=10001 --group=10001 --mode=0700 /var/lib/meditrustal")
    );
    let scheduled = read("Containerfile");
    let scheduled = scheduled.split(" AS scheduled").nth(1).expect("a stage");
    let made = "--owner=10001 --group=10001 --mode=0700 /backups /keys-backups /var/lib/schedule\n";
    assert!(
        scheduled
            .split("\nFROM ")
            .next()
            .unwrap_or_default()
            .contains(made)
    );
    // What imports put aside needs a place in a container that cannot be written to.
    for api in ["api-1", "api-2"] {
        assert!(of(api).mounts.iter().any(|(_, at)| at == "/tmp"), "{api}");
    }

    let proxy = of("proxy");
    let text = read("proxy.conf");
    let certificates = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ssl_certificate"));
    for named in certificates {
        let file = named
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .trim_end_matches(';');
        let mut mounts = proxy.mounts.iter();
        assert!(mounts.any(|(_, at)| file.starts_with(at)), "{file}");
    }
}

#[test]
fn each_address_names_a_service_and_the_port_where_it_listens() {
    let all = services();
    let is_service = |name: &str| all.iter().any(|it| it.name == name);
    for service in &all {
        for (name, value) in &service.environment {
            let Some((_, rest)) = value.split_once('@') else {
                continue;
            };
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            assert!(is_service(host), "{}: {name}", service.name);
        }
    }
    let proxy = read("proxy.conf");
    for api in ["api-1", "api-2"] {
        let api = of(api);
        let listens = &api.environment["MEDITRUSTAL_LISTEN"];
        let port = listens.strip_prefix("0.0.0.0:").expect("others reach it");
        assert!(proxy.contains(&format!("server {}:{port} ", api.name)));
        let asked = api.health.last().expect("it is asked");
        assert!(
            asked.contains(&format!("/dev/tcp/127.0.0.1/{port};")),
            "{asked}"
        );
        assert!(asked.contains("GET /health/serving HTTP/1.0"), "{asked}");
    }
    // The standby is of the primary's version, and where that image keeps its data.
    let (primary, standby) = (of("primary"), of("standby"));
    assert_eq!(primary.image, standby.image);
    let major = primary.image.split(':').nth(1).expect("a version");
    let script = read("standby.sh");
    assert!(script.contains(&format!("PGDATA=/var/lib/postgresql/{major}/docker")));
    assert!(script.contains("--host=primary ") && script.contains("--slot=standby "));
    for database in [primary, standby] {
        let mut mounts = database.mounts.iter();
        assert!(mounts.any(|(_, at)| at == "/var/lib/postgresql"));
    }
}

#[test]
fn the_image_believes_the_authorities_that_everybody_believes() {
    // Both programs ask the system for them (`crates/tls`), and the image they are built on has none.
    let text = read("Containerfile");
    let last = text.rsplit("\nFROM ").next().expect("a stage");
    assert!(last.contains("apt-get install --yes --no-install-recommends ca-certificates"));
    let starts = r#"ENTRYPOINT ["/usr/local/bin/meditrustal"]"#;
    assert!(last.contains(starts) && last.contains(r#"CMD ["serve"]"#));
    for service in services().iter().filter(|it| it.is_ours()) {
        let entrypoint = service.entrypoint.last().map(String::as_str);
        let copied = match service.scheduled() {
            Some(_) => entrypoint == Some("/usr/local/bin/meditrustal"),
            None => entrypoint.is_none_or(|it| it == "/usr/local/bin/meditrustal-indexer"),
        };
        assert!(copied, "{}: {entrypoint:?}", service.name);
    }
}

#[test]
fn what_the_timers_start_a_service_runs_at_the_same_times() {
    let mut started: BTreeSet<(String, Vec<String>)> = timers().into_iter().collect();
    // What health says is read by the node exporter, which is on the machine and in no container.
    let all = started.len();
    started.retain(|(_, command)| command.get(1).is_none_or(|it| it != "health"));
    assert_eq!((all, started.len()), (6, 5), "{started:?}");

    let run = services().into_iter().filter_map(|service| {
        let when = service.scheduled()?.to_owned();
        let program = vec![service.program().to_owned()];
        Some((when, [program, service.arguments()].concat()))
    });
    assert_eq!(run.collect::<BTreeSet<_>>(), started);

    // Both leave retention to the apis.
    let off = "MEDITRUSTAL_RETENTION_EVERY";
    for service in services() {
        assert!(!service.environment.contains_key(off), "{}", service.name);
    }
    // The programs of PostgreSQL beside ours are of the databases' version.
    let major = of("primary").image.replace("postgres:", "");
    let stage = format!("\nFROM postgres:{major}-bookworm AS scheduled\n");
    assert!(read("Containerfile").contains(&stage));
}

/// Begins `schedule.sh`, whose times are of UTC.
fn schedule(words: &[&str]) -> Command {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let mut command = Command::new("bash");
    command
        .arg(root.join("ops/container/schedule.sh"))
        .args(words)
        .env("TZ", "UTC");
    command
}

#[test]
fn the_schedule_of_the_containers_knows_the_times_of_the_timers() {
    // 1 December 2026, a Tuesday, at 00:00.
    const TUESDAY: u64 = 1_796_083_200;
    const DAY: u64 = 86_400;
    for (when, after, wanted) in [
        ("hourly", TUESDAY, TUESDAY + 3600),
        ("hourly", TUESDAY - 1, TUESDAY),
        ("*-*-* 02:00:00", TUESDAY, TUESDAY + 7200),
        ("*-*-* 02:00:00", TUESDAY + 7200, TUESDAY + DAY + 7200),
        ("Sun *-*-* 03:00:00", TUESDAY, TUESDAY + 5 * DAY + 10_800),
        (
            "Sun *-*-* 03:00:00",
            TUESDAY + 5 * DAY + 10_800,
            TUESDAY + 12 * DAY + 10_800,
        ),
        ("*-*-01 04:00:00", TUESDAY, TUESDAY + 14_400),
        (
            "*-*-01 04:00:00",
            TUESDAY + 14_400,
            TUESDAY + 31 * DAY + 14_400,
        ),
    ] {
        let output = schedule(&["--next", when, &after.to_string()]).output();
        let output = output.expect("bash starts");
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told.trim(), wanted.to_string(), "{when} after {after}");
    }
    let output = schedule(&["--next", "often", "0"]).output();
    assert_eq!(output.expect("bash starts").status.code(), Some(64));
}

#[test]
fn the_schedule_runs_what_was_missed_and_ends_when_it_is_told_to() {
    let scratch = Scratch::new("schedule").expect("there is room for files");
    let stamp = scratch.path().join("-bin-echo-ran");
    fs::write(&stamp, "0\n").expect("written");
    let mut running = schedule(&["hourly", "/bin/echo", "ran"])
        .env("SCHEDULE_DIR", scratch.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    let mut told = BufReader::new(running.stdout.take().expect("a pipe"));
    let mut line = String::new();
    told.read_line(&mut line).expect("it tells something");

    let id = running.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.expect("there is a kill").success());
    let ended = running.wait().expect("it ends");

    assert_eq!(line, "ran\n");
    assert_eq!(ended.code(), Some(143));
}
