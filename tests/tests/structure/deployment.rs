//! The files of `ops` by which the programs are installed name what there is: settings, routes, ports, commands and files. The
//! units are held against a list of directives everywhere, and by systemd itself where it is installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use domain::environment::SETTINGS;
use saphyr::{LoadableYamlNode, Yaml};

const NGINX: &str = "ops/nginx/meditrustal.conf";
const PROXY: &str = "ops/container/proxy.conf";
const CADDY: &str = "ops/caddy/Caddyfile";
const COMPOSE: &str = "ops/container/compose.yaml";
const CONTAINER: &str = "ops/container/Containerfile";
const UNITS: [&str; 2] = [
    "ops/systemd/meditrustal-api.service",
    "ops/systemd/meditrustal-indexer.service",
];
/// Routes that are for nobody outside of the machine.
const INSIDE: [&str; 4] = ["/health/live", "/health/ready", "/health/serving", "/"];

fn path(name: &str) -> PathBuf {
    let root = dev::repository::root().expect("the tests run inside a clone");
    root.join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of a file that are no comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The names of settings of ours in a text, without what all begin with.
fn settings(text: &str) -> BTreeSet<String> {
    let named = text.split("MEDITRUSTAL_").skip(1);
    let ends = |c: char| !(c.is_ascii_uppercase() || c == '_');
    named
        .filter_map(|rest| rest.split(ends).next())
        .map(str::to_owned)
        .collect()
}

/// The routes of the api, as its router has them.
fn routes() -> BTreeSet<String> {
    let source = read("api/src/http.rs");
    let router = source
        .split("pub(crate) fn router")
        .nth(1)
        .expect("a router");
    let router = router.split("\n}\n").next().expect("its end");
    router
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

/// The route of the files of records, and the pattern of nginx that passes it on.
const FILES: &str = "/records/{record}/attachments/{place}";
const FILES_BY_PATTERN: &str = "^/records/[^/]+/attachments/[0-9]+$";

/// The value that follows a name in a file of units: `User=meditrustal`.
fn value<'a>(unit: &'a str, name: &str) -> &'a str {
    let found = lines(unit).find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn every_setting_that_a_file_names_is_one() {
    let files = [NGINX, PROXY, CADDY, COMPOSE, CONTAINER, UNITS[0], UNITS[1]];
    for file in files {
        for name in settings(&read(file)) {
            assert!(SETTINGS.contains(&name.as_str()), "{file}: {name}");
        }
    }
    // Those without a default that `serve` and the indexer cannot do without.
    let compose = settings(&read(COMPOSE));
    let needed = [
        "DEPLOYMENT_FILE",
        "REGISTRAR_KEY_FILE",
        "MASTER_KEYS_FILE",
        "INDEX_KEY_FILE",
        "TOKEN_KEY_FILE",
    ];
    for name in needed {
        assert!(compose.contains(name), "{COMPOSE}: {name}");
    }
}

#[test]
fn each_proxy_passes_every_route_on_and_no_other_one() {
    let routes = routes();
    assert!(
        routes.contains("/graphql") && routes.len() > 8,
        "{routes:?}"
    );
    let outside: BTreeSet<_> = routes
        .iter()
        .filter(|route| !INSIDE.contains(&route.as_str()) && !route.starts_with("/playground"))
        .cloned()
        .collect();
    for file in [NGINX, PROXY] {
        let text = read(file);
        let exact =
            lines(&text).filter_map(|line| line.strip_prefix("location = ")?.strip_suffix(" {"));
        let mut passed: BTreeSet<_> = exact.map(str::to_owned).collect();
        let by_pattern = lines(&text).filter(|line| line.starts_with("location ~ "));
        for location in by_pattern {
            assert_eq!(
                location,
                format!("location ~ {FILES_BY_PATTERN} {{"),
                "{file}"
            );
            passed.insert(FILES.to_owned());
        }
        assert!(passed.remove("/health/serving"), "{file}");
        assert_eq!(passed, outside, "{file}");
        assert!(text.contains("location / {\n        return 404;"), "{file}");
    }
    let caddy = read(CADDY);
    let ours = lines(&caddy).find_map(|line| line.strip_prefix("@ours path "));
    let passed: BTreeSet<_> = ours
        .expect("it passes some")
        .split(' ')
        .map(|path| path.replace("/records/*/attachments/*", FILES))
        .collect();
    assert_eq!(passed, outside, "{CADDY}");
}

#[test]
fn the_proxies_pass_sockets_streams_and_bodies_on_as_the_api_needs_it() {
    for file in [NGINX, PROXY] {
        let text = read(file);
        let location = |route: &str| {
            let rest = text.split(&format!("location = {route} {{")).nth(1);
            let rest = rest.unwrap_or_else(|| panic!("{file}: {route}"));
            rest.split('}').next().unwrap_or_default().to_owned()
        };
        assert!(
            text.contains("proxy_set_header Upgrade $http_upgrade;"),
            "{file}"
        );
        // The client does not say where it is.
        assert!(
            text.contains("proxy_set_header X-Forwarded-For $remote_addr;"),
            "{file}"
        );
        for route in [
            "/graphql",
            "/import",
            "/export",
            "/audit/export",
            "/my-data",
        ] {
            assert!(
                location(route).contains("proxy_buffering off;"),
                "{file}: {route}"
            );
        }
        let import = location("/import");
        for needed in ["client_max_body_size 0;", "proxy_request_buffering off;"] {
            assert!(import.contains(needed), "{file}: {needed}");
        }
        // A mutation that may have been carried out is not sent once more.
        assert!(!text.contains("non_idempotent"), "{file}");
    }
    let caddy = read(CADDY);
    assert!(caddy.contains("flush_interval -1") && caddy.contains("health_uri /health/serving"));
    let limit = read("api/src/limits.rs");
    assert!(
        limit.contains("MAX_BODY: usize = 2 * 1024 * 1024"),
        "the proxies say 2m"
    );
    // Beside the names of the apis both files for nginx are one.
    let directives = |file: &str, apis: [&str; 2]| -> Vec<String> {
        let text = read(file)
            .replace(apis[0], "FIRST")
            .replace(apis[1], "SECOND");
        lines(&text).map(str::to_owned).collect()
    };
    assert_eq!(
        directives(NGINX, ["127.0.0.1:8000", "127.0.0.1:8010"]),
        directives(PROXY, ["api-1:8000", "api-2:8000"])
    );
}

#[test]
fn the_composition_has_two_of_each_and_names_files_that_are_there() {
    let text = read(COMPOSE);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{COMPOSE}: {error}"));
    let compose = documents.first().expect("a document");
    let services = compose.as_mapping_get("services").expect("services");
    for name in [
        "api-1",
        "api-2",
        "indexer-1",
        "indexer-2",
        "primary",
        "standby",
        "migrate",
        "proxy",
    ] {
        assert!(services.as_mapping_get(name).is_some(), "{name}");
    }
    // Only the proxy can be reached from outside.
    let published: Vec<_> = lines(&text)
        .filter(|line| line.starts_with("ports:"))
        .collect();
    assert_eq!(published, ["ports: [\"443:443\"]"]);
    let directory = path("ops/container");
    let given: Vec<_> = lines(&text)
        .filter_map(|line| line.strip_prefix("- ./")?.split(':').next())
        .filter(|file| !file.starts_with("secrets") && !file.starts_with("tls"))
        .collect();
    let schedule = "schedule.sh";
    assert_eq!(
        given,
        [schedule, "primary.sh", "standby.sh", schedule, "proxy.conf"]
    );
    for file in given {
        assert!(directory.join(file).is_file(), "{file}");
    }
    // Every variable that it takes is in the example, and the example has a value for none of them.
    let taken: BTreeSet<_> = text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split([':', '}']).next())
        .collect();
    let example = read("ops/container/settings.env.example");
    let known: BTreeSet<_> = lines(&example)
        .map(|line| {
            line.strip_suffix('=')
                .unwrap_or_else(|| panic!("{line} has a value"))
        })
        .collect();
    assert_eq!(taken, known);
}

#[test]
fn the_image_holds_both_programs_and_nothing_of_the_clone() {
    let text = read(CONTAINER);
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""));
    let version = version.expect("a version").trim_end_matches('"');
    assert!(text.contains(&format!("FROM rust:{version}-")), "{version}");
    let last = text.rsplit("\nFROM ").next().expect("a stage");
    let user = lines(last).find_map(|line| line.strip_prefix("USER "));
    assert_eq!(user, Some("10001:10001"));
    let copied: Vec<_> = lines(last)
        .filter(|line| line.starts_with("COPY"))
        .collect();
    assert_eq!(copied.len(), 1);
    assert!(copied[0].starts_with("COPY --from=build /source/target/release/meditrustal "));
    for (program, manifest) in [
        ("meditrustal", "api/Cargo.toml"),
        ("meditrustal-indexer", "indexer/Cargo.toml"),
    ] {
        assert!(
            copied[0].contains(&format!("/source/target/release/{program} ")),
            "{program}"
        );
        assert!(
            read(manifest).contains(&format!("name = \"{program}\"")),
            "{program}"
        );
    }
    for kept_out in [
        ".git",
        "**/target",
        "**/*.key",
        "**/*.env",
        "ops/container/secrets",
    ] {
        let ignored = read("ops/container/Containerfile.dockerignore");
        assert!(lines(&ignored).any(|line| line == kept_out), "{kept_out}");
    }
}

#[test]
fn the_units_shut_the_programs_in() {
    for (unit, program) in UNITS
        .into_iter()
        .zip(["meditrustal serve", "meditrustal-indexer"])
    {
        let text = read(unit);
        assert_eq!(
            value(&text, "ExecStart"),
            format!("/usr/local/bin/{program}"),
            "{unit}"
        );
        assert_ne!(value(&text, "User"), "root", "{unit}");
        assert!(
            value(&text, "EnvironmentFile").starts_with("/etc/meditrustal/"),
            "{unit}"
        );
        for (name, wanted) in [
            ("NoNewPrivileges", "true"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "true"),
            ("PrivateTmp", "true"),
            ("PrivateDevices", "true"),
            ("MemoryDenyWriteExecute", "true"),
            ("CapabilityBoundingSet", ""),
            ("LimitCORE", "0"),
            ("UMask", "0077"),
            ("KillSignal", "SIGTERM"),
        ] {
            assert_eq!(value(&text, name), wanted, "{unit}: {name}");
        }
    }
    // What runs may go on for 5 s of draining, 30 s, and 10 s twice.
    let stop: u32 = value(&read(UNITS[0]), "TimeoutStopSec")
        .parse()
        .expect("seconds");
    assert!(stop >= 60, "{stop}");
}

/// The directives that units of ours may have, by their sections, as systemd.unit(5), systemd.service(5), systemd.exec(5),
/// systemd.kill(5) and systemd.timer(5) spell them.
const DIRECTIVES: [(&str, &[&str]); 4] = [
    ("Install", &["WantedBy"]),
    (
        "Service",
        &[
            "AmbientCapabilities",
            "CapabilityBoundingSet",
            "Environment",
            "EnvironmentFile",
            "ExecStart",
            "Group",
            "IOSchedulingClass",
            "KillSignal",
            "LimitCORE",
            "LimitNOFILE",
            "LockPersonality",
            "LogsDirectory",
            "LogsDirectoryMode",
            "MemoryDenyWriteExecute",
            "Nice",
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateTmp",
            "ProcSubset",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "ReadWritePaths",
            "RemoveIPC",
            "Restart",
            "RestartForceExitStatus",
            "RestartSec",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "RuntimeMaxSec",
            "StateDirectory",
            "StateDirectoryMode",
            "SuccessExitStatus",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "TimeoutStartSec",
            "TimeoutStopSec",
            "Type",
            "UMask",
            "User",
        ],
    ),
    ("Timer", &["OnCalendar", "Persistent", "Unit"]),
    (
        "Unit",
        &[
            "After",
            "Description",
            "Documentation",
            "StartLimitIntervalSec",
            "Wants",
        ],
    ),
];

/// Every unit that is installed.
fn units() -> Vec<PathBuf> {
    let found = fs::read_dir(path("ops/systemd")).expect("the directory is there");
    found.map(|unit| unit.expect("an entry").path()).collect()
}

/// What of a unit's text systemd would pass over with a warning, or not read.
fn mistakes_of_unit(text: &str) -> Vec<String> {
    let mut section = "";
    let mut mistakes = Vec::new();
    for line in lines(text) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name;
            continue;
        }
        let known = DIRECTIVES.iter().find(|(name, _)| *name == section);
        let directive = line.split_once('=').map(|(directive, _)| directive);
        let is_known = known
            .zip(directive)
            .is_some_and(|((_, known), directive)| known.contains(&directive));
        if !is_known {
            mistakes.push(format!("[{section}] {line}"));
        }
    }
    mistakes
}

#[test]
fn every_line_of_a_unit_is_a_directive_of_its_section_by_a_list_of_ours() {
    let units = units();
    assert_eq!(units.len(), 12, "{units:?}");
    for unit in units {
        let text = fs::read_to_string(&unit).expect("it can be read");
        assert_eq!(mistakes_of_unit(&text), [""; 0], "{}", unit.display());
    }
    for (wrong, mistake) in [
        (
            "[Service]\nNoNewPriviliges=true",
            "[Service] NoNewPriviliges=true",
        ),
        ("[Unit]\nExecStart=/bin/true", "[Unit] ExecStart=/bin/true"),
        ("[Service]\nUser", "[Service] User"),
        ("[Servce]\nUser=nobody", "[Servce] User=nobody"),
    ] {
        assert_eq!(mistakes_of_unit(wrong), [mistake]);
    }
}

/// What the list above cannot say: whether the values can be read. Without systemd this holds the list alone: `systemd-analyze`
/// needs the libraries of its own version where they are installed, and is not unpacked as promtool is.
#[test]
fn the_units_have_no_mistake_by_our_list_and_none_by_systemd_where_it_is_installed() {
    for unit in units() {
        let text = fs::read_to_string(&unit).expect("it can be read");
        assert_eq!(mistakes_of_unit(&text), [""; 0], "{}", unit.display());
    }
    let mut asked = Command::new("systemd-analyze");
    asked.arg("verify").args(units());
    let said = match asked.output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("systemd-analyze: {error}"),
    };
    // The programs need not be installed where this is tried.
    let ours = said.lines().filter(|line| line.contains("meditrustal"));
    let mistakes: Vec<_> = ours
        .filter(|line| !line.contains("is not executable"))
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}
