//! A double of a schema registry: our own, by the published API of Confluent's (`GET /schemas/ids/{id}`,
//! `GET /subjects/{subject}/versions/{version}`, `error_code`), over HTTP or TLS. It answers what it was
//! given, and misbehaves as it is told.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// How it misbehaves for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Answers with this status.
    Status(u16),
    /// Takes the request and never answers.
    Hang,
    /// Closes the connection.
    Close,
    /// Answers 200 with what is no answer.
    Garbage,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

#[derive(Default)]
struct State {
    schemas: BTreeMap<u32, Value>,
    subjects: BTreeMap<String, Value>,
    /// For the next requests, one each.
    faults: VecDeque<Fault>,
    /// For all requests.
    always: Option<Fault>,
    asked: Vec<Asked>,
    /// The header that is wanted.
    authorization: Option<String>,
}

/// See the file. It lives until the test program ends.
pub(crate) struct Registry {
    pub(crate) address: String,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

/// A file of `testdata/tls`.
pub(crate) fn tls_path(name: &str) -> String {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/tls"));
    folder.join(name).to_str().unwrap().to_owned()
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// Over TLS, for clients with a certificate of `testdata/tls`.
    pub(crate) fn start_tls() -> Self {
        let certificates =
            |name| CertificateDer::pem_file_iter(tls_path(name)).unwrap().map(Result::unwrap);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        certificates("ca.pem").for_each(|certificate| roots.add(certificate).unwrap());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_file(tls_path("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(certificates("server.pem").collect(), key)
            .unwrap();
        Self::serve(Some(Arc::new(config)))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || match tls {
                    None => answer(client, &shared),
                    Some(config) => {
                        let server = ServerConnection::new(config).unwrap();
                        answer(StreamOwned::new(server, client), &shared);
                    }
                });
            }
        });
        Self { address, scheme, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Keeps an Avro schema.
    pub(crate) fn avro(&self, id: u32, schema: &Value) {
        self.keep(id, json!({"schema": schema.to_string()}));
    }

    /// Keeps an answer as it is.
    pub(crate) fn keep(&self, id: u32, answer: Value) {
        self.state.lock().unwrap().schemas.insert(id, answer);
    }

    /// Keeps a version of a subject, with the schemas that it names as `name, subject, version`.
    pub(crate) fn subject(
        &self,
        subject: &str,
        version: i64,
        schema: &Value,
        references: &[(&str, &str, i64)],
    ) {
        let references = references_of(references);
        let answer = json!({"subject": subject, "version": version, "id": 900 + version,
            "schema": schema.to_string(), "references": references, "guid": "told by new ones"});
        let path = format!("/subjects/{subject}/versions/{version}");
        self.state.lock().unwrap().subjects.insert(path, answer);
    }

    /// Misbehaves once for each.
    pub(crate) fn fail_next(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// Misbehaves until it is told otherwise.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.state.lock().unwrap().always = fault;
    }

    /// Wants a login from now on.
    pub(crate) fn want(&self, authorization: &str) {
        self.state.lock().unwrap().authorization = Some(authorization.to_owned());
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }

    /// Waits until it was asked so often.
    pub(crate) fn wait_for(&self, requests: usize) {
        let began = Instant::now();
        while self.asked().len() < requests {
            assert!(began.elapsed() < Duration::from_secs(30), "never asked");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// References as answers have them.
pub(crate) fn references_of(references: &[(&str, &str, i64)]) -> Value {
    let reference = |(name, subject, version): &(&str, &str, i64)| json!({"name": name, "subject": subject, "version": version});
    references.iter().map(reference).collect()
}

/// Answers one request and closes.
fn answer(client: impl Read + Write, state: &Mutex<State>) {
    let mut client = BufReader::new(client);
    let (mut line, mut authorization) = (String::new(), None);
    if client.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        if client.read_line(&mut header).unwrap_or(0) == 0 {
            return;
        }
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("authorization") {
            authorization = Some(value.to_owned());
        }
    }
    let (status, body) = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked { path: path.clone(), authorization: authorization.clone() });
        match state.faults.pop_front().or(state.always) {
            Some(Fault::Hang) => (0, String::new()),
            Some(Fault::Close) => return,
            Some(Fault::Garbage) => (200, "<html>".to_owned()),
            Some(Fault::Status(status)) => (status, format!("{{\"error_code\":{status}00}}")),
            None if state.authorization.is_some() && state.authorization != authorization => {
                (401, r#"{"error_code":401,"message":"Unauthorized"}"#.to_owned())
            }
            None => found(&state, &path),
        }
    };
    if status == 0 {
        // Until the client has had enough.
        let mut rest = Vec::new();
        drop(client.read_to_end(&mut rest));
        return;
    }
    let head = format!(
        "HTTP/1.1 {status} said\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\n\
         location: http://127.0.0.1:1/\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let client = client.get_mut();
    drop(client.write_all(head.as_bytes()).and_then(|()| client.write_all(body.as_bytes())));
    drop(client.flush());
}

fn found(state: &State, path: &str) -> (u16, String) {
    let not = |code: u32| (404, json!({"error_code": code, "message": "not found"}).to_string());
    let plain = path.split('?').next().unwrap_or_default();
    if plain == "/schemas/types" {
        return (200, r#"["JSON","PROTOBUF","AVRO"]"#.to_owned());
    }
    if let Some(id) = plain.strip_prefix("/schemas/ids/") {
        let schema = id.parse().ok().and_then(|id: u32| state.schemas.get(&id));
        return schema.map_or_else(|| not(40403), |schema| (200, schema.to_string()));
    }
    if plain.starts_with("/subjects/") {
        let schema = state.subjects.get(plain);
        return schema.map_or_else(|| not(40401), |schema| (200, schema.to_string()));
    }
    not(404)
}
