//! The texts of the library; what a broker gives is tested with a real one.

use super::*;

#[test]
fn texts_tell_the_fault() {
    for (text, fault) in [
        ("io: invalid peer certificate: certificate not valid for name \"b\"", Some(Fault::Name)),
        ("io: invalid peer certificate: certificate expired: verification time", Some(Fault::Time)),
        ("io: invalid peer certificate: UnknownIssuer", Some(Fault::Authority)),
        ("io: Connection refused (os error 111)", None),
    ] {
        assert_eq!(fault_of(text), fault, "{text}");
    }
}

#[test]
fn where_nobody_answers_there_is_no_fault() {
    let fault_at =
        |authorities: Authorities| authorities.fault_at("127.0.0.1:1", &Spoof::default());
    assert_eq!(fault_at(Authorities::Public), None);
    assert_eq!(fault_at(Authorities::Text("no PEM".to_owned())), None);
    assert_eq!(fault_at(Authorities::File("/nowhere".to_owned())), None);
}
