//! Judging what the extractor sends: one rule of `SPEC.md` section 7 after the other.

use super::{Event, Finished, HostSession, Live, OpenRequest, Rows, SessionError, State, Tally};
use crate::avro::row::{ERROR_SCHEMA, ERROR_SCHEMA_NUMBER};
use crate::avro::{Blocks, ContainerHeader};
use crate::error::Failure;
use crate::limits::{DATA_FRAME_BYTES_MIN, ROW_BYTES_MAX, SCHEMAS_MAX};
use crate::message::{
    Assigned, BATCH_PREFIX_LEN, BatchEnd, BatchPrefix, FEATURE_DIGEST, FEATURE_REFUSE, HelloOk,
    Move, Operation, PROTOCOL, Reason, Stopped, decode,
};
use crate::wire::{Frame, Kind, NONE};

impl HostSession {
    /// Judges a frame of the extractor.
    pub fn receive(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let kind = frame.head.kind;
        let payload = &frame.payload[..];
        if self.state == State::Ended {
            return Err(broken(frame, "H13", "nothing may follow STOPPED".to_owned()));
        }
        Ok(match kind {
            Kind::Schema => self.schema(frame)?,
            Kind::Batch => self.rows(frame)?,
            Kind::BatchEnd => self.batch_end(frame)?,
            Kind::Progress => Event::Progress(read(kind, payload)?),
            Kind::Partitions => Event::Partitions(read(kind, payload)?),
            Kind::Log => Event::Log(read(kind, payload)?),
            Kind::Pong => Event::Pong(frame.payload.clone()),
            Kind::Error => self.error(frame)?,
            _ => self.answer(frame)?,
        })
    }

    /// An answer other than BATCH_END.
    fn answer(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let (kind, payload) = (frame.head.kind, &frame.payload[..]);
        self.take_request(frame)?;
        Ok(match kind {
            Kind::HelloOk => self.hello_ok(frame)?,
            Kind::Configured => Event::Configured(read(kind, payload)?),
            Kind::Checked => Event::Checked(read(kind, payload)?),
            Kind::Discovered => Event::Discovered(read(kind, payload)?),
            Kind::Offsets => Event::Offsets(read(kind, payload)?),
            Kind::Updated => Event::Updated(read(kind, payload)?),
            Kind::Stopped => {
                let stopped: Stopped = read(kind, payload)?;
                self.state = State::Ended;
                Event::Stopped(stopped)
            }
            Kind::Assigned => self.assigned(frame)?,
            other => return Err(broken(frame, "H1", format!("{} answers nothing", other.name()))),
        })
    }

    fn hello_ok(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let hello: HelloOk = read(frame.head.kind, &frame.payload)?;
        let offered = &self.offered;
        if hello.protocol != PROTOCOL || !offered.protocols.contains(&hello.protocol) {
            let what = format!("picks protocol {}, {PROTOCOL} was offered", hello.protocol);
            return Err(broken(frame, "H2", what));
        }
        if let Some(feature) = hello.features.iter().find(|name| !offered.features.contains(name)) {
            let what = format!("picks feature {feature:?}, which was not offered");
            return Err(broken(frame, "H2", what));
        }
        let max_frame = hello.limits.max_frame;
        if !(DATA_FRAME_BYTES_MIN..=offered.max_frame).contains(&max_frame) {
            let what = format!("picks max_frame {max_frame}, offered was {}", offered.max_frame);
            return Err(broken(frame, "H2", what));
        }
        self.has_digests = hello.features.iter().any(|name| name == FEATURE_DIGEST);
        self.can_refuse = hello.features.iter().any(|name| name == FEATURE_REFUSE);
        Ok(Event::HelloOk(hello))
    }

    fn assigned(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let assigned: Assigned = read(frame.head.kind, &frame.payload)?;
        let Some((epoch, marker, chain)) = self.pending.pop_front() else {
            return Err(broken(frame, "H3", "no ASSIGN is open".to_owned()));
        };
        if frame.head.epoch != epoch || assigned.parts as usize != chain.len() {
            let what = format!(
                "epoch {} with {} splits, ASSIGN had epoch {epoch} with {}",
                frame.head.epoch,
                assigned.parts,
                chain.len()
            );
            return Err(broken(frame, "H3", what));
        }
        (self.epoch, self.marker, self.chain) = (epoch, marker, chain);
        self.schemas.clear();
        self.tally = Tally::default();
        Ok(Event::Assigned(assigned))
    }

    fn schema(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        if frame.head.epoch != self.epoch {
            return Ok(Event::Stale);
        }
        let header = ContainerHeader::decode(&frame.payload)
            .map_err(|e| broken(frame, "H4", e.to_string()))?;
        if header.marker != self.marker {
            return Err(broken(frame, "H4", "sync marker is not the one of ASSIGN".to_owned()));
        }
        if self.tally.frames > 0 {
            return Err(broken(frame, "H4", "a schema must not change inside a batch".to_owned()));
        }
        if header.schema == ERROR_SCHEMA_NUMBER && header.avro_schema != ERROR_SCHEMA {
            return Err(broken(frame, "H4", "schema 0 is not the error schema".to_owned()));
        }
        let mark = (frame.payload.len(), crc32c::crc32c(&frame.payload));
        let is_keyed = !header.key_columns.is_empty();
        let live = self.schemas.entry(header.schema).or_insert(Live { is_keyed, mark });
        if live.mark != mark {
            let what = format!("schema {} changes its meaning within an epoch", header.schema);
            return Err(broken(frame, "H4", what));
        }
        if self.schemas.len() > SCHEMAS_MAX {
            return Err(broken(frame, "H4", format!("more than {SCHEMAS_MAX} live schemas")));
        }
        Ok(Event::Schema(header))
    }

    fn rows(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        if frame.head.epoch != self.epoch {
            return Ok(Event::Stale);
        }
        let part = frame.head.part;
        if part as usize >= self.chain.len() {
            return Err(broken(frame, "H6", format!("part {part} of {}", self.chain.len())));
        }
        let open = self.open.front().filter(|open| open.kind == Kind::Extract);
        let Some(open) = open.filter(|open| open.seq == frame.head.reference) else {
            let what = format!("no credit: ref {} is not the oldest EXTRACT", frame.head.reference);
            return Err(broken(frame, "H5", what));
        };
        let Some((prefix, blocks)) = BatchPrefix::decode(&frame.payload) else {
            return Err(broken(
                frame,
                "H6",
                "prefix names no operation of this version".to_owned(),
            ));
        };
        self.check_schema(frame, prefix)?;
        let is_error = prefix.operation == Operation::Error;
        let mut count = 0;
        let mut digest = self.tally.parts.get(&part).map_or(0, |came| came.digest);
        for block in Blocks::new(blocks, self.marker) {
            let block = block.map_err(|e| broken(frame, "H6", e.to_string()))?;
            count += block.rows;
            if self.has_digests && !is_error {
                digest = crc32c::crc32c_append(digest, block.data);
            }
        }
        if count == 0 {
            return Err(broken(frame, "H6", "no rows".to_owned()));
        }
        self.tally.frames += 1;
        self.tally.bytes += frame.payload.len() as u64;
        self.tally.total += count;
        let came = self.tally.parts.entry(part).or_default();
        came.digest = digest;
        *(if is_error { &mut came.errors } else { &mut came.rows }) += count;
        // A batch may hold one row more than its bytes, and frames and blocks around the rows.
        let spare = ROW_BYTES_MAX as u64 + (1 << 20);
        let bytes_max = open.max_bytes.saturating_mul(2).saturating_add(spare);
        if self.tally.total > open.max_rows || self.tally.bytes > bytes_max {
            let Tally { total, bytes, .. } = self.tally;
            let what = format!("{total} rows in {bytes} bytes are more than EXTRACT asked for");
            return Err(broken(frame, "H7", what));
        }
        Ok(Event::Rows(Rows {
            extract: open.seq,
            part,
            schema: prefix.schema,
            operation: prefix.operation,
            count,
            blocks: frame.payload.slice(BATCH_PREFIX_LEN..),
        }))
    }

    fn check_schema(&self, frame: &Frame, prefix: BatchPrefix) -> Result<(), SessionError> {
        let BatchPrefix { schema, operation } = prefix;
        let allowed = match self.schemas.get(&schema) {
            None => return Err(broken(frame, "H6", format!("schema {schema} is not known"))),
            Some(_) if schema == ERROR_SCHEMA_NUMBER => operation == Operation::Error,
            Some(Live { is_keyed: true, .. }) => {
                matches!(operation, Operation::Upsert | Operation::Delete)
            }
            Some(Live { is_keyed: false, .. }) => operation == Operation::Insert,
        };
        if allowed {
            return Ok(());
        }
        Err(broken(frame, "H6", format!("{operation:?} does not go with schema {schema}")))
    }

    fn batch_end(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let end: BatchEnd = read(frame.head.kind, &frame.payload)?;
        let open = self.take_request(frame)?;
        let tally = std::mem::take(&mut self.tally);
        if end.reason == Reason::Void {
            // The rows that came before belong to no batch.
            let counts = [end.rows, end.errors, end.bytes, end.frames];
            if counts != [0; 4] || !end.offsets.is_empty() {
                return Err(broken(frame, "H11", "a voided credit carries nothing".to_owned()));
            }
            return Ok(Event::BatchEnd(Finished { extract: open.seq, end }));
        }
        if frame.head.epoch != self.epoch {
            let what = format!("epoch {}, the assignment has {}", frame.head.epoch, self.epoch);
            return Err(broken(frame, "H8", what));
        }
        if end.batch <= self.last_batch {
            return Err(broken(
                frame,
                "H8",
                format!("batch {} after {}", end.batch, self.last_batch),
            ));
        }
        self.last_batch = end.batch;
        self.check_counts(frame, &end, tally)?;
        for step in &end.offsets {
            self.advance(frame, step)?;
        }
        Ok(Event::BatchEnd(Finished { extract: open.seq, end }))
    }

    fn check_counts(
        &self,
        frame: &Frame,
        end: &BatchEnd,
        mut tally: Tally,
    ) -> Result<(), SessionError> {
        if (end.frames, end.bytes) != (tally.frames, tally.bytes) {
            let what = format!(
                "says {} frames and {} bytes, {} and {} came",
                end.frames, end.bytes, tally.frames, tally.bytes
            );
            return Err(broken(frame, "H9", what));
        }
        let (mut rows, mut errors) = (0, 0);
        for step in &end.offsets {
            let came = tally.parts.remove(&step.part).unwrap_or_default();
            if (step.rows, step.errors) != (came.rows, came.errors) {
                let what = format!(
                    "part {} says {} rows and {} errors, {} and {} came",
                    step.part, step.rows, step.errors, came.rows, came.errors
                );
                return Err(broken(frame, "H9", what));
            }
            if self.has_digests && step.rows > 0 {
                let own = format!("crc32c:{:08x}", came.digest);
                if step.digest.as_ref() != Some(&own) {
                    let what = format!("part {} says other rows than came ({own})", step.part);
                    return Err(broken(frame, "H9", what));
                }
            }
            rows += step.rows;
            errors += step.errors;
        }
        if let Some(part) = tally.parts.keys().next() {
            return Err(broken(
                frame,
                "H9",
                format!("rows of part {part} came, its offset did not move"),
            ));
        }
        if (end.rows, end.errors) != (rows, errors) {
            return Err(broken(frame, "H9", "rows are not the sum over the splits".to_owned()));
        }
        Ok(())
    }

    fn advance(&mut self, frame: &Frame, step: &Move) -> Result<(), SessionError> {
        let parts = self.chain.len();
        let Some(stands) = self.chain.get_mut(step.part as usize) else {
            return Err(broken(frame, "H10", format!("part {} of {parts}", step.part)));
        };
        if *stands != step.from {
            let what =
                format!("part {} moves from {}, it stands at {stands}", step.part, step.from);
            return Err(broken(frame, "H10", what));
        }
        if step.from == step.to {
            return Err(broken(frame, "H10", format!("part {} moves nowhere", step.part)));
        }
        *stands = step.to.clone();
        Ok(())
    }

    fn error(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let failure: Failure = read(frame.head.kind, &frame.payload)?;
        if frame.head.reference == NONE {
            return Ok(Event::Failed { request: None, failure });
        }
        let open = self.take_request_any(frame)?;
        if open.kind == Kind::Assign {
            self.pending.pop_front();
            // Nothing is assigned now: rows may be asked for only after another ASSIGN.
            if self.pending.is_empty() && self.state == State::Ready {
                self.state = State::Configured;
            }
        }
        self.tally = Tally::default();
        Ok(Event::Failed { request: Some(open.kind), failure })
    }

    /// The oldest open request, which this frame must answer: answers are first in, first out.
    fn take_request(&mut self, frame: &Frame) -> Result<OpenRequest, SessionError> {
        let open = self.take_request_any(frame)?;
        if open.kind.answer() == Some(frame.head.kind) {
            return Ok(open);
        }
        Err(broken(frame, "H1", format!("does not answer {}", open.kind.name())))
    }

    fn take_request_any(&mut self, frame: &Frame) -> Result<OpenRequest, SessionError> {
        match self.open.pop_front() {
            Some(open) if open.seq == frame.head.reference => Ok(open),
            Some(open) => {
                let what = format!("answers {}, {} is due", frame.head.reference, open.seq);
                Err(broken(frame, "H1", what))
            }
            None => Err(broken(frame, "H1", "no request is open".to_owned())),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(kind: Kind, payload: &[u8]) -> Result<T, SessionError> {
    decode(kind, payload).map_err(SessionError::Payload)
}

fn broken(frame: &Frame, rule: &'static str, what: String) -> SessionError {
    SessionError::Broken { kind: frame.head.kind.name(), seq: frame.seq, rule, what }
}
