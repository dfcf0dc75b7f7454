//! Where connections go, and what they say of themselves.

use harness::store::{Dialect, StoreErrorKind, StoreUrl, connect};
use xtask::double::Double;

use crate::bench::{Bench, generator, say};

/// Definitions go to one endpoint and everything else to others, of which one is away.
#[test]
fn definitions_and_rows_go_to_their_endpoints() {
    let bench = Bench::new();
    // Two aggregators of one cluster: the same rows behind both.
    let master = Double::start(&bench.folder.path().join("double.db")).unwrap();
    let dml = bench.double.address();
    // Nothing listens on port 1.
    let store = format!("singlestore://root@{dml},127.0.0.1:1/db?ddl={}", master.address());
    bench.run_well(&store, &generator(2, 200));
    let defines = |double: &Double| {
        let log = double.log();
        let (defining, other): (Vec<_>, Vec<_>) = log
            .into_iter()
            .partition(|it| it.sql.starts_with("CREATE") || it.sql.starts_with("DROP"));
        (defining.len(), other.iter().filter(|it| !is_session(&it.sql)).count())
    };
    let (here, rows) = defines(&bench.double);
    assert_eq!(here, 0, "no definition at the endpoint of rows");
    assert!(rows > 50, "{rows}");
    let (there, other) = defines(&master);
    assert!(there > 20, "{there}");
    assert_eq!(other, 0, "nothing but definitions at theirs: {:?}", master.log());
    assert_eq!(bench.query("SELECT COUNT(*) FROM `rows`").len(), 1);
}

/// What every connection begins with.
fn is_session(sql: &str) -> bool {
    ["SET ", "SELECT VERSION()", "SELECT @@"].iter().any(|begin| sql.starts_with(begin))
}

#[test]
fn a_connection_says_who_it_is() {
    let bench = Bench::new();
    let url: StoreUrl = bench.double.url("").parse().unwrap();
    connect(&url).unwrap();
    let guest = &bench.double.guests()[0];
    let value = |name: &str| {
        let found = guest.attributes.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(guest.user, "root");
    assert_eq!(value("connector_name"), Some("s2x harness"), "{guest:?}");
    assert_eq!(value("connector_version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(value("program_name"), Some("harness"));
}

#[test]
fn singlestore_is_found_out_under_another_scheme() {
    let bench = Bench::new();
    let url: StoreUrl = bench.double.url("").replace("singlestore", "mysql").parse().unwrap();
    assert_eq!(connect(&url).unwrap().dialect(), Dialect::SingleStore);
}

#[test]
fn another_server_is_no_singlestore() {
    let Ok(server) = std::env::var("MARIADB_URL") else {
        say("skipped: another_server_is_no_singlestore: MARIADB_URL is not set");
        return;
    };
    let url: StoreUrl = server.replacen("mysql:", "singlestore:", 1).parse().unwrap();
    let Err(error) = connect(&url) else { panic!("{url} opens") };
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains("is no SingleStore"), "{error}");
}

/// Two that begin on an empty cluster at the same time make one catalogue.
#[test]
fn racing_creators_make_one_catalogue() {
    let bench = Bench::new();
    let url: StoreUrl = bench.double.url("").parse().unwrap();
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let connect = std::sync::Arc::new(url.clone());
            std::thread::spawn(move || harness::catalogue::Catalogue::open(connect).map(drop))
        })
        .collect();
    for racer in racers {
        racer.join().unwrap().unwrap();
    }
    assert_eq!(bench.query("SELECT version FROM s2x_catalogue").len(), 1);
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let url: StoreUrl = "singlestore://u@127.0.0.1:1/d?tls-ca=/no/such/ca.pem".parse().unwrap();
    let Err(error) = connect(&url) else { panic!("{url} opens") };
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
}

#[test]
fn a_server_without_tls_is_told() {
    let bench = Bench::new();
    let url: StoreUrl = bench.double.url("?tls=verify-full").parse().unwrap();
    let Err(error) = connect(&url) else { panic!("{url} opens") };
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains("speaks no TLS"), "{error}");
}
