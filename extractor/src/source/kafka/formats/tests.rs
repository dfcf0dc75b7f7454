//! Every way in which users declare formats, a registry or a converter: taken with the same meaning, or
//! refused by name; and that no address and no secret is repeated.

use protocol::Code;
use serde_json::{Map, Value, json};

use super::*;

fn read(config: &Value) -> Result<Formats, Failure> {
    let config = config.as_object().unwrap().clone();
    Formats::read(&Settings::from_maps(&config, &Map::new()).unwrap())
}

fn shape(config: &Value) -> [String; 2] {
    let formats = read(config).unwrap();
    let side = |side: &Side| match (&side.codec, side.format) {
        (Codec::Plain, format) => format!("{format:?}"),
        (Codec::Avro(_), Format::Written) => "Avro".to_owned(),
        (Codec::Csv(_), Format::Written) => "Csv".to_owned(),
        (codec, Format::Written) => format!("{codec:?}"),
        (codec, format) => panic!("{codec:?} {format:?}"),
    };
    [side(&formats.key), side(&formats.value)]
}

#[track_caller]
fn refused(config: &Value, key: &str, expected: &str) {
    let failure = read(config).unwrap_err();
    let is_config = [Code::ConfigInvalid, Code::ConfigMissing].contains(&failure.code);
    assert!(is_config, "{failure}");
    assert!(failure.message.starts_with(key), "{failure}");
    assert!(failure.message.contains(expected), "{failure}");
    assert!(!failure.message.contains("hidden"), "{failure}");
    assert_eq!(failure.detail["pointer"], format!("/config/{key}"));
}

const URL: &str = "http://registry:8081";

#[test]
fn formats_are_declared_by_their_names() {
    for (config, expected) in [
        (json!({}), ["String", "Json"]),
        (json!({"key.format": "bytes", "value.format": "raw"}), ["Bytes", "Bytes"]),
        (
            json!({"key.format": "avro-confluent", "schema.registry.url": URL}),
            ["Framed(Avro)", "Json"],
        ),
        (json!({"value.format": "json-schema"}), ["String", "Framed(Json)"]),
        (
            json!({"value.format": "json-schema", "schema.registry.url": URL}),
            ["String", "Framed(Json)"],
        ),
        (json!({"value.format": "avro", "value.avro.schema": {"type": "int"}}), ["String", "Avro"]),
        (json!({"value.format": "avro", "value.avro.schema": "\"int\""}), ["String", "Avro"]),
        (json!({"value.json.schemas.enable": true}), ["String", "Envelope"]),
        (
            json!({"key.format": "csv", "key.csv.columns": "a BIGINT", "value.format": "csv",
                "value.csv.columns": "a, b", "value.csv.field-delimiter": "\\t"}),
            ["Csv", "Csv"],
        ),
    ] {
        assert_eq!(shape(&config), expected, "{config}");
    }
}

#[test]
fn converters_mean_the_same() {
    let connect = "org.apache.kafka.connect";
    let avro = "io.confluent.connect.avro.AvroConverter";
    for (config, expected) in [
        (
            json!({"key.converter": format!("{connect}.storage.StringConverter"),
                "value.converter": format!("{connect}.converters.ByteArrayConverter")}),
            ["String", "Bytes"],
        ),
        (
            json!({"value.converter": format!("{connect}.json.JsonConverter")}),
            ["String", "Envelope"],
        ),
        (
            json!({"value.converter": format!("{connect}.json.JsonConverter"),
                "value.converter.schemas.enable": "false"}),
            ["String", "Json"],
        ),
        (
            json!({"key.converter": avro, "value.converter": avro,
                "key.converter.schema.registry.url": URL,
                "value.converter.schema.registry.url": URL,
                "value.converter.enhanced.avro.schema.support": true,
                "value.converter.basic.auth.credentials.source": "USER_INFO",
                "value.converter.basic.auth.user.info": "joe:hidden"}),
            ["Framed(Avro)", "Framed(Avro)"],
        ),
        (
            json!({"value.converter": "io.confluent.connect.json.JsonSchemaConverter",
                "value.converter.schema.registry.url": URL}),
            ["String", "Framed(Json)"],
        ),
    ] {
        assert_eq!(shape(&config), expected, "{config}");
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (key, value, expected) in [
        ("value.format", "protobuf", "allowed: json, string"),
        ("value.converter", "io.confluent.connect.protobuf.ProtobufConverter", "a Java class"),
        ("value.converter", "io.apicurio.registry.utils.converter.AvroConverter", "a Java class"),
        (
            "value.converter",
            "com.example.Own",
            "possible are json, string, bytes, avro, avro-confluent, csv",
        ),
        (
            "value.deserializer",
            "io.confluent.kafka.serializers.KafkaAvroDeserializer",
            "value.format",
        ),
        ("properties.key.deserializer", "org.example.Own", "key.format"),
        ("properties.schema.registry.url", "http://joe:hidden@r", "use schema.registry.url"),
        ("value.converter.apicurio.registry.url", "http://joe:hidden@r", "no such setting"),
        ("value.avro-confluent.url", "http://joe:hidden@r", "no such setting"),
        ("schema.registry.ssl.truststore.location", "/x.jks", "given as PEM"),
        ("value.converter.replace.null.with.default", "true", "known of a converter"),
        ("value.avro.schema", "\"int\"", "only value.format=avro"),
        ("key.json.schemas.enable", "true", "only JSON has it"),
        ("avro.logical", "text", "allowed: raw, decoded"),
        ("schema.registry.timeout.ms", "5000", "without schema.registry.url"),
    ] {
        refused(&json!({key: value}), key, expected);
    }
    for (config, key, expected) in [
        (json!({"value.format": "avro-confluent"}), "schema.registry.url", "is missing"),
        (json!({"value.format": "avro"}), "value.avro.schema", "is missing"),
        (
            json!({"value.format": "avro", "value.avro.schema": "{}"}),
            "value.avro.schema",
            "no Avro schema",
        ),
        (json!({"value.format": "csv"}), "value.csv.columns", "is missing"),
        (
            json!({"value.format": "csv", "value.csv.columns": "a FLUT"}),
            "value.csv.columns",
            "expected a type",
        ),
        (json!({"value.csv.columns": "a"}), "value.csv.columns", "only value.format=csv"),
        (
            json!({"value.format": "csv", "value.csv.columns": "a", "value.csv.quote-character": ","}),
            "value.csv.quote-character",
            "is the same as value.csv.field-delimiter",
        ),
        (
            json!({"value.format": "csv", "value.csv.columns": "a", "value.csv.field-delimiter": "::"}),
            "value.csv.field-delimiter",
            "one ASCII mark",
        ),
        (
            json!({"value.format": "csv", "value.csv.columns": "a",
                "value.csv.ignore-parse-errors": "true"}),
            "value.csv.ignore-parse-errors",
            "errors.tolerance",
        ),
        (json!({"schema.registry.url": URL}), "schema.registry.url", "neither key.format"),
        (
            json!({"value.format": "json", "value.converter":
                "org.apache.kafka.connect.json.JsonConverter"}),
            "value.converter",
            "value.format is set too",
        ),
    ] {
        refused(&config, key, expected);
    }
}

#[test]
fn a_registry_and_its_login_are_checked_and_never_shown() {
    let with = |more: Value| {
        let mut config = json!({"value.format": "avro-confluent", "schema.registry.url": URL});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let info = "schema.registry.basic.auth.user.info";
    let token = "schema.registry.bearer.auth.token";
    for (more, key, expected) in [
        (json!({"schema.registry.url": "http://joe:hidden@r"}), "schema.registry.url", "a login"),
        (json!({"schema.registry.url": "registry:8081"}), "schema.registry.url", "allowed: http"),
        (json!({"schema.registry.url": "http://r/?a=b"}), "schema.registry.url", "allowed: http"),
        (
            json!({"value.converter.schema.registry.url": "http://other"}),
            "value.converter.schema.registry.url",
            "schema.registry.url is set to another value",
        ),
        (json!({info: "hidden"}), info, "user:password"),
        (json!({token: "hidden hidden"}), token, "no spaces"),
        (json!({info: "joe:hidden", token: "hidden"}), info, "more than one login"),
        (json!({"schema.registry.username": "joe"}), "schema.registry.username", "without a pass"),
        (
            json!({"basic.auth.credentials.source": "SASL_INHERIT"}),
            "basic.auth.credentials.source",
            "USER_INFO",
        ),
        (
            json!({"basic.auth.credentials.source": "USER_INFO"}),
            "basic.auth.credentials.source",
            "without schema.registry.basic.auth.user.info",
        ),
        (
            json!({"schema.registry.ssl.ca.location": "/etc/hostname"}),
            "schema.registry.ssl.ca.location",
            "PEM",
        ),
        (
            json!({"schema.registry.ssl.key.pem": "hidden", "schema.registry.url": "https://r"}),
            "schema.registry.ssl.key.pem",
            "no PEM text",
        ),
    ] {
        refused(&with(more), key, expected);
    }
    let formats = read(&with(json!({info: "joe:hidden"}))).unwrap();
    assert_eq!(
        formats.warnings(),
        ["the login for the schema registry registry:8081 is sent without TLS"]
    );
    assert!(!format!("{formats:?}").contains("hidden"), "{formats:?}");
    let loopback = json!({"schema.registry.url": "http://127.0.0.1:1", token: "hidden"});
    assert!(read(&with(loopback)).unwrap().warnings().is_empty());
}

#[test]
fn keys_that_are_read_are_known() {
    for key in
        ["value.format", "key.converter", "value.converter.use.latest.version", "avro.logical"]
    {
        assert!(is_key(key), "{key}");
    }
    for key in ["value.fromat", "converter", "value.converter.x", "bootstrap.servers"] {
        assert!(!is_key(key), "{key}");
    }
}
