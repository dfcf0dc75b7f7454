//! What keeps a pipeline from running, asked in the order in which a run would meet it.
//!
//! ```text
//! file ─► extractor ─► configuration ─► address ─► TLS ─► login ─► permissions ─► topic ─► offsets
//!     └─► database ─► login ─► rights ─► LOAD DATA ─► table ─► catalogue
//! ```
//!
//! May touch: the extractor, through `link`, and the store, through its own connections. Invariants: nothing
//! is changed in source or store (no table, no offset, no file); a check that could not be made says why, and
//! is never called good.

mod asker;
mod database;
mod remedy;
mod rights;
mod source;

use crate::exit::Exit;
use crate::pipeline::PipelineError;
use crate::run::Plan;

pub(crate) use database::STAGES as DATABASE_STAGES;
pub(crate) use source::STAGES as SOURCE_STAGES;

/// What is looked at. The name of each is part of the JSON output and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pipeline,
    Extractor,
    Configuration,
    Address,
    Tls,
    Login,
    Permissions,
    Stream,
    Offsets,
    Database,
    DatabaseLogin,
    Rights,
    LoadData,
    Table,
    Catalogue,
}

impl Stage {
    /// Its name for machines.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Extractor => "extractor",
            Self::Configuration => "configuration",
            Self::Address => "address",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Permissions => "permissions",
            Self::Stream => "stream",
            Self::Offsets => "offsets",
            Self::Database => "database",
            Self::DatabaseLogin => "database-login",
            Self::Rights => "database-rights",
            Self::LoadData => "load-data",
            Self::Table => "table",
            Self::Catalogue => "catalogue",
        }
    }

    /// Its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Extractor => "extractor",
            Self::Configuration => "configuration",
            Self::Address => "source address",
            Self::Tls => "TLS",
            Self::Login => "login",
            Self::Permissions => "permissions",
            Self::Stream => "topic or stream",
            Self::Offsets => "offsets",
            Self::Database => "database address",
            Self::DatabaseLogin => "database login",
            Self::Rights => "database rights",
            Self::LoadData => "LOCAL INFILE",
            Self::Table => "table",
            Self::Catalogue => "catalogue",
        }
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds; what was found.
    Good(String),
    /// It does not hold.
    Failed {
        /// The exit code of a run that meets it.
        exit: Exit,
        /// What, where, why.
        text: String,
        /// What to do.
        remedy: String,
    },
    /// It was not made; why.
    Skipped(String),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) stage: Stage,
    pub(crate) outcome: Outcome,
}

impl Check {
    fn good(stage: Stage, found: impl Into<String>) -> Self {
        Self { stage, outcome: Outcome::Good(found.into()) }
    }

    fn skipped(stage: Stage, why: impl Into<String>) -> Self {
        Self { stage, outcome: Outcome::Skipped(why.into()) }
    }

    pub(crate) fn failed(
        stage: Stage,
        exit: Exit,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (text, remedy) = (text.into(), remedy.into());
        Self { stage, outcome: Outcome::Failed { exit, text, remedy } }
    }

    pub(crate) const fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// Every check of a plan, in order. `no_extractor`: why there is no program to start.
pub(crate) fn examine(plan: &Plan, no_extractor: Option<&PipelineError>) -> Vec<Check> {
    let mut checks = match no_extractor {
        Some(error) => {
            let remedy = "build the extractor, or name it with --extractor or extractor.path";
            let failed = Check::failed(Stage::Extractor, error.exit(), error.to_string(), remedy);
            let mut checks = vec![failed];
            skip_rest(&mut checks, &SOURCE_STAGES, "there is no extractor to ask");
            checks
        }
        None => source::examine(plan),
    };
    checks.extend(database::examine(plan));
    checks
}

/// Every check that cannot be made without a plan.
pub(crate) fn skip_all(checks: &mut Vec<Check>) {
    let why = "the pipeline cannot be read";
    skip_rest(checks, &SOURCE_STAGES, why);
    skip_rest(checks, &DATABASE_STAGES, why);
}

/// Says of every one of `stages` that has no outcome yet why it was not looked at.
fn skip_rest(checks: &mut Vec<Check>, stages: &[Stage], why: &str) {
    for stage in stages {
        if checks.iter().all(|check| check.stage != *stage) {
            checks.push(Check::skipped(*stage, why));
        }
    }
}
