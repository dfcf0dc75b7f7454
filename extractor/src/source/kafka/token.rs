//! Tokens for OAUTHBEARER: where they come from, and the thread that gives them to librdkafka
//! before the first connection and again before they expire. It may call librdkafka past the safe
//! `rdkafka` crate, which cannot set a token without being asked, nor its extensions.
//!
//! ```text
//!   source of tokens ──► thread kafka-token ──set──► client
//!         ▲                    │ at 4/5 of its life, or after a failure with back-off
//!         └────────────────────┘
//! ```
#![expect(unsafe_code, reason = "rdkafka sets no token of its own accord")]

use std::ffi::{CStr, CString, c_char};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{Code, Failure};
use rdkafka::bindings as native;
use rdkafka::types::RDKafkaRespErr;
use serde_json::Value;

use super::client::Client;
use super::msk::Msk;
use super::oidc::Oidc;
use crate::config::Settings;

/// Life of a token that does not say when it expires.
const LIFE_UNKNOWN: Duration = Duration::from_secs(24 * 3600);

/// Pauses after failures: the first, and where doubling ends.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Extensions of one token. Why 16: Confluent Cloud needs two.
const EXTENSIONS_MAX: usize = 16;

/// A token as brokers take it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) value: String,
    /// When it expires, milliseconds since the epoch.
    pub(super) expires_ms: i64,
    /// Name and value of each SASL extension.
    pub(super) extensions: Vec<(String, String)>,
}

/// Where tokens come from.
#[derive(Clone)]
pub(super) enum Tokens {
    /// One that the pipeline gives, replaced by UPDATE.
    Given(Given),
    /// Fetched with a client's credentials.
    Oidc(Oidc),
    /// Signed for AWS MSK.
    Msk(Msk),
}

impl Tokens {
    /// Whether new tokens come by themselves.
    const fn renew(&self) -> bool {
        matches!(self, Self::Oidc(_) | Self::Msk(_))
    }

    /// The token to use from now on. May wait for a server, for a bounded time.
    fn next(&self, now: SystemTime) -> Result<Token, Failure> {
        match self {
            Self::Given(given) => given.token(now),
            Self::Oidc(oidc) => oidc.fetch(now),
            Self::Msk(msk) => Ok(msk.token(now)),
        }
    }
}

/// See [`Tokens::Given`].
#[derive(Clone)]
pub(super) struct Given {
    value: String,
    extensions: Vec<(String, String)>,
}

impl Given {
    pub(super) const fn new(value: String, extensions: Vec<(String, String)>) -> Self {
        Self { value, extensions }
    }

    fn token(&self, now: SystemTime) -> Result<Token, Failure> {
        let expires_ms =
            expiry_of(&self.value).unwrap_or_else(|| unix_ms(now).saturating_add(ms(LIFE_UNKNOWN)));
        if expires_ms <= unix_ms(now) {
            let seconds = unix_ms(now).saturating_sub(expires_ms) / 1000;
            let text = format!(
                "sasl.oauthbearer.token expired {seconds} s ago; give the pipeline a new one"
            );
            return Err(Failure::new(Code::CredentialsExpired, text));
        }
        Ok(Token { value: self.value.clone(), expires_ms, extensions: self.extensions.clone() })
    }
}

/// `name=value` by commas.
pub(super) fn extensions(settings: &Settings, key: &str) -> Result<Vec<(String, String)>, Failure> {
    let text = settings.text(key).unwrap_or_default();
    let mut found = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let parts = pair.split_once('=').filter(|(name, value)| {
            let plain = |c: char| c.is_ascii_alphabetic();
            !name.is_empty() && name.chars().all(plain) && !value.is_empty() && *name != "auth"
        });
        let (name, value) =
            parts.ok_or_else(|| settings.invalid(key, "allowed: name=value, several by commas"))?;
        found.push((name.to_owned(), value.to_owned()));
        if found.len() > EXTENSIONS_MAX {
            return Err(settings.invalid(key, &format!("more than {EXTENSIONS_MAX} extensions")));
        }
    }
    Ok(found)
}

/// What a JSON web token says about its end (RFC 7519, `exp`), in milliseconds. Nothing is verified.
pub(super) fn expiry_of(token: &str) -> Option<i64> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let exp = claims.get("exp")?;
    let seconds = exp.as_i64().or_else(|| {
        // Some issuers write a fraction.
        exp.as_number()?.to_string().split('.').next()?.parse().ok()
    })?;
    Some(seconds.saturating_mul(1000))
}

pub(super) fn unix_ms(time: SystemTime) -> i64 {
    ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The thread. Dropping it ends the thread after the request that is under way, if any.
pub(super) struct Refresher {
    _alive: SyncSender<()>,
}

impl Refresher {
    /// Starts the thread.
    pub(super) fn start(client: &Arc<Client>, tokens: Tokens) -> Result<Self, Failure> {
        let (alive, ended) = sync_channel(1);
        client.link().set_renews(tokens.renew());
        let client = Arc::downgrade(client);
        let run = move || {
            let mut pause = RETRY_FIRST;
            loop {
                let wait = match step(&client, &tokens) {
                    Some(Ok(life)) => {
                        pause = RETRY_FIRST;
                        life * 4 / 5
                    }
                    Some(Err(())) => {
                        pause = (pause * 2).min(RETRY_MAX);
                        pause / 2
                    }
                    None => return,
                };
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("kafka-token".to_owned())
            .spawn(run)
            .map_err(|e| Failure::new(Code::BufferLimit, format!("start a thread: {e}")))?;
        Ok(Self { _alive: alive })
    }
}

/// Gets one token and sets it: how long it lives. `None`: the client is gone.
fn step(client: &Weak<Client>, tokens: &Tokens) -> Option<Result<Duration, ()>> {
    // Not while the client is held: a request may take seconds, and the client may go meanwhile.
    let token = tokens.next(SystemTime::now());
    let client = client.upgrade()?;
    let set = token.and_then(|token| {
        set(&client, &token)?;
        Ok(token.expires_ms)
    });
    Some(match set {
        Ok(expires_ms) => {
            client.link().has_token(expires_ms);
            let life = expires_ms.saturating_sub(unix_ms(SystemTime::now()));
            // A second, so that a token that is about to end is not asked for in a tight loop.
            Ok(Duration::from_millis(u64::try_from(life).unwrap_or(0).max(1000)))
        }
        Err(failure) => {
            tracing::debug!(code = failure.code.name(), "no token: {}", failure.message);
            client.link().no_token(failure);
            Err(())
        }
    })
}

fn set(client: &Client, token: &Token) -> Result<(), Failure> {
    let text = |text: &str| {
        let none = |_| Failure::new(Code::ConfigInvalid, "the token holds a NUL byte".to_owned());
        CString::new(text).map_err(none)
    };
    let value = text(&token.value)?;
    let flat = token.extensions.iter().flat_map(|(name, value)| [name, value]);
    let extensions = flat.map(|it| text(it)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = extensions.iter().map(|text| text.as_ptr()).collect();
    let mut why = [0; 512];
    // SAFETY: the client is alive, and everything that is pointed to outlives the call, which
    // copies it; `why` has the length that is given.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native(),
            value.as_ptr(),
            token.expires_ms,
            c"s2x".as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka wrote a text that ends with NUL, or nothing into zeroes.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) };
    Err(not_taken(&why.to_string_lossy()))
}

/// Why librdkafka does not take a token. The text may quote what it does not like; only what kind
/// of fault it is goes on.
fn not_taken(why: &str) -> Failure {
    if why.contains("unexpired") {
        let text = "the token has expired before it could be used; give the pipeline a new one";
        return Failure::new(Code::CredentialsExpired, text);
    }
    Failure::new(Code::AuthFailed, "librdkafka refuses the token because of its form")
}

#[cfg(test)]
mod tests;
