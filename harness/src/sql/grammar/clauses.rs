//! The clauses that tune a pipeline, as CREATE and ALTER have them, and documented ones that have no meaning here.
//!
//! Pure.

use winnow::Parser;
use winnow::combinator::{alt, preceded};

use super::{Input, Parsed, json, name, number_of, refuse, switch, unsupported, word, words};
use crate::sql::statement::{Clauses, RetryOptions};

/// Longest pause of RETRY_OPTIONS, milliseconds. Why a day: longer is no retry any more.
const RETRY_INTERVAL_MS_MAX: u64 = 86_400_000;

/// Most retries of RETRY_OPTIONS. Why a million: as many as `retry.attempts` of a pipeline file.
const RETRIES_MAX: u64 = 1_000_000;

/// One of the clauses that tune a pipeline.
pub(super) fn clause(input: &mut Input<'_, '_>) -> Parsed<Clauses> {
    let none = Clauses::default;
    alt((
        preceded(word("BATCH_INTERVAL"), number_of("batch.interval.ms"))
            .map(|ms| Clauses { batch_interval: Some(ms), ..none() }),
        preceded(word("MAX_PARTITIONS_PER_BATCH"), number_of("tasks.max"))
            .map(|n| Clauses { max_partitions_per_batch: Some(n), ..none() }),
        preceded(word("MAX_RETRIES_PER_BATCH_PARTITION"), number_of("retry.attempts"))
            .map(|n| Clauses { max_retries_per_batch_partition: Some(n), ..none() }),
        preceded(word("MAX_OFFSETS_PER_BATCH_PARTITION"), number_of("batch.rows"))
            .map(|n| Clauses { max_offsets_per_batch_partition: Some(n), ..none() }),
        preceded(words(&["RESOURCE", "POOL"]), name)
            .map(|pool| Clauses { resource_pool: Some(pool), ..none() }),
        preceded(word("RETRY_OPTIONS"), retry_options)
            .map(|options| Clauses { retry_options: Some(options), ..none() }),
        preceded(word("SKIP"), skip).map(|()| Clauses { skip_parser_errors: true, ..none() }),
        preceded(word("STOP_ON_ERROR"), switch)
            .map(|flag| Clauses { stop_on_error: Some(flag), ..none() }),
        out_of_order.map(|()| none()),
    ))
    .parse_next(input)
}

/// `(ENABLE|DISABLE) OUT_OF_ORDER OPTIMIZATION`: the rows of a split are loaded in its order in any case.
pub(super) fn out_of_order(input: &mut Input<'_, '_>) -> Parsed<()> {
    alt((word("ENABLE"), word("DISABLE"))).parse_next(input)?;
    words(&["OUT_OF_ORDER", "OPTIMIZATION"]).parse_next(input)
}

/// `PARSER ERRORS`, behind SKIP.
fn skip(input: &mut Input<'_, '_>) -> Parsed<()> {
    const INSTEAD: &str = "; SKIP PARSER ERRORS puts records that cannot be decoded into the errors table, and \
         rows that the database refuses";
    alt((
        word("PARSER").void(),
        unsupported(&[("ALL", INSTEAD), ("CONSTRAINT", INSTEAD), ("DUPLICATE", INSTEAD)]),
    ))
    .parse_next(input)?;
    word("ERRORS").void().parse_next(input)
}

fn retry_options(input: &mut Input<'_, '_>) -> Parsed<RetryOptions> {
    const EXPECTED: &str = "expected a JSON object with exponential (true or false) and retry_interval, \
         max_retry_interval (milliseconds) and max_retries (whole numbers)";
    let json = json(input)?;
    let read = protocol::json::parse(json.text.as_bytes()).ok();
    let read = read.filter(serde_json::Value::is_object);
    let read: Option<RetryOptions> = read.and_then(|value| serde_json::from_value(value).ok());
    let Some(options) = read else { return refuse(input, json.at, EXPECTED.to_owned()) };
    let pauses = [options.retry_interval, options.max_retry_interval];
    let is_long = |ms: &u64| *ms > RETRY_INTERVAL_MS_MAX;
    if pauses.iter().flatten().any(is_long) || options.max_retries > Some(RETRIES_MAX) {
        let message = format!(
            "expected intervals up to {RETRY_INTERVAL_MS_MAX} ms and max_retries up to {RETRIES_MAX}"
        );
        return refuse(input, json.at, message);
    }
    if let (Some(first), Some(longest)) = (options.retry_interval, options.max_retry_interval)
        && first > longest
    {
        let message = "max_retry_interval is less than retry_interval".to_owned();
        return refuse(input, json.at, message);
    }
    Ok(options)
}

/// Documented clauses that have no meaning for a table of topic, id and record.
pub(super) fn unsupported_clause(input: &mut Input<'_, '_>) -> Parsed<()> {
    const STATIC: &str = "; rows go to the columns topic, id and record";
    const SKIP: &str =
        "; SKIP PARSER ERRORS puts records that cannot be decoded into the errors table";
    unsupported(&[
        ("IGNORE", SKIP),
        ("REPLACE", STATIC),
        ("WITH", "; there are no transforms"),
        ("SCHEMA", STATIC),
        ("SET", STATIC),
        ("WHERE", STATIC),
        ("ON", STATIC),
        ("(", STATIC),
    ])
    .parse_next(input)
}
