//! Reads one shard by enhanced fan-out: a task that holds a subscription and hands its events over.
//! What it hands over, and what it means, is the same as of a polled page.
//!
//! ```text
//!  consumer? ─► 5 s since the last one? ─► subscribe ─► turn ─► room ─► event ─► end: tell, stop
//!      │                  ▲                    │         ▲                │
//!      └─ unusable: poll  └── ended, silent, ──┴─────────┴── handed over ─┘
//!                             failed, taken over
//! ```
//!
//! The service ends a subscription after 5 minutes; the next one goes on where the last event ended,
//! which empty events move as well. A connection that went dead is noticed by its silence. While
//! nobody takes pages the stream is not read, and if it ends meanwhile, nothing is lost: the next
//! subscription begins after the last event that was taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use protocol::{Code, Failure};

use super::clock::Moment;
use super::consumer::{self, Consumer, Found};
use super::failure::{self, Kind};
use super::fetch::{Fetch, Holds, News, Round, leave_out_before, transient};
use super::position::{Position, Sequence};
use super::records::Records;
use super::shards;

/// Room that is taken before an event comes, at least. Why 16 KiB: 200 quiet shards together hold
/// little, and the largest assignment fits the default budget. A larger event takes its room when it
/// is there, before the next one is read.
const ROOM_BYTES_MIN: u64 = 16 * 1024;

/// Room for the first event. Why 64 KiB: all shards begin at once, and quiet ones keep it for the
/// 5 s until their first event comes.
const ROOM_BYTES_FIRST: u64 = 64 * 1024;

/// Subscriptions that fail in a row before it is told. Why 2: one is taken again silently, so that
/// a connection that breaks now and then is no trouble of the pipeline.
const SILENT_FAILURES: u32 = 1;

/// Time without reading after which events may wait on the way, so that one that comes is not new.
const UNREAD: Duration = Duration::from_secs(1);

/// Time that an event let a reader wait after which none was on the way any more. To be caught up, empty
/// events in a row count together.
///
/// Why 1 s: what waits comes within a round trip; the service sends an event in 5 s. Why together: the
/// empty events of a whole subscription are some KB, so that those that wait come at once and let
/// nobody wait between them.
const DRAINED: Duration = Duration::from_secs(1);

/// Another subscription of the same consumer and shard, or one within 5 s.
const IN_USE: &str = "ResourceInUseException";

/// What is known between subscriptions.
#[derive(Debug, Default)]
struct Progress {
    /// Where the last event ended: its own word, which empty events move too.
    mark: Option<Sequence>,
    /// Subscriptions that failed since the last event.
    failures: u32,
    /// Subscriptions that another reader took over.
    evictions: u64,
    /// Events of this subscription.
    events: u64,
    /// When the last event was sent, as far as it has to be known to be caught up.
    sent: Sent,
    /// When it was sent at the earliest: what a pin is made of.
    surely: Sent,
    /// How long empty events of late let the reader wait, together.
    waited: Duration,
    /// Ends that the listing did not confirm.
    false_ends: u32,
    /// Whether the last event named no place to go on from.
    at_end: bool,
}

/// When the last event was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    at: Option<Moment>,
    /// Whether events may have been waiting on the way.
    backlog: bool,
}

impl Sent {
    /// An event came that was waited for since `began`. `drained`: it waited nowhere.
    fn event(&mut self, began: Moment, drained: bool, is_first: bool) -> Moment {
        self.backlog &= !drained;
        // The first one may have been sent as soon as it was subscribed.
        let earlier = self.at.filter(|_| self.backlog || is_first);
        *self.at.insert(earlier.unwrap_or(began))
    }
}

impl Progress {
    /// A subscription begins.
    fn subscribes(&mut self, now: Moment) {
        self.sent = Sent { at: Some(now), backlog: false };
        self.surely = self.sent;
    }

    /// Nobody read for a while.
    const fn unread(&mut self) {
        (self.sent.backlog, self.surely.backlog) = (true, true);
        self.waited = Duration::ZERO;
    }

    /// An event let the reader wait for `time`, since `began`. When it was sent: by the local clock as it
    /// counts for being caught up, by the service's clock at the earliest. A slow network lets many events
    /// wait a little each, which is no harm to the former; a pin must lie before what is still on its way.
    fn event(&mut self, began: Moment, time: Duration, is_empty: bool) -> Moment {
        (self.failures, self.events) = (0, self.events.saturating_add(1));
        let is_first = self.events == 1;
        let waited = self.waited.saturating_mul(u32::from(is_empty)).saturating_add(time);
        self.waited = if is_empty { waited } else { Duration::ZERO };
        let sent = self.sent.event(began, waited >= DRAINED, is_first);
        let surely = self.surely.event(began, time >= DRAINED, is_first);
        Moment { service_ms: surely.service_ms, ..sent }
    }
}

impl Fetch {
    /// Reads until the end of the shard, or until the source ends the task.
    pub(super) async fn subscribe(mut self, consumer: Arc<Consumer>) {
        let mut progress = Progress::default();
        loop {
            let arn = match consumer.find(&self.shared, &self.stream).await {
                Ok(Found::Arn(arn)) => arn,
                Ok(Found::Unusable(failure)) => return self.fall_back(&consumer, failure).await,
                Err(failure) => match self.failed(transient(failure)).await {
                    Round::Again => {
                        tokio::time::sleep(self.pace.wait()).await;
                        continue;
                    }
                    Round::Over => return,
                },
            };
            tokio::time::sleep(self.pace.wait().max(consumer.wait(&self.shard))).await;
            let round = match self.open(&consumer, &arn, &mut progress).await {
                Ok(answer) => {
                    consumer.subscribed(&self.shard);
                    self.follow(&consumer, answer, &mut progress).await
                }
                Err(round) => round,
            };
            if matches!(round, Round::Over) {
                return;
            }
        }
    }

    /// The consumer can not be used.
    async fn fall_back(self, consumer: &Consumer, failure: Failure) {
        if consumer.allows_polling(&failure) {
            self.run().await;
        } else {
            self.tell(News::Broken(failure)).await;
        }
    }

    /// Subscribes where reading goes on.
    async fn open(
        &mut self,
        consumer: &Consumer,
        arn: &str,
        progress: &mut Progress,
    ) -> Result<SubscribeToShardOutput, Round> {
        let what = format!("subscribe {} of stream {}", self.shard, self.stream);
        let Some(position) = self.starting_position(progress) else {
            self.tell(News::End(shards::Listing::new())).await;
            return Err(Round::Over);
        };
        let call = consumer.client(&self.shared, self.part).subscribe_to_shard();
        let call = call.consumer_arn(arn).shard_id(&self.shard).starting_position(position);
        progress.subscribes(self.shared.clock.moment());
        // The SDK waits for the first message of the stream outside of its own limits.
        let error = match tokio::time::timeout(consumer.silence(), call.send()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                let text = format!("{what}: no answer in time");
                return Err(self.fails(Failure::new(Code::Timeout, text), progress).await);
            }
        };
        if error.code() == Some(IN_USE) {
            consumer.subscribed(&self.shard);
            return Err(self.fails(in_use(&what, consumer), progress).await);
        }
        let (kind, failure) = failure::from_sdk(&what, &error);
        let news = match (kind, &self.from) {
            // The place came from the service; the last record is a place as well.
            (Kind::Refused, _) if progress.mark.take().is_some() => return Err(Round::Again),
            (
                Kind::Refused,
                Position::After(sequence) | Position::At(sequence) | Position::Inside(sequence, _),
            ) => News::Refused(failure::foreign(&self.shard, sequence, &failure.message)),
            _ if failure.code == Code::SourceNotFound => {
                match self.missing(failure.clone()).await {
                    News::Trouble(_) => return Err(self.unusable(consumer, failure).await),
                    news => news,
                }
            }
            _ if consumer::is_for_good(&failure) => {
                return Err(self.unusable(consumer, failure).await);
            }
            _ => transient(failure),
        };
        Err(match news {
            News::Trouble(failure) => self.fails(failure, progress).await,
            news => self.failed(news).await,
        })
    }

    /// The service has the shard and refuses the subscription: the next round asks the consumer.
    async fn unusable(&self, consumer: &Consumer, failure: Failure) -> Round {
        consumer.give_up(&failure).await;
        Round::Again
    }

    /// A subscription failed, or broke: it is taken again, and told when that does not help.
    async fn fails(&mut self, failure: Failure, progress: &mut Progress) -> Round {
        progress.failures = progress.failures.saturating_add(1);
        if progress.failures > SILENT_FAILURES {
            return self.failed(News::Trouble(failure)).await;
        }
        tracing::info!(shard = self.shard, "subscribing again: {}", failure.message);
        self.pace.trouble(false);
        Round::Again
    }

    fn starting_position(&self, progress: &Progress) -> Option<StartingPosition> {
        use ShardIteratorType as Type;
        let at = |kind: Type, sequence: Option<&Sequence>| {
            let number = sequence.map(|sequence| sequence.as_str().to_owned());
            StartingPosition::builder().r#type(kind).set_sequence_number(number)
        };
        let builder = match (&progress.mark, &self.from) {
            // AT and not AFTER: nothing is known of what lies at the mark itself.
            (Some(mark), _) => at(Type::AtSequenceNumber, Some(mark)),
            (None, Position::TrimHorizon) => at(Type::TrimHorizon, None),
            (None, Position::AtTimestamp(ms)) => {
                // A time in the future is refused; before it, there is nothing to skip.
                let ms = self.shared.clock.now_ms().map_or(*ms, |now| now.min(*ms));
                at(Type::AtTimestamp, None).timestamp(DateTime::from_millis(ms))
            }
            (None, Position::At(sequence) | Position::Inside(sequence, _)) => {
                at(Type::AtSequenceNumber, Some(sequence))
            }
            (None, Position::After(sequence) | Position::End(Some(sequence))) => {
                match self.expect {
                    Some(_) => at(Type::AtSequenceNumber, Some(sequence)),
                    None => at(Type::AfterSequenceNumber, Some(sequence)),
                }
            }
            (None, Position::End(None)) => return None,
        };
        // The type is set.
        builder.build().ok()
    }

    /// Hands the events of a subscription over until it ends.
    async fn follow(
        &mut self,
        consumer: &Consumer,
        mut answer: SubscribeToShardOutput,
        progress: &mut Progress,
    ) -> Round {
        let what = format!("subscription of {} of stream {}", self.shard, self.stream);
        let mut room_bytes = ROOM_BYTES_FIRST;
        (progress.events, progress.at_end) = (0, false);
        loop {
            let unread = Instant::now();
            let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
                return Round::Over;
            };
            let room = self.budget.take(room_bytes).await;
            if unread.elapsed() > UNREAD {
                progress.unread();
            }
            let began = self.shared.clock.moment();
            let mut event =
                match tokio::time::timeout(consumer.silence(), answer.event_stream.recv()).await {
                    Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => {
                        event
                    }
                    Ok(Ok(Some(_))) => continue,
                    Ok(Ok(None)) if progress.at_end => {
                        return self.confirm_end(&mut progress.false_ends).await;
                    }
                    Ok(Ok(None)) if progress.events == 0 => {
                        let text = format!("{what}: it ended without an event");
                        let failure = Failure::new(Code::SourceUnavailable, text);
                        return self.fails(failure, progress).await;
                    }
                    // After 5 minutes, or sooner: nothing is wrong.
                    Ok(Ok(None)) => return Round::Again,
                    Ok(Err(error)) => {
                        let failure = said(&what, consumer, &error);
                        return self.broke(consumer, failure, progress).await;
                    }
                    Err(_) => {
                        let text = format!("{what}: no event for {:?}", consumer.silence());
                        return self.fails(Failure::new(Code::Timeout, text), progress).await;
                    }
                };
            let asked = progress.event(began, began.at.elapsed(), event.records.is_empty());
            self.pace.recovered();
            let Some(records) = Records::of(&event.records) else {
                let text = format!("{what}: a record has no sequence number of digits");
                let failure = Failure::new(Code::SourceUnavailable, text);
                return self.failed(News::Broken(failure)).await;
            };
            event.records = Vec::new();
            room_bytes = (records.bytes() as u64).saturating_mul(2).max(ROOM_BYTES_MIN);
            if let Round::Over =
                self.pass_on(event, records, Holds { asked, room, turn }, progress).await
            {
                return Round::Over;
            }
        }
    }

    /// Passes an event on.
    async fn pass_on(
        &mut self,
        event: SubscribeToShardEvent,
        mut records: Records,
        holds: Holds,
        progress: &mut Progress,
    ) -> Round {
        let Holds { asked, mut room, turn } = holds;
        let children = shards::children(event.child_shards());
        let (ended, behind_ms) = (!children.is_empty(), Some(event.millis_behind_latest));
        self.leave_out_taken(&mut records);
        if let Some(news) = self.meet_expected(&mut records, behind_ms, ended) {
            drop((room, turn));
            self.tell(news).await;
            return Round::Over;
        }
        let sent = records.len();
        if let Position::AtTimestamp(ms) = self.from {
            leave_out_before(&mut records, ms);
        }
        let bytes = records.bytes();
        if room.bytes() < bytes {
            // Given back first: two that wait for more must not hold what the other one needs.
            drop(room);
            room = self.budget.take(bytes as u64).await;
        }
        room.shrink_to(bytes);
        room.fill();
        if sent > 0 {
            progress.false_ends = 0;
        }
        if let Some(last) = records.last_sequence() {
            self.from = Position::After(last);
        }
        let mark = Sequence::parse(&event.continuation_sequence_number);
        progress.at_end = mark.is_none();
        progress.mark = mark.filter(|mark| {
            // Until the record that was to come first has come, reading begins there.
            self.expect.is_none() && self.from.sequence().is_none_or(|last| mark >= last)
        });
        let page = self.page(records, sent, behind_ms, Holds { asked, room, turn });
        self.tell(News::Page(page)).await;
        if ended {
            self.tell(News::End(children)).await;
            return Round::Over;
        }
        Round::Again
    }

    /// A subscription that begins *at* a place may bring the record there again.
    fn leave_out_taken(&self, records: &mut Records) {
        let (Position::After(last), None) = (&self.from, &self.expect) else { return };
        let taken = |index: &usize| {
            records.get(*index).is_some_and(|record| !last.is_before(record.sequence))
        };
        let count = (0..records.len()).take_while(taken).count();
        records.skip(count);
    }

    /// The stream broke, or the service said an error on it.
    async fn broke(
        &mut self,
        consumer: &Consumer,
        failure: Result<Failure, InUse>,
        progress: &mut Progress,
    ) -> Round {
        let failure = match failure {
            Ok(failure) => failure,
            Err(InUse(failure)) => {
                progress.evictions += u64::from(progress.events > 0);
                if progress.events > 0 && progress.evictions.is_power_of_two() {
                    tracing::warn!(
                        shard = self.shard,
                        consumer = consumer.name(),
                        count = progress.evictions,
                        "another reader took the subscription over; each pipeline needs a \
                         consumer of its own"
                    );
                }
                failure
            }
        };
        // What is not found, the next subscription will tell.
        match failure.retryable || failure.code == Code::SourceNotFound {
            true => self.fails(failure, progress).await,
            false => self.failed(transient(failure)).await,
        }
    }
}

/// Another reader has the shard.
struct InUse(Failure);

/// What an error on the stream means.
fn said<R: std::fmt::Debug + 'static>(
    what: &str,
    consumer: &Consumer,
    error: &SdkError<SubscribeToShardEventStreamError, R>,
) -> Result<Failure, InUse> {
    match error.as_service_error().and_then(name_of) {
        Some(IN_USE) => Err(InUse(in_use(what, consumer))),
        Some(name) => {
            let message = error.message().unwrap_or_default();
            Ok(failure::from_code(what, name, message).1)
        }
        None => Ok(failure::from_sdk(what, error).1),
    }
}

/// Another subscription of the same consumer, for people.
fn in_use(what: &str, consumer: &Consumer) -> Failure {
    let text = format!(
        "{what}: consumer {} reads this shard already, or did so within 5 s; each pipeline needs a \
         consumer of its own",
        consumer.name()
    );
    Failure::new(Code::SourceUnavailable, text)
}

/// The SDK does not name errors that come as events.
fn name_of(error: &SubscribeToShardEventStreamError) -> Option<&'static str> {
    use SubscribeToShardEventStreamError as E;
    Some(match error {
        E::ResourceInUseException(_) => IN_USE,
        E::ResourceNotFoundException(_) => "ResourceNotFoundException",
        E::KmsDisabledException(_) => "KMSDisabledException",
        E::KmsInvalidStateException(_) => "KMSInvalidStateException",
        E::KmsAccessDeniedException(_) => "KMSAccessDeniedException",
        E::KmsNotFoundException(_) => "KMSNotFoundException",
        E::KmsOptInRequired(_) => "KMSOptInRequired",
        E::KmsThrottlingException(_) => "KMSThrottlingException",
        E::InternalFailureException(_) => "InternalFailureException",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
