//! `config check` and `config show`: what is set, where, and what of it cannot be used.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _};

use clap::{Arg, Command, Parser, Subcommand};
use serde_json::{Value, json};

use crate::{
    GivenSettings, SettingSource,
    file::key_of,
    given::variable_of,
    mistakes::{SettingSources, mistakes},
};

/// What can be asked about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check every setting, and start nothing. Exits with 2 where a value or a name is wrong, with 1 where what is set
    /// cannot be used together or is refused
    Check {
        /// Say it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show every setting, where it is set, and what it is by default; secrets are masked
    Show {
        /// As JSON: name, variable, value, secret, source
        #[arg(long)]
        json: bool,
    },
}

/// What `config check` says where nothing is wrong.
#[must_use]
pub const fn usable(as_json: bool) -> &'static str {
    if as_json {
        r#"{"usable":true}"#
    } else {
        "every setting can be used"
    }
}

/// Every setting of a command and its subcommands, once, in the order of the variables.
fn settings_of(root: &Command) -> BTreeMap<String, Arg> {
    let mut settings = BTreeMap::new();
    let mut commands = vec![root.clone()];
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            if let Some(variable) = variable_of(argument) {
                // The one that has a default says more.
                let is_told = !argument.get_default_values().is_empty();
                let name = variable.into_owned();
                if is_told || !settings.contains_key(&name) {
                    settings.insert(name, argument.clone());
                }
            }
        }
        commands.extend(command.get_subcommands().cloned());
    }
    settings
}

/// What a program would be told that is started with these words, or everything that is wrong: with the files, with
/// the values of all settings, and with what these words need.
///
/// # Errors
/// Every mistake, in words; no secret is among them.
pub fn check<T: Parser>(given: &GivenSettings, words: &[&str]) -> Result<T, Vec<String>> {
    let root = T::command();
    let program = OsString::from(root.get_name());
    let words = words.iter().map(OsString::from);
    let arguments: Vec<OsString> = std::iter::once(program).chain(words).collect();
    let merged = given.merge(&root, &arguments);
    let mut found = merged.mistakes;
    let parsed = T::try_parse_from(&merged.arguments);
    let parsed = parsed.map_err(|error| {
        match mistakes(T::command(), &merged.arguments, error, &merged.sources) {
            Ok(mistakes) => found.extend(mistakes),
            Err(error) => found.push(error.to_string()),
        }
    });
    for (variable, argument) in settings_of(&root) {
        let is_told = |told: &String| {
            told.contains(&format!("({variable})")) || told.contains(&format!("({variable},"))
        };
        if !found.iter().any(is_told) {
            for mistake in mistakes_of_value(given, &variable, &argument) {
                if !found.contains(&mistake) {
                    found.push(mistake);
                }
            }
        }
    }
    match parsed {
        Ok(parsed) if found.is_empty() => Ok(parsed),
        _ => Err(found),
    }
}

/// What is wrong with the value of one setting, whichever command needs it.
fn mistakes_of_value(given: &GivenSettings, variable: &str, argument: &Arg) -> Vec<String> {
    let Some(option) = argument.get_long() else {
        return Vec::new();
    };
    let mut arguments = vec![OsString::from("settings")];
    let mut sources = SettingSources::new();
    match given.option(argument, variable, option) {
        Ok(Some((text, source))) => {
            arguments.extend(text.map(OsString::from));
            sources.insert(variable.to_owned(), source);
        }
        Ok(None) => {}
        Err(mistake) => return vec![mistake],
    }
    let command = || Command::new("settings").arg(alone(argument, variable, option));
    match command().try_get_matches_from(&arguments) {
        Ok(_) => Vec::new(),
        Err(error) => mistakes(command(), &arguments, error, &sources)
            .unwrap_or_else(|error| vec![error.to_string()]),
    }
}

/// The same option without what it needs besides.
fn alone(argument: &Arg, variable: &str, option: &str) -> Arg {
    let mut alone = Arg::new(option.to_owned())
        .long(option.to_owned())
        .env(variable.to_owned())
        .action(argument.get_action().clone())
        .value_parser(argument.get_value_parser().clone())
        .hide_env_values(argument.is_hide_env_values_set());
    if let Some(delimiter) = argument.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    if let Some(names) = argument.get_value_names() {
        alone = alone.value_names(names.to_vec());
    }
    alone
}

/// Every setting of a program, with its value and where it is set. Secrets are masked. As lines that a file of settings
/// could hold, or as JSON.
pub fn show(root: &Command, given: &GivenSettings, as_json: bool) -> String {
    let mut rows = Vec::new();
    let mut text = String::new();
    for (variable, argument) in settings_of(root) {
        let key = key_of(&variable);
        let (value, source) = given.shown(root, &argument, &variable);
        let is_secret = argument.is_hide_env_values_set() || given.is_secret(&variable);
        let is_set = value.is_some() || source != SettingSource::Default;
        if as_json {
            rows.push(json!({
                "name": key,
                "variable": variable,
                "value": if is_secret { None } else { value },
                "set": is_set,
                "secret": is_secret,
                "source": source.to_string(),
            }));
            continue;
        }
        let line = match value {
            _ if !is_set => format!("# {key} is not set"),
            _ if is_secret => format!("{key} = \"********\" # {source}"),
            // A text of JSON is one of TOML.
            Some(value) => format!("{key} = {} # {source}", Value::from(value)),
            None => format!("{key} = \"\" # {source}"),
        };
        // Writing into a text cannot fail.
        writeln!(text, "{line}").ok();
    }
    if as_json {
        format!("{:#}", Value::from(rows))
    } else {
        text.trim_end().to_owned()
    }
}
