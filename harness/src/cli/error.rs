//! Why a command failed: one line, an exit code, and a hint where that says something else.
//!
//! Touches nothing.

use std::io;

use clap::error::ErrorKind;

use crate::exit::Exit;
use crate::pipeline::PipelineError;
use crate::report::out;
use crate::run::RunError;
use crate::sql::SqlError;
use crate::store::StoreError;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It was called wrongly.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// No failure: the text that was asked for, a help or a version.
    #[error("{0}")]
    Answer(String),
    /// Called without a command: the help text.
    #[error("{0}")]
    Help(String),
    /// The pipeline file cannot be used.
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// A statement.
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// Something else, with its exit code.
    #[error("{1}")]
    Other(Exit, String),
    /// Stdout cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// Called wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// Something else, with its exit code.
    pub fn other(exit: Exit, message: impl Into<String>) -> Self {
        Self::Other(exit, message.into())
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::Help(_) => Exit::Usage,
            Self::Answer(_) => Exit::Done,
            Self::Pipeline(error) => error.exit(),
            Self::Store(error) => error.into(),
            Self::Run(error) => error.into(),
            Self::Sql(error) => error.exit(),
            Self::Other(exit, _) => *exit,
            // `harness sql … | head` has what it wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) => Exit::Resource,
        }
    }

    /// Prints it to stderr.
    pub fn print(&self) {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Usage { message, hint } => out::error(message, hint.as_deref()),
            Self::Help(text) => out::note(text.trim_end()),
            other => {
                out::error(&other.to_string(), None);
                if let Self::Sql(error) = other {
                    error.excerpt().into_iter().for_each(out::note);
                }
            }
        }
    }
}

impl CliError {
    /// What clap says about the arguments; `help` is the call that prints the command's help.
    pub(super) fn of_call(error: &clap::Error, help: &str) -> Self {
        let text = error.render().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Answer(text),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::Help(text),
            _ => Self::Usage { message: first_part(&text), hint: Some(usage_hint(&text, help)) },
        }
    }
}

/// Clap's text up to the first empty line, on one line.
fn first_part(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).collect();
    let joined = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

/// Clap's tip, else how the command is called, and where the rest is.
fn usage_hint(text: &str, help: &str) -> String {
    let part = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
    match (part("tip: "), part("Usage: ")) {
        (Some(tip), _) => format!("{tip}; see {help}"),
        (None, Some(usage)) => format!("usage: {usage}; see {help}"),
        (None, None) => format!("see {help}"),
    }
}
