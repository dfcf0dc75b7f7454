//! The address of a store, as a person writes it.
//!
//! Touches nothing. Invariant: a password is never printed: not by `Display`, not by `Debug`, not by an
//! error.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::{StoreError, StoreErrorKind};

/// The forms that an address may have, for messages and help.
pub const ACCEPTED_FORMS: &str = "sqlite:PATH, mysql://user@host[:port]/database[?OPTION&…], \
     singlestore://user@host[:port][,host[:port]…]/database[?OPTION&…]";

/// Longest address accepted, in bytes.
///
/// Why 8 KiB: a path of `PATH_MAX` (4096) with room for percent escapes.
pub const URL_LEN_MAX: usize = 8 * 1024;

/// Most endpoints that one address may name. Why 64: more aggregators than any documented cluster has.
pub const ENDPOINTS_MAX: usize = 64;

const MYSQL_PORT_DEFAULT: u16 = 3306;

mod options;

pub use options::{Compression, Options, Tls, TlsCheck};

/// A password; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself, for the client library alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How rows reach a MySQL-protocol server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMethod {
    /// Multi-row INSERT in strict mode: names the row that is refused. What MariaDB and MySQL begin with.
    Insert,
    /// LOAD DATA LOCAL INFILE, with its counters checked. What SingleStore begins with, and takes the
    /// extractor's Avro blocks by.
    LoadData,
}

/// One address at which a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host's name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where a MySQL-protocol server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The scheme as it was written: `mysql`, `mariadb` or `singlestore`.
    pub scheme: String,
    /// The user.
    pub user: String,
    /// The password, if any.
    pub password: Option<Secret>,
    /// Where the server answers.
    pub endpoint: Endpoint,
    /// Other aggregators of the same SingleStore cluster; empty for every other server.
    pub others: Vec<Endpoint>,
    /// The database that holds the target tables and the catalogue.
    pub database: String,
    /// What follows the database.
    pub options: Options,
}

impl ServerAddress {
    /// Whether the scheme says SingleStore. Under another scheme it is found out when it answers.
    pub fn is_singlestore(&self) -> bool {
        self.scheme == SINGLESTORE
    }

    /// The address of one endpoint without password and options, for messages.
    pub(crate) fn shown(&self, endpoint: &Endpoint) -> String {
        format!("{}://{}@{endpoint}/{}", self.scheme, self.user, self.database)
    }
}

/// The scheme that names SingleStore.
const SINGLESTORE: &str = "singlestore";

/// The address of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite file.
    Sqlite {
        /// The file's path.
        path: PathBuf,
    },
    /// A server that speaks the MySQL protocol.
    Server(ServerAddress),
}

impl StoreUrl {
    /// The same address with a password that was handed over apart from it (a file, an environment
    /// variable); it wins over one in the address. An SQLite file has no password and is unchanged.
    #[must_use]
    pub fn with_password(self, password: Secret) -> Self {
        match self {
            Self::Server(address) => {
                Self::Server(ServerAddress { password: Some(password), ..address })
            }
            Self::Sqlite { .. } => self,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Server(address) => {
                write!(f, "{}://{}", address.scheme, address.user)?;
                if address.password.is_some() {
                    f.write_str(":***")?;
                }
                write!(f, "@{}", address.endpoint)?;
                for other in &address.others {
                    write!(f, ",{other}")?;
                }
                write!(f, "/{}{}", address.database, address.options)
            }
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.len() > URL_LEN_MAX {
            return Err(wrong(&format!("it is longer than {URL_LEN_MAX} bytes")));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong("it has no scheme"));
        };
        match scheme {
            "sqlite" => sqlite(rest),
            "mysql" | "mariadb" | SINGLESTORE => match rest.strip_prefix("//") {
                Some(rest) => server(scheme, rest).map(Self::Server),
                None => Err(wrong(&format!("{scheme}: must be followed by //"))),
            },
            // The text before the first colon may be a mistyped user with a password behind it.
            _ => Err(wrong("its scheme is none of sqlite, mysql, mariadb, singlestore")),
        }
    }
}

fn sqlite(path: &str) -> Result<StoreUrl, StoreError> {
    if path.is_empty() {
        return Err(wrong("sqlite: must be followed by the path of a file"));
    }
    if path == ":memory:" {
        return Err(wrong(
            "an in-memory database cannot be shared by the connections of a pipeline; name a file",
        ));
    }
    if path.contains('\0') {
        return Err(wrong("a path cannot hold a zero byte"));
    }
    if path.starts_with("//") {
        return Err(wrong("write sqlite:PATH, without // after the colon"));
    }
    Ok(StoreUrl::Sqlite { path: PathBuf::from(path) })
}

fn server(scheme: &str, rest: &str) -> Result<ServerAddress, StoreError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((authority, database)) = rest.rsplit_once('/') else {
        return Err(wrong("the database is missing: add /DATABASE"));
    };
    let Some((login, hosts)) = authority.rsplit_once('@') else {
        return Err(wrong("the user is missing: write user@host"));
    };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(unescape(password, "password")?))),
        None => (login, None),
    };
    let mut endpoints = endpoints(hosts)?.into_iter();
    let Some(endpoint) = endpoints.next() else { return Err(wrong("the host is empty")) };
    let others: Vec<Endpoint> = endpoints.collect();
    let address = ServerAddress {
        scheme: scheme.to_owned(),
        user: unescape(user, "user")?,
        password,
        endpoint,
        others,
        database: unescape(database, "database")?,
        options: Options::parse(query)?,
    };
    if address.user.is_empty() {
        return Err(wrong("the user is empty"));
    }
    if !address.is_singlestore() {
        if !address.others.is_empty() {
            return Err(wrong(
                "only singlestore:// takes several hosts: its aggregators are one database",
            ));
        }
        if address.options.is_of_singlestore() {
            return Err(wrong("ddl and compress are options of singlestore:// addresses"));
        }
    }
    if address.database.is_empty() {
        return Err(wrong("the database is empty: add /DATABASE"));
    }
    Ok(address)
}

/// The hosts of an address, parted by commas.
fn endpoints(text: &str) -> Result<Vec<Endpoint>, StoreError> {
    if text.split(',').count() > ENDPOINTS_MAX {
        return Err(wrong(&format!("it names more than {ENDPOINTS_MAX} hosts")));
    }
    text.split(',').map(endpoint).collect()
}

fn endpoint(text: &str) -> Result<Endpoint, StoreError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, after)) = rest.split_once(']') else {
                return Err(wrong("the bracket [ of the host has no ]"));
            };
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(wrong("after ] only :PORT may follow")),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(wrong("the host is empty"));
    }
    let port = match port {
        None => MYSQL_PORT_DEFAULT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            Ok(_) | Err(_) => return Err(wrong("the port is not a number from 1 to 65535")),
        },
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

/// Resolves percent escapes; `part` is named in the error, its text is not.
fn unescape(text: &str, part: &str) -> Result<String, StoreError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        match high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => bytes.push(byte),
            None => {
                return Err(wrong(&format!(
                    "the {part} has a % without two hex digits; write %25"
                )));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong(&format!("the {part} is not UTF-8")))
}

fn wrong(reason: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Config,
        format!("the store's address is wrong: {reason}; accepted: {ACCEPTED_FORMS}"),
    )
}

#[cfg(test)]
mod tests;
