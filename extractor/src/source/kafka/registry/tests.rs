//! Every way in which users name a registry or a converter, and that no address is repeated.

use protocol::Code;
use serde_json::{Map, Value, json};

use super::*;

fn refused(key: &str, value: &Value) -> Option<String> {
    let config = Map::from_iter([(key.to_owned(), value.clone())]);
    let failure = refuse(&Settings::from_maps(&config, &Map::new()).unwrap()).err()?;
    assert_eq!(failure.code, Code::ConfigInvalid);
    assert_eq!(failure.detail["pointer"], format!("/config/{key}"));
    Some(failure.message)
}

#[test]
fn what_needs_a_registry_is_named_with_what_is_possible() {
    for (key, value) in [
        ("value.format", "avro"),
        ("key.format", "Avro-Confluent"),
        ("value.format", "protobuf"),
        ("value.format", "json_sr"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
        ("key.converter", "io.confluent.connect.protobuf.ProtobufConverter"),
        ("value.converter", "io.confluent.connect.json.JsonSchemaConverter"),
        ("value.converter", "io.apicurio.registry.utils.converter.AvroConverter"),
        ("value.deserializer", "io.confluent.kafka.serializers.KafkaAvroDeserializer"),
        ("properties.value.deserializer", "io.confluent.kafka.serializers.KafkaAvroDeserializer"),
        ("schema.registry.url", "http://joe:hidden@r:8081"),
        ("properties.schema.registry.url", "http://joe:hidden@r:8081"),
        ("value.converter.schema.registry.url", "http://joe:hidden@r:8081"),
        ("value.converter.apicurio.registry.url", "http://joe:hidden@r:8081"),
        ("value.avro-confluent.url", "http://joe:hidden@r:8081"),
        ("value.converter.basic.auth.user.info", "joe:hidden"),
        ("basic.auth.credentials.source", "USER_INFO"),
    ] {
        let message = refused(key, &json!(value)).unwrap_or_else(|| panic!("{key} is taken"));
        assert!(message.starts_with(key) && message.ends_with(POSSIBLE), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}

#[test]
fn a_converter_is_named_with_its_equivalent() {
    for (key, class, end) in [
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter", "key.format=string"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter", "value.format=json"),
        (
            "value.converter",
            "org.apache.kafka.connect.converters.ByteArrayConverter",
            "value.format=bytes",
        ),
        ("value.converter", "com.example.Own", "value.format: json, string or bytes"),
    ] {
        let message = refused(key, &json!(class)).unwrap();
        assert_eq!(message, format!("{key} = {class:?}: a Java class; here it is {end}"));
    }
    assert_eq!(
        refused("value.converter.schemas.enable", &json!(false)).unwrap(),
        "value.converter.schemas.enable: a setting of value.converter, a Java class; here it is \
         value.format"
    );
}

#[test]
fn what_is_declared_here_passes() {
    for (key, value) in [
        ("value.format", "json"),
        ("key.format", "bytes"),
        ("topics", "avro-confluent.orders"),
        ("schema.registry.url", ""),
        ("bootstrap.servers", "schema.registry:9092"),
    ] {
        assert_eq!(refused(key, &json!(value)), None, "{key} = {value}");
    }
}
