//! Partitions whose place was lost: records gone before they were read, an offset past the end, a
//! damaged batch. The source decides here, with numbers; it asks brokers and delivers nothing.

use std::time::Duration;

use protocol::{Code, Failure};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{At, Client, ask};
use super::failure;
use super::fetcher::Fetcher;
use super::offsets::is_away;
use super::part::Part;
use super::position::Place;
use super::settings::OnGap;
use super::{ASK_TIMEOUT, Kafka};
use crate::source::Cancel;

/// How long a question may hold up the reading of the other partitions; it is asked again.
const LOST_TIMEOUT: Duration = Duration::from_secs(2);

impl<F: Fetcher> Kafka<F> {
    /// The oldest offset and the end of one partition.
    pub(super) fn range(&self, place: &Place, limit: Duration) -> Result<(i64, i64), Failure> {
        let places = std::slice::from_ref(place);
        let one = |at| {
            let offsets = self.ask_offsets_within(limit, places, at, &Cancel::default())?;
            let none =
                || failure::from_code(&self.client, &place.to_string(), RDKafkaErrorCode::Fail);
            offsets.first().copied().flatten().ok_or_else(none)
        };
        Ok((one(At::Earliest)?, one(At::Latest)?))
    }

    /// Refuses positions before the oldest record, all in one round. A partition that has no leader
    /// now holds up nobody: the broker refuses its first fetch, and [`Self::find_lost`] decides.
    pub(super) fn check_range(&self, parts: &[Part], cancel: &Cancel) -> Result<(), Failure> {
        if self.settings.on_gap != OnGap::Error {
            return Ok(());
        }
        let places: Vec<_> = parts.iter().map(|part| part.place.clone()).collect();
        let call = move |client: &Client, limit| client.list_each(&places, At::Earliest, limit);
        let lows = match ask(&self.client, cancel, ASK_TIMEOUT, call)? {
            Err(RDKafkaErrorCode::OperationTimedOut) => {
                tracing::info!("not all leaders tell their oldest offsets; reading begins without");
                return Ok(());
            }
            lows => lows.map_err(|code| failure::from_code(&self.client, "list offsets", code))?,
        };
        for (index, (part, low)) in parts.iter().zip(lows).enumerate() {
            let low = match low {
                // It is known to be there: the topics were described a moment before.
                Err(code) if is_away(code) || code == RDKafkaErrorCode::UnknownPartition => {
                    tracing::info!(place = %part.place, ?code, "its leader is away");
                    continue;
                }
                low => low.map_err(|code| {
                    failure::from_code(&self.client, &part.place.to_string(), code)
                })?,
            };
            let (low, position) = (low.unwrap_or(0), part.position());
            if position.offset < low {
                let high = self.range(&part.place, ASK_TIMEOUT)?.1;
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                let failure = failure::before_start(&part.place, position, low, high);
                return Err(failure.at(number, position.to_value().ok()));
            }
        }
        Ok(())
    }

    /// Looks at partitions whose fetcher gave up: gone records, an offset past the end, damage.
    pub(super) fn find_lost(&mut self) -> Result<(), Failure> {
        for index in 0..self.reader.parts.len() {
            let Some(part) = self.reader.parts.get(index) else { break };
            let Some(damage) = part.lost() else { continue };
            let (place, position, damage) = (part.place.clone(), part.position(), damage.cloned());
            if let Some(damage) = damage {
                self.restart(index, damage)?;
                continue;
            }
            let (low, high) = self.range(&place, LOST_TIMEOUT)?;
            let same_life = self.ids.contains_key(&place.topic);
            let jump = match self.settings.on_gap {
                OnGap::Error => None,
                OnGap::Earliest => Some(low),
                OnGap::Latest => Some(high),
            };
            let Some(part) = self.reader.parts.get_mut(index) else { break };
            if position.offset > high {
                part.fail(failure::after_end(&place, position, (low, high), same_life));
                self.reader.stop(index);
            } else if position.offset >= low {
                let text = format!(
                    "{place}: the broker refuses offset {} although it has it",
                    position.offset
                );
                self.restart(index, Failure::new(Code::SourceUnavailable, text))?;
            } else if let Some(to) = jump {
                tracing::warn!(
                    %place, from = position.offset, to, lost = low - position.offset,
                    "records expired before they were read; going on as auto.offset.reset says"
                );
                part.jump(to);
                self.reader.start_again(index)?;
            } else {
                part.fail(failure::before_start(&place, position, low, high));
                self.reader.stop(index);
            }
        }
        Ok(())
    }

    /// Fetches a partition anew at its position, or breaks it after too many attempts.
    pub(super) fn restart(&mut self, index: usize, failure: Failure) -> Result<(), Failure> {
        let again = self.reader.parts.get_mut(index).is_some_and(|part| part.restart(failure));
        if again {
            return self.reader.start_again(index);
        }
        self.reader.stop(index);
        Ok(())
    }

    /// The first partition that can not be read any more, as an error.
    pub(super) fn first_broken(&self) -> Result<(), Failure> {
        for (index, part) in self.reader.parts.iter().enumerate() {
            if let Some(failure) = part.broken() {
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                return Err(failure.clone().at(number, part.position().to_value().ok()));
            }
        }
        Ok(())
    }
}
