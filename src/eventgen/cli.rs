//! The command line of `eventgen`: `generate`, `check`, `preview`, `settings`, `help`.
//!
//! Arguments and environment are read here and nowhere else; everything further on gets them
//! handed in.

mod check;
mod flags;
mod forecast;
mod generate;
mod preview;
mod screen;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::screen::Screen;
use super::plugin::Registry;
use super::{conf, generator, output, rater};
use crate::eventgen::conf::Request;
use crate::tls;

/// Something the conf asks for will not happen, or something was lost.
const EXIT_FAILURE: u8 = 1;
/// The command line cannot be used.
const EXIT_USAGE: u8 = 2;
/// `EX_SOFTWARE`: a defect of eventgen itself.
const EXIT_DEFECT: u8 = 70;

/// Commands of the original that are not there yet.
const LATER: [(&str, &str); 2] = [
    ("service", "the service with its HTTP interface is not there yet"),
    ("build", "building a Splunk app is not there yet"),
];

/// Runs the command with the process's arguments and environment.
pub fn main() -> ExitCode {
    main_with(|_| {})
}

/// Runs the command, with plugins added to those that come with it.
pub fn main_with(add: impl FnOnce(&mut Registry)) -> ExitCode {
    tls::install_provider();
    let mut registry = registry();
    add(&mut registry);
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let request = |matches: &ArgMatches| Request {
        working_dir: std::env::current_dir().unwrap_or_default(),
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        ..flags::request(matches)
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    match matches.subcommand() {
        Some(("generate", matches)) => {
            generate::run(matches, &request(matches), &registry, &Screen::stderr(plain))
        }
        Some(("check", matches)) => check::run(matches, &request(matches), &registry, &Screen::stdout(plain)),
        Some(("preview", matches)) => {
            preview::run(matches, &request(matches), &registry, &Screen::stdout(plain))
        }
        Some(("settings", matches)) => {
            let wanted = matches.get_one::<String>("name");
            show_settings(wanted.map(String::as_str), &Screen::stdout(plain))
        }
        Some((name, _)) => {
            let what = LATER.iter().find(|(later, _)| *later == name).map_or("", |(_, what)| *what);
            Screen::stderr(plain).print(&format!("error: {what}\n"));
            ExitCode::from(EXIT_FAILURE)
        }
        None => ExitCode::from(EXIT_USAGE),
    }
}

/// All plugins that come with it.
fn registry() -> Registry {
    let mut registry = Registry::default();
    generator::register(&mut registry);
    rater::register(&mut registry);
    output::register(&mut registry);
    registry
}

fn command() -> Command {
    let later = LATER.map(|(name, about)| {
        let rest = Arg::new("rest").num_args(0..).allow_hyphen_values(true).trailing_var_arg(true).hide(true);
        Command::new(name).about(about).hide(true).arg(rest)
    });
    Command::new("eventgen")
        .display_name("Eventgen")
        .about("Generates events from eventgen.conf files and samples")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(flags::global())
        .subcommand(
            Command::new("generate")
                .about("Generate events as a conf says")
                .args(flags::conf())
                .args(flags::run()),
        )
        .subcommand(
            Command::new("check")
                .about("Say what a conf will do, and what is wrong with it; status 1 if anything is")
                .args(flags::conf()),
        )
        .subcommand(
            Command::new("preview")
                .about("Show the first events of each sample, with what was replaced highlighted")
                .args(flags::conf())
                .args(flags::preview()),
        )
        .subcommand(
            Command::new("settings").about("Explain every setting of a conf, or some").arg(
                Arg::new("name").value_name("NAME").action(ArgAction::Set).help("Part of a setting's name"),
            ),
        )
        .subcommands(later)
}

fn show_settings(wanted: Option<&str>, screen: &Screen) -> ExitCode {
    let text = conf::reference(wanted.unwrap_or_default());
    if text.is_empty() {
        screen.print(&format!("no setting has {:?} in its name\n", wanted.unwrap_or_default()));
        return ExitCode::from(EXIT_FAILURE);
    }
    screen.print(&text);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn what_says_nothing_is_told_how() {
        let error = command().try_get_matches_from(["eventgen"]).unwrap_err();
        assert!(error.use_stderr() && error.to_string().contains("Usage: eventgen"));
        let version = command().try_get_matches_from(["eventgen", "--version"]).unwrap_err();
        assert_eq!(version.to_string(), format!("Eventgen {}\n", env!("CARGO_PKG_VERSION")));
        let help = command().try_get_matches_from(["eventgen", "help", "generate"]).unwrap_err();
        assert!(!help.use_stderr() && help.to_string().contains("--clock-start"));
    }

    #[test]
    fn commands_of_later_take_any_flags() {
        let matches = command().try_get_matches_from(["eventgen", "service", "--role", "server"]).unwrap();
        assert_eq!(matches.subcommand_name(), Some("service"));
    }
}
