//! Apache Kafka's own broker with TLS, logins and an authorizer: made for one test run, with
//! certificates of its own, on free ports of 127.0.0.1, and taken down with the last test.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use xtask::kafka::Client;
use xtask::services::{Extra, Name, Services};

/// Writes a line past the test runner, which swallows what the print macros write.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

/// The broker and what clients need to know of it.
pub(crate) struct Secure {
    services: Services,
    folder: PathBuf,
    /// TLS where clients need a certificate.
    pub(crate) ssl: u16,
    /// SCRAM over TLS.
    pub(crate) scram: u16,
    /// PLAIN without TLS.
    pub(crate) plain: u16,
    /// OAUTHBEARER with unsigned tokens, without TLS; logins last three seconds.
    pub(crate) oauth: u16,
    /// TLS behind a tunnel: the broker advertises [`TUNNEL`], which only `spoof.dns` finds.
    pub(crate) tunnel: u16,
    /// Without anything; whoever comes this way may do everything.
    pub(crate) open: String,
}

/// The password of alice on every port; bob's is the same.
pub(crate) const PASSWORD: &str = "s3cr3t-of-alice";

/// The password of the client key `alice.locked.key`.
pub(crate) const KEY_PASSWORD: &str = "s3cr3t-of-the-key";

/// Where the broker says that it is behind the tunnel; no resolver knows the name (RFC 6761).
pub(crate) const TUNNEL: &str = "broker.invalid:19093";

/// A topic that alice may read and describe.
pub(crate) const TOPIC: &str = "allowed";

/// Records in [`TOPIC`].
pub(crate) const ROWS: usize = 50;

impl Secure {
    /// The broker of this run; `None`, and a line that says why, where there is none.
    pub(crate) fn get(test: &str) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Secure>> = Mutex::new(Weak::new());
        let real = std::env::var("S2X_REAL").is_ok_and(|value| value == "1");
        let openssl = || {
            let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
            found.is_err().then(|| "openssl is not installed".to_owned())
        };
        let reason = match real {
            true => Name::Kafka.unavailable().or_else(openssl),
            false => Some("S2X_REAL is not 1".to_owned()),
        };
        if let Some(reason) = reason {
            say(&format!("skipped: {test}: {reason}"));
            return None;
        }
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start());
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!(
            "secure-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        fs::create_dir(&folder).unwrap();
        certificates(&folder);
        let services = Services::open(Some(&folder.join("services"))).unwrap();
        let ports = ports();
        let extra = Extra { kafka: lines(&folder, ports), ..Extra::default() };
        let up = services.up(&[Name::Kafka], &extra);
        let open = services.kafka_bootstrap().unwrap();
        let [ssl, scram, plain, oauth, tunnel] = ports;
        let secure = Self { services, folder, ssl, scram, plain, oauth, tunnel, open };
        up.unwrap();
        secure.fill();
        secure
    }

    fn fill(&self) {
        let mut client = Client::start(&self.open).unwrap();
        for command in [
            format!("topic-create {TOPIC} partitions=2"),
            format!("produce {TOPIC} count={ROWS} partition=rr:2"),
            format!("acl-add alice topic={TOPIC} operation=READ"),
            format!("acl-add alice topic={TOPIC} operation=DESCRIBE"),
            format!("scram-set alice mechanism=SCRAM-SHA-256 password={PASSWORD}"),
            format!("scram-set alice mechanism=SCRAM-SHA-512 password={PASSWORD}"),
            format!("scram-set bob mechanism=SCRAM-SHA-256 password={PASSWORD}"),
        ] {
            client.call(&command).unwrap();
        }
    }

    /// Path of a file that was made for this run.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Text of a file that was made for this run.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let down = self.services.down();
        drop(fs::remove_dir_all(&self.folder));
        if !std::thread::panicking() {
            down.unwrap();
        }
    }
}

/// Ports that are free now.
fn ports() -> [u16; 5] {
    let held = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

fn lines(folder: &Path, [ssl, scram, plain, oauth, tunnel]: [u16; 5]) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let module = "org.apache.kafka.common.security";
    let text = format!(
        "listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},\
         SSL://127.0.0.1:{ssl},SCRAM://127.0.0.1:{scram},PLAIN://127.0.0.1:{plain},\
         OAUTH://127.0.0.1:{oauth},TUNNEL://127.0.0.1:{tunnel}
         advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SSL://localhost:{ssl},\
         SCRAM://localhost:{scram},PLAIN://127.0.0.1:{plain},OAUTH://127.0.0.1:{oauth},\
         TUNNEL://{TUNNEL}
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
         SCRAM:SASL_SSL,PLAIN:SASL_PLAINTEXT,OAUTH:SASL_PLAINTEXT,TUNNEL:SSL
         ssl.keystore.type=PEM
         ssl.keystore.location={folder}/broker.pem
         ssl.truststore.type=PEM
         ssl.truststore.location={folder}/ca.crt
         listener.name.ssl.ssl.client.auth=required
         ssl.principal.mapping.rules=RULE:^CN=([a-z]+)$/$1/,DEFAULT
         listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
         listener.name.scram.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;
         listener.name.scram.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;
         listener.name.plain.sasl.enabled.mechanisms=PLAIN
         listener.name.plain.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
         user_alice=\"{PASSWORD}\" user_bob=\"{PASSWORD}\";
         listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
         listener.name.oauth.oauthbearer.sasl.jaas.config={module}.oauthbearer.\
         OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
         listener.name.oauth.oauthbearer.connections.max.reauth.ms=3000
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
         super.users=User:ANONYMOUS"
    );
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// An authority `ca`, another one `other`, and what they signed: the broker's certificate for the
/// names localhost and that behind the tunnel, alice's by way of an authority between, with her key open and locked.
fn certificates(folder: &Path) {
    let run = |args: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(args.split_ascii_whitespace()).current_dir(folder).stderr(Stdio::piped());
        let output = openssl.output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {args}: {why}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for (name, common) in [("ca", "authority"), ("other", "stranger")] {
        let usage = "-addext keyUsage=critical,keyCertSign,cRLSign";
        run(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={common} {usage}"
        ));
    }
    let sign = |name: &str, common: &str, by: &str, extensions: &str| {
        fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
        run(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={common}"));
        run(&format!(
            "x509 -req -in {name}.csr -CA {by}.crt -CAkey {by}.key -CAcreateserial -days 2 \
             -extfile {name}.ext -out {name}.crt"
        ));
    };
    sign("broker", "localhost", "ca", "subjectAltName=DNS:localhost,DNS:broker.invalid\n");
    sign("between", "between", "ca", "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n");
    sign("alice", "alice", "between", "extendedKeyUsage=clientAuth\n");
    sign("mallory", "mallory", "other", "extendedKeyUsage=clientAuth\n");
    run(&format!(
        "pkcs8 -topk8 -in alice.key -out alice.locked.key -v2 aes256 -passout pass:{KEY_PASSWORD}"
    ));
    let join = |name: &str, parts: [&str; 2]| {
        let text = parts.map(|part| fs::read_to_string(folder.join(part)).unwrap()).concat();
        fs::write(folder.join(name), text).unwrap();
    };
    join("broker.pem", ["broker.key", "broker.crt"]);
    join("alice.chain.crt", ["alice.crt", "between.crt"]);
    join("both.crt", ["other.crt", "ca.crt"]);
}
