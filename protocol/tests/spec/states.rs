//! The table of states in section 7.1, against both halves of a session.

use bytes::{Bytes, BytesMut};
use protocol::avro::Marker;
use protocol::message::*;
use protocol::session::extractor::ExtractorSession;
use protocol::session::host::{HostSession, Sent, SessionError};
use protocol::wire::{Direction, Frame, FrameDecoder, Kind};

use crate::table;

const STATES: [&str; 5] = ["Start", "Open", "Configured", "Ready", "Stopping"];

fn send(host: &mut HostSession, kind: Kind) -> Result<Sent, SessionError> {
    match kind {
        Kind::Hello => host.hello(&Hello {
            protocols: vec![1],
            features: vec![],
            limits: WireLimits::default(),
            host: Peer::default(),
            session: String::new(),
            log_level: String::new(),
        }),
        Kind::Configure => host.configure(&Configure {
            config: Object::new(),
            credentials: Object::new(),
            settings: Settings::default(),
        }),
        Kind::Check => host.check(),
        Kind::Discover => host.discover(),
        Kind::GetOffsets => host.get_offsets(&GetOffsets { start: Start::Latest, keys: vec![] }),
        Kind::Assign => host.assign(1, Marker([0; 16]), "", &[]),
        Kind::Extract => {
            let (max_rows, max_bytes, max_interval_ms) = (1, 1, 1);
            host.extract(&Extract { max_rows, max_bytes, max_interval_ms, until: vec![] })
        }
        Kind::Commit => host.commit(Commit { batch: 1 }),
        Kind::Cancel => host.cancel(0),
        Kind::Stop => host.stop(Stop { mode: StopMode::Drain, deadline_ms: 1 }),
        Kind::Ping => host.ping(b""),
        Kind::Update => host.update(&Update::default()),
        other => panic!("{} is no request", other.name()),
    }
}

/// Requests that lead to a state.
fn way_to(state: &str) -> &'static [Kind] {
    match state {
        "Start" => &[],
        "Open" => &[Kind::Hello],
        "Configured" => &[Kind::Hello, Kind::Configure],
        "Ready" => &[Kind::Hello, Kind::Configure, Kind::Assign],
        "Stopping" => &[Kind::Hello, Kind::Configure, Kind::Assign, Kind::Stop],
        other => panic!("state {other} is not of this version"),
    }
}

/// The name of the state of a session, as its debug form shows it.
fn state_of(session: &impl std::fmt::Debug) -> String {
    let text = format!("{session:?}");
    let state = text.split("state: ").nth(1).unwrap();
    state.chars().take_while(|char| char.is_alphanumeric()).collect()
}

fn frame_of(sent: &Sent, decoder: &mut FrameDecoder) -> Frame {
    decoder.decode(&mut BytesMut::from(&sent.bytes[..])).unwrap().unwrap()
}

/// The state after a request, `-` when both halves refuse it.
fn after(state: &str, kind: Kind) -> String {
    let mut host = HostSession::default();
    let mut extractor = ExtractorSession::default();
    let mut decoder = FrameDecoder::new(Direction::FromHost);
    for request in way_to(state) {
        let frame = frame_of(&send(&mut host, *request).unwrap(), &mut decoder);
        extractor.receive(&frame).unwrap();
    }
    assert_eq!((state_of(&host), state_of(&extractor)), (state.to_owned(), state.to_owned()));
    match send(&mut host, kind) {
        Ok(sent) => {
            extractor.receive(&frame_of(&sent, &mut decoder)).unwrap();
            assert_eq!(state_of(&host), state_of(&extractor), "{} in {state}", kind.name());
            state_of(&host)
        }
        Err(SessionError::NotNow { .. }) => {
            // A host without this check sends it all the same.
            let head = protocol::wire::Head::new(kind, 0);
            let refused = extractor.receive(&Frame { head, seq: 9, payload: Bytes::new() });
            assert_eq!(refused.unwrap_err().code, protocol::Code::UnexpectedMessage);
            "-".to_owned()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn both_halves_move_as_the_table_says() {
    let requests = Kind::ALL.iter().filter(|kind| kind.direction() == Direction::FromHost);
    let from_code: Vec<Vec<String>> = requests
        .map(|kind| {
            let states = STATES.map(|state| after(state, *kind));
            [vec![kind.name().to_owned()], states.to_vec()].concat()
        })
        .collect();
    crate::check_rows("states", &table("table", "states"), &from_code);
}
