//! `information_schema.PIPELINES…` in statements for the database: the catalogue's views under the names that
//! the documentation gives them.
//!
//! Pure. Invariant: everything else of the statement stays to the byte.

use super::lex::{Kind, Piece, Token};
use crate::catalogue::VIEWS;
use crate::store::Dialect;

/// The statement with the views where this store has them.
pub(crate) fn mapped(piece: &Piece<'_>, dialect: Dialect, database: &str) -> String {
    let mut text = String::with_capacity(piece.text.len());
    let mut done = piece.at;
    let slice = |from: usize, to: usize| {
        let place = |at: usize| at.saturating_sub(piece.at);
        piece.text.get(place(from)..place(to)).unwrap_or_default()
    };
    for window in piece.tokens.windows(3) {
        let [schema, dot, name] = window else { continue };
        if !is_called(schema, "information_schema") || !dot.is(".") {
            continue;
        }
        let Some(view) = VIEWS.iter().find(|view| is_called(name, view)) else { continue };
        text.push_str(slice(done, schema.at));
        text.push_str(&dialect.quote(database));
        text.push('.');
        text.push_str(&dialect.quote(view));
        done = name.at + name.text.len();
    }
    text.push_str(slice(done, piece.at + piece.text.len()));
    text
}

fn is_called(token: &Token<'_>, name: &str) -> bool {
    match token.kind {
        Kind::Word | Kind::Quoted => token.value().eq_ignore_ascii_case(name),
        // SQLite reads a name in double quotes as one, too.
        Kind::Text => token.text.starts_with('"') && token.value().eq_ignore_ascii_case(name),
        Kind::Number | Kind::Symbol => false,
    }
}

#[cfg(test)]
mod tests;
