//! How far each shard is behind, as the service says it (`MillisBehindLatest`), in one line from
//! time to time. Pure but for the clock.

use std::time::{Duration, Instant};

/// How often it is told. Why 30 s: often enough to watch a stream catch up, and two lines a minute.
const INTERVAL: Duration = Duration::from_secs(30);

/// Shards that one line names, the farthest first. Why 40: with their ids it stays below 2 KB.
const SHARDS_MAX: usize = 40;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct LagLog {
    told: Option<Instant>,
}

impl LagLog {
    /// The line, when it is time for one. A shard that was not read yet has no lag.
    pub(super) fn line<'a>(
        &mut self,
        shards: impl Iterator<Item = (&'a str, Option<u64>)>,
    ) -> Option<String> {
        if self.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return None;
        }
        let line = line(shards.collect())?;
        self.told = Some(Instant::now());
        Some(line)
    }
}

fn line(mut shards: Vec<(&str, Option<u64>)>) -> Option<String> {
    let count = shards.len();
    let unread = shards.iter().filter(|(_, lag)| lag.is_none()).count();
    shards.retain(|(_, lag)| lag.is_some());
    let worst = shards.iter().filter_map(|(_, lag)| *lag).max()?;
    shards.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let unread = if unread > 0 { format!(", {unread} not read yet") } else { String::new() };
    let named = shards.iter().take(SHARDS_MAX);
    let named: Vec<_> =
        named.map(|(id, lag)| format!("{id} {}", lag.unwrap_or_default())).collect();
    let more = shards.len().saturating_sub(SHARDS_MAX);
    let more = if more > 0 { format!(", and {more} shards less") } else { String::new() };
    let named = named.join(", ");
    Some(format!("{count} shards, {worst} ms behind at most{unread}: {named}{more}"))
}

#[cfg(test)]
mod tests;
