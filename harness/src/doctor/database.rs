//! The database's half: the store's own connection, and questions that change nothing.
//!
//! Touches the database through `Store` alone, and looks at an SQLite file's permissions.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::rights::{self, Use};
use super::{Check, Stage, skip_rest};
use crate::catalogue::{self, CATALOGUE_VERSION, Catalogue};
use crate::exit::Exit;
use crate::route;
use crate::run::{Plan, require_fit};
use crate::store::{
    Connect, Dialect, LoadMethod, Store, StoreError, StoreErrorKind, StoreUrl, Untouched,
    check_table, is_there,
};

/// In the order in which a run meets them.
pub(crate) const STAGES: [Stage; 6] = [
    Stage::Database,
    Stage::DatabaseLogin,
    Stage::Rights,
    Stage::LoadData,
    Stage::Table,
    Stage::Catalogue,
];

type Ended = (Stage, StoreError);

pub(super) fn examine(plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    let asked = match &plan.store {
        StoreUrl::Sqlite { path } => file(plan, path, &mut checks),
        StoreUrl::Server(_) => server(plan, &mut checks),
    };
    if let Err((stage, error)) = asked {
        checks.retain(|check| check.stage != stage);
        let remedy = remedy(stage, &error, plan);
        checks.push(Check::failed(stage, Exit::from(&error), error.to_string(), remedy));
    }
    let failed = checks.iter().find(|check| check.is_failed()).map(|check| check.stage);
    let why = failed.map_or_else(String::new, |stage| format!("{} failed", stage.name()));
    skip_rest(&mut checks, &STAGES, &why);
    checks.sort_by_key(|check| STAGES.iter().position(|stage| *stage == check.stage));
    checks
}

fn remedy(stage: Stage, error: &StoreError, plan: &Plan) -> String {
    let text = match (stage, error.kind()) {
        (Stage::Database, StoreErrorKind::Transient) => {
            "start the server, or correct host and port of store"
        }
        (Stage::Database, _) => "name another file, or make the folder",
        (Stage::DatabaseLogin, StoreErrorKind::Auth) => {
            "correct user and password of store, and allow the user the database"
        }
        (Stage::DatabaseLogin, _) => "create the database, or correct its name in store",
        (Stage::Rights, _) => {
            return format!("grant {} on the database to the user", rights::NEEDED);
        }
        (Stage::LoadData, _) => {
            "SET GLOBAL local_infile = ON on the server, or take ?load=load-data away"
        }
        (Stage::Table, _) => return format!("name another table, or change {}", plan.table),
        _ => "do what the line says",
    };
    text.to_owned()
}

/// An SQLite file: whoever may write it may do everything.
fn file(plan: &Plan, path: &Path, checks: &mut Vec<Check>) -> Result<(), Ended> {
    let shown = path.display();
    let parent =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let config = |text: String| StoreError::new(StoreErrorKind::Config, text);
    let denied = |text: String| StoreError::new(StoreErrorKind::Resource, text);
    if !parent.is_dir() {
        let text = format!("{shown}: the folder {} does not exist", parent.display());
        return Err((Stage::Database, config(text)));
    }
    if path.is_dir() {
        return Err((Stage::Database, config(format!("{shown} is a folder"))));
    }
    let is_new = !path.exists();
    let found = if is_new { "will be made by the first run" } else { "is there" };
    checks.push(Check::good(Stage::Database, format!("{shown} {found}")));
    checks.push(Check::good(Stage::DatabaseLogin, "a file needs none"));
    // Write-ahead logs are made beside the file.
    let writable = |what: &Path| access(what, AccessFlags::W_OK).is_ok();
    if !writable(parent) || !is_new && !writable(path) {
        let text = format!("{shown}: this user may not write the file and its folder");
        return Err((Stage::Rights, denied(text)));
    }
    checks.push(Check::good(Stage::Rights, "this user may write the file and its folder"));
    checks.push(Check::good(Stage::LoadData, "not asked for"));
    if is_new {
        checks.push(Check::good(Stage::Table, yet_to_be_made(&plan.table)));
        checks.push(Check::good(Stage::Catalogue, NO_CATALOGUE));
        return Ok(());
    }
    let mut store =
        Untouched(plan.store.clone()).connect().map_err(|error| (Stage::Database, error))?;
    contents(plan, store.as_mut(), checks)
}

fn server(plan: &Plan, checks: &mut Vec<Check>) -> Result<(), Ended> {
    let mut store = plan.store.connect().map_err(|error| match error.kind() {
        StoreErrorKind::Auth | StoreErrorKind::Config => {
            checks.push(Check::good(Stage::Database, format!("{} answers", plan.store)));
            (Stage::DatabaseLogin, error)
        }
        _ => (Stage::Database, error),
    })?;
    let store = store.as_mut();
    checks.push(Check::good(Stage::Database, format!("{} answers", plan.store)));
    let user = rights::current_user(store).map_err(|error| (Stage::DatabaseLogin, error))?;
    checks.push(Check::good(Stage::DatabaseLogin, format!("as {user}")));
    checks.push(grants(plan, store).map_err(|error| (Stage::Rights, error))?);
    checks.push(local_infile(plan, store).map_err(|error| (Stage::LoadData, error))?);
    contents(plan, store, checks)
}

/// Rights on what is there, and the right to make what is not.
fn grants(plan: &Plan, store: &mut dyn Store) -> Result<Check, StoreError> {
    if store.dialect() == Dialect::SingleStore {
        // Its rights have other names, and a statement that is explained is planned on every leaf.
        let text = format!("SingleStore is not asked; needed: {}", rights::NEEDED);
        return Ok(Check::skipped(Stage::Rights, text));
    }
    let auth = |text: String| Err(StoreError::new(StoreErrorKind::Auth, text));
    let mut is_all_there = catalogue::version(store)? == Some(CATALOGUE_VERSION);
    if is_all_there {
        for table in catalogue::TABLES {
            let column = match table {
                "s2x_catalogue" => "version",
                "s2x_variables" => "value",
                "s2x_audit" => "outcome",
                "s2x_secret_files" => "path",
                _ => "pipeline_id",
            };
            if let Some(refusal) = rights::refused(store, table, &[column], Use::All)? {
                return auth(refusal);
            }
        }
    }
    match tables(plan, store)? {
        Tables::Refused(refusal) => return auth(refusal),
        Tables::Missing => is_all_there = false,
        Tables::There => {}
    }
    if is_all_there {
        return Ok(Check::good(Stage::Rights, "everything that a run does is allowed"));
    }
    match rights::missing(store)? {
        Some(lacks) if lacks.is_empty() => {
            Ok(Check::good(Stage::Rights, format!("{} are granted", rights::NEEDED)))
        }
        Some(lacks) => auth(format!(
            "the user {} lacks {} on the database {}, where tables are yet to be made",
            rights::current_user(store)?,
            lacks.join(", "),
            store.database()
        )),
        None => Ok(Check::skipped(
            Stage::Rights,
            format!(
                "the user has a role, whose rights are not listed here; needed: {}",
                rights::NEEDED
            ),
        )),
    }
}

/// What is found of the tables that rows go to.
enum Tables {
    There,
    /// One of them is yet to be made.
    Missing,
    /// The server's words for a right that is missing.
    Refused(String),
}

fn tables(plan: &Plan, store: &mut dyn Store) -> Result<Tables, StoreError> {
    let how = if plan.route.is_upsert { Use::Replace } else { Use::Add };
    let targets = plan.route.used().map(|(_, to)| (to.table.as_str(), to.names(), how));
    let metadata = plan.route.metadata.as_deref();
    let metadata = metadata.map(|table| (table, vec!["id", "count"], Use::Replace));
    let mut found = Tables::There;
    for (table, columns, how) in targets.chain(metadata) {
        if !is_there(store, table)? {
            found = Tables::Missing;
            continue;
        }
        match rights::refused(store, table, &columns, how) {
            Ok(None) => {}
            Ok(Some(refusal)) => return Ok(Tables::Refused(refusal)),
            // A column that is not there is the next stage's to tell.
            Err(error) if error.kind() == StoreErrorKind::Schema => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn local_infile(plan: &Plan, store: &mut dyn Store) -> Result<Check, StoreError> {
    if store.load_method() != LoadMethod::LoadData {
        return Ok(Check::good(Stage::LoadData, "not asked for"));
    }
    if store.dialect() == Dialect::SingleStore {
        let text = "SingleStore takes rows by LOAD DATA LOCAL; the first batch tells";
        return Ok(Check::skipped(Stage::LoadData, text));
    }
    let answer = store.query("SELECT @@GLOBAL.local_infile", &[])?;
    let is_on = answer.first().map(|row| row.int(0)).transpose()?.unwrap_or(0) == 1;
    if is_on {
        return Ok(Check::good(Stage::LoadData, "local_infile is ON"));
    }
    let text =
        format!("{}: local_infile is OFF on the server, and load=load-data needs it", plan.store);
    Err(StoreError::new(StoreErrorKind::Config, text))
}

/// What is said of a catalogue that is not there.
const NO_CATALOGUE: &str = "none yet; the first run makes it";

fn yet_to_be_made(table: &str) -> String {
    format!("{table} is not there yet; the first run makes it")
}

/// The table and the catalogue.
fn contents(plan: &Plan, store: &mut dyn Store, checks: &mut Vec<Check>) -> Result<(), Ended> {
    let at = |stage: Stage| move |error: StoreError| (stage, error);
    for (_, target) in plan.route.used().filter(|(_, target)| target.is_static()) {
        let table = &target.table;
        let text = if is_there(store, table).map_err(at(Stage::Table))? {
            check_table(store, table).map_err(at(Stage::Table))?;
            format!("{table} takes topic, id and record")
        } else {
            yet_to_be_made(table)
        };
        checks.push(Check::good(Stage::Table, text));
    }
    if !plan.route.is_plain() {
        route::check(store, &plan.route).map_err(at(Stage::Table))?;
        let text = "the tables and columns of the mapping take what goes to them";
        checks.push(Check::good(Stage::Table, text));
    }
    let version = catalogue::version(store).map_err(at(Stage::Catalogue))?;
    let text = match version {
        None => NO_CATALOGUE.to_owned(),
        Some(CATALOGUE_VERSION) => {
            let fits = fit(plan).map_err(at(Stage::Catalogue))?;
            format!("version {CATALOGUE_VERSION}; {fits}")
        }
        Some(older) => format!("version {older}; the next run makes {CATALOGUE_VERSION} of it"),
    };
    checks.push(Check::good(Stage::Catalogue, text));
    Ok(())
}

/// Whether the plan fits the pipeline of its name, if there is one.
fn fit(plan: &Plan) -> Result<String, StoreError> {
    let connect = std::sync::Arc::new(Untouched(plan.store.clone()));
    let mut catalogue = Catalogue::of_current(connect)?;
    let Some(pipeline) = catalogue.pipeline(&plan.name)? else {
        return Ok(format!("the pipeline {} is new", plan.name));
    };
    require_fit(&pipeline, plan)
        .map_err(|error| StoreError::new(StoreErrorKind::Config, error.to_string()))?;
    Ok(match &pipeline.error {
        None => format!("the pipeline is {}", pipeline.state.as_str()),
        Some(error) => format!("the pipeline is {}: {error}", pipeline.state.as_str()),
    })
}
