//! Asking the brokers for offsets of partitions, and waiting for leaders that are away. It reads no
//! record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use protocol::Failure;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{At, Client, Listed, ask};
use super::fetcher::Fetcher;
use super::position::Place;
use super::{ASK_TIMEOUT, Kafka, failure, pause};
use crate::source::Cancel;

/// How long leaders that are away are waited for. Why 5 s: an election takes less, and three
/// questions may follow each other within a host's own deadline of 30 s.
const LEADER_WAIT: Duration = Duration::from_secs(5);

/// Time between two looks for them.
const LEADER_LOOK: Duration = Duration::from_millis(500);

impl<F: Fetcher> Kafka<F> {
    /// Asks for one offset of every place. Leaders that are away are waited for.
    pub(super) fn ask_offsets(
        &self,
        places: &[Place],
        at: At,
        cancel: &Cancel,
    ) -> Result<Vec<Option<i64>>, Failure> {
        let started = Instant::now();
        loop {
            match self.ask_offsets_within(ASK_TIMEOUT, places, at, cancel) {
                Err(failure)
                    if failure::is_without_leader(&failure) && started.elapsed() < LEADER_WAIT =>
                {
                    pause(cancel, LEADER_LOOK)?;
                    self.refresh(places, cancel)?;
                }
                answer => return answer,
            }
        }
    }

    /// Has librdkafka learn who leads: it keeps to an answer that named no leader.
    fn refresh(&self, places: &[Place], cancel: &Cancel) -> Result<(), Failure> {
        let topics: BTreeSet<String> = places.iter().map(|place| place.topic.clone()).collect();
        let call = move |client: &Client, limit| {
            topics.iter().try_for_each(|topic| client.brokers(topic, limit).map(drop))
        };
        ask(&self.client, cancel, ASK_TIMEOUT, call)?
            .map_err(|code| failure::from_code(&self.client, "list brokers", code))
    }

    pub(super) fn ask_offsets_within(
        &self,
        limit: Duration,
        places: &[Place],
        at: At,
        cancel: &Cancel,
    ) -> Result<Vec<Option<i64>>, Failure> {
        let asked = places.to_vec();
        let call = move |client: &Client, limit| client.list_each(&asked, at, limit);
        let failed = |what: &str, code| failure::from_code(&self.client, what, code);
        let each = ask(&self.client, cancel, limit, call)?.map_err(|code| match code {
            // One of them moved, and which one is not told.
            RDKafkaErrorCode::NotLeaderForPartition => {
                failure::no_leader(&places.iter().collect::<Vec<_>>())
            }
            code => failed("list offsets", code),
        })?;
        let is_away = |listed: &Listed| *listed == Err(RDKafkaErrorCode::LeaderNotAvailable);
        let away = places.iter().zip(&each).filter(|(_, listed)| is_away(listed));
        let away: Vec<_> = away.map(|(place, _)| place).collect();
        if !away.is_empty() {
            return Err(failure::no_leader(&away));
        }
        let one = |(place, offset): (&Place, Listed)| {
            offset.map_err(|code| failed(&place.to_string(), code))
        };
        places.iter().zip(each).map(one).collect()
    }
}
