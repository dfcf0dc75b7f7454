//! The one file of the product that produces to Kafka.
//!
//! May touch: the Kafka client. Invariants: `put` returns when every letter is acknowledged by all replicas in
//! sync, or says that they are not yet, or with an error; a producer that failed is not used again, so that no late answer counts for a
//! later letter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::{DeadLetters, Letter, Sender, context};
use crate::store::{StoreError, StoreErrorKind};

/// How long a letter may take until it is acknowledged. Why 30 s: an election of a leader takes less.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// How long the client may take beyond that to say so.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// How long letters may take in all. Past it the client has said of each what became of it.
pub(crate) const PUT_WITHIN: Duration = ACKNOWLEDGED_WITHIN.saturating_add(ANSWER_GRACE);

/// How long the topic is looked for before anything is read.
const CHECK_WITHIN: Duration = Duration::from_secs(10);

/// How long one look for it may take: between two, the client says what hinders it.
const LOOK: Duration = Duration::from_secs(1);

/// A pause between two looks for the topic, or at the answers.
const PAUSE: Duration = Duration::from_millis(100);

/// Largest letter, bytes. Why 10^9: the client's own limit; what a record may have is the topic's to say.
const LETTER_BYTES_MAX: &str = "1000000000";

/// Counts what the broker answers.
#[derive(Clone, Default)]
struct Answers {
    taken: Arc<AtomicUsize>,
    /// Which letter of a call, and why.
    refused: Arc<Mutex<Option<(usize, KafkaError)>>>,
    /// The first connection that the broker refused for who asks. The client tries again and again, so that
    /// all that is seen of it otherwise is the time-out.
    denied: Arc<Mutex<Option<KafkaError>>>,
}

impl Answers {
    /// What a time-out is due to, if the broker said so.
    fn cause(&self, error: KafkaError) -> KafkaError {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
    }
}

/// Whether a code says that this user may not, or is not who it says.
fn is_denied(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    let denied = [
        E::TopicAuthorizationFailed,
        E::ClusterAuthorizationFailed,
        E::Authentication,
        E::SaslAuthenticationFailed,
    ];
    denied.contains(&code)
}

impl ClientContext for Answers {
    // What goes wrong is in the answers, and here where no answer comes because nobody may ask.
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _line: &str) {}

    fn error(&self, error: KafkaError, _reason: &str) {
        if error.rdkafka_error_code().is_some_and(is_denied) {
            let mut first = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        match result {
            Ok(_) => drop(self.taken.fetch_add(1, Ordering::AcqRel)),
            Err((error, _)) => {
                let mut first = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| (index, error.clone()));
            }
        }
    }
}

/// Sends letters to one topic.
pub struct Producer {
    to: DeadLetters,
    sender: Sender,
    client: Option<(BaseProducer<Answers>, Answers)>,
    under_way: Option<UnderWay>,
}

/// Letters that were not all acknowledged when the time of the call was over.
struct UnderWay {
    client: BaseProducer<Answers>,
    answers: Answers,
    /// How many the client has taken.
    sent: usize,
    /// When waiting ends.
    deadline: Instant,
}

impl Producer {
    /// One that connects when it is needed.
    pub fn new(to: DeadLetters, sender: Sender) -> Self {
        Self { to, sender, client: None, under_way: None }
    }

    /// Looks whether the topic is there.
    ///
    /// # Errors
    /// A setting is wrong, no server answers within ten seconds, or the topic is not there or denied.
    pub fn check(&mut self) -> Result<(), StoreError> {
        let (client, answers) = self.take()?;
        let deadline = Instant::now() + CHECK_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).clamp(PAUSE, LOOK);
            let metadata = client.client().fetch_metadata(Some(&self.to.topic), left);
            let error = match metadata {
                Ok(found) => match found.topics().first().and_then(|topic| topic.error()) {
                    None => break,
                    Some(code) => KafkaError::MetadataFetch(code.into()),
                },
                Err(error) => error,
            };
            // A broker that makes topics by itself needs a moment.
            client.poll(PAUSE);
            if Instant::now() >= deadline {
                return Err(self.failed(&answers.cause(error), None));
            }
        }
        self.client = Some((client, answers));
        Ok(())
    }

    /// Sends letters, and waits until each of them is acknowledged: `true`. After `within` it answers `false`; called
    /// again with the same letters, it goes on with them. After an error some may be in the topic.
    ///
    /// # Errors
    /// A letter is not whole, is refused, or is not acknowledged in time; `is_over` says that nobody waits any more.
    pub fn put(
        &mut self,
        letters: &[Letter],
        within: Duration,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let mut way = match self.under_way.take() {
            Some(way) => way,
            None => {
                self.require_whole(letters)?;
                let (client, answers) = self.take()?;
                answers.taken.store(0, Ordering::Release);
                let deadline = Instant::now() + PUT_WITHIN;
                UnderWay { client, answers, sent: 0, deadline }
            }
        };
        let is_done = self.go_on(&mut way, letters, Instant::now() + within, is_over)?;
        if is_done {
            self.client = Some((way.client, way.answers));
        } else {
            self.under_way = Some(way);
        }
        Ok(is_done)
    }

    fn go_on(
        &self,
        way: &mut UnderWay,
        letters: &[Letter],
        until: Instant,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        loop {
            while let Some(letter) = letters.get(way.sent)
                && self.send(&way.client, letter, way.sent)?
            {
                way.sent += 1;
            }
            if way.answers.taken.load(Ordering::Acquire) >= letters.len() {
                return Ok(true);
            }
            way.client.poll(PAUSE);
            let mut refused = way.answers.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((index, error)) = refused.take() {
                return Err(self.failed(&way.answers.cause(error), letters.get(index)));
            }
            drop(refused);
            let now = Instant::now();
            if now > way.deadline || is_over() {
                let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
                return Err(self.failed(&way.answers.cause(error), None));
            }
            if now >= until && way.answers.taken.load(Ordering::Acquire) < letters.len() {
                return Ok(false);
            }
        }
    }

    /// A record without its value would be a tombstone, and delete what it was to bring.
    fn require_whole(&self, letters: &[Letter]) -> Result<(), StoreError> {
        let Some(letter) = letters.iter().find(|letter| letter.is_cut()) else { return Ok(()) };
        let Letter { position, split, reason, .. } = letter;
        let topic = &self.to.topic;
        let text = format!(
            "dead-letter topic {topic}: the record at {position} of split {split} cannot be put there: it is \
             larger than an error row, which came without its larger parts ({reason}); go on without \
             errors.deadletterqueue.topic.name until it is in the errors table, or set its split to behind it \
             with harness set-offsets"
        );
        Err(StoreError::new(StoreErrorKind::Config, text))
    }

    /// Hands a letter to the client; `false` while its queue is full.
    fn send(
        &self,
        client: &BaseProducer<Answers>,
        letter: &Letter,
        index: usize,
    ) -> Result<bool, StoreError> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&self.to.topic, index).headers(self.headers(letter));
        record.key = letter.key.as_deref();
        record.payload = letter.value.as_deref();
        match client.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(self.failed(&error, Some(letter))),
        }
    }

    fn headers(&self, letter: &Letter) -> OwnedHeaders {
        let own = letter.headers.iter();
        let mut headers = OwnedHeaders::new();
        for (key, value) in own {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        if self.to.has_context {
            for (key, value) in &context(letter, &self.sender) {
                headers = headers.insert(Header { key, value: Some(value) });
            }
        }
        headers
    }

    /// The client, made anew where there is none or the last one failed.
    fn take(&mut self) -> Result<(BaseProducer<Answers>, Answers), StoreError> {
        if let Some(client) = self.client.take() {
            return Ok(client);
        }
        let answers = Answers::default();
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Emerg)
            .set("bootstrap.servers", &self.to.servers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", ACKNOWLEDGED_WITHIN.as_millis().to_string())
            .set("message.max.bytes", LETTER_BYTES_MAX);
        for (name, value) in &self.to.client {
            config.set(name, value);
        }
        let client = config.create_with_context(answers.clone());
        let client = client.map_err(|error| self.failed(&error, None))?;
        Ok((client, answers))
    }

    fn failed(&self, error: &KafkaError, letter: Option<&Letter>) -> StoreError {
        use RDKafkaErrorCode as E;
        let topic = &self.to.topic;
        let (kind, advice) = match (error, error.rdkafka_error_code()) {
            // It may quote a value, which may be a secret.
            (KafkaError::ClientConfig(_, why, key, _), _) => {
                let text = format!("dead-letter topic {topic}: producer.override.{key}: {why}");
                return StoreError::new(StoreErrorKind::Config, text);
            }
            (_, Some(E::MessageSizeTooLarge | E::InvalidRecord | E::PolicyViolation)) => (
                StoreErrorKind::Config,
                "; raise max.message.bytes of the topic, or let it take this record",
            ),
            (_, Some(E::UnknownTopic | E::UnknownTopicOrPartition | E::InvalidTopic)) => {
                (StoreErrorKind::Config, "; make the topic first")
            }
            (_, Some(code)) if is_denied(code) => {
                (StoreErrorKind::Auth, "; allow WRITE on the topic, and give the client its user")
            }
            (KafkaError::ClientCreation(_), _) => {
                (StoreErrorKind::Config, "; correct the settings producer.override.*")
            }
            _ => (StoreErrorKind::Transient, ""),
        };
        let of = letter.map_or_else(String::new, |it| {
            format!(" for the record at {} of split {}", it.position, it.split)
        });
        let servers = &self.to.servers;
        StoreError::new(
            kind,
            format!("dead-letter topic {topic} on {servers}{of}: {error}{advice}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is refused its connection tries again until the time is over; what is told is the refusal.
    #[test]
    fn a_wrong_password_is_no_time_out() {
        let time_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let producer =
            Producer::new(DeadLetters::default(), Sender { pipeline: "p".to_owned(), task: 0 });
        let answers = Answers::default();
        answers.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "");
        let error = producer.failed(&answers.cause(time_out.clone()), None);
        assert_eq!(error.kind(), StoreErrorKind::Transient, "{error}");
        answers.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "");
        let error = producer.failed(&answers.cause(time_out), None);
        assert_eq!(error.kind(), StoreErrorKind::Auth, "{error}");
        let error = producer.failed(&KafkaError::ClientCreation("no such CA".to_owned()), None);
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    }
}
