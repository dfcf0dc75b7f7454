//! What may follow the database in the address of a server: how rows are sent, and how the connection is kept
//! secret.
//!
//! Touches nothing: files are named here and read when a connection is opened. Invariant: an option that is not
//! known is refused, and its text is not repeated.

use std::fmt;
use std::path::PathBuf;

use super::{Endpoint, LoadMethod, endpoint, unescape, wrong};
use crate::store::error::StoreError;

/// How the stream of a LOAD DATA is compressed. SingleStore goes by the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip, level 1: SingleStore's Spark connector measured half as much throughput again as with level 6.
    Gzip,
    /// An LZ4 frame.
    Lz4,
}

/// How far a server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsCheck {
    /// It is signed by an authority that is trusted, and made out to the host that was named.
    Full,
    /// It is signed by an authority that is trusted.
    Authority,
}

/// A connection under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// How far the server's certificate is looked at.
    pub check: TlsCheck,
    /// A file of certificates (PEM) that are trusted beside the public authorities.
    pub ca: Option<PathBuf>,
    /// Files of the client's certificate and its private key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Options of a server's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// How rows are sent; `None` is what the server's dialect begins with.
    pub load: Option<LoadMethod>,
    /// How the stream of a LOAD DATA is compressed.
    pub compression: Compression,
    /// Where statements that define tables are sent; `None` is where all others are.
    pub ddl: Option<Endpoint>,
    /// TLS; `None` is a connection in the clear.
    pub tls: Option<Box<Tls>>,
}

/// The options as people write them, for messages.
const KNOWN: &str = "load=insert|load-data, compress=none|gzip|lz4, ddl=HOST[:PORT], \
                     tls=verify-full|verify-ca, tls-ca=FILE, tls-cert=FILE, tls-key=FILE";

impl Options {
    /// Reads `key=value` pairs parted by `&`.
    pub(super) fn parse(query: &str) -> Result<Self, StoreError> {
        let mut options = Self::default();
        let mut check = None;
        let (mut ca, mut cert, mut key) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let path = |text: &str| unescape(text, "path").map(|text| Some(PathBuf::from(text)));
            match pair.split_once('=') {
                Some(("load", "insert")) => options.load = Some(LoadMethod::Insert),
                Some(("load", "load-data")) => options.load = Some(LoadMethod::LoadData),
                Some(("load", _)) => return Err(wrong("load is neither insert nor load-data")),
                Some(("compress", "none")) => options.compression = Compression::None,
                Some(("compress", "gzip")) => options.compression = Compression::Gzip,
                Some(("compress", "lz4")) => options.compression = Compression::Lz4,
                Some(("compress", _)) => return Err(wrong("compress is none of none, gzip, lz4")),
                Some(("ddl", text)) => options.ddl = Some(endpoint(text)?),
                Some(("tls", "verify-full")) => check = Some(TlsCheck::Full),
                Some(("tls", "verify-ca")) => check = Some(TlsCheck::Authority),
                Some(("tls", _)) => return Err(wrong("tls is neither verify-full nor verify-ca")),
                Some(("tls-ca", text)) => ca = path(text)?,
                Some(("tls-cert", text)) => cert = path(text)?,
                Some(("tls-key", text)) => key = path(text)?,
                // The text is not repeated: a password may stand behind a mistyped key.
                Some(_) | None => {
                    return Err(wrong(&format!(
                        "after the database only these are known: {KNOWN}"
                    )));
                }
            }
        }
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(wrong("tls-cert and tls-key go together")),
        };
        // Who names certificates wants TLS, and the strictest one unless he says otherwise.
        if check.is_some() || ca.is_some() || client.is_some() {
            let check = check.unwrap_or(TlsCheck::Full);
            options.tls = Some(Box::new(Tls { check, ca, client }));
        }
        Ok(options)
    }

    /// Whether one of them means something to SingleStore only.
    pub(super) fn is_of_singlestore(&self) -> bool {
        self.compression != Compression::None || self.ddl.is_some()
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        match self.load {
            Some(LoadMethod::Insert) => pairs.push(("load", "insert".to_owned())),
            Some(LoadMethod::LoadData) => pairs.push(("load", "load-data".to_owned())),
            None => {}
        }
        match self.compression {
            Compression::None => {}
            Compression::Gzip => pairs.push(("compress", "gzip".to_owned())),
            Compression::Lz4 => pairs.push(("compress", "lz4".to_owned())),
        }
        if let Some(endpoint) = &self.ddl {
            pairs.push(("ddl", endpoint.to_string()));
        }
        if let Some(tls) = &self.tls {
            let check = match tls.check {
                TlsCheck::Full => "verify-full",
                TlsCheck::Authority => "verify-ca",
            };
            pairs.push(("tls", check.to_owned()));
            let path = |path: &PathBuf| path.display().to_string();
            pairs.extend(tls.ca.as_ref().map(|file| ("tls-ca", path(file))));
            if let Some((cert, key)) = &tls.client {
                pairs.extend([("tls-cert", path(cert)), ("tls-key", path(key))]);
            }
        }
        for (index, (key, value)) in pairs.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            write!(f, "{mark}{key}={value}")?;
        }
        Ok(())
    }
}
