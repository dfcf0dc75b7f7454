//! A client that is silent: how long, and what becomes of its transaction.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Waits, serve};
use crate::run::Control;
use crate::serve::Options;
use crate::serve::hub::Hub;
use crate::serve::wire::Wire;
use crate::store::{Connect as _, StoreUrl};

/// Reads one packet.
fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut payload).unwrap();
    payload
}

fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap();
    stream.write_all(&(len | u32::from(sequence) << 24).to_le_bytes()).unwrap();
    stream.write_all(payload).unwrap();
}

#[test]
fn a_silent_client_does_not_keep_the_file_locked() {
    let folder = tempfile::tempdir().unwrap();
    let store = StoreUrl::Sqlite { path: folder.path().join("a.db") };
    let mut other = store.connect().unwrap();
    other.run("CREATE TABLE t (a INTEGER)").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    let options =
        Options { store, listen, password: None, extractor: None, allow_host_access: false };
    let mut hub = Hub::new(options, "8.0.0".to_owned(), &Control::default());
    hub.waits = Waits { in_transaction: Duration::from_millis(100), ..Waits::DEFAULT };
    let hub = Arc::new(hub);
    let mut client = TcpStream::connect(listen).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let wire = Wire::new(listener.accept().unwrap().0).unwrap();
    assert!(hub.clients.enter(1, wire.handle().unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let served = thread::spawn(move || serve(&hub, 1, wire, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!(read(&mut client)[0], 10, "a greeting");
    // PROTOCOL_41, SECURE_CONNECTION, MULTI_STATEMENTS; nobody and no proof.
    let can: u32 = 1 << 9 | 1 << 15 | 1 << 16;
    let login = [&can.to_le_bytes()[..], &[0, 0, 0, 1, 45], &[0; 23], b"\0\0"].concat();
    send(&mut client, 1, &login);
    assert_eq!(read(&mut client)[0], 0, "let in");
    // In one packet, so that the machine may be as slow as it likes.
    send(&mut client, 0, b"\x03BEGIN; INSERT INTO t VALUES (1)");
    assert_eq!((read(&mut client)[0], read(&mut client)[0]), (0, 0), "both done");
    let told = read(&mut client);
    assert_eq!(told[..9], *b"\xff\xbf\x0f#HY000", "{}", String::from_utf8_lossy(&told));
    served.join().unwrap().unwrap();
    other.run("INSERT INTO t VALUES (2)").unwrap();
    let rows = other.query("SELECT SUM(a) FROM t", &[]).unwrap();
    assert_eq!(rows.first().unwrap().int(0).unwrap(), 2, "it was rolled back");
}
