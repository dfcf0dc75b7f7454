//! The folder of a set of services and the file in it that says what runs where.
//!
//! May touch: that folder only. Invariants: the folder is private (0700); the file is replaced by a
//! rename, so a reader sees the old or the new state, never half of one; changes are made under an
//! exclusive lock, so two commands on one folder take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Name;
use super::process::Identity;
use crate::cache;

/// Why: a state file holds two services; anything larger is not ours.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// Changes with the meaning of the file; an older program refuses a newer file and the reverse.
const STATE_VERSION: u32 = 1;

/// What is known about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Ports of 127.0.0.1, the one for clients first; kept as long as the data.
    pub ports: Vec<u16>,
    /// Settings added on the command line; used again at every start.
    pub args: Vec<String>,
    /// The process last started, which may have ended since.
    pub process: Option<Identity>,
    /// Seconds since 1970 at which that process was started.
    pub started_at: u64,
    /// Milliseconds from its start until it answered; absent until it did.
    pub ready_ms: Option<u64>,
}

impl Service {
    /// A service that was given ports and never started.
    pub(crate) fn new(ports: Vec<u16>) -> Self {
        Self { ports, args: Vec::new(), process: None, started_at: 0, ready_ms: None }
    }

    /// The port that clients use.
    pub fn port(&self) -> Result<u16> {
        self.ports.first().copied().context("the state file names no port")
    }

    /// The process, when it is alive.
    #[must_use]
    pub fn running(&self) -> Option<&Identity> {
        self.process.as_ref().filter(|process| process.is_alive())
    }
}

/// All services of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// By name; a service that was never brought up is absent.
    pub services: BTreeMap<Name, Service>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: STATE_VERSION, services: BTreeMap::new() }
    }
}

impl State {
    /// Every port given to a service, running or not.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        self.services.values().flat_map(|service| service.ports.iter().copied()).collect()
    }
}

/// A services folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Names a folder; nothing is created yet.
    pub fn at(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)
            .with_context(|| format!("resolve folder {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The private folder of one service; `down` removes it.
    #[must_use]
    pub fn service(&self, name: Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// The log of one service; `down` keeps it.
    #[must_use]
    pub fn log(&self, name: Name) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// Creates the folder, private to this user, or checks that an existing one is ours.
    pub fn create(&self) -> Result<()> {
        if !self.path.exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.path)
                .with_context(|| format!("create folder {}", self.path.display()))?;
        }
        self.check_ours()?;
        let logs = self.path.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))
    }

    /// Takes the lock that makes commands on this folder take turns; dropped, it is released.
    pub fn lock(&self) -> Result<fs::File> {
        let path = self.lock_path();
        let file = fs::File::create(&path).with_context(|| format!("open {}", path.display()))?;
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(file)
    }

    /// Reads the state; a folder without one has no services.
    pub fn load(&self) -> Result<State> {
        let path = self.state_path();
        let bad = || {
            format!(
                "state file {} is not readable: end its processes and remove {}",
                path.display(),
                self.path.display()
            )
        };
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(State::default());
            }
            Err(error) => return Err(error).with_context(bad),
            Ok(found) if found.len() > STATE_BYTES_MAX => bail!("{}: too large", bad()),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).with_context(bad)?;
        let state: State = serde_json::from_str(&text).with_context(bad)?;
        if state.version != STATE_VERSION {
            bail!("{}: version {} instead of {STATE_VERSION}", bad(), state.version);
        }
        Ok(state)
    }

    /// Replaces the state; the caller holds the lock.
    pub fn save(&self, state: &State) -> Result<()> {
        let path = self.state_path();
        let fresh = path.with_extension("new");
        let text = serde_json::to_string_pretty(state).context("encode the state")?;
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("replace {}", path.display()))
    }

    /// Removes state and data of all services; logs stay for whoever looks for a cause.
    pub fn clear(&self) -> Result<()> {
        for name in Name::ALL {
            cache::remove_folder(&self.service(name))?;
        }
        match fs::remove_file(self.state_path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("remove the state file")
            }
            _ => Ok(()),
        }
    }

    /// Whether any command has used this folder.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.lock_path().is_file()
    }

    /// A folder of somebody else, or one that serves another purpose, is never touched: its mode
    /// would be changed and parts of it removed.
    fn check_ours(&self) -> Result<()> {
        let shown = self.path.display();
        let found = fs::metadata(&self.path).with_context(|| format!("look at {shown}"))?;
        if !found.is_dir() {
            bail!("{shown} is not a folder: give another --dir");
        }
        if found.uid() != cache::user_id()? {
            bail!("{shown} belongs to another user: give another --dir");
        }
        let mut inside = fs::read_dir(&self.path).with_context(|| format!("list {shown}"))?;
        if !self.is_used() && inside.next().is_some() {
            bail!("{shown} holds other files: give an empty or new folder as --dir");
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("make {shown} private"))
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn state_path(&self) -> PathBuf {
        self.path.join("state.json")
    }
}

#[cfg(test)]
mod tests;
