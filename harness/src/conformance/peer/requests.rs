//! Requests of a session, and the answers that are due.

use std::time::Instant;

use protocol::avro::Marker;
use protocol::message::{
    BatchEnd, Checked, Configure, Configured, Discovered, Extract, GetOffsets, Hello, HelloOk,
    Object, Peer as Name, Settings, Start, Stop, StopMode, Stopped, Update, Updated, WireLimits,
};
use protocol::session::host::Event;
use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Value, json};

use super::{Peer, other_event};
use crate::conformance::fault::{Fault, miss};

/// The sync marker of every check.
pub(in crate::conformance) const MARKER: Marker = Marker(*b"s2x conformance!");

/// Names that hold no secret: those of the test source, and the class.
const SHOWN: [&str; 2] = ["test.", "connector.class"];

/// The HELLO of most checks.
pub(in crate::conformance) fn hello() -> Hello {
    Hello {
        protocols: vec![1],
        features: vec!["commit".to_owned(), "digest".to_owned()],
        limits: WireLimits::default(),
        host: Name { name: "conformance".to_owned(), version: "1".to_owned() },
        session: "c0f0".to_owned(),
        log_level: "info".to_owned(),
    }
}

/// A credit that nothing but `max_rows` limits for a while.
pub(in crate::conformance) fn credit(max_rows: u64) -> Extract {
    Extract { max_rows, max_bytes: 64 << 20, max_interval_ms: 10_000, until: Vec::new() }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Values that are not of the test source, as a transcript shows them.
fn blank(object: &Object) -> Value {
    let shown = object.iter().map(|(name, value)| {
        let is_shown = SHOWN.iter().any(|known| name.starts_with(known));
        (name.clone(), if is_shown { value.clone() } else { json!("***") })
    });
    Value::Object(shown.collect())
}

impl Peer {
    pub(in crate::conformance) fn greet_with(&mut self, hello: &Hello) -> Result<HelloOk, Fault> {
        let sent = self.session.hello(hello)?;
        self.send(&sent)?;
        match self.event("HELLO_OK")? {
            Event::HelloOk(ok) => Ok(ok),
            other => Err(other_event("HELLO_OK", &other)),
        }
    }

    pub(in crate::conformance) fn check(&mut self) -> Result<Checked, Fault> {
        let sent = self.session.check()?;
        self.send(&sent)?;
        match self.event("CHECKED")? {
            Event::Checked(done) => Ok(done),
            other => Err(other_event("CHECKED", &other)),
        }
    }

    pub(in crate::conformance) fn discover(&mut self) -> Result<Discovered, Fault> {
        let sent = self.session.discover()?;
        self.send(&sent)?;
        match self.event("DISCOVERED")? {
            Event::Discovered(found) => Ok(found),
            other => Err(other_event("DISCOVERED", &other)),
        }
    }

    pub(in crate::conformance) fn greet(&mut self) -> Result<HelloOk, Fault> {
        self.greet_with(&hello())
    }

    /// Configures the test source.
    pub(in crate::conformance) fn configure(&mut self, config: Value) -> Result<Configured, Fault> {
        self.configure_with(config, json!({}), Settings { retry_ms: 0, ..Settings::default() })
    }

    pub(in crate::conformance) fn configure_with(
        &mut self,
        config: Value,
        credentials: Value,
        settings: Settings,
    ) -> Result<Configured, Fault> {
        self.send_configure(config, credentials, settings)?;
        match self.event("CONFIGURED")? {
            Event::Configured(done) => Ok(done),
            other => Err(other_event("CONFIGURED", &other)),
        }
    }

    pub(in crate::conformance) fn send_configure(
        &mut self,
        config: Value,
        credentials: Value,
        settings: Settings,
    ) -> Result<(), Fault> {
        let mut config = object(config);
        config.entry("connector.class").or_insert_with(|| json!("test"));
        let credentials = object(credentials);
        let shown = json!({"config": blank(&config), "credentials": blank(&credentials),
            "settings": settings});
        self.tape(|tape| tape.restore(&shown.to_string()));
        let sent = self.session.configure(&Configure { config, credentials, settings })?;
        self.send(&sent)
    }

    pub(in crate::conformance) fn update(
        &mut self,
        credentials: Option<Value>,
        log_level: Option<&str>,
    ) -> Result<Updated, Fault> {
        let credentials = credentials.map(object);
        let shown = json!({"credentials": credentials.as_ref().map(blank), "log_level": log_level});
        self.tape(|tape| tape.restore(&shown.to_string()));
        let log_level = log_level.map(ToOwned::to_owned);
        let sent = self.session.update(&Update { credentials, log_level })?;
        self.send(&sent)?;
        match self.event("UPDATED")? {
            Event::Updated(done) => Ok(done),
            other => Err(other_event("UPDATED", &other)),
        }
    }

    /// GET_OFFSETS; the values, or the ERROR.
    pub(in crate::conformance) fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
    ) -> Result<Result<Vec<(OffsetKey, OffsetValue)>, Failure>, Fault> {
        let sent = self.session.get_offsets(&GetOffsets { start, keys: keys.to_vec() })?;
        self.send(&sent)?;
        match self.event("OFFSETS")? {
            Event::Offsets(found) => {
                Ok(Ok(found.offsets.into_iter().map(|it| (it.key, it.value)).collect()))
            }
            Event::Failed { failure, .. } => Ok(Err(failure)),
            other => Err(other_event("OFFSETS", &other)),
        }
    }

    pub(in crate::conformance) fn send_assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
    ) -> Result<(), Fault> {
        self.epoch += 1;
        let sent = self.session.assign(self.epoch, MARKER, incarnation, parts)?;
        self.send(&sent)
    }

    pub(in crate::conformance) fn assign(
        &mut self,
        parts: &[(OffsetKey, OffsetValue)],
    ) -> Result<(), Fault> {
        self.send_assign("", parts)?;
        self.assigned().map(drop)
    }

    /// Waits for ASSIGNED; the ends of the batches that it voids.
    pub(in crate::conformance) fn assigned(&mut self) -> Result<Vec<BatchEnd>, Fault> {
        let mut ends = Vec::new();
        loop {
            match self.event("ASSIGNED")? {
                Event::Assigned(_) => return Ok(ends),
                Event::BatchEnd(finished) => ends.push(finished.end),
                Event::Rows(_) | Event::Stale => {}
                other => return Err(other_event("ASSIGNED", &other)),
            }
        }
    }

    /// The ERROR that answers a request.
    pub(in crate::conformance) fn failure(&mut self, due: &str) -> Result<Failure, Fault> {
        match self.event(due)? {
            Event::Failed { failure, .. } => Ok(failure),
            other => Err(other_event(due, &other)),
        }
    }

    pub(in crate::conformance) fn send_stop(
        &mut self,
        mode: StopMode,
        deadline_ms: u64,
    ) -> Result<(), Fault> {
        let sent = self.session.stop(Stop { mode, deadline_ms })?;
        self.send(&sent)
    }

    /// The STOPPED that is due.
    pub(in crate::conformance) fn stopped(&mut self) -> Result<Stopped, Fault> {
        match self.event("STOPPED")? {
            Event::Stopped(stopped) => Ok(stopped),
            other => Err(other_event("STOPPED", &other)),
        }
    }

    /// Asks for rows.
    pub(in crate::conformance) fn send_extract(&mut self, extract: &Extract) -> Result<u32, Fault> {
        let sent = self.session.extract(extract)?;
        self.send(&sent)?;
        Ok(sent.seq)
    }

    /// Sends a PING; the bytes of the PONG that comes next.
    pub(in crate::conformance) fn ping(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let sent = self.session.ping(bytes)?;
        self.send(&sent)?;
        let deadline = Instant::now() + self.patience;
        loop {
            self.on_time(deadline, "PONG")?;
            match self.any_event("PONG")? {
                Event::Pong(bytes) => return Ok(bytes.to_vec()),
                Event::Log(_) | Event::Progress(_) | Event::Schema(_) => {}
                other => return Err(miss("PONG before any other answer", format!("{other:?}"))),
            }
        }
    }
}
