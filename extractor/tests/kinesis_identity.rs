//! Who signs the requests of the Kinesis source: roles, web identities, containers, virtual
//! machines, profiles. STS, the metadata of machines and the credentials of containers are doubles
//! of ours: what AWS itself answers was not tried. Signatures are read and not verified.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/double.rs"]
mod double;
#[expect(dead_code, reason = "shared with the tests of sessions, of which this uses a part")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use extractor::config::Settings;
use extractor::source::kinesis::KinesisSettings;
use extractor::source::{Cancel, Source};
use protocol::Code;
use protocol::message::StopMode;
use serde_json::{Map, Value, json};

use canned::{Answer, CONSUMER, Canned, Event, event, page};
use double::{Double, Reply, Request};
use support::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

/// A time as STS and metadata services tell it.
fn time(from_now: u64) -> String {
    let time = DateTime::from(SystemTime::now() + Duration::from_secs(from_now));
    time.fmt(DateTimeFormat::DateTime).unwrap()
}

/// What STS answers to `action`: credentials with this key, good for so many seconds.
fn assumed(action: &str, key: &str, seconds: u64) -> Reply {
    let until = time(seconds);
    Reply::Body(
        200,
        format!(
            r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
            <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>sts-secret</SecretAccessKey>
            <SessionToken>token-of-{key}</SessionToken><Expiration>{until}</Expiration></Credentials>
            <AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId><Arn>{ROLE}</Arn></AssumedRoleUser>
            </{action}Result></{action}Response>"#
        ),
    )
}

/// What containers and machines get.
fn keys_json(key: &str) -> String {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": "s",
        "Token": format!("token-of-{key}"), "Expiration": time(3600),
        "LastUpdated": "2026-01-01T00:00:00Z",
    })
    .to_string()
}

/// The settings of the tests without their key pair, and with `extra`.
fn without_keys(server: &Canned, extra: &Value) -> Map<String, Value> {
    let mut config = config(&server.url, extra);
    config.remove("aws.access.key.id");
    config.remove("aws.secret.access.key");
    config
}

fn source(config: &Map<String, Value>) -> extractor::source::kinesis::KinesisSource {
    let given = Settings::from_maps(config, &Map::new()).unwrap();
    let settings = KinesisSettings::read(&given).unwrap();
    extractor::source::kinesis::KinesisSource::new(given, settings)
}

/// Everything that was asked of the service is signed with `key` and its token.
#[track_caller]
fn assert_signed_by(server: &Canned, key: &str) {
    let calls = server.calls("DescribeStreamSummary");
    assert!(!calls.is_empty());
    for call in calls {
        let wanted = format!("Credential={key}/");
        assert!(call.signed.contains(&wanted), "{}", call.signed);
        assert_eq!(call.token, format!("token-of-{key}"));
    }
}

#[test]
fn an_assumed_role_signs_and_is_told_what_its_account_wants_to_hear() {
    let sts = Double::start(|_| assumed("AssumeRole", "ASIAROLE", 3600));
    let server = Canned::start(|_, _| None);
    let mut source = open(
        &server.url,
        &json!({
            "aws.role.arn": ROLE,
            "aws.role.session.name": "team@reader", "aws.role.session.seconds": 900,
            "aws.sts.endpoint": sts.url, "aws.sts.region": "EU_WEST_1",
            "aws.role.external.id": "their:id/7",
        }),
    );
    source.check(&Cancel::default()).unwrap();
    source.discover(&Cancel::default()).unwrap();
    assert_signed_by(&server, "ASIAROLE");
    let asked = sts.requests();
    assert_eq!(asked.len(), 1, "an answer is good for its time");
    let field = |name: &str| asked[0].field(name).unwrap_or_default();
    assert_eq!(field("Action"), "AssumeRole");
    assert_eq!(field("RoleArn"), ROLE);
    assert_eq!(field("ExternalId"), "their:id/7");
    assert_eq!(field("RoleSessionName"), "team@reader");
    assert_eq!(field("DurationSeconds"), "900");
    let signed = asked[0].header("authorization");
    assert!(signed.contains("Credential=AKIDTEST/"), "{signed}");
    assert!(signed.contains("/eu-west-1/sts/aws4_request"), "{signed}");
}

/// The first answer is good for two seconds: the SDK asks again before it is over, and reading goes
/// on where it stood.
#[test]
fn a_role_is_assumed_again_before_its_credentials_are_over() {
    let mut number = 0;
    let sts = Double::start(move |_| {
        number += 1;
        assumed("AssumeRole", &format!("ASIAROLE{number}"), 2)
    });
    let mut pages = vec![page(&[1], 0), page(&[2], 0), page(&[3], 0)].into_iter();
    let server =
        Canned::start(
            move |operation, _| {
                if operation == "GetRecords" { pages.next().map(Answer::Ok) } else { None }
            },
        );
    let role = json!({"aws.role.arn": ROLE, "aws.sts.endpoint": sts.url});
    let mut source = open(&server.url, &role);
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 3).unwrap();
    assert_eq!(sink.payloads(), ["1", "2", "3"]);
    let signers: std::collections::BTreeSet<String> =
        server.calls("GetRecords").into_iter().map(|call| call.token).collect();
    assert!(signers.len() > 1, "{signers:?}");
}

#[test]
fn a_role_that_is_refused_is_an_error_of_access_and_an_ill_sts_is_not() {
    let server = Canned::start(|_, _| None);
    let failure = |sts: &Double, extra: Value| {
        let mut settings = json!({"aws.role.arn": ROLE, "aws.sts.endpoint": sts.url});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let mut source = open(&server.url, &settings);
        let started = Instant::now();
        let failure = source.check(&Cancel::default()).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
        assert!(!failure.message.contains("secret of tests"), "{failure}");
        assert!(!failure.message.contains('\n') && failure.message.len() < 900, "{failure}");
        failure
    };
    let error = |status, name: &'static str| {
        Double::start(move |_| {
            let text = format!(
                r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
                <Type>Sender</Type><Code>{name}</Code><Message>not for you</Message></Error>
                </ErrorResponse>"#
            );
            Reply::Body(status, text)
        })
    };
    let refused = failure(&error(403, "AccessDenied"), json!({}));
    assert_eq!(refused.code, Code::AuthFailed, "{refused}");
    assert!(refused.message.contains("aws.role.arn"), "{refused}");
    let ill = failure(&error(500, "InternalFailure"), json!({}));
    assert_eq!(ill.code, Code::SourceUnavailable, "{ill}");
    let silent = Double::start(|_| Reply::Silence);
    let silent = failure(&silent, json!({"kinesis.request.timeout.ms": 1500}));
    assert!(silent.retryable, "{silent}");
}

/// The token's file is read for each answer.
#[test]
fn a_web_identity_becomes_a_role_and_its_token_may_be_replaced() {
    let sts = Double::start(|request: &Request| {
        let token = request.field("WebIdentityToken").unwrap();
        assumed("AssumeRoleWithWebIdentity", &format!("ASIA{token}"), 2)
    });
    let server = Canned::start(|_, _| None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "FIRST\n").unwrap();
    let web = json!({
        "aws.web.identity.token.file": file, "aws.role.arn": ROLE, "aws.sts.endpoint": sts.url,
    });
    let mut source = source(&without_keys(&server, &web));
    source.check(&Cancel::default()).unwrap();
    assert_signed_by(&server, "ASIAFIRST");
    let asked = &sts.requests()[0];
    assert_eq!(asked.field("Action").unwrap(), "AssumeRoleWithWebIdentity");
    assert_eq!(asked.field("RoleArn").unwrap(), ROLE);
    assert_eq!(asked.header("authorization"), "", "nothing signs this question");
    std::fs::write(&file, "SECOND").unwrap();
    source.discover(&Cancel::default()).unwrap();
    let last = server.calls("DescribeStreamSummary").pop().unwrap();
    assert_eq!(last.token, "token-of-ASIASECOND");
    std::fs::remove_file(&file).unwrap();
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::AuthFailed, "{failure}");
    assert!(failure.message.contains("cannot read"), "{failure}");
}

#[test]
fn a_container_is_given_its_credentials() {
    let platform = Double::start(|request: &Request| {
        match (request.path.as_str(), request.header("authorization")) {
            ("/v2/credentials/id", "container token") => Reply::Body(200, keys_json("ASIABOX")),
            ("/ill", _) => Reply::Body(500, String::new()),
            _ => Reply::Body(404, "secret text of an error".to_owned()),
        }
    });
    let server = Canned::start(|_, _| None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "container token").unwrap();
    let settings = |path: &str| {
        let url = format!("{}{path}", platform.url);
        let box_ = json!({"aws.container.credentials.url": url, "aws.container.token.file": file});
        without_keys(&server, &box_)
    };
    source(&settings("/v2/credentials/id")).check(&Cancel::default()).unwrap();
    assert_signed_by(&server, "ASIABOX");
    let refused = source(&settings("/other")).check(&Cancel::default()).unwrap_err();
    assert_eq!(refused.code, Code::AuthFailed, "{refused}");
    assert!(refused.message.contains("answers 404"), "{refused}");
    assert!(!refused.message.contains("secret text"), "{refused}");
    let ill = source(&settings("/ill")).check(&Cancel::default()).unwrap_err();
    assert_eq!(ill.code, Code::SourceUnavailable, "{ill}");
}

/// The second version of the metadata service: nothing is told without its token.
#[test]
fn a_machine_is_given_its_credentials_by_the_second_version_of_its_metadata() {
    let metadata = Double::start(|request: &Request| {
        let with_token = request.header("x-aws-ec2-metadata-token") == "METATOKEN";
        let body = |text: &str| Reply::Body(200, text.to_owned());
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") => body("METATOKEN"),
            ("GET", "/latest/meta-data/iam/security-credentials/") if with_token => body("team"),
            ("GET", "/latest/meta-data/iam/security-credentials/team") if with_token => {
                body(&keys_json("ASIAVM"))
            }
            (_, path) if path.contains("extended") => Reply::Body(404, String::new()),
            _ => Reply::Body(401, String::new()),
        }
    });
    let server = Canned::start(|_, _| None);
    let vm = json!({"aws.instance.metadata.endpoint": metadata.url});
    source(&without_keys(&server, &vm)).check(&Cancel::default()).unwrap();
    assert_signed_by(&server, "ASIAVM");
    let asked = metadata.requests();
    assert_eq!(asked[0].method, "PUT");
    assert!(!asked[0].header("x-aws-ec2-metadata-token-ttl-seconds").is_empty());
}

/// Both kinds of AWS files are taken, and a role may be assumed with a profile.
#[test]
fn a_profile_of_a_named_file_signs() {
    let folder = tempfile::tempdir().unwrap();
    let sts = Double::start(|_| assumed("AssumeRole", "ASIAROLE", 3600));
    for (name, heading) in [("credentials", "[team]"), ("config", "[profile team]")] {
        let keys = "aws_access_key_id = AKIDFILE\naws_secret_access_key = s\n\
                    aws_session_token = token-of-AKIDFILE\n";
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{heading}\n{keys}")).unwrap();
        let server = Canned::start(|_, _| None);
        let profile = json!({"aws.profile": "team", "aws.profile.file": file});
        source(&without_keys(&server, &profile)).check(&Cancel::default()).unwrap();
        assert_signed_by(&server, "AKIDFILE");
        let absent = json!({"aws.profile": "absent", "aws.profile.file": file});
        let failure = source(&without_keys(&server, &absent)).check(&Cancel::default());
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, Code::ConfigInvalid, "{failure}");
        assert_eq!(failure.detail["pointer"], "/config/aws.profile");
        let place = file.to_str().unwrap();
        assert!(failure.message.contains("`absent` in ") && failure.message.contains(place));
        assert!(server.calls("DescribeStreamSummary").len() == 1, "nothing was signed");
        let mut absent_role = without_keys(&server, &absent);
        absent_role.insert("aws.role.arn".into(), json!(ROLE));
        absent_role.insert("aws.sts.endpoint".into(), json!(sts.url));
        let failure = source(&absent_role).check(&Cancel::default()).unwrap_err();
        assert_eq!(failure.code, Code::ConfigInvalid, "{failure}");

        let mut with_role = without_keys(&server, &profile);
        with_role.insert("aws.role.arn".into(), json!(ROLE));
        with_role.insert("aws.sts.endpoint".into(), json!(sts.url));
        let server = Canned::start(|_, _| None);
        with_role.insert("kinesis.endpoint".into(), json!(server.url));
        source(&with_role).check(&Cancel::default()).unwrap();
        assert_signed_by(&server, "ASIAROLE");
        assert_eq!(
            sts.requests().last().unwrap().header("x-amz-security-token"),
            "token-of-AKIDFILE"
        );
    }
}

/// UPDATE may name another role; the position stays.
#[test]
fn another_role_by_update_keeps_the_position() {
    let sts = Double::start(|request: &Request| {
        let arn = request.field("RoleArn").unwrap();
        assumed("AssumeRole", &format!("ASIA{}", arn.rsplit('/').next().unwrap()), 3600)
    });
    let mut pages = vec![page(&[1], 0), page(&[2], 0)].into_iter();
    let server =
        Canned::start(
            move |operation, _| {
                if operation == "GetRecords" { pages.next().map(Answer::Ok) } else { None }
            },
        );
    let given = json!({"aws.sts.endpoint": sts.url});
    let given = config(&server.url, &given);
    let role = |name: &str| {
        let arn = format!("arn:aws:iam::123456789012:role/{name}");
        json!({"aws.role.arn": arn}).as_object().unwrap().clone()
    };
    let given = Settings::from_maps(&given, &role("one")).unwrap();
    let settings = KinesisSettings::read(&given).unwrap();
    let mut source = extractor::source::kinesis::KinesisSource::new(given, settings);
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 1).unwrap();
    source.rotate(&role("two")).unwrap();
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 2).unwrap();
    assert_eq!(sink.payloads(), ["1", "2"]);
    assert_eq!(server.calls("GetRecords").last().unwrap().token, "token-of-ASIAtwo");
    assert_eq!(server.calls("GetShardIterator").len(), 1);
}

/// The program itself with these variables, at the level of logs that shows the most.
fn program(variables: &[(&str, &str)]) -> driver::Host {
    let mut command = driver::binary();
    command
        .args(["--log-level", "trace"])
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut host = driver::Host::of(command.spawn().unwrap());
    host.transcript = Some(Vec::new());
    let hello = protocol::message::Hello { log_level: "trace".into(), ..driver::hello() };
    let sent = host.session.hello(&hello).unwrap();
    host.send(&sent);
    host.event();
    host
}

/// Ends the program; nothing of `secrets` is in a frame or on standard error.
#[track_caller]
fn assert_shown_nowhere(mut host: driver::Host, secrets: &[&str]) {
    host.send_stop(StopMode::Drain);
    while host.frame().is_some() {}
    host.wait();
    let mut told = host.transcript.take().unwrap();
    host.process.stderr.take().unwrap().read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains(r#""target":"aws"#), "no logs of the SDK in {told}");
    for secret in secrets.iter().chain(&["Signature="]) {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
}

/// The SDK's chain by its own variables, in the program itself; and nothing of what it was given is
/// in a frame or on standard error, whatever the level of logs.
#[test]
fn the_chain_reads_the_environment_and_what_it_was_given_is_shown_nowhere() {
    let platform = Double::start(|_| Reply::Body(200, keys_json("ASIACHAIN")));
    let server = Canned::start(|_, _| None);
    let url = format!("{}/chain", platform.url);
    let mut host = program(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url), ("HOME", "/nowhere")]);
    let chain = json!({"aws.use.default.chain": true});
    host.configure(Value::Object(without_keys(&server, &chain)));
    assert_eq!(host.discover().splits.len(), 1);
    assert_signed_by(&server, "ASIACHAIN");
    assert_shown_nowhere(host, &["token-of-ASIACHAIN"]);
}

/// What the pipeline names, what STS answers and what a web identity is: good answers and refusals.
#[test]
fn what_sts_gives_and_is_given_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "WEBTOKEN").unwrap();
    let pair = json!({"aws.access.key.id": "AKIDPAIR", "aws.secret.access.key": "pair-secret"});
    let web = json!({"aws.web.identity.token.file": file});
    for (first, action) in [(pair, "AssumeRole"), (web, "AssumeRoleWithWebIdentity")] {
        for good in [true, false] {
            let sts = Double::start(move |_| match good {
                true => assumed(action, "ASIASTS", 3600),
                false => Reply::Body(403, "said by a refusal".to_owned()),
            });
            let server = Canned::start(|_, _| None);
            let role = json!({"aws.role.arn": ROLE, "aws.sts.endpoint": sts.url});
            let mut config = without_keys(&server, &role);
            config.extend(first.as_object().unwrap().clone());
            let mut host = program(&[]);
            host.configure(Value::Object(config));
            if good {
                assert_eq!(host.discover().splits.len(), 1);
                assert_signed_by(&server, "ASIASTS");
            } else {
                let sent = host.session.discover().unwrap();
                host.send(&sent);
                host.raw_failure();
            }
            assert!(!sts.requests().is_empty());
            let secrets =
                ["sts-secret", "token-of-ASIASTS", "WEBTOKEN", "pair-secret", "said by a refusal"];
            assert_shown_nowhere(host, &secrets);
        }
    }
}

/// The path of a container's address may be all that it takes to be given the credentials.
#[test]
fn the_address_and_the_answer_of_a_container_are_shown_nowhere() {
    for good in [true, false] {
        let platform = Double::start(move |_| match good {
            true => Reply::Body(200, keys_json("ASIABOX")),
            false => Reply::Body(404, "said by a refusal".to_owned()),
        });
        let server = Canned::start(|_, _| None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "BOXTOKEN").unwrap();
        let url = format!("{}/v2/credentials/0fa9-GUID", platform.url);
        let box_ = json!({"aws.container.credentials.url": url, "aws.container.token.file": file});
        let mut host = program(&[]);
        host.configure(Value::Object(without_keys(&server, &box_)));
        if good {
            assert_eq!(host.discover().splits.len(), 1);
            assert_signed_by(&server, "ASIABOX");
        } else {
            let sent = host.session.discover().unwrap();
            host.send(&sent);
            let failure = host.raw_failure();
            let place = platform.url.as_str();
            assert!(failure.message.contains(&format!("{place} answers 404")), "{failure}");
        }
        assert_eq!(platform.requests()[0].path, "/v2/credentials/0fa9-GUID");
        let secrets = ["0fa9-GUID", "token-of-ASIABOX", "BOXTOKEN", "said by a refusal"];
        assert_shown_nowhere(host, &secrets);
    }
}

/// A profile that is not there is an error: neither the keys of the environment nor what a container
/// or a machine would give sign instead of it.
#[test]
fn nobody_else_signs_for_a_profile_that_is_not_there() {
    let platform = Double::start(|_| Reply::Body(200, keys_json("ASIACHAIN")));
    let server = Canned::start(|_, _| None);
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join(".aws");
    std::fs::create_dir(&files).unwrap();
    let keys = "[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = s\n\
                aws_session_token = token-of-AKIDTEAM\n";
    std::fs::write(files.join("credentials"), keys).unwrap();
    let home = home.path().to_str().unwrap();
    let others = [
        ("AWS_ACCESS_KEY_ID", "AKIDENV"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_PROFILE", "team"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", platform.url.as_str()),
    ];
    let with_home = [others.as_slice(), &[("HOME", home)]].concat();
    let failure = |variables: &[(&str, &str)], extra: &Value| {
        let mut host = program(variables);
        host.configure(Value::Object(without_keys(&server, extra)));
        let sent = host.session.discover().unwrap();
        host.send(&sent);
        let failure = host.raw_failure();
        assert_eq!(failure.code, Code::ConfigInvalid, "{failure}");
        assert!(!failure.retryable, "{failure}");
        failure.message
    };
    let absent = json!({"aws.profile": "absent"});
    let said = failure(&with_home, &absent);
    for part in ["`absent`", &format!("{home}/.aws/credentials"), "correct aws.profile"] {
        assert!(said.contains(part), "{said}");
    }
    let said = failure(&others, &absent);
    assert!(said.contains("set aws.profile.file"), "{said}");
    let file = json!({"aws.profile": "team", "aws.profile.file": "/no/such/file"});
    let said = failure(&with_home, &file);
    assert!(said.contains("/no/such/file"), "{said}");
    assert!(server.calls("DescribeStreamSummary").is_empty(), "nothing was signed");
    assert!(platform.requests().is_empty());

    let mut host = program(&with_home);
    host.configure(Value::Object(without_keys(&server, &json!({"aws.profile": "team"}))));
    assert_eq!(host.discover().splits.len(), 1);
    assert_signed_by(&server, "AKIDTEAM");
}

/// Under enhanced fan-out as well. It says nothing of the consumer, so that no shard is polled instead, and
/// UPDATE cures it where reading stood.
#[test]
fn a_profile_that_is_not_there_is_told_and_the_consumer_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let keys = "[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = s\n\
                aws_session_token = token-of-AKIDTEAM\n";
    std::fs::write(&file, keys).unwrap();
    let profile = |name: &str| json!({"aws.profile": name}).as_object().unwrap().clone();
    // A second record comes once the profile is there again, behind the one that reading begins at.
    let cured = Arc::new(AtomicBool::new(false));
    let (is_cured, mut subscribed) = (Arc::clone(&cured), 0);
    let server = Canned::start(move |operation, _| {
        subscribed += u32::from(operation == "SubscribeToShard");
        let events = match subscribed {
            1 => vec![event(&[1], 1, 0), Event::Silence],
            _ if is_cured.load(Ordering::Relaxed) => vec![event(&[1, 2], 2, 0), Event::Silence],
            _ => vec![Event::Silence],
        };
        (operation == "SubscribeToShard").then_some(Answer::Events(events))
    });
    let fan_out = json!({
        "kinesis.read.mode": "efo", "kinesis.consumer.arn": CONSUMER,
        "kinesis.subscribe.interval.ms": 50, "kinesis.subscribe.silence.ms": 500,
        "aws.profile": "team", "aws.profile.file": file,
    });
    let mut source = source(&without_keys(&server, &fan_out));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    let mut read = |source: &mut _, payloads: &[&str]| {
        let more = |sink: &Sink, _| sink.rows.len() == payloads.len();
        // A silence that is told may pass.
        let failure = loop {
            match poll_until(source, &mut sink, more) {
                Err(failure) if failure.retryable => {}
                other => break other.err(),
            }
        };
        assert!(sink.payloads().iter().eq(payloads.iter().take(sink.rows.len())));
        failure
    };
    assert_eq!(read(&mut source, &["1"]), None);
    // What runs was signed; it is silent, and is taken again with what is there then.
    source.rotate(&profile("absent")).unwrap();
    let failure = read(&mut source, &["1", "2"]).unwrap();
    assert_eq!(failure.code, Code::ConfigInvalid, "{failure}");
    assert!(failure.message.contains("`absent`"), "{failure}");
    cured.store(true, Ordering::Relaxed);
    source.rotate(&profile("team")).unwrap();
    assert_eq!(read(&mut source, &["1", "2"]), None);
    assert!(server.calls("GetRecords").is_empty(), "no shard was polled");
    let signed = server.calls("SubscribeToShard");
    assert!(signed.len() >= 2 && signed.iter().all(|call| call.token == "token-of-AKIDTEAM"));
}
