//! The Kafka source against Apache Kafka's own broker with TLS, logins and an authorizer. With
//! `S2X_REAL=1`; otherwise each test says that it is skipped.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kafka_support/relay.rs"]
mod relay;
#[path = "kafka_support/secure.rs"]
mod secure;
#[path = "kafka_support/support.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use extractor::config::Settings;
use extractor::source::kafka::{KafkaSettings, KafkaSource};
use extractor::source::{Cancel, Polled, Source};
use protocol::{Code, Failure};
use serde_json::{Map, Value, json};
use xtask::kafka::Client;

use relay::relay;
use secure::{KEY_PASSWORD, PASSWORD, ROWS, Secure, TOPIC, TUNNEL};
use support::*;

/// Longest time after which a failure is told.
const TOLD_WITHIN: Duration = Duration::from_secs(12);

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn source(servers: &str, topic: &str, config: Value, secrets: Value) -> KafkaSource {
    let mut all = object(json!({
        "bootstrap.servers": servers,
        "topics": topic,
        // The name localhost may stand for ::1, where no broker listens.
        "properties.broker.address.family": "v4",
    }));
    all.extend(object(config));
    let settings = Settings::from_maps(&all, &object(secrets)).unwrap();
    let settings = KafkaSettings::read(&settings).unwrap();
    KafkaSource::open(settings, Duration::from_secs(2)).unwrap()
}

/// Reads the whole topic.
#[track_caller]
fn reads(mut source: KafkaSource) {
    source.check(&Cancel::default()).unwrap();
    assign(&mut source, &[(key(TOPIC, 0), at(0)), (key(TOPIC, 1), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), ROWS);
}

/// The failure is of the class, one line, in time, and holds no secret.
#[track_caller]
fn fails(mut source: KafkaSource, code: Code, message: &str) -> Failure {
    let started = Instant::now();
    let failure = source.check(&Cancel::default()).unwrap_err();
    let text = failure.to_string();
    assert!(started.elapsed() < TOLD_WITHIN, "{text} after {:?}", started.elapsed());
    assert_eq!(failure.code, code, "{text}");
    assert!(text.contains(message), "{text}");
    assert!(!text.contains('\n') && !text.contains("s3cr3t"), "{text}");
    failure
}

fn tls(secure: &Secure) -> Value {
    json!({
        "security.protocol": "SSL",
        "ssl.ca.pem": secure.text("ca.crt"),
        "ssl.certificate.pem": secure.text("alice.chain.crt"),
        "ssl.key.pem": secure.text("alice.key"),
    })
}

fn with(config: Value, key: &str, value: impl Into<Value>) -> Value {
    let mut config = object(config);
    config.insert(key.to_owned(), value.into());
    Value::Object(config)
}

fn without(config: &Value, prefix: &str) -> Value {
    let mut config = object(config.clone());
    config.retain(|key, _| !key.starts_with(prefix));
    Value::Object(config)
}

fn login(protocol: &str, mechanism: &str) -> Value {
    json!({"security.protocol": protocol, "sasl.mechanism": mechanism, "sasl.username": "alice"})
}

fn password(text: &str) -> Value {
    json!({"sasl.password": text})
}

#[test]
fn z31_tls_with_a_client_certificate_as_text_and_as_files() {
    let Some(secure) = Secure::get("z31") else { return };
    let server = format!("localhost:{}", secure.ssl);
    reads(source(&server, TOPIC, tls(&secure), json!({})));
    let files = json!({
        "security.protocol": "SSL",
        "ssl.ca.location": secure.path("both.crt"),
        "ssl.certificate.location": secure.path("alice.chain.crt"),
        "ssl.key.location": secure.path("alice.locked.key"),
    });
    reads(source(&server, TOPIC, files, json!({"ssl.key.password": KEY_PASSWORD})));
    let bundle = with(tls(&secure), "ssl.ca.pem", secure.text("both.crt"));
    let locked = with(bundle, "ssl.key.pem", secure.text("alice.locked.key"));
    reads(source(&server, TOPIC, locked, json!({"ssl.key.password": KEY_PASSWORD})));
}

#[test]
fn z31_each_fault_of_tls_is_told_apart() {
    let Some(secure) = Secure::get("z31-faults") else { return };
    let server = format!("localhost:{}", secure.ssl);
    let other = with(tls(&secure), "ssl.ca.pem", secure.text("other.crt"));
    let what = "not signed by an authority that is trusted; set ssl.ca.pem";
    fails(source(&server, TOPIC, other, json!({})), Code::TlsHandshake, what);
    let by_number = format!("127.0.0.1:{}", secure.ssl);
    let what = "the broker's certificate is for another name; use the name it has";
    fails(source(&by_number, TOPIC, tls(&secure), json!({})), Code::TlsHandshake, what);
    let unchecked = with(tls(&secure), "ssl.endpoint.identification.algorithm", "none");
    reads(source(&by_number, TOPIC, unchecked, json!({})));
    let bare = without(&without(&tls(&secure), "ssl.key"), "ssl.certificate");
    let what = "the broker wants a client certificate; set ssl.certificate.pem";
    fails(source(&server, TOPIC, bare, json!({})), Code::TlsHandshake, what);
    let mallory = with(tls(&secure), "ssl.certificate.pem", secure.text("mallory.crt"));
    let mallory = with(mallory, "ssl.key.pem", secure.text("mallory.key"));
    let what = "the broker refuses the client certificate";
    fails(source(&server, TOPIC, mallory, json!({})), Code::TlsHandshake, what);
}

/// Over TLS the name that is compared is the one by which the client knows the broker (that in
/// `bootstrap.servers`, then the advertised one), wherever `spoof.dns` sends the connection; and what
/// is wrong with a certificate is found out where the connection goes.
#[test]
fn z31_behind_a_tunnel_the_name_of_the_broker_counts() {
    let Some(secure) = Secure::get("z31-tunnel") else { return };
    let to = format!("127.0.0.1:{}", secure.tunnel);
    let tls = |ca: &str| json!({"security.protocol": "SSL", "ssl.ca.pem": secure.text(ca)});
    fails(source(TUNNEL, TOPIC, tls("ca.crt"), json!({})), Code::Dns, "broker.invalid");
    // 127.0.0.1 is not in the certificate, and need not be.
    let known = json!({TUNNEL: to});
    reads(source(TUNNEL, TOPIC, with(tls("ca.crt"), "spoof.dns", known.clone()), json!({})));
    let other = with(tls("other.crt"), "spoof.dns", known);
    let what = "broker broker.invalid:19093: the broker's certificate is not signed by an authority \
                that is trusted; set ssl.ca.pem";
    fails(source(TUNNEL, TOPIC, other, json!({})), Code::TlsHandshake, what);
    // A bootstrap name that the certificate does not have is refused, although the port is the same.
    let alias = "alias.invalid:19093";
    let both = with(tls("ca.crt"), "spoof.dns", json!({TUNNEL: to, alias: to}));
    let what = "broker alias.invalid:19093: the broker's certificate is for another name; use the";
    fails(source(alias, TOPIC, both.clone(), json!({})), Code::TlsHandshake, what);
    let unchecked = with(both, "ssl.endpoint.identification.algorithm", "none");
    reads(source(alias, TOPIC, unchecked, json!({})));
}

#[test]
fn z31_a_port_that_speaks_something_else_is_told() {
    let Some(secure) = Secure::get("z31-ports") else { return };
    let what = "the port probably speaks TLS; set security.protocol to SSL";
    let server = format!("localhost:{}", secure.ssl);
    fails(source(&server, TOPIC, json!({}), json!({})), Code::TlsHandshake, what);
    let what = "the port does not speak TLS; set security.protocol to PLAINTEXT";
    fails(source(&secure.open, TOPIC, tls(&secure), json!({})), Code::TlsHandshake, what);
    let server = format!("127.0.0.1:{}", secure.plain);
    let what = "it probably wants a login; set security.protocol";
    fails(source(&server, TOPIC, json!({}), json!({})), Code::SourceUnavailable, what);
}

#[test]
fn z31_a_key_that_cannot_be_used_is_told_without_it() {
    let Some(secure) = Secure::get("z31-key") else { return };
    for secrets in [json!({}), json!({"ssl.key.password": "s3cr3t-wrong"})] {
        let locked = with(tls(&secure), "ssl.key.pem", secure.text("alice.locked.key"));
        let mut all = object(json!({"bootstrap.servers": "b", "topics": "t"}));
        all.extend(object(locked));
        let settings = Settings::from_maps(&all, &object(secrets)).unwrap();
        let settings = KafkaSettings::read(&settings).unwrap();
        let failure = KafkaSource::open(settings, Duration::from_secs(2)).err().unwrap();
        assert_eq!(failure.code, Code::ConfigInvalid);
        assert!(failure.message.contains("ssl.key.password is missing or wrong"), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[test]
fn z32_scram_and_plain_read_and_refuse() {
    let Some(secure) = Secure::get("z32") else { return };
    let scram = format!("localhost:{}", secure.scram);
    let plain = format!("127.0.0.1:{}", secure.plain);
    let what = "the broker refuses the login; check sasl.mechanism, user name, password";
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let config = with(login("SASL_SSL", mechanism), "ssl.ca.pem", secure.text("ca.crt"));
        reads(source(&scram, TOPIC, config.clone(), password(PASSWORD)));
        let wrong = source(&scram, TOPIC, config, password("s3cr3t-wrong"));
        fails(wrong, Code::AuthFailed, what);
    }
    let config = login("SASL_PLAINTEXT", "PLAIN");
    reads(source(&plain, TOPIC, config.clone(), password(PASSWORD)));
    fails(source(&plain, TOPIC, config, password("s3cr3t-wrong")), Code::AuthFailed, what);
    let other = login("SASL_PLAINTEXT", "SCRAM-SHA-256");
    let what = "the broker does not offer this sasl.mechanism on this port";
    fails(source(&plain, TOPIC, other, password(PASSWORD)), Code::AuthFailed, what);
}

#[test]
fn z32_a_wrong_password_makes_no_storm_of_logins() {
    let Some(secure) = Secure::get("z32-storm") else { return };
    let (server, count) = relay(format!("127.0.0.1:{}", secure.plain));
    let config = login("SASL_PLAINTEXT", "PLAIN");
    let started = Instant::now();
    let mut source = source(&server, TOPIC, config, password("s3cr3t-wrong"));
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::AuthFailed, "{failure}");
    // The process stays for a while, as one whose host asks no more.
    thread::sleep(Duration::from_secs(6));
    let logins = count.load(Ordering::Relaxed);
    // Pauses grow to two seconds, and what they are before is half of these.
    let most = 6 + usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&logins), "{logins} logins in {:?}", started.elapsed());
}

#[test]
fn z42_the_documented_minimum_is_enough_and_less_is_denied() {
    let Some(secure) = Secure::get("z42") else { return };
    let server = format!("127.0.0.1:{}", secure.plain);
    let topic = "minimum";
    let config = login("SASL_PLAINTEXT", "PLAIN");
    let mut client = Client::start(&secure.open).unwrap();
    client.call(&format!("topic-create {topic} partitions=1")).unwrap();
    client.call(&format!("produce {topic} count=5")).unwrap();
    let open = || source(&server, topic, config.clone(), password(PASSWORD));
    let denied = fails(open(), Code::PermissionDenied, "topic minimum");
    assert!(denied.message.contains("allow READ and DESCRIBE"), "{denied}");
    for operation in ["DESCRIBE", "READ"] {
        client.call(&format!("acl-add alice topic={topic} operation={operation}")).unwrap();
    }
    let mut source = open();
    source.check(&Cancel::default()).unwrap();
    assign(&mut source, &[(key(topic, 0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 5);
    client.call(&format!("acl-remove alice topic={topic} operation=READ")).unwrap();
    client.call(&format!("produce {topic} count=5")).unwrap();
    let (_, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::PermissionDenied, "{failure}");
    assert!(failure.message.contains("topic minimum"), "{failure}");
    assert!(failure.message.contains("READ"), "{failure}");
    fails(open(), Code::PermissionDenied, "minimum");
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An unsigned token for alice (RFC 7515, `none`) that lives for `seconds` from now on.
fn token(seconds: i64) -> String {
    let now = i64::try_from(unix_seconds()).unwrap();
    let claims = json!({"sub": "alice", "iat": now.min(now + seconds) - 1, "exp": now + seconds});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

fn bearer(extra: Value) -> Value {
    let mut config =
        object(json!({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}));
    config.extend(object(extra));
    Value::Object(config)
}

#[test]
fn f30_a_given_token_works_at_once_expires_and_is_replaced() {
    let Some(secure) = Secure::get("f30-given") else { return };
    let server = format!("127.0.0.1:{}", secure.oauth);
    let given = |seconds| json!({"sasl.oauthbearer.token": token(seconds)});
    let what = "s ago; give the pipeline a new one";
    let expired = source(&server, TOPIC, bearer(json!({})), given(-60));
    fails(expired, Code::CredentialsExpired, what);
    let foreign = json!({"sasl.oauthbearer.token": "s3cr3t-nonsense"});
    let foreign = source(&server, TOPIC, bearer(json!({})), foreign);
    fails(foreign, Code::AuthFailed, "check sasl.mechanism, user name, password or token");

    // On a slow machine a short life may be over before everything was read; then a longer one.
    let read = |seconds| {
        let mut source = source(&server, TOPIC, bearer(json!({})), given(seconds));
        let parts = [(key(TOPIC, 0), at(0)), (key(TOPIC, 1), at(0))];
        source.assign("", &parts, &Cancel::default()).ok()?;
        let mut sink = Sink::new(usize::MAX);
        let caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
        poll_until(&mut source, &mut sink, LIMIT, caught_up).ok()?;
        assert_eq!(sink.rows.len(), ROWS);
        Some(source)
    };
    let mut source = [4, 8, 16].into_iter().find_map(read).unwrap();
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::CredentialsExpired, "{failure}");
    assert!(sink.rows.is_empty());
    let places = [position(&source, 0), position(&source, 1)];
    source.rotate(&object(given(600))).unwrap();
    assert_eq!([position(&source, 0), position(&source, 1)], places);
    assert_eq!(read_all(&mut source).rows.len(), 0, "rows were delivered again");
}

/// A token endpoint whose tokens live for two seconds; counts what it gives.
fn endpoint() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let given = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let (mut asked, mut buffer) = (Vec::new(), [0; 4096]);
            while !asked.ends_with(b"grant_type=client_credentials&scope=read") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => asked.extend_from_slice(buffer.get(..count).unwrap()),
                    _ => break,
                }
            }
            let good = String::from_utf8_lossy(&asked).contains("Basic bWU6czNjcjN0LW9mLW1l\r\n");
            let (status, body) = match good {
                true => (200, json!({"access_token": token(2), "expires_in": 2})),
                false => (401, json!({"error": "invalid_client"})),
            };
            given.fetch_add(usize::from(good), Ordering::Relaxed);
            let body = body.to_string();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (url, count)
}

#[test]
fn f30_fetched_tokens_of_two_seconds_are_renewed_while_reading() {
    let Some(secure) = Secure::get("f30-oidc") else { return };
    let server = format!("127.0.0.1:{}", secure.oauth);
    let (url, given) = endpoint();
    let config = bearer(json!({
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.scope": "read",
    }));
    let secret = |text: &str| json!({"sasl.oauthbearer.client.secret": text});
    let wrong = source(&server, TOPIC, config.clone(), secret("s3cr3t-wrong"));
    fails(wrong, Code::AuthFailed, "refuses with 401 (invalid_client)");

    let topic = "fetched";
    let mut client = Client::start(&secure.open).unwrap();
    client.call(&format!("topic-create {topic} partitions=1")).unwrap();
    client.call(&format!("acl-add alice topic={topic} operation=READ")).unwrap();
    let mut source = source(&server, topic, config, secret("s3cr3t-of-me"));
    assign(&mut source, &[(key(topic, 0), at(0))]);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    for round in 1..=10 {
        client.call(&format!("produce {topic} count=1")).unwrap();
        let all = |sink: &Sink, _: Polled| sink.rows.len() == round;
        poll_until(&mut source, &mut sink, LIMIT, all).unwrap();
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(position(&source, 0), 10);
    let given = given.load(Ordering::Relaxed);
    // One is good for 1.6 s of the ten seconds or more; no more than two are fetched in a second.
    let most = 2 * usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!((4..=most).contains(&given), "{given} tokens in {:?}", started.elapsed());
}

#[test]
fn z32_a_new_password_takes_over_at_the_position() {
    let Some(secure) = Secure::get("z32-rotate") else { return };
    let server = format!("127.0.0.1:{}", secure.plain);
    let mut source =
        source(&server, TOPIC, login("SASL_PLAINTEXT", "PLAIN"), password("s3cr3t-wrong"));
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::AuthFailed, "{failure}");
    source.rotate(&object(password(PASSWORD))).unwrap();
    assign(&mut source, &[(key(TOPIC, 0), at(0)), (key(TOPIC, 1), at(0))]);
    let mut first = Sink::new(10);
    poll_until(&mut source, &mut first, LIMIT, |sink, _| sink.room == 0).unwrap();
    source.rotate(&object(password(PASSWORD))).unwrap();
    let rest = read_all(&mut source);
    assert_eq!(first.rows.len() + rest.rows.len(), ROWS);
    assert!(source.rotate(&Map::new()).is_err(), "a password is needed");
    assert_eq!(position(&source, 0) + position(&source, 1), i64::try_from(ROWS).unwrap());
}

/// The bytes hold none of the secrets, as they are or in base64.
fn silent(place: &str, bytes: &[u8], secrets: &[&str]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in secrets {
        let user = format!("me:{secret}");
        let nul = format!("\0alice\0{secret}");
        for form in [(*secret).to_owned(), STANDARD.encode(secret), STANDARD.encode(user), nul] {
            assert!(!text.contains(form.trim_end_matches('=')), "{form:?} is in {place}: {text}");
        }
    }
}

/// One whole process at the highest log level, with a wrong password: no secret is in what it says
/// to the host or to a person, and it does not repeat itself.
#[test]
fn p28_no_secret_is_in_frames_logs_or_stderr() {
    let Some(secure) = Secure::get("p28") else { return };
    let mut host = driver::Host::spawn_with(&["--log-level", "trace"], Stdio::piped());
    host.transcript = Some(Vec::new());
    host.greet();
    let config = json!({
        "connector.class": "kafka",
        "bootstrap.servers": format!("localhost:{}", secure.scram),
        "topics": TOPIC,
        "properties.broker.address.family": "v4",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "alice",
        "ssl.ca.location": secure.path("ca.crt"),
        "ssl.certificate.location": secure.path("alice.chain.crt"),
        "ssl.key.location": secure.path("alice.locked.key"),
        "ssl.key.password": KEY_PASSWORD,
    });
    let wrong = "s3cr3t-and-wrong";
    let done = host.configure_with(config, password(wrong), protocol::message::Settings::default());
    assert_eq!(done.effective["sasl.password"], "***");
    assert_eq!(done.effective["ssl.key.password"], "***");
    let check = host.session.check().unwrap();
    host.send(&check);
    let failure = host.raw_failure();
    assert_eq!(failure.code, Code::AuthFailed, "{failure}");
    assert!(!failure.retryable && !failure.message.contains("s3cr3t"), "{failure}");
    let secrets = [wrong, PASSWORD, KEY_PASSWORD];
    silent("frames", host.transcript.as_deref().unwrap(), &secrets);
    host.close_stdin();
    while host.frame().is_some() {}
    host.wait();
    silent("frames", host.transcript.as_deref().unwrap(), &secrets);
    let mut stderr = Vec::new();
    host.process.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    silent("stderr", &stderr, &secrets);
    let text = String::from_utf8_lossy(&stderr);
    assert!(text.matches("refuses the login").count() <= 2, "the error is repeated: {text}");
}
