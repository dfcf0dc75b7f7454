//! Words, strings and symbols of SQL, and where one statement of a script ends.
//!
//! Pure. Invariants: the text of a statement is a slice of the script, so that what is not ours reaches the
//! database to the byte; a token knows its place in the script.

use winnow::Parser;
use winnow::error::EmptyError;
use winnow::stream::{LocatingSlice, Location as _};
use winnow::token::{any, take, take_till, take_until, take_while};

use super::error::Syntax;

/// Longest script, bytes. Why 16 MiB: it is kept in memory; data belongs into a file that is loaded.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 16 << 20;

/// Most words, strings, numbers and symbols of a script. Why 2^21: they take 64 MiB; text that is denser than
/// one of them in eight bytes is data, which belongs into a file that is loaded.
const TOKENS_MAX: usize = 1 << 21;

/// Most statements of a script. Why 2^17: they take 8 MiB, and may be 128 bytes long on average in the longest
/// script.
const PIECES_MAX: usize = 1 << 17;

/// Words that are looked at to tell whose statement it is. Why 6: `CREATE OR REPLACE INFERRED AGGREGATOR
/// PIPELINE` is the longest beginning of ours.
const LEADING_WORDS: usize = 6;

/// How a database reads strings and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// SQLite: a backslash is a character as any other; `--` always begins a comment.
    Sqlite,
    /// MySQL's family, and every pipeline statement: a backslash escapes; `#` begins a comment too.
    Server,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name.
    Word,
    /// A name in backticks.
    Quoted,
    /// A string in single or double quotes.
    Text,
    /// Digits.
    Number,
    /// Anything else, one character.
    Symbol,
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    /// As it was written, quotes included.
    pub(crate) text: &'t str,
    /// Its first byte in the script.
    pub(crate) at: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, in whatever case.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text.eq_ignore_ascii_case(word)
    }

    /// What it stands for: a string or a quoted name without its quotes and escapes.
    pub(crate) fn value(&self) -> String {
        let mut inner = self.text.chars();
        let quote = match self.kind {
            Kind::Text | Kind::Quoted => inner.next(),
            Kind::Word | Kind::Number | Kind::Symbol => return self.text.to_owned(),
        };
        inner.next_back();
        let mut value = String::with_capacity(self.text.len());
        while let Some(c) = inner.next() {
            match c {
                '\\' if self.kind == Kind::Text => value.extend(inner.next().map(unescaped)),
                c if Some(c) == quote => value.extend(inner.next()),
                c => value.push(c),
            }
        }
        value
    }
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        '0' => '\0',
        'Z' => '\u{1a}',
        other => other,
    }
}

/// One statement of a script.
#[derive(Clone, Debug)]
pub(crate) struct Piece<'t> {
    /// Its text without the semicolon.
    pub(crate) text: &'t str,
    /// Its first byte in the script.
    pub(crate) at: usize,
    pub(crate) tokens: Vec<Token<'t>>,
    /// Whether the database does not know it and the harness does.
    pub(crate) is_ours: bool,
}

/// The statements of a script.
///
/// # Errors
/// A string or a comment has no end, or there are too many of them.
pub(crate) fn split(script: &str, rules: Rules) -> Result<Vec<Piece<'_>>, Syntax> {
    let mut pieces = Vec::new();
    let mut left = TOKENS_MAX;
    let mut input = LocatingSlice::new(script);
    loop {
        skip_blank(&mut input, rules)?;
        let at = input.current_token_start();
        let is_ours = is_ours(&leading_words(input, rules));
        let rules = if is_ours { Rules::Server } else { rules };
        let tokens = statement(&mut input, rules, left)?;
        left -= tokens.len();
        let is_last = input.is_empty();
        let end = tokens.last().map_or(at, |token| token.at + token.text.len());
        if !tokens.is_empty() {
            if pieces.len() >= PIECES_MAX {
                let message =
                    format!("a text has at most {PIECES_MAX} statements; send it in parts");
                return Err(Syntax { at, message });
            }
            let text = script.get(at..end).unwrap_or_default();
            pieces.push(Piece { text, at, tokens, is_ours });
        }
        let _eaten = any::<_, EmptyError>.parse_next(&mut input);
        if is_last {
            return Ok(pieces);
        }
    }
}

/// Whether a statement for the database wants a file of its client.
pub(crate) fn is_load_local(piece: &Piece<'_>) -> bool {
    let mut words = piece.tokens.iter();
    words.next().is_some_and(|token| token.is("LOAD"))
        && words.next().is_some_and(|token| token.is("DATA") || token.is("XML"))
        && words.take(2).any(|token| token.is("LOCAL"))
}

/// Every token of a script up to the first that has no end.
pub(crate) fn tokens(script: &str, rules: Rules) -> Vec<Token<'_>> {
    let mut input = LocatingSlice::new(script);
    let mut tokens = Vec::new();
    while skip_blank(&mut input, rules).is_ok() {
        let Some(next) = input.chars().next() else { break };
        let Ok(token) = token(&mut input, next, rules) else { break };
        tokens.push(token);
    }
    tokens
}

type Input<'t> = LocatingSlice<&'t str>;

/// Tokens up to the semicolon, which stays; `most` of them. The body of a trigger or a procedure may hold more
/// semicolons.
fn statement<'t>(
    input: &mut Input<'t>,
    rules: Rules,
    most: usize,
) -> Result<Vec<Token<'t>>, Syntax> {
    let mut tokens: Vec<Token<'t>> = Vec::new();
    let mut depth = 0_usize;
    loop {
        skip_blank(input, rules)?;
        let Some(next) = input.chars().next() else { return Ok(tokens) };
        if next == ';' && depth == 0 {
            return Ok(tokens);
        }
        if tokens.len() >= most {
            let message = format!(
                "a text has at most {TOKENS_MAX} words and symbols; send it in parts, or load a file"
            );
            return Err(Syntax { at: input.current_token_start(), message });
        }
        let token = token(input, next, rules)?;
        if has_body(&tokens) {
            let after_end = tokens.last().is_some_and(|last| last.is("END"));
            if token.is("BEGIN") || token.is("CASE") && !after_end {
                depth += 1;
            } else if token.is("END") {
                depth = depth.saturating_sub(1);
            } else if after_end && ["IF", "LOOP", "WHILE", "REPEAT"].iter().any(|it| token.is(it)) {
                // That END did not belong to a BEGIN.
                depth += 1;
            }
        }
        tokens.push(token);
    }
}

fn has_body(tokens: &[Token<'_>]) -> bool {
    const BODIES: [&str; 4] = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"];
    let mut first = tokens.iter().take(8);
    first.next().is_some_and(|token| token.is("CREATE"))
        && first.any(|token| BODIES.iter().any(|body| token.is(body)))
}

fn token<'t>(input: &mut Input<'t>, next: char, rules: Rules) -> Result<Token<'t>, Syntax> {
    let at = input.current_token_start();
    let rest: &'t str = input;
    let kind = match next {
        '\'' | '"' | '`' => {
            quoted(input, next, rules).map_err(|_| Syntax {
                at,
                message: format!("what begins with {next} here has no closing {next}"),
            })?;
            if next == '`' { Kind::Quoted } else { Kind::Text }
        }
        c if c.is_ascii_digit() => {
            let digit = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let _eaten = take_while::<_, _, EmptyError>(1.., digit).parse_next(input);
            Kind::Number
        }
        c if is_word(c) || c == '@' => {
            let part = |c: char| is_word(c) || c == '@';
            let _eaten = take_while::<_, _, EmptyError>(1.., part).parse_next(input);
            Kind::Word
        }
        _ => {
            let _eaten = any::<_, EmptyError>.parse_next(input);
            Kind::Symbol
        }
    };
    let len = input.current_token_start() - at;
    Ok(Token { kind, text: rest.get(..len).unwrap_or_default(), at })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// From a quote to the next one of its kind that is neither doubled nor escaped.
fn quoted(input: &mut Input<'_>, quote: char, rules: Rules) -> Result<(), EmptyError> {
    any.parse_next(input)?;
    let escapes = rules == Rules::Server && quote != '`';
    loop {
        take_till(0.., |c| c == quote || escapes && c == '\\').parse_next(input)?;
        let found = any.parse_next(input)?;
        if found == '\\' && escapes || input.starts_with(quote) {
            any.parse_next(input)?;
        } else {
            return Ok(());
        }
    }
}

fn skip_blank(input: &mut Input<'_>, rules: Rules) -> Result<(), Syntax> {
    let line = |input: &mut Input<'_>| {
        let _eaten = take_till::<_, _, EmptyError>(0.., '\n').parse_next(input);
    };
    loop {
        let _eaten = take_while::<_, _, EmptyError>(0.., char::is_whitespace).parse_next(input);
        let dashes = input.strip_prefix("--").map(|rest| rest.chars().next());
        let is_dashes = match (dashes, rules) {
            (Some(_), Rules::Sqlite) | (Some(None), Rules::Server) => true,
            (Some(Some(after)), Rules::Server) => after.is_whitespace() || after.is_control(),
            (None, _) => false,
        };
        if is_dashes || rules == Rules::Server && input.starts_with('#') {
            line(input);
        } else if input.starts_with("/*") {
            let at = input.current_token_start();
            let comment = (take(2_usize), take_until(0.., "*/"), take(2_usize));
            comment.void().parse_next(input).map_err(|_: EmptyError| Syntax {
                at,
                message: "what begins with /* here has no closing */".to_owned(),
            })?;
        } else {
            return Ok(());
        }
    }
}

/// The words that a statement begins with, in upper case.
fn leading_words(mut input: Input<'_>, rules: Rules) -> Vec<String> {
    let mut words = Vec::new();
    while words.len() < LEADING_WORDS && skip_blank(&mut input, rules).is_ok() {
        let Some(next) = input.chars().next().filter(|c| is_word(*c)) else { break };
        let Ok(token) = token(&mut input, next, rules) else { break };
        words.push(token.text.to_ascii_uppercase());
    }
    words
}

/// Whether a statement that begins with these words is one that the harness knows and databases do not.
fn is_ours(words: &[String]) -> bool {
    const BEFORE: [&str; 17] = [
        "CREATE",
        "OR",
        "REPLACE",
        "INFERRED",
        "AGGREGATOR",
        "START",
        "STOP",
        "ALL",
        "FAILED",
        "ALTER",
        "DROP",
        "TEST",
        "INFER",
        "SHOW",
        "PROFILE",
        "CLEAR",
        "DETACH",
    ];
    let before = words.iter().take_while(|word| BEFORE.contains(&word.as_str())).count();
    let at = words.get(before).map(String::as_str);
    let first = words.first().map(String::as_str);
    let second = words.get(1).map(String::as_str);
    match (first, second) {
        (Some("SET"), Some("GLOBAL")) => {
            words.get(2).is_some_and(|name| super::variables::is_ours(&name.to_ascii_lowercase()))
        }
        (Some("FLUSH"), Some("EXTRACTOR")) => true,
        (Some("FLUSH"), Some("NODE")) => words.get(2).is_some_and(|word| word == "EXTRACTOR"),
        _ => before > 0 && matches!(at, Some("PIPELINE" | "PIPELINES")),
    }
}

#[cfg(test)]
mod tests;
