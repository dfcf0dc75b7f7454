//! A pipeline statement as it may be written down: without secrets and without comments.
//!
//! Pure. Invariant: a string is shown only where a secret has no place; every other one is `***`.

use serde_json::Value;

use super::lex::{Kind, Piece, Token};
use super::statement::Statement;
use crate::pipeline::{REDACTED, is_open, redacted_config};

/// Words behind which a string is a name, a place or a number.
const OPEN_AFTER: [&str; 6] =
    ["OFFSETS", "TIMESTAMP", "KAFKA", "KAFKACONNECT", "CONNECTOR", "LIKE"];

/// Whether a statement changes something; what only looks is not written down.
pub(super) const fn changes(statement: &Statement) -> bool {
    !matches!(
        statement,
        Statement::ShowPipelines
            | Statement::ShowCreate { .. }
            | Statement::ShowVariables { .. }
            | Statement::Test { .. }
            | Statement::Infer(_)
    )
}

/// Whether nothing of a statement is hidden.
pub(super) fn is_open_piece(piece: &Piece<'_>, is_open_config: &dyn Fn(&str) -> bool) -> bool {
    let is_set = piece.tokens.first().is_some_and(|token| token.is("SET"));
    let mut before: Option<&Token<'_>> = None;
    piece.tokens.iter().all(|token| {
        let before = before.replace(token);
        match before {
            _ if token.kind != Kind::Text => true,
            Some(before) if before.is("CONFIG") => is_open_config(&token.value()),
            _ => string(token, before, is_set, None) == token.text,
        }
    })
}

/// The statement on one line.
pub(super) fn redacted(piece: &Piece<'_>) -> String {
    let is_set = piece.tokens.first().is_some_and(|token| token.is("SET"));
    let credentials = after(&piece.tokens, "CREDENTIALS").map(Token::value);
    // One by its key, or several: which values of CONFIG repeat one is not looked for, all are hidden.
    let said = piece.tokens.iter().filter(|token| token.is("CREDENTIALS")).count();
    let is_config_hidden = said > usize::from(credentials.is_some());
    let mut text = String::with_capacity(piece.text.len());
    let mut before: Option<&Token<'_>> = None;
    for token in &piece.tokens {
        if let Some(before) = before
            && before.at + before.text.len() < token.at
        {
            text.push(' ');
        }
        text.push_str(&match token.kind {
            Kind::Text if is_config_hidden => string(token, before, is_set, None),
            Kind::Text => string(token, before, is_set, Some(credentials.as_deref())),
            _ => token.text.to_owned(),
        });
        before = Some(token);
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn after<'t>(tokens: &'t [Token<'t>], word: &str) -> Option<&'t Token<'t>> {
    let place = tokens.iter().position(|token| token.is(word))?;
    tokens.get(place + 1).filter(|token| token.kind == Kind::Text)
}

/// A string as it is shown. `credentials`: those of the statement, `None` where CONFIG is hidden for their sake.
fn string(
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    is_set: bool,
    credentials: Option<Option<&str>>,
) -> String {
    let hidden = format!("'{REDACTED}'");
    let Some(before) = before else { return hidden };
    if before.is("CONFIG") {
        let config = credentials.and_then(|it| redacted_config(&token.value(), it));
        return config.map_or(hidden, |config| format!("'{}'", config.replace('\'', "''")));
    }
    let value = token.value();
    let is_place = OPEN_AFTER.iter().any(|word| before.is(word)) || is_set && before.is("=");
    match is_place && is_open("value", &Value::from(value)) {
        true => token.text.to_owned(),
        false => hidden,
    }
}

#[cfg(test)]
mod tests;
