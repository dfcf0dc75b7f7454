//! The list of who is connected: newcomers, who have not proved yet who they are, and guests.
//!
//! May touch: sockets of clients, to shut them. Invariants: newcomers and guests are bounded apart, so that who
//! does not log in takes no guest's place; a newcomer has to go for another one only where its address has as many
//! as any other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::turn::Running;

/// Most guests at a time. Why 64: each may hold two connections to the database, of which MySQL and MariaDB
/// have 151 by default.
pub(super) const GUESTS_MAX: usize = 64;

/// Most newcomers at a time. Why 16: a login takes milliseconds; the oldest of the address that has most of them
/// goes for one more.
pub(super) const NEWCOMERS_MAX: usize = 16;

/// Most threads of newcomers, those included that were told to go and have not ended yet. Why twice as many: they
/// notice within [`super::handshake`]'s tick.
const LEAVING_MAX: usize = 2 * NEWCOMERS_MAX;

/// How long whoever comes next waits for one of those to end. Why 2 s: they end within moments, where the machine has
/// any time for them.
const LEAVING_WAIT: Duration = Duration::from_secs(2);

/// What a client is to this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not logged in yet.
    Newcomer,
    /// It was to go before it did.
    Leaving,
    /// It has.
    Guest,
}

struct Client {
    stream: TcpStream,
    address: IpAddr,
    standing: Standing,
    /// Its statement, while one runs.
    running: Option<Running>,
}

/// The clients by their numbers, which grow.
#[derive(Default)]
pub(super) struct Clients {
    all: Mutex<BTreeMap<u32, Client>>,
    /// One has left.
    left: Condvar,
}

impl Clients {
    /// Takes a newcomer in; may wait for others to go. `false`: there are too many.
    pub(super) fn enter(&self, id: u32, stream: TcpStream, address: IpAddr) -> bool {
        let is_full = |clients: &mut BTreeMap<u32, Client>| {
            clients.values().filter(|it| it.standing != Standing::Guest).count() >= LEAVING_MAX
        };
        let waited = self.left.wait_timeout_while(self.lock(), LEAVING_WAIT, is_full);
        let (mut clients, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return false;
        }
        make_room(&mut clients);
        clients.insert(id, Client { stream, address, standing: Standing::Newcomer, running: None });
        true
    }

    /// Makes a newcomer a guest. `false`: there are too many.
    pub(super) fn seat(&self, id: u32) -> bool {
        let mut clients = self.lock();
        let guests = clients.values().filter(|it| it.standing == Standing::Guest).count();
        let newcomer = clients.get_mut(&id).filter(|it| it.standing == Standing::Newcomer);
        match newcomer {
            Some(client) if guests < GUESTS_MAX => {
                client.standing = Standing::Guest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether a client was told to go before it had logged in.
    pub(super) fn is_leaving(&self, id: u32) -> bool {
        self.lock().get(&id).is_none_or(|it| it.standing == Standing::Leaving)
    }

    pub(super) fn leave(&self, id: u32) {
        self.lock().remove(&id);
        self.left.notify_all();
    }

    /// What a client's connection runs from now on.
    pub(super) fn runs(&self, id: u32, running: Option<Running>) {
        if let Some(client) = self.lock().get_mut(&id) {
            client.running = running;
        }
    }

    /// Ends the connection of a guest, where `with_connection`, and answers its statement, which is to be ended
    /// without this lock. The outer `None`: there is no guest of this number.
    pub(super) fn end(&self, id: u32, with_connection: bool) -> Option<Option<Running>> {
        let clients = self.lock();
        let client = clients.get(&id).filter(|it| it.standing == Standing::Guest)?;
        if with_connection {
            // One that is closed already is ended.
            drop(client.stream.shutdown(Shutdown::Both));
        }
        Some(client.running.clone())
    }

    /// Lets no client send anything more; what it was promised it still gets.
    pub(super) fn hush(&self) {
        for client in self.lock().values() {
            drop(client.stream.shutdown(Shutdown::Read));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Client>> {
        // Nothing is left half done under this lock.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the oldest newcomer of the address with most of them go, where there is no room for one more.
fn make_room(clients: &mut BTreeMap<u32, Client>) {
    let mut by_address: BTreeMap<IpAddr, (usize, u32)> = BTreeMap::new();
    let newcomers = clients.iter().filter(|(_, it)| it.standing == Standing::Newcomer);
    for (id, client) in newcomers {
        // Numbers grow: the first is the oldest.
        by_address.entry(client.address).or_insert((0, *id)).0 += 1;
    }
    if by_address.values().map(|(count, _)| count).sum::<usize>() < NEWCOMERS_MAX {
        return;
    }
    let most = by_address.values().max_by_key(|(count, _)| *count).map(|(_, id)| *id);
    if let Some(client) = most.and_then(|id| clients.get_mut(&id)) {
        client.standing = Standing::Leaving;
        drop(client.stream.shutdown(Shutdown::Both));
    }
}

#[cfg(test)]
mod tests;
