//! Addresses as people write them, and as they mistype them.

use super::*;

#[track_caller]
fn shows(text: &str, expected: &str) {
    match text.parse::<StoreUrl>() {
        Ok(url) => assert_eq!(url.to_string(), expected),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn refuses(text: &str, reason: &str) {
    let error = text.parse::<StoreUrl>().expect_err(text);
    let message = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(message.contains(reason), "{message}");
    assert!(message.contains(ACCEPTED_FORMS), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn accepts_the_documented_forms() {
    shows("sqlite:a.db", "sqlite:a.db");
    shows("sqlite:/var/lib/a b.db", "sqlite:/var/lib/a b.db");
    shows("mysql://u@h/d", "mysql://u@h:3306/d");
    shows("mariadb://u:s3cret@h:13306/d", "mariadb://u:***@h:13306/d");
    shows("mysql://u@[::1]:9/d", "mysql://u@[::1]:9/d");
    shows("mysql://u@h/d?load=load-data", "mysql://u@h:3306/d?load=load-data");
    shows("mysql://u@h/d?load=insert", "mysql://u@h:3306/d?load=insert");
    shows(
        "singlestore://u:s3cret@a,b:3307,[::1]/d?compress=gzip&ddl=m",
        "singlestore://u:***@a:3306,b:3307,[::1]:3306/d?compress=gzip&ddl=m:3306",
    );
    shows(
        "singlestore://u@h/d?compress=none&load=load-data",
        "singlestore://u@h:3306/d?load=load-data",
    );
    shows(
        "mysql://u@h/d?tls-ca=%2fc%20a.pem&tls-cert=c.pem&tls-key=k.pem",
        "mysql://u@h:3306/d?tls=verify-full&tls-ca=/c a.pem&tls-cert=c.pem&tls-key=k.pem",
    );
    shows("mysql://u@h/d?tls=verify-ca", "mysql://u@h:3306/d?tls=verify-ca");
}

#[test]
fn resolves_escapes_and_odd_passwords() {
    let url: StoreUrl = "mysql://a%40b:p%3A%2f@x@h/d%20e".parse().expect("parses");
    let StoreUrl::Server(address) = url else { panic!("a server") };
    assert_eq!(address.user, "a@b");
    assert_eq!(address.password.as_ref().map(Secret::expose), Some("p:/@x"));
    assert_eq!(address.database, "d e");
}

#[test]
fn names_what_is_wrong_without_the_password() {
    refuses("", "no scheme");
    refuses("postgres://u:s3cret@h/d", "scheme");
    refuses("root:s3cret@h/d", "scheme");
    refuses("sqlite:", "path of a file");
    refuses("sqlite::memory:", "in-memory");
    refuses("sqlite:///tmp/a", "without //");
    refuses("mysql:u:s3cret@h/d", "followed by //");
    refuses("mysql://u:s3cret@h", "database is missing");
    refuses("mysql://u:s3cret@h/", "database is empty");
    refuses("mysql://h/d", "user is missing");
    refuses("mysql://:s3cret@h/d", "user is empty");
    refuses("mysql://u:s3cret@/d", "host is empty");
    refuses("mysql://u:s3cret@h:0/d", "port");
    refuses("mysql://u:s3cret@h:99999/d", "port");
    refuses("mysql://u:s3cret@[::1/d", "bracket");
    refuses("mysql://u:s3cret%4@h/d", "two hex digits");
    refuses("mysql://u:s3cret@h/d?load=fast", "neither insert nor load-data");
    refuses("mysql://u:s3cret@h/d?pw=s3cret", "only these are known");
    refuses("mysql://u:s3cret@h,i/d", "several hosts");
    refuses("mysql://u:s3cret@h/d?compress=lz4", "options of singlestore://");
    refuses("mysql://u:s3cret@h/d?ddl=x", "options of singlestore://");
    refuses("singlestore://u:s3cret@h,/d", "host is empty");
    refuses(
        &format!("singlestore://u:s3cret@{}/d", ["h"; ENDPOINTS_MAX + 1].join(",")),
        "more than 64",
    );
    refuses("singlestore://u:s3cret@h/d?compress=zip", "none of none, gzip, lz4");
    refuses("singlestore://u:s3cret@h/d?ddl=h:0", "port");
    refuses("singlestore://u:s3cret@h/d?tls=maybe", "neither verify-full");
    refuses("singlestore://u:s3cret@h/d?tls-cert=c", "go together");
    refuses(&format!("sqlite:{}", "x".repeat(URL_LEN_MAX)), "longer than");
}

#[test]
fn a_password_handed_over_apart_wins_and_stays_hidden() {
    let url: StoreUrl = "mysql://u:old@h/d".parse().expect("parses");
    let url = url.with_password(Secret::new("s3cret"));
    assert!(!format!("{url} {url:?}").contains("s3cret"));
    let StoreUrl::Server(address) = url else { panic!("a server") };
    assert_eq!(address.password.as_ref().map(Secret::expose), Some("s3cret"));
}
