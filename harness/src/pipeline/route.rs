//! Tables and columns of rows, by the names that SingleStore's Kafka sink gives the settings.
//!
//! Touches nothing. Invariant: a setting that would mean nothing is refused with its place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::aside::{SOURCE_TOPICS, names};
use super::document::Entry;
use super::error::PipelineError;
use super::plan::Reader;
use crate::route::{Column, Route, Rule, Target};

/// A table for a topic.
pub(super) const TABLE_NAME: &str = "singlestore.tableName.";
/// A table for a value of the field.
pub(super) const MAPPING: &str = "singlestore.recordToTable.mapping.";
/// A field for a column of a table.
pub(super) const COLUMN: &str = "singlestore.columnToField.";

const MAPPING_FIELD: &str = "singlestore.recordToTable.mappingField";
const WHITELIST: &str = "fields.whitelist";
const UPSERT: &str = "singlestore.upsert";
const METADATA: &str = "singlestore.metadata.allow";
const METADATA_TABLE: &str = "singlestore.metadata.table";

impl Reader<'_> {
    /// Where rows go; `table` is the pipeline's own.
    pub(super) fn route(&self, table: &str) -> Result<Route, PipelineError> {
        let mut route = Route::plain(table);
        let topics = self.named(TABLE_NAME, &mut route)?;
        self.require_read(&topics)?;
        let values = self.named(MAPPING, &mut route)?;
        route.rule = match (self.text(MAPPING_FIELD)?, topics.is_empty(), values.is_empty()) {
            (None, true, true) => Rule::One,
            (None, false, true) => Rule::Topic(topics),
            (Some(field), true, false) => {
                Rule::Field { path: self.path(MAPPING_FIELD, &field)?, tables: values }
            }
            (Some(_), _, true) => {
                let reason =
                    "it means nothing without singlestore.recordToTable.mapping.VALUE=TABLE";
                return Err(self.wrong(MAPPING_FIELD, reason));
            }
            (Some(_), false, _) => {
                let reason =
                    "rows go by singlestore.tableName or by a field, not by both; keep one";
                return Err(self.wrong(MAPPING_FIELD, reason));
            }
            (None, _, false) => {
                let reason = "it means nothing without singlestore.recordToTable.mappingField";
                return Err(self.first_wrong(MAPPING, reason));
            }
        };
        self.columns(&mut route)?;
        route.is_upsert = self.flag(UPSERT, false)?;
        let name = self.text(METADATA_TABLE)?;
        if self.flag(METADATA, false)? {
            // Kafka Connect's class names and the short one.
            let class = self.text("connector.class")?.unwrap_or_default();
            if class != "kafka" && !class.ends_with("KafkaSourceConnector") {
                let reason = "its rows are named by topic, partition and offset, which topics of Kafka alone have; \
                              take it away";
                return Err(self.wrong(METADATA, reason));
            }
            let default = || "kafka_connect_transaction_metadata".to_owned();
            route.metadata = Some(name.unwrap_or_else(default));
        } else if name.is_some() {
            let reason = "it means nothing without singlestore.metadata.allow=true";
            return Err(self.wrong(METADATA_TABLE, reason));
        }
        Ok(route)
    }

    /// Refuses a table for a topic that a list of topics does not have. What a pattern matches is not known here.
    fn require_read(&self, topics: &BTreeMap<String, usize>) -> Result<(), PipelineError> {
        let mut config = self.document.config.iter();
        let listed = config.find(|entry| SOURCE_TOPICS.contains(&&*entry.key));
        let Some(listed) = listed.and_then(|entry| entry.value.as_str()) else { return Ok(()) };
        for topic in topics.keys().filter(|topic| names(listed).all(|it| it != *topic)) {
            let key = format!("{TABLE_NAME}{topic}");
            if let Some(entry) = self.with(TABLE_NAME).find(|entry| entry.key == key) {
                let reason =
                    "the pipeline does not read this topic; correct its name, or add it to topics";
                return Err(self.document.wrong(entry, reason));
            }
        }
        Ok(())
    }

    /// Settings `PREFIX NAME = TABLE`, by name; their tables become targets.
    fn named(
        &self,
        prefix: &str,
        route: &mut Route,
    ) -> Result<BTreeMap<String, usize>, PipelineError> {
        let mut named = BTreeMap::new();
        for entry in self.with(prefix) {
            let name = entry.key.strip_prefix(prefix).unwrap_or_default();
            let table = match &entry.value {
                Value::String(table) if !table.trim().is_empty() => table.trim(),
                _ => return Err(self.document.wrong(entry, "expected the name of a table")),
            };
            if name.is_empty() {
                return Err(self.document.wrong(entry, "a name is expected behind the last dot"));
            }
            let place = route.targets.iter().position(|target| target.table == table);
            let place = place.unwrap_or_else(|| {
                route.targets.push(Target { table: table.to_owned(), columns: Vec::new() });
                route.targets.len() - 1
            });
            named.insert(name.to_owned(), place);
        }
        Ok(named)
    }

    fn columns(&self, route: &mut Route) -> Result<(), PipelineError> {
        for entry in self.with(COLUMN) {
            let rest = entry.key.strip_prefix(COLUMN).unwrap_or_default();
            // Names may have dots: the longest table that is known wins.
            let target = route
                .targets
                .iter_mut()
                .filter(|it| {
                    rest.strip_prefix(it.table.as_str()).is_some_and(|it| it.starts_with('.'))
                })
                .max_by_key(|target| target.table.len());
            let Some(target) = target else {
                let reason = "it names no table that rows go to; write singlestore.columnToField.TABLE.COLUMN";
                return Err(self.document.wrong(entry, reason));
            };
            let column = rest.get(target.table.len() + 1..).unwrap_or_default();
            let Value::String(field) = &entry.value else {
                return Err(self.document.wrong(entry, "expected the name of a field"));
            };
            let path = path(field).ok_or_else(|| {
                self.document.wrong(entry, "expected names of fields with dots between them")
            })?;
            if column.is_empty()
                || target.columns.iter().any(|it| it.name.eq_ignore_ascii_case(column))
            {
                return Err(self.document.wrong(entry, "its column has no name, or is set twice"));
            }
            target.columns.push(Column { name: column.to_owned(), path });
        }
        let Some(listed) = self.text(WHITELIST)? else { return Ok(()) };
        for name in listed.split(',').map(str::trim) {
            if name.is_empty() {
                return Err(self.unexpected(WHITELIST, "names of fields with commas between them"));
            }
            for target in &mut route.targets {
                if !target.columns.iter().any(|it| it.name.eq_ignore_ascii_case(name)) {
                    let column = Column { name: name.to_owned(), path: vec![name.to_owned()] };
                    target.columns.push(column);
                }
            }
        }
        Ok(())
    }

    fn with(&self, prefix: &str) -> impl Iterator<Item = &Entry> {
        self.document.config.iter().filter(move |entry| entry.key.starts_with(prefix))
    }

    fn path(&self, key: &str, field: &str) -> Result<Vec<String>, PipelineError> {
        path(field)
            .ok_or_else(|| self.wrong(key, "expected names of fields with dots between them"))
    }

    fn first_wrong(&self, prefix: &str, reason: &str) -> PipelineError {
        let first = self.with(prefix).next();
        first.map_or_else(|| self.unexpected(prefix, reason), |it| self.document.wrong(it, reason))
    }
}

fn path(field: &str) -> Option<Vec<String>> {
    let path: Vec<String> = field.split('.').map(|it| it.trim().to_owned()).collect();
    path.iter().all(|it| !it.is_empty()).then_some(path)
}
