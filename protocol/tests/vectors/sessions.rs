//! `testdata/sessions`: whole sessions in both directions. Some must be accepted; the last frame of
//! the others must be refused by the rule that the file names (SPEC.md sections 7.2 and 7.3).

mod accepted;
mod recorder;
mod refused;

use std::collections::BTreeSet;

use bytes::BytesMut;
use protocol::avro::Marker;
use protocol::message::{Assign, decode};
use protocol::session::extractor::ExtractorSession;
use protocol::session::host::{HostSession, Sent};
use protocol::wire::{Direction, Frame, FrameDecoder, Kind, NONE};

use crate::text::unhex;
use crate::{check_generated, files};

/// What the host says about each of its rules.
const HOST_TEXTS: [(&str, &[&str]); 13] = [
    ("H1", &["is due", "does not answer", "no request is open"]),
    ("H2", &["picks"]),
    ("H3", &["splits, ASSIGN had"]),
    (
        "H4",
        &[
            "avro container",
            "sync marker is not the one of ASSIGN",
            "inside a batch",
            "not the error schema",
            "changes its meaning",
            "live schemas",
        ],
    ),
    ("H5", &["no credit"]),
    (
        "H6",
        &[
            "BATCH (frame",
            "prefix names",
            "is not known",
            "does not go with",
            "sync marker at byte",
            "has no rows",
        ],
    ),
    ("H7", &["more than EXTRACT asked for"]),
    ("H8", &["after", "the assignment has"]),
    ("H9", &["came"]),
    ("H10", &["stands at", "moves nowhere", "part 9 of"]),
    ("H11", &["carries nothing"]),
    ("H12", &["is refused"]),
    ("H13", &["follow STOPPED"]),
];

/// A frame of a recording.
struct Line {
    is_host: bool,
    bytes: Vec<u8>,
}

fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let (is_host, digits) = match line.split_at_checked(2) {
            Some(("> ", digits)) => (true, digits),
            Some(("< ", digits)) => (false, digits),
            _ => continue,
        };
        lines.push(Line { is_host, bytes: unhex(digits) });
    }
    lines
}

fn verdict(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("verdict: ")).unwrap();
    line.split(' ').map(str::to_owned).collect()
}

/// Sends what a frame of the host says through the host's half.
fn resend(host: &mut HostSession, frame: &Frame) -> Sent {
    let (kind, payload) = (frame.head.kind, &frame.payload[..]);
    macro_rules! message {
        () => {
            &decode(kind, payload).unwrap()
        };
    }
    let sent = match kind {
        Kind::Hello => host.hello(message!()),
        Kind::Configure => host.configure(message!()),
        Kind::Check => host.check(),
        Kind::Discover => host.discover(),
        Kind::GetOffsets => host.get_offsets(message!()),
        Kind::Assign => {
            let assign: Assign = decode(kind, payload).unwrap();
            let marker = Marker::from_hex(&assign.sync).unwrap();
            let parts: Vec<_> =
                assign.parts.into_iter().map(|part| (part.key, part.value)).collect();
            host.assign(u64::from(frame.head.epoch), marker, &assign.incarnation, &parts)
        }
        Kind::Extract => host.extract(message!()),
        Kind::Commit => host.commit(decode(kind, payload).unwrap()),
        Kind::Cancel => host.cancel(frame.head.reference),
        Kind::Stop => host.stop(decode(kind, payload).unwrap()),
        Kind::Ping => host.ping(payload),
        Kind::Update => host.update(message!()),
        other => panic!("{} is no request", other.name()),
    };
    sent.unwrap()
}

/// Both halves of a session and the streams between them.
struct Replay {
    host: HostSession,
    extractor: ExtractorSession,
    to_extractor: FrameDecoder,
    to_host: FrameDecoder,
}

impl Replay {
    fn new() -> Self {
        Self {
            host: HostSession::default(),
            extractor: ExtractorSession::default(),
            to_extractor: FrameDecoder::new(Direction::FromHost),
            to_host: FrameDecoder::new(Direction::FromExtractor),
        }
    }

    /// Plays one frame; who refuses it, with the code or the text.
    fn play(&mut self, line: &Line) -> Result<(), (&'static str, String)> {
        let decoder = if line.is_host { &mut self.to_extractor } else { &mut self.to_host };
        let mut buffer = BytesMut::from(&line.bytes[..]);
        let frame = decoder.decode(&mut buffer).unwrap().unwrap();
        assert!(buffer.is_empty(), "one frame in one line");
        if line.is_host {
            let request = self.extractor.receive(&frame);
            request.map_err(|failure| ("extractor", failure.code.to_string()))?;
            assert_eq!(resend(&mut self.host, &frame).bytes, line.bytes, "the host's own bytes");
            return Ok(());
        }
        self.host.receive(&frame).map_err(|error| ("host", error.to_string()))?;
        let answers = frame.head.reference != NONE
            && !matches!(frame.head.kind, Kind::Batch | Kind::Progress | Kind::Pong);
        if answers {
            let head = match frame.head.kind {
                Kind::Error => self.extractor.answer_error(),
                _ => self.extractor.answer().unwrap(),
            };
            assert_eq!((head.kind, head.reference), (frame.head.kind, frame.head.reference));
        }
        Ok(())
    }
}

fn check(name: &str, text: &str) -> Option<String> {
    let lines = lines(text);
    let verdict = verdict(text);
    let (last, before) = lines.split_last().unwrap();
    let mut replay = Replay::new();
    for (index, line) in before.iter().enumerate() {
        replay.play(line).unwrap_or_else(|e| panic!("{name}: frame {index} is refused: {e:?}"));
    }
    let end = replay.play(last);
    let words: Vec<&str> = verdict.iter().map(String::as_str).collect();
    match (&words[..], end) {
        (["accept"], Ok(())) => None,
        (["refuse", "extractor", rule, code], Err(("extractor", found))) => {
            assert_eq!(*code, found, "{name}");
            Some((*rule).to_owned())
        }
        (["refuse", "host", rule], Err(("host", found))) => {
            let (_, texts) = HOST_TEXTS.iter().find(|(name, _)| name == rule).unwrap();
            assert!(texts.iter().any(|text| found.contains(text)), "{name}: {found}");
            let is_named = *rule == "H12" || found.contains(&format!("rule {rule})"));
            assert!(is_named, "{name}: another rule is named: {found}");
            Some((*rule).to_owned())
        }
        (_, end) => panic!("{name}: the verdict is {words:?}, what came is {end:?}"),
    }
}

#[test]
fn sessions_are_accepted_or_refused_by_their_rule() {
    let all = accepted::all().into_iter().chain(refused::all());
    check_generated("sessions", &all.collect());
    let mut rules = BTreeSet::new();
    for (name, text) in files("sessions") {
        rules.extend(check(&name, std::str::from_utf8(&text).unwrap()));
    }
    // Every rule of SPEC.md has a session that breaks it.
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md")).unwrap();
    let is_rule = |name: &&str| {
        name.strip_prefix(['H', 'X']).is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let named: BTreeSet<String> = spec
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(is_rule)
        .map(str::to_owned)
        .collect();
    assert_eq!(rules, named, "rules with a session, and rules of SPEC.md");
}
