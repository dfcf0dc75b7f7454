//! What is fetched or built once and shared by all service folders: Kafka's jars, the compiled
//! test-data client, an empty MariaDB data folder.
//!
//! May touch: the cache folder and the programs that fill it. Invariant: a finished entry appears
//! by one rename, so an interrupted or concurrent run never leaves half an entry behind.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const POM: &str = include_str!("../kafka/pom.xml");
const CONNECT_POM: &str = include_str!("../kafka/connect.xml");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");
const SINK: &str = include_str!("../kafka/DiscardSink.java");
const CLIENT: &str = include_str!("../kafka/TxnProducer.java");

/// What to run when a program is missing.
pub(crate) const INSTALL: &str = "run ./scripts/install --real";

/// The cache folder: `S2X_CACHE`, else `target/services-cache` below the workspace root.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    say: fn(&str),
}

impl Cache {
    /// Finds the cache folder; nothing is created yet.
    pub fn from_env() -> Result<Self> {
        let root = match std::env::var_os("S2X_CACHE").filter(|value| !value.is_empty()) {
            Some(path) => std::path::absolute(path).context("resolve S2X_CACHE")?,
            None => workspace_root()?.join("target/services-cache"),
        };
        Ok(Self { root, say: |_| {} })
    }

    /// Has what takes long told to the user by `say`.
    #[must_use]
    pub fn telling(self, say: fn(&str)) -> Self {
        Self { say, ..self }
    }

    /// The class path of Kafka's own broker and client; fetched by Maven when absent.
    pub fn kafka_class_path(&self) -> Result<String> {
        class_path(&self.kafka_libs()?)
    }

    /// The class path of Kafka Connect with the connector that prints; fetched by Maven when absent.
    pub fn connect_class_path(&self) -> Result<String> {
        class_path(&self.libs("connect-libs", CONNECT_POM, "Kafka Connect's jars (40 MB)")?)
    }

    /// The log settings file shared by broker and client.
    pub fn kafka_logging(&self) -> Result<PathBuf> {
        Ok(self.kafka_libs()?.join("log4j2.properties"))
    }

    /// The folder with the compiled test-data client.
    pub fn kafka_client(&self) -> Result<PathBuf> {
        self.compiled("kafka-client", "TxnProducer", CLIENT, &self.kafka_class_path()?)
    }

    /// The folder with the compiled sink that throws records away.
    pub fn connect_sink(&self) -> Result<PathBuf> {
        self.compiled("connect-sink", "DiscardSink", SINK, &self.connect_class_path()?)
    }

    /// The folder with one class, compiled from its source.
    fn compiled(&self, name: &str, class: &str, text: &str, class_path: &str) -> Result<PathBuf> {
        self.entry(name, text, |folder| {
            let source = folder.join(format!("{class}.java"));
            fs::write(&source, text).with_context(|| format!("write {}", source.display()))?;
            let mut javac = Command::new(java_program("javac"));
            javac.args(["-nowarn", "-cp", class_path, "-d"]).arg(folder).arg(&source);
            run(&mut javac, &format!("compile {class}"))
        })
    }

    fn kafka_libs(&self) -> Result<PathBuf> {
        self.libs("kafka-libs", POM, "Apache Kafka's jars (43 MB)")
    }

    /// The folder with the jars that `pom` lists, and the log settings.
    fn libs(&self, name: &str, pom: &str, what: &str) -> Result<PathBuf> {
        self.entry(name, &format!("{pom}{LOGGING}"), |folder| {
            let path = folder.join("pom.xml");
            fs::write(&path, pom).with_context(|| format!("write {}", path.display()))?;
            let logging = folder.join("log4j2.properties");
            fs::write(&logging, LOGGING).with_context(|| format!("write {}", logging.display()))?;
            (self.say)(&format!("fetching {what} from Maven Central, once"));
            let mut maven = Command::new("mvn");
            maven
                .args(["-q", "-B", "-Dstyle.color=never", "-f"])
                .arg(&path)
                .arg("dependency:copy-dependencies");
            maven.arg("-DincludeScope=runtime");
            maven.arg(joined("-DoutputDirectory=", folder.as_os_str()));
            run(&mut maven, &format!("fetch {what} from Maven Central"))
        })
    }

    /// Returns the folder `name`, filled by `fill` unless it was already filled for this `key`.
    /// Each key has a folder of its own, so that checkouts that differ can share a cache.
    pub(crate) fn entry(
        &self,
        name: &str,
        key: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let name = format!("{name}-{:016x}", hasher.finish());
        let folder = self.root.join(&name);
        let marker = folder.join(".key");
        if fs::read_to_string(&marker).is_ok_and(|found| found == key) {
            return Ok(folder);
        }
        fs::create_dir_all(&self.root).with_context(|| {
            format!("create cache folder {} (or set S2X_CACHE)", self.root.display())
        })?;
        let lock_path = self.root.join(format!("{name}.lock"));
        let lock = fs::File::create(&lock_path)
            .with_context(|| format!("open {} (or set S2X_CACHE)", lock_path.display()))?;
        lock.lock().with_context(|| format!("lock {}", lock_path.display()))?;
        if fs::read_to_string(&marker).is_ok_and(|found| found == key) {
            return Ok(folder);
        }
        let fresh = self.root.join(format!("{name}.new"));
        remove_folder(&fresh)?;
        fs::create_dir(&fresh).with_context(|| format!("create {}", fresh.display()))?;
        fill(&fresh)?;
        fs::write(fresh.join(".key"), key).context("write the cache entry's key")?;
        remove_folder(&folder)?;
        fs::rename(&fresh, &folder).with_context(|| format!("rename {}", fresh.display()))?;
        Ok(folder)
    }
}

/// All jars of a folder.
fn class_path(libs: &Path) -> Result<String> {
    let shown = libs.to_str().with_context(|| format!("{} is not UTF-8", libs.display()))?;
    if shown.contains([':', '*']) {
        bail!("cache folder {shown} has a ':' or '*', which java cannot take: set S2X_CACHE");
    }
    Ok(format!("{shown}/*"))
}

/// The folder whose `Cargo.toml` has `[workspace]`, at or above the current one.
pub fn workspace_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("find the current folder")?;
    for folder in here.ancestors() {
        let manifest = fs::read_to_string(folder.join("Cargo.toml"));
        if manifest.is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]")) {
            return Ok(folder.to_path_buf());
        }
    }
    bail!("{} is not inside the repository: cd there or give --dir", here.display());
}

/// `java` or `javac`: of `JAVA_HOME` when that is set, else the one on `PATH`.
pub(crate) fn java_program(name: &str) -> PathBuf {
    match std::env::var_os("JAVA_HOME").filter(|value| !value.is_empty()) {
        Some(home) => Path::new(&home).join("bin").join(name),
        None => PathBuf::from(name),
    }
}

/// Whether `program` can be found: on `PATH`, or at its path when it has one.
pub(crate) fn is_installed(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The id of the user this process runs as.
pub(crate) fn user_id() -> Result<u32> {
    Ok(fs::metadata("/proc/self").context("read /proc/self (is /proc mounted?)")?.uid())
}

/// `prefix` followed by a path that need not be UTF-8.
pub(crate) fn joined(prefix: &str, rest: &OsStr) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(prefix);
    argument.push(rest);
    argument
}

/// Removes a folder that may be absent.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Runs a program to its end; its output is shown only as the last line of an error.
pub(crate) fn run(command: &mut Command, purpose: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("cannot {purpose}: {program} is not installed: {INSTALL}")
        }
        other => other.with_context(|| format!("cannot {purpose}: start {program}"))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = first_error(&text).unwrap_or("it printed nothing");
    bail!("cannot {purpose}: {program} ended with {}: {line}", output.status);
}

/// The line of a log that most likely tells the cause: the first that says it is an error, or the
/// exception printed right below it; without one the last line.
pub(crate) fn first_error(text: &str) -> Option<&str> {
    /// Why: a stack trace names its exception at once, or below one line of the log's own.
    const LINES_BELOW: usize = 3;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let says_so = |line: &&str| {
        ["ERROR", "FATAL", "Exception", "error:"].iter().any(|word| line.contains(word))
    };
    match lines.clone().position(|line| says_so(&line)) {
        Some(at) => {
            let near = lines.clone().skip(at).take(LINES_BELOW);
            near.clone().find(|line| line.contains("Exception: ")).or_else(|| near.clone().next())
        }
        None => lines.next_back(),
    }
}

#[cfg(test)]
mod tests;
