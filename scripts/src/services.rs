//! Real services for tests, demo and benchmarks: Apache Kafka's own broker, MariaDB and a server of
//! Kinesis's protocol, on 127.0.0.1 only, each with its data in a private folder.
//!
//! May touch: the services folder, the cache folder, the processes it started. Invariants: a
//! service keeps its port and its data until `down`, whatever happens to its process; `up` and
//! `start` return only when the service answers; `down` leaves no process behind.

use std::collections::btree_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cache::{self, Cache};

mod broker;
mod database;
mod kinesis;
mod ports;
mod probe;
mod process;
mod state;

pub use process::Identity;
pub use state::{Folder, Service, State};

/// How long a service may take to end after it was asked to, before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(40);

/// How long a service may take to answer; generous, for machines that compile at the same time.
const READY_WAIT: Duration = Duration::from_secs(180);

/// Between two questions whether a service answers.
const READY_PAUSE: Duration = Duration::from_millis(50);

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// Apache Kafka's own broker, one node that is its own controller.
    Kafka,
    /// MariaDB with an empty database `s2x`.
    Mariadb,
    /// kinesis-mock, a server of Kinesis's protocol.
    Kinesis,
}

impl Name {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::Mariadb, Self::Kinesis];

    /// As typed and as used in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Mariadb => "mariadb",
            Self::Kinesis => "kinesis",
        }
    }

    /// Ports it needs; clients use the first.
    fn port_count(self) -> usize {
        match self {
            Self::Kafka | Self::Kinesis => 2,
            Self::Mariadb => 1,
        }
    }

    /// Why this service cannot run on this machine, with what to do, if so: what a test prints
    /// after "skipped".
    #[must_use]
    pub fn unavailable(self) -> Option<String> {
        let wanted = match self {
            Self::Kafka => broker::programs(),
            Self::Mariadb => database::programs(),
            Self::Kinesis => kinesis::programs(),
        };
        let missing: Vec<_> = wanted.iter().filter(|path| !cache::is_installed(path)).collect();
        let names: Vec<_> = missing.iter().map(|path| path.display().to_string()).collect();
        let install = cache::INSTALL;
        (!names.is_empty()).then(|| format!("{self} needs {}: {install}", names.join(", ")))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.with_context(|| format!("no service `{text}`: there are kafka, mariadb and kinesis"))
    }
}

/// Settings to add to a service's own, replacing those of an earlier `up`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Lines of `server.properties`, as `log.segment.bytes=1048576`.
    pub kafka: Vec<String>,
    /// Options of `mariadbd`, as `--max-allowed-packet=1M`.
    pub mariadb: Vec<String>,
}

impl Extra {
    fn of(&self, name: Name) -> &[String] {
        match name {
            Name::Kafka => &self.kafka,
            Name::Mariadb => &self.mariadb,
            Name::Kinesis => &[],
        }
    }
}

/// A set of services in a folder.
#[derive(Debug, Clone)]
pub struct Services {
    folder: Folder,
    cache: Cache,
    say: fn(&str),
}

impl Services {
    /// The set in `dir`; by default the folder `S2X_SERVICES_DIR` names, else `target/services`
    /// below the workspace root.
    pub fn open(dir: Option<&Path>) -> Result<Self> {
        let from_env = std::env::var_os("S2X_SERVICES_DIR").filter(|value| !value.is_empty());
        let path = match (dir, from_env) {
            (Some(path), _) => path.to_path_buf(),
            (None, Some(path)) => PathBuf::from(path),
            (None, None) => cache::workspace_root()?.join("target/services"),
        };
        Ok(Self { folder: Folder::at(&path)?, cache: Cache::from_env()?, say: |_| {} })
    }

    /// Has progress told to the user by `say`, one line each.
    #[must_use]
    pub fn telling(self, say: fn(&str)) -> Self {
        Self { folder: self.folder, cache: self.cache.telling(say), say }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Brings services up and waits until they answer; one that runs already is left as it is,
    /// unless `extra` changes its settings.
    pub fn up(&self, names: &[Name], extra: &Extra) -> Result<()> {
        for name in names {
            if let Some(reason) = name.unavailable() {
                bail!("{reason}");
            }
        }
        self.folder.create()?;
        let _turn = self.folder.lock()?;
        let mut state = self.folder.load()?;
        for &name in names {
            let taken = state.ports();
            let service = match state.services.entry(name) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let ports = ports::pick(name.port_count(), &taken)?;
                    entry.insert(Service::new(ports))
                }
            };
            let args = extra.of(name);
            if !args.is_empty() && service.args != args {
                service.args = args.to_vec();
                self.end(name, service)?;
            }
        }
        self.start_all(&mut state, names)
    }

    /// Starts a service that was stopped or killed, at the same port and with the same data.
    pub fn start(&self, name: Name) -> Result<()> {
        self.change(name, |state| self.start_all(state, &[name]))
    }

    /// Stops a service cleanly; its port and data are kept.
    pub fn stop(&self, name: Name) -> Result<()> {
        self.change(name, |state| {
            state.services.get_mut(&name).map_or(Ok(()), |service| self.end(name, service))
        })
    }

    /// Kills a service (SIGKILL) and waits until its process is gone.
    pub fn kill(&self, name: Name) -> Result<()> {
        self.change(name, |state| {
            let running = state.services.get(&name).and_then(Service::running);
            running.with_context(|| format!("{name} does not run"))?.kill()
        })
    }

    /// Stops a service cleanly and starts it again.
    pub fn restart(&self, name: Name) -> Result<()> {
        self.stop(name)?;
        self.start(name)
    }

    /// Stops every service and removes all data; logs are kept.
    pub fn down(&self) -> Result<()> {
        if !self.folder.is_used() {
            return Ok(());
        }
        self.folder.create()?;
        let _turn = self.folder.lock()?;
        let mut state = self.folder.load()?;
        for (name, service) in &mut state.services {
            self.end(*name, service)?;
        }
        self.folder.clear()
    }

    /// What the folder's state file says.
    pub fn state(&self) -> Result<State> {
        self.folder.load()
    }

    /// `HOST:PORT` of the broker, whether it runs or not.
    pub fn kafka_bootstrap(&self) -> Result<String> {
        Ok(format!("127.0.0.1:{}", self.port(Name::Kafka)?))
    }

    /// URL of the database `s2x`, whether the server runs or not.
    pub fn mariadb_url(&self) -> Result<String> {
        Ok(format!("mysql://root@127.0.0.1:{}/s2x", self.port(Name::Mariadb)?))
    }

    /// URL of the server of Kinesis's protocol, whether it runs or not.
    pub fn kinesis_endpoint(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.port(Name::Kinesis)?))
    }

    /// The variables by which tests find the services that are up.
    pub fn variables(&self) -> Result<Vec<(&'static str, String)>> {
        let mut list = Vec::new();
        for name in self.state()?.services.keys() {
            list.push(match name {
                Name::Kafka => ("KAFKA_BOOTSTRAP", self.kafka_bootstrap()?),
                Name::Mariadb => ("MARIADB_URL", self.mariadb_url()?),
                Name::Kinesis => ("KINESIS_ENDPOINT", self.kinesis_endpoint()?),
            });
        }
        if list.is_empty() {
            bail!("{}", self.none_up("no service is"));
        }
        let dir = self.folder.path();
        let dir = dir.to_str().with_context(|| format!("{} is not UTF-8", dir.display()))?;
        list.push(("S2X_SERVICES_DIR", dir.to_owned()));
        Ok(list)
    }

    fn port(&self, name: Name) -> Result<u16> {
        let state = self.state()?;
        let service = state.services.get(&name);
        service.with_context(|| self.none_up(&format!("{name} is not")))?.port()
    }

    fn none_up(&self, what: &str) -> String {
        format!("{what} up in {}: run `cargo xtask services up`", self.folder.path().display())
    }

    /// Changes one service that exists, under the lock; the new state is saved even after an
    /// error, because processes may have changed before it.
    fn change(&self, name: Name, act: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        if !self.folder.is_used() {
            bail!("{}", self.none_up(&format!("{name} is not")));
        }
        let _turn = self.folder.lock()?;
        let mut state = self.folder.load()?;
        if !state.services.contains_key(&name) {
            bail!("{}", self.none_up(&format!("{name} is not")));
        }
        let outcome = act(&mut state);
        self.folder.save(&state)?;
        outcome
    }

    /// Starts those of `names` that do not run, all at once, and waits until each answers.
    fn start_all(&self, state: &mut State, names: &[Name]) -> Result<()> {
        let mut waiting = Vec::new();
        for &name in names {
            let Some(service) = state.services.get_mut(&name) else { continue };
            if service.running().is_none() {
                let begun = Instant::now();
                self.launch(name, service)?;
                waiting.push((name, begun));
                // At once, so that `down` finds the process even if this one is killed now.
                self.folder.save(state)?;
            }
        }
        self.folder.save(state)?;
        while !waiting.is_empty() {
            let mut still = Vec::new();
            for (name, begun) in waiting {
                let Some(service) = state.services.get_mut(&name) else { continue };
                if self.is_ready(name, service, begun)? {
                    service.ready_ms = u64::try_from(begun.elapsed().as_millis()).ok();
                    self.folder.save(state)?;
                    let seconds = begun.elapsed().as_secs_f64();
                    (self.say)(&format!("{name} answers after {seconds:.1} s"));
                } else {
                    still.push((name, begun));
                }
            }
            waiting = still;
            std::thread::sleep(READY_PAUSE);
        }
        Ok(())
    }

    fn launch(&self, name: Name, service: &mut Service) -> Result<()> {
        for &port in &service.ports {
            ports::check_free(port)?;
        }
        let folder = self.folder.service(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let command = match name {
            Name::Kafka => broker::prepare(&self.cache, &folder, service)?,
            Name::Mariadb => database::prepare(&self.cache, &folder, service)?,
            Name::Kinesis => kinesis::prepare(&self.cache, &folder, service)?,
        };
        let log = self.folder.log(name);
        // The log of the run before tells why that one ended; there may be none.
        std::fs::rename(&log, log.with_extension("log.1")).ok();
        service.ready_ms = None;
        service.started_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("read the clock, which is before 1970")?
            .as_secs();
        service.process = Some(process::spawn_detached(&command, &log)?);
        Ok(())
    }

    /// Whether a service that was launched at `begun` answers by now. One that ended is an error
    /// that names its log; so is one that takes too long, which is ended.
    fn is_ready(&self, name: Name, service: &Service, begun: Instant) -> Result<bool> {
        let log = self.folder.log(name);
        let process = service.process.as_ref().context("the state file names no process")?;
        if !process.is_alive() {
            let text = std::fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let line = cache::first_error(&text).unwrap_or("it wrote nothing");
            bail!("{name} ended while starting: {line} (log {})", log.display());
        }
        let port = service.port()?;
        match name {
            Name::Kafka if probe::answers(port) => return Ok(true),
            Name::Mariadb if database::answers(port) => {
                database::create(port)?;
                return Ok(true);
            }
            Name::Kinesis if kinesis::answers(port) => return Ok(true),
            Name::Kafka | Name::Mariadb | Name::Kinesis => {}
        }
        if begun.elapsed() > READY_WAIT {
            process.kill()?;
            bail!("{name} did not answer within {READY_WAIT:?}: see log {}", log.display());
        }
        Ok(false)
    }

    fn end(&self, name: Name, service: &mut Service) -> Result<()> {
        if let Some(process) = service.process.take()
            && !process.terminate(STOP_WAIT)?
        {
            (self.say)(&format!("{name} did not end within {STOP_WAIT:?} and was killed"));
        }
        Ok(())
    }
}
