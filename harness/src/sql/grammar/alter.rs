//! ALTER PIPELINE: its changes, with SET before them or without, as the documentation has each.
//!
//! Pure. Invariant: what is documented and has no meaning here is refused by its name.

use std::cell::Cell;

use protocol::message::Start;
use winnow::Parser;
use winnow::combinator::{alt, opt, preceded, repeat, separated};

use super::clauses::{clause, out_of_order};
use super::{
    Input, Kind, Parsed, Token, json, name, next, refuse, switch, text, unsupported, word, words,
};
use crate::pipeline::parse_start;
use crate::run::{Point, Points};
use crate::sql::statement::{Change, Clauses, Offsets, Statement, Update};

pub(super) fn alter(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let name = name(input)?;
    let is_moved = Cell::new(false);
    // Before a first start each of two would say where all splits begin: the second would undo the first.
    let offsets = |input: &mut Input<'_, '_>| {
        let (at, change) = offsets(input)?;
        if is_moved.replace(true) {
            let message = "SET OFFSETS may be said once: put all places into one JSON".to_owned();
            return refuse(input, at, message);
        }
        Ok(change)
    };
    // SET stands before a change, and the documentation has some without it.
    let set =
        preceded(word("SET"), alt((offsets, update, stop_on_error, clause.map(Change::Clauses))));
    let gc = (alt((word("ENABLE"), word("DISABLE"))), words(&["OFFSETS", "METADATA", "GC"]));
    let nothing = alt((out_of_order, gc.void())).map(|()| Change::Clauses(Clauses::default()));
    const GONE: &str = "; a split that the source does not have any more is left out by itself";
    let change = alt((
        set,
        stop_on_error,
        nothing,
        unsupported(&[("DROP", GONE), ("RELOAD", "; there are no transforms")]),
    ));
    let changes: Vec<Change> = repeat(1.., change).parse_next(input)?;
    Ok(Statement::Alter { name, changes })
}

fn stop_on_error(input: &mut Input<'_, '_>) -> Parsed<Change> {
    let on =
        |flag: bool| Change::Clauses(Clauses { stop_on_error: Some(flag), ..Clauses::default() });
    let forget = word("NONE").map(|_| Change::ForgetStopOnError);
    preceded(word("STOP_ON_ERROR"), alt((switch.map(on), forget))).parse_next(input)
}

/// `CONFIG` or `CREDENTIALS`, all of it or one key.
fn update(input: &mut Input<'_, '_>) -> Parsed<Change> {
    let one = |input: &mut Input<'_, '_>| {
        words(&[":", ":"]).parse_next(input)?;
        let key = key(input)?;
        word("=").parse_next(input)?;
        let value = text("a string with the value").parse_next(input)?.value();
        Ok(Update::Key { key, value })
    };
    let value = || alt((json.map(Update::Whole), one));
    alt((
        preceded(word("CONFIG"), value()).map(Change::Config),
        preceded(word("CREDENTIALS"), value()).map(Change::Credentials),
        unsupported(&[("TRANSFORM", "; there are no transforms")]),
    ))
    .parse_next(input)
}

/// A key of CONFIG: words with dots between them, or all of it in quotes.
fn key(input: &mut Input<'_, '_>) -> Parsed<String> {
    let quoted = opt(text("a key")).parse_next(input)?;
    if let Some(quoted) = quoted {
        return Ok(quoted.value());
    }
    let parts: Vec<String> = separated(1.., name, word(".")).parse_next(input)?;
    Ok(parts.join("."))
}

/// Where it stands, too.
fn offsets(input: &mut Input<'_, '_>) -> Parsed<(usize, Change)> {
    let at = word("OFFSETS").parse_next(input)?.at;
    let offsets = alt((
        word("EARLIEST").map(|_| all(Start::Earliest)),
        word("LATEST").map(|_| all(Start::Latest)),
        preceded(word("TIMESTAMP"), timestamp).map(Offsets::Points),
        json.map(Offsets::Json),
    ));
    offsets.map(|it| (at, Change::Offsets(it))).parse_next(input)
}

/// One start for all splits.
fn all(start: Start) -> Offsets {
    Offsets::Points(Points::all(Point::At(start)))
}

fn timestamp(input: &mut Input<'_, '_>) -> Parsed<Points> {
    let fits = |token: &Token<'_>| matches!(token.kind, Kind::Text | Kind::Number);
    let token = next(input, "milliseconds or a string with a time", fits)?;
    parse_start(&format!("timestamp:{}", token.value())).or_else(|_| {
        let message = "expected milliseconds since 1970 or '2026-01-31T00:00:00Z'".to_owned();
        refuse(input, token.at, message)
    })
}
