//! ALTER PIPELINE: clauses, CONFIG and CREDENTIALS, offsets.
//!
//! May touch: what its parent does. Invariants: what is altered is checked as at CREATE; offsets are set after
//! everything else, in a transaction of their own.

use crate::catalogue::{Files, Pipeline, Split};
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
        let mut told = Vec::new();
        let is_updated =
            changes.iter().any(|it| matches!(it, Change::Config(_) | Change::Credentials(_)));
        if definition != older || is_updated {
            let done = self.write_altered(&pipeline, &definition, is_updated);
            if done.is_err() {
                self.discard(kept);
            }
            done?;
            told.push("what was set holds from its next start on".to_owned());
        }
        for change in changes {
            let Change::Offsets(wanted) = change else { continue };
            let plan = self.plan_of(&pipeline, &definition, Until::Stopped)?;
            let splits = self.set_offsets(&pipeline, &plan, wanted, &shown)?;
            told.push(format!("{} set", counted(splits as u64, "offset is", "offsets are")));
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
        let kept = self.keep(&secrets)?;
        definition.secrets_file = kept.as_ref().map(|kept| kept.path().to_owned());
        Ok((definition, kept))
    }

    /// Writes a definition down in the place of the one that is there. `is_updated`: it has another CONFIG or
    /// other CREDENTIALS, which the source is asked about first.
    fn write_altered(
        &mut self,
        pipeline: &Pipeline,
        definition: &Definition,
        is_updated: bool,
    ) -> Result<(), SqlError> {
        let plan = self.plan_of(pipeline, definition, Until::Stopped)?;
        let mut left = None;
        if is_updated {
            self.probe(&plan)?.splits(None)?;
            left = left_by(pipeline, &self.wishes.url, &self.surroundings)?;
        }
        let files = Files {
            made: definition.secrets_file.as_deref().filter(|_| is_updated),
            left: left.as_ref().and_then(Left::noted),
        };
        let text = definition.text();
        let config_json = &plan.source.redacted_json;
        let tasks = plan.share.tasks;
        self.catalogue()?.alter_defined(pipeline, config_json, &text, tasks, files)?;
        self.let_go(left);
        Ok(())
    }

    /// Moves a pipeline; answers how many splits were moved.
    fn set_offsets(
        &mut self,
        pipeline: &Pipeline,
        plan: &Plan,
        wanted: &Offsets,
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<usize, SqlError> {
        let known = self.catalogue()?.splits(pipeline.id)?;
        let (splits, incarnation) = match wanted {
            Offsets::Points(points) => {
                let found = self.probe(plan)?.splits(Some(points.clone()))?;
                (found.splits, Some(found.incarnation))
            }
            Offsets::Json(json) if known.is_empty() => {
                // What the JSON does not name begins where the pipeline says.
                let found = self.probe(plan)?.splits(None)?;
                (offsets::moved(json, &found.splits, true).map_err(shown)?, Some(found.incarnation))
            }
            Offsets::Json(json) => (offsets::moved(json, &known, false).map_err(shown)?, None),
        };
        let values: Vec<(&str, &str)> =
            splits.iter().map(|split: &Split| (split.key.as_str(), split.value.as_str())).collect();
        let catalogue = self.catalogue()?;
        catalogue.set_offsets(pipeline.id, &values)?;
        if let Some(incarnation) = incarnation {
            catalogue.set_incarnation(pipeline.id, &incarnation)?;
        }
        Ok(splits.len())
    }
}
