//! Settings that need a schema registry, or a converter that is a Java class: refused by name, before
//! anything connects. Pure; no registry is ever asked.
//!
//! What a registry's producers write is told record by record, in `decode`.

use protocol::Failure;

use super::settings::PROPERTY_PREFIX;
use crate::config::Settings;

/// What there is instead, for the ends of the texts.
const POSSIBLE: &str = "no schema registry is asked, and Avro, Protobuf and JSON Schema are not \
                        decoded; possible are json, string and bytes in key.format and \
                        value.format, where bytes delivers what came as base64";

/// Parts of the names of keys that tell a registry about itself.
const REGISTRY_PARTS: [&str; 5] =
    ["schema.registry", "apicurio.registry", "avro-confluent", "basic.auth.", "bearer.auth."];

/// Parts of formats and of class names that need a registry, or a schema that nothing here takes.
const SCHEMA_PARTS: [&str; 7] =
    ["avro", "confluent", "jsonschema", "json-schema", "json_schema", "json_sr", "protobuf"];

/// Keys that name a Java class which reads keys or values, with the key that declares them here.
const CLASSES: [(&str, &str); 4] = [
    ("key.converter", "key.format"),
    ("key.deserializer", "key.format"),
    ("value.converter", "value.format"),
    ("value.deserializer", "value.format"),
];

/// Ends of such classes that have an equivalent, with its format.
const EQUIVALENTS: [(&str, &str); 6] = [
    (".ByteArrayConverter", "bytes"),
    (".ByteArrayDeserializer", "bytes"),
    (".JsonConverter", "json"),
    (".StringConverter", "string"),
    (".StringDeserializer", "string"),
    (".JsonDeserializer", "json"),
];

/// Whether a format or a class needs schemas.
fn wants_schemas(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SCHEMA_PARTS.iter().any(|part| text.contains(part))
}

/// Refuses the first setting that would be ignored although it says how records are to be read.
///
/// # Errors
/// The key, without its value where that may hold a user and a password, and what is possible.
pub(super) fn refuse(settings: &Settings) -> Result<(), Failure> {
    for (key, text) in settings.with_prefix("") {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let name = key.strip_prefix(PROPERTY_PREFIX).unwrap_or(key);
        if REGISTRY_PARTS.iter().any(|part| name.contains(part)) {
            return Err(settings.unsupported(key, POSSIBLE));
        }
        if matches!(name, "key.format" | "value.format") && wants_schemas(text) {
            return Err(settings.invalid(key, POSSIBLE));
        }
        if let Some((_, format)) = CLASSES.iter().find(|(class, _)| *class == name) {
            return Err(settings.invalid(key, &instead(text, format)));
        }
        let of = CLASSES
            .iter()
            .find(|(class, _)| name.strip_prefix(class).is_some_and(|rest| rest.starts_with('.')));
        if let Some((class, format)) = of {
            let text = format!("a setting of {class}, a Java class; here it is {format}");
            return Err(settings.unsupported(key, &text));
        }
    }
    Ok(())
}

/// What to write instead of a Java class.
fn instead(class: &str, format: &str) -> String {
    if wants_schemas(class) {
        return POSSIBLE.to_owned();
    }
    match EQUIVALENTS.iter().find(|(end, _)| class.ends_with(end)) {
        Some((_, same)) => format!("a Java class; here it is {format}={same}"),
        None => format!("a Java class; here it is {format}: json, string or bytes"),
    }
}

#[cfg(test)]
mod tests;
