//! CONFIGURE, UPDATE and secrets (`SPEC.md` 4.2, 4.12, 11).

use protocol::message::{Extract, Settings};
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure};
use serde_json::{Value, json};

use super::core;
use super::shared::{hello_json, quick, raw_configured, refuses_on};
use crate::conformance::Check;
use crate::conformance::bench::{Bench, Start};
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Peer, credit, key, row_value};
use crate::conformance::proc;

/// Secrets that must be seen nowhere.
const CANARIES: [&str; 3] = ["Canary/Cred+ential 1", "canary-in-config-2", "canary-after-update-3"];

pub(super) const CHECKS: &[Check] = &[
    core(
        "C32",
        "bad_value_is_pointed_at",
        "4.2",
        "a value that cannot be used is a fatal CONFIG_INVALID whose `detail.pointer` names the key",
        bad_value_is_pointed_at,
    ),
    core(
        "C33",
        "unknown_class",
        "4.2",
        "a class that there is not is CONFIG_UNKNOWN_CLASS",
        unknown_class,
    )
    .bare(),
    core(
        "C34",
        "missing_class",
        "4.2",
        "a required key that is missing is CONFIG_MISSING whose `detail.pointer` names it",
        missing_class,
    )
    .bare(),
    core(
        "C35",
        "unknown_keys_reported",
        "4.2",
        "keys that the source does not know are listed in `unknown_config`, and are no error",
        unknown_keys_reported,
    ),
    core(
        "C36",
        "text_means_number",
        "4.2",
        "the text \"4\" means the number 4, and \"true\" means true",
        text_means_number,
    ),
    core(
        "C37",
        "no_secret_in_proc",
        "11.3",
        "no secret is in arguments or environment of the program or of what it starts",
        no_secret_in_proc,
    ),
    core(
        "C38",
        "no_secret_in_frames_and_stderr",
        "11.3",
        "no secret is in a frame or on stderr: as it is, in base64, URL-encoded",
        no_secret_in_frames_and_stderr,
    ),
    core(
        "C39",
        "no_secret_in_errors",
        "11.3",
        "an ERROR about a value does not quote it where it is a secret",
        no_secret_in_errors,
    ),
    core(
        "C41",
        "update_keeps_positions",
        "4.12, C",
        "UPDATE is answered with what was taken over, and no position is lost",
        update_keeps_positions,
    ),
    core(
        "C42",
        "configure_needs_its_flag",
        "7.2 X2",
        "CONFIGURE and UPDATE without the SENSITIVE flag are BAD_PAYLOAD",
        configure_needs_its_flag,
    ),
    core(
        "C43",
        "fields_of_the_wrong_type",
        "3, 7.2 X2",
        "a field of the wrong type, or a required one that is missing, is BAD_PAYLOAD",
        fields_of_the_wrong_type,
    ),
];

/// CONFIGURE with this config; the ERROR that is due.
fn refused(bench: &mut Bench, config: &Value, code: Code) -> Result<Failure, Fault> {
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &hello_json())?;
    peer.raw_answer(Kind::HelloOk)?;
    peer.raw(Kind::Configure, 0, &json!({ "config": config }))?;
    let due = format!("ERROR {code}, fatal");
    let failure = peer.raw_failure(&due)?;
    let is_right = failure.code == code && failure.fatal;
    demand(is_right, due, || format!("ERROR {failure}, fatal {}", failure.fatal))?;
    Ok(failure)
}

fn points_at(failure: &Failure, pointer: &str) -> Done {
    let seen = failure.detail.get("pointer").and_then(Value::as_str).unwrap_or("nothing");
    equal("detail.pointer", &seen, &pointer)
}

fn bad_value_is_pointed_at(bench: &mut Bench) -> Done {
    for (name, value) in [("test.rows", json!("many")), ("test.unicode", json!([true]))] {
        let config = json!({"connector.class": "test", name: value});
        let failure = refused(bench, &config, Code::ConfigInvalid)?;
        points_at(&failure, &format!("/config/{name}"))?;
        let is_line = !failure.message.contains('\n');
        demand(is_line, "a message of one line", || failure.message.clone())?;
    }
    Ok(())
}

fn unknown_class(bench: &mut Bench) -> Done {
    let config = json!({"connector.class": "no.such.Class"});
    refused(bench, &config, Code::ConfigUnknownClass).map(drop)
}

fn missing_class(bench: &mut Bench) -> Done {
    let failure = refused(bench, &json!({}), Code::ConfigMissing)?;
    points_at(&failure, "/config/connector.class")
}

fn unknown_keys_reported(bench: &mut Bench) -> Done {
    let done = bench.greeted()?.configure(json!({"test.rows": 4, "test.row": 4}))?;
    let keys: Vec<&str> = done.unknown_config.iter().map(|unknown| &*unknown.key).collect();
    equal("unknown_config", &keys, &vec!["test.row"])
}

fn text_means_number(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": "4", "test.close": "true"});
    let mut peer = bench.ready(config, &["p0"])?;
    let batch = peer.extract(&quick(10))?;
    let due = "4 rows and a closed split, as with 4 and true";
    demand(batch.to(0) == Some(r#"{"closed":true,"row":4}"#), due, || batch.line())
}

/// All forms in which a canary could sing.
fn songs() -> Vec<String> {
    let mut songs = Vec::new();
    for canary in CANARIES {
        songs.push(canary.to_owned());
        songs.push(base64(canary));
        songs.push(canary.replace('/', "%2F").replace('+', "%2B").replace(' ', "%20"));
    }
    songs
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)
}

fn silent(place: &str, bytes: &[u8]) -> Done {
    let text = String::from_utf8_lossy(bytes);
    match songs().iter().find(|song| text.contains(&***song)) {
        Some(song) => Err(miss(format!("no secret in {place}"), format!("{song:?}"))),
        None => Ok(()),
    }
}

/// A program that knows two secrets.
fn entrusted(bench: &mut Bench) -> Result<Peer, Fault> {
    let args = ["--dumpable", "--log-level", "trace"];
    let mut peer = bench.start_with(Start { args: &args, ..Start::default() })?;
    peer.seen.payloads = Some(Vec::new());
    peer.greet()?;
    let [first, second, _] = CANARIES;
    let config = json!({"test.rows": 5, "sasl.password": second});
    peer.configure_with(config, json!({"aws.secret": first}), Settings::default())?;
    Ok(peer)
}

fn no_secret_in_proc(bench: &mut Bench) -> Done {
    let mut peer = entrusted(bench)?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    peer.extract(&credit(5))?;
    for pid in proc::family(peer.process.id()) {
        for file in ["cmdline", "environ"] {
            silent(&format!("/proc/PID/{file}"), &proc::file(pid, file)?)?;
        }
    }
    Ok(())
}

fn no_secret_in_frames_and_stderr(bench: &mut Bench) -> Done {
    let mut peer = entrusted(bench)?;
    let [.., last] = CANARIES;
    peer.update(Some(json!({"aws.secret": last})), Some("trace"))?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    peer.extract(&credit(5))?;
    peer.send_stop(protocol::message::StopMode::Drain, 5_000)?;
    peer.rest()?;
    peer.ends_within(peer.patience, "an end after STOP")?;
    silent("frames", &peer.seen.payloads.take().unwrap_or_default())?;
    silent("stderr", &peer.process.stderr())
}

fn no_secret_in_errors(bench: &mut Bench) -> Done {
    let [first, second, _] = CANARIES;
    // The value that is wrong is itself the secret, under a key that looks harmless.
    for (config, credentials) in [
        (json!({"test.rows": first}), json!({"a": first})),
        (json!({"connector.class": second}), json!({"a": second})),
    ] {
        let mut peer = bench.greeted()?;
        peer.seen.payloads = Some(Vec::new());
        peer.send_configure(config, credentials, Settings::default())?;
        peer.raw_failure("ERROR of class config")?;
        peer.rest()?;
        peer.ends_within(peer.patience, "an end after a fatal ERROR")?;
        silent("the ERROR", &peer.seen.payloads.take().unwrap_or_default())?;
        silent("stderr", &peer.process.stderr())?;
    }
    Ok(())
}

fn update_keeps_positions(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 20}), &["p0"])?;
    peer.extract(&credit(7))?;
    let done = peer.update(Some(json!({"aws.secret": "not a real one"})), Some("warn"))?;
    let mut applied = done.applied;
    applied.sort();
    equal("applied", &applied, &vec!["credentials".to_owned(), "log_level".to_owned()])?;
    let batch = peer.extract(&Extract { max_interval_ms: 100, ..credit(100) })?;
    let first = batch.rows.first().map(|row| &*row.id);
    equal("the first row after UPDATE", &first, &Some(r#"{"gen":"p0","row":7}"#))
}

fn configure_needs_its_flag(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &hello_json())?;
    peer.raw_answer(Kind::HelloOk)?;
    let payload = br#"{"config":{"connector.class":"test"}}"#;
    let bytes = peer.frame_of(&Head::new(Kind::Configure, 0), payload);
    peer.write(&bytes)?;
    refuses_on(&mut peer, Code::BadPayload, "CONFIGURE without the flag")?;
    let mut peer = raw_configured(bench, &json!({}))?;
    let bytes = peer.frame_of(&Head::new(Kind::Update, 0), br#"{"log_level":"info"}"#);
    peer.write(&bytes)?;
    refuses_on(&mut peer, Code::BadPayload, "UPDATE without the flag").map(drop)
}

fn fields_of_the_wrong_type(bench: &mut Bench) -> Done {
    for (what, payload) in [
        ("keys that are no array", json!({"start": "earliest", "keys": {}})),
        ("a start that there is not", json!({"start": "soon", "keys": []})),
        ("no keys", json!({"start": "earliest"})),
    ] {
        let mut peer = raw_configured(bench, &json!({}))?;
        peer.raw(Kind::GetOffsets, 0, &payload)?;
        refuses_on(&mut peer, Code::BadPayload, &format!("GET_OFFSETS with {what}"))?;
    }
    Ok(())
}
