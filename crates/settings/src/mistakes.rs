//! What is wrong with a command line: clap's first error, and those behind it.

use std::{collections::BTreeMap, error::Error as _, ffi::OsString, fmt::Write as _};

use clap::{
    Arg, Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::SettingSource;

/// Where the value of each variable was set, for those that were set in a file.
pub(crate) type SettingSources = BTreeMap<String, SettingSource>;

/// What is wrong with the arguments: the first error, and those that come to light when each of them is
/// overlooked.
pub(crate) fn mistakes(
    mut command: Command,
    arguments: &[OsString],
    first: Error,
    sources: &SettingSources,
) -> Result<Vec<String>, Error> {
    // Until then an argument does not know its own name.
    command.build();
    let mut mistakes = Vec::new();
    let mut error = first;
    loop {
        let blamed = blamed(&error);
        let is_about_a_value = matches!(
            error.kind(),
            ErrorKind::ValueValidation | ErrorKind::InvalidValue
        );
        match error.kind() {
            ErrorKind::MissingRequiredArgument => {
                let missing = blamed.iter().map(|name| {
                    let setting = setting(&command, name, sources);
                    format!("{setting} is missing")
                });
                mistakes.extend(missing);
                return Ok(mistakes);
            }
            _ if is_about_a_value && blamed.len() == 1 => {
                mistakes.push(in_words(&command, &blamed[0], &error, sources));
                let overlooked = overlook(command.clone(), &blamed[0]);
                match overlooked.clone().try_get_matches_from(arguments) {
                    Ok(_) => return Ok(mistakes),
                    // The same again: overlooking it did not help.
                    Err(next) if self::blamed(&next) == blamed => return Ok(mistakes),
                    Err(next) => (command, error) = (overlooked, next),
                }
            }
            _ if mistakes.is_empty() => return Err(error),
            // What is told already comes first; the rest shows when that is mended.
            _ => return Ok(mistakes),
        }
    }
}

/// The arguments that an error is about, as clap writes them: `--listen <LISTEN>`.
fn blamed(error: &Error) -> Vec<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => Vec::new(),
    }
}

/// Why a value cannot be used. The value itself is shown where it is no secret.
fn in_words(command: &Command, name: &str, error: &Error, sources: &SettingSources) -> String {
    let setting = setting(command, name, sources);
    let is_secret = find(command, name).is_some_and(Arg::is_hide_env_values_set);
    let mut text = setting;
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && !is_secret
        && !value.is_empty()
    {
        write!(text, " cannot be {value:?}").ok();
    } else {
        text.push_str(" cannot be used");
    }
    if let Some(why) = error.source() {
        write!(text, ": {why}").ok();
    } else if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
        write!(text, ": it is one of {}", values.join(", ")).ok();
    } else {
        text.push_str(": it is empty");
    }
    text
}

/// An argument's name, its variable, and the file where it is set: `--listen <LISTEN> (MEDITRUSTAL_LISTEN,
/// /etc/meditrustal.toml:3)`.
fn setting(command: &Command, name: &str, sources: &SettingSources) -> String {
    let Some(variable) = find(command, name).and_then(Arg::get_env) else {
        return name.to_owned();
    };
    let variable = variable.to_string_lossy();
    match sources.get(variable.as_ref()) {
        Some(source) => format!("{name} ({variable}, {source})"),
        None => format!("{name} ({variable})"),
    }
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let mut own = command.get_arguments();
    own.find(|arg| arg.to_string() == name).or_else(|| {
        command
            .get_subcommands()
            .find_map(|below| find(below, name))
    })
}

/// The same command, which takes any value for this argument.
fn overlook(command: Command, name: &str) -> Command {
    let relaxed = command.mut_args(|arg| {
        if arg.to_string() == name {
            arg.value_parser(clap::value_parser!(OsString))
        } else {
            arg
        }
    });
    relaxed.mut_subcommands(|below| overlook(below, name))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::told;

    #[derive(Debug, Parser)]
    #[command(name = "program")]
    struct Program {
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Serve {
            #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10))]
            size: u32,
            #[arg(long, env = "NO_SUCH_VARIABLE_HERE")]
            at: std::net::SocketAddr,
            #[arg(long, hide_env_values = true, value_parser = |_: &str| Err::<String, _>("no address"))]
            url: String,
            #[arg(long, value_parser = ["fast", "slow"])]
            pace: Option<String>,
            #[arg(long)]
            file: std::path::PathBuf,
        },
    }

    fn judge(line: &str) -> Result<String, ErrorKind> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Program::try_parse_from(&arguments).map(|parsed| format!("{parsed:?}"));
        let Err(error) = error else {
            return Ok(String::new());
        };
        mistakes(
            <Program as clap::CommandFactory>::command(),
            &arguments,
            error,
            &SettingSources::new(),
        )
        .map(|mistakes| told(&mistakes))
        .map_err(|error| error.kind())
    }

    #[test]
    fn every_mistake_is_told_and_no_secret() {
        let told = judge("program serve --size 11 --at here --url postgres://secret --pace quick");

        assert_eq!(
            told,
            Ok("these 5 settings cannot be used:
  --size <SIZE> cannot be \"11\": 11 is not in 1..=10
  --at <AT> (NO_SUCH_VARIABLE_HERE) cannot be \"here\": invalid socket address syntax
  --url <URL> cannot be used: no address
  --pace <PACE> cannot be \"quick\": it is one of fast, slow
  --file <FILE> is missing"
                .to_owned())
        );
    }

    #[test]
    fn what_is_no_setting_is_left_to_clap() {
        assert_eq!(judge("program --help"), Err(ErrorKind::DisplayHelp));
        assert_eq!(judge("program swerve"), Err(ErrorKind::InvalidSubcommand));
        assert_eq!(
            judge("program serve --sise 1"),
            Err(ErrorKind::UnknownArgument)
        );
    }
}
