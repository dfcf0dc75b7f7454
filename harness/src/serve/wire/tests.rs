//! An answer has an end, however patiently it is read.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Wire, WireError};

#[test]
fn one_answer_is_bounded_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut wire = Wire::new(listener.accept().unwrap().0).unwrap();
    wire.answer_wait = Duration::from_millis(50);
    // It reads all the time, so that nothing else ends it.
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; 4096];
        while client.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let until = Instant::now() + Duration::from_secs(60);
    let ended = loop {
        assert!(Instant::now() < until, "it is sent for ever");
        if let Err(error) = wire.send(&[7; 1000]).and_then(|()| wire.flush()) {
            break error;
        }
    };
    assert!(matches!(ended, WireError::Slow(_)), "{ended}");
    drop(wire);
    reader.join().unwrap();
}
