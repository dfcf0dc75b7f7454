//! `harness serve`: pipeline SQL for every MySQL client.
//!
//! ```text
//! socket ─► wire (packets) ─► handshake ─► connection (commands) ─► answer ─┬─► front (this server)
//!                                                                            └─► sql::Session ─► database
//! ```
//!
//! May touch: the socket that it listens on, one thread for each client. Invariants: nothing but loopback is
//! listened on without a password; hostile bytes end the connection that they came on, and nothing else;
//! pipelines belong to the server, transactions to the connection.

mod answer;
mod bytes;
mod clients;
mod connection;
mod fault;
mod front;
mod handshake;
mod hub;
mod password;
mod patience;
mod reply;
mod statements;
mod turn;
mod value;
mod wire;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit::Exit;
use crate::report::out;
use crate::run::Control;
use crate::sql::SqlError;
use crate::store::{Dialect, StoreUrl};
use fault::Fault;
use hub::Hub;
use wire::{Wire, WireError};

pub(crate) use password::Password;

/// How often the wish to end is looked at. Why 200 ms: soon for a person, nothing for a processor.
const TICK: u8 = 200;

/// How often a server that ends looks whether its clients are gone.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// How the server is to be.
pub(crate) struct Options {
    pub(crate) store: StoreUrl,
    pub(crate) listen: SocketAddr,
    /// `None`: whoever reaches the address is let in.
    pub(crate) password: Option<Password>,
    pub(crate) extractor: Option<PathBuf>,
    /// Whether statements may reach files, environment and programs of this machine.
    pub(crate) allow_host_access: bool,
}

/// Listens until `control` says that it is over; then ends the clients and the pipelines.
///
/// # Errors
/// The address cannot be listened on, or the store cannot be opened.
pub(crate) fn serve(options: Options, control: &Control) -> Result<(), SqlError> {
    let address = options.listen;
    let unusable = |error: std::io::Error| {
        let text = format!("cannot listen on {address}: {error}; choose another with --listen");
        SqlError::Refused(Exit::Config, text)
    };
    let listener = TcpListener::bind(address).map_err(unusable)?;
    listener.set_nonblocking(true).map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let version = version(&options.store)?;
    let hub = Arc::new(Hub::new(options, version, control));
    let store = &hub.options.store;
    // A reader that is not there any more is no reason to stop serving.
    drop(out::line(&format!("listening on {address}, store {store}")));
    let revived = {
        let hub = Arc::clone(&hub);
        let work = move || revive(&hub);
        thread::Builder::new().name("revive".to_owned()).spawn(work).map_err(unusable)?
    };
    accept(&listener, &hub);
    drop(listener);
    out::note("stopping: statements that run are finished, pipelines commit what was extracted");
    hub.clients.hush();
    while hub.clients.count() > 0 && !control.is_now() {
        thread::sleep(DRAIN_TICK);
    }
    if control.is_now() {
        return Ok(());
    }
    drop(revived.join());
    let ended = hub.running.wait();
    control.pool().close();
    ended
}

/// What the server calls its version: that of the database behind it, which clients go by.
fn version(store: &StoreUrl) -> Result<String, SqlError> {
    // Makes the catalogue where there is none, and with it an SQLite file.
    let mut catalogue = crate::catalogue::Catalogue::open(Arc::new(store.clone()))?;
    // Before a client can change what a pipeline says.
    drop(crate::sql::bind_older_secrets(&mut catalogue, store));
    let store = catalogue.store()?;
    if store.dialect() == Dialect::Sqlite {
        return Ok(format!("8.0.0-harness-{}", env!("CARGO_PKG_VERSION")));
    }
    let answer = store.query("SELECT VERSION()", &[])?;
    let first = answer.first().map(|row| row.text(0).map(str::to_owned)).transpose()?;
    Ok(first.unwrap_or_else(|| "8.0.0".to_owned()))
}

/// Starts the pipelines that were running when the last server ended.
fn revive(hub: &Hub) {
    let started = hub.session(None).start_those_running(&|line| out::note(line));
    if let Err(error) = started {
        hub.report.warn(&format!("cannot start the pipelines that were running: {error}"));
    }
}

fn accept(listener: &TcpListener, hub: &Arc<Hub>) {
    let mut last = 0_u32;
    while !hub.control.is_draining() {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        // A signal ends the wait, too.
        let _ready = poll(&mut fds, PollTimeout::from(TICK));
        match listener.accept() {
            Ok((stream, peer)) => {
                last = last.wrapping_add(1).max(1);
                admit(hub, last, stream, peer);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // No handles left, or a client that is gone already: others go on.
            Err(_) => thread::sleep(DRAIN_TICK),
        }
    }
}

/// Gives a client a thread.
fn admit(hub: &Arc<Hub>, id: u32, stream: TcpStream, peer: SocketAddr) {
    let entered = stream.set_nonblocking(false).and_then(|()| Wire::new(stream));
    let entered = entered.and_then(|wire| Ok((wire.handle()?, wire)));
    // A client that is gone already needs no answer.
    let Ok((handle, mut wire)) = entered else { return };
    if !hub.clients.enter(id, handle, peer.ip()) {
        let text = "too many clients log in to harness serve at this moment; try again";
        let refusal = reply::error(&Fault::new(1040, *b"08004", text));
        drop(wire.send(&refusal).and_then(|()| wire.flush()));
        return;
    }
    let place = Place { hub: Arc::clone(hub), id };
    let work = move || match connection::serve(&place.hub, id, wire, peer.ip()) {
        Ok(()) | Err(WireError::Closed | WireError::Io(_) | WireError::Silent) => {}
        Err(error) => {
            let text = format!("a connection from {} is closed: {error}", peer.ip());
            place.hub.report.warn(&text);
        }
    };
    let started = thread::Builder::new().name(format!("client-{id}")).spawn(work);
    if let Err(error) = started {
        hub.report.warn(&format!("cannot serve {}: {error}", peer.ip()));
    }
}

/// A client's place in the list, which is free again when its thread has ended.
struct Place {
    hub: Arc<Hub>,
    id: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.clients.leave(self.id);
    }
}
