//! The command line of `harness`.
//!
//! May touch: arguments and environment, through `args`; everything it asks the rest of the crate to
//! do. Invariants: an error is one line on stderr with a documented exit code; no password is taken
//! from an argument, which every user of the machine can read.

mod alter;
mod args;
mod audit;
mod conformance;
mod doctor;
mod error;
mod lag;
mod man;
mod options;
mod run;
mod serve;
mod show;
mod signals;
mod sql;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::demo;
use crate::exit::Exit;
use crate::report::out;
use args::{Arguments, Command};

pub(crate) use args::{DemoArgs, DemoSource};
pub use error::CliError;
pub(crate) use options::style as view_style;
pub(crate) use signals::watch as watch_signals;

/// Runs the command of these arguments; the first one is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let done = Arguments::try_parse_from(&arguments)
        .map_err(|error| CliError::of_call(&error, &help_of(&arguments)))
        .and_then(|arguments| command(arguments.command));
    let exit = match done {
        Ok(exit) => exit,
        Err(CliError::Answer(text)) => match out::line(text.trim_end()) {
            Ok(()) => Exit::Done,
            Err(error) => CliError::from(error).exit(),
        },
        Err(error) => {
            error.print();
            error.exit()
        }
    };
    exit.into()
}

/// The call that prints the help of the command among these arguments.
fn help_of(arguments: &[OsString]) -> String {
    let known = Arguments::command();
    let first = arguments.get(1).and_then(|word| word.to_str());
    match first.filter(|word| known.find_subcommand(word).is_some()) {
        Some(command) => format!("harness {command} --help"),
        None => "harness --help".to_owned(),
    }
}

fn command(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Status(args) => status::status(&args),
        Command::Batches(args) => show::batches(&args),
        Command::Offsets(args) => show::offsets(&args),
        Command::Errors(args) => show::errors(&args),
        Command::Audit(args) => audit::audit(&args),
        Command::SetOffsets(args) => alter::set_offsets(&args),
        Command::SetLeaves(args) => alter::set_leaves(&args),
        Command::Drop(args) => show::drop_pipeline(&args),
        Command::Ddl(args) => sql::ddl(&args),
        Command::Sql(args) => sql::sql(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Conformance(args) => conformance::conformance(&args),
        Command::Replay(args) => conformance::replay(&args),
        Command::Man => man::man(),
        Command::Completions(args) => {
            let mut text = Vec::new();
            let mut command = Arguments::command();
            clap_complete::generate(args.shell(), &mut command, "harness", &mut text);
            out::line(String::from_utf8_lossy(&text).trim_end())?;
            Ok(Exit::Done)
        }
    }
}
