//! MariaDB: its empty data folder, its command line, the database `s2x`.
//!
//! May touch: the service's folder and MariaDB's programs. Invariant: it listens on 127.0.0.1 and
//! on a socket inside its private folder, and on nothing else; `root` has no password there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Service;
use crate::cache::{self, Cache};

/// What must be installed.
pub(super) fn programs() -> Vec<PathBuf> {
    let clients = ["mariadb-install-db", "mariadb-admin", "mariadb", "setsid"].map(PathBuf::from);
    clients.into_iter().chain([server()]).collect()
}

/// Copies an empty data folder the first time, and says what to run.
pub(super) fn prepare(cache: &Cache, folder: &Path, service: &Service) -> Result<Command> {
    let data = folder.join("data");
    if !data.is_dir() {
        let template = template(cache)?;
        let fresh = folder.join("data.new");
        cache::remove_folder(&fresh)?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(template).arg(&fresh);
        cache::run(&mut copy, "copy an empty MariaDB data folder")?;
        std::fs::rename(&fresh, &data).with_context(|| format!("rename {}", fresh.display()))?;
    }
    let mut server = Command::new(server());
    server.arg("--no-defaults").args(user()?);
    server.arg(cache::joined("--datadir=", data.as_os_str()));
    // A server clears what it takes for its own leftovers in the folder for temporary tables: two
    // servers must not share one.
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary)
        .with_context(|| format!("create {}", temporary.display()))?;
    server.arg(cache::joined("--tmpdir=", temporary.as_os_str()));
    server.arg(format!("--port={}", service.port()?));
    // Relative to the data folder: an absolute path may be longer than a socket's name can be.
    server.args(["--bind-address=127.0.0.1", "--socket=server.sock", "--pid-file=server.pid"]);
    server.args(["--skip-name-resolve", "--local-infile=1", "--character-set-server=utf8mb4"]);
    server.args(["--innodb-buffer-pool-size=256M", "--max-allowed-packet=256M"]);
    // A later option wins, so the user's come last.
    server.args(&service.args);
    Ok(server)
}

/// Whether the server takes connections.
pub(super) fn answers(port: u16) -> bool {
    let mut ping = client("mariadb-admin", port);
    ping.args(["--connect-timeout=2", "ping"]).stdout(Stdio::null()).stderr(Stdio::null());
    ping.status().is_ok_and(|status| status.success())
}

/// Creates the database that [`super::Services::mariadb_url`] names, unless it is there.
pub(super) fn create(port: u16) -> Result<()> {
    let mut create = client("mariadb", port);
    create.args(["-e", "CREATE DATABASE IF NOT EXISTS s2x CHARACTER SET utf8mb4"]);
    cache::run(&mut create, "create database s2x")
}

fn client(program: &str, port: u16) -> Command {
    let mut client = Command::new(program);
    client.args(["--no-defaults", "--protocol=tcp", "-uroot", "-h127.0.0.1"]);
    client.arg(format!("-P{port}")).stdin(Stdio::null());
    client
}

/// An ordinary user's `PATH` need not have the folder Debian puts the server in.
fn server() -> PathBuf {
    let plain = PathBuf::from("mariadbd");
    let debian = PathBuf::from("/usr/sbin/mariadbd");
    if !cache::is_installed(&plain) && debian.is_file() { debian } else { plain }
}

/// The server runs as `root` only when it is told to.
fn user() -> Result<Option<&'static str>> {
    Ok((cache::user_id()? == 0).then_some("--user=root"))
}

/// One template per user, because the server makes its files readable by their owner only, and per
/// server version.
fn template(cache: &Cache) -> Result<PathBuf> {
    let version = Command::new(server()).arg("--version").output().context("run mariadbd")?;
    let key = String::from_utf8_lossy(&version.stdout).into_owned();
    let name = format!("mariadb-template-{}", cache::user_id()?);
    let folder = cache.entry(&name, &key, |folder| {
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").args(user()?);
        install.arg(cache::joined("--datadir=", folder.join("data").as_os_str()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg("--skip-name-resolve");
        cache::run(&mut install, "create an empty MariaDB data folder")
    })?;
    Ok(folder.join("data"))
}
