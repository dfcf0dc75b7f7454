//! Files that Kafka Connect and clients really wrote, and damage of every kind.

use std::path::Path;

use super::{ImportError, offsets};

/// What the real Connect wrote of the real connector; testdata/README.md says how.
fn written_by_connect() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/connect/kinesis.offsets");
    std::fs::read(path).unwrap()
}

fn pairs(bytes: &[u8], name: Option<&str>) -> Result<Vec<(String, String)>, ImportError> {
    let found = offsets(bytes, name)?;
    Ok(found
        .iter()
        .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
        .collect())
}

fn fails(bytes: &[u8], name: Option<&str>, text: &str) {
    let error = pairs(bytes, name).unwrap_err().to_string();
    assert!(error.contains(text), "wanted {text:?} in {error}");
}

fn shard(number: u32, sequence: &str) -> (String, String) {
    let key = format!("{{\"shardId\":\"shardId-{number:012}\"}}");
    (key, format!("{{\"sequenceNumber\":\"{sequence}\"}}"))
}

#[test]
fn offsets_that_kafka_connect_wrote_are_read() {
    let wanted = [
        shard(0, "49680401649867902412669372153671386593054049281180172290"),
        shard(1, "49680401649890203157867902776418812494132328531731939346"),
        shard(2, "49680401649912503903066433400151512938196530559669239842"),
    ];
    assert_eq!(pairs(&written_by_connect(), None).unwrap(), wanted);
    assert_eq!(pairs(&written_by_connect(), Some("kinesis")).unwrap(), wanted);
    fails(&written_by_connect(), Some("other"), "it has no offsets of other; it has kinesis");
}

/// Cut anywhere it is refused, and no change of a byte makes it panic or read more than there is.
#[test]
fn a_damaged_file_is_refused_with_its_place() {
    let whole = written_by_connect();
    for cut in 4..whole.len() {
        let error = pairs(&whole[..cut], None).unwrap_err().to_string();
        assert!(error.starts_with("byte "), "{cut}: {error}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            drop(pairs(&damaged, None));
        }
    }
    let mut more = whole.clone();
    more.push(0);
    fails(&more, None, "byte 524: 1 bytes behind the end of the map");
    let mut many = whole.clone();
    many[77..81].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    fails(&many, None, "byte 77: 2147483647 entries; at most ");
    let mut long = whole;
    long[100..104].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    fails(&long, None, "byte 100: a byte array of 4294967295 bytes; at most ");
}

/// A small file whose references stand for more than the largest file holds.
#[test]
fn references_hand_out_no_more_than_a_file_could_hold() {
    const LEN: usize = 4096;
    let of = |references: usize| {
        let mut bytes = written_by_connect()[..77].to_vec();
        bytes.extend(u32::try_from(references + 1).unwrap().to_be_bytes());
        bytes.extend(b"\x75\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp");
        bytes.extend(u32::try_from(LEN).unwrap().to_be_bytes());
        bytes.extend([b'k'; LEN]);
        bytes.push(0x70);
        for _ in 0..references {
            bytes.extend(b"\x71\x00\x7e\x00\x03\x70");
        }
        bytes.push(0x78);
        bytes
    };
    let most = (64 << 20) / LEN;
    let error = pairs(&of(most), None).unwrap_err().to_string();
    assert!(!error.contains("references"), "{error}");
    fails(&of(most + 1), None, "references to more than 67108864 bytes of arrays");
}

#[test]
fn rows_of_clients_are_read_and_the_newest_batch_counts() {
    let wanted = [shard(0, "12"), shard(1, "7")];
    let row = |batch: u64, shard: &(String, String)| {
        serde_json::json!({
            "DATABASE_NAME": "d", "PIPELINE_NAME": "p", "BATCH_ID": batch, "TASK_ID": 0, "KEY": shard.0,
            "VALUE": shard.1
        })
    };
    let rows = [row(1, &shard(0, "5")), row(3, &shard(0, "12")), row(2, &shard(1, "7"))];
    let array = serde_json::Value::from(rows.to_vec()).to_string();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let fields = |separator: &str, quote: &dyn Fn(&str) -> String| {
        let mut text = ["DATABASE_NAME", "PIPELINE_NAME", "BATCH_ID", "TASK_ID", "KEY", "VALUE"]
            .join(separator);
        for (batch, (key, value)) in [(1, shard(0, "5")), (3, shard(0, "12")), (2, shard(1, "7"))] {
            let cells = [
                "d".to_owned(),
                "p".to_owned(),
                batch.to_string(),
                "0".to_owned(),
                quote(&key),
                quote(&value),
            ];
            text.push_str("\r\n");
            text.push_str(&cells.join(separator));
        }
        text
    };
    let csv = fields(",", &|text| format!("\"{}\"", text.replace('"', "\"\"")));
    let tabs = fields("\t", &str::to_owned).replace('\r', "");
    for text in [&array, &lines, &csv, &tabs] {
        assert_eq!(pairs(text.as_bytes(), None).unwrap(), wanted, "{text}");
        assert_eq!(pairs(text.as_bytes(), Some("p")).unwrap(), wanted, "{text}");
        for cut in 0..text.len() {
            // A whole number of rows is a whole file; nothing else may come of a cut than less, or an error.
            assert!(pairs(&text.as_bytes()[..cut], None).map_or(0, |found| found.len()) <= 2);
        }
    }
    // A KEY and a VALUE that are objects, as a client with a JSON type prints them.
    let open = r#"{"key": {"shardId":"shardId-000000000001"}, "value": {"sequenceNumber":"7"}}"#;
    assert_eq!(pairs(open.as_bytes(), None).unwrap(), [shard(1, "7")]);
}

/// MirrorSourceConnector: the last offset that was delivered becomes the next one to read.
#[test]
fn a_mirrored_partition_goes_on_behind_the_last_offset() {
    let row = r#"{"KEY": {"cluster":"a","partition":3,"topic":"t"}, "VALUE": {"offset":41}}"#;
    let wanted = (r#"{"partition":3,"topic":"t"}"#.to_owned(), r#"{"offset":42}"#.to_owned());
    assert_eq!(pairs(row.as_bytes(), None).unwrap(), [wanted]);
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let row = |key: &str, value: &str| format!("\n{{\"KEY\": {key}, \"VALUE\": {value}}}");
    for (text, why) in [
        (
            row(r#"{"partition":0,"topic":"t"}"#, r#"{"offset":1}"#),
            "line 2: a KEY of a partition without",
        ),
        (
            row(r#"{"filename":"f"}"#, r#"{"position":1}"#),
            "line 2: a KEY with filename: expected shardId",
        ),
        (row(r#"{"shardId":"s"}"#, r#"{"sequenceNumber":5}"#), "line 2: expected the VALUE"),
        (
            row(r#"{"shardId":"s"}"#, r#"{"sequenceNumber":"5","more":1}"#),
            "line 2: expected the VALUE",
        ),
        (row(r#"{"shardId":"s"}"#, "null"), "line 2: the row has no VALUE"),
        (row("\"{\"", "{}"), "line 2: the KEY is not valid JSON"),
        ("a,b\n1,2".to_owned(), "line 1: expected rows of PIPELINES_SOURCE_OFFSETS"),
        ("KEY,VALUE\n{}".to_owned(), "line 2: 1 fields, expected 2"),
        ("KEY,VALUE\n\"{}".to_owned(), "line 2: a quote that is not closed"),
        (String::new(), "there is no offset in it"),
        ("[1]".to_owned(), "expected an object"),
    ] {
        fails(text.as_bytes(), None, why);
    }
    fails(b"\xff\xfe", None, "byte 0: it is neither an offsets file of Kafka Connect nor text");
    let twice = format!(
        "{}{}",
        row(r#"{"shardId":"s"}"#, r#"{"sequenceNumber":"5"}"#),
        row(r#"{"shardId":"s"}"#, r#"{"sequenceNumber":"6"}"#)
    );
    fails(twice.as_bytes(), None, "line 3: {\"shardId\":\"s\"} is there twice");
    let names = "PIPELINE_NAME,KEY,VALUE\np,\"{\"\"shardId\"\":\"\"s\"\"}\",\"{\"\"sequenceNumber\"\":\"\"5\"\"}\"\nq,\"{\"\"shardId\"\":\"\"s\"\"}\",\"{\"\"sequenceNumber\"\":\"\"5\"\"}\"";
    fails(names.as_bytes(), None, "it has offsets of p, q; name one with --connector");
    assert_eq!(pairs(names.as_bytes(), Some("q")).unwrap().len(), 1);
}
