//! Tests of the service's clock.

use super::*;

#[test]
fn the_time_is_the_service_s_and_goes_on() {
    let clock = Clock::default();
    assert_eq!((clock.now_ms(), clock.pin_ms()), (None, None));
    clock.clone().told("Thu, 09 Apr 2026 02:04:31 GMT");
    let told = 1_775_700_271_000;
    let now = clock.now_ms().unwrap();
    assert!((told..told + 60_000).contains(&now), "{now}");
    assert!(clock.pin_ms().unwrap() <= clock.now_ms().unwrap() - PIN_MARGIN_MS);
    clock.told("no date");
    assert!(clock.now_ms().unwrap() >= now);
}
