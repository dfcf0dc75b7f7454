//! Tells whether a text is one JSON value (RFC 8259), without building it. Pure.
//!
//! Numbers are looked at and never converted. Nesting is a stack of bits, so that a bomb of
//! brackets costs nothing. Most texts are ASCII, which this pass sees as it goes; the first byte in
//! a string that is not has the whole text checked to be UTF-8, once. Outside of strings such a byte
//! is a fault.

use std::ops::Range;

use super::RECORD_DEPTH_MAX;
use crate::encode::{plain_ascii_run, plain_run};

const _: () = assert!(RECORD_DEPTH_MAX <= u128::BITS as usize);

/// Why a text is no JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Fault {
    /// The byte where reading stopped.
    pub(in crate::decode) at: usize,
    /// What was expected there; `None`: it is nested too deep.
    pub(in crate::decode) expected: Option<&'static str>,
}

/// Checks the whole text. What passes is UTF-8; of what does not that is not known.
pub(in crate::decode) fn check(bytes: &[u8]) -> Result<(), Fault> {
    check_within(bytes, RECORD_DEPTH_MAX)
}

/// As [`check`], for a text that stands inside of another one: nested at most `depth_max` deep, which
/// is at most [`RECORD_DEPTH_MAX`].
pub(in crate::decode) fn check_within(bytes: &[u8], depth_max: usize) -> Result<(), Fault> {
    let mut scan = Scan { bytes, at: 0, is_utf8: false };
    scan.value(depth_max)?;
    scan.end()
}

/// Where `payload` stands in `{"schema": …, "payload": …}`, which has to be all of the text. The names
/// are compared as they are written.
pub(in crate::decode) fn payload(bytes: &[u8]) -> Result<Range<usize>, Fault> {
    let mut scan = Scan { bytes, at: 0, is_utf8: false };
    let (mut payload, mut schema) = (None, false);
    scan.space();
    if scan.peek() != Some(b'{') {
        return scan.fault("an object with `schema` and `payload`");
    }
    loop {
        scan.at += 1;
        scan.space();
        let name = scan.at;
        scan.key()?;
        let is = |text: &[u8]| scan.bytes.get(name..).is_some_and(|rest| rest.starts_with(text));
        let (is_payload, is_schema) = (is(b"\"payload\""), is(b"\"schema\""));
        if is_payload && payload.is_some() || is_schema && schema || !(is_payload || is_schema) {
            return Err(Fault { at: name, expected: Some("`schema` and `payload`, once each") });
        }
        schema |= is_schema;
        scan.space();
        let start = scan.at;
        scan.value(RECORD_DEPTH_MAX - 1)?;
        if is_payload {
            payload = Some(start..scan.at);
        }
        scan.space();
        match scan.peek() {
            Some(b',') => {}
            Some(b'}') => break,
            _ => return scan.fault("`,` or `}`"),
        }
    }
    let Some(payload) = payload.filter(|_| schema) else {
        return scan.fault("`schema` and `payload`, once each");
    };
    scan.at += 1;
    scan.end()?;
    Ok(payload)
}

/// Which of the open brackets are braces.
struct Stack {
    objects: u128,
    depth: usize,
    depth_max: usize,
}

impl Stack {
    fn push(&mut self, object: bool, at: usize) -> Result<(), Fault> {
        if self.depth >= self.depth_max {
            return Err(Fault { at, expected: None });
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    const fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.objects & 1 == 1)
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The whole text was found to be UTF-8.
    is_utf8: bool,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self, expected: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, expected: Some(expected) })
    }

    /// Reads one value; the scan stands behind it then.
    fn value(&mut self, depth_max: usize) -> Result<(), Fault> {
        let mut open = Stack { objects: 0, depth: 0, depth_max };
        loop {
            self.value_start(&mut open)?;
            // A value has ended; close what ends with it, until another value begins or all is closed.
            loop {
                let Some(in_object) = open.top() else { return Ok(()) };
                self.space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if in_object {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => open.pop(),
                    Some(b']') if !in_object => open.pop(),
                    _ if in_object => return self.fault("`,` or `}`"),
                    _ => return self.fault("`,` or `]`"),
                }
                self.at += 1;
            }
        }
    }

    /// The text has to end here.
    fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fault("the end of the text") }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a scalar or an empty bracket whole, or opens brackets up to the first scalar in them.
    fn value_start(&mut self, open: &mut Stack) -> Result<(), Fault> {
        loop {
            self.space();
            match self.peek() {
                Some(b'{') => {
                    open.push(true, self.at)?;
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        open.pop();
                        return Ok(());
                    }
                    self.key()?;
                }
                Some(b'[') => {
                    open.push(false, self.at)?;
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        open.pop();
                        return Ok(());
                    }
                }
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.word(b"true"),
                Some(b'f') => return self.word(b"false"),
                Some(b'n') => return self.word(b"null"),
                _ => return self.fault("a value"),
            }
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("a key");
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return self.fault("`:`");
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string; the scan stands at its quotation mark.
    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += if self.is_utf8 { plain_run(rest) } else { plain_ascii_run(rest) };
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(0x80..) if std::str::from_utf8(self.bytes).is_ok() => self.is_utf8 = true,
                Some(0x80..) => return self.fault("UTF-8"),
                Some(_) => return self.fault("no control character in a string"),
                None => return self.fault("the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.fault("a hexadecimal digit");
                    }
                    self.at += 1;
                }
            }
            _ => return self.fault("an escaped character"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fault("a digit");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        for byte in word {
            if self.peek() != Some(*byte) {
                return self.fault("`true`, `false` or `null`");
            }
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
