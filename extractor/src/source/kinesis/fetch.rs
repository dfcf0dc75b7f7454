//! Reads one shard: a task of the runtime that holds the iterator, paces itself and hands pages
//! over. It decides nothing about rows and offsets.
//!
//! ```text
//!          ┌──── page handed over ◄───────────────┐
//!          ▼                                      │
//!  wait for a turn ─► pace ─► room ─► iterator? ─► GetRecords ─► end: tell, stop
//!          ▲                              ▲            │
//!          │                              └─ expired ──┤  (from the last record taken)
//!          └────────── back off ◄─────────── throttled, 5xx, no answer
//! ```
//!
//! Bounds: two pages of a shard at a time (turns), all pages of all shards within one budget
//! (room), so that the channel to the source never fills up.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use protocol::{Code, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::{Budget, Room};
use super::client::Shared;
use super::clock::Moment;
use super::failure::{self, Kind};
use super::limit::Limit;
use super::pace::{ANSWER_BYTES_MAX, Pace, Size};
use super::position::{Position, Sequence};
use super::read::{Call, NoAnswer};
use super::records::Records;
use super::scan::Answer;
use super::shards::{self, Listing};
use super::spare::Spare;

/// Pages of one shard that were read and are not delivered yet: one is delivered while the next is
/// fetched.
pub(super) const TURNS: usize = 2;

/// How often a shard that says it has ended, although it is open, is asked again.
///
/// Why 10: the service contradicts itself for moments in the middle of a reshard.
const FALSE_ENDS_MAX: u32 = 10;

/// Empty pages at the end of the shard after which a record that was to come first has expired.
///
/// Why 3: one may come before the first record; they are asked for with growing pauses, and the
/// service sends such an event in 5 s.
const EMPTY_MAX: u32 = 3;

/// Iterators that can not be used, in a row, before it is told. Why 1: one may have expired while
/// nobody took pages.
const SILENT_ITERATORS: u32 = 1;

/// What a task tells the source.
#[derive(Debug)]
pub(super) enum News {
    /// Records, or the word that there are none.
    Page(Page),
    /// It does not work now, and is tried again.
    Trouble(Failure),
    /// The shard was read to its end; its children, as far as known.
    End(Listing),
    /// Records at the position have expired; the oldest that is left.
    Expired(Option<i64>),
    /// The service does not accept the position.
    Refused(Failure),
    /// The service does not know the shard.
    Vanished,
    /// It will not work.
    Broken(Failure),
}

/// A message with who sent it.
#[derive(Debug)]
pub(super) struct Told {
    /// The part.
    pub(super) part: usize,
    /// Which start of the part's task.
    pub(super) generation: u64,
    /// What.
    pub(super) news: News,
}

/// One answer of GetRecords.
#[derive(Debug)]
pub(super) struct Page {
    /// Its records, in order.
    pub(super) records: Records,
    /// How many the service sent, those before the start included.
    pub(super) sent: usize,
    /// How far the service says the page is from the end of the shard; nothing where that is unknown.
    pub(super) behind_ms: Option<i64>,
    /// When the record at the position arrived, where this page was the first one and had it.
    pub(super) anchor_ms: Option<i64>,
    /// When it was asked for. Pages may wait for long until somebody takes them.
    pub(super) asked: Moment,
    /// Gives back the room when the page is gone.
    pub(super) _room: Room,
    /// Gives back the turn when the page is gone.
    pub(super) _turn: OwnedSemaphorePermit,
}

/// One shard to read.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) budget: Budget,
    pub(super) spare: Spare,
    pub(super) turns: Arc<Semaphore>,
    pub(super) news: SyncSender<Told>,
    pub(super) part: usize,
    pub(super) generation: u64,
    pub(super) stream: String,
    pub(super) shard: String,
    /// Records of one answer at most.
    pub(super) limit: Limit,
    /// Time of a whole call at most.
    pub(super) timeout: Duration,
    pub(super) pace: Pace,
    /// Where the iterator is taken again.
    pub(super) from: Position,
    /// The record at the position, until it was met: it must still be there.
    pub(super) expect: Option<Sequence>,
    /// When that record arrived, until it is told.
    pub(super) anchor_ms: Option<i64>,
    /// Empty pages at the end of the shard in a row, while that record is to come.
    pub(super) empty: u32,
    /// Iterators in a row that could not be used.
    pub(super) useless: u32,
}

/// What a page holds beside what was answered.
pub(super) struct Holds {
    /// When it was asked for.
    pub(super) asked: Moment,
    /// Its room.
    pub(super) room: Room,
    /// Its turn.
    pub(super) turn: OwnedSemaphorePermit,
}

/// Why a call brought no page, although its iterator is good.
enum Missed {
    /// The answer had no room; bytes of its body.
    TooLarge(usize),
    /// Another iterator did not help.
    Iterator(News),
    /// Something else.
    News(News),
}

/// How one round ended.
pub(super) enum Round {
    Again,
    Over,
}

impl Fetch {
    /// Reads until the end of the shard, or until the source ends the task.
    pub(super) async fn run(mut self) {
        let mut iterator: Option<String> = None;
        let mut false_ends = 0;
        loop {
            let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return };
            tokio::time::sleep(self.pace.wait()).await;
            let room = self.budget.take(self.pace.expected_bytes()).await;
            let current = match iterator.take() {
                Some(iterator) => Ok(iterator),
                None => self.iterator().await,
            };
            let round = match current {
                Ok(current) => match self.records(&current, &room).await {
                    Ok((asked, answer)) => {
                        self.useless = 0;
                        iterator.clone_from(&answer.next);
                        let holds = Holds { asked, room, turn };
                        self.hand_over(answer, holds, &mut false_ends).await
                    }
                    Err(None) => Round::Again,
                    Err(Some(Missed::Iterator(news))) => {
                        drop((room, turn));
                        self.failed(news).await
                    }
                    Err(Some(Missed::TooLarge(body))) => {
                        iterator = Some(current);
                        let full = room.bytes() >= self.budget.most(ANSWER_BYTES_MAX);
                        drop((room, turn));
                        self.ask_for_less(body, full).await
                    }
                    Err(Some(Missed::News(news))) => {
                        drop((room, turn));
                        iterator = Some(current);
                        self.failed(news).await
                    }
                },
                Err(news) => {
                    drop((room, turn));
                    self.failed(news).await
                }
            };
            if matches!(round, Round::Over) {
                return;
            }
        }
    }

    /// Tells what a call that failed means, and plans the next one if there is one.
    pub(super) async fn failed(&mut self, news: News) -> Round {
        match news {
            News::Trouble(failure) => {
                self.pace.trouble(failure.code == Code::SourceThrottled);
                self.tell(News::Trouble(failure)).await;
                Round::Again
            }
            other => {
                self.tell(other).await;
                Round::Over
            }
        }
    }

    /// Passes an answer on.
    async fn hand_over(&mut self, answer: Answer, holds: Holds, false_ends: &mut u32) -> Round {
        let Holds { asked, mut room, turn } = holds;
        let Answer { mut records, next, behind_ms, children } = answer;
        let ended = next.is_none();
        if let Some(news) = self.meet_expected(&mut records, behind_ms, ended) {
            drop((room, turn));
            self.tell(news).await;
            return Round::Over;
        }
        let sent = records.len();
        let size = Size::of(&records);
        self.pace.answered(size, self.limit.now(), behind_ms.unwrap_or(0));
        if self.limit.answered(sent, size.memory, self.budget.most(ANSWER_BYTES_MAX)) {
            tracing::info!(shard = self.shard, limit = self.limit.now(), "answers fit again");
        }
        if let Position::AtTimestamp(ms) = self.from {
            leave_out_before(&mut records, ms);
        }
        room.shrink_to(size.memory);
        if let Some(last) = records.last_sequence() {
            self.from = Position::After(last);
        }
        let page = self.page(records, sent, behind_ms, Holds { asked, room, turn });
        self.tell(News::Page(page)).await;
        if !ended {
            *false_ends = 0;
            return Round::Again;
        }
        if !children.is_empty() {
            self.tell(News::End(children)).await;
            return Round::Over;
        }
        self.confirm_end(false_ends).await
    }

    /// Until the record at the position has come, nobody knows how far the end is.
    pub(super) fn page(
        &mut self,
        records: Records,
        sent: usize,
        behind_ms: Option<i64>,
        holds: Holds,
    ) -> Page {
        let Holds { asked, room, turn } = holds;
        let behind_ms = behind_ms.filter(|ms| self.expect.is_none() || *ms > 0);
        let anchor_ms = self.anchor_ms.take();
        Page { records, sent, behind_ms, anchor_ms, asked, _room: room, _turn: turn }
    }

    /// A position is the last record delivered, and reading begins *at* it: when another record
    /// comes first, or none although this is the end, the record has expired, and maybe others.
    pub(super) fn meet_expected(
        &mut self,
        records: &mut Records,
        behind_ms: Option<i64>,
        ended: bool,
    ) -> Option<News> {
        let expected = self.expect.as_ref()?;
        let Some(first) = records.get(0) else {
            self.empty = if behind_ms == Some(0) { self.empty.saturating_add(1) } else { 0 };
            return (ended || self.empty >= EMPTY_MAX).then_some(News::Expired(None));
        };
        if first.sequence == expected.as_str() {
            self.anchor_ms = first.arrival_ms;
            if self.from.is_past_first() {
                records.skip(1);
            }
            self.expect = None;
            return None;
        }
        Some(News::Expired(first.arrival_ms))
    }

    /// No iterator follows, and no children were told: true of some services, and false for moments
    /// of a reshard. The listing knows.
    pub(super) async fn confirm_end(&mut self, false_ends: &mut u32) -> Round {
        let listing = shards::list(&self.shared, &self.stream).await;
        let failure = match listing {
            Ok(listing) => {
                let closed = listing.get(&self.shard).is_none_or(|listed| listed.closed);
                if closed {
                    let ours = |listed: &shards::Listed| listed.parents.contains(&self.shard);
                    let children = listing.into_iter().filter(|(_, listed)| ours(listed)).collect();
                    self.tell(News::End(children)).await;
                    return Round::Over;
                }
                let text = format!(
                    "{}: the service gives no next iterator although the shard is open",
                    self.shard
                );
                *false_ends += 1;
                Failure::new(Code::SourceUnavailable, text)
            }
            Err(failure) => failure,
        };
        if *false_ends > FALSE_ENDS_MAX {
            self.tell(News::Broken(failure)).await;
            return Round::Over;
        }
        self.failed(transient(failure)).await
    }

    /// Takes an iterator at the place where reading goes on.
    async fn iterator(&mut self) -> Result<String, News> {
        use ShardIteratorType as Type;
        let call = self.shared.client().get_shard_iterator();
        let call = call.stream_name(&self.stream).set_stream_arn(self.shared.arn.clone());
        let call = call.shard_id(&self.shard);
        let call = match &self.from {
            Position::TrimHorizon => call.shard_iterator_type(Type::TrimHorizon),
            Position::AtTimestamp(ms) => {
                // A time in the future is refused; before it, there is nothing to skip.
                let ms = self.shared.clock.now_ms().map_or(*ms, |now| now.min(*ms));
                call.shard_iterator_type(Type::AtTimestamp).timestamp(DateTime::from_millis(ms))
            }
            Position::At(sequence) | Position::Inside(sequence, _) => call
                .shard_iterator_type(Type::AtSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            Position::After(sequence) | Position::End(Some(sequence)) => {
                let kind = match self.expect {
                    Some(_) => Type::AtSequenceNumber,
                    None => Type::AfterSequenceNumber,
                };
                call.shard_iterator_type(kind).starting_sequence_number(sequence.as_str())
            }
            Position::End(None) => return Err(News::End(Listing::new())),
        };
        let what = format!("take an iterator of {} of stream {}", self.shard, self.stream);
        match call.send().await {
            Ok(answer) => answer.shard_iterator.ok_or_else(|| {
                let text = format!("{what}: the answer is empty");
                News::Trouble(Failure::new(Code::SourceUnavailable, text))
            }),
            Err(error) => {
                let (kind, failure) = failure::from_sdk(&what, &error);
                Err(match (kind, &self.from) {
                    (
                        Kind::Refused,
                        Position::After(sequence)
                        | Position::At(sequence)
                        | Position::Inside(sequence, _),
                    ) => News::Refused(failure::foreign(&self.shard, sequence, &failure.message)),
                    _ if failure.code == Code::SourceNotFound => self.missing(failure).await,
                    _ => transient(failure),
                })
            }
        }
    }

    /// What is not there: the shard, or the stream?
    pub(super) async fn missing(&self, failure: Failure) -> News {
        match shards::list(&self.shared, &self.stream).await {
            Ok(listing) if listing.contains_key(&self.shard) => {
                News::Trouble(Failure::new(Code::SourceUnavailable, failure.message))
            }
            Ok(_) => News::Vanished,
            Err(failure) => transient(failure),
        }
    }

    /// Reads one page, and says when it was asked for. `Err(None)`: the iterator can not be used any
    /// more, take another one.
    async fn records(
        &mut self,
        iterator: &str,
        room: &Room,
    ) -> Result<(Moment, Answer), Option<Missed>> {
        self.pace.calls();
        let asked = self.shared.clock.moment();
        let what = format!("read {} of stream {}", self.shard, self.stream);
        let (limit, timeout) = (self.limit.now(), self.timeout);
        let spare = &self.spare;
        let call = Call { what: &what, iterator, limit, room, spare, timeout };
        match call.send(&self.shared).await {
            Ok(answer) => Ok((asked, answer)),
            Err(NoAnswer::TooLarge(body)) => Err(Some(Missed::TooLarge(body))),
            // Whether shard or stream is gone, or only the iterator: another iterator tells.
            Err(NoAnswer::Failed(kind, failure))
                if kind == Kind::IteratorExpired || failure.code == Code::SourceNotFound =>
            {
                tracing::debug!(shard = self.shard, "the iterator is no more; taking another");
                self.useless = self.useless.saturating_add(1);
                if self.useless > SILENT_ITERATORS {
                    let gone = failure.code == Code::SourceNotFound;
                    let news = if gone { self.missing(failure).await } else { transient(failure) };
                    return Err(Some(Missed::Iterator(news)));
                }
                self.pace.again();
                Err(None)
            }
            Err(NoAnswer::Failed(_, failure)) => Err(Some(Missed::News(transient(failure)))),
        }
    }

    /// The answer was larger than the room for it: the next call has all the room that one call may
    /// have, and when it had, asks for half as many records.
    async fn ask_for_less(&mut self, body: usize, had_all_room: bool) -> Round {
        self.pace.no_room(body);
        if !had_all_room {
            return Round::Again;
        }
        if self.limit.halve() {
            let limit = self.limit.now();
            tracing::warn!(shard = self.shard, limit, "the answer is too large");
            return Round::Again;
        }
        let text = format!(
            "{}: one record is larger than the memory for an answer; raise kinesis.memory.bytes",
            self.shard
        );
        self.failed(News::Broken(Failure::new(Code::BufferLimit, text))).await
    }

    /// The channel has room for every page that may exist; trouble can wait a moment.
    pub(super) async fn tell(&self, news: News) {
        const PAUSE: Duration = Duration::from_millis(5);
        let mut told = Told { part: self.part, generation: self.generation, news };
        while let Err(error) = self.news.try_send(told) {
            match error {
                TrySendError::Full(back) => told = back,
                TrySendError::Disconnected(_) => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Leaves out what arrived before the start, for services that begin earlier where nothing newer is
/// there yet. Whole seconds are compared, because some give no more.
pub(super) fn leave_out_before(records: &mut Records, start_ms: i64) {
    let second = |ms: i64| ms.div_euclid(1_000);
    let is_early = |ms: i64| second(ms) < second(start_ms);
    let early = |index: &usize| {
        let arrived = records.get(*index).and_then(|record| record.arrival_ms);
        arrived.is_some_and(is_early)
    };
    let count = (0..records.len()).take_while(early).count();
    records.skip(count);
}

/// What is tried again, and what is not.
pub(super) fn transient(failure: Failure) -> News {
    if failure.retryable { News::Trouble(failure) } else { News::Broken(failure) }
}

/// Takes an iterator and reads one record with it.
pub(super) async fn probe(shared: &Shared, stream: &str, shard: &str) -> Result<(), Failure> {
    let what = format!("read {shard} of stream {stream}");
    let kind = ShardIteratorType::TrimHorizon;
    let call = shared.client().get_shard_iterator().stream_name(stream).shard_id(shard);
    let call = call.set_stream_arn(shared.arn.clone());
    let answer = call.shard_iterator_type(kind).send().await;
    let answer = answer.map_err(|e| failure::from_sdk(&what, &e).1)?;
    let call = shared.client().get_records().set_shard_iterator(answer.shard_iterator).limit(1);
    let call = call.set_stream_arn(shared.arn.clone());
    call.send().await.map_err(|e| failure::from_sdk(&what, &e).1)?;
    Ok(())
}

/// What the last page of a part told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// How far it was from the end; nothing where that is unknown.
    pub(super) behind_ms: Option<i64>,
    /// How many records it had.
    pub(super) records: usize,
    /// When it was asked for.
    pub(super) asked: Moment,
}
