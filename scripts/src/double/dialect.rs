//! SingleStore's statements, as far as the harness sends them, as SQLite takes them.
//!
//! Pure. Invariant: a text in quotes reaches SQLite as a value, byte for byte what MySQL's rules make of it.

/// A statement for SQLite.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) sql: String,
    /// The texts that stood in quotes.
    pub(super) values: Vec<String>,
}

/// One piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// A name in backticks, without them.
    Name(String),
    /// A text in quotes, as what it stands for.
    Text(String),
    /// Anything else, one character.
    Sign(char),
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }
}

/// Parts a statement. Comments are not expected and not known.
pub(super) fn tokens(sql: &str) -> Vec<(bool, Token)> {
    let mut found = Vec::new();
    let mut rest = sql.chars().peekable();
    let mut space = false;
    while let Some(c) = rest.next() {
        let token = match c {
            _ if c.is_whitespace() => {
                space = true;
                continue;
            }
            '\'' | '"' => Token::Text(text(&mut rest, c)),
            '`' => Token::Name(name(&mut rest)),
            _ if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                let is_number = c.is_ascii_digit();
                while let Some(&next) = rest.peek() {
                    let is_sign = is_number && word.ends_with(['e', 'E']) && next == '-';
                    let is_point = is_number && next == '.';
                    if !(next.is_alphanumeric() || next == '_' || is_sign || is_point) {
                        break;
                    }
                    word.push(next);
                    rest.next();
                }
                Token::Word(word)
            }
            sign => Token::Sign(sign),
        };
        found.push((space, token));
        space = false;
    }
    found
}

/// The rest of a text up to its quote, as MySQL reads it.
fn text(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some('b') => text.push('\u{8}'),
                Some('Z') => text.push('\u{1a}'),
                Some(other) => text.push(other),
                None => {}
            },
            c if c == quote => {
                if rest.peek() != Some(&quote) {
                    break;
                }
                rest.next();
                text.push(quote);
            }
            other => text.push(other),
        }
    }
    text
}

fn name(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(c) = rest.next() {
        if c == '`' {
            if rest.peek() != Some(&'`') {
                break;
            }
            rest.next();
        }
        name.push(c);
    }
    name
}

/// A statement that reads or writes rows.
pub(super) fn rows(sql: &str) -> Translated {
    let mut tokens = tokens(sql);
    while tokens.last().is_some_and(|(_, token)| token.is_sign(';')) {
        tokens.pop();
    }
    if let [.., (_, first), (_, last)] = tokens.as_slice()
        && first.is("FOR")
        && last.is("UPDATE")
    {
        tokens.truncate(tokens.len() - 2);
    }
    let mut values = Vec::new();
    let sql = spell(&tokens, &mut |value| {
        values.push(value);
        format!("?{}", values.len())
    });
    Translated { sql, values }
}

/// A statement that defines something. Its texts stay in it, since SQLite keeps the statement itself.
pub(super) fn definition(sql: &str) -> String {
    let mut tokens = tokens(sql);
    while tokens.last().is_some_and(|(_, token)| token.is_sign(';')) {
        tokens.pop();
    }
    tokens.retain(|(_, token)| !token.is("ROWSTORE"));
    if tokens.iter().take(2).any(|(_, token)| token.is("TABLE"))
        && tokens.first().is_some_and(|(_, token)| token.is("CREATE"))
    {
        tokens = table(&tokens);
    }
    spell(&tokens, &mut |value| format!("'{}'", value.replace('\'', "''")))
}

/// A table without what SQLite does not have: its head, and its definitions one by one.
fn table(tokens: &[(bool, Token)]) -> Vec<(bool, Token)> {
    let Some(open) = tokens.iter().position(|(_, token)| token.is_sign('(')) else {
        return tokens.to_vec();
    };
    let (head, body) = tokens.split_at(open);
    let mut depth = 0;
    let mut definitions = vec![Vec::new()];
    // What follows the closing bracket are options that SQLite does not have.
    for (space, token) in body.iter().skip(1) {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') if depth == 0 => break,
            Token::Sign(')') => depth -= 1,
            Token::Sign(',') if depth == 0 => {
                definitions.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(definition) = definitions.last_mut() {
            definition.push((*space, token.clone()));
        }
    }
    let kept = definitions.iter().filter(|definition| {
        !definition.first().is_some_and(|(_, token)| token.is("SHARD") || token.is("SORT"))
    });
    let mut out = head.to_vec();
    let mut mark = '(';
    for definition in kept {
        out.push((false, Token::Sign(mark)));
        out.extend(column(definition));
        mark = ',';
    }
    out.push((false, Token::Sign(')')));
    out
}

/// One column or key.
fn column(definition: &[(bool, Token)]) -> Vec<(bool, Token)> {
    let word = |text: &str| (true, Token::Word(text.to_owned()));
    let named = definition.first().map(|(_, token)| token.clone());
    let mut out = Vec::new();
    let mut rest = definition;
    while let Some(((space, token), after)) = rest.split_first() {
        rest = after;
        if token.is("CHARACTER") {
            rest = after.get(2..).unwrap_or_default();
        } else if token.is("COLLATE") {
            rest = after.get(1..).unwrap_or_default();
        } else if token.is("BINARY") {
            // BINARY(n)
            rest = after.get(3..).unwrap_or_default();
            out.push(word("BLOB"));
        } else if token.is("JSON") {
            out.extend([word("TEXT"), word("CHECK"), (false, Token::Sign('('))]);
            out.extend([word("json_valid"), (false, Token::Sign('('))]);
            out.extend(named.clone().map(|name| (false, name)));
            out.extend([(false, Token::Sign(')')), (false, Token::Sign(')'))]);
        } else if token.is("UNIQUE") {
            // UNIQUE KEY name (…)
            rest = after.get(2..).unwrap_or_default();
            out.push(word("UNIQUE"));
        } else {
            out.push((*space, token.clone()));
        }
    }
    out
}

/// Variables of the server that the harness asks for.
const VARIABLES: [(&str, &str); 2] = [
    (
        "version_comment",
        "'SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)'",
    ),
    ("memsql_version", "'9.1.1'"),
];

fn spell(tokens: &[(bool, Token)], value: &mut dyn FnMut(String) -> String) -> String {
    let mut sql = String::new();
    let mut rest = tokens;
    while let Some(((space, token), after)) = rest.split_first() {
        rest = after;
        if *space {
            sql.push(' ');
        }
        match token {
            Token::Text(text) => sql.push_str(&value(text.clone())),
            Token::Name(name) => {
                sql.push('`');
                sql.push_str(&name.replace('`', "``"));
                sql.push('`');
            }
            Token::Sign('@') => {
                let Some((_, Token::Word(name))) = after.get(1) else { continue };
                let known = VARIABLES.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
                sql.push_str(known.map_or("no_such_variable()", |(_, value)| value));
                rest = after.get(2..).unwrap_or_default();
            }
            Token::Word(word) if word.eq_ignore_ascii_case("information_schema") => {
                sql.push_str("is_");
                rest = after.get(1..).unwrap_or_default();
            }
            Token::Word(word) if word.eq_ignore_ascii_case("SIGNED") => sql.push_str("INTEGER"),
            Token::Word(word) => sql.push_str(word),
            Token::Sign(sign) => sql.push(*sign),
        }
    }
    sql
}

#[cfg(test)]
mod tests;
