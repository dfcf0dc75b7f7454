//! Just enough of Rust's grammar to tell code from comments and quoted text.
//!
//! Pure. Invariant: line numbers do not change; what is blanked becomes spaces.

/// The text with comments, strings and character literals blanked.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = chars.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        let blank = quoted_len(rest).min(rest.len());
        if blank == 0 {
            out.push(first);
            rest = tail;
            continue;
        }
        let (gone, after) = rest.split_at(blank);
        out.extend(gone.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out
}

/// How many characters at the start are comment or quoted text; more than there are when it is not
/// closed.
fn quoted_len(rest: &[char]) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|&&c| c != '\n').count(),
        ['/', '*', ..] => block_comment_len(rest),
        ['"', ..] => closed_by('"', rest),
        ['r', '"' | '#', ..] => raw_string_len(rest),
        ['\'', '\\', ..] => closed_by('\'', rest),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment_len(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = rest.get(at..at + 2) {
        match pair {
            ['/', '*'] => depth += 1,
            ['*', '/'] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of what the first character opens and `quote` closes, escapes observed.
fn closed_by(quote: char, rest: &[char]) -> usize {
    let mut at = 1;
    while let Some(&c) = rest.get(at) {
        at += match c {
            '\\' => 2,
            c if c == quote => return at + 1,
            _ => 1,
        };
    }
    at
}

/// Zero for a raw identifier as `r#type`.
fn raw_string_len(rest: &[char]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|&&c| c == '#').count();
    let open = 1 + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let body = rest.get(open + 1..).unwrap_or_default();
    let len = body.windows(end.len()).position(|window| window == end);
    len.map_or(rest.len(), |len| open + 1 + len + end.len())
}

/// The part of a file above its inline test module, when it has one.
pub(super) fn production(code: &str) -> &str {
    let mut start = 0;
    let mut after_test = false;
    for line in code.split_inclusive('\n') {
        let trimmed = line.trim();
        if after_test && trimmed.starts_with("mod ") && trimmed.ends_with('{') {
            return code.get(..start).unwrap_or(code);
        }
        after_test = trimmed == "#[cfg(test)]";
        start += line.len();
    }
    code
}

/// Places of `word` in a line where it is a whole identifier.
pub(super) fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether a line has `word` as a whole identifier.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    words(line, word).next().is_some()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests;
