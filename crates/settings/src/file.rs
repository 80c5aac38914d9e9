//! The file of settings: TOML without sections, each setting under its variable's name in small letters and without
//! the prefix: `MEDITRUSTAL_POOL_MAX_SIZE` is `pool_max_size`, `DATABASE_URL` is `database_url`.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use toml_edit::{Document, Item, TomlError, Value};

use crate::given::SettingNames;

/// What the names of most variables begin with.
const PREFIX: &str = "MEDITRUSTAL_";

/// What a variable is called in the file.
pub(crate) fn key_of(variable: &str) -> String {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    name.to_ascii_lowercase()
}

/// A value in the file.
#[derive(Debug, Clone)]
pub(crate) struct FileEntry {
    /// As an option of the command line would have it.
    pub(crate) value: String,
    /// In which line it stands, from 1.
    pub(crate) line: usize,
}

/// What a file of settings says.
#[derive(Default)]
pub(crate) struct SettingsFile {
    pub(crate) path: PathBuf,
    entries: BTreeMap<String, FileEntry>,
}

impl SettingsFile {
    /// Reads it. What is wrong with it is added to the mistakes, with the line; no value is shown.
    pub(crate) fn read(path: &Path, names: &SettingNames, mistakes: &mut Vec<String>) -> Self {
        let mut this = Self {
            path: path.to_owned(),
            entries: BTreeMap::new(),
        };
        match fs::read_to_string(path) {
            Ok(text) => this.take(&text, names, mistakes),
            Err(error) => mistakes.push(format!("{} cannot be read: {error}", path.display())),
        }
        if let Some(key) = this.secret_of(names)
            && can_be_read_by_others(path)
        {
            mistakes.push(format!(
                "{} holds {key} and can be read by others: run chmod 600 on it, or put that into a file of its own and \
                 name it by {key}_file",
                path.display()
            ));
        }
        this
    }

    /// What it says of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&FileEntry> {
        self.entries.get(key)
    }

    /// The first secret that stands in it.
    fn secret_of(&self, names: &SettingNames) -> Option<String> {
        let mut keys = names.secrets.iter().map(|variable| key_of(variable));
        keys.find(|key| self.entries.contains_key(key))
    }

    fn take(&mut self, text: &str, names: &SettingNames, mistakes: &mut Vec<String>) {
        let path = self.path.display().to_string();
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                mistakes.push(syntax(&path, text, &error));
                return;
            }
        };
        let known = keys(names);
        let table = document.as_table();
        for (key, item) in table {
            let line = line_of(text, table.key(key).and_then(toml_edit::Key::span));
            let at = format!("{path}:{line}");
            if !known.iter().any(|it| it == key) {
                mistakes.push(unknown(&at, key, item, &known));
                continue;
            }
            match value(item) {
                Ok(value) => drop(
                    self.entries
                        .insert(key.to_owned(), FileEntry { value, line }),
                ),
                Err(why) => mistakes.push(format!("{at}: {key} cannot be used: {why}")),
            }
        }
    }
}

/// Whether anybody but its owner may read a file.
pub(crate) fn can_be_read_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Every key that a file may have.
fn keys(names: &SettingNames) -> Vec<String> {
    let settings = names.variables.iter().chain(&names.secrets);
    let settings = settings.map(|variable| key_of(variable));
    let files = names.secrets.iter();
    let files = files.map(|variable| format!("{}_file", key_of(variable)));
    // Which file is read cannot stand in it.
    let own = key_of(crate::CONFIG);
    settings.chain(files).filter(|key| *key != own).collect()
}

/// A key that nobody knows, and the one that may have been meant.
fn unknown(at: &str, key: &str, item: &Item, known: &[String]) -> String {
    if item.is_table() || item.is_array_of_tables() {
        return format!("{at}: [{key}] cannot be used: settings stand without sections");
    }
    let nearest = known
        .iter()
        .min_by_key(|known| strsim::osa_distance(known, key));
    let meant = nearest.filter(|known| strsim::osa_distance(known, key) <= known.len() / 4);
    match meant {
        Some(meant) => format!("{at}: {key} is no setting of ours; did you mean {meant}?"),
        None => format!("{at}: {key} is no setting of ours"),
    }
}

/// A value as an option of the command line would have it.
fn value(item: &Item) -> Result<String, &'static str> {
    match item.as_value() {
        Some(Value::Array(list)) => {
            let parts: Result<Vec<_>, _> = list.iter().map(scalar).collect();
            let parts = parts?;
            if parts.iter().any(|part| part.contains(',')) {
                return Err("a comma stands between two values of a list, and not in one");
            }
            Ok(parts.join(","))
        }
        Some(value) => scalar(value),
        None => Err("it is a table"),
    }
}

fn scalar(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.value().clone()),
        Value::Integer(number) => Ok(number.value().to_string()),
        Value::Float(number) => Ok(number.value().to_string()),
        Value::Boolean(truth) => Ok(truth.value().to_string()),
        Value::Datetime(_) => Err("it is a time: put it between quotation marks"),
        Value::Array(_) => Err("it is a list of lists"),
        Value::InlineTable(_) => Err("it is a table"),
    }
}

/// What TOML's reader says, and where, without the line itself: it may hold a secret.
fn syntax(path: &str, text: &str, error: &TomlError) -> String {
    let line = line_of(text, error.span());
    let message = error.message().lines().next().unwrap_or_default();
    format!("{path}:{line}: it is no TOML: {message}")
}

/// In which line a part of a text begins, from 1.
fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let begins = span.map_or(0, |span| span.start.min(text.len()));
    let before = String::from_utf8_lossy(&text.as_bytes()[..begins]);
    1 + before.matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> SettingNames {
        let variables = [
            "MEDITRUSTAL_LISTEN",
            "MEDITRUSTAL_POOL_MAX_SIZE",
            "CHAIN_RPC_URL",
        ];
        SettingNames {
            variables: variables.map(str::to_owned).to_vec(),
            secrets: vec!["DATABASE_URL".to_owned()],
        }
    }

    fn read(text: &str) -> (SettingsFile, Vec<String>) {
        let mut file = SettingsFile {
            path: PathBuf::from("m.toml"),
            entries: BTreeMap::new(),
        };
        let mut mistakes = Vec::new();
        file.take(text, &names(), &mut mistakes);
        (file, mistakes)
    }

    #[test]
    fn values_are_what_options_would_have() {
        let (file, mistakes) = read(
            "# settings\nlisten = \"127.0.0.1:80\"\npool_max_size = 11\n\nchain_rpc_url = [\"a\", \"b\"]\ndatabase_url_file = '/run/x'\n",
        );

        assert_eq!(mistakes, Vec::<String>::new());
        let told = |key: &str| {
            file.get(key)
                .map(|entry| (entry.value.as_str(), entry.line))
        };
        assert_eq!(told("listen"), Some(("127.0.0.1:80", 2)));
        assert_eq!(told("pool_max_size"), Some(("11", 3)));
        assert_eq!(told("chain_rpc_url"), Some(("a,b", 5)));
        assert_eq!(told("database_url_file"), Some(("/run/x", 6)));
        assert_eq!(told("database_url"), None);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let (_, mistakes) = read(
            "pool_max_siz = 1\nlisten = 2026-12-01\nconfig = \"other.toml\"\ncolour_of_the_ward = 1\n[serve]\nlisten = 1\n",
        );

        assert_eq!(
            mistakes,
            [
                "m.toml:1: pool_max_siz is no setting of ours; did you mean pool_max_size?",
                "m.toml:2: listen cannot be used: it is a time: put it between quotation marks",
                "m.toml:3: config is no setting of ours",
                "m.toml:4: colour_of_the_ward is no setting of ours",
                "m.toml:5: [serve] cannot be used: settings stand without sections",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line_and_not_shown() {
        let (_, mistakes) = read("listen = \"x\"\ndatabase_url = postgres://ada:hunter2@db\n");

        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].starts_with("m.toml:2: it is no TOML"),
            "{mistakes:?}"
        );
        assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
    }
}
