//! The settings of a schema registry, in our names and in those of Kafka Connect's converters. Reads
//! certificates from files; asks nobody.

use std::fmt;
use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Failure;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::super::security::{location, pem_text};
use super::http::{Address, Client};
use crate::config::Settings;

/// Addresses of one registry.
const ADDRESSES_MAX: usize = 8;

/// Milliseconds that one request may take, from the look-up of the name to the last byte.
const TIMEOUT_MS_DEFAULT: u64 = 5_000;

/// Milliseconds that an id may be unknown before its records are. Why 5 s: what a copy of a registry
/// lags behind the one that took the schema.
const UNKNOWN_WAIT_MS_DEFAULT: u64 = 5_000;

// The spellings of each setting: ours, then those of the converters.

const URL: [&str; 3] = [
    "schema.registry.url",
    "key.converter.schema.registry.url",
    "value.converter.schema.registry.url",
];

const USER_INFO: [&str; 6] = [
    "schema.registry.basic.auth.user.info",
    "basic.auth.user.info",
    "key.converter.basic.auth.user.info",
    "key.converter.schema.registry.basic.auth.user.info",
    "value.converter.basic.auth.user.info",
    "value.converter.schema.registry.basic.auth.user.info",
];

const USER_SOURCE: [&str; 4] = [
    "schema.registry.basic.auth.credentials.source",
    "basic.auth.credentials.source",
    "key.converter.basic.auth.credentials.source",
    "value.converter.basic.auth.credentials.source",
];

const TOKEN: [&str; 4] = [
    "schema.registry.bearer.auth.token",
    "bearer.auth.token",
    "key.converter.bearer.auth.token",
    "value.converter.bearer.auth.token",
];

const TOKEN_SOURCE: [&str; 4] = [
    "schema.registry.bearer.auth.credentials.source",
    "bearer.auth.credentials.source",
    "key.converter.bearer.auth.credentials.source",
    "value.converter.bearer.auth.credentials.source",
];

const USER: &str = "schema.registry.username";
const PASSWORD: &str = "schema.registry.password";
const TIMEOUT: &str = "schema.registry.timeout.ms";
const UNKNOWN_WAIT: &str = "schema.registry.unknown.wait.ms";
const CA: [&str; 2] = ["schema.registry.ssl.ca.pem", "schema.registry.ssl.ca.location"];
const CERTIFICATE: [&str; 2] =
    ["schema.registry.ssl.certificate.pem", "schema.registry.ssl.certificate.location"];
const KEY: [&str; 2] = ["schema.registry.ssl.key.pem", "schema.registry.ssl.key.location"];

/// Every key that is read here.
pub(in crate::source::kafka) const KEYS: [&str; 31] = [
    URL[0],
    URL[1],
    URL[2],
    USER_INFO[0],
    USER_INFO[1],
    USER_INFO[2],
    USER_INFO[3],
    USER_INFO[4],
    USER_INFO[5],
    USER_SOURCE[0],
    USER_SOURCE[1],
    USER_SOURCE[2],
    USER_SOURCE[3],
    TOKEN[0],
    TOKEN[1],
    TOKEN[2],
    TOKEN[3],
    TOKEN_SOURCE[0],
    TOKEN_SOURCE[1],
    TOKEN_SOURCE[2],
    TOKEN_SOURCE[3],
    USER,
    PASSWORD,
    TIMEOUT,
    UNKNOWN_WAIT,
    CA[0],
    CA[1],
    CERTIFICATE[0],
    CERTIFICATE[1],
    KEY[0],
    KEY[1],
];

/// How to ask a registry.
#[derive(Clone)]
pub(in crate::source::kafka) struct RegistrySettings {
    client: Client,
    /// How long an unknown id is waited for.
    pub(super) unknown_wait: Duration,
    /// What the user should know, one line each.
    pub(in crate::source::kafka) warnings: Vec<String>,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings").field("hosts", &self.hosts()).finish_non_exhaustive()
    }
}

impl RegistrySettings {
    /// Reads the keys; `None` where no address is given.
    ///
    /// # Errors
    /// The first value that cannot be used, or that would be ignored.
    pub(in crate::source::kafka) fn read(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some((key, urls)) = settings.text_of_any(&URL)? else {
            return match KEYS.iter().find(|key| settings.text(key).is_some()) {
                Some(key) => Err(settings.unsupported(key, "without schema.registry.url")),
                None => Ok(None),
            };
        };
        let addresses = addresses(settings, key, urls)?;
        let authorization = authorization(settings)?;
        let timeout = settings.number(TIMEOUT, 100..=60_000, TIMEOUT_MS_DEFAULT)?;
        let timeout = Duration::from_millis(timeout);
        let wait = settings.number(UNKNOWN_WAIT, 0..=600_000, UNKNOWN_WAIT_MS_DEFAULT)?;
        let certificate = certificate(settings)?;
        let roots = roots(settings)?;
        let is_open =
            |address: &Address| address.url.starts_with("http://") && !is_loopback(&address.host);
        let mut warnings = Vec::new();
        if let Some(address) = addresses.iter().find(|it| is_open(it))
            && authorization.is_some()
        {
            let host = &address.host;
            warnings.push(format!("the login for the schema registry {host} is sent without TLS"));
        }
        if let Some(address) = addresses.iter().find(|it| it.url.starts_with("http://")) {
            let keys = CA.iter().chain(&CERTIFICATE).chain(&KEY);
            let unused = keys.clone().find(|key| settings.text(key).is_some());
            if let Some(unused) = unused {
                let text = format!("{} is asked without TLS; write https://", address.host);
                return Err(settings.unsupported(unused, &text));
            }
        }
        let tls = TlsConfig::builder().root_certs(roots).client_cert(certificate).build();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect would carry the login to another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("s2x-extractor")
            .tls_config(tls)
            .build();
        let client = Client { agent: config.new_agent(), addresses, authorization, timeout };
        Ok(Some(Self { client, unknown_wait: Duration::from_millis(wait), warnings }))
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether both ask at the same addresses, so that ids mean the same.
    pub(in crate::source::kafka) fn is_same_registry(&self, other: &Self) -> bool {
        self.client.addresses == other.client.addresses
    }

    /// Where it is asked, for people.
    pub(in crate::source::kafka) fn hosts(&self) -> String {
        let hosts: Vec<_> = self.client.addresses.iter().map(|it| it.host.as_str()).collect();
        hosts.join(", ")
    }
}

/// Comma-separated URLs. Their text may hold a login, so that it is never quoted.
fn addresses(settings: &Settings, key: &str, urls: &str) -> Result<Vec<Address>, Failure> {
    let mut found = Vec::new();
    for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let url = url.trim_end_matches('/');
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if host.contains('@') {
            let text = format!("holds a login, which would be shown; use {}", USER_INFO[0]);
            return Err(settings.unsupported(key, &text));
        }
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        if host.is_empty() || !url.chars().all(is_plain) || url.contains(['?', '#']) {
            let text = "allowed: http://host:port or https://host:port, with a path where the \
                        registry has one, several by commas";
            return Err(settings.unsupported(key, text));
        }
        found.push(Address { url: url.to_owned(), host: host.to_owned() });
    }
    if found.is_empty() || found.len() > ADDRESSES_MAX {
        return Err(settings.unsupported(key, &format!("allowed: 1 to {ADDRESSES_MAX} addresses")));
    }
    Ok(found)
}

/// The header of the login, if there is one.
fn authorization(settings: &Settings) -> Result<Option<String>, Failure> {
    let source = settings.text_of_any(&USER_SOURCE)?;
    if let Some((key, source)) = source
        && source != "USER_INFO"
    {
        return Err(settings.invalid(key, &format!("allowed: USER_INFO, with {}", USER_INFO[0])));
    }
    let token_source = settings.text_of_any(&TOKEN_SOURCE)?;
    if let Some((key, source)) = token_source
        && source != "STATIC_TOKEN"
    {
        return Err(settings.invalid(key, &format!("allowed: STATIC_TOKEN, with {}", TOKEN[0])));
    }
    let info = settings.text_of_any(&USER_INFO)?;
    let token = settings.text_of_any(&TOKEN)?;
    let (user, password) = (settings.text(USER), settings.text(PASSWORD));
    let basic = |info: &str| format!("Basic {}", STANDARD.encode(info));
    Ok(match (info, token, user, password) {
        (None, None, None, None) => {
            let wants = |source: Option<(&str, &str)>, name: &str| match source {
                Some((key, _)) => Err(settings.unsupported(key, &format!("without {name}"))),
                None => Ok(()),
            };
            wants(source, USER_INFO[0])?;
            wants(token_source, TOKEN[0])?;
            None
        }
        (Some((key, info)), None, None, None) => {
            if !info.contains(':') {
                return Err(settings.invalid(key, "allowed: user:password"));
            }
            Some(basic(info))
        }
        (None, Some((key, token)), None, None) => {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(settings.invalid(key, "a token has no spaces and no line ends"));
            }
            Some(format!("Bearer {token}"))
        }
        (None, None, Some(user), Some(password)) => {
            if user.contains(':') {
                return Err(settings.invalid(USER, "a user has no colon (RFC 7617)"));
            }
            Some(basic(&format!("{user}:{password}")))
        }
        (None, None, Some(_), None) => return Err(settings.unsupported(USER, "without a password")),
        (None, None, None, Some(_)) => return Err(settings.unsupported(PASSWORD, "without a user")),
        _ => {
            let text = "more than one login for the schema registry: give user.info, a token, or \
                        username and password";
            let keys = info.map(|it| it.0).or_else(|| token.map(|it| it.0)).unwrap_or(USER);
            return Err(settings.unsupported(keys, text));
        }
    })
}

/// The PEM text of a pair of keys: the text itself or its file.
fn pem(
    settings: &Settings,
    [text, file]: [&'static str; 2],
) -> Result<Option<(&'static str, String)>, Failure> {
    Ok(match (settings.text(text), settings.text(file)) {
        (Some(_), Some(_)) => return Err(settings.invalid(file, &format!("{text} is set too"))),
        (None, None) => None,
        (Some(_), None) => Some((text, pem_text(settings, text)?)),
        (None, Some(_)) => {
            let path = location(settings, file)?;
            let read = fs::read_to_string(path);
            Some((file, read.map_err(|e| settings.invalid(file, &format!("cannot read it: {e}")))?))
        }
    })
}

fn items(settings: &Settings, key: &str, text: &str) -> Result<Vec<PemItem<'static>>, Failure> {
    let items: Result<Vec<_>, _> = parse_pem(text.as_bytes()).collect();
    items.map_err(|_| settings.invalid(key, "not all of it is PEM"))
}

fn certificates(
    settings: &Settings,
    key: &str,
    text: &str,
) -> Result<Vec<Certificate<'static>>, Failure> {
    let items = items(settings, key, text)?.into_iter();
    let found: Vec<_> = items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(settings.invalid(key, "holds no certificate"));
    }
    Ok(found)
}

/// Authorities that the registry's certificate may be signed by; without the keys, the public ones.
fn roots(settings: &Settings) -> Result<RootCerts, Failure> {
    match pem(settings, CA)? {
        None => Ok(RootCerts::WebPki),
        Some((key, text)) => Ok(RootCerts::new_with_certs(&certificates(settings, key, &text)?)),
    }
}

/// What is shown to the registry.
fn certificate(settings: &Settings) -> Result<Option<ClientCert>, Failure> {
    match (pem(settings, CERTIFICATE)?, pem(settings, KEY)?) {
        (None, None) => Ok(None),
        (Some((key, _)), None) => Err(settings.unsupported(key, "without its key")),
        (None, Some((key, _))) => Err(settings.unsupported(key, "without its certificate")),
        (Some((key, chain)), Some((secret, text))) => {
            let chain = certificates(settings, key, &chain)?;
            let is_key = |item| match item {
                PemItem::PrivateKey(key) => Some(key),
                _ => None,
            };
            let found: Option<PrivateKey<'static>> =
                items(settings, secret, &text)?.into_iter().find_map(is_key);
            let found = found.ok_or_else(|| {
                settings
                    .invalid(secret, "holds no key that is not encrypted (PKCS#8, PKCS#1, SEC1)")
            })?;
            Ok(Some(ClientCert::new_with_certs(&chain, found)))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}
