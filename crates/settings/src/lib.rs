//! Reads what a program is told, and tells everything that is wrong with it at once: by its command line, its
//! environment, files with secrets, and one file of settings. The command line wins, then the environment, then the
//! file, then the default.
//!
//! clap alone stops at the first mistake, shows the value that it is about, which may be a password, and reads no file.
//! What is set in a file is handed to it as options of the command line that are not there. What each setting means is
//! its program's business.

mod file;
mod given;
mod mistakes;
mod show;

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    io::Write as _,
    process::exit,
};

use clap::{Arg, Command, Parser};

pub use crate::{
    given::{CONFIG, GivenSettings, SettingNames, SettingSource},
    show::{ConfigCommand, check, show, usable},
};

/// What the operator has set, or the end of the process: with status 2 where something cannot be used, and
/// with what was asked for by `--help` and `--version`. `suspects` are told with the mistakes: what is missing
/// may be what was mistyped.
pub fn parse<T: Parser>(given: &GivenSettings, suspects: &[impl fmt::Display]) -> T {
    let merged = given.merge(&T::command(), given.arguments());
    let error = match T::try_parse_from(&merged.arguments) {
        Ok(parsed) if merged.mistakes.is_empty() || given.is_for(&T::command(), "config") => {
            return parsed;
        }
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let arguments: &[OsString] = &merged.arguments;
    let found = error.map_or(Ok(Vec::new()), |error| {
        mistakes::mistakes(T::command(), arguments, error, &merged.sources)
    });
    match found {
        Ok(found) => {
            let mut all = merged.mistakes;
            all.extend(found);
            all.extend(suspects.iter().map(ToString::to_string));
            let name = T::command().get_name().to_owned();
            refuse(&name, &all);
        }
        // Help, the version, or a command that there is not: clap says it best.
        Err(error) => {
            for suspect in suspects.iter().filter(|_| error.use_stderr()) {
                // Nobody to tell: the exit code says it.
                writeln!(std::io::stderr(), "{suspect}").ok();
            }
            if error.use_stderr() {
                tell_program(error.to_string().trim_end());
            }
            error.exit()
        }
    }
}

/// The variables of the environment that a command and its subcommands read.
pub fn variables_of(command: Command) -> Vec<String> {
    let mut variables = Vec::new();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        let names = command.get_arguments().filter_map(Arg::get_env);
        variables.extend(names.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    variables
}

/// Says what cannot be used, and ends the process with status 2.
pub fn refuse(program: &str, mistakes: &[String]) -> ! {
    let why = told(mistakes);
    // Nobody to tell: the exit code says it.
    writeln!(std::io::stderr(), "{program}: {why}").ok();
    tell_program(&why);
    exit(2)
}

/// Says why there is no result as one JSON object on standard output, where the command line asks for JSON.
pub fn tell_program(why: &str) {
    if std::env::args_os().any(|argument| argument == "--json") {
        // Nobody to tell: the exit code says it.
        writeln!(std::io::stdout(), "{}", serde_json::json!({ "error": why })).ok();
    }
}

/// All mistakes as one text.
pub fn told(mistakes: &[String]) -> String {
    let mut text = match mistakes.len() {
        1 => "this setting cannot be used:".to_owned(),
        many => format!("these {many} settings cannot be used:"),
    };
    for mistake in mistakes {
        // Writing into a text cannot fail.
        write!(text, "\n  {mistake}").ok();
    }
    text
}
