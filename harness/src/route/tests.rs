//! Tests of which table and columns a row goes to.

use super::*;

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

#[track_caller]
fn check(record: &str, field: &str, expected: Field) {
    assert_eq!(Fields::of(record).unwrap().find(&path(field)), Ok(expected), "{field} of {record}");
}

fn text(text: &str) -> Field {
    Field::Text(text.to_owned())
}

#[test]
fn fields_are_what_is_written() {
    check(r#"{"a":1}"#, "a", Field::Int(1));
    check(r#"{"a":-9223372036854775808}"#, "a", Field::Int(i64::MIN));
    check(r#"{"a":18446744073709551616}"#, "a", text("18446744073709551616"));
    check(r#"{"a":0.10000000000000000001}"#, "a", text("0.10000000000000000001"));
    check(r#"{"a":1e400}"#, "a", text("1e400"));
    check(r#"{"a":true,"b":false}"#, "a", Field::Int(1));
    check(r#"{"a":true,"b":false}"#, "b", Field::Int(0));
    check(r#"{"a":null}"#, "a", Field::Null);
    check(r#"{"a":null}"#, "b", Field::Null);
    check(r#"{"a":"'\"\\;--\u0000"}"#, "a", text("'\"\\;--\0"));
    check(r#"{"a":"null"}"#, "a", text("null"));
    check(r#"{"a":""}"#, "a", text(""));
    check(r#"{"a": [1, 2.50] }"#, "a", text("[1, 2.50]"));
    check(r#"{"a":{"b":{"c":"x"}}}"#, "a.b.c", text("x"));
    check(r#"{"a":{"b":{"c":"x"}}}"#, "a.b", text(r#"{"c":"x"}"#));
    check(r#"{"a":{"b":1}}"#, "a.b.c", Field::Null);
    check(r#"{"a":1,"a":2}"#, "a", Field::Int(2));
    check(r#"{"it's":1}"#, "it's", Field::Int(1));
}

#[test]
fn a_record_without_fields_is_its_own_error() {
    for record in ["1", "null", "[]", "\"x\"", "{"] {
        let error = Fields::of(record).err().unwrap();
        assert!(error.is_refusal(), "{record}: {error}");
    }
}

/// What the extractor lets through and no column could hold is an error of its record, never NULL.
#[test]
fn what_is_no_text_is_its_own_error() {
    let find = |record, field| Fields::of(record).and_then(|it| it.find(&path(field)));
    let cases = [
        (r#"{"a":"x\ud800y","b":1}"#, "a", "its field a is no text"),
        (r#"{"o":{"a":"\udc00"}}"#, "o.a", "its field a is no text"),
        (r#" {"\ud800":1,"a":2}"#, "a", "the name of one of its fields is no text"),
        (r#"{"o":{"\ud800":1,"a":2}}"#, "o.a", "the name of one of its fields is no text"),
    ];
    for (record, field, why) in cases {
        let error = find(record, field).expect_err(record);
        assert!(error.is_refusal() && error.to_string().contains(why), "{record}: {error}");
    }
    // What goes nowhere is nobody's error, and what is embedded stays as it is written.
    check(cases[0].0, "b", Field::Int(1));
    check(r#"{"a":["\ud800"]}"#, "a", text(r#"["\ud800"]"#));
    check(r#"{"a":"\ud83d\ude00"}"#, "a", text("\u{1f600}"));
}

#[test]
fn rows_go_where_their_topic_or_field_says() {
    let row = |topic, record| RowRef { topic, id: "1", record };
    let target = |table: &str| Target { table: table.to_owned(), columns: Vec::new() };
    let targets = vec![target("own"), target("a"), target("b")];
    let named = BTreeMap::from([("x".to_owned(), 1), ("7".to_owned(), 2)]);
    let by_topic =
        Route { targets: targets.clone(), rule: Rule::Topic(named.clone()), ..Route::default() };
    assert_eq!(by_topic.target_of(row("x", "1")), Ok(1));
    assert_eq!(by_topic.target_of(row("X", "1")), Ok(0));
    let rule = Rule::Field { path: path("k.t"), tables: named };
    let by_field = Route { targets, rule, ..Route::default() };
    assert_eq!(by_field.target_of(row("t", r#"{"k":{"t":"x"}}"#)), Ok(1));
    assert_eq!(by_field.target_of(row("t", r#"{"k":{"t":7}}"#)), Ok(2));
    for nowhere in [r#"{"k":{"t":"own"}}"#, r#"{"k":{}}"#, "[]", r#"{"k":{"t":"s2x_offsets"}}"#] {
        assert!(by_field.target_of(row("t", nowhere)).unwrap_err().is_refusal(), "{nowhere}");
    }
}
