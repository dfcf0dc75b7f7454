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

use super::client::Shared;
use super::failure::{self, Kind};
use super::scan::{Answer, scan};

/// What the SDK reads instead of the body.
const NOTHING: &str = r#"{"Records":[]}"#;

/// Why a call brought no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The service or the way to it; what kind of error it is.
    Failed(Kind, Failure),
    /// The answer is larger than what there is room for.
    TooLarge,
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
    /// Bytes of the body at most.
    pub(super) bytes_max: usize,
    /// Time from the request to the last byte of its answer.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// Makes the call.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: an iterator can be used again.
    pub(super) async fn send(&self, shared: &Shared) -> Result<Answer, NoAnswer> {
        match tokio::time::timeout(self.timeout, self.body(shared)).await {
            Ok(body) => scan(body?).map_err(|error| {
                let text = format!("{}: the answer can not be read: {error}", self.what);
                NoAnswer::Failed(Kind::Other, Failure::new(Code::SourceUnavailable, text))
            }),
            Err(_) => {
                let text = format!("{}: no whole answer in time; check the network", self.what);
                Err(NoAnswer::Failed(Kind::Other, Failure::new(Code::Timeout, text)))
            }
        }
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

    /// Reads a body into one buffer, whose size is checked before it is taken.
    async fn collect(&self, body: SdkBody) -> Result<Vec<u8>, NoAnswer> {
        let told = body.content_length().unwrap_or(0);
        let told = usize::try_from(told).unwrap_or(usize::MAX);
        if told > self.bytes_max {
            return Err(NoAnswer::TooLarge);
        }
        let mut buffer = Vec::with_capacity(told);
        let mut stream = ByteStream::new(body);
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| {
                let text = format!("{}: the answer ends in the middle: {error}", self.what);
                NoAnswer::Failed(Kind::Other, Failure::new(Code::SourceUnavailable, text))
            })?;
            if bytes.len() > self.bytes_max.saturating_sub(buffer.len()) {
                return Err(NoAnswer::TooLarge);
            }
            buffer.extend_from_slice(&bytes);
        }
        Ok(buffer)
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
