//! `harness sql` and `harness ddl`.
//!
//! May touch: the store, the file of statements, standard input. The text of a statement that is not the
//! harness's own is handed to the database as it is.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::args::{DdlArgs, SqlArgs};
use super::error::CliError;
use super::signals;
use crate::exit::Exit;
use crate::prompt;
use crate::report::{Report, Style, Table, Verbosity, counted, json_cell, out};
use crate::run::Control;
use crate::sql::{self, Answer, HostAccess, SCRIPT_BYTES_MAX, Session, Wishes};
use crate::store::{self, RowSet, StoreUrl};

pub(super) fn ddl(args: &DdlArgs) -> Result<Exit, CliError> {
    out::line(&store::static_table_ddl(args.dialect.into(), &args.name))?;
    Ok(Exit::Done)
}

pub(super) fn sql(args: &SqlArgs) -> Result<Exit, CliError> {
    let is_empty =
        |text: &String| text.trim_matches(|c: char| c.is_whitespace() || c == ';').is_empty();
    if args.statements.iter().any(is_empty) {
        return Err(CliError::usage("the statement is empty: write one after -e"));
    }
    let scripts: Vec<(String, String)> = match &args.file {
        Some(path) => vec![(path.display().to_string(), read(path)?)],
        None => args.statements.iter().map(|text| ("-e".to_owned(), text.clone())).collect(),
    };
    let is_prompt = args.file.is_none() && args.statements.is_empty();
    if is_prompt && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(CliError::Usage {
            message: "no statements, and no terminal to ask for them".to_owned(),
            hint: Some(
                "give -e 'SQL' or -f FILE, where - is standard input; see harness sql --help"
                    .to_owned(),
            ),
        });
    }
    let url = args.store.required()?;
    let control = Control::default();
    let style = if args.json { Style::Quiet } else { Style::Progress };
    if scripts.iter().any(|(_, script)| sql::has_own(script, &url)) {
        // A statement for the database is ended by Ctrl-C as ever; what runs here commits first.
        // A report that shows progress would go on showing that of no run.
        let report = Report::start("sql", None, Style::Quiet, Verbosity::Warnings, &control);
        signals::watch(&control, &report)?;
    }
    let wishes = Wishes {
        url: url.clone(),
        extractor: args.extractor.clone(),
        until_caught_up: args.until_caught_up,
        leaves: args
            .leaves
            .map(u32::try_from)
            .transpose()
            .map_err(|_| CliError::usage("N is too large"))?,
        leaf: args.leaf,
        style,
        verbosity: Verbosity::Warnings,
        host: HostAccess::Allowed,
        client: None,
    };
    let mut session = Session::new(wishes, &control);
    if args.create_functions {
        session.create_functions()?;
    }
    let mut tell = |answer: Answer| -> Result<(), CliError> {
        match (answer, args.json) {
            (Answer::Rows(rows), true) => print_json(&rows),
            (Answer::Rows(rows), false) => print(&rows),
            (Answer::Done(text), false) => Ok(out::line(&text)?),
            (Answer::Done(_), true) => Ok(()),
        }
    };
    if is_prompt {
        return ask(&mut session, &url, &control, &mut tell);
    }
    let done = scripts.iter().try_for_each(|(name, text)| session.script(name, text, &mut tell));
    let ended = match &done {
        Ok(()) => session.finish(),
        Err(_) => {
            session.give_up();
            Ok(())
        }
    };
    control.pool().close();
    done?;
    ended?;
    Ok(Exit::Done)
}

/// The prompt. What was started here ends with it.
fn ask(
    session: &mut Session,
    url: &StoreUrl,
    control: &Control,
    tell: &mut prompt::Tell<'_>,
) -> Result<Exit, CliError> {
    let statement = Arc::new(Mutex::new(None));
    signals::watch_prompt(&statement)?;
    let set = |own: Option<Control>| {
        *statement.lock().unwrap_or_else(PoisonError::into_inner) = own;
    };
    let done = prompt::run(session, url, control, &set, tell);
    let running = session.running();
    if !running.is_empty() {
        out::note(&format!("stopping {}", running.join(", ")));
    }
    control.drain();
    let ended = session.end();
    control.pool().close();
    done?;
    ended?;
    Ok(Exit::Done)
}

/// The statements of a file, or of standard input.
fn read(path: &Path) -> Result<String, CliError> {
    let unreadable = |why: String| {
        CliError::other(Exit::NoInput, format!("cannot read {}: {why}", path.display()))
    };
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| unreadable(error.to_string()))?)
    };
    let mut text = String::new();
    source
        .take(SCRIPT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > SCRIPT_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {SCRIPT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// An answer as a table, or how many rows the statement changed.
pub(super) fn print(answer: &RowSet) -> Result<(), CliError> {
    if answer.columns.is_empty() {
        out::line(&format!("done, {} changed", counted(answer.affected, "row", "rows")))?;
        return Ok(());
    }
    out::line(&Table::from(answer).render(out::stdout_width()))?;
    Ok(())
}

/// One object for each row.
pub(super) fn print_json(answer: &RowSet) -> Result<(), CliError> {
    for row in &answer.rows {
        let pairs = answer.columns.iter().cloned().zip(row.0.iter().map(json_cell));
        out::json(&Value::Object(pairs.collect()))?;
    }
    Ok(())
}
