//! The HTTP side: hyper on one thread, with a limit for everything that a peer may take.
//!
//! May touch: the listening socket, its thread. Invariant: a request is answered from numbers that are there,
//! so that none holds anything up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Numbers, Source, text};

/// Connections at a time. Why 16: a collector has one, a probe one; for one more the oldest is closed.
const CONNECTIONS_MAX: usize = 16;

/// How long a peer may take to send its request.
const HEADER_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may last, with its one answer.
const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// Bytes of a request's head, and headers in it. Why: the least that hyper takes; a collector sends a few
/// hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// How long to wait after a connection could not be taken (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Longest token, bytes, and shortest: one that is guessed protects nothing.
const TOKEN_BYTES_MAX: u64 = 4096;
const TOKEN_LEN_MIN: usize = 16;

/// What OpenMetrics text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a peer beyond loopback must show; kept as a digest.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    /// Reads the token of a file, without the line break at its end.
    ///
    /// # Errors
    /// The file cannot be read, or its token is too short.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
        let token = text.trim_end_matches(['\n', '\r']);
        if token.len() < TOKEN_LEN_MIN {
            let text = format!("the token has less than {TOKEN_LEN_MIN} characters");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self::of(token))
    }

    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Digests are compared, so that the time that it takes tells nothing.
    fn is_shown_by(&self, header: Option<&HeaderValue>) -> bool {
        let shown = header.and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|token| Self::of(token).0 == self.0)
    }
}

/// What every answer needs.
struct Site {
    numbers: Box<Source>,
    token: Option<Token>,
}

/// Listens at `address` until the process ends, and answers where; the port is the system's choice for 0.
///
/// # Errors
/// The address cannot be taken, or lies beyond loopback and there is no token.
pub(crate) fn serve(
    address: SocketAddr,
    token: Option<Token>,
    numbers: Box<Source>,
) -> io::Result<SocketAddr> {
    if !address.ip().is_loopback() && token.is_none() {
        let text = "an address beyond loopback needs --metrics-token-file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let site = Arc::new(Site { numbers, token });
    let run = move || {
        runtime.block_on(async {
            // Made of a socket that listens already; what fails here fails at once.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                accept(&listener, &site).await;
            }
        });
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(run)?;
    Ok(bound)
}

async fn accept(listener: &tokio::net::TcpListener, site: &Arc<Site>) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        // Who reads slowly has had the longest time: a collector takes its answer at once.
        let oldest = if open.len() >= CONNECTIONS_MAX { open.pop_front() } else { None };
        if let Some(oldest) = oldest {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, Arc::clone(site))));
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let answer = service_fn(move |request| {
        let response = site.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // A peer that misbehaves is its own affair.
    drop(tokio::time::timeout(CONNECTION_MAX, served).await);
}

impl Site {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let shown = request.headers().get(AUTHORIZATION);
        let is_trusted = self.token.as_ref().is_none_or(|token| token.is_shown_by(shown));
        match request.uri().path() {
            "/healthz" => page(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(is_trusted),
            "/metrics" if !is_trusted => {
                page(StatusCode::UNAUTHORIZED, "Authorization: Bearer TOKEN is needed\n")
            }
            "/metrics" => self.metrics(),
            _ => page(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match text::render(&(self.numbers)()) {
            Ok(text) => {
                let mut response = page(StatusCode::OK, text);
                let kind = HeaderValue::from_static(OPEN_METRICS);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, "the numbers cannot be written\n"),
        }
    }

    /// Whether rows can flow in every pipeline; the reasons for those who may see them.
    fn ready(&self, is_trusted: bool) -> Response<Full<Bytes>> {
        let pipelines = (self.numbers)();
        let reasons: Vec<String> = pipelines
            .iter()
            .filter_map(|Numbers { name, now, .. }| {
                Some(format!("{name} is {}: {}\n", now.health.word(), now.health.reason()?))
            })
            .collect();
        match (reasons.is_empty(), is_trusted) {
            (true, _) => page(StatusCode::OK, "ready\n"),
            (false, true) => page(StatusCode::SERVICE_UNAVAILABLE, reasons.concat()),
            (false, false) => page(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
