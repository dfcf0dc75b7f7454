//! Where to listen, as people write it.
//!
//! Touches nothing. Invariant: without an address it is loopback; a name is never resolved.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What may be written.
pub(crate) const FORM: &str = "PORT, which is of 127.0.0.1, or IP:PORT such as 127.0.0.1:9464";

/// Reads an address.
///
/// # Errors
/// It is none; the text says what is expected.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let read = || {
        if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        }
        text.replace("localhost:", "127.0.0.1:").parse().ok()
    };
    read().ok_or_else(|| format!("expected {FORM}"))
}

#[cfg(test)]
mod tests {
    //! What is an address.

    use super::*;

    #[test]
    fn a_port_alone_is_of_loopback() {
        for (text, expected) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", "127.0.0.1:9464"),
            ("localhost:9464", "127.0.0.1:9464"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text).map(|it| it.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "x", "metrics.example:9464", "127.0.0.1", "127.0.0.1:65536", "-1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
