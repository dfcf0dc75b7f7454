//! What all connections of a server share: the pipelines that run, and the list of who is there.
//!
//! May touch: sockets of clients, to shut them. Invariant: how many clients there are is bounded.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Options;
use super::connection::Waits;
use super::patience::Patience;
use crate::report::{Report, Style, Verbosity};
use crate::run::Control;
use crate::sql::{Background, HostAccess, Session, Wishes};

/// Most clients at a time. Why 64: each may hold two connections to the database, of which MySQL and MariaDB
/// have 151 by default.
pub(super) const CLIENTS_MAX: usize = 64;

/// What all connections share.
pub(super) struct Hub {
    pub(super) options: Options,
    /// What the server calls its version.
    pub(super) version: String,
    pub(super) control: Control,
    pub(super) running: Background,
    pub(super) patience: Patience,
    /// How long clients may be silent.
    pub(super) waits: Waits,
    /// Tells warnings; equal ones once.
    pub(super) report: Report,
    began: Instant,
    clients: Mutex<BTreeMap<u32, TcpStream>>,
}

impl Hub {
    pub(super) fn new(options: Options, version: String, control: &Control) -> Self {
        let report = Report::start("serve", None, Style::Quiet, Verbosity::Warnings, control);
        Self {
            options,
            version,
            control: control.clone(),
            running: Background::of_server(),
            patience: Patience::default(),
            waits: Waits::DEFAULT,
            report,
            began: Instant::now(),
            clients: Mutex::default(),
        }
    }

    /// A new session on the store, for this client.
    pub(super) fn session(&self, client: Option<String>) -> Session {
        let wishes = Wishes {
            url: self.options.store.clone(),
            extractor: self.options.extractor.clone(),
            until_caught_up: false,
            leaves: None,
            leaf: None,
            style: Style::Quiet,
            verbosity: Verbosity::Warnings,
            host: if self.options.allow_host_access {
                HostAccess::Allowed
            } else {
                HostAccess::Refused
            },
            client,
        };
        Session::beside(wishes, &self.control, self.running.clone())
    }

    /// Takes a client in, by its number. `false`: there are too many.
    pub(super) fn enter(&self, id: u32, handle: TcpStream) -> bool {
        let mut clients = self.clients();
        let has_room = clients.len() < CLIENTS_MAX;
        if has_room {
            clients.insert(id, handle);
        }
        has_room
    }

    pub(super) fn leave(&self, id: u32) {
        self.clients().remove(&id);
    }

    /// Ends the connection of this number. `false`: there is none.
    pub(super) fn shut(&self, id: u32) -> bool {
        let clients = self.clients();
        let found = clients.get(&id);
        // One that is closed already is ended.
        found.map(|stream| drop(stream.shutdown(Shutdown::Both))).is_some()
    }

    /// Lets no client send anything more; what it was promised it still gets.
    pub(super) fn hush(&self) {
        for stream in self.clients().values() {
            drop(stream.shutdown(Shutdown::Read));
        }
    }

    /// How many clients there are.
    pub(super) fn count(&self) -> usize {
        self.clients().len()
    }

    /// One line for COM_STATISTICS.
    pub(super) fn statistics(&self) -> String {
        let running = self.running.names();
        let up = self.began.elapsed().as_secs();
        format!("Uptime: {up}  Threads: {}  Pipelines: {}", self.count(), running.len())
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<u32, TcpStream>> {
        // Nothing is left half done under this lock.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
