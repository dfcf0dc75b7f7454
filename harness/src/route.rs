//! Which table a row goes to, and which of its fields to which columns.
//!
//! Pure but for `check`, which asks the database. Invariants: names of tables are those of the configuration, never
//! those of a record; a row that the configuration has no place for is an error of that row.

mod check;
mod fields;

use std::collections::BTreeMap;

use crate::store::{Param, RowRef, STATIC_COLUMNS, StoreError, StoreErrorKind};

pub(crate) use check::{check, ensure};
use fields::Fields;

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// JSON null, or no such field.
    Null,
    /// A whole number, or a truth value as 1 or 0.
    Int(i64),
    /// A string's text; any other number, an object or an array as it is written.
    Text(String),
}

impl Field {
    /// As it is bound to a statement.
    pub(crate) fn param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null,
            Self::Int(number) => Param::Int(*number),
            Self::Text(text) => Param::Text(text),
        }
    }

    /// Bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Null | Self::Int(_) => 8,
            Self::Text(text) => text.len(),
        }
    }
}

/// A column and the field that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Names of nested fields, from the outside.
    pub path: Vec<String>,
}

/// A table that rows go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub table: String,
    /// Its columns; without any, they are `topic`, `id` and `record`.
    pub columns: Vec<Column>,
}

impl Target {
    /// Names of the columns that are set.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self.columns.is_empty() {
            true => STATIC_COLUMNS.to_vec(),
            false => self.columns.iter().map(|column| column.name.as_str()).collect(),
        }
    }

    /// Whether it takes rows as they are.
    pub(crate) fn is_static(&self) -> bool {
        self.columns.is_empty()
    }
}

/// How a row's table is found; numbers are places in [`Route::targets`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// All rows go to the first target.
    #[default]
    One,
    /// By the topic; one that is not named goes to the first target.
    Topic(BTreeMap<String, usize>),
    /// By a field of the record; a value that is not named has no place.
    Field {
        /// The field.
        path: Vec<String>,
        /// Its values.
        tables: BTreeMap<String, usize>,
    },
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The tables; the first one is the pipeline's own.
    pub targets: Vec<Target>,
    /// How they are told apart.
    pub rule: Rule,
    /// Whether a row replaces the one of the same key.
    pub is_upsert: bool,
    /// The table of one row for each split of a batch, if it is kept.
    pub metadata: Option<String>,
}

impl Route {
    /// All rows as they are into one table.
    pub fn plain(table: &str) -> Self {
        let target = Target { table: table.to_owned(), columns: Vec::new() };
        Self { targets: vec![target], ..Self::default() }
    }

    /// Whether rows go as they are into one table.
    pub(crate) fn is_plain(&self) -> bool {
        let is_static = self.targets.iter().all(Target::is_static);
        self.rule == Rule::One && !self.is_upsert && is_static
    }

    /// Targets that rows may go to.
    pub(crate) fn used(&self) -> impl Iterator<Item = (usize, &Target)> {
        let skipped = usize::from(matches!(self.rule, Rule::Field { .. }));
        self.targets.iter().enumerate().skip(skipped)
    }

    /// The place of a row's target.
    ///
    /// # Errors
    /// The record has none: [`StoreErrorKind::Data`].
    pub(crate) fn target_of(&self, row: RowRef<'_>) -> Result<usize, StoreError> {
        match &self.rule {
            Rule::One => Ok(0),
            Rule::Topic(tables) => Ok(tables.get(row.topic).copied().unwrap_or(0)),
            Rule::Field { path, tables } => {
                let named = match Fields::of(row.record)?.find(path)? {
                    Field::Text(text) => tables.get(&text).copied(),
                    Field::Int(number) => tables.get(&number.to_string()).copied(),
                    Field::Null => None,
                };
                named.ok_or_else(|| {
                    misplaced(&format!(
                        "its field {} has no value that singlestore.recordToTable.mapping names",
                        path.join(".")
                    ))
                })
            }
        }
    }

    /// The values of a row for its target's columns.
    ///
    /// # Errors
    /// The record has no fields, or one that is no text: [`StoreErrorKind::Data`].
    pub(crate) fn values(&self, target: usize, row: RowRef<'_>) -> Result<Vec<Field>, StoreError> {
        let columns = self.targets.get(target).map(|target| target.columns.as_slice());
        match columns {
            None | Some([]) => Ok([row.topic, row.id, row.record]
                .map(|text| Field::Text(text.to_owned()))
                .to_vec()),
            Some(columns) => {
                let fields = Fields::of(row.record)?;
                columns.iter().map(|column| fields.find(&column.path)).collect()
            }
        }
    }
}

fn misplaced(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Data { row: None }, format!("the record has no place: {why}"))
}

#[cfg(test)]
mod tests;
