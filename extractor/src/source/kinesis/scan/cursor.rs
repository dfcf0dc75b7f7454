//! JSON (RFC 8259) from left to right: nothing is copied but texts with escapes. Pure.

use std::borrow::Cow;
use std::ops::Range;

use super::{ScanError, number};
use crate::encode::plain_run;

/// How deep values that nobody reads may lie in each other. Why 64: the service's answers have three
/// levels, and whoever sends more must not fill the stack.
const DEPTH_MAX: usize = 64;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A string as it stands, without its quotation marks.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// Where it lies.
    pub(super) range: Range<usize>,
    /// Whether it has escapes.
    pub(super) escaped: bool,
}

impl<'a> Cursor<'a> {
    /// At the start.
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// What is wrong here.
    pub(super) const fn error(&self, what: &'static str) -> ScanError {
        ScanError { at: self.at, what }
    }

    /// Where it stands.
    pub(super) const fn place(&self) -> usize {
        self.at
    }

    /// The whole text.
    pub(super) const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Goes on at another place.
    pub(super) const fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Bytes in the whole text.
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// Bytes after this place.
    pub(super) const fn left(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// What comes.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What lies there.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Goes on by `count` bytes.
    pub(super) const fn advance(&mut self, count: usize) {
        self.at += count;
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Goes past the byte if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Whether a `null` was there, which is passed then.
    pub(super) fn null(&mut self) -> bool {
        let there = self.rest().starts_with(b"null");
        self.at += if there { 4 } else { 0 };
        there
    }

    /// Nothing but space comes.
    pub(super) fn end(&mut self) -> Result<(), ScanError> {
        self.space();
        if self.left() == 0 { Ok(()) } else { Err(self.error("bytes after the answer")) }
    }

    /// An object: `member` reads the value of each key.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.list(b'{', b'}', |cursor| {
            let raw = cursor.raw()?;
            let key = cursor.unescaped(&raw)?;
            cursor.space();
            if !cursor.take(b':') {
                return Err(cursor.error("no colon after a key"));
            }
            cursor.space();
            member(cursor, &key)
        })
    }

    /// An array: `item` reads each value.
    pub(super) fn array(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.list(b'[', b']', item)
    }

    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.space();
        if !self.take(open) {
            return Err(self.error(if open == b'{' { "no object" } else { "no array" }));
        }
        self.space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            self.space();
            item(self)?;
            self.space();
            if self.take(close) {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.error("no comma and no end after a value"));
            }
        }
    }

    /// A string as it stands.
    pub(super) fn raw(&mut self) -> Result<Raw, ScanError> {
        if !self.take(b'"') {
            return Err(self.error("no string"));
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    // What follows it is judged where the text is used.
                    self.at += 2;
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("the end in the middle of a string")),
            }
        }
        let range = start..self.at;
        self.at += 1;
        Ok(Raw { range, escaped })
    }

    /// The text of a string.
    pub(super) fn unescaped(&self, raw: &Raw) -> Result<Cow<'a, [u8]>, ScanError> {
        if !raw.escaped {
            return Ok(Cow::Borrowed(self.slice(raw.range.clone())));
        }
        let quoted = raw.range.start.saturating_sub(1)..raw.range.end.saturating_add(1);
        let text: String = serde_json::from_slice(self.slice(quoted)).map_err(|_| ScanError {
            at: raw.range.start,
            what: "a string with an escape that means nothing, or no UTF-8",
        })?;
        Ok(Cow::Owned(text.into_bytes()))
    }

    /// A string of UTF-8, or nothing.
    pub(super) fn string_or_null(&mut self) -> Result<Option<String>, ScanError> {
        if self.null() {
            return Ok(None);
        }
        let raw = self.raw()?;
        let text = self.unescaped(&raw)?.into_owned();
        let at = raw.range.start;
        String::from_utf8(text).map(Some).map_err(|_| ScanError { at, what: "no UTF-8" })
    }

    /// A whole number, or nothing.
    pub(super) fn integer_or_null(&mut self) -> Result<Option<i64>, ScanError> {
        if self.null() {
            return Ok(None);
        }
        let at = self.at;
        let text = self.number()?;
        number::integer(text).map(Some).ok_or(ScanError { at, what: "no whole number of 64 bits" })
    }

    /// The text of a number.
    pub(super) fn number(&mut self) -> Result<&'a [u8], ScanError> {
        let start = self.at;
        let Some(len) = number::len(self.rest()) else { return Err(self.error("no number")) };
        self.at += len;
        Ok(self.slice(start..self.at))
    }

    /// Goes past a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), ScanError> {
        self.skip_within(DEPTH_MAX)
    }

    /// Goes past a value, and gives its text.
    pub(super) fn skipped(&mut self) -> Result<&'a [u8], ScanError> {
        let start = self.at;
        self.skip()?;
        Ok(self.slice(start..self.at))
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), ScanError> {
        let Some(inner) = depth.checked_sub(1) else {
            return Err(self.error("values lie too deep in each other"));
        };
        match self.peek() {
            Some(b'"') => {
                let raw = self.raw()?;
                self.unescaped(&raw).map(drop)
            }
            Some(b'{') => self.object(|cursor, _| cursor.skip_within(inner)),
            Some(b'[') => self.array(|cursor| cursor.skip_within(inner)),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => {
                for word in [b"null".as_slice(), b"true", b"false"] {
                    if self.rest().starts_with(word) {
                        self.at += word.len();
                        return Ok(());
                    }
                }
                Err(self.error("no value"))
            }
        }
    }
}
