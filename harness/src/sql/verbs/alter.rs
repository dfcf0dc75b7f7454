//! ALTER PIPELINE: clauses, CONFIG and CREDENTIALS, offsets.
//!
//! May touch: what its parent does. Invariants: what is altered is checked as at CREATE; whatever
//! fails, everything that one statement says is done, or nothing of it.

use crate::catalogue::{Altered, Files, Pipeline, Places, Split};
use crate::report::counted;
use crate::run::{Plan, Until};
use crate::sql::definition::Definition;
use crate::sql::error::{SqlError, Syntax};
use crate::sql::secrets::{self, Kept, Left, Secrets};
use crate::sql::session::{HostAccess, Session};
use crate::sql::statement::{Change, Offsets, Update};
use crate::sql::{host, left_by, offsets};

impl Session {
    pub(in crate::sql) fn alter(
        &mut self,
        source: &str,
        script: &str,
        name: &str,
        changes: &[Change],
    ) -> Result<String, SqlError> {
        let shown = |error: Syntax| error.shown(source, script);
        if self.wishes.host == HostAccess::Refused {
            host::require_confined_changes(changes, &shown)?;
        }
        let (pipeline, older) = self.defined(name)?;
        if self.wishes.host == HostAccess::Refused {
            // Before it is resolved: what it refers to becomes a secret of the new one.
            self.require_confined(name, &older)?;
            host::require_new_secrets(&older, changes)?;
        }
        let (mut definition, kept) = self.updated(&older, changes, &shown)?;
        for change in changes {
            match change {
                Change::Clauses(clauses) => {
                    definition.clauses = clauses.clone().over(definition.clauses);
                }
                Change::ForgetStopOnError => definition.clauses.stop_on_error = None,
                Change::Offsets(_) | Change::Config(_) | Change::Credentials(_) => {}
            }
        }
        let is_updated =
            changes.iter().any(|it| matches!(it, Change::Config(_) | Change::Credentials(_)));
        // It is said once.
        let wanted = changes.iter().find_map(|it| match it {
            Change::Offsets(offsets) => Some(offsets),
            _ => None,
        });
        let is_another = definition != older || is_updated;
        let done =
            self.write_altered(&pipeline, &definition, (is_another, is_updated), (wanted, &shown));
        if done.is_err() {
            self.discard(kept);
        }
        let moved = done?;
        let mut told = Vec::new();
        if is_another {
            told.push("what was set holds from its next start on".to_owned());
        }
        if wanted.is_some() {
            told.push(format!("{} set", counted(moved as u64, "offset is", "offsets are")));
        }
        Ok(match told.is_empty() {
            true => format!(
                "pipeline {name} stays as it is: nothing that has an effect here was changed"
            ),
            false => format!("pipeline {name} is altered: {}", told.join("; ")),
        })
    }

    /// The definition with other CONFIG and CREDENTIALS, its secrets in a new file.
    fn updated(
        &mut self,
        older: &Definition,
        changes: &[Change],
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<(Definition, Option<Kept>), SqlError> {
        let config: Vec<&Update> = changes
            .iter()
            .filter_map(|it| match it {
                Change::Config(update) => Some(update),
                _ => None,
            })
            .collect();
        let credentials: Vec<&Update> = changes
            .iter()
            .filter_map(|it| match it {
                Change::Credentials(update) => Some(update),
                _ => None,
            })
            .collect();
        if config.is_empty() && credentials.is_empty() {
            return Ok((older.clone(), None));
        }
        let folder = secrets::folder(&self.wishes.url, self.surroundings.env)?;
        let mut secrets = Secrets::in_folder(&folder);
        let mut definition =
            older.updated(&config, &credentials, &mut secrets, &self.surroundings, shown)?;
        let kept = self.keep(&secrets, &definition)?;
        definition.secrets_file = kept.as_ref().map(|kept| kept.path().to_owned());
        Ok((definition, kept))
    }

    /// Writes a definition down in the place of the one that is there, and moves the pipeline, at once; answers how
    /// many splits were moved. `is_updated`: it has another CONFIG or other CREDENTIALS, which the source is asked
    /// about first.
    fn write_altered(
        &mut self,
        pipeline: &Pipeline,
        definition: &Definition,
        (is_another, is_updated): (bool, bool),
        (wanted, shown): (Option<&Offsets>, &dyn Fn(Syntax) -> SqlError),
    ) -> Result<usize, SqlError> {
        if !is_another && wanted.is_none() {
            return Ok(0);
        }
        let plan = self.plan_of(pipeline, definition, Until::Stopped)?;
        let mut left = None;
        if is_updated {
            self.probe(&plan)?.splits(None)?;
            left = left_by(pipeline, &self.wishes.url, &self.surroundings)?;
        }
        let all = match wanted {
            Some(wanted) => self.places_of(pipeline, &plan, wanted, shown)?,
            None => Found::default(),
        };
        let values: Vec<(&str, &str)> =
            all.splits.iter().map(|split| (split.key.as_str(), split.value.as_str())).collect();
        let places = Places { values: &values, incarnation: all.incarnation.as_deref() };
        // Those that wait were configured for what it was.
        self.control.pool().let_go(pipeline.id);
        if !is_another {
            return Ok(self.catalogue()?.place(pipeline.id, places)?.len());
        }
        let files = Files {
            made: definition.secrets_file.as_deref().filter(|_| is_updated),
            left: left.as_ref().and_then(Left::noted),
        };
        let altered = Altered {
            config_json: &plan.source.redacted_json,
            definition: &definition.text(),
            tasks_max: plan.share.tasks,
            files,
        };
        let places = Some(places).filter(|_| wanted.is_some());
        self.catalogue()?.alter_defined(pipeline, altered, places)?;
        self.let_go(left);
        Ok(values.len())
    }

    /// Where a pipeline is to stand.
    fn places_of(
        &mut self,
        pipeline: &Pipeline,
        plan: &Plan,
        wanted: &Offsets,
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<Found, SqlError> {
        let known = self.catalogue()?.splits(pipeline.id)?;
        match wanted {
            Offsets::Points(points) => {
                let found = self.probe(plan)?.splits(Some(points.clone()))?;
                Ok(Found { splits: found.splits, incarnation: Some(found.incarnation) })
            }
            Offsets::Json(json) if known.is_empty() => {
                // What the JSON does not name begins where the pipeline says.
                let found = self.probe(plan)?.splits(None)?;
                let splits = offsets::moved(json, &found.splits, true).map_err(shown)?;
                Ok(Found { splits, incarnation: Some(found.incarnation) })
            }
            Offsets::Json(json) => {
                let splits = offsets::moved(json, &known, false).map_err(shown)?;
                Ok(Found { splits, incarnation: None })
            }
        }
    }
}

/// Places for splits, and the life of the source that they are of, where it was asked.
#[derive(Default)]
struct Found {
    splits: Vec<Split>,
    incarnation: Option<String>,
}
