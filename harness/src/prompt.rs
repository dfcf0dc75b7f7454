//! The prompt of `harness sql` on a terminal: a line editor before the same session as scripts have.
//!
//! May touch: the terminal, through the line editor and `report::out`; the file of its history. Invariants: a
//! statement that fails ends nothing; a statement that holds a secret is not remembered.

mod helper;
mod history;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use crate::cli::CliError;
use crate::exit::Exit;
use crate::report::out;
use crate::run::Control;
use crate::sql::{self, Answer, Session};
use crate::store::StoreUrl;
use helper::{Helper, Input};

const PROMPT: &str = "harness> ";

/// Statements that are remembered. Why 1000: some months of a person's work.
const HISTORY_MAX: usize = 1000;

const WELCOME: &str = "Statements end with ; and \\? shows help, \\q or Ctrl-D leaves";

const HELP: &str =
    "  statement;   runs it, when its ; is there; Enter before that begins a new line
  \\?           this help; pipeline statements: harness sql --help
  \\q, Ctrl-D   leaves; pipelines that were started here are stopped
  Ctrl-C       drops what is typed; ends START … FOREGROUND and TEST that run
  Tab          completes keywords and names of pipelines
  Up, Ctrl-R   earlier statements, but for those that hold secrets";

/// Prints one answer.
pub(crate) type Tell<'a> = dyn FnMut(Answer) -> Result<(), CliError> + 'a;

/// Reads statements and runs them until the person leaves.
///
/// `statement` hands every statement's own control to whoever hears Ctrl-C.
///
/// # Errors
/// The terminal cannot be used.
pub(crate) fn run(
    session: &mut Session,
    url: &StoreUrl,
    control: &Control,
    statement: &dyn Fn(Option<Control>),
    tell: &mut Tell<'_>,
) -> Result<(), CliError> {
    let unusable = |error: &dyn std::fmt::Display| {
        CliError::other(Exit::Resource, format!("cannot use the terminal: {error}"))
    };
    let config = Config::builder()
        .auto_add_history(false)
        .max_history_size(HISTORY_MAX)
        .and_then(|it| it.history_ignore_dups(true))
        .map_err(|error| unusable(&error))?
        .build();
    let mut editor: Editor<Helper, FileHistory> =
        Editor::with_config(config).map_err(|error| unusable(&error))?;
    editor.set_helper(Some(Helper::new(url.clone())));
    let file = history::open(&mut editor);
    out::note(&format!("{url}\n{WELCOME}"));
    while !control.is_draining() {
        let text = match editor.readline(PROMPT) {
            Ok(text) => text,
            // What was typed is dropped, and a new line begins.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unusable(&error)),
        };
        match helper::input(&text, url) {
            Input::Nothing => continue,
            Input::Leave => break,
            Input::Help => {
                out::line(HELP)?;
                continue;
            }
            Input::Statements => {}
        }
        history::keep(&mut editor, file.as_deref(), &text, url);
        let own = control.child();
        session.run_under(&own);
        statement(Some(own));
        let done = session.script("statement", &text, tell);
        statement(None);
        if let Err(error) = done {
            if matches!(error, CliError::Output(_)) {
                return Err(error);
            }
            error.print();
        }
        if sql::has_own(&text, url)
            && let Some(helper) = editor.helper_mut()
        {
            helper.pipelines = session.pipeline_names();
        }
    }
    Ok(())
}
