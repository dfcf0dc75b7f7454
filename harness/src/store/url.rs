//! The address of a store, as a person writes it.
//!
//! Touches nothing. Invariant: a password is never printed: not by `Display`, not by `Debug`, not by an
//! error.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::{StoreError, StoreErrorKind};

/// The forms that an address may have, for messages and help.
pub const ACCEPTED_FORMS: &str =
    "sqlite:PATH, mysql://user@host[:port]/database[?load=insert|load-data]";

/// Longest address accepted, in bytes.
///
/// Why 8 KiB: a path of `PATH_MAX` (4096) with room for percent escapes.
pub const URL_LEN_MAX: usize = 8 * 1024;

const MYSQL_PORT_DEFAULT: u16 = 3306;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadMethod {
    /// Prepared multi-row INSERT in strict mode: names the row that is refused.
    #[default]
    Insert,
    /// LOAD DATA LOCAL INFILE, with its counters checked.
    LoadData,
}

/// Where a MySQL-protocol server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The scheme as it was written: `mysql` or `mariadb`.
    pub scheme: String,
    /// The user.
    pub user: String,
    /// The password, if any.
    pub password: Option<Secret>,
    /// The host's name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The database that holds the target tables and the catalogue.
    pub database: String,
    /// How rows are sent.
    pub load: LoadMethod,
}

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
                let host = &address.host;
                if host.contains(':') {
                    write!(f, "@[{host}]:{}/{}", address.port, address.database)?;
                } else {
                    write!(f, "@{host}:{}/{}", address.port, address.database)?;
                }
                match address.load {
                    LoadMethod::Insert => Ok(()),
                    LoadMethod::LoadData => f.write_str("?load=load-data"),
                }
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
            "mysql" | "mariadb" => match rest.strip_prefix("//") {
                Some(rest) => server(scheme, rest).map(Self::Server),
                None => Err(wrong(&format!("{scheme}: must be followed by //"))),
            },
            // The text before the first colon may be a mistyped user with a password behind it.
            _ => Err(wrong("its scheme is none of sqlite, mysql, mariadb")),
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
    let Some((login, host)) = authority.rsplit_once('@') else {
        return Err(wrong("the user is missing: write user@host"));
    };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(unescape(password, "password")?))),
        None => (login, None),
    };
    let (host, port) = host_and_port(host)?;
    let address = ServerAddress {
        scheme: scheme.to_owned(),
        user: unescape(user, "user")?,
        password,
        host,
        port,
        database: unescape(database, "database")?,
        load: load_method(query)?,
    };
    if address.user.is_empty() {
        return Err(wrong("the user is empty"));
    }
    if address.host.is_empty() {
        return Err(wrong("the host is empty"));
    }
    if address.database.is_empty() {
        return Err(wrong("the database is empty: add /DATABASE"));
    }
    Ok(address)
}

fn host_and_port(text: &str) -> Result<(String, u16), StoreError> {
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
    let port = match port {
        None => MYSQL_PORT_DEFAULT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            Ok(_) | Err(_) => return Err(wrong("the port is not a number from 1 to 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

fn load_method(query: &str) -> Result<LoadMethod, StoreError> {
    let mut method = LoadMethod::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("load", "insert")) => method = LoadMethod::Insert,
            Some(("load", "load-data")) => method = LoadMethod::LoadData,
            Some(("load", _)) => return Err(wrong("load is neither insert nor load-data")),
            // The text is not repeated: a password may stand behind a mistyped key.
            Some(_) | None => return Err(wrong("only ?load=… is known after the database")),
        }
    }
    Ok(method)
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
