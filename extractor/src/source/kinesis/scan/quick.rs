//! One record as the service writes it: its members in any order, nothing between them, no escapes. Most
//! records are read here; any other one is read again by [`super::record`], which also says what is
//! wrong with it. Pure.

use super::number;
use super::record::{alphabet_run, is_canonical};
use crate::encode::plain_ascii_run;
use crate::source::kinesis::position::Sequence;
use crate::source::kinesis::records::{Entry, Span};

/// Reads the record that begins at `at`, and tells the place after it. `None`: it is not written like
/// this, whatever it is.
pub(super) fn read(text: &[u8], at: usize) -> Option<(Entry, usize)> {
    let mut walk = Walk { text, at };
    let (mut sequence, mut data, mut key, mut arrival_ms) = (None, None, None, None);
    walk.past(b"{")?;
    loop {
        // Each member once: of two of the same name the general reader knows which counts.
        match *text.get(walk.at.checked_add(1)?)? {
            b'S' if sequence.is_none() => sequence = Some(walk.sequence()?),
            b'D' if data.is_none() => data = Some(walk.data()?),
            b'P' if key.is_none() => key = Some(walk.key()?),
            b'A' if arrival_ms.is_none() => arrival_ms = Some(walk.time()?),
            _ => return None,
        }
        match *text.get(walk.at)? {
            b',' => walk.at += 1,
            b'}' => break,
            _ => return None,
        }
    }
    let entry = Entry { sequence: sequence?, data: data?, key, arrival_ms };
    Some((entry, walk.at + 1))
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes past these bytes, which are compared as one number or a few.
    fn past<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<()> {
        let there = self.rest().first_chunk::<N>()?;
        (there == wanted).then(|| self.at += N)
    }

    fn sequence(&mut self) -> Option<Span> {
        self.past(b"\"SequenceNumber\":\"")?;
        let len = number::digits(self.rest());
        let digits = self.rest().get(..len)?;
        if len > Sequence::BYTES_MAX || len == 0 || (len > 1 && digits.first() == Some(&b'0')) {
            return None;
        }
        self.text_of(len)
    }

    fn data(&mut self) -> Option<Span> {
        self.past(b"\"Data\":\"")?;
        let rest = self.rest();
        let run = alphabet_run(rest);
        let pads = rest.get(run..)?.iter().take_while(|byte| **byte == b'=').take(3).count();
        if !is_canonical(rest.get(..run)?, pads) {
            return None;
        }
        self.text_of(run + pads)
    }

    /// With its quotation marks. What is not ASCII may be no UTF-8, which is judged elsewhere.
    fn key(&mut self) -> Option<Span> {
        self.past(b"\"PartitionKey\":")?;
        let start = self.at;
        self.past(b"\"")?;
        self.at += plain_ascii_run(self.rest());
        self.past(b"\"")?;
        Span::new(start, self.at)
    }

    fn time(&mut self) -> Option<i64> {
        self.past(b"\"ApproximateArrivalTimestamp\":")?;
        let (ms, len) = number::quick_millis(self.rest())?;
        self.at += len;
        Some(ms)
    }

    /// The text of this length, which the quotation mark must follow.
    fn text_of(&mut self, len: usize) -> Option<Span> {
        let start = self.at;
        self.at += len;
        let span = Span::new(start, self.at);
        self.past(b"\"")?;
        span
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::{aside::Aside, record};
    use super::*;

    const RECORD: &str = r#"{"SequenceNumber":"4967","ApproximateArrivalTimestamp":1.775700271554E9,"Data":"QUJD","PartitionKey":"k-1"}"#;

    /// Where this takes a record, the general reader makes the same of it.
    #[track_caller]
    fn check(text: &str, is_taken: bool) {
        let read = read(text.as_bytes(), 0);
        assert_eq!(read.is_some(), is_taken, "{text}");
        if let Some((entry, end)) = read {
            let mut cursor = Cursor::new(text.as_bytes());
            let general = record::read(&mut cursor, &mut Aside::new(usize::MAX)).unwrap();
            assert_eq!(format!("{entry:?}"), format!("{general:?}"), "{text}");
            assert_eq!(end, cursor.place(), "{text}");
        }
    }

    #[test]
    fn the_service_s_form_is_taken_in_any_order_and_nothing_else() {
        check(RECORD, true);
        check(&format!("{RECORD},{{"), true);
        check(r#"{"Data":"","SequenceNumber":"0"}"#, true);
        check(r#"{"PartitionKey":"","Data":"QQ==","SequenceNumber":"7"}"#, true);
        for (from, to) in [
            ("4967", "04967"),
            ("4967", ""),
            ("4967", "49x7"),
            ("QUJD", "QUJ"),
            ("QUJD", "QR=="),
            ("QUJD", "QQ==="),
            ("QUJD", "QU-D"),
            ("QUJD", "QU\\/D"),
            ("k-1", "k\\u0031"),
            ("k-1", "\u{e9}"),
            ("k-1", "a\u{1}"),
            ("\"k-1\"", "null"),
            ("1.775700271554E9", "null"),
            (",\"Data\"", ", \"Data\""),
            (",\"Data\"", ",\"Dato\":1,\"Data\""),
            ("\"Data\":\"QUJD\"", "\"Data\":\"QUJD\",\"Data\":\"QUJD\""),
            ("\"Data\":\"QUJD\",", ""),
            ("\"SequenceNumber\":\"4967\",", ""),
            ("}", ",}"),
        ] {
            let text = RECORD.replacen(from, to, 1);
            assert_ne!(text, RECORD);
            check(&text, false);
        }
        for cut in 0..RECORD.len() {
            check(RECORD.get(..cut).unwrap(), false);
        }
        let long = "7".repeat(Sequence::BYTES_MAX);
        check(&RECORD.replace("4967", &long), true);
        check(&RECORD.replace("4967", &format!("{long}7")), false);
    }

    /// Any byte in place of any other: taken as the general reader takes it, or left to it.
    #[test]
    fn one_changed_byte_is_read_alike_or_left() {
        for at in 0..RECORD.len() {
            for byte in 0..=255_u8 {
                let mut text = RECORD.as_bytes().to_vec();
                *text.get_mut(at).unwrap() = byte;
                let Some((entry, end)) = read(&text, 0) else { continue };
                let mut cursor = Cursor::new(&text);
                let general = record::read(&mut cursor, &mut Aside::new(usize::MAX)).unwrap();
                assert_eq!(format!("{entry:?}"), format!("{general:?}"), "byte {at} as {byte}");
                assert_eq!(end, cursor.place());
            }
        }
    }
}
