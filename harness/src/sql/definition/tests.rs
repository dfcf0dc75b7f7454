//! What a definition keeps, and the plan that comes of it.

use std::path::PathBuf;

use super::{Definition, Needs};
use crate::pipeline::{Overrides, Surroundings};
use crate::run::{OnError, Plan};
use crate::sql::error::SqlError;
use crate::sql::grammar;
use crate::sql::lex::{Rules, split};
use crate::sql::secrets::Secrets;
use crate::sql::statement::Statement;
use crate::sql::variables::Values;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn surroundings() -> Surroundings<'static> {
        Surroundings {
            env: &|name| (name == "PW").then(|| "from-env".into()),
            program_folder: None,
        }
    }

    fn define(&self, script: &str) -> Result<Definition, SqlError> {
        let pieces = split(script, Rules::Sqlite).unwrap();
        let Ok(Statement::Create(create)) = grammar::parse(&pieces[0]) else { panic!("{script}") };
        let mut secrets = Secrets::in_folder(self.folder.path());
        let shown = |error: crate::sql::error::Syntax| error.shown("x.sql", script);
        let load = &create.load;
        let mut definition =
            Definition::of(load, create.is_inferred, &mut secrets, &Self::surroundings(), &shown)?;
        let kept = secrets.write(&definition.binding(), &mut |_| Ok(()))?;
        definition.secrets_file = kept.map(|kept| kept.path().to_owned());
        Ok(definition)
    }

    fn plan(&self, definition: &Definition, values: &[(&str, &str)]) -> Result<Plan, SqlError> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let values = Values::of(values.iter().map(pair).collect());
        let overrides = Overrides {
            store: Some("sqlite:/x/a.db".parse().unwrap()),
            extractor: Some(PathBuf::from("/bin/sh")),
            ..Overrides::default()
        };
        let surroundings = &Self::surroundings();
        definition.plan(Needs { name: "p", table: "t", overrides, values: &values, surroundings })
    }
}

fn bench() -> Bench {
    Bench { folder: tempfile::tempdir().unwrap() }
}

const SECRETS: [&str; 3] = ["hunter2-secret", "cred-secret", "url-secret"];

const WITH_SECRETS: &str = r#"CREATE INFERRED PIPELINE p AS LOAD DATA KAFKACONNECT 'x' CONFIG '{
    "connector.class": "kinesis", "aws.secret.access.key": "hunter2-secret", "tasks.max": 6,
    "proxy": "http://u:url-secret@h/", "repeated": "x cred-secret y", "aws.session.token": "${env:PW}"}'
    CREDENTIALS '{"some.name": "cred-secret", "number": 12345}' FORMAT AVRO"#;

#[test]
fn e12_a_definition_holds_no_secret_and_its_plan_has_them_all() {
    let bench = bench();
    let definition = bench.define(WITH_SECRETS).unwrap();
    let text = definition.text();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
        assert!(!definition.create_statement("p", "p").contains(secret));
    }
    assert!(text.contains("${env:PW}"), "a reference stays one: {text}");
    let plan = bench.plan(&Definition::parse("p", &text).unwrap(), &[]).unwrap();
    assert_eq!(plan.source.config["aws.secret.access.key"], "hunter2-secret");
    assert_eq!(plan.source.config["proxy"], "http://u:url-secret@h/");
    assert_eq!(plan.source.config["repeated"], "x cred-secret y");
    assert_eq!(plan.source.config["aws.session.token"], "from-env");
    assert_eq!(plan.source.credentials["some.name"], "cred-secret");
    assert_eq!(plan.source.credentials["number"], "12345");
    for secret in SECRETS {
        assert!(!plan.source.redacted_json.contains(secret), "{}", plan.source.redacted_json);
    }
    assert_eq!((plan.name.as_str(), plan.table.as_str(), plan.share.tasks), ("p", "t", 6));
    assert_eq!(plan.definition.as_deref(), Some(text.as_str()));
}

#[test]
fn clauses_win_over_config_and_config_over_variables() {
    let bench = bench();
    let define = |config: &str, clauses: &str| {
        let script = format!(
            "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 'x' CONFIG '{{\"connector.class\":\"test\"{config}}}' \
             {clauses} FORMAT AVRO"
        );
        bench.define(&script).unwrap()
    };
    let values = [
        ("pipelines_extractor_batch_size", "77"),
        ("pipelines_extractor_max_batch_interval_ms", "55"),
        ("pipelines_max_retries_per_batch_partition", "9"),
        ("pipelines_stop_on_error", "OFF"),
    ];
    let numbers = |definition: &Definition, values: &[(&str, &str)]| {
        let plan = bench.plan(definition, values).unwrap();
        let limits = plan.limits;
        (limits.rows, limits.interval.as_millis(), plan.retry.attempts, plan.on_error)
    };
    let bare = define("", "");
    assert_eq!(numbers(&bare, &[]), (10_000, 1000, 4, OnError::Stop));
    assert_eq!(numbers(&bare, &values), (77, 55, 9, OnError::Skip));
    let config = define(
        r#", "batch.rows": 5, "batch.interval.ms": 6, "retry.attempts": 7, "errors.tolerance": "none""#,
        "",
    );
    assert_eq!(numbers(&config, &values), (5, 6, 7, OnError::Stop));
    let clauses = define(
        r#", "batch.rows": 5, "batch.interval.ms": 6, "tasks.max": 8"#,
        "BATCH_INTERVAL 8 MAX_RETRIES_PER_BATCH_PARTITION 1 MAX_OFFSETS_PER_BATCH_PARTITION 3 STOP_ON_ERROR ON \
         MAX_PARTITIONS_PER_BATCH 2",
    );
    assert_eq!(numbers(&clauses, &values), (3, 8, 1, OnError::Stop));
    assert_eq!(bench.plan(&clauses, &values).unwrap().share.tasks, 2);
    let most = [("pipelines_max_offsets_per_batch_partition", "4")];
    assert_eq!(numbers(&bare, &most).0, 4);
}

#[test]
fn the_native_form_becomes_the_kafka_source() {
    let bench = bench();
    let script = "CREATE PIPELINE p AS LOAD DATA KAFKA 'a:1,b/orders' CONFIG '{\"client.id\":\"it''s\"}' \
                  CREDENTIALS '{\"sasl.password\":\"pw-pw-pw\"}' INTO TABLE t FORMAT JSON";
    let definition = bench.define(script).unwrap();
    let plan = bench.plan(&definition, &[]).unwrap();
    assert_eq!(plan.source.config["connector.class"], "kafka");
    assert_eq!(plan.source.config["bootstrap.servers"], "a:1,b");
    assert_eq!(plan.source.config["topics"], "orders");
    assert_eq!(plan.source.credentials["sasl.password"], "pw-pw-pw");
    let shown = "CREATE PIPELINE `p`\nAS LOAD DATA KAFKA 'a:1,b/orders'\nCONFIG '{\"client.id\":\"it''s\"}'\n\
                 CREDENTIALS '<CREDENTIALS REDACTED>'\nINTO TABLE `t`\nFORMAT JSON";
    assert_eq!(definition.create_statement("p", "t"), shown);
    for target in ["orders", "/orders", "h/", "a/b/c"] {
        let script =
            format!("CREATE PIPELINE p AS LOAD DATA KAFKA '{target}' INTO TABLE t FORMAT JSON");
        let error = bench.plan(&bench.define(&script).unwrap(), &[]).unwrap_err();
        assert!(error.to_string().contains("needs 'host[:port][,…]/topic'"), "{error}");
    }
}

#[test]
fn what_is_wrong_in_config_is_shown_in_the_script() {
    let bench = bench();
    let of = |config: &str| {
        let script = format!(
            "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 'x'\nCONFIG '{config}' FORMAT AVRO"
        );
        bench.define(&script).map(drop).unwrap_err().to_string()
    };
    let error = of("{\n  \"a\" 1}");
    assert!(error.starts_with("x.sql: line 3, column 7: not valid JSON: expected `:`"), "{error}");
    assert!(of("7").contains("x.sql: line 2, column 9: expected an object"), "{}", of("7"));
    assert!(of(r#"{"a":1,"a":2}"#).contains("duplicate key"));
    assert!(of(r#"{"a":"${env:GONE}"}"#).contains("the environment variable GONE is not set"));
    let script = "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 'x' CONFIG '{\"store\":\"sqlite:b\"}' FORMAT AVRO";
    let error = bench.plan(&bench.define(script).unwrap(), &[]).unwrap_err();
    assert!(error.to_string().contains("store does not belong into CONFIG"), "{error}");
}
