//! Asks a Kafka broker for its metadata, the way any client begins, without a client library.
//!
//! May touch: one loopback socket. Invariant: true only when the broker itself answered and lists a
//! broker at this very port, which it does once it is registered and serves requests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Metadata, version 1, correlation 1, no client id, no topics (an empty list means none in
/// version 1). See the Kafka protocol guide, "Metadata API".
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];

/// Why: one broker and no topic is well below 100 bytes.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a broker that calls itself 127.0.0.1:`port` answers there.
pub(crate) fn answers(port: u16) -> bool {
    ask(port).is_some_and(|response| lists(&response, port))
}

fn ask(port: u16) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(&REQUEST).ok()?;
    let mut len = [0; 4];
    stream.read_exact(&mut len).ok()?;
    let len = usize::try_from(u32::from_be_bytes(len)).ok()?;
    if len > RESPONSE_BYTES_MAX {
        return None;
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Response version 1: correlation, then brokers as (node id, host, port, rack or null).
fn lists(response: &[u8], port: u16) -> bool {
    let mut rest = response;
    let mut search = || {
        take::<4>(&mut rest)?;
        let count = u32::from_be_bytes(take(&mut rest)?);
        for _ in 0..count {
            take::<4>(&mut rest)?;
            skip_string(&mut rest)?;
            let found = u32::from_be_bytes(take(&mut rest)?);
            skip_string(&mut rest)?;
            if found == u32::from(port) {
                return Some(());
            }
        }
        None
    };
    search().is_some()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let len = i16::from_be_bytes(take(rest)?);
    // -1 is null.
    *rest = rest.get(usize::try_from(len.max(0)).ok()?..)?;
    Some(())
}

#[cfg(test)]
mod tests;
