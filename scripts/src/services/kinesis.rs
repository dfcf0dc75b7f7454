//! kinesis-mock, a server of Kinesis's protocol that runs on Node.js: how it is fetched, its
//! command line, whether it answers.
//!
//! May touch: the service's folder, `npm` and `node`. Invariant: both its ports are bound to
//! 127.0.0.1; it has no option for that, so a script loaded before it sees to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Service;
use crate::cache::{self, Cache};

const PACKAGE: &str = include_str!("../../kinesis/package.json");
const LOCK: &str = include_str!("../../kinesis/package-lock.json");
const BIND: &str = include_str!("../../kinesis/bind.js");

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What must be installed.
pub(super) fn programs() -> Vec<PathBuf> {
    ["node", "npm", "setsid"].map(PathBuf::from).to_vec()
}

/// Fetches the server once, and says what to run. It keeps its streams in memory.
pub(super) fn prepare(cache: &Cache, folder: &Path, service: &Service) -> Result<Command> {
    let &[plain, tls] = service.ports.as_slice() else {
        bail!("the state file does not name Kinesis's two ports: run `cargo xtask services down`");
    };
    let package = fetched(cache)?;
    let server = package.join("node_modules/kinesis-local");
    let mut node = Command::new("node");
    node.arg("--require").arg(package.join("bind.js")).arg(server.join("main.js"));
    node.env("KINESIS_MOCK_CERT_PATH", server.join("server.json"));
    node.env("KINESIS_MOCK_PLAIN_PORT", plain.to_string());
    node.env("KINESIS_MOCK_TLS_PORT", tls.to_string());
    // Why 50 ms: long enough that a state in between is seen, short enough for tests.
    for name in ["CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS"] {
        node.env(format!("{name}_DURATION"), "50ms");
    }
    node.current_dir(folder);
    Ok(node)
}

fn fetched(cache: &Cache) -> Result<PathBuf> {
    cache.entry("kinesis-local", &format!("{PACKAGE}{LOCK}{BIND}"), |folder| {
        for (name, text) in
            [("package.json", PACKAGE), ("package-lock.json", LOCK), ("bind.js", BIND)]
        {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        let mut npm = Command::new("npm");
        // The lock file holds the digest of what is fetched; none of its scripts are run.
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.current_dir(folder);
        cache::run(&mut npm, "fetch the npm package kinesis-local")
    })
}

/// Whether the server takes requests.
pub(super) fn answers(port: u16) -> bool {
    ask(port).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn ask(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = "GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut start = [0; 16];
    stream.read_exact(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}
