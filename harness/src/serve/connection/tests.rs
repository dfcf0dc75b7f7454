//! A client that is silent: how long, and what becomes of its transaction.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Waits, serve};
use crate::run::Control;
use crate::serve::Options;
use crate::serve::hub::Hub;
use crate::serve::turn::Opened;
use crate::serve::wire::{Wire, WireError};
use crate::store::{Connect as _, Store, StoreUrl};

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

/// A client that is logged in, and somebody else who wants to write.
struct Scene {
    client: TcpStream,
    other: Box<dyn Store>,
    served: thread::JoinHandle<Result<(), WireError>>,
    _folder: tempfile::TempDir,
}

fn scene(waits: Waits) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let store = StoreUrl::Sqlite { path: folder.path().join("a.db") };
    let mut other = store.connect().unwrap();
    other.run("CREATE TABLE t (a INTEGER)").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    let options =
        Options { store, listen, password: None, extractor: None, allow_host_access: false };
    let mut hub = Hub::new(options, "8.0.0".to_owned(), &Control::default());
    hub.waits = waits;
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
    Scene { client, other, served, _folder: folder }
}

impl Scene {
    /// In one packet, so that the machine may be as slow as it likes.
    fn begin(&mut self) {
        send(&mut self.client, 0, b"\x03BEGIN; INSERT INTO t VALUES (1)");
        assert_eq!((read(&mut self.client)[0], read(&mut self.client)[0]), (0, 0), "both done");
    }

    /// Nobody holds the file, and nothing of the transaction is in it.
    fn is_rolled_back(&mut self) {
        self.other.run("INSERT INTO t VALUES (2)").unwrap();
        let rows = self.other.query("SELECT SUM(a) FROM t", &[]).unwrap();
        assert_eq!(rows.first().unwrap().int(0).unwrap(), 2, "it was rolled back");
    }
}

fn shown(told: &[u8]) -> String {
    String::from_utf8_lossy(told).into_owned()
}

#[test]
fn a_silent_client_does_not_keep_the_file_locked() {
    let wait = Duration::from_millis(100);
    let mut scene = scene(Waits { in_transaction: wait, ..Waits::DEFAULT });
    scene.begin();
    let told = read(&mut scene.client);
    assert_eq!(told[..9], *b"\xff\xbf\x0f#HY000", "{}", shown(&told));
    scene.is_rolled_back();
    scene.served.join().unwrap().unwrap();
}

/// `ER_QUERY_TIMEOUT`, which clients know.
const TOO_LONG: &[u8] =
    b"\xff\xd0\x0b#HY000the transaction took longer than 1 s and is rolled back";

fn a_second() -> Waits {
    Waits { transaction: Duration::from_secs(1), ..Waits::DEFAULT }
}

#[test]
fn a_busy_client_does_not_keep_the_file_locked() {
    let mut scene = scene(a_second());
    scene.begin();
    // Always something to say, and never anything that takes long; a BEGIN is another transaction.
    let told = loop {
        send(&mut scene.client, 0, b"\x03UPDATE t SET a = 3");
        let told = read(&mut scene.client);
        if told[0] != 0 {
            break told;
        }
    };
    assert!(told.starts_with(TOO_LONG), "{}", shown(&told));
    scene.is_rolled_back();
}

#[test]
fn a_long_statement_does_not_keep_the_file_locked() {
    let mut scene = scene(a_second());
    for endless in [
        &b"\x03SELECT COUNT(*) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c)"[..],
        b"\x03UPDATE t SET a = (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(n) FROM c)",
    ] {
        scene.begin();
        send(&mut scene.client, 0, endless);
        let told = read(&mut scene.client);
        assert!(told.starts_with(TOO_LONG), "{}", shown(&told));
        scene.is_rolled_back();
        scene.other.run("DELETE FROM t").unwrap();
    }
    // The connection goes on, and its next transaction has its own time.
    scene.begin();
    send(&mut scene.client, 0, b"\x03ROLLBACK");
    assert_eq!(read(&mut scene.client)[0], 0);
}

#[test]
fn another_transaction_has_a_time_of_its_own() {
    let mut opened = Opened::default();
    let (now, most) = (Instant::now(), Duration::from_secs(10));
    opened.follow(false, now);
    assert_eq!(opened.until(most), None);
    opened.follow(true, now);
    opened.follow(true, now + most);
    assert_eq!(opened.until(most), Some(now + most), "from its first statement on");
    opened.follow(false, now + most);
    opened.follow(true, now + most);
    assert_eq!(opened.until(most), Some(now + 2 * most));
}
