//! What was set, and where: on the command line, in the environment, in files with secrets, in the file of settings.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, Command};

use crate::{
    file::{SettingsFile, can_be_read_by_others, key_of},
    mistakes::SettingSources,
};

/// The variable that names the file of settings.
pub const CONFIG: &str = "MEDITRUSTAL_CONFIG";

/// The option that names it.
const CONFIG_OPTION: &str = "--config";

/// Where the value of a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// By an option of the command line.
    CommandLine,
    /// By a variable of the environment; for a secret maybe by the one that names a file.
    Variable(String),
    /// In a line of the file of settings, counted from 1.
    File(PathBuf, usize),
    /// Nowhere.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The names of settings, as variables of the environment.
#[derive(Debug, Clone)]
pub struct SettingNames {
    /// Those of all programs and commands: they share one file.
    pub variables: Vec<String>,
    /// The secrets among them: each may be in a file of its own, which the same name with `_FILE` names.
    pub secrets: Vec<String>,
}

/// All that a process was given.
pub struct GivenSettings {
    arguments: Vec<OsString>,
    variables: BTreeMap<String, OsString>,
    file: SettingsFile,
    names: SettingNames,
    mistakes: Vec<String>,
}

impl fmt::Debug for GivenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenSettings")
            .field("file", &self.file.path)
            .finish_non_exhaustive()
    }
}

/// A value that was found in a file.
struct FoundValue {
    value: String,
    source: SettingSource,
}

/// A command line to which what stands in files was added, and what is wrong with the files.
pub(crate) struct MergedLine {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) sources: SettingSources,
    pub(crate) mistakes: Vec<String>,
}

/// Which command a command line means, and which options it has.
struct CommandLine {
    /// The program's own command, then that of each word that names one.
    commands: Vec<Command>,
    options: BTreeMap<String, Option<String>>,
    /// Where options can be added.
    end: usize,
    /// Whether it asks what commands there are.
    is_help: bool,
}

impl GivenSettings {
    /// What this process was given.
    pub fn read(names: SettingNames) -> Self {
        let variables = std::env::vars_os();
        let variables = variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        Self::of(std::env::args_os().collect(), variables.collect(), names)
    }

    fn of(
        arguments: Vec<OsString>,
        variables: BTreeMap<String, OsString>,
        names: SettingNames,
    ) -> Self {
        let mut mistakes = Vec::new();
        let file = match config_path(&arguments, &variables) {
            Some(path) => SettingsFile::read(&path, &names, &mut mistakes),
            None => SettingsFile::default(),
        };
        Self {
            arguments,
            variables,
            file,
            names,
            mistakes,
        }
    }

    /// The names of the variables that are set.
    pub fn variables(&self) -> impl Iterator<Item = String> + '_ {
        self.variables.keys().cloned()
    }

    /// Whether the command line begins with this command.
    pub fn is_for(&self, root: &Command, name: &str) -> bool {
        let line = CommandLine::of(root, &self.arguments);
        line.commands.get(1).is_some_and(|it| it.get_name() == name)
    }

    /// The command line as it is.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// What is wrong with the file of settings, whichever command reads it.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// A command line with what stands in files as options besides, where neither it nor the environment sets them.
    pub(crate) fn merge(&self, root: &Command, arguments: &[OsString]) -> MergedLine {
        let line = CommandLine::of(root, arguments);
        let mut merged = MergedLine {
            arguments: arguments.to_vec(),
            sources: SettingSources::new(),
            mistakes: self.mistakes.clone(),
        };
        if line.is_help {
            return merged;
        }
        let mut added = Vec::new();
        for argument in line.commands.iter().flat_map(Command::get_arguments) {
            let (Some(variable), Some(option)) = (variable_of(argument), argument.get_long())
            else {
                continue;
            };
            if line.options.contains_key(option) {
                continue;
            }
            match self.option(argument, &variable, option) {
                Ok(Some((text, source))) => {
                    added.extend(text.map(OsString::from));
                    merged.sources.insert(variable.into_owned(), source);
                }
                Ok(None) => {}
                Err(mistake) => merged.mistakes.push(mistake),
            }
        }
        drop(merged.arguments.splice(line.end..line.end, added));
        merged
    }

    /// The option that says what a file says; no text where it says no.
    pub(crate) fn option(
        &self,
        argument: &Arg,
        variable: &str,
        option: &str,
    ) -> Result<Option<(Option<String>, SettingSource)>, String> {
        let Some(FoundValue { value, source }) = self.in_files(variable)? else {
            return Ok(None);
        };
        let text = match (argument.get_action(), value.as_str()) {
            (ArgAction::SetTrue, "true") => Some(format!("--{option}")),
            (ArgAction::SetTrue, "false") => None,
            (ArgAction::SetTrue, _) => {
                return Err(format!("{source}: {} is true or false", key_of(variable)));
            }
            _ => Some(format!("--{option}={value}")),
        };
        Ok(Some((text, source)))
    }

    /// What the command of this command line is given, wherever it was set: each value with its variable, or with its option,
    /// such as `--witness`, where it has none. Nothing where the command line cannot be used.
    pub fn values(&self, root: &Command) -> Vec<(String, String)> {
        let merged = self.merge(root, &self.arguments);
        let Ok(matches) = root.clone().try_get_matches_from(&merged.arguments) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut level = Some((root, &matches));
        while let Some((command, matches)) = level {
            for argument in command.get_arguments() {
                let option = argument.get_long().map(|option| format!("--{option}"));
                let Some(name) = variable_of(argument).map(Cow::into_owned).or(option) else {
                    continue;
                };
                let id = argument.get_id().as_str();
                let given = matches.try_get_raw(id).ok().flatten();
                values.extend(given.into_iter().flatten().map(|value| {
                    let value = value.to_string_lossy().into_owned();
                    (name.clone(), value)
                }));
            }
            level = matches
                .subcommand()
                .and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
        }
        values
    }

    /// What was set, and where, for `config show`; a secret is not read for it.
    pub(crate) fn shown(&self, root: &Command, argument: &Arg, variable: &str) -> ShownValue {
        let line = CommandLine::of(root, &self.arguments);
        let option = argument.get_long().and_then(|it| line.options.get(it));
        if let Some(value) = option {
            let value = value.clone().or_else(|| Some("true".to_owned()));
            return (value, SettingSource::CommandLine);
        }
        let by = format!("{variable}_FILE");
        if self.is_secret(variable) && self.variables.contains_key(&by) {
            return (None, SettingSource::Variable(by));
        }
        if let Some(value) = self.variables.get(variable) {
            let value = value.to_string_lossy().into_owned();
            return (Some(value), SettingSource::Variable(variable.to_owned()));
        }
        let key = key_of(variable);
        let by = self.is_secret(variable).then(|| format!("{key}_file"));
        let by = by.and_then(|by| self.file.get(&by));
        if let Some(entry) = by {
            return (None, self.at(entry.line));
        }
        match self.file.get(&key) {
            Some(entry) => (Some(entry.value.clone()), self.at(entry.line)),
            None => (default_of(argument), SettingSource::Default),
        }
    }

    pub(crate) fn is_secret(&self, variable: &str) -> bool {
        self.names.secrets.iter().any(|it| it == variable)
    }

    fn at(&self, line: usize) -> SettingSource {
        SettingSource::File(self.file.path.clone(), line)
    }

    /// What files say of a variable that is not set itself.
    fn in_files(&self, variable: &str) -> Result<Option<FoundValue>, String> {
        let is_secret = self.is_secret(variable);
        let by = format!("{variable}_FILE");
        if is_secret && let Some(path) = self.variables.get(&by) {
            if self.variables.contains_key(variable) {
                return Err(format!(
                    "{variable} and {by} are both set: leave one of them out"
                ));
            }
            return secret(Path::new(path), SettingSource::Variable(by)).map(Some);
        }
        if self.variables.contains_key(variable) {
            return Ok(None);
        }
        let key = key_of(variable);
        let by = format!("{key}_file");
        let named = self.file.get(&by).filter(|_| is_secret);
        match (self.file.get(&key), named) {
            (Some(_), Some(entry)) => Err(format!(
                "{}: {key} and {by} are both set: leave one of them out",
                self.at(entry.line)
            )),
            (None, Some(entry)) => secret(Path::new(&entry.value), self.at(entry.line)).map(Some),
            (Some(entry), None) => Ok(Some(FoundValue {
                value: entry.value.clone(),
                source: self.at(entry.line),
            })),
            (None, None) => Ok(None),
        }
    }
}

/// A value, and where it was set; no value where there is none, or it is in a file of its own.
pub(crate) type ShownValue = (Option<String>, SettingSource);

impl CommandLine {
    fn of(root: &Command, arguments: &[OsString]) -> Self {
        let mut this = Self {
            commands: vec![root.clone()],
            options: BTreeMap::new(),
            end: arguments.len(),
            is_help: false,
        };
        let mut rest = arguments.iter().enumerate().skip(1);
        while let Some((at, argument)) = rest.next() {
            let text = argument.to_string_lossy();
            if text == "--" {
                this.end = at;
                break;
            }
            if let Some(option) = text.strip_prefix("--") {
                let (name, value) = match option.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (option, None),
                };
                let value = value.or_else(|| {
                    let (_, value) = this.takes_value(name).then(|| rest.next())??;
                    Some(value.to_string_lossy().into_owned())
                });
                this.options.insert(name.to_owned(), value);
            } else if !text.starts_with('-') {
                this.word(&text);
            }
        }
        this
    }

    /// Whether the next argument is an option's value and no command.
    fn takes_value(&self, option: &str) -> bool {
        let mut all = self.commands.iter().flat_map(Command::get_arguments);
        let found = all.find(|argument| argument.get_long() == Some(option));
        found.is_some_and(|argument| argument.get_action().takes_values())
    }

    fn word(&mut self, text: &str) {
        let last = self.commands.last();
        self.is_help |= text == "help" && last.is_some_and(Command::has_subcommands);
        let below = last.and_then(|it| it.find_subcommand(text)).cloned();
        self.commands.extend(below);
    }
}

/// The variable of an option.
pub(crate) fn variable_of(argument: &Arg) -> Option<Cow<'_, str>> {
    argument.get_env().map(OsStr::to_string_lossy)
}

fn default_of(argument: &Arg) -> Option<String> {
    let values = argument.get_default_values().iter();
    let values: Vec<_> = values.map(|it| it.to_string_lossy()).collect();
    match argument.get_action() {
        ArgAction::SetTrue => Some("false".to_owned()),
        _ => (!values.is_empty()).then(|| values.join(",")),
    }
}

/// The file of settings that is named: by the command line, or by the environment.
fn config_path(arguments: &[OsString], variables: &BTreeMap<String, OsString>) -> Option<PathBuf> {
    let mut named = variables
        .get(CONFIG)
        .filter(|it| !it.is_empty())
        .map(PathBuf::from);
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            break;
        }
        if text == CONFIG_OPTION {
            named = rest.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix(CONFIG_OPTION) {
            named = path.strip_prefix('=').map(PathBuf::from).or(named);
        }
    }
    named
}

/// Reads a secret. What is wrong with the file is said without showing any of it.
fn secret(path: &Path, source: SettingSource) -> Result<FoundValue, String> {
    let wrong = |why: &str| format!("{source}: the file {} {why}", path.display());
    if can_be_read_by_others(path) {
        return Err(wrong("can be read by others: run chmod 600 on it"));
    }
    let text =
        fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(FoundValue {
        value: value.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program")]
    struct Program {
        #[arg(long, env = "SETTINGS_TEST_LOG", global = true, default_value = "info")]
        log: String,
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Serve {
            #[arg(long, env = "SETTINGS_TEST_SIZE", default_value = "5")]
            size: u32,
            #[arg(long, env = "SETTINGS_TEST_URL", hide_env_values = true)]
            url: String,
            #[arg(long, env = "SETTINGS_TEST_OPEN")]
            open: bool,
            #[arg(long, env = "SETTINGS_TEST_NETWORKS", value_delimiter = ',')]
            networks: Vec<String>,
        },
        Other,
    }

    fn names() -> SettingNames {
        let variables = ["LOG", "SIZE", "OPEN", "NETWORKS"];
        SettingNames {
            variables: variables.map(|it| format!("SETTINGS_TEST_{it}")).to_vec(),
            secrets: vec!["SETTINGS_TEST_URL".to_owned()],
        }
    }

    /// A directory that is removed with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("settings-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("made");
            Self(path)
        }

        fn file(&self, name: &str, text: &str, mode: u32) -> String {
            let path = self.0.join(name);
            fs::write(&path, text).expect("written");
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).expect("set");
            path.display().to_string()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn merged(line: &[&str], variables: &[(&str, &str)]) -> MergedLine {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), value.into()));
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        let given = GivenSettings::of(arguments.clone(), variables.collect(), names());
        given.merge(&Program::command(), &arguments)
    }

    fn parsed(merged: &MergedLine) -> String {
        assert_eq!(merged.mistakes, Vec::<String>::new());
        let parsed = Program::try_parse_from(&merged.arguments);
        format!("{:?}", parsed.expect("it can be used"))
    }

    #[test]
    fn the_command_line_wins_then_the_environment_then_the_file_then_the_default() {
        let scratch = Scratch::new("order");
        let file = scratch.file(
            "m.toml",
            "settings_test_size = 7\nsettings_test_url = \"from the file\"\nsettings_test_open = true\nsettings_test_networks = [\"a\", \"b\"]\n",
            0o600,
        );
        let config = [(CONFIG, file.as_str())];

        let by_file = merged(&["program", "serve"], &config);
        assert_eq!(
            parsed(&by_file),
            "Program { log: \"info\", command: Serve { size: 7, url: \"from the file\", open: true, networks: [\"a\", \"b\"] } }"
        );
        assert_eq!(
            by_file
                .sources
                .get("SETTINGS_TEST_SIZE")
                .map(ToString::to_string),
            Some(format!("{file}:1"))
        );
        // clap reads the environment itself: nothing is added to what it finds there.
        let by_variable = merged(
            &["program", "serve"],
            &[config[0], ("SETTINGS_TEST_SIZE", "8")],
        );
        let added = |merged: &MergedLine| {
            let mut all = merged.arguments.iter();
            all.any(|it| it.to_string_lossy().starts_with("--size"))
        };
        assert!(!added(&by_variable));
        let by_option = merged(
            &[
                "program", "--log", "serve", "serve", "--size", "9", "--config", &file,
            ],
            &[],
        );
        let sizes = by_option.arguments.iter();
        let sizes = sizes.filter(|it| it.to_string_lossy().starts_with("--size"));
        assert_eq!(sizes.count(), 1, "{:?}", by_option.arguments);
        // What other commands need is none of this one's options.
        assert_eq!(merged(&["program", "other"], &config).arguments.len(), 2);
        assert_eq!(
            merged(&["program", "help", "serve"], &config)
                .arguments
                .len(),
            3
        );
    }

    #[test]
    fn the_values_of_a_command_are_told_wherever_they_were_set() {
        let scratch = Scratch::new("values");
        let file = scratch.file("m.toml", "settings_test_networks = [\"a\", \"b\"]\n", 0o600);
        let secret = scratch.file("url", "postgres://one\n", 0o600);
        let values = |arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from).collect();
            let variables = [("SETTINGS_TEST_URL_FILE", &secret), (CONFIG, &file)];
            let variables = variables.map(|(name, value)| (name.to_owned(), OsString::from(value)));
            let given = GivenSettings::of(arguments, BTreeMap::from(variables), names());
            given.values(&Program::command())
        };
        let of = |values: &[(String, String)], wanted: &str| {
            let found = values.iter().filter(|(variable, _)| variable == wanted);
            let found: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
            found.join(" ")
        };

        let serve = values(&["program", "--log", "debug", "serve", "--size", "7"]);
        for (variable, wanted) in [
            ("SETTINGS_TEST_LOG", "debug"),
            ("SETTINGS_TEST_SIZE", "7"),
            ("SETTINGS_TEST_URL", "postgres://one"),
            ("SETTINGS_TEST_NETWORKS", "a b"),
        ] {
            assert_eq!(of(&serve, variable), wanted, "{serve:?}");
        }
        assert!(of(&values(&["program", "other"]), "SETTINGS_TEST_URL").is_empty());
        assert!(values(&["program", "serve", "--size", "many"]).is_empty());
    }

    #[test]
    fn a_secret_comes_from_a_file_that_its_owner_alone_reads() {
        let scratch = Scratch::new("secrets");
        let secret = scratch.file("secret", "hunter2\n", 0o600);
        let variable = "SETTINGS_TEST_URL_FILE";

        let read = merged(&["program", "serve"], &[(variable, &secret)]);
        assert!(
            parsed(&read).contains("url: \"hunter2\""),
            "{}",
            parsed(&read)
        );

        let open = scratch.file("open", "hunter2", 0o640);
        let empty = scratch.file("empty", "\n", 0o600);
        for (variables, wanted) in [
            (vec![(variable, open.as_str())], "can be read by others"),
            (vec![(variable, empty.as_str())], "is empty"),
            (vec![(variable, "/nowhere/secret")], "cannot be read"),
            (
                vec![(variable, secret.as_str()), ("SETTINGS_TEST_URL", "x")],
                "are both set",
            ),
        ] {
            let refused = merged(&["program", "serve"], &variables);
            assert_eq!(refused.mistakes.len(), 1, "{:?}", refused.mistakes);
            assert!(
                refused.mistakes[0].contains(wanted),
                "{:?}",
                refused.mistakes
            );
            assert!(!refused.mistakes[0].contains("hunter2"));
        }
        let in_clear = scratch.file("m.toml", "settings_test_url = \"hunter2\"\n", 0o644);
        let refused = merged(&["program", "serve", "--config", &in_clear], &[]);
        assert!(
            refused.mistakes[0].contains("holds settings_test_url and can be read by others"),
            "{:?}",
            refused.mistakes
        );
        let by_file = format!("settings_test_url_file = \"{secret}\"\n");
        let by_file = scratch.file("by.toml", &by_file, 0o644);
        let option = format!("--config={by_file}");
        // A value that begins with two hyphens ends no options.
        let read = merged(&["program", &option, "serve"], &[]);
        assert!(read.arguments.iter().any(|it| it == "--url=hunter2"));
    }
}
