//! The text format of Java's `.properties` files, in UTF-8.
//!
//! Touches nothing. Every key keeps its place in the text; where Java would let something pass that
//! can only be a mistake (a key twice, a broken escape, a line that continues past the end), this
//! reader refuses it.

use super::document::Place;

/// One key with its value.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: String,
    pub(super) value: String,
    /// Where the key begins.
    pub(super) place: Place,
}

/// Why the text was refused.
#[derive(Debug)]
pub(super) struct PropertiesError {
    pub(super) place: Place,
    pub(super) reason: String,
}

/// Reads every key.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, PropertiesError> {
    let mut reader = Reader { rest: text.chars().peekable(), place: Place { line: 1, column: 1 } };
    let mut lines: Vec<Line> = Vec::new();
    while reader.next_key() {
        let place = reader.place;
        let key = reader.word(true)?;
        reader.separator()?;
        let value = reader.word(false)?;
        if key.is_empty() {
            return Err(refused(place, "a key is expected before the = sign"));
        }
        if let Some(first) = lines.iter().find(|line| line.key == key) {
            let reason =
                format!("{key} is set a second time; the first is in line {}", first.place.line);
            return Err(refused(place, reason));
        }
        lines.push(Line { key, value, place });
    }
    Ok(lines)
}

fn refused(place: Place, reason: impl Into<String>) -> PropertiesError {
    PropertiesError { place, reason: reason.into() }
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    place: Place,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let mut next = self.rest.next()?;
        if next == '\r' {
            // \r\n and a lone \r end a line as \n does.
            self.rest.next_if_eq(&'\n');
            next = '\n';
        }
        if next == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(next)
    }

    /// Goes to the next line with a key.
    fn next_key(&mut self) -> bool {
        while let Some(next) = self.rest.peek() {
            match next {
                '#' | '!' => while !matches!(self.take(), None | Some('\n')) {},
                ' ' | '\t' | '\u{c}' | '\n' | '\r' | '\u{feff}' => drop(self.take()),
                _ => return true,
            }
        }
        false
    }

    /// Blanks, and one `=` or `:` among them; a line may go on behind a backslash here too.
    fn separator(&mut self) -> Result<(), PropertiesError> {
        self.blanks()?;
        if self.rest.peek().is_some_and(|next| matches!(next, '=' | ':')) {
            self.take();
            self.blanks()?;
        }
        Ok(())
    }

    fn blanks(&mut self) -> Result<(), PropertiesError> {
        while let Some(next) = self.rest.peek() {
            match next {
                ' ' | '\t' | '\u{c}' => drop(self.take()),
                '\\' => {
                    let mut ahead = self.rest.clone();
                    ahead.next();
                    if !matches!(ahead.next(), None | Some('\n' | '\r')) {
                        return Ok(());
                    }
                    self.escape(&mut String::new())?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// A key up to its separator, or a value up to the end of its line.
    fn word(&mut self, is_key: bool) -> Result<String, PropertiesError> {
        let mut word = String::new();
        while let Some(&next) = self.rest.peek() {
            match next {
                '\n' | '\r' => break,
                '=' | ':' | ' ' | '\t' | '\u{c}' if is_key => break,
                '\\' => self.escape(&mut word)?,
                _ => word.extend(self.take()),
            }
        }
        Ok(word)
    }

    fn escape(&mut self, word: &mut String) -> Result<(), PropertiesError> {
        let place = self.place;
        self.take();
        match self.take() {
            None => {
                let reason = "the last line ends with a backslash, so another line is expected";
                return Err(refused(place, reason));
            }
            // The line goes on; blanks at the beginning of the next one do not count.
            Some('\n') => {
                while self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\u{c}')).is_some() {
                    self.place.column += 1;
                }
            }
            Some('t') => word.push('\t'),
            Some('n') => word.push('\n'),
            Some('r') => word.push('\r'),
            Some('f') => word.push('\u{c}'),
            Some('u') => word.push(self.unicode(place)?),
            Some(other) => word.push(other),
        }
        Ok(())
    }

    /// The character of `\uXXXX`, or of two of them that are a surrogate pair.
    fn unicode(&mut self, place: Place) -> Result<char, PropertiesError> {
        let bad = || refused(place, "\\u must be followed by four hex digits of a character");
        let first = self.hex4().ok_or_else(bad)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(bad);
        }
        let pair = (self.take(), self.take());
        let second = match pair {
            (Some('\\'), Some('u')) => self.hex4().ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        char::decode_utf16([first, second].iter().map(|unit| u16::try_from(*unit).unwrap_or(0)))
            .next()
            .and_then(Result::ok)
            .ok_or_else(bad)
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            number = number * 16 + self.take()?.to_digit(16)?;
        }
        Some(number)
    }
}
