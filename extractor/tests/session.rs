//! Whole sessions with the real binary over real pipes, judged by the protocol's host session.

#[path = "support/driver.rs"]
mod driver;

use driver::*;

use serde_json::json;

#[test]
fn a_session_from_hello_to_stopped() {
    let mut host = Host::ready(json!({"test.rows": 2500, "test.splits": 2}));
    let mut rows = 0;
    while rows < 5000 {
        let batch = host.extract(&credit(1000));
        assert_eq!(batch.end.rows, batch.rows.len() as u64);
        rows += batch.end.rows;
    }
    let stopped = host.stop();
    assert_eq!(stopped.rows, 5000);
}
