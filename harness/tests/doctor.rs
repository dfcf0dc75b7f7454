//! `harness doctor` on set-ups that are broken in one way each: the line that a person sees, what to do, and
//! the exit code. Closed ports, files and SQLite need nothing installed; the rest runs against Apache
//! Kafka's broker, MariaDB, and ferrokinesis inside this process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "../../extractor/tests/kafka_support/secure.rs"]
#[expect(dead_code, reason = "the tests of sources use the rest")]
mod secure;
#[path = "../../extractor/tests/kinesis_support/server.rs"]
mod server;
#[expect(dead_code, reason = "shared with the fault tests, of which this uses a part")]
#[path = "faults/support.rs"]
mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

// What `server.rs` names, which the extractor's tests use as well.
use aws_sdk_kinesis as _;
use aws_smithy_http_client as _;
use ferrokinesis as _;
use serde_json::{Value, json};
use tokio as _;

use secure::{PASSWORD, Secure, TOPIC};
use server::{STREAM, Server};
use support::{Database, extractor};

/// A pipeline file in a folder of its own.
struct Bed {
    folder: tempfile::TempDir,
    store: String,
}

/// What the doctor said.
struct Said {
    code: i32,
    out: String,
}

impl Bed {
    fn new(config: Value) -> Self {
        Self::with(config, "sqlite:s.db", json!({}))
    }

    fn with(config: Value, store: &str, credentials: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bed = Self { folder, store: store.to_owned() };
        let file = json!({"name": "p", "config": config, "credentials": credentials});
        bed.write("p.json", &file.to_string());
        bed
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn harness(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(args).args(["--store", &self.store]).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env_remove("S2X_STORE").stdin(Stdio::null());
        command
    }

    fn said(&self, args: &[&str]) -> Said {
        let output = self.harness(args).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err, "", "{args:?}");
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(!out.contains('\u{1b}'), "no colour without a terminal: {out:?}");
        Said { code: output.status.code().unwrap_or(-1), out }
    }

    /// The doctor with the real extractor.
    fn doctor(&self) -> Said {
        self.said(&["doctor", "p.json", "--extractor", extractor().to_str().unwrap()])
    }
}

impl Said {
    /// The line of a check, without its name.
    #[track_caller]
    fn line(&self, name: &str) -> &str {
        let line =
            self.out.lines().find(|line| line.get(6..).is_some_and(|it| it.starts_with(name)));
        line.unwrap_or_else(|| panic!("no line of {name} in\n{}", self.out))
    }

    /// The first failure is this one, with this text and this remedy below it; the code is its own.
    #[track_caller]
    fn fails(&self, code: i32, name: &str, text: &str, remedy: &str) {
        let first = self.out.lines().position(|line| line.starts_with("FAIL"));
        let first = first.unwrap_or_else(|| panic!("nothing failed:\n{}", self.out));
        let lines: Vec<&str> = self.out.lines().collect();
        assert_eq!(lines[first], format!("FAIL  {name:<16}  {text}"), "\n{}", self.out);
        assert_eq!(lines[first + 1].trim(), format!("to do: {remedy}"), "\n{}", self.out);
        assert_eq!(self.code, code, "\n{}", self.out);
    }

    /// These checks are good.
    #[track_caller]
    fn good(&self, names: &[&str]) {
        for name in names {
            assert!(self.line(name).starts_with("ok    "), "{name}:\n{}", self.out);
        }
    }

    #[track_caller]
    fn not_checked(&self, name: &str, why: &str) {
        assert_eq!(
            self.line(name),
            format!("-     {name:<16}  not checked: {why}"),
            "\n{}",
            self.out
        );
    }
}

fn test_source() -> Value {
    json!({"connector.class": "test", "test.splits": 2, "test.rows": 10})
}

fn kafka(servers: &str, topic: &str) -> Value {
    json!({"connector.class": "kafka", "bootstrap.servers": servers, "topics": topic})
}

/// A port of this machine that nobody listens at.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

const SOURCE: [&str; 8] = [
    "extractor",
    "configuration",
    "source address",
    "TLS",
    "login",
    "permissions",
    "topic or stream",
    "offsets",
];

const DATABASE: [&str; 6] =
    ["database address", "database login", "database rights", "LOCAL INFILE", "table", "catalogue"];

#[test]
fn what_is_in_order_is_called_good_and_nothing_is_touched() {
    let bed = Bed::new(test_source());
    let before = contents(bed.folder.path());
    let said = bed.doctor();
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&["pipeline"]);
    said.good(&SOURCE);
    said.good(&DATABASE);
    assert_eq!(
        said.line("database address"),
        "ok    database address  s.db will be made by the first run"
    );
    assert_eq!(contents(bed.folder.path()), before, "no file was made");

    let path = extractor().to_str().unwrap();
    let run = ["run", "p.json", "--until-caught-up", "-q", "--extractor", path];
    let ran = bed.harness(&run).status().unwrap();
    assert!(ran.success());
    let before = contents(bed.folder.path());
    let said = bed.doctor();
    assert_eq!(said.code, 0, "{}", said.out);
    assert_eq!(said.line("table"), "ok    table             p takes topic, id and record");
    assert!(said.line("catalogue").ends_with("; the pipeline is Stopped"), "{}", said.out);
    assert_eq!(contents(bed.folder.path()), before, "not one byte was changed");

    let json =
        bed.said(&["doctor", "p.json", "--json", "--extractor", extractor().to_str().unwrap()]);
    let lines: Vec<Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1 + SOURCE.len() + DATABASE.len());
    assert!(lines.iter().all(|line| line["outcome"] == "ok"), "{}", json.out);
    assert_eq!(lines[6]["check"], "permissions");
}

#[test]
fn a_file_that_cannot_be_read_leaves_nothing_to_check() {
    let bed = Bed::new(test_source());
    let said = bed.said(&["doctor", "q.json"]);
    let text =
        "cannot read the pipeline file q.json: it does not exist; name a .json or .properties file";
    said.fails(66, "pipeline", text, "correct what the line names");
    for name in SOURCE.iter().chain(&DATABASE) {
        said.not_checked(name, "the pipeline cannot be read");
    }
    bed.write("p.json", "{\"name\": \"p\"");
    let said = bed.said(&["doctor", "p.json"]);
    assert_eq!(said.code, 78, "{}", said.out);
    assert!(said.line("pipeline").starts_with("FAIL  pipeline          p.json:1:"), "{}", said.out);
    let said = bed.said(&["doctor", "orders"]);
    let text = "s.db does not exist; name the file of a store";
    said.fails(78, "pipeline", text, "correct what the line names");
}

#[test]
fn an_extractor_that_is_none_is_told_and_the_database_is_checked_all_the_same() {
    let bed = Bed::new(test_source());
    let build = "build the extractor, or name it with --extractor or extractor.path";
    let get = "build it with `cargo build --release -p extractor`, or name one with --extractor";
    let said = bed.said(&["doctor", "p.json", "--extractor", "nowhere"]);
    said.fails(78, "extractor", &format!("the extractor nowhere does not exist; {get}"), build);
    said.not_checked("login", "there is no extractor to ask");
    said.good(&DATABASE);
    bed.write("plain", "no program");
    let said = bed.said(&["doctor", "p.json", "--extractor", "plain"]);
    said.fails(78, "extractor", &format!("the extractor plain is not executable; {get}"), build);
    bed.write("other", "#!/bin/sh\nexit 3\n");
    let path = bed.folder.path().join("other");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let said = bed.said(&["doctor", "p.json", "--extractor", path.to_str().unwrap()]);
    let remedy = "name the extractor of this version with --extractor or extractor.path";
    said.fails(76, "extractor", "extractor exited with code 3", remedy);
    said.not_checked("offsets", "extractor failed");
}

#[test]
fn a_configuration_that_cannot_work_is_told_with_the_key() {
    let mut config = test_source();
    config["test.rwos"] = json!(5);
    let said = Bed::new(config).doctor();
    let text = "CONFIG_INVALID: unknown key \"test.rwos\" in the pipeline's configuration; did you mean \
                \"test.rows\"?";
    said.fails(78, "configuration", text, "correct the key that the line names");
    said.good(&["extractor"]);
    said.not_checked("source address", "configuration failed");
    let said = Bed::new(json!({"connector.class": "kafak"})).doctor();
    assert_eq!(said.code, 78);
    assert!(said.line("configuration").contains("CONFIG_UNKNOWN_CLASS: "), "{}", said.out);
}

#[test]
fn an_address_that_does_not_answer_is_told() {
    let port = closed_port();
    let servers = format!("127.0.0.1:{port}");
    let said = Bed::new(kafka(&servers, "t")).doctor();
    let remedy = "start the source, correct its address, or open the way to its port";
    assert_eq!(said.code, 75, "{}", said.out);
    let line = said.line("source address");
    let begin = format!(
        "FAIL  source address    SOURCE_UNAVAILABLE: no broker of bootstrap.servers {servers} can be"
    );
    assert!(line.starts_with(&begin), "{line}");
    assert!(said.out.contains(&format!("to do: {remedy}\n")), "{}", said.out);
    said.good(&["extractor", "configuration"]);
    said.not_checked("TLS", "source address failed");
    said.good(&DATABASE);

    let said = Bed::new(kafka("no-such-host.invalid:9092", "t")).doctor();
    assert_eq!(said.code, 75, "{}", said.out);
    let line = said.line("source address");
    assert!(
        line.starts_with("FAIL  source address    DNS: no broker of bootstrap.servers"),
        "{line}"
    );
    assert!(
        said.out.contains("to do: correct the host's name, or the name service"),
        "{}",
        said.out
    );

    let config = json!({
        "connector.class": "kinesis", "kinesis.stream": "s", "kinesis.region": "us-east-1",
        "kafka.topic": "t", "aws.access.key.id": "AKIDX", "aws.secret.access.key": "canary-secret",
        "kinesis.endpoint": format!("http://127.0.0.1:{port}")
    });
    let said = Bed::new(config).doctor();
    assert_eq!(said.code, 75, "{}", said.out);
    let line = said.line("source address");
    assert!(line.starts_with("FAIL  source address    SOURCE_UNAVAILABLE: "), "{line}");
    assert!(!said.out.contains("canary"), "{}", said.out);
}

#[test]
fn a_file_that_is_no_store_is_told() {
    let mut bed = Bed::new(test_source());
    bed.store = "sqlite:none/s.db".to_owned();
    let name = "name another file, or make the folder";
    bed.doctor().fails(78, "database address", "none/s.db: the folder none does not exist", name);
    bed.store = "sqlite:.".to_owned();
    bed.doctor().fails(78, "database address", ". is a folder", name);
    bed.store = "sqlite:s.db".to_owned();
    bed.write(
        "s.db",
        "this is no database, and longer than a header of one has to be: 100 bytes at the \
                       least, of which SQLite looks at the first sixteen",
    );
    let text = "open the store: s.db is not an SQLite database; name another file";
    bed.doctor().fails(78, "database address", text, name);
}

#[test]
fn a_table_or_a_catalogue_that_does_not_fit_is_told() {
    let bed = Bed::new(test_source());
    let file = bed.folder.path().join("s.db");
    let sql = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    sql("CREATE TABLE p (topic TEXT, id TEXT, body TEXT NOT NULL)");
    let text = "table p has columns (topic, id, body NOT NULL); wanted (topic, id, record) and no other \
                column that is NOT NULL without a default; name another table or change this one";
    bed.doctor().fails(78, "table", text, "name another table, or change p");
    sql("DROP TABLE p");
    let path = extractor().to_str().unwrap();
    let run = ["run", "p.json", "--until-caught-up", "-q", "--extractor", path];
    assert!(bed.harness(&run).status().unwrap().success());
    let other = ["doctor", "p.json", "--extractor", extractor().to_str().unwrap()];
    let mut config = test_source();
    config["leaves"] = json!(3);
    bed.write("p.json", &json!({"name": "p", "config": config}).to_string());
    let said = bed.said(&other);
    assert_eq!(said.code, 78, "{}", said.out);
    let line = said.line("catalogue");
    assert!(line.starts_with("FAIL  catalogue         pipeline p is shared by 1 leaves"), "{line}");
    sql("UPDATE s2x_catalogue SET version = 99");
    let said = bed.said(&other);
    let line = said.line("catalogue");
    assert!(line.contains("has version 99; this program knows up to"), "{line}");
    assert!(line.ends_with("install the newer program"), "{line}");
}

/// A table of other columns than topic, id and record, in which rows replace, is in order where a run is.
fn a_mapped_table(bed: &mut Bed, create: impl Fn(&str)) {
    let mut config = test_source();
    config["fields.whitelist"] = json!("gen,row");
    config["singlestore.upsert"] = json!(true);
    bed.write("p.json", &json!({"name": "p", "config": config}).to_string());
    create("CREATE TABLE p (gen VARCHAR(9) PRIMARY KEY, `row` INTEGER)");
    let path = extractor().to_str().unwrap();
    for _ in 0..2 {
        let said = bed.doctor();
        assert_eq!(said.code, 0, "{}", said.out);
        said.good(&DATABASE);
        let run = ["run", "p.json", "--until-caught-up", "-q", "--extractor", path];
        assert!(bed.harness(&run).status().unwrap().success());
    }
}

#[test]
fn a_mapped_table_is_in_order_in_sqlite() {
    let mut bed = Bed::new(test_source());
    let file = bed.folder.path().join("s.db");
    let create = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    a_mapped_table(&mut bed, create);
}

#[test]
fn a_mapped_table_is_in_order_in_mariadb() {
    let mut bed = Bed::new(test_source());
    let Some(database) = Database::new("doctor_mapped") else { return };
    bed.store.clone_from(&database.url);
    a_mapped_table(&mut bed, |sql| admin(&database, sql));
}

#[test]
fn a_pipeline_of_the_catalogue_is_examined_by_its_name() {
    let bed = Bed::new(test_source());
    let create = "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\"; \
                  CREATE INFERRED PIPELINE q AS LOAD DATA KAFKACONNECT 'x' CONFIG \
                  '{\"connector.class\": \"test\", \"test.splits\": 2}' CREDENTIALS '{}' FORMAT AVRO";
    let path = extractor().to_str().unwrap();
    let made = bed.harness(&["sql", "-e", create, "--extractor", path]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = bed.said(&["doctor", "q", "--extractor", extractor().to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&SOURCE);
    said.good(&DATABASE);
    let said = bed.said(&["doctor", "nobody"]);
    let text = "there is no pipeline nobody; SHOW PIPELINES lists them";
    said.fails(78, "pipeline", text, "correct what the line names");
}

#[test]
fn each_fault_of_a_server_is_told() {
    let mut bed = Bed::new(test_source());
    bed.store = format!("mysql://root@127.0.0.1:{}/test", closed_port());
    let said = bed.doctor();
    assert_eq!(said.code, 75, "{}", said.out);
    assert!(said.line("database address").contains("cannot be reached"), "{}", said.out);
    assert!(
        said.out.contains("to do: start the server, or correct host and port of store"),
        "{}",
        said.out
    );
    said.not_checked("database login", "database address failed");
    said.good(&SOURCE);

    let Some(database) = Database::new("doctor_server") else { return };
    bed.store.clone_from(&database.url);
    let said = bed.doctor();
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&DATABASE);

    bed.store = format!("{}?load=load-data", database.url);
    admin(&database, "SET GLOBAL local_infile = OFF");
    let said = bed.doctor();
    admin(&database, "SET GLOBAL local_infile = ON");
    assert_eq!(said.code, 78, "{}", said.out);
    let line = said.line("LOCAL INFILE");
    assert!(
        line.ends_with("local_infile is OFF on the server, and load=load-data needs it"),
        "{line}"
    );
    let remedy = "to do: SET GLOBAL local_infile = ON on the server, or take ?load=load-data away";
    assert!(said.out.contains(remedy), "{}", said.out);

    bed.store = format!("{}_none", database.url);
    let said = bed.doctor();
    assert_eq!(said.code, 78, "{}", said.out);
    assert!(said.line("database login").contains("(server error 1049)"), "{}", said.out);
    assert!(
        said.out.contains("to do: create the database, or correct its name in store"),
        "{}",
        said.out
    );
}

fn admin(database: &Database, sql: &str) {
    let url: harness::store::StoreUrl = database.url.parse().unwrap();
    harness::store::connect(&url).unwrap().run(sql).unwrap();
}

#[test]
fn each_right_that_a_user_lacks_is_told() {
    let mut bed = Bed::new(test_source());
    let Some(database) = Database::new("doctor_rights") else { return };
    let admin = |sql: &str| admin(&database, sql);
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    let host = database.url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    admin("DROP USER IF EXISTS poor@'127.0.0.1'");
    admin("DROP USER IF EXISTS poor@localhost");
    admin("DROP USER IF EXISTS poor@'%'");
    admin("CREATE USER poor@'%' IDENTIFIED BY 's3cr3t-of-poor'");
    bed.store = format!("mysql://poor@{host}/{name}");
    let login = "correct user and password of store, and allow the user the database";
    let said = bed.doctor();
    assert_eq!(said.code, 77, "{}", said.out);
    assert!(said.line("database login").contains("(server error 1045)"), "{}", said.out);
    assert!(said.out.contains(&format!("to do: {login}")), "{}", said.out);
    said.good(&["database address"]);

    bed.write("password", "s3cr3t-of-poor\n");
    let extractor = extractor().to_str().unwrap();
    let args = ["doctor", "p.json", "--store-password-file", "password", "--extractor", extractor];
    admin(&format!("GRANT SELECT, INSERT ON `{name}`.* TO poor@'%'"));
    let said = bed.said(&args);
    let grant = "grant SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, CREATE VIEW on the database to the user";
    let text = format!(
        "the user poor@% lacks UPDATE, DELETE, CREATE, DROP, CREATE VIEW on the database {name}, where tables are \
         yet to be made"
    );
    said.fails(77, "database rights", &text, grant);
    said.good(&["database login"]);

    // Everything is there: what is missing is the server's to say.
    bed.store.clone_from(&database.url);
    let run = ["run", "p.json", "--until-caught-up", "-q", "--extractor", extractor];
    assert!(bed.harness(&run).status().unwrap().success());
    // A column that the server computes takes no value, and is no obstacle.
    admin("ALTER TABLE p ADD COLUMN topic_len INT AS (LENGTH(topic)) VIRTUAL");
    bed.store = format!("mysql://poor@{host}/{name}");
    let said = bed.said(&args);
    assert_eq!(said.code, 77, "{}", said.out);
    assert!(said.line("database rights").contains("UPDATE command denied to user"), "{}", said.out);
    admin(&format!("GRANT UPDATE, DELETE ON `{name}`.* TO poor@'%'"));
    let said = bed.said(&args);
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&DATABASE);
    admin("DROP USER poor@'%'");
}

/// A user with the rights that the doctor asks for makes a catalogue and brings an older one up to date; one that
/// may not replace views goes on without.
#[test]
fn the_rights_that_are_asked_for_are_enough() {
    let mut bed = Bed::new(test_source());
    let Some(database) = Database::new("doctor_enough") else { return };
    let admin = |sql: &str| admin(&database, sql);
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    let host = database.url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, CREATE VIEW";
    for host in ["127.0.0.1", "localhost", "%"] {
        admin(&format!("DROP USER IF EXISTS enough@'{host}'"));
    }
    admin("CREATE USER enough@'%' IDENTIFIED BY 's3cr3t-of-enough'");
    admin(&format!("GRANT {rights} ON `{name}`.* TO enough@'%'"));
    bed.store = format!("mysql://enough@{host}/{name}");
    bed.write("password", "s3cr3t-of-enough\n");
    let extractor = extractor().to_str().unwrap();
    let run = || {
        let run = ["run", "p.json", "--until-caught-up", "-q", "--extractor", extractor];
        let run = [&run[..], &["--store-password-file", "password"]].concat();
        let output = bed.harness(&run).stderr(Stdio::piped()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_done, said) = run();
    assert!(is_done && !said.contains("views"), "{said}");
    let older = || {
        admin("DROP TABLE s2x_secret_files");
        admin("DROP VIEW PIPELINES_CURSORS");
        admin("UPDATE s2x_catalogue SET version = 4");
    };
    older();
    let (is_done, said) = run();
    assert!(is_done && !said.contains("views"), "{said}");
    admin("SELECT * FROM PIPELINES_CURSORS");

    older();
    admin(&format!("REVOKE DROP ON `{name}`.* FROM enough@'%'"));
    let (is_done, said) = run();
    assert!(is_done, "{said}");
    let told = "the views of the catalogue stay as version 4 made them: ";
    assert!(said.contains(told) && said.contains("DROP command denied to user"), "{said}");
    let (is_done, said) = run();
    assert!(is_done && !said.contains("views"), "told once: {said}");
    admin("DROP USER enough@'%'");
}

#[test]
fn each_fault_of_a_broker_is_told() {
    let Some(secure) = Secure::get("doctor_broker") else { return };
    let said = Bed::new(kafka(&secure.open, "no-such-topic")).doctor();
    let text = format!(
        "SOURCE_NOT_FOUND: topic no-such-topic: not on the brokers {}; create it or correct its name",
        secure.open
    );
    said.fails(69, "topic or stream", &text, "create the topic or stream, or correct its name");
    said.good(&["source address", "TLS", "login"]);

    let plain = format!("127.0.0.1:{}", secure.plain);
    let login = |topic: &str, password: &str| {
        let mut config = kafka(&plain, topic);
        config["security.protocol"] = json!("SASL_PLAINTEXT");
        config["sasl.mechanism"] = json!("PLAIN");
        config["sasl.username"] = json!("alice");
        Bed::with(config, "sqlite:s.db", json!({"sasl.password": password})).doctor()
    };
    let said = login(TOPIC, PASSWORD);
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&SOURCE);
    assert!(said.line("permissions").ends_with("needed: the ACLs READ and DESCRIBE on each topic"));

    let said = login(TOPIC, "s3cr3t-wrong");
    assert_eq!(said.code, 77, "{}", said.out);
    assert!(
        said.line("login").starts_with("FAIL  login             AUTH_FAILED: "),
        "{}",
        said.out
    );
    said.good(&["source address", "TLS"]);
    said.not_checked("permissions", "login failed");
    assert!(!said.out.contains("s3cr3t"), "{}", said.out);

    let mut client = xtask::kafka::Client::start(&secure.open).unwrap();
    client.call("topic-create closed partitions=1").unwrap();
    let said = login("closed", PASSWORD);
    assert_eq!(said.code, 77, "{}", said.out);
    let line = said.line("permissions");
    assert!(line.starts_with("FAIL  permissions       PERMISSION_DENIED: topic closed"), "{line}");
    said.good(&["login"]);

    let mut config = kafka(&format!("localhost:{}", secure.ssl), TOPIC);
    config["security.protocol"] = json!("SSL");
    config["ssl.ca.location"] = json!(secure.path("other.crt"));
    let said = Bed::new(config).doctor();
    assert_eq!(said.code, 75, "{}", said.out);
    assert!(
        said.line("TLS").starts_with("FAIL  TLS               TLS_HANDSHAKE: "),
        "{}",
        said.out
    );
    said.good(&["source address"]);
    said.not_checked("login", "TLS failed");
}

#[test]
fn each_fault_of_a_stream_is_told() {
    let server = Server::start(2);
    let config = |stream: &str| {
        json!({
            "connector.class": "kinesis", "kinesis.stream": stream, "kinesis.region": "us-east-1",
            "kafka.topic": "t", "aws.access.key.id": "AKIDX", "aws.secret.access.key": "canary-secret",
            "kinesis.endpoint": server.url
        })
    };
    let said = Bed::new(config(STREAM)).doctor();
    assert_eq!(said.code, 0, "{}", said.out);
    said.good(&SOURCE);
    assert!(said.line("topic or stream").starts_with("ok    topic or stream   2 splits: "));
    assert!(said.line("permissions").contains("kinesis:DescribeStreamSummary"), "{}", said.out);
    let said = Bed::new(config("no-such-stream")).doctor();
    assert_eq!(said.code, 69, "{}", said.out);
    let line = said.line("topic or stream");
    assert!(line.starts_with("FAIL  topic or stream   SOURCE_NOT_FOUND: "), "{line}");
    assert!(!said.out.contains("canary"), "{}", said.out);
}
