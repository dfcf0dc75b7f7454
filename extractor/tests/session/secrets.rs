//! What must never leave the process: canaries in every place that people or hosts can read.

use std::io::Read;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use protocol::message::*;
use serde_json::json;

use crate::driver::*;

const CANARIES: [&str; 3] = ["Canary/Cred+ential 1", "canary-in-config-2", "canary-after-update-3"];

/// All forms in which a canary could sing.
fn songs() -> Vec<String> {
    let mut songs = Vec::new();
    for canary in CANARIES {
        songs.push(canary.to_owned());
        songs.push(STANDARD.encode(canary).trim_end_matches('=').to_owned());
        songs.push(URL_SAFE_NO_PAD.encode(canary));
        songs.push(canary.replace('/', "%2F").replace('+', "%2B").replace(' ', "%20"));
    }
    songs
}

fn silent(where_: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for song in songs() {
        assert!(!text.contains(&song), "{song:?} is in {where_}: {text}");
    }
}

#[test]
fn canaries_are_in_no_frame_no_argument_no_environment_and_no_stderr() {
    let mut host = Host::spawn_with(&["--dumpable", "--log-level", "trace"], Stdio::piped());
    host.transcript = Some(Vec::new());
    let pid = host.pid();
    host.greet();
    let config = json!({"test.rows": 5, "sasl.password": CANARIES[1], "test.topic": "t"});
    let credentials = json!({"aws.secret": CANARIES[0]});
    let done = host.configure_with(config, credentials, Settings::default());
    assert_eq!(done.effective["sasl.password"], "***");
    assert_eq!(done.effective["aws.secret"], "***");
    assert!(done.unknown_config.iter().any(|unknown| unknown.key == "sasl.password"));
    host.discover();
    let update = Update {
        credentials: Some(object(json!({"aws.secret": CANARIES[2]}))),
        log_level: Some("trace".into()),
    };
    let sent = host.session.update(&update).unwrap();
    host.send(&sent);
    assert!(
        matches!(host.event(), protocol::session::host::Event::Updated(done) if done.applied.len() == 2)
    );
    host.assign(&[(key("p0"), row_value(0))]);
    host.extract(&credit(5));
    for file in ["cmdline", "environ"] {
        silent(file, &std::fs::read(format!("/proc/{pid}/{file}")).unwrap());
    }
    host.send_stop(StopMode::Drain);
    while host.frame().is_some() {}
    host.wait();
    silent("frames", host.transcript.as_deref().unwrap());
    let mut stderr = Vec::new();
    host.process.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    silent("stderr", &stderr);
}

#[test]
fn canaries_are_in_no_error_that_quotes_what_is_wrong() {
    // The offending value is itself the secret, under a key that looks harmless.
    let cases = [
        (json!({"test.rows": CANARIES[0]}), json!({"a": CANARIES[0]})),
        (json!({"connector.class": CANARIES[1]}), json!({"a": CANARIES[1]})),
        (json!({}), json!({"test.rows": CANARIES[2]})),
    ];
    for (config, credentials) in cases {
        let mut host = Host::spawn_with(&[], Stdio::piped());
        host.greet();
        host.transcript = Some(Vec::new());
        host.send_configure(config, credentials, Settings::default());
        host.raw_failure();
        while host.frame().is_some() {}
        assert_eq!(host.wait().code(), Some(78));
        silent("ERROR", host.transcript.as_deref().unwrap());
        let mut stderr = Vec::new();
        host.process.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        assert!(!stderr.is_empty(), "a person is told as well");
        silent("stderr", &stderr);
    }
}

#[test]
fn logs_reach_the_host_as_frames_and_their_level_can_change() {
    let mut host = Host::ready(json!({"test.rows": 5}));
    host.extract(&credit(5));
    assert!(host.logs.iter().any(|log| log.level == "info"), "{:?}", host.logs);
    assert!(host.logs.iter().all(|log| log.level != "debug"), "{:?}", host.logs);
    let update = Update { credentials: None, log_level: Some("debug".into()) };
    let sent = host.session.update(&update).unwrap();
    host.send(&sent);
    host.event();
    let sent = host.session.commit(Commit { batch: 1 }).unwrap();
    host.send(&sent);
    host.extract(&Extract { max_interval_ms: 50, ..credit(5) });
    assert!(host.logs.iter().any(|log| log.level == "debug"), "{:?}", host.logs);
}
