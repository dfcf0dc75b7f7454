//! A relay in front of a broker, which counts connections. For tests of where connections go.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes connections on to an address; gives its own, and how many it took.
pub(crate) fn relay(to: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    thread::spawn(move || {
        for client in listener.incoming() {
            seen.fetch_add(1, Ordering::Relaxed);
            let client = client.unwrap();
            // A broker that has ended: the client is told by the end of its connection.
            let Ok(server) = TcpStream::connect(&to) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    drop(copy(&mut from, &mut to));
                    drop(to.shutdown(Shutdown::Write));
                });
            }
        }
    });
    (address, count)
}
