//! The first packets of a connection: who are you, can you prove it?
//!
//! May touch: the client's socket, through its wire. Invariants: all of it together is bounded in time and in
//! bytes; attempts at the password are looked at one after the other, and later and later.
//!
//! Source: "Connection Phase" in MySQL's protocol documentation.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::bytes::Reader;
use super::fault::Fault;
use super::hub::Hub;
use super::password::{NATIVE, SHA2, Salt, salt};
use super::patience::Attempt;
use super::reply::{self, AUTOCOMMIT};
use super::wire::{Wire, WireError};
use crate::store::CHARSET_TEXT;

/// How long a client may take to log in, pauses behind wrong passwords included. Why 10 s: MySQL's own limit.
const LOGIN_WAIT: Duration = Duration::from_secs(10);

/// How long it may take to answer the greeting. Why 5 s: libraries do so at once, and few may be so far.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How often an attempt that waits for its turn looks again. Why 50 ms: nothing beside the shortest pause.
const TURN_TICK: Duration = Duration::from_millis(50);

/// Longest packet of a login. Why 64 KiB: MySQL's own limit of connection attributes.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

/// How much of a claimed user name is kept. Why 32: MySQL's own limit.
const USER_CHARS_MAX: usize = 32;

/// What either side can do.
pub(super) mod can {
    pub(crate) const LONG_PASSWORD: u32 = 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const TLS: u32 = 1 << 11;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const MULTI_STATEMENTS: u32 = 1 << 16;
    pub(crate) const MULTI_RESULTS: u32 = 1 << 17;
    pub(crate) const PS_MULTI_RESULTS: u32 = 1 << 18;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const CONNECT_ATTRIBUTES: u32 = 1 << 20;
    pub(crate) const LONG_PROOF: u32 = 1 << 21;
}

/// What this side can do. No TLS, no compression, no files of the client.
const OFFERED: u32 = can::LONG_PASSWORD
    | can::LONG_FLAG
    | can::CONNECT_WITH_DB
    | can::PROTOCOL_41
    | can::TRANSACTIONS
    | can::SECURE_CONNECTION
    | can::MULTI_STATEMENTS
    | can::MULTI_RESULTS
    | can::PS_MULTI_RESULTS
    | can::PLUGIN_AUTH
    | can::CONNECT_ATTRIBUTES
    | can::LONG_PROOF;

/// Where a client asks to be let in.
pub(super) struct Door<'a> {
    pub(super) hub: &'a Hub,
    /// Its number.
    pub(super) id: u32,
    /// Where it is.
    pub(super) address: IpAddr,
}

/// A client that is in.
pub(super) struct Guest {
    /// What both sides can do.
    pub(super) can: u32,
    /// The database that it wants to begin in.
    pub(super) database: Option<String>,
    /// What it calls itself, cut; nobody has checked it.
    pub(super) user: String,
    /// What it was greeted with.
    pub(super) salt: Salt,
}

/// What is to show that a client knows the password.
struct Proof {
    method: &'static str,
    salt: Salt,
    bytes: Vec<u8>,
}

/// What a client answered to the greeting.
struct Answer {
    can: u32,
    user: String,
    proof: Vec<u8>,
    database: Option<String>,
    method: String,
}

/// Finds out who a client is. `None`: it was refused and told so. Who is let in is still to be told.
///
/// # Errors
/// It is gone, silent, or does not speak the protocol.
pub(super) fn welcome(wire: &mut Wire, door: &Door<'_>) -> Result<Option<Guest>, WireError> {
    let until = Instant::now() + LOGIN_WAIT;
    let salt = salt()?;
    wire.send(&greeting(door.id, &door.hub.version, &salt))?;
    wire.flush()?;
    let payload = wire.payload(until.min(Instant::now() + ANSWER_WAIT), LOGIN_BYTES_MAX)?;
    let answer = match read(&payload) {
        Ok(answer) => answer,
        Err(fault) => return refuse(wire, &fault),
    };
    let Answer { can, user, proof, database, method } = answer;
    let proof = match door.hub.options.password {
        // The proof may be of a method that the greeting did not ask for: ask again.
        Some(_) if method != SHA2 && can & can::PLUGIN_AUTH != 0 => {
            asked_again(wire, NATIVE, salt, until)?
        }
        Some(_) | None => Proof { method: known(&method), salt, bytes: proof },
    };
    if let Err(fault) = prove(wire, door, &proof, until)? {
        return refuse(wire, &fault);
    }
    Ok(Some(Guest { can, database, user, salt }))
}

/// Finds out who a client is that is in and wants to be somebody else (CHANGE_USER). The inner error is what it is
/// told before it has to go.
///
/// # Errors
/// As [`welcome`].
pub(super) fn again(
    wire: &mut Wire,
    door: &Door<'_>,
    payload: &[u8],
    (can, salt): (u32, Salt),
) -> Result<Result<Guest, Fault>, WireError> {
    let until = Instant::now() + LOGIN_WAIT;
    let mut reader = Reader::new(payload);
    let user = text(reader.terminated()).chars().take(USER_CHARS_MAX).collect();
    let len = reader.byte()?;
    let bytes = reader.take(usize::from(len))?.to_vec();
    let database = Some(text(reader.terminated())).filter(|name| !name.is_empty());
    // A client may leave out its character set and what follows it.
    let method = match can & can::PLUGIN_AUTH {
        0 => String::new(),
        _ if reader.is_empty() => String::new(),
        _ => {
            reader.u16()?;
            text(reader.terminated())
        }
    };
    let proof = match door.hub.options.password {
        // A proof is for one salt, once.
        Some(_) if can & can::PLUGIN_AUTH != 0 => {
            asked_again(wire, known(&method), self::salt()?, until)?
        }
        Some(_) | None => Proof { method: NATIVE, salt, bytes },
    };
    let proved = prove(wire, door, &proof, until)?;
    Ok(proved.map(|()| Guest { can, database, user, salt }))
}

/// The method of a name; one that is not known is that of every client.
fn known(method: &str) -> &'static str {
    if method == SHA2 { SHA2 } else { NATIVE }
}

/// Has a client prove that it knows the password, where there is one. The inner error is what it is told.
fn prove(
    wire: &mut Wire,
    door: &Door<'_>,
    proof: &Proof,
    until: Instant,
) -> Result<Result<(), Fault>, WireError> {
    let hub = door.hub;
    let Some(password) = &hub.options.password else { return Ok(Ok(())) };
    let is_right = || password.is_proved(proof.method, &proof.salt, &proof.bytes);
    loop {
        let now = Instant::now();
        match hub.patience.attempt(door.address, now, is_right) {
            Attempt::Right => break,
            Attempt::Wrong => return Ok(Err(Fault::new(1045, *b"28000", WRONG))),
            Attempt::Later(wait) if now + wait <= until => thread::sleep(wait.min(TURN_TICK)),
            Attempt::Later(_) => return Ok(Err(Fault::new(1129, *b"HY000", TOO_OFTEN))),
        }
        if hub.clients.is_leaving(door.id) {
            return Err(WireError::Closed);
        }
    }
    if proof.method == SHA2 {
        // "Fast authentication was successful."
        wire.send(&[1, 3])?;
    }
    Ok(Ok(()))
}

const WRONG: &str =
    "access denied: the password is wrong; it is that of harness serve, not the database's";

const TOO_OFTEN: &str = "access denied: too many wrong passwords from this address; wait a minute";

fn refuse(wire: &mut Wire, fault: &Fault) -> Result<Option<Guest>, WireError> {
    wire.send(&reply::error(fault))?;
    wire.flush()?;
    Ok(None)
}

fn greeting(id: u32, version: &str, salt: &Salt) -> Vec<u8> {
    let (first, rest) = salt.split_at(8);
    let [low1, low2, high1, high2] = OFFERED.to_le_bytes();
    let [charset, _] = CHARSET_TEXT.to_le_bytes();
    let mut greeting = vec![10];
    greeting.extend_from_slice(version.as_bytes());
    greeting.push(0);
    greeting.extend_from_slice(&id.to_le_bytes());
    greeting.extend_from_slice(first);
    greeting.extend_from_slice(&[0, low1, low2, charset]);
    greeting.extend_from_slice(&AUTOCOMMIT.to_le_bytes());
    // The salt and the zero behind it are 21 bytes.
    greeting.extend_from_slice(&[high1, high2, 21]);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(rest);
    greeting.push(0);
    greeting.extend_from_slice(SHA2.as_bytes());
    greeting.push(0);
    greeting
}

fn read(payload: &[u8]) -> Result<Answer, Fault> {
    let malformed = |error: WireError| Fault::new(1043, *b"08S01", error.to_string());
    let mut reader = Reader::new(payload);
    let can = match payload.len() {
        0..4 => 0,
        _ => reader.u32().map_err(malformed)?,
    };
    if can & can::PROTOCOL_41 == 0 || can & can::SECURE_CONNECTION == 0 {
        return Err(Fault::new(
            1043,
            *b"08S01",
            "bad handshake: a client of MySQL 4.1 or newer is needed",
        ));
    }
    if can & can::TLS != 0 {
        return Err(Fault::new(
            3159,
            *b"HY000",
            "this server speaks no TLS: turn it off, or use a tunnel",
        ));
    }
    let mut answer = || -> Result<Answer, WireError> {
        // Longest packet, character set, and nothing.
        reader.take(4 + 1 + 23)?;
        let user = text(reader.terminated()).chars().take(USER_CHARS_MAX).collect();
        let proof = match can & can::LONG_PROOF {
            0 => {
                let len = reader.byte()?;
                reader.take(usize::from(len))?
            }
            _ => reader.counted()?,
        };
        let database = (can & can::CONNECT_WITH_DB != 0).then(|| text(reader.terminated()));
        let method = match can & can::PLUGIN_AUTH {
            0 => NATIVE.to_owned(),
            _ => text(reader.terminated()),
        };
        let database = database.filter(|name| !name.is_empty());
        Ok(Answer { can: can & OFFERED, user, proof: proof.to_vec(), database, method })
    };
    answer().map_err(malformed)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks a client for a proof by this method and of this salt.
fn asked_again(
    wire: &mut Wire,
    method: &'static str,
    salt: Salt,
    until: Instant,
) -> Result<Proof, WireError> {
    let mut request = vec![0xfe];
    request.extend_from_slice(method.as_bytes());
    request.push(0);
    request.extend_from_slice(&salt);
    request.push(0);
    wire.send(&request)?;
    wire.flush()?;
    Ok(Proof { method, salt, bytes: wire.payload(until, LOGIN_BYTES_MAX)? })
}
