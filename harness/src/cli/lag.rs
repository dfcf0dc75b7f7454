//! How far a pipeline and each of its splits are behind their source, for `harness status`. Touches
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::OffsetValue;
use serde_json::{Value, json};

use super::show::{as_json, time};
use crate::catalogue::{Behind, Split, SplitLag};
use crate::report::{Align, Table, count, duration};

/// Splits that are shown as a table. Why 40: a screen; JSON has all of them.
const SPLITS_SHOWN: usize = 40;

/// See the file.
#[derive(Debug)]
pub(super) struct PipelineLag {
    /// All splits of the pipeline.
    pub(super) splits: usize,
    /// Those whose lag nobody told yet.
    unknown: usize,
    /// The rest.
    told: Vec<SplitLag>,
    /// Records over all that told them, and the age of the oldest.
    behind: Behind,
}

impl PipelineLag {
    /// Of these splits and what was told of them. One that was read to its end is behind in nothing.
    pub(super) fn of(splits: &[Split], told: Vec<SplitLag>) -> Self {
        let told: BTreeMap<String, SplitLag> =
            told.into_iter().map(|lag| (lag.key.clone(), lag)).collect();
        let is_end =
            |split: &Split| OffsetValue::parse(&split.value).is_ok_and(|value| value.is_end());
        let (mut known, mut unknown, mut behind) = (Vec::new(), 0, Behind::default());
        for split in splits.iter().filter(|split| !is_end(split)) {
            let Some(lag) = told.get(&split.key) else {
                unknown += 1;
                continue;
            };
            let add = |sum: u64, rows: u64| sum.saturating_add(rows);
            behind.rows = merged(behind.rows, lag.behind.rows, add);
            behind.ms = merged(behind.ms, lag.behind.ms, u64::max);
            known.push(lag.clone());
        }
        if unknown == 0 && known.is_empty() && !splits.is_empty() {
            behind = Behind { rows: Some(0), ms: Some(0), latest: None };
        }
        known.sort_by(|a, b| {
            let far = |lag: &SplitLag| (lag.behind.ms, lag.behind.rows);
            far(b).cmp(&far(a)).then_with(|| a.key.cmp(&b.key))
        });
        Self { splits: splits.len(), unknown, told: known, behind }
    }

    /// The whole pipeline in a few words.
    pub(super) fn text(&self) -> String {
        match (words(self.behind), self.unknown) {
            (behind, 0) => behind,
            (_, unknown) if self.told.is_empty() => format!("{} unread", count(unknown as u64)),
            (behind, unknown) => format!("{behind}, {} unread", count(unknown as u64)),
        }
    }

    /// The same for machines, split by split.
    pub(super) fn json(&self) -> Value {
        let split = |lag: &SplitLag| {
            json!({
                "key": as_json(&lag.key), "rows": lag.behind.rows, "ms": lag.behind.ms,
                "told": time(lag.told_us)
            })
        };
        json!({
            "rows": self.behind.rows, "ms": self.behind.ms, "unread": self.unknown,
            "splits": self.told.iter().map(split).collect::<Vec<_>>()
        })
    }

    /// Each split, the farthest first; `None` where nothing was told.
    pub(super) fn table(&self, width: Option<usize>) -> Option<String> {
        if self.told.is_empty() {
            return None;
        }
        let mut table =
            Table::new(&[("split", Align::Left), ("behind", Align::Right), ("told", Align::Left)]);
        for lag in self.told.iter().take(SPLITS_SHOWN) {
            table.row([lag.key.clone(), words(lag.behind), time(lag.told_us)]);
        }
        let text = table.render(width);
        let more = count(self.told.len().saturating_sub(SPLITS_SHOWN) as u64);
        Some(match self.told.len() > SPLITS_SHOWN {
            true => format!("{text}\n{more} more that are less far behind; --json has all"),
            false => text,
        })
    }
}

fn merged(a: Option<u64>, b: Option<u64>, both: impl Fn(u64, u64) -> u64) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (one, other) => one.or(other),
    }
}

fn words(behind: Behind) -> String {
    let rows = behind.rows.map(|rows| format!("{} rows", count(rows)));
    let age = behind.ms.map(|ms| duration(Duration::from_millis(ms)));
    match (rows, age) {
        (Some(rows), Some(age)) => format!("{rows}, {age}"),
        (one, other) => one.or(other).unwrap_or_else(|| "-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(key: &str, value: &str) -> Split {
        let (key, value) = (key.to_owned(), value.to_owned());
        Split { key, value, rev: 1, epoch: 1, ordinal: 0, task_id: 0 }
    }

    fn told(key: &str, rows: Option<u64>, ms: Option<u64>) -> SplitLag {
        SplitLag {
            key: key.to_owned(),
            behind: Behind { rows, ms, latest: None },
            told_us: 1_000_000,
        }
    }

    #[test]
    fn a_pipeline_is_behind_as_all_its_splits() {
        let splits = [split("a", r#"{"row":1}"#), split("b", r#"{"row":1}"#)];
        let lag = PipelineLag::of(&splits, Vec::new());
        assert_eq!(lag.text(), "2 unread");
        let lag = PipelineLag::of(&splits, vec![told("a", Some(1_000), Some(2_500))]);
        assert_eq!(lag.text(), "1,000 rows, 2.5 s, 1 unread");
        let both = vec![told("a", Some(1_000), Some(2_500)), told("b", Some(5), Some(9_000))];
        let lag = PipelineLag::of(&splits, both);
        assert_eq!(lag.text(), "1,005 rows, 9.0 s");
        let json = lag.json();
        assert_eq!(
            (&json["rows"], &json["ms"], &json["unread"]),
            (&json!(1_005), &json!(9_000), &json!(0))
        );
        let keys = json["splits"].as_array().unwrap().iter().map(|it| it["key"].clone());
        assert_eq!(keys.collect::<Vec<_>>(), ["b", "a"], "the farthest first");
        assert_eq!(json["splits"][0]["told"], "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn what_the_source_can_not_tell_is_left_out_and_what_has_ended_is_behind_in_nothing() {
        let end = r#"{"sequenceNumber":"7","shardEnd":true}"#;
        let splits = [split("a", end), split("b", r#"{"sequenceNumber":"7"}"#)];
        let lags = vec![told("a", None, Some(70_000)), told("b", None, Some(0))];
        let lag = PipelineLag::of(&splits, lags.clone());
        assert_eq!((lag.splits, lag.text().as_str()), (2, "0.0 s"));
        let lag = PipelineLag::of(&splits[..1], lags);
        assert_eq!(lag.text(), "0 rows, 0.0 s");
        assert_eq!(PipelineLag::of(&[], Vec::new()).text(), "-");
    }
}
