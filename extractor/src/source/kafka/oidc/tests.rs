//! The token request against a small server: what is asked, and what each answer means.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Instant, UNIX_EPOCH};

use serde_json::{Map, json};

use super::*;

/// Answers one request with `answer`, and gives what was asked.
fn serve(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let run = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut asked, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            asked.push_str(&line);
        }
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut body).unwrap();
        asked.push_str(&String::from_utf8(body).unwrap());
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    };
    (url, thread::spawn(run))
}

fn http(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn oidc(url: &str, extra: serde_json::Value) -> Result<Oidc, Failure> {
    let mut config = json!({
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.client.secret": "hunter22",
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let settings = Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap();
    Oidc::read(&settings, Vec::new())
}

fn fetch(answer: String) -> Result<Token, Failure> {
    let (url, server) = serve(answer);
    let token = oidc(&url, json!({})).unwrap().fetch(UNIX_EPOCH);
    server.join().unwrap();
    token
}

#[test]
fn the_request_is_that_of_the_client_credentials_flow() {
    let (url, server) = serve(http(200, r#"{"access_token":"T0ken","expires_in":60}"#));
    let oidc = oidc(&url, json!({"sasl.oauthbearer.scope": "a b"})).unwrap();
    let token = oidc.fetch(UNIX_EPOCH).ok().unwrap();
    assert_eq!((token.value.as_str(), token.expires_ms), ("T0ken", 60_000));
    let asked = server.join().unwrap();
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    assert!(asked.ends_with("grant_type=client_credentials&scope=a%20b"), "{asked}");
    let basic = format!("authorization: Basic {}\r\n", STANDARD.encode("me:hunter22"));
    assert!(asked.contains(&basic), "{asked}");
}

#[test]
fn answers_that_give_no_token() {
    let refused = r#"{"error":"invalid_client","error_description":"hunter22 is wrong"}"#;
    for (answer, code, message) in [
        (http(401, refused), Code::AuthFailed, "refuses with 401 (invalid_client); check"),
        (http(400, r#"{"error":"a <b>"}"#), Code::AuthFailed, "refuses with 400; check"),
        (http(503, ""), Code::SourceUnavailable, "answers 503"),
        (http(200, "{}"), Code::AuthFailed, "without access_token"),
        (http(200, "<html>"), Code::AuthFailed, "without access_token"),
        (http(302, ""), Code::AuthFailed, "refuses with 302"),
        (http(200, &"x".repeat(70_000)), Code::AuthFailed, "more than 65536 bytes"),
        (String::new(), Code::SourceUnavailable, "endpoint 127.0.0.1:"),
    ] {
        let failure = fetch(answer).err().unwrap();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(message), "{}", failure.message);
        assert!(!failure.message.contains("hunter22"), "{}", failure.message);
    }
}

#[test]
fn a_silent_endpoint_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let started = Instant::now();
    let failure = oidc(&url, json!({})).unwrap().fetch(UNIX_EPOCH).err().unwrap();
    assert_eq!(failure.code, Code::Timeout, "{}", failure.message);
    assert!(started.elapsed() < REQUEST_TIMEOUT * 2);
}

#[test]
fn secrets_go_over_tls_only() {
    for url in ["http://h/", "ftp://h/", "h/", "https://", "https://me:pw@h/"] {
        assert!(oidc(url, json!({})).is_err(), "{url}");
    }
    oidc("https://h/token", json!({})).unwrap();
    let failure = oidc("https://h/", json!({"https.ca.pem": "x"})).err().unwrap();
    assert!(failure.message.contains("no PEM text"), "{}", failure.message);
}
