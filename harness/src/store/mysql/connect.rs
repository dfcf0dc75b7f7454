//! A connection to a MySQL-protocol server: its options, its TLS, and what every session begins with.
//!
//! May touch: the `mysql` client. Invariants: a session is strict, in UTF-8, and commits by itself outside a
//! transaction; which database answers is asked, never guessed from the address.

use std::collections::HashMap;
use std::time::Duration;

use mysql::prelude::Queryable as _;
use mysql::{ClientIdentity, Conn, OptsBuilder, SslOpts};

use super::classify::{self, classify, code_of};
use crate::store::Dialect;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::url::{Endpoint, Secret, ServerAddress, Tls, TlsCheck};

/// How long a connection attempt may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long an answer may take.
///
/// Why 300 s: several times the lock wait of a server (50 s), so that only one that hangs is given up; a
/// commit given up is looked up afterwards.
const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// When a silent connection is probed, in milliseconds, and how often then, in seconds. Probes are not counted: with
/// [`UNACKNOWLEDGED_MS`] the kernel gives up at the first one that is due after that time of silence (tcp(7),
/// `TCP_USER_TIMEOUT`), which is after 80 s.
const KEEPALIVE_MS: u32 = 20_000;
const KEEPALIVE_PROBE_S: u32 = 10;

/// How long a server's machine may leave what was sent to it without an acknowledgement, in milliseconds.
///
/// Why: the probes above rest while something is under way, and the kernel would send it again for a quarter
/// of an hour. Why 75 s: a server that takes nothing more while it waits for a lock is not dead, and the session
/// waits for a row's lock for [`LOCK_WAIT_MAX`] at most.
const UNACKNOWLEDGED_MS: u32 = 75_000;

/// How long a statement of ours waits for the lock of a row, unless the server says less. Why 50 s: the default of both
/// servers; one that waited longer in the middle of LOAD DATA, and took nothing, would be cut off as dead.
const LOCK_WAIT_MAX: &str =
    "SET SESSION innodb_lock_wait_timeout = LEAST(@@innodb_lock_wait_timeout, 50)";

/// Prepared statements kept by a connection: the sizes of the multi-row insert and the catalogue's own.
const STATEMENTS_KEPT: usize = 128;

/// What this program calls itself among the attributes of a connection. SingleStore's own connectors put an
/// underscore before these names, which the client library keeps for its own.
const CONNECTOR_NAME: &str = "s2x harness";

/// A connection that is ready for statements.
pub(in crate::store) struct Opened {
    pub(in crate::store) conn: Conn,
    pub(in crate::store) dialect: Dialect,
    /// The address as it may be shown: without the password.
    pub(in crate::store) shown: String,
    /// The largest statement that the server accepts, read at connect (E14).
    pub(in crate::store) packet_bytes_max: usize,
}

/// Connects to one endpoint and sets the session up.
///
/// # Errors
/// The server is not there, refuses the login, or is another one than the address says.
pub(in crate::store) fn open(
    address: &ServerAddress,
    endpoint: &Endpoint,
) -> Result<Opened, StoreError> {
    let shown = address.shown(endpoint);
    let fail = |error: &mysql::Error| classify(&shown, error).context("connect to the store");
    let mut conn = Conn::new(options(address, endpoint)?).map_err(|error| fail(&error))?;
    let answer: Option<(String, usize, Option<String>)> = conn
        .query_first("SELECT VERSION(), @@max_allowed_packet, @@version_comment")
        .map_err(|error| fail(&error))?;
    let Some((version, packet_bytes_max, comment)) = answer else {
        return Err(StoreError::internal(format!("{shown} did not say its version")));
    };
    let dialect = dialect_of(&version, comment.as_deref().unwrap_or_default());
    if address.is_singlestore() && dialect != Dialect::SingleStore {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("{shown} is no SingleStore but {version}; write mysql:// or mariadb://"),
        ));
    }
    for statement in session(dialect) {
        match conn.query_drop(statement) {
            Ok(()) => {}
            // Old servers lack some variables; what they guard is then the server's default.
            Err(error) if code_of(&error) == Some(classify::UNKNOWN_VARIABLE) => {}
            Err(error) => return Err(fail(&error)),
        }
    }
    Ok(Opened { conn, dialect, shown, packet_bytes_max })
}

/// Which database it is. SingleStore's version is that of the MySQL that it is compatible with, and its comment
/// its own name: "SingleStoreDB source distribution (compatible; …)", formerly MemSQL.
fn dialect_of(version: &str, comment: &str) -> Dialect {
    let comment = comment.to_ascii_lowercase();
    if comment.contains("singlestore") || comment.contains("memsql") {
        Dialect::SingleStore
    } else if version.to_ascii_lowercase().contains("mariadb") {
        Dialect::Mariadb
    } else {
        Dialect::Mysql
    }
}

fn options(address: &ServerAddress, endpoint: &Endpoint) -> Result<OptsBuilder, StoreError> {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = [
        ("program_name", "harness"),
        ("connector_name", CONNECTOR_NAME),
        ("connector_version", version),
    ];
    let options = OptsBuilder::new()
        .ip_or_hostname(Some(endpoint.host.clone()))
        .tcp_port(endpoint.port)
        .user(Some(address.user.clone()))
        .pass(address.password.as_ref().map(Secret::expose))
        .db_name(Some(address.database.clone()))
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_connect_timeout(Some(CONNECT_WAIT))
        .read_timeout(Some(ANSWER_WAIT))
        .write_timeout(Some(ANSWER_WAIT))
        .tcp_keepalive_time_ms(Some(KEEPALIVE_MS))
        .tcp_keepalive_probe_interval_secs(Some(KEEPALIVE_PROBE_S))
        .tcp_user_timeout_ms(Some(UNACKNOWLEDGED_MS))
        .connect_attrs(Some(HashMap::from(attributes)))
        .stmt_cache_size(STATEMENTS_KEPT);
    match &address.options.tls {
        Some(tls) => Ok(options.ssl_opts(Some(tls_options(tls)?))),
        None => Ok(options),
    }
}

/// The client's own TLS options; the files must be there, so that one that is not is named.
fn tls_options(tls: &Tls) -> Result<SslOpts, StoreError> {
    let files = tls.ca.iter().chain(tls.client.iter().flat_map(|(cert, key)| [cert, key]));
    for file in files {
        if let Err(error) = std::fs::File::open(file) {
            let shown = file.display();
            let text = format!("cannot read {shown}, which the store's address names: {error}");
            return Err(StoreError::new(StoreErrorKind::Config, text));
        }
    }
    let options = SslOpts::default()
        .with_root_cert_path(tls.ca.clone())
        .with_danger_skip_domain_validation(tls.check == TlsCheck::Authority);
    Ok(match &tls.client {
        Some((cert, key)) => {
            options.with_client_identity(Some(ClientIdentity::new(cert.clone(), key.clone())))
        }
        None => options,
    })
}

/// What every session starts with. Each matters: without strict mode a value that does not fit is cut, with
/// another time zone the views' times move, another isolation changes what a locked read sees.
fn session(dialect: Dialect) -> Vec<&'static str> {
    if dialect == Dialect::SingleStore {
        // The mode is that of the documented table. READ COMMITTED is the only isolation there is, and its
        // time zone is the cluster's.
        return vec![
            "SET NAMES utf8mb4",
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER'",
            "SET SESSION autocommit = 1",
        ];
    }
    let mut statements = vec![
        "SET NAMES utf8mb4",
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,\
         ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION autocommit = 1",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SESSION unique_checks = 1, foreign_key_checks = 1",
        LOCK_WAIT_MAX,
    ];
    if dialect == Dialect::Mariadb {
        // A host that vanished without closing its connection must not hold its row locks for hours.
        statements.push("SET SESSION idle_transaction_timeout = 120");
        statements.push("SET SESSION check_constraint_checks = 1");
    }
    statements
}

#[cfg(test)]
mod tests;
