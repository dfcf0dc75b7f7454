//! One GetRecords call: signing, endpoint and errors are the SDK's, the body of a good answer is
//! taken out of its hands before it would make types of it.
//!
//! ```text
//! SDK: sign ─► send ─► status, headers ──┬─ error: the SDK reads it
//!                                        └─ 200: the body ─► a buffer of bounded size ─► scan
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use protocol::{Code, Failure};

use super::budget::Room;
use super::client::Shared;
use super::failure::{self, Kind};
use super::records::ENTRIES_BYTES_MAX;
use super::scan::{Answer, scan};
use super::spare::Spare;

/// What the SDK reads instead of the body.
const NOTHING: &str = r#"{"Records":[]}"#;

/// What a call gets beyond its time. Why 1 s: the SDK has the same limit and says what it waited for,
/// so it is to notice first; this one is for the body, which is out of its hands.
const GRACE: Duration = Duration::from_secs(1);

/// Why a call brought no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The service or the way to it; what kind of error it is.
    Failed(Kind, Failure),
    /// The answer is larger than what there is room for; bytes of its body, as far as they are known.
    TooLarge(usize),
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Says what is done, for errors.
    pub(super) what: &'a str,
    /// From where.
    pub(super) iterator: &'a str,
    /// Records at most.
    pub(super) limit: i32,
    /// Where the body, what is copied out of it, and the places of its records lie.
    pub(super) room: &'a Room,
    /// Where memory for the body comes from.
    pub(super) spare: &'a Spare,
    /// Time from the request to the last byte of its answer; a second more is waited.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// Makes the call.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: an iterator can be used again.
    pub(super) async fn send(&self, shared: &Shared) -> Result<Answer, NoAnswer> {
        let limit = self.timeout.saturating_add(GRACE);
        match tokio::time::timeout(limit, self.body(shared)).await {
            Ok(body) => {
                let body = body?;
                let bytes = body.len();
                scan(body, self.bytes_max(), self.spare).map_err(|error| {
                    if error.is_no_room() {
                        return NoAnswer::TooLarge(bytes);
                    }
                    let text = format!("{}: the answer can not be read: {error}", self.what);
                    NoAnswer::Failed(Kind::Other, Failure::new(Code::SourceUnavailable, text))
                })
            }
            Err(_) => {
                let text = format!("{}: no whole answer in time; check the network", self.what);
                Err(NoAnswer::Failed(Kind::Other, Failure::new(Code::Timeout, text)))
            }
        }
    }

    /// Bytes of the body, and of what is copied out of it, at most.
    fn bytes_max(&self) -> usize {
        self.room.bytes().saturating_sub(ENTRIES_BYTES_MAX)
    }

    async fn body(&self, shared: &Shared) -> Result<Vec<u8>, NoAnswer> {
        let taken = TakeBody::default();
        let call = shared.client().get_records().set_stream_arn(shared.arn.clone());
        let call = call.shard_iterator(self.iterator).limit(self.limit);
        let sent = call.customize().interceptor(taken.clone()).send().await;
        if let Err(error) = sent {
            let (kind, failure) = failure::from_sdk(self.what, &error);
            return Err(NoAnswer::Failed(kind, failure));
        }
        let Some(body) = taken.take() else {
            let text = format!("{}: an answer that is neither good nor an error", self.what);
            return Err(NoAnswer::Failed(Kind::Other, Failure::new(Code::SourceUnavailable, text)));
        };
        self.collect(body).await
    }

    /// Reads a body into one buffer that never has more than it may.
    async fn collect(&self, body: SdkBody) -> Result<Vec<u8>, NoAnswer> {
        let told = body.content_length();
        let all = usize::try_from(told.unwrap_or(0)).unwrap_or(usize::MAX);
        self.room.fill();
        let buffer = Buffer::new(told, self.bytes_max(), self.spare);
        let mut buffer = buffer.ok_or(NoAnswer::TooLarge(all))?;
        let mut stream = ByteStream::new(body);
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| {
                let text = format!("{}: the answer ends in the middle: {error}", self.what);
                NoAnswer::Failed(Kind::Other, Failure::new(Code::SourceUnavailable, text))
            })?;
            if buffer.add(&bytes).is_none() {
                return Err(NoAnswer::TooLarge(all.max(buffer.bytes.len() + bytes.len())));
            }
        }
        Ok(buffer.whole())
    }
}

/// Bytes that come in pieces. It is never moved to a larger place of more than `max` bytes.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    max: usize,
}

impl Buffer {
    /// Room for as many as are told, or none yet; nothing where that is more than `max`.
    fn new(told: Option<u64>, max: usize, spare: &Spare) -> Option<Self> {
        let told = usize::try_from(told.unwrap_or(0)).unwrap_or(usize::MAX);
        let bytes = || spare.body(told, max).unwrap_or_else(|| Vec::with_capacity(told));
        (told <= max).then(|| Self { bytes: bytes(), max })
    }

    /// Adds a piece; nothing where that would be more than `max`.
    fn add(&mut self, piece: &[u8]) -> Option<()> {
        let left = self.max.saturating_sub(self.bytes.len());
        if piece.len() > left {
            return None;
        }
        if piece.len() > self.bytes.capacity().saturating_sub(self.bytes.len()) {
            // All of it: doubling would end above what was set aside.
            self.bytes.reserve_exact(left);
        }
        self.bytes.extend_from_slice(piece);
        Some(())
    }

    /// All of them, without the room that was not needed where that is more than a half.
    fn whole(mut self) -> Vec<u8> {
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }
}

/// Takes the body of a good answer. Copies share what was taken.
#[derive(Clone, Debug, Default)]
struct TakeBody(Arc<Mutex<Option<SdkBody>>>);

impl TakeBody {
    fn take(&self) -> Option<SdkBody> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for TakeBody {
    fn name(&self) -> &'static str {
        "TakeBody"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const OK: u16 = 200;
        let response = context.response_mut();
        if response.status().as_u16() == OK {
            let body = std::mem::replace(response.body_mut(), SdkBody::from(NOTHING));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::budget::Budget;
    use super::*;

    fn nothing() -> Spare {
        Spare::new(&Budget::new(0))
    }

    /// Without a length that is told (a chunked body), and with one that is wrong.
    #[test]
    fn a_body_never_has_more_room_than_was_set_aside() {
        const MAX: usize = 100_000;
        for told in [None, Some(10), Some(70_000)] {
            let mut buffer = Buffer::new(told, MAX, &nothing()).unwrap();
            let mut sent = Vec::new();
            for number in 0..99_u8 {
                let piece = [number; 1_009];
                buffer.add(&piece).unwrap();
                sent.extend_from_slice(&piece);
                assert!(buffer.bytes.capacity() <= MAX, "{}", buffer.bytes.capacity());
            }
            assert_eq!(buffer.add(&[0; 1_009]), None, "one byte too many");
            let bytes = buffer.whole();
            assert!(bytes == sent && bytes.capacity() <= MAX);
        }
        let mut small = Buffer::new(None, MAX, &nothing()).unwrap();
        small.add(&[1; 50]).unwrap();
        assert!(small.whole().capacity() < 1_000, "what is not needed is given back");
        assert!(Buffer::new(Some(MAX as u64 + 1), MAX, &nothing()).is_none());
    }

    /// A body of half the room and more keeps what it does not need, and so does one in used memory.
    #[test]
    fn escapes_find_room_where_the_body_leaves_some() {
        const MAX: usize = 1_000_000;
        let (data, key) = ("QUJD".repeat(MAX * 6 / 40), "a\\u0041".repeat(20));
        let record = format!(r#""SequenceNumber":"5","PartitionKey":"{key}","Data":"{data}""#);
        let body = format!(r#"{{"Records":[{{{record}}}],"MillisBehindLatest":0}}"#);
        let used = Spare::new(&Budget::new(64 * MAX as u64));
        used.give(Vec::with_capacity(MAX), Vec::new());
        for (told, spare) in [(None, nothing()), (Some(body.len() as u64), used)] {
            let mut buffer = Buffer::new(told, MAX, &spare).unwrap();
            body.as_bytes().chunks(10_000).for_each(|piece| buffer.add(piece).unwrap());
            let whole = buffer.whole();
            assert_eq!(whole.capacity(), MAX, "nothing is left beside it");
            let answer = scan(whole, MAX, &spare).unwrap();
            let key = answer.records.get(0).unwrap().key_text().map(Cow::into_owned);
            assert_eq!(key, Some("aA".repeat(20)));
            assert!(answer.records.bytes() <= MAX + ENTRIES_BYTES_MAX);
        }
    }
}
