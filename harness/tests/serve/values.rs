//! What goes in comes out: types, NULL, text of all scripts, bytes, dates; in text and in binary form; and
//! answers that are larger than what is kept.

use mysql::consts::ColumnType;
use mysql::prelude::Queryable as _;
use mysql::{Conn, Row, Value};

use super::server::{Bench, number, refused};

const UMBRELLA: &str = "ä ☂ 漢字 🦀 '\"\\\n\0 end";

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

/// Writes values as parameters, and reads them in both forms.
fn round_trip(client: &mut Conn, table: &str) {
    client.query_drop(table).unwrap();
    let insert = "INSERT INTO v (i, r, t, b) VALUES (?, ?, ?, ?)";
    let bytes = Value::Bytes(all_bytes());
    let values = [
        (Value::Int(i64::MIN), Value::Double(0.1), Value::from(UMBRELLA), bytes.clone()),
        (Value::Int(i64::MAX), Value::Double(-1e300), Value::from(""), Value::from("")),
        (Value::NULL, Value::NULL, Value::NULL, Value::NULL),
    ];
    for (place, row) in (1_u64..).zip(values.clone()) {
        client.exec_drop(insert, row).unwrap();
        assert_eq!((client.affected_rows(), client.last_insert_id()), (1, place));
    }
    let read = "SELECT i, r, t, b FROM v ORDER BY n";
    let binary: Vec<Row> = client.exec(read, ()).unwrap();
    for (row, wanted) in binary.into_iter().zip(&values) {
        let cells = row.unwrap();
        assert_eq!((&cells[0], &cells[1], &cells[2]), (&wanted.0, &wanted.1, &wanted.2));
        // A blob that has no byte and a text that has none look the same.
        assert_eq!(cells[3], wanted.3);
    }
    let text: Vec<Row> = client.query(read).unwrap();
    let types: Vec<ColumnType> = text[0].columns_ref().iter().map(|it| it.column_type()).collect();
    assert_eq!(types[..2], [ColumnType::MYSQL_TYPE_LONGLONG, ColumnType::MYSQL_TYPE_DOUBLE]);
    assert_eq!(text[0].columns_ref()[3].character_set(), 63, "bytes are no text");
    let first: (i64, f64, String, Vec<u8>) = mysql::from_row(text[0].clone());
    assert_eq!(first, (i64::MIN, 0.1, UMBRELLA.to_owned(), all_bytes()));
    let last: (Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>) =
        mysql::from_row(text[2].clone());
    assert_eq!(last, (None, None, None, None));
    client.query_drop("UPDATE v SET t = 'x'").unwrap();
    assert_eq!((client.affected_rows(), client.last_insert_id()), (3, 0));
    let none: Vec<Row> = client.query("SELECT i FROM v WHERE n > 100").unwrap();
    assert!(none.is_empty());
}

#[test]
fn values_come_back_from_sqlite() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    let table = "CREATE TABLE v (n INTEGER PRIMARY KEY, i BIGINT, r DOUBLE, t TEXT, b BLOB)";
    round_trip(&mut client, table);
    // A column of several types is told as text, and what comes too late for that is an error.
    client.query_drop("CREATE TABLE m (x)").unwrap();
    client.query_drop("INSERT INTO m VALUES (1), ('two'), (3.5), (NULL)").unwrap();
    let mixed: Vec<Option<String>> = client.query("SELECT x FROM m").unwrap();
    let wanted = ["1", "two", "3.5"].map(|text| Some(text.to_owned()));
    assert_eq!(mixed, [&wanted[..], &[None]].concat());
    let late = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) \
                SELECT CASE n WHEN 50000 THEN 'text' ELSE n END AS n FROM c";
    let rows: mysql::Result<Vec<Value>> = client.query(late);
    assert!(
        refused(rows).1.contains("column n has text where the rows before have a whole number")
    );
    assert_eq!(number(&mut client, "SELECT 5"), 5, "the connection goes on");
    let (code, why) = refused(client.query_drop("INSERT INTO v (n) VALUES (1)"));
    assert_eq!(code, 1062, "{why}");
    assert_eq!(refused(client.query_drop("SELECT * FROM nowhere")).0, 1146);
    assert_eq!(refused(client.query_drop("SELEC 1")).0, 1064);
}

#[test]
fn values_come_back_from_mariadb() {
    let Some(bench) = Bench::mariadb("values_come_back_from_mariadb") else { return };
    let server = bench.serve(&[]);
    let mut client = server.client();
    let table = "CREATE TABLE v (n INT AUTO_INCREMENT PRIMARY KEY, i BIGINT, r DOUBLE, t TEXT, b BLOB) \
                 CHARACTER SET utf8mb4";
    round_trip(&mut client, table);
    // The server's own types pass as they are, in both forms.
    let sql = "SELECT CAST(18446744073709551615 AS UNSIGNED) AS u, CAST('12.340' AS DECIMAL(10,3)) AS d, \
               CAST('2026-01-31 23:59:58.25' AS DATETIME(6)) AS t, CAST('-30:00:01' AS TIME) AS s, \
               CAST('2026-02-01' AS DATE) AS y, CAST(1.5 AS FLOAT) AS f, TRUE AS b";
    let row: Row = client.exec_first(sql, ()).unwrap().unwrap();
    let wanted = [
        Value::UInt(u64::MAX),
        Value::from("12.340"),
        Value::Date(2026, 1, 31, 23, 59, 58, 250_000),
        Value::Time(true, 1, 6, 0, 1, 0),
        Value::Date(2026, 2, 1, 0, 0, 0, 0),
        Value::Float(1.5),
        Value::Int(1),
    ];
    assert_eq!(row.unwrap(), wanted);
    let row: Row = client.query_first(sql).unwrap().unwrap();
    let text = row.unwrap().iter().map(|it| mysql::from_value(it.clone())).collect::<Vec<String>>();
    let wanted = [
        "18446744073709551615",
        "12.340",
        "2026-01-31 23:59:58.250000",
        "-30:00:01",
        "2026-02-01",
        "1.5",
        "1",
    ];
    assert_eq!(text, wanted);
    let back: Row =
        client.exec_first("SELECT ?, ?", (wanted_date(), Value::UInt(u64::MAX))).unwrap().unwrap();
    let back: (String, String) = mysql::from_row(back);
    assert!(back.0.starts_with("2026-01-31 23:59:58.25"), "{back:?}");
    assert_eq!(back.1, "18446744073709551615");
    // Several results of one statement.
    client
        .query_drop("CREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT 2 AS b, 3 AS c; END")
        .unwrap();
    let mut sets = client.query_iter("CALL two()").unwrap();
    let mut widths = Vec::new();
    while let Some(set) = sets.iter() {
        widths.push((set.columns().as_ref().len(), set.count()));
    }
    drop(sets);
    assert_eq!(widths, [(1, 1), (2, 1), (0, 0)]);
    let (code, why) = refused(client.query_drop("INSERT INTO v (n) VALUES (1)"));
    assert_eq!(code, 1062, "{why}");
    assert_eq!(refused(client.exec_drop("SELECT * FROM nowhere WHERE a = ?", (1,))).0, 1146);
    assert_eq!(number(&mut client, "SELECT 5"), 5);
}

fn wanted_date() -> Value {
    Value::Date(2026, 1, 31, 23, 59, 58, 250_000)
}

#[test]
fn an_answer_of_any_size_is_not_kept() {
    const ROWS: u64 = 1_500_000;
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    let sql = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) \
         SELECT n, 'a text of some length, so that all of it together is two hundred MB, if it is kept in memory \
         at once by somebody who does not stream it' FROM c"
    );
    let mut last = 0;
    let mut count = 0;
    for row in client.query_iter(sql).unwrap() {
        let (number, _): (u64, String) = mysql::from_row(row.unwrap());
        assert_eq!(number, last + 1);
        (last, count) = (number, count + 1);
    }
    assert_eq!(count, ROWS);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kb: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kb < 100 * 1024, "{peak_kb} kB");
    // A statement longer than one packet of the protocol.
    let long = format!("SELECT LENGTH('{}') AS n", "x".repeat(16_000_000));
    assert_eq!(number(&mut client, &long), 16_000_000);
    // SQLite calls a column as it was written.
    let row: Row = client.query_first(long.replace(" AS n", "")).unwrap().unwrap();
    assert_eq!(row.columns_ref()[0].name_str().chars().count(), 256);
}
