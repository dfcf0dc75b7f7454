//! TLS and client certificates, which every server's address may name: tried on a MariaDB of this test alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::store::{LoadMethod, RowRef, Store, StoreError, StoreErrorKind, StoreUrl, connect};
use xtask::services::{Extra, Name, Services};

use crate::bench::say;

/// A server with a certificate, and a user that has to have one.
struct Secure {
    services: Services,
    folder: PathBuf,
    port: String,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.services.down().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Secure {
    fn start(test: &str) -> Option<Self> {
        let real = std::env::var("S2X_REAL").is_ok_and(|value| value == "1");
        let reason =
            if real { Name::Mariadb.unavailable() } else { Some("S2X_REAL is not 1".to_owned()) };
        if let Some(reason) = reason {
            say(&format!("skipped: {test}: {reason}"));
            return None;
        }
        let folder = std::env::temp_dir().join(format!("tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        certificates(&folder);
        let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
        let mariadb = vec![
            file("ssl-ca", "ca.crt"),
            file("ssl-cert", "server.crt"),
            file("ssl-key", "server.key"),
        ];
        let services = Services::open(Some(&folder.join("services"))).unwrap();
        services.up(&[Name::Mariadb], &Extra { mariadb, ..Extra::default() }).unwrap();
        let url = services.mariadb_url().unwrap();
        let mut admin = connect(&url.parse::<StoreUrl>().unwrap()).unwrap();
        admin.run("CREATE USER alice REQUIRE X509").unwrap();
        admin.run("GRANT ALL ON s2x.* TO alice").unwrap();
        let (_, after) = url.rsplit_once(':').unwrap();
        let port = after.split('/').next().unwrap().to_owned();
        Some(Self { services, folder, port })
    }

    fn open(&self, user: &str, host: &str, options: &str) -> Result<Box<dyn Store>, StoreError> {
        let options = options.replace("DIR", self.folder.to_str().unwrap());
        let url = format!("mysql://{user}@{host}:{}/s2x?{options}", self.port);
        connect(&url.parse::<StoreUrl>().unwrap())
    }

    #[track_caller]
    fn refuses(&self, user: &str, host: &str, options: &str, kind: StoreErrorKind) {
        let Err(error) = self.open(user, host, options) else { panic!("{options} opens") };
        assert_eq!(error.kind(), kind, "{error}");
    }
}

/// An authority, a stranger, and what the authority signed: the server's certificate for the name localhost, and
/// alice's.
fn certificates(folder: &Path) {
    let run = |args: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(args.split_ascii_whitespace()).current_dir(folder);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "openssl {args}: {output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for name in ["ca", "other"] {
        let usage = "-addext keyUsage=critical,keyCertSign,cRLSign";
        run(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name} {usage}"
        ));
    }
    for (name, extension) in
        [("server", "subjectAltName=DNS:localhost"), ("alice", "extendedKeyUsage=clientAuth")]
    {
        fs::write(folder.join(format!("{name}.ext")), extension).unwrap();
        run(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
             -extfile {name}.ext -out {name}.crt"
        ));
    }
}

#[test]
fn tls_lets_in_who_has_the_certificate_and_trusts_whom_it_was_told() {
    let test = "tls_lets_in_who_has_the_certificate_and_trusts_whom_it_was_told";
    let Some(secure) = Secure::start(test) else { return };
    let whole = "tls-ca=DIR/ca.crt&tls-cert=DIR/alice.crt&tls-key=DIR/alice.key&load=load-data";
    let mut store = secure.open("alice", "localhost", whole).unwrap();
    let answer = store.run("SHOW STATUS LIKE 'Ssl_version'").unwrap();
    assert!(answer.rows[0].text(1).unwrap().starts_with("TLSv1."), "{answer:?}");
    store.run("CREATE TABLE t (topic TEXT, id TEXT, record TEXT)").unwrap();
    let row = RowRef { topic: "t", id: "1", record: "{}" };
    let rows: &[RowRef<'_>] = &[row; 2_000];
    store.begin().unwrap();
    assert_eq!(store.load("t", &rows, LoadMethod::LoadData), Ok(2_000));
    store.commit().unwrap();
    // Its name is localhost, not its number; who asks for less gets in.
    let part = "tls-ca=DIR/ca.crt";
    secure.refuses("root", "127.0.0.1", part, StoreErrorKind::Config);
    drop(secure.open("root", "127.0.0.1", &format!("{part}&tls=verify-ca")).unwrap());
    drop(secure.open("root", "localhost", part).unwrap());
    // Who is not trusted is no server, and without its certificate alice is not alice.
    secure.refuses("root", "localhost", "tls-ca=DIR/other.crt", StoreErrorKind::Config);
    secure.refuses("root", "localhost", "tls=verify-full", StoreErrorKind::Config);
    secure.refuses("alice", "localhost", part, StoreErrorKind::Auth);
    secure.refuses("alice", "localhost", "load=insert", StoreErrorKind::Auth);
}
