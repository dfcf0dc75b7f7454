//! `spoof.dns`: brokers that are reached at another address than the one they advertise. Pure.
//!
//! Only where a connection goes changes: names in certificates are compared with the name that the
//! client knows the broker by, as before: the one in `bootstrap.servers`, then the advertised one.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use protocol::Failure;
use serde_json::Value;

use crate::config::Settings;

const KEY: &str = "spoof.dns";

/// Addresses in the table. Why 1,000: more than any cluster has brokers and listeners.
const ADDRESSES_MAX: usize = 1000;

/// A host and a port, as the resolver of the system takes them.
pub(super) type Address = (CString, CString);

/// Which address is reached at which other one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spoof(BTreeMap<(String, String), Address>);

impl Spoof {
    /// Reads the table.
    ///
    /// # Errors
    /// It is no object of addresses, with the entry that is wrong.
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        let Some(text) = settings.text(KEY) else { return Ok(Self::default()) };
        let form = r#"allowed: an object such as {"broker1:9092": "10.0.0.1:19092"}"#;
        let Ok(Value::Object(map)) = protocol::json::parse(text.as_bytes()) else {
            return Err(settings.invalid(KEY, form));
        };
        if map.len() > ADDRESSES_MAX {
            return Err(settings.invalid(KEY, &format!("more than {ADDRESSES_MAX} addresses")));
        }
        let mut table = BTreeMap::new();
        for (from, to) in &map {
            let wrong = || settings.invalid(KEY, &format!("{form}; {from:?}: {to} is none"));
            let (host, port) = to.as_str().and_then(split).ok_or_else(wrong)?;
            let (Ok(host), Ok(port)) = (CString::new(host), CString::new(port)) else {
                return Err(wrong());
            };
            if table.insert(split(from).ok_or_else(wrong)?, (host, port)).is_some() {
                return Err(settings.invalid(KEY, &format!("{from:?} is given twice")));
            }
        }
        Ok(Self(table))
    }

    /// Where the address is reached instead.
    pub(super) fn instead_of(&self, host: &CStr, port: &CStr) -> Option<&Address> {
        let (host, port) = (host.to_str().ok()?, port.to_str().ok()?);
        self.0.get(&(bare(host), port.to_owned()))
    }

    /// The same for and as `host:port`.
    pub(super) fn reached_at(&self, address: &str) -> Option<String> {
        let (host, port) = self.0.get(&split(address)?)?;
        let (host, port) = (host.to_str().ok()?, port.to_str().ok()?);
        let is_v6 = host.contains(':');
        Some(if is_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `host:port` or `[IPv6]:port`.
fn split(text: &str) -> Option<(String, String)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    let is_one = !host.contains(':') || host.starts_with('[') && host.ends_with(']');
    (is_port && is_host && is_one).then(|| (bare(host), port.to_owned()))
}

/// Names have no case; an IPv6 address has its brackets only beside a port.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
