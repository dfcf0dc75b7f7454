//! The source's half: the extractor is started, configured and asked as a run would ask it.
//!
//! Invariant: where a failure lies is judged by its code, never by its text.

use protocol::message::{Configured, Discovered, Start};
use protocol::{Code, Failure, OffsetKey};
use serde_json::Value;

use super::asker::Asker;
use super::{Check, Stage, remedy, skip_rest};
use crate::exit::Exit;
use crate::link::Fault;
use crate::pipeline::unknown_key;
use crate::report::counted;
use crate::run::{Plan, RunError};

/// In the order in which a run meets them.
pub(crate) const STAGES: [Stage; 8] = [
    Stage::Extractor,
    Stage::Configuration,
    Stage::Address,
    Stage::Tls,
    Stage::Login,
    Stage::Permissions,
    Stage::Stream,
    Stage::Offsets,
];

/// Splits whose offsets are asked for, and splits that a line names. Why 1000: one question holds them.
const OFFSETS_ASKED_MAX: usize = 1000;
const KEYS_SHOWN: usize = 3;

/// A failure, and the stage that was reached.
type Ended = (Stage, Fault);

pub(super) fn examine(plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Err((stage, fault)) = ask(plan, &mut checks) {
        let stage = place(&fault, stage);
        told_by_failure(plan, &fault, stage, &mut checks);
        let failed =
            Check::failed(stage, exit_of(&fault), fault.to_string(), remedy::of(&fault, plan));
        checks.push(failed);
        let why = format!("{} failed", stage.name());
        skip_rest(&mut checks, &STAGES, &why);
    }
    checks.sort_by_key(|check| STAGES.iter().position(|stage| *stage == check.stage));
    checks
}

fn ask(plan: &Plan, checks: &mut Vec<Check>) -> Result<(), Ended> {
    let at = |stage: Stage| move |fault: Fault| (stage, fault);
    let mut asker = Asker::start(plan).map_err(|error| (Stage::Extractor, error.into()))?;
    let hello = asker.hello().map_err(at(Stage::Extractor))?;
    checks.push(Check::good(
        Stage::Extractor,
        format!(
            "{}, {} {}, protocol {}",
            plan.extractor.program.display(),
            hello.extractor.name,
            hello.extractor.version,
            hello.protocol
        ),
    ));
    let configured = asker.configure(plan).map_err(at(Stage::Configuration))?;
    checks.push(configuration(&configured)?);
    let probes = asker.check().map_err(at(Stage::Address))?;
    reached(plan, Stage::Stream, checks);
    let tried: Vec<&str> = probes.checks.iter().map(|line| line.name.as_str()).collect();
    let text = format!("{}; {}", tried.join(", "), remedy::needs(plan));
    checks.push(Check::good(Stage::Permissions, text));
    let discovered = asker.discover().map_err(at(Stage::Stream))?;
    checks.push(stream(&discovered));
    let keys: Vec<OffsetKey> =
        discovered.splits.iter().take(OFFSETS_ASKED_MAX).map(|it| it.key.clone()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    for start in [Start::Earliest, Start::Latest] {
        let answered = asker.offsets(start, keys.clone()).map_err(at(Stage::Offsets))?;
        if answered.len() != keys.len() {
            let text = format!("{} of {} offsets were answered", answered.len(), keys.len());
            return Err((Stage::Offsets, Fault::Protocol(text)));
        }
    }
    let splits = counted(keys.len() as u64, "split", "splits");
    let text = format!("the source tells the earliest and the latest of {splits}");
    checks.push(Check::good(Stage::Offsets, text));
    Ok(())
}

fn configuration(configured: &Configured) -> Result<Check, Ended> {
    if let Some(unknown) = configured.unknown_config.first() {
        let failure = Failure::new(Code::ConfigInvalid, unknown_key(unknown));
        return Err((Stage::Configuration, Fault::Failed(failure)));
    }
    let mut text = "every key is known".to_owned();
    for warning in &configured.warnings {
        text.push_str("; note: ");
        text.push_str(warning);
    }
    Ok(Check::good(Stage::Configuration, text))
}

fn stream(discovered: &Discovered) -> Check {
    let all = discovered.splits.len();
    if all == 0 {
        let text = "the source answers, and lists nothing to read";
        let remedy = "create the topic or stream, or correct its name";
        return Check::failed(Stage::Stream, Exit::Source, text, remedy);
    }
    let names: Vec<&str> =
        discovered.splits.iter().take(KEYS_SHOWN).map(|split| split.key.as_str()).collect();
    let more = if all > KEYS_SHOWN { ", …" } else { "" };
    let splits = counted(all as u64, "split", "splits");
    Check::good(Stage::Stream, format!("{splits}: {}{more}", names.join(", ")))
}

/// Where a failure lies; `asked`: what was being asked, which decides where the code does not.
fn place(fault: &Fault, asked: Stage) -> Stage {
    let Fault::Failed(failure) = fault else { return asked };
    match failure.code {
        Code::Dns | Code::SourceUnavailable | Code::SourceThrottled | Code::Timeout => {
            // One that was reached before has gone away since.
            if STAGES.iter().position(|it| *it == asked)
                > STAGES.iter().position(|it| *it == Stage::Permissions)
            {
                asked
            } else {
                Stage::Address
            }
        }
        Code::TlsHandshake => Stage::Tls,
        Code::AuthFailed | Code::CredentialsExpired => Stage::Login,
        Code::PermissionDenied => Stage::Permissions,
        Code::SourceNotFound | Code::SourceRecreated => Stage::Stream,
        Code::OffsetOutOfRange | Code::OffsetInvalid | Code::OffsetIncarnation => Stage::Offsets,
        Code::ConfigInvalid | Code::ConfigUnknownClass | Code::ConfigMissing => {
            Stage::Configuration
        }
        _ => asked,
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match fault {
        Fault::Spawn(_) => Exit::Config,
        Fault::Gone(_) | Fault::Protocol(_) => Exit::Protocol,
        Fault::Killed(_) => Exit::from(&RunError::Killed(String::new())),
        Fault::Failed(failure) => failure.class.into(),
    }
}

/// What a failure at `stage` shows to be in order.
fn told_by_failure(plan: &Plan, fault: &Fault, stage: Stage, checks: &mut Vec<Check>) {
    // Found after the source was asked: CONFIGURE's own answer is void then.
    checks.retain(|check| check.stage != stage);
    if !matches!(fault, Fault::Failed(_)) {
        return;
    }
    if stage == Stage::Login && !is_refused_by_source(plan) {
        let why = "the login failed before the source was asked";
        checks.push(Check::skipped(Stage::Address, why));
        checks.push(Check::skipped(Stage::Tls, why));
        return;
    }
    if stage == Stage::Stream {
        let text = format!("nothing is there to be read; {}", remedy::needs(plan));
        checks.push(Check::skipped(Stage::Permissions, text));
    }
    reached(plan, stage, checks);
}

/// The source answered so far: what lies before `stage` holds.
fn reached(plan: &Plan, stage: Stage, checks: &mut Vec<Check>) {
    let before = STAGES.iter().take_while(|it| **it != stage);
    for it in before {
        if checks.iter().any(|check| check.stage == *it) {
            continue;
        }
        match it {
            Stage::Address => checks.push(Check::good(*it, address(plan))),
            Stage::Tls => checks.push(Check::good(*it, tls(plan))),
            Stage::Login => checks.push(Check::good(*it, login(plan))),
            _ => {}
        }
    }
}

/// A value of CONFIG as text.
pub(super) fn config<'p>(plan: &'p Plan, key: &str) -> Option<&'p str> {
    plan.source.config.get(key).and_then(Value::as_str)
}

/// Whether the source reads Kinesis, by its class.
pub(super) fn is_kinesis(plan: &Plan) -> bool {
    config(plan, "connector.class").is_some_and(|it| it.to_ascii_lowercase().contains("kinesis"))
}

pub(super) fn is_kafka(plan: &Plan) -> bool {
    config(plan, "connector.class").is_some_and(|it| it.to_ascii_lowercase().contains("kafka"))
        && !is_kinesis(plan)
}

fn address(plan: &Plan) -> String {
    let answers = |what: &str, value: &str| format!("{what} {value} answers");
    if let Some(servers) = config(plan, "bootstrap.servers").filter(|_| is_kafka(plan)) {
        return answers("bootstrap.servers", servers);
    }
    match (config(plan, "kinesis.endpoint"), config(plan, "kinesis.region")) {
        (Some(endpoint), _) if is_kinesis(plan) => answers("kinesis.endpoint", endpoint),
        (None, Some(region)) if is_kinesis(plan) => answers("the service of", region),
        _ => "the source answers".to_owned(),
    }
}

fn tls(plan: &Plan) -> String {
    let protocol = config(plan, "security.protocol").unwrap_or("PLAINTEXT");
    let endpoint = config(plan, "kinesis.endpoint").unwrap_or("https:");
    let used = match (is_kafka(plan), is_kinesis(plan)) {
        (true, _) if protocol.to_ascii_uppercase().ends_with("SSL") => Ok(protocol),
        (true, _) => Err(format!("security.protocol is {protocol}")),
        (_, true) if endpoint.starts_with("https:") => Ok("https"),
        (_, true) => Err("kinesis.endpoint is http".to_owned()),
        _ => Err("this source has none".to_owned()),
    };
    match used {
        Ok(how) => format!("agreed on ({how})"),
        Err(why) => format!("not used: {why}"),
    }
}

fn login(plan: &Plan) -> String {
    let protocol = config(plan, "security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
    match is_kafka(plan) {
        true if protocol == "SSL" && config(plan, "ssl.certificate.location").is_none() => {
            "taken as the client certificate says, if there is one".to_owned()
        }
        true if !protocol.starts_with("SASL") => "none is asked for".to_owned(),
        _ => "accepted".to_owned(),
    }
}

/// Whether it is the source that refuses a login, and not a place where credentials come from before.
fn is_refused_by_source(plan: &Plan) -> bool {
    if is_kinesis(plan) {
        let has = |key: &str| {
            plan.source.config.contains_key(key) || plan.source.credentials.contains_key(key)
        };
        return has("aws.access.key.id") && !has("aws.role.arn");
    }
    let mechanism = config(plan, "sasl.mechanism").unwrap_or_default().to_ascii_uppercase();
    is_kafka(plan) && !mechanism.starts_with("OAUTH") && !mechanism.starts_with("AWS")
}
