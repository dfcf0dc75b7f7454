//! Checks what does not need a server: options, middle, table, README.

use serde_json::json;

use super::report::Figure;
use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn options_are_understood_or_named() {
    let root = Path::new("/repository");
    let plan = Plan::parse(&words("--quick read --json /x.json"), root).unwrap();
    assert!(plan.is_quick && plan.wants("canned") && !plan.wants("load"));
    assert_eq!((plan.json, plan.for_readme), (PathBuf::from("/x.json"), false));
    let all = Plan::parse(&[], root).unwrap();
    assert!(PARTS.iter().all(|part| all.wants(part)));
    let kafka = Plan::parse(&words("kafka --gate"), root).unwrap();
    assert!(kafka.is_gated && kafka.wants("load") && !kafka.wants("kinesis"));
    let shape = Plan::parse(&words("canned --bytes 256 --partitions 8"), root).unwrap();
    assert_eq!((shape.bytes, shape.partitions), (Some(256), Some(8)));
    assert!(Plan::parse(&words("--bytes many"), root).is_err());
    let named = Plan::parse(&words("kinesis idle"), root).unwrap();
    assert_eq!(
        PARTS.map(|part| named.wants(part)),
        [false, false, true, false, false, false, true]
    );
    let error = Plan::parse(&words("--fast"), root).unwrap_err().to_string();
    assert!(error.contains("--fast"), "{error}");
    let error = Plan::parse(&words("--json"), root).unwrap_err().to_string();
    assert!(error.contains("--json needs"), "{error}");
}

#[test]
fn records_are_json_of_their_size() {
    for bytes in [100, 1024] {
        let records = Records { topic: "t", count: 3, bytes };
        let path = std::env::temp_dir().join(format!("xtask-rows-{bytes}-{}", std::process::id()));
        records.write_rows(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        for (n, line) in text.lines().enumerate() {
            let [topic, id, record]: [&str; 3] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            assert_eq!((topic, record.len()), ("t", bytes));
            serde_json::from_str::<serde_json::Value>(id).unwrap();
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            assert_eq!(record["n"], 1_000_000_000 + n);
        }
    }
}

#[test]
fn the_middle_is_one_of_them() {
    assert_eq!(median(&mut [3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    assert_eq!(median(&mut [2.0, 1.0]).to_bits(), 1.0_f64.to_bits());
    assert!(median(&mut []).is_nan());
}

#[test]
fn gates_are_judged() {
    let most = gate::Gate::at_most(1.5, "×");
    assert_eq!(most.to_string(), "≤ 1.5×");
    assert_eq!(most.judge(1.5, false), gate::Verdict::Met);
    assert_eq!(most.judge(1.8, false).to_string(), "missed by 20 %");
    assert!(matches!(most.judge(f64::NAN, true), gate::Verdict::Missed(_)));
    let least = gate::Gate::at_least(2.0, "ms").when_quiet();
    assert_eq!(least.to_string(), "≥ 2 ms when quiet");
    assert_eq!(least.judge(1.0, false), gate::Verdict::NotJudged);
    assert_eq!(least.judge(1.0, true).to_string(), "missed by 50 %");
    assert_eq!(least.judge(3.0, true), gate::Verdict::Met);
}

#[test]
fn bars_have_one_scale() {
    let chart = |title: &str, bars: &[(&str, f64)]| chart::Chart {
        title: title.to_owned(),
        bars: bars.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
    };
    let text = chart::draw(&[
        chart("small", &[("one", 1.0), ("half", 0.5)]),
        chart("large", &[("much", 40.0), ("nothing", 0.0)]),
    ]);
    let long = "█".repeat(40);
    let lines = ["small", "  one      █ 1.00", "  half     ▌ 0.50", "", "large"];
    let more = [format!("  much     {long} 40.00"), "  nothing  ▌ 0.00".to_owned()];
    assert_eq!(
        text,
        lines.map(str::to_owned).into_iter().chain(more).collect::<Vec<_>>().join("\n") + "\n"
    );
}

#[test]
fn a_pause_after_a_burst_is_seen() {
    assert!(stall::slow_for(&[100; 50], 100.0) < 1.0);
    let mut moments = vec![100; 50];
    (moments[0], moments[1]) = (10, 0);
    assert!((stall::slow_for(&moments, 100.0) - 100.0).abs() < 1e-6);
    moments[30] = 49;
    assert!((stall::slow_for(&moments, 100.0) - 1550.0).abs() < 1e-6);
    // One that stays slow, or gives nothing, is slow to the end.
    assert!((stall::slow_for(&[5; 20], 100.0) - 1000.0).abs() < 1e-6);
    assert!((stall::slow_for(&[0; 20], 100.0) - 1000.0).abs() < 1e-6);
    assert!(stall::middle_of(&[0; 18]).is_err());
}

#[test]
fn rounds_are_told_with_their_middle_and_how_far_they_lie_apart() {
    let mut report = Report::new(&json!({"quiet": true}));
    let cost = Figure::of_rounds("cost", vec![3.0, 1.0, 2.0], "s");
    report.add(cost.beside_rounds("other", vec![4.0, 10.0, 8.0]));
    report.add(Figure::of_rounds("memory", vec![3.0, 1.0, 2.0], "MiB"));
    let table = report.table();
    assert!(table.contains("8.00 s (other): 0.25× (0.10 to 0.75)"), "{table}");
    assert!(table.contains("2.00 MiB (1.00 MiB to 3.00 MiB)"), "{table}");
}

#[test]
fn missed_gates_are_told() {
    let mut report = Report::new(&json!({"quiet": true}));
    let gate = gate::Gate::at_most(1.5, "×");
    report.add(Figure::new("good", 3.0, "s").beside("other", 2.0).gate(gate));
    report.add(Figure::new("bad", 3.0, "s").beside("other", 1.0).gate(gate));
    report.add(Figure::new("bare", 3.0, "s"));
    assert_eq!(report.missed(), ["bad: ≤ 1.5×: missed by 100 %"]);
    assert!(report.table().contains("≤ 1.5×: met"), "{}", report.table());
}

#[test]
fn the_table_goes_into_the_readme_and_out_again() {
    let mut report = Report::new(&json!({"cpu": "some", "cores": 2}));
    report.add(Figure::new("speed", 1_234_567.8, "rows/s").beside("other", 617_283.9));
    report.add(Figure::new("start", 1.234, "ms"));
    report.skip("rest", "no java");
    report.chart("who", vec![("we".to_owned(), 1.0)]);
    let table = report.table();
    assert!(table.contains("1,234,568 rows/s"), "{table}");
    assert!(table.contains("617,284 rows/s (other): 2.00×"), "{table}");
    assert!(table.contains("1.23 ms") && table.contains("skipped: rest: no java"), "{table}");
    assert!(table.contains("some, 2 cores"), "{table}");

    let path = std::env::temp_dir().join(format!("xtask-readme-{}", std::process::id()));
    let before = "head\n<!-- figures: begin -->\nold\n<!-- figures: end -->\ntail\n";
    std::fs::write(&path, before).unwrap();
    report.put_into(&path).unwrap();
    report.put_into(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.starts_with("head\n<!--") && text.ends_with("-->\ntail\n"), "{text}");
    assert!(text.contains(&table) && !text.contains("old"), "{text}");
    assert!(text.contains("```text\nwho\n  we  █"), "{text}");
    report.add(Figure::new("depth", 5.0, "m").detail());
    report.put_into(&path).unwrap_err();
    assert!(report.table().contains("depth"));
}
