//! Why a broker's certificate is not accepted: OpenSSL's text says only that it is not. One more
//! handshake, by the TLS library that also fetches tokens, tells whether it is the authority, the
//! name or the time. Nothing is sent but the handshake, nothing is read but its end. It goes where the
//! client's own connection goes (`spoof.dns`), and compares the name that the client compares.

use std::fs;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::spoof::Spoof;

/// How long the handshake may take. It is done once per client, while nothing can be read anyway.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is for another name.
    Name,
    /// It is not valid at this time.
    Time,
    /// No authority that is trusted signed it.
    Authority,
}

/// Where the authorities stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    /// The system's or the public ones.
    Public,
    /// PEM text.
    Text(String),
    /// A PEM file.
    File(String),
}

impl Authorities {
    fn roots(&self) -> Option<RootCerts> {
        let text = match self {
            Self::Public => return Some(RootCerts::WebPki),
            Self::Text(text) => text.clone(),
            Self::File(path) => fs::read_to_string(path).ok()?,
        };
        let certificates: Vec<Certificate<'static>> = parse_pem(text.as_bytes())
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            })
            .collect();
        (!certificates.is_empty()).then(|| RootCerts::new_with_certs(&certificates))
    }

    /// Shakes hands with the broker that is known as `address` (`HOST:PORT`).
    pub(super) fn fault_at(&self, address: &str, spoof: &Spoof) -> Option<Fault> {
        let tls = TlsConfig::builder().root_certs(self.roots()?).build();
        let config = Agent::config_builder()
            .timeout_global(Some(HANDSHAKE_TIMEOUT))
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .build();
        let elsewhere = Elsewhere(spoof.clone(), DefaultResolver::default());
        let agent = Agent::with_parts(config, DefaultConnector::default(), elsewhere);
        let error = agent.head(format!("https://{address}/")).call().err()?;
        fault_of(&error.to_string())
    }
}

/// Finds addresses as the system does, or those that they are reached at instead.
#[derive(Debug)]
struct Elsewhere(Spoof, DefaultResolver);

impl Resolver for Elsewhere {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let known_as = uri.authority().map(|address| address.as_str());
        let Some(address) = known_as.and_then(|address| self.0.reached_at(address)) else {
            return self.1.resolve(uri, config, timeout);
        };
        let uri = Uri::builder().scheme("https").authority(address).path_and_query("/").build()?;
        self.1.resolve(&uri, config, timeout)
    }
}

/// The fault that a text of the library tells.
fn fault_of(text: &str) -> Option<Fault> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["not valid for name", "NotValidForName"]) {
        Some(Fault::Name)
    } else if has(&["expired", "Expired", "not valid yet", "NotValidYet"]) {
        Some(Fault::Time)
    } else if has(&["UnknownIssuer", "unknown issuer", "CaUsedAsEndEntity"]) {
        Some(Fault::Authority)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
