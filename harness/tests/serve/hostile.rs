//! Bytes that no client sends end the connection that they came on, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::server::{Bench, Server, number};

/// What a client sends that wants nothing special.
fn login() -> Vec<u8> {
    // PROTOCOL_41, SECURE_CONNECTION, MULTI_STATEMENTS.
    let can: u32 = 1 << 9 | 1 << 15 | 1 << 16;
    let mut payload = can.to_le_bytes().to_vec();
    payload.extend_from_slice(&[0, 0, 0, 1, 45]);
    payload.extend_from_slice(&[0; 23]);
    payload.extend_from_slice(b"root\0\0");
    packet(1, &payload)
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let mut packet = (len | u32::from(sequence) << 24).to_le_bytes().to_vec();
    packet.extend_from_slice(payload);
    packet
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Reads one packet; nothing where the connection has ended.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

fn logged_in(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    assert_eq!(read(&mut stream).unwrap()[0], 10, "a greeting");
    stream.write_all(&login()).unwrap();
    assert_eq!(read(&mut stream).unwrap()[0], 0, "let in");
    stream
}

/// Sends bytes and waits until the server has closed the connection.
fn ends(mut stream: TcpStream, bytes: &[u8]) {
    // The server may close it before it has read everything.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn hostile_bytes_end_their_connection_only() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    writeln!(std::io::stderr().lock(), "hostile_bytes_end_their_connection_only: SEED={seed}")
        .unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut witness = server.client();

    // Before the login: another protocol, a length without bytes, a login cut anywhere, noise.
    ends(connect(&server), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    ends(connect(&server), &[0xff, 0xff, 0xff, 1]);
    ends(connect(&server), &packet(9, &[0; 40]));
    let whole = login();
    for end in 0..whole.len() {
        ends(connect(&server), &whole[..end]);
    }
    for _ in 0..100 {
        let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        ends(connect(&server), &packet(1, &noise));
    }
    // Behind it: every command with noise, and packets that are none.
    for code in 0..=255 {
        let noise: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
        ends(logged_in(&server), &packet(0, &[&[code], noise.as_slice()].concat()));
    }
    ends(logged_in(&server), &packet(0, &[]));
    ends(logged_in(&server), &packet(5, b"\x03SELECT 1"));
    ends(logged_in(&server), &[&packet(0, b"\x03SELECT 1")[..7], b""].concat());
    assert_eq!(number(&mut witness, "SELECT 41 + 1"), 42, "others are served as before");
}

#[test]
fn a_statement_that_is_too_long_is_told() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut stream = logged_in(&server);
    // A packet of the longest kind, and one that goes on: together one byte more than 16 MiB. The bytes that
    // are refused are not sent, so that nothing is unread when the server closes the connection.
    stream.write_all(&packet(0, &vec![b'x'; 0xff_ffff])).unwrap();
    stream.write_all(&packet(1, b"xx")[..4]).unwrap();
    let answer = read(&mut stream).expect("the server says why");
    assert_eq!(answer[..3], [0xff, 0x81, 0x04], "{}", String::from_utf8_lossy(&answer));
    assert_eq!(number(&mut server.client(), "SELECT 1"), 1);
}

#[test]
fn errors_have_a_number_and_a_state() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut stream = logged_in(&server);
    for (sql, wanted) in [
        (&b"\x03"[..], &b"\xff\x29\x04#42000"[..]),
        (b"\x03SELECT 'a", b"\xff\x28\x04#42000"),
        (b"\x03SELECT '\xff'", b"\xff\x14\x05#HY000"),
        (b"\x63", b"\xff\x17\x04#08S01"),
        (b"\x17\x09\0\0\0\0\x01\0\0\0", b"\xff\xdb\x04#HY000"),
    ] {
        stream.write_all(&packet(0, sql)).unwrap();
        let answer = read(&mut stream).unwrap();
        assert_eq!(answer[..9], *wanted, "{}", String::from_utf8_lossy(&answer));
    }
    stream.write_all(&packet(0, b"\x0e")).unwrap();
    assert_eq!(read(&mut stream).unwrap()[0], 0, "PING");
}

/// Peers that connect and say nothing take nobody's place, and hold up no login.
#[test]
fn peers_that_do_not_log_in_take_no_places() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let silent: Vec<TcpStream> = (0..70).map(|_| connect(&server)).collect();
    let mut clients: Vec<_> = (0..64).map(|_| server.client()).collect();
    let more: Vec<TcpStream> = (0..70).map(|_| connect(&server)).collect();
    for client in &mut clients {
        assert_eq!(number(client, "SELECT 41 + 1"), 42);
    }
    drop((silent, more));
}

/// Guesses are looked at one after the other, on however many connections they come.
#[test]
fn guesses_on_many_connections_are_no_faster() {
    let bench = Bench::sqlite();
    let server = bench.serve_with(&[], &[("S2X_SERVE_PASSWORD", "geheim")]);
    let (port, began) = (server.port, std::time::Instant::now());
    let guess = move |number: u32| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        read(&mut stream)?;
        let mut wrong = login();
        // The proof's length, its bytes and the zero that ends no database: by the method without a name.
        wrong.truncate(wrong.len() - 1);
        wrong.extend_from_slice(&[20]);
        wrong.extend_from_slice(&[u8::try_from(number).ok()?; 20]);
        let len = u8::try_from(wrong.len() - 4).ok()?;
        wrong[0] = len;
        stream.write_all(&wrong).ok()?;
        let answer = read(&mut stream)?;
        // Looked at; not turned away because it would be too late.
        (answer[..3] == [0xff, 0x15, 0x04]).then(|| began.elapsed())
    };
    let looked_at: Vec<Duration> = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..14).map(|number| scope.spawn(move || guess(number))).collect();
        guesses.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    assert!(!looked_at.is_empty(), "one is looked at at once");
    let pauses = (1..looked_at.len()).map(|wrong| (250 << (wrong - 1)).min(8000)).sum();
    let last = looked_at.iter().max().unwrap();
    assert!(*last >= Duration::from_millis(pauses), "{} in {last:?}", looked_at.len());
}
