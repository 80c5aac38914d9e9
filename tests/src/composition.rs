//! What `ops` starts: the services of `ops/container/compose.yaml` as a container engine reads them, and the commands of the units
//! and timers.

use std::collections::BTreeMap;
use std::fs;

use saphyr::{LoadableYamlNode, Yaml};

const COMPOSE: &str = "ops/container/compose.yaml";
/// Where the units are.
const UNITS: &str = "ops/systemd";
/// Our images.
const IMAGES: [&str; 2] = ["meditrustal", "meditrustal-scheduled"];
/// What runs a command at its times, in a container.
const SCHEDULE: [&str; 2] = ["bash", "/schedule.sh"];

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
        IMAGES.contains(&self.image.as_str())
    }

    /// When it runs its command, as `OnCalendar` has it; `None` where it runs all the time, or once.
    pub fn scheduled(&self) -> Option<&str> {
        let (before, rest) = self.entrypoint.split_at_checked(SCHEDULE.len())?;
        (before == SCHEDULE).then(|| rest.first().map(String::as_str))?
    }

    /// Which of them, where it does.
    pub fn program(&self) -> &str {
        let named = self.entrypoint.last().map(String::as_str);
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

/// The names of the units that end in this.
fn units(extension: &str) -> Vec<String> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let units = fs::read_dir(root.join(UNITS)).expect("there are units");
    let names = units.map(|unit| unit.expect("the directory can be read").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(extension))
        .collect();
    names.sort();
    names
}

/// The commands of ours that a unit runs, the words of each.
fn commands(unit: &str, instance: &str) -> Vec<Vec<String>> {
    const AT: &str = "/usr/local/bin/";
    let text = read(&format!("{UNITS}/{unit}"));
    let runs = text
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="));
    let words = |started: &str| -> Vec<String> {
        let command = started.split(['>', ';', '\'']).next().unwrap_or_default();
        let command = command.replace("%i", instance);
        command.split_whitespace().map(str::to_owned).collect()
    };
    runs.flat_map(|line| line.split(AT).skip(1).map(words))
        .collect()
}

/// The commands of ours that the units of `ops/systemd` run: the file, and the words of the command.
pub fn unit_commands() -> Vec<(String, Vec<String>)> {
    let all = units(".service").into_iter().flat_map(|unit| {
        let commands = commands(&unit, "daily");
        commands
            .into_iter()
            .map(move |command| (unit.clone(), command))
    });
    all.collect()
}

/// What the timers of `ops/systemd` start: when, and the words of the command.
pub fn timers() -> Vec<(String, Vec<String>)> {
    let timer = |name: String| {
        let text = read(&format!("{UNITS}/{name}"));
        let value = |of: &str| text.lines().find_map(|line| line.strip_prefix(of));
        let when = value("OnCalendar=").expect("a time").to_owned();
        let own = name.replace(".timer", ".service");
        let unit = value("Unit=").unwrap_or(&own);
        let (unit, instance) = match unit.split_once('@') {
            Some((unit, instance)) => (
                format!("{unit}@.service"),
                instance.trim_end_matches(".service"),
            ),
            None => (unit.to_owned(), ""),
        };
        let command = commands(&unit, instance).into_iter().next();
        (
            when,
            command.unwrap_or_else(|| panic!("{unit} runs nothing of ours")),
        )
    };
    units(".timer").into_iter().map(timer).collect()
}
