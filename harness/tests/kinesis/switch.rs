//! A pipeline of Kafka Connect is taken over: what it had delivered is not loaded again, what it had not is.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::server::{Put, Server, shard};
use crate::{documented, support};

/// An offsets file as `FileOffsetBackingStore` writes it: a `HashMap<byte[], byte[]>`.
fn connect_file(name: &str, offsets: &BTreeMap<String, String>) -> Vec<u8> {
    let mut file =
        b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02\
F\x00\x0aloadFactorI\x00\x09thresholdxp\x3f\x40\0\0\0\0\0\x0cw\x08\0\0\0\x10"
            .to_vec();
    file.extend(u32::try_from(offsets.len()).unwrap().to_be_bytes());
    let mut is_first = true;
    let mut array = |bytes: &[u8]| {
        file.push(b'u');
        match std::mem::take(&mut is_first) {
            true => file.extend(b"r\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp"),
            false => file.extend(b"q\x00\x7e\x00\x02"),
        }
        file.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        file.extend(bytes);
    };
    for (shard, sequence) in offsets {
        array(format!("[\"{name}\",{{\"shardId\":\"{shard}\"}}]").as_bytes());
        array(format!("{{\"sequenceNumber\":\"{sequence}\"}}").as_bytes());
    }
    file.push(b'x');
    file
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn harness(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command
            .args(args)
            .args(["--store", "sqlite:s.db", "--extractor"])
            .arg(support::extractor());
        command.current_dir(self.folder.path()).output().unwrap()
    }

    fn sql(&self, script: &str) -> Vec<Value> {
        let done = self.harness(&["sql", "--json", "-e", script]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let out = String::from_utf8(done.stdout).unwrap();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn sequences(&self) -> Vec<String> {
        let sql = "SELECT JSON_EXTRACT_STRING(record, 'sequenceNumber') AS s FROM kinesis_pipeline";
        let mut all: Vec<String> =
            self.sql(sql).iter().map(|row| row["s"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    }
}

/// Every record behind the offset of its shard, and all of a shard that has none.
fn missing(put: &[Put], offsets: &BTreeMap<String, String>) -> Vec<String> {
    // Sequence numbers have more digits than any integer type.
    let number = |text: &str| (text.len(), text.to_owned());
    let is_new =
        |it: &&Put| offsets.get(&it.shard).is_none_or(|at| number(&it.sequence) > number(at));
    let mut all: Vec<String> = put.iter().filter(is_new).map(|it| it.sequence.clone()).collect();
    all.sort();
    all
}

/// The rows of another database's PIPELINES_SOURCE_OFFSETS, with an older batch of each shard.
fn history(offsets: &BTreeMap<String, String>) -> String {
    let row = |batch: u64, (shard, at): (&String, &str)| {
        json!({
            "PIPELINE_NAME": "theirs", "BATCH_ID": batch, "KEY": json!({"shardId": shard}).to_string(),
            "VALUE": json!({"sequenceNumber": at}).to_string()
        })
    };
    let rows = offsets.iter().flat_map(|(shard, at)| [row(1, (shard, "1")), row(2, (shard, at))]);
    rows.collect::<Vec<Value>>().into_iter().collect::<Value>().to_string()
}

#[test]
fn a_switch_from_kafka_connect_loses_and_repeats_nothing() {
    let server = Server::start(4);
    let records: Vec<(String, String)> =
        (0..200).map(|n| (format!("key-{}", n % 23), format!("{{\"n\":{n}}}"))).collect();
    let put = server.put(&records);
    // Connect had delivered a part of three shards, one of them whole, and nothing of the fourth.
    let mut offsets: BTreeMap<String, String> = BTreeMap::new();
    for (number, part) in [(0, 3), (1, 1), (2, 2)] {
        let of: Vec<&Put> = put.iter().filter(|it| it.shard == shard(number)).collect();
        assert!(!of.is_empty(), "the records are spread over the shards");
        let last = of[of.len() * part / 3 - usize::from(part == 3 || of.len() * part >= 3)];
        offsets.insert(shard(number), last.sequence.clone());
    }
    let mut with_gone = offsets.clone();
    with_gone.insert(shard(77), "5".to_owned());
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let file =
        |name: &str, bytes: &[u8]| std::fs::write(bench.folder.path().join(name), bytes).unwrap();
    file("connect.offsets", &connect_file("kinesis", &with_gone));
    let config = documented(&server).to_string();
    let create = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true';
         CREATE OR REPLACE INFERRED PIPELINE kinesis_pipeline AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' FORMAT AVRO"
    );
    bench.sql(&create);
    let import =
        |path: &str| bench.harness(&["set-offsets", "kinesis_pipeline", "--from-connect", path]);
    let done = import("connect.offsets");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&done.stdout).lines().count(), 3);
    assert!(said.contains("3 splits where the file says"), "{said}");
    assert!(said.contains("1 split of the file that the source does not have any more"), "{said}");
    assert!(said.contains("1 split that the file does not name"), "{said}");
    bench.sql("START PIPELINE kinesis_pipeline FOREGROUND");
    let wanted = missing(&put, &offsets);
    assert!(wanted.len() > 20 && wanted.len() < 180, "{}", wanted.len());
    assert_eq!(bench.sequences(), wanted);

    // The same by the rows of another SingleStore, with their history, into another table.
    file("rows.json", history(&offsets).as_bytes());
    bench.sql(&format!("DROP PIPELINE kinesis_pipeline; DELETE FROM kinesis_pipeline; {create}"));
    let done = import("rows.json");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    bench.sql("START PIPELINE kinesis_pipeline FOREGROUND");
    assert_eq!(bench.sequences(), wanted);

    // Another stream's, and what is no file of offsets: nothing is set.
    let before: BTreeSet<String> =
        bench.sql("SELECT * FROM s2x_offsets").iter().map(Value::to_string).collect();
    file("other.offsets", &connect_file("kinesis", &BTreeMap::from([(shard(9), "1".to_owned())])));
    file("cut.offsets", &connect_file("kinesis", &offsets)[..200]);
    for (path, why) in [
        ("other.offsets", "none of the splits of the file"),
        ("cut.offsets", "cut.offsets: byte "),
        ("absent", "cannot read the offsets of absent"),
    ] {
        let done = import(path);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(why), "{path}: {said}");
    }
    let after: BTreeSet<String> =
        bench.sql("SELECT * FROM s2x_offsets").iter().map(Value::to_string).collect();
    assert_eq!(before, after);
}
