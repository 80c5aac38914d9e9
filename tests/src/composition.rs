//! What `ops` starts: the services of `ops/container/compose.yaml` as a container engine reads them, and the commands of the units.

use std::collections::BTreeMap;
use std::fs;

use saphyr::{LoadableYamlNode, Yaml};

const COMPOSE: &str = "ops/container/compose.yaml";

/// A service.
#[derive(Debug, Clone, Default)]
pub struct ComposedService {
    /// What the others call it.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What is run instead of what the image says.
    pub entrypoint: Vec<String>,
    /// The arguments; none where the image's are used.
    pub command: Option<Vec<String>>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// What it has of the host or of volumes, and where: `./tls` at `/etc/meditrustal/tls`.
    pub mounts: Vec<(String, String)>,
    /// The services that it waits for, and until when.
    pub waits_for: BTreeMap<String, String>,
    /// Its networks.
    pub networks: Vec<String>,
    /// How it is asked whether it is well; nothing where it is not.
    pub health: Vec<String>,
    /// Whether it is started again when it has ended.
    pub restart: String,
}

/// The composition.
#[derive(Debug, Clone)]
pub struct Composition {
    /// Its services.
    pub services: Vec<ComposedService>,
    /// Its networks, each with its subnet.
    pub networks: BTreeMap<String, String>,
    /// Its volumes.
    pub volumes: Vec<String>,
}

impl ComposedService {
    /// Whether it runs one of our programs.
    pub fn is_ours(&self) -> bool {
        self.image == "meditrustal"
    }

    /// Which of them, where it does.
    pub fn program(&self) -> &str {
        let named = self.entrypoint.first().map(String::as_str);
        let named = named.unwrap_or("meditrustal");
        named.rsplit('/').next().unwrap_or(named)
    }

    /// What that is started with: as the image says, where nothing else is said.
    pub fn arguments(&self) -> Vec<String> {
        let image = || {
            if self.entrypoint.is_empty() {
                vec!["serve".to_owned()]
            } else {
                Vec::new()
            }
        };
        self.command.clone().unwrap_or_else(image)
    }
}

fn read(path: &str) -> String {
    let root = dev::repository::root().expect("the tests run inside a clone");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The value of a key, also of what is merged in (`<<`).
fn part<'yaml, 'text>(of: &'yaml Yaml<'text>, key: &str) -> Option<&'yaml Yaml<'text>> {
    let own = of.as_mapping_get(key);
    own.or_else(|| part(of.as_mapping_get("<<")?, key))
}

fn string(of: &Yaml, key: &str) -> String {
    let found = part(of, key).and_then(Yaml::as_str);
    found.unwrap_or_default().to_owned()
}

fn strings(of: &Yaml) -> Vec<String> {
    let items = of.as_sequence().expect("a list");
    let texts = items.iter().map(|it| it.as_str().expect("a text"));
    texts.map(str::to_owned).collect()
}

fn list(of: &Yaml, key: &str) -> Vec<String> {
    part(of, key).map(strings).unwrap_or_default()
}

/// The keys of a mapping and what each has.
fn entries<'yaml, 'text>(of: &'yaml Yaml<'text>, key: &str) -> Vec<(String, &'yaml Yaml<'text>)> {
    let found = part(of, key).and_then(Yaml::as_mapping);
    let all = found.into_iter().flatten();
    all.map(|(name, value)| (name.as_str().expect("a name").to_owned(), value))
        .collect()
}

fn service(name: String, of: &Yaml) -> ComposedService {
    let mounted = |mount: &String| {
        let mut parts = mount.split(':').map(str::to_owned);
        let (from, at) = (parts.next(), parts.next());
        (from.expect("a source"), at.expect("a place"))
    };
    let environment = entries(of, "environment").into_iter().map(|(name, value)| {
        let value = value
            .as_str()
            .unwrap_or_else(|| panic!("{name} is no text"));
        (name, value.to_owned())
    });
    let waits_for = entries(of, "depends_on").into_iter();
    ComposedService {
        image: string(of, "image"),
        entrypoint: list(of, "entrypoint"),
        command: part(of, "command").map(strings),
        environment: environment.collect(),
        mounts: list(of, "volumes").iter().map(mounted).collect(),
        waits_for: waits_for
            .map(|(other, until)| (other, string(until, "condition")))
            .collect(),
        networks: list(of, "networks"),
        health: part(of, "healthcheck")
            .map(|health| list(health, "test"))
            .unwrap_or_default(),
        restart: string(of, "restart"),
        name,
    }
}

/// Reads `ops/container/compose.yaml`.
pub fn composition() -> Composition {
    let text = read(COMPOSE);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{COMPOSE}: {error}"));
    let compose = documents.first().expect("a document");
    let services = entries(compose, "services");
    let networks = entries(compose, "networks").into_iter().map(|(name, of)| {
        let ranges = part(of, "ipam").and_then(|it| part(it, "config"));
        let ranges = ranges.and_then(Yaml::as_sequence).expect("a subnet");
        (name, string(&ranges[0], "subnet"))
    });
    Composition {
        networks: networks.collect(),
        volumes: entries(compose, "volumes")
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        services: services
            .into_iter()
            .map(|(name, of)| service(name, of))
            .collect(),
    }
}

/// The commands of ours that the units of `ops/systemd` run: the file, and the words of the command.
pub fn unit_commands() -> Vec<(String, Vec<String>)> {
    const AT: &str = "/usr/local/bin/";
    let root = dev::repository::root().expect("the tests run inside a clone");
    let units = fs::read_dir(root.join("ops/systemd")).expect("there are units");
    let mut commands = Vec::new();
    for unit in units {
        let unit = unit.expect("the directory can be read").path();
        let text = fs::read_to_string(&unit).expect("it can be read");
        let name = unit.file_name().expect("a name").to_string_lossy();
        let runs = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="));
        for started in runs.flat_map(|line| line.split(AT).skip(1)) {
            let command = started.split(['>', ';', '\'']).next().unwrap_or_default();
            let command = command.replace("%i", "daily");
            let words = command.split_whitespace().map(str::to_owned).collect();
            commands.push((name.clone().into_owned(), words));
        }
    }
    commands
}
