//! How keys and values are declared: by `key.format` and `value.format`, or by the converters of Kafka
//! Connect that have an equivalent. What is not understood is refused by name, before anything
//! connects. Asks nobody.

mod csv;

use std::sync::Arc;
use std::time::Duration;

use protocol::Failure;

use super::registry::{self, Registry, RegistrySettings};
use super::settings::PROPERTY_PREFIX;
use crate::config::Settings;
use crate::decode::avro::{Logical, Options, Plan};
use crate::decode::schema::{Kind, Schemas};
use crate::decode::translate::{Codec, Hindrance, Texts, Translator};
use crate::decode::{Decoder, Format};

/// A format by its name in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Plain(Format),
    Avro,
    Csv,
    Framed(Kind),
}

/// Every format with its name.
const FORMATS: [(&str, Named); 8] = [
    ("json", Named::Plain(Format::Json)),
    ("string", Named::Plain(Format::String)),
    ("bytes", Named::Plain(Format::Bytes)),
    ("raw", Named::Plain(Format::Bytes)),
    ("avro", Named::Avro),
    ("avro-confluent", Named::Framed(Kind::Avro)),
    ("csv", Named::Csv),
    ("json-schema", Named::Framed(Kind::Json)),
];

/// Converters of Kafka Connect with the same format.
const CONVERTERS: [(&str, Named); 5] = [
    ("org.apache.kafka.connect.json.JsonConverter", Named::Plain(Format::Json)),
    ("org.apache.kafka.connect.storage.StringConverter", Named::Plain(Format::String)),
    ("org.apache.kafka.connect.converters.ByteArrayConverter", Named::Plain(Format::Bytes)),
    ("io.confluent.connect.avro.AvroConverter", Named::Framed(Kind::Avro)),
    ("io.confluent.connect.json.JsonSchemaConverter", Named::Framed(Kind::Json)),
];

/// Parts of the names of keys that tell a registry, or a converter, about itself.
const REGISTRY_PARTS: [&str; 5] =
    ["schema.registry", "apicurio.registry", "avro-confluent", "basic.auth.", "bearer.auth."];

/// Settings of converters that change nothing for those who only read.
const IDLE: [&str; 5] = [
    "auto.register.schemas",
    "enhanced.avro.schema.support",
    "schemas.cache.config",
    "schemas.cache.size",
    "use.latest.version",
];

/// Keys of a side, by what comes behind `key` and `value`.
const SIDE_KEYS: [&str; 5] =
    [".format", ".converter", ".avro.schema", ".json.schemas.enable", ".converter.schemas.enable"];

const LOGICAL: &str = "avro.logical";
const ENDIANNESS: &str = "materialize.uint.endianness";

/// What there is, for the ends of texts.
const POSSIBLE: &str = "possible are json, string, bytes, avro, avro-confluent, csv and json-schema \
                        in key.format and value.format";

/// Whether a key is read here.
pub(super) fn is_key(key: &str) -> bool {
    let side = ["key", "value"].into_iter().find_map(|side| key.strip_prefix(side));
    let is_side = side.is_some_and(|rest| {
        let is_csv = rest.strip_prefix(".csv.").is_some_and(|rest| csv::OPTIONS.contains(&rest));
        let idle = rest.strip_prefix(".converter.").is_some_and(|rest| IDLE.contains(&rest));
        SIDE_KEYS.contains(&rest) || is_csv || idle
    });
    is_side || registry::KEYS.contains(&key) || [LOGICAL, ENDIANNESS].contains(&key)
}

/// How keys and values are read.
#[derive(Clone, Debug)]
pub(super) struct Formats {
    key: Side,
    value: Side,
    options: Options,
    registry: Option<RegistrySettings>,
}

#[derive(Clone, Debug)]
struct Side {
    format: Format,
    codec: Codec,
}

impl Formats {
    /// Reads the keys.
    ///
    /// # Errors
    /// The first value that cannot be used, or that would be ignored.
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        refuse(settings)?;
        let logical = [("raw", Logical::Raw), ("decoded", Logical::Decoded)];
        let options = Options {
            logical: settings.choice(LOGICAL, &logical, Logical::Raw)?,
            little_endian: settings.choice(
                ENDIANNESS,
                &[("big", false), ("little", true)],
                false,
            )?,
        };
        let key = Side::read(settings, KEY, Format::String, options)?;
        let value = Side::read(settings, VALUE, Format::Json, options)?;
        let registry = RegistrySettings::read(settings)?;
        let framed = |kind: Kind| {
            let is = |side: &Side| matches!(side.codec, Codec::Framed(of) if of == kind);
            is(&key) || is(&value)
        };
        if framed(Kind::Avro) && registry.is_none() {
            let what = "where the schemas of avro-confluent are, for example http://registry:8081";
            return Err(Settings::missing("schema.registry.url", what));
        }
        if registry.is_some() && !framed(Kind::Avro) && !framed(Kind::Json) {
            let set = registry::KEYS.iter().find(|key| settings.text(key).is_some());
            let text = "neither key.format nor value.format has schemas of a registry";
            return Err(settings.unsupported(set.unwrap_or(&"schema.registry.url"), text));
        }
        Ok(Self { key, value, options, registry })
    }

    /// What makes rows of records, once they are JSON, text or bytes.
    pub(super) const fn decoder(&self, metadata: bool) -> Decoder {
        Decoder { key: self.key.format, value: self.value.format, metadata }
    }

    /// What the user should know, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.registry.iter().flat_map(|registry| registry.warnings.clone()).collect()
    }

    /// The registry, where one is asked.
    pub(super) fn registry(&self) -> Option<&RegistrySettings> {
        let is_asked = |side: &Side| matches!(side.codec, Codec::Framed(Kind::Avro));
        self.registry.as_ref().filter(|_| is_asked(&self.key) || is_asked(&self.value))
    }

    /// What makes JSON of records that are none yet; `None` where all are handed on as they are.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(&self) -> Result<Option<Foreign>, Failure> {
        if matches!((&self.key.codec, &self.value.codec), (Codec::Plain, Codec::Plain)) {
            return Ok(None);
        }
        let registry = self.registry();
        let registry =
            registry.map(|settings| Registry::start(settings, self.options)).transpose()?;
        let look = registry.as_ref().map(|it| Box::new(it.look()) as Box<dyn Schemas + Send>);
        let translator = Translator::new(self.key.codec.clone(), self.value.codec.clone(), look);
        Ok(Some(Foreign { translator, registry }))
    }

    /// Whether ids mean the same to both.
    pub(super) fn is_same_registry(&self, other: &Self) -> bool {
        let both = self.registry.as_ref().zip(other.registry.as_ref());
        both.is_some_and(|(a, b)| a.is_same_registry(b)) && self.options == other.options
    }
}

/// Makes JSON of records; holds the registry that it looks into.
pub(super) struct Foreign {
    translator: Translator,
    registry: Option<Registry>,
}

impl Foreign {
    /// The texts of a record.
    pub(super) fn translate<'a>(
        &'a mut self,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Texts<'a>, Hindrance> {
        self.translator.translate(key, value)
    }

    /// Waits for an answer of the registry, at most `time`.
    pub(super) fn wait(&self, time: Duration) {
        if let Some(registry) = &self.registry {
            registry.wait(time);
        }
    }

    /// Keeps what another one of the same registry found.
    pub(super) fn take_over(&self, old: &Self) {
        if let (Some(new), Some(old)) = (&self.registry, &old.registry) {
            new.take_over(old);
        }
    }
}

/// Keys of one side.
struct Names {
    csv: &'static str,
    format: &'static str,
    converter: &'static str,
    avro_schema: &'static str,
    schemas_enable: [&'static str; 2],
}

const KEY: Names = Names {
    csv: "key.csv.",
    format: "key.format",
    converter: "key.converter",
    avro_schema: "key.avro.schema",
    schemas_enable: ["key.json.schemas.enable", "key.converter.schemas.enable"],
};

const VALUE: Names = Names {
    csv: "value.csv.",
    format: "value.format",
    converter: "value.converter",
    avro_schema: "value.avro.schema",
    schemas_enable: ["value.json.schemas.enable", "value.converter.schemas.enable"],
};

impl Side {
    fn read(
        settings: &Settings,
        names: Names,
        default: Format,
        options: Options,
    ) -> Result<Self, Failure> {
        let converter = converter(settings, &names)?;
        let named = match converter {
            Some(named) => named,
            None => settings.choice(names.format, &FORMATS, Named::Plain(default))?,
        };
        let is_json = named == Named::Plain(Format::Json);
        let enable = settings.text_of_any(&names.schemas_enable)?.map(|(key, _)| key);
        if let (Some(key), false) = (enable, is_json) {
            return Err(settings.unsupported(key, "only JSON has it"));
        }
        if named != Named::Avro && settings.text(names.avro_schema).is_some() {
            let text = format!("only {}=avro reads by it", names.format);
            return Err(settings.unsupported(names.avro_schema, &text));
        }
        if named != Named::Csv
            && let Some((option, _)) = settings.with_prefix(names.csv).next()
        {
            let text = format!("only {}=csv reads by it", names.format);
            return Err(settings.unsupported(&format!("{}{option}", names.csv), &text));
        }
        // Kafka Connect's converter expects schemas unless told otherwise.
        let is_connect = is_json && converter.is_some();
        let has_schemas = match enable {
            Some(key) => settings.flag(key, is_connect)?,
            None => is_connect,
        };
        let written = |codec| Self { format: Format::Written, codec };
        Ok(match named {
            Named::Plain(Format::Json) if has_schemas => written(Codec::Envelope),
            Named::Plain(format) => Self { format, codec: Codec::Plain },
            Named::Framed(kind) => written(Codec::Framed(kind)),
            Named::Csv => written(Codec::Csv(Arc::new(csv::read(settings, names.csv)?))),
            Named::Avro => {
                let key = names.avro_schema;
                let what = "the schema as JSON, which avro reads by";
                let text = settings.text(key).ok_or_else(|| Settings::missing(key, what))?;
                let plan = Plan::parse(text, &[], options);
                let plan = plan.map_err(|why| settings.unsupported(key, &why))?;
                written(Codec::Avro(Arc::new(plan)))
            }
        })
    }
}

/// The format of a converter's class.
fn converter(settings: &Settings, names: &Names) -> Result<Option<Named>, Failure> {
    let Some(class) = settings.text(names.converter) else { return Ok(None) };
    let named = CONVERTERS.iter().find(|(name, _)| *name == class).map(|(_, named)| *named);
    let Some(named) = named else {
        let text = format!("a Java class, which is not run; {POSSIBLE}");
        return Err(settings.invalid(names.converter, &text));
    };
    if settings.text(names.format).is_some() {
        let text = format!("{} is set too; give one of them", names.format);
        return Err(settings.invalid(names.converter, &text));
    }
    Ok(Some(named))
}

/// Refuses the first setting that would be ignored although it says how records are to be read.
fn refuse(settings: &Settings) -> Result<(), Failure> {
    for (key, text) in settings.with_prefix("") {
        if text.trim().is_empty() || is_key(key) {
            continue;
        }
        let name = key.strip_prefix(PROPERTY_PREFIX).unwrap_or(key);
        if is_key(name) {
            return Err(settings.unsupported(key, &format!("use {name} without the prefix")));
        }
        if REGISTRY_PARTS.iter().any(|part| name.contains(part)) {
            return Err(settings.unsupported(
                key,
                "no such setting of a schema registry here: they begin with schema.registry., and \
                 stores of Java are given as PEM",
            ));
        }
        for (side, format) in [("key", "key.format"), ("value", "value.format")] {
            let rest = name.strip_prefix(side).unwrap_or_default();
            if rest.starts_with(".converter.") {
                let text = format!("no setting that is known of a converter; {POSSIBLE}");
                return Err(settings.unsupported(key, &text));
            }
            if rest == ".deserializer" || rest.starts_with(".deserializer.") {
                let text =
                    format!("a Java class, which is not run; here it is {format}: {POSSIBLE}");
                return Err(settings.unsupported(key, &text));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
