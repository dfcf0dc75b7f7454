//! Statements that MySQL clients send of their own accord, or that are about connections of this server: who
//! answers them, where the database behind it cannot.
//!
//! Pure. Invariant: an SQLite store hears nothing that means something else there; a server behind it gets
//! everything but what names connections of this one.

use crate::sql::{Kind, Piece, Token};
use crate::store::{Cell, CellRow, RowSet};

/// A statement that is not handed on as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Front {
    /// It is done by doing nothing.
    Nothing,
    /// `SET autocommit`.
    Autocommit(bool),
    /// `BEGIN`: a transaction that is open is committed.
    Begin,
    /// `COMMIT` and `ROLLBACK`, which are no error without a transaction.
    End(&'static str),
    /// `USE`.
    Use(String),
    /// `KILL`.
    Kill { id: u64, is_query: bool },
    /// These expressions, by the names of their columns.
    Select(Vec<(String, Asked)>),
    /// Another statement of the same meaning.
    Instead(String),
    /// An answer that is the same for all.
    Rows(RowSet),
}

/// What a client asks of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// `@@name`.
    Variable(String),
    Database,
    Version,
    ConnectionId,
    User,
}

/// Who answers this statement, if not the database. `on_sqlite`: the store does not know MySQL's own.
pub(super) fn read(piece: &Piece<'_>, on_sqlite: bool) -> Option<Front> {
    if piece.is_ours {
        return None;
    }
    let tokens = piece.tokens.as_slice();
    if let Some(kill) = kill(tokens) {
        return Some(kill);
    }
    let ends_at = |index: usize| tokens.len() <= index;
    let first = tokens.first()?;
    if first.is("USE") && ends_at(2) {
        return Some(Front::Use(tokens.get(1)?.value()));
    }
    if !on_sqlite {
        return None;
    }
    let is = |index: usize, word: &str| tokens.get(index).is_some_and(|token| token.is(word));
    if first.is("SET") {
        return set(tokens.get(1..)?);
    }
    if first.is("BEGIN") && (ends_at(1) || is(1, "WORK") && ends_at(2)) {
        return Some(Front::Begin);
    }
    if first.is("START") && is(1, "TRANSACTION") {
        return Some(Front::Begin);
    }
    for end in ["COMMIT", "ROLLBACK"] {
        if first.is(end) && (ends_at(1) || is(1, "WORK") && ends_at(2)) {
            return Some(Front::End(if end == "COMMIT" { "COMMIT" } else { "ROLLBACK" }));
        }
    }
    if first.is("SHOW") {
        return show(tokens.get(1..)?);
    }
    if first.is("SELECT") { select(tokens.get(1..)?).map(Front::Select) } else { None }
}

/// `KILL [HARD|SOFT] [CONNECTION|QUERY] id`.
fn kill(tokens: &[Token<'_>]) -> Option<Front> {
    let (first, mut rest) = tokens.split_first()?;
    if !first.is("KILL") {
        return None;
    }
    let mut is_query = false;
    while let Some((word, after)) = rest.split_first() {
        match word.kind {
            Kind::Number if after.is_empty() => {
                return Some(Front::Kill { id: word.text.parse().ok()?, is_query });
            }
            _ if word.is("QUERY") => is_query = true,
            _ if ["HARD", "SOFT", "CONNECTION"].iter().any(|it| word.is(it)) => {}
            _ => break,
        }
        rest = after;
    }
    // By user or by the number of a query: no connection has this number.
    Some(Front::Kill { id: 0, is_query })
}

/// Whether a statement opens a transaction, or ends one, for the flag that clients are shown.
pub(super) fn opens_transaction(piece: &Piece<'_>) -> Option<bool> {
    const END: [&str; 9] =
        ["COMMIT", "ROLLBACK", "ALTER", "CREATE", "DROP", "TRUNCATE", "RENAME", "START", "STOP"];
    let is = |index: usize, word: &str| piece.tokens.get(index).is_some_and(|it| it.is(word));
    if is(0, "BEGIN") || is(0, "START") && is(1, "TRANSACTION") {
        return Some(true);
    }
    let is_partial = is(0, "ROLLBACK") && (is(1, "TO") || is(2, "TO"));
    (END.iter().any(|word| is(0, word)) && !is_partial).then_some(false)
}

/// What a statement sets `autocommit` to.
pub(super) fn sets_autocommit(piece: &Piece<'_>) -> Option<bool> {
    let (first, rest) = piece.tokens.split_first()?;
    match first.is("SET").then(|| set(rest))?? {
        Front::Autocommit(is_on) => Some(is_on),
        _ => None,
    }
}

/// Settings of a MySQL session mean nothing to SQLite, but for `autocommit`.
fn set(tokens: &[Token<'_>]) -> Option<Front> {
    let mut front = Front::Nothing;
    let mut assignments = tokens.split(|token| token.is(",")).peekable();
    assignments.peek()?;
    for assignment in assignments {
        let (name, value) = assigned(assignment)?;
        if name.eq_ignore_ascii_case("autocommit") {
            let is_on = match value?.value().to_ascii_uppercase().as_str() {
                "1" | "ON" | "TRUE" | "DEFAULT" => true,
                "0" | "OFF" | "FALSE" => false,
                _ => return None,
            };
            front = Front::Autocommit(is_on);
        }
    }
    Some(front)
}

/// The name and the value of `[SESSION|LOCAL] name = value`, `@@[session.]name = value`, `NAMES x`. Variables of
/// people, global ones and passwords are not settings of a session.
fn assigned<'t, 's>(tokens: &'s [Token<'t>]) -> Option<(String, Option<&'s Token<'t>>)> {
    let (first, rest) = tokens.split_first()?;
    if first.is("SESSION") || first.is("LOCAL") {
        return if rest.first().is_some_and(|token| token.is("TRANSACTION")) {
            Some(("transaction".to_owned(), None))
        } else {
            assigned(rest)
        };
    }
    if ["NAMES", "CHARSET", "CHARACTER", "TRANSACTION"].iter().any(|word| first.is(word)) {
        return Some((first.text.to_ascii_lowercase(), None));
    }
    let mut name = first.value();
    let mut rest = rest;
    if let [dot, part, after @ ..] = rest
        && dot.is(".")
    {
        if !["@@session", "@@local"].iter().any(|it| name.eq_ignore_ascii_case(it)) {
            return None;
        }
        name = part.value();
        rest = after;
    }
    let name = name.strip_prefix("@@").unwrap_or(&name).to_owned();
    let is_plain = !name.starts_with('@')
        && !["GLOBAL", "PASSWORD", "ROLE", "DEFAULT"]
            .iter()
            .any(|it| name.eq_ignore_ascii_case(it));
    if !is_plain {
        return None;
    }
    match rest {
        [equals, value, ..] if equals.is("=") => Some((name, Some(value))),
        [colon, equals, value, ..] if colon.is(":") && equals.is("=") => Some((name, Some(value))),
        _ => None,
    }
}

fn show(tokens: &[Token<'_>]) -> Option<Front> {
    let mut words = tokens.iter().filter(|token| !token.is("FULL")).peekable();
    let first = words.next()?;
    if first.is("DATABASES") || first.is("SCHEMAS") {
        return Some(Front::Rows(one_column("Database", &["main"])));
    }
    if first.is("WARNINGS") || first.is("ERRORS") {
        let columns = ["Level", "Code", "Message"].map(str::to_owned).to_vec();
        return Some(Front::Rows(RowSet { columns, ..RowSet::default() }));
    }
    if first.is("TABLES") {
        let like = tokens.iter().skip_while(|token| !token.is("LIKE")).nth(1);
        let pattern = like.map_or_else(|| "%".to_owned(), Token::value).replace('\'', "''");
        return Some(Front::Instead(format!(
            "SELECT name AS Tables_in_main FROM sqlite_master WHERE type IN ('table', 'view') \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name LIKE '{pattern}' ESCAPE '\\' ORDER BY name"
        )));
    }
    None
}

pub(super) fn one_column(name: &str, values: &[&str]) -> RowSet {
    let row = |value: &&str| CellRow(vec![Cell::Text((*value).to_owned())]);
    RowSet { columns: vec![name.to_owned()], rows: values.iter().map(row).collect(), affected: 0 }
}

/// `@@a, @@session.b AS c, DATABASE()`, with or without LIMIT 1: what drivers ask when they connect.
fn select(tokens: &[Token<'_>]) -> Option<Vec<(String, Asked)>> {
    let tokens = match tokens {
        [rest @ .., limit, number] if limit.is("LIMIT") && number.text == "1" => rest,
        all => all,
    };
    tokens.split(|token| token.is(",")).map(expression).collect()
}

fn expression(tokens: &[Token<'_>]) -> Option<(String, Asked)> {
    let (tokens, alias) = match tokens {
        [rest @ .., word, name] if word.is("AS") => (rest, Some(name.value())),
        all => (all, None),
    };
    let written: String = tokens.iter().map(|token| token.text).collect();
    let asked = match tokens {
        [name] if name.text.starts_with("@@") => Asked::Variable(name.text.get(2..)?.to_owned()),
        [scope, dot, name] if dot.is(".") && is_scope(scope) => Asked::Variable(name.value()),
        [name, open, close] if open.is("(") && close.is(")") => match name.text {
            it if it.eq_ignore_ascii_case("DATABASE") || it.eq_ignore_ascii_case("SCHEMA") => {
                Asked::Database
            }
            it if it.eq_ignore_ascii_case("VERSION") => Asked::Version,
            it if it.eq_ignore_ascii_case("CONNECTION_ID") => Asked::ConnectionId,
            it if it.eq_ignore_ascii_case("USER") || it.eq_ignore_ascii_case("CURRENT_USER") => {
                Asked::User
            }
            _ => return None,
        },
        _ => return None,
    };
    Some((alias.unwrap_or(written), asked))
}

fn is_scope(token: &Token<'_>) -> bool {
    ["@@session", "@@local", "@@global"].iter().any(|it| token.text.eq_ignore_ascii_case(it))
}

/// What drivers want to know of a session, where SQLite is behind it.
pub(super) fn variable(name: &str) -> Option<Cell> {
    const TEXTS: [(&str, &str); 17] = [
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
        ("character_set_database", "utf8mb4"),
        ("character_set_results", "utf8mb4"),
        ("character_set_server", "utf8mb4"),
        ("collation_connection", "utf8mb4_general_ci"),
        ("collation_server", "utf8mb4_general_ci"),
        ("init_connect", ""),
        ("license", "Apache-2.0"),
        ("performance_schema", "0"),
        ("sql_mode", "STRICT_ALL_TABLES"),
        ("system_time_zone", "UTC"),
        ("time_zone", "+00:00"),
        ("transaction_isolation", "SERIALIZABLE"),
        ("tx_isolation", "SERIALIZABLE"),
        ("version_comment", "harness serve on SQLite"),
        ("socket", ""),
    ];
    const NUMBERS: [(&str, i64); 7] = [
        ("auto_increment_increment", 1),
        ("interactive_timeout", 28_800),
        ("lower_case_table_names", 0),
        ("max_allowed_packet", 16 << 20),
        ("net_write_timeout", 60),
        ("wait_timeout", 28_800),
        ("transaction_read_only", 0),
    ];
    let lower = name.to_ascii_lowercase();
    let text = TEXTS.iter().find(|(it, _)| *it == lower);
    let number = NUMBERS.iter().find(|(it, _)| *it == lower);
    let text = text.map(|(_, value)| Cell::Text((*value).to_owned()));
    text.or_else(|| number.map(|(_, value)| Cell::Int(*value)))
}

#[cfg(test)]
mod tests;
