//! What happens when the service can not go on at an offset: by default an error with numbers, or
//! what `on.invalid.offset` says. Nothing else moves a part without delivering.

use protocol::Failure;

use super::KinesisSource;
use super::failure;
use super::fetch::News;
use super::part::Part;
use super::position::Position;
use super::settings::OnInvalid;
use super::shards::Summary;

impl KinesisSource {
    /// A pinned time older than what the stream keeps: records after it may have expired unread.
    /// (A part that is read and stays empty has its time moved on.)
    pub(super) fn check_age(
        &mut self,
        parts: &mut [Part],
        summary: &Summary,
    ) -> Result<(), Failure> {
        let Some(now) = self.service()?.shared().clock.now_ms() else { return Ok(()) };
        let oldest = now.saturating_sub(summary.retention_ms);
        for (number, part) in (0u32..).zip(parts) {
            let Position::AtTimestamp(ms) = part.position() else { continue };
            if *ms >= oldest || summary.retention_ms == 0 {
                continue;
            }
            let failure = failure::expired(&part.shard, part.position(), Some(oldest));
            let gap = Gap { from: part.last_place(), oldest_ms: Some(oldest) };
            match self.next_place(&part.shard, &gap, failure) {
                Ok(position) => part.move_to(position),
                Err(failure) => return Err(failure.at(number, Some(part.value()))),
            }
        }
        Ok(())
    }

    /// Goes on where the policy says, for parts whose task could not.
    pub(super) fn apply_policy(&mut self) -> Result<(), Failure> {
        for (index, news) in self.reader.take_stuck() {
            let Some(part) = self.reader.parts.get(index) else { continue };
            let shard = part.shard.clone();
            let mut gap = Gap { from: part.last_place(), oldest_ms: None };
            let (failure, gone) = match news {
                News::Expired(oldest) => {
                    gap.oldest_ms = oldest;
                    (failure::expired(&shard, part.position(), oldest), false)
                }
                News::Refused(failure) => (failure, false),
                News::Vanished => (failure::vanished(&shard, &part.key), true),
                News::Broken(failure) => {
                    self.reader.break_part(index, failure);
                    continue;
                }
                News::Page(_) | News::Trouble(_) | News::End(_) => continue,
            };
            match self.next_place(&shard, &gap, failure) {
                Ok(_) if gone => self.reader.end_part(index),
                Ok(position) => self.reader.go_on(index, position),
                Err(failure) => self.reader.break_part(index, failure),
            }
        }
        self.reader.first_broken()
    }

    /// Where a part goes on that can not go on where it stands. Who opted in is told what may be
    /// missing: from where to which time.
    fn next_place(
        &mut self,
        shard: &str,
        gap: &Gap,
        failure: Failure,
    ) -> Result<Position, Failure> {
        let (position, to) = match self.settings.on_invalid {
            OnInvalid::Error => return Err(failure),
            OnInvalid::Earliest => (Position::TrimHorizon, gap.oldest()),
            OnInvalid::Latest => match self.service()?.shared().clock.pin_ms() {
                Some(ms) => (Position::AtTimestamp(ms), format!("time {ms}")),
                None => return Err(failure),
            },
        };
        tracing::warn!(
            shard,
            to = %position.to_value(),
            "records may be missing from {} up to {to}; going on as on.invalid.offset says: {}",
            gap.from,
            failure.message
        );
        Ok(position)
    }
}

/// What may be missing where a part can not go on.
struct Gap {
    /// The last place that is known to be delivered.
    from: String,
    /// When the oldest record that is left arrived, if the service showed it.
    oldest_ms: Option<i64>,
}

impl Gap {
    fn oldest(&self) -> String {
        let time = self.oldest_ms.map_or_else(String::new, |ms| format!(", of time {ms}"));
        format!("the oldest record that is left{time}")
    }
}
