//! Files as people name them, and disks as they are.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::store::RowRef;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[track_caller]
fn refuses(path: &Path, kind: StoreErrorKind, expected: &str) {
    let Err(error) = SqliteStore::open(path) else { panic!("{} opens", path.display()) };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
}

#[test]
fn e12_makes_a_file_that_only_its_owner_reads() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut store = SqliteStore::open(&path).expect("opens");
    store.execute("CREATE TABLE t (n)", &[]).expect("creates");
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn keeps_the_mode_and_the_content_of_a_file_that_exists() {
    let folder = folder();
    let path = folder.path().join("a.db");
    drop(SqliteStore::open(&path).map(|mut store| store.execute("CREATE TABLE t (n)", &[])));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("sets");
    let mut store = SqliteStore::open(&path).expect("opens again");
    store.execute("INSERT INTO t VALUES (1)", &[]).expect("the table is there");
    let mode = std::fs::metadata(&path).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn survives_power_loss_by_its_settings() {
    let folder = folder();
    let mut store = SqliteStore::open(&folder.path().join("a.db")).expect("opens");
    let pragma = |store: &mut SqliteStore, name: &str| {
        store.run(&format!("PRAGMA {name}")).expect(name).rows[0].0[0].clone()
    };
    assert_eq!(pragma(&mut store, "journal_mode"), Cell::Text("wal".to_owned()));
    // 2 is FULL: the log is flushed at every commit.
    assert_eq!(pragma(&mut store, "synchronous"), Cell::Int(2));
}

#[test]
fn says_what_is_wrong_with_a_path() {
    let folder = folder();
    refuses(&folder.path().join("no/such/a.db"), StoreErrorKind::Config, "does not exist");
    refuses(folder.path(), StoreErrorKind::Config, "is a folder");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "dear diary, ".repeat(100)).expect("writes");
    refuses(&text, StoreErrorKind::Config, "is not an SQLite database");
    assert_eq!(std::fs::read(&text).expect("reads"), "dear diary, ".repeat(100).as_bytes());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(8), None);
    let error = classify(Path::new("/x/a.db"), &error);
    assert_eq!(error.kind(), StoreErrorKind::Resource);
    assert!(error.to_string().contains("/x/a.db cannot be written"), "{error}");
}

#[test]
fn a_full_disk_is_no_data_error_and_rolls_back() {
    let folder = folder();
    let mut store = SqliteStore::open(&folder.path().join("a.db")).expect("opens");
    let table = "CREATE TABLE t (topic TEXT, id TEXT, record TEXT)";
    store.execute(table, &[]).expect("creates");
    // The database may not grow any more: what a full disk answers.
    store.run("PRAGMA max_page_count = 8").expect("sets");
    let record = "x".repeat(10_000);
    let rows: &[RowRef<'_>] = &[RowRef { topic: "t", id: "1", record: &record }; 9];
    store.begin().expect("begins");
    let error = store.load("t", &rows, LoadMethod::Insert).expect_err("full");
    assert_eq!(error.kind(), StoreErrorKind::Resource, "{error}");
    assert!(error.to_string().contains("no room left"), "{error}");
    store.rollback().expect("rolls back");
    let count = store.query("SELECT COUNT(*) FROM t", &[]).expect("counts");
    assert_eq!(count.rows[0].int(0), Ok(0));
}

#[test]
fn another_writer_is_transient() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut first = SqliteStore::open(&path).expect("opens");
    let mut second = SqliteStore::open(&path).expect("opens");
    second.connection.busy_timeout(Duration::from_millis(1)).expect("sets");
    first.begin().expect("begins");
    let error = second.begin().expect_err("locked");
    assert!(error.is_transient(), "{error}");
    assert_eq!(second.in_transaction(), Ok(Transaction::Ended));
    first.commit().expect("commits");
    second.begin().expect("free now");
    assert_eq!(second.in_transaction(), Ok(Transaction::Open));
}

#[test]
fn answers_carry_names_and_types() {
    let folder = folder();
    let mut store = SqliteStore::open(&folder.path().join("a.db")).expect("opens");
    let params = [Param::Int(7), Param::Text("é"), Param::Bytes(&[0, 1]), Param::Null];
    let answer = store.query("SELECT ? AS a, ? AS b, ? AS c, ? AS d, 0.5", &params);
    let answer = answer.expect("answers");
    assert_eq!(answer.columns[..4], ["a", "b", "c", "d"]);
    let row = &answer.rows[0];
    assert_eq!((row.int(0), row.text(1)), (Ok(7), Ok("é")));
    assert_eq!(row.bytes_or_null(2), Ok(Some([0, 1].as_slice())));
    assert_eq!(row.text_or_null(3), Ok(None));
    assert_eq!(row.0[4], Cell::Real(0.5));
    row.int(1).expect_err("text is no number");
    row.cell(9).expect_err("no such column");
    let changed = store.run("CREATE TABLE t (n)").expect("creates");
    assert_eq!((changed.columns.len(), changed.rows.len()), (0, 0));
    let error = store.run("SELEC 1").expect_err("a typing error");
    assert!(error.to_string().contains("SELEC"), "{error}");
}

/// The lock of a file is the fence between two programs, and POSIX drops it when this process closes
/// any descriptor of the file: a second connection must not do that to the first one.
#[test]
fn e04_a_second_connection_leaves_the_lock_of_the_first_one() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut first = SqliteStore::open(&path).expect("opens");
    first.execute("CREATE TABLE t (n)", &[]).expect("creates");
    assert!(is_locked(&path), "a connection in WAL mode holds a shared lock");
    let mut second = SqliteStore::open(&path).expect("opens");
    second.execute("INSERT INTO t VALUES (1)", &[]).expect("inserts");
    assert!(is_locked(&path), "the second connection dropped it");
    drop(second);
    assert!(is_locked(&path), "closing the second connection dropped it");
}

/// Another program that reads the file and goes away leaves it whole.
#[test]
fn e04_a_reader_that_comes_and_goes_takes_nothing_along() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut first = SqliteStore::open(&path).expect("opens");
    first.execute("CREATE TABLE t (n)", &[]).expect("creates");
    let mut second = SqliteStore::open(&path).expect("opens");
    second.execute("INSERT INTO t VALUES (1)", &[]).expect("inserts");
    let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select n from t').fetchall())";
    let reader = std::process::Command::new("python3").args(["-c", script]).arg(&path).output();
    let Ok(output) = reader else {
        use std::io::Write;
        let why =
            "skipped: e04_a_reader_that_comes_and_goes_takes_nothing_along: python3 not found";
        writeln!(std::io::stderr().lock(), "{why}").expect("says so");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[(1,)]");
    assert!(folder.path().join("a.db-wal").exists(), "the reader unlinked the log under us");
    first.execute("INSERT INTO t VALUES (2)", &[]).expect("inserts");
    let mut third = SqliteStore::open(&path).expect("opens");
    let count = third.query("SELECT count(*) FROM t", &[]).expect("counts");
    assert_eq!(count.rows[0].0[0], Cell::Int(2));
}

/// Whether some process holds a POSIX lock on the file.
fn is_locked(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(path).expect("exists").ino();
    let locks = std::fs::read_to_string("/proc/locks").expect("reads");
    locks.lines().any(|line| line.contains(&format!(":{inode} ")))
}

#[test]
fn a_file_is_read_where_it_may_not_be_written() {
    let folder = folder();
    let path = folder.path().join("a%20?b#.db");
    let mut writer = SqliteStore::open(&path).expect("opens");
    writer.execute("CREATE TABLE t (n)", &[]).expect("creates");
    let count = |store: &mut SqliteStore| {
        let answer = store.query("SELECT COUNT(*) FROM t", &[]).expect("reads");
        answer.rows.first().expect("a row").int(0).expect("a number")
    };
    // Beside a writer, with its log.
    let mut reader = SqliteStore::open_read_only(&path).expect("opens");
    assert_eq!(count(&mut reader), 0);
    writer.execute("INSERT INTO t VALUES (1)", &[]).expect("writes");
    assert_eq!(count(&mut reader), 1);
    let error = reader.execute("INSERT INTO t VALUES (2)", &[]).expect_err("may not write");
    assert!(error.to_string().contains("cannot be written"), "{error}");
    drop((reader, writer));
    // Alone, as in a folder where no log can be made: the address names this very file.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable(&path).expect("UTF-8"), flags);
    let mut alone = SqliteStore { path: path.clone(), connection: connection.expect("opens") };
    assert_eq!(count(&mut alone), 1);
}

#[test]
fn what_changes_no_row_says_so() {
    let folder = folder();
    let mut store = SqliteStore::open(&folder.path().join("a.db")).expect("opens");
    let mut affected = |sql: &str| store.run(sql).expect(sql).affected;
    assert_eq!(affected("CREATE TABLE t (n)"), 0);
    assert_eq!(affected("INSERT INTO t VALUES (1), (2)"), 2);
    assert_eq!(affected("CREATE TABLE u (n)"), 0, "not the two of before");
    assert_eq!(affected("UPDATE t SET n = 3 WHERE n = 1"), 1);
    assert_eq!(affected("DROP TABLE u"), 0);
    assert_eq!(affected("DELETE FROM t WHERE n = 9"), 0);
}
