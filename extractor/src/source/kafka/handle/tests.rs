//! What `resolve` relies on, and what it gives.

use std::sync::Arc;

use serde_json::{Map, json};

use super::super::spoof::Spoof;
use super::*;
use crate::config::Settings;

fn handle(table: serde_json::Value) -> Handle {
    let config = Map::from_iter([("spoof.dns".to_owned(), table)]);
    let settings = Settings::from_maps(&config, &Map::new()).unwrap();
    Handle::new(&ClientConfig::new(), Events::new(Spoof::read(&settings).unwrap())).unwrap()
}

#[test]
fn callbacks_get_the_context_of_the_client() {
    let handle = handle(json!({"a:1": "127.0.0.1:2"}));
    // SAFETY: the client is alive.
    let given = unsafe { native::rd_kafka_opaque(handle.client.native_ptr()) };
    assert_eq!(given.cast_const().cast::<Events>(), Arc::as_ptr(handle.client.context()));
}

/// The port that `host:port` resolves to, or nothing.
fn port_of(handle: &Handle, host: &CStr, port: &CStr) -> Option<u16> {
    let context = Arc::as_ptr(handle.client.context()).cast_mut().cast::<c_void>();
    let mut found = std::ptr::null_mut();
    // SAFETY: as librdkafka calls it: the hints are zeroes but for two numbers, and what was found is
    // read before it is freed.
    unsafe {
        let mut hints: libc::addrinfo = std::mem::zeroed();
        (hints.ai_family, hints.ai_socktype) = (libc::AF_INET, libc::SOCK_STREAM);
        if resolve(host.as_ptr(), port.as_ptr(), &raw const hints, &raw mut found, context) != 0 {
            return None;
        }
        let address = *(*found).ai_addr.cast::<libc::sockaddr_in>();
        let none = std::ptr::null();
        assert_eq!(resolve(none, none, std::ptr::null(), &raw mut found, context), 0);
        Some(u16::from_be(address.sin_port))
    }
}

#[test]
fn only_what_is_in_the_table_is_reached_elsewhere() {
    let handle = handle(json!({"kafka.invalid:9092": "127.0.0.1:19092"}));
    assert_eq!(port_of(&handle, c"kafka.invalid", c"9092"), Some(19092));
    assert_eq!(port_of(&handle, c"kafka.invalid", c"9093"), None);
    assert_eq!(port_of(&handle, c"127.0.0.1", c"9092"), Some(9092));
}
