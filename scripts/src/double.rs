//! Stands in for a SingleStore server in tests: its wire, its statements as far as the harness sends them, and
//! rows that come as Avro, kept in an SQLite file.
//!
//! May touch: loopback sockets, and the SQLite file that it is given. Invariants: what it takes is checked by
//! libraries that are not ours (`apache-avro` reads the rows, SQLite keeps transactions); a statement that the
//! documentation of SingleStore does not have is refused, not guessed.
//!
//! What it does not prove: that a real server understands these statements, counts and warns as documented,
//! locks rows instead of the whole file, and takes an Avro container as this reader does.

mod dialect;
mod load;
mod session;
mod state;
mod wire;

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// The database that clients are in unless they name another one.
const DATABASE: &str = "db";

/// Statements that are remembered. Why 100,000: more than any test sends; the oldest go first.
const LOGGED_MAX: usize = 100_000;

/// Characters of a statement that are remembered.
const LOGGED_CHARS: usize = 2_000;

/// Bytes of streams that are remembered together. Why 64 MiB: several batches of the default size.
const CAPTURED_BYTES_MAX: usize = 64 << 20;

/// Where a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The statement of this number, counted from 0 over all connections since [`Double::count_from_here`].
    Number(u64),
    /// The next statement that begins so.
    Next(&'static str),
}

/// When it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the statement is done.
    Before,
    /// Inside the stream of a LOAD DATA, after this many bytes; before any other statement.
    Inside(usize),
    /// After the statement was done, before its answer.
    After,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The connection is cut.
    Cut,
    /// The statement is refused with this number and text; it changes nothing.
    Refuse(u16, &'static str),
    /// The transaction is rolled back and nobody is told.
    Forget,
    /// The answer has other counters than it should, and SHOW WARNINGS this number.
    Tell {
        /// The text of the answer.
        info: &'static str,
        /// The counter of warnings.
        warnings: u16,
        /// The number of the one that is listed.
        code: u16,
    },
}

/// A fault that is planned; it strikes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// One statement, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The number of its connection.
    pub connection: u64,
    /// Its text, cut to its first characters.
    pub sql: String,
}

/// The bytes of one LOAD DATA LOCAL INFILE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The name of the file in the statement.
    pub file: String,
    /// What the client sent, as it came.
    pub bytes: Vec<u8>,
}

/// What one client said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The user.
    pub user: String,
    /// Attributes of the connection.
    pub attributes: Vec<(String, String)>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Vec<Logged>>,
    captured: Mutex<Vec<Captured>>,
    guests: Mutex<Vec<Guest>>,
    faults: Mutex<Vec<Fault>>,
    clients: Mutex<HashMap<u64, TcpStream>>,
    count: AtomicU64,
    /// Bytes of the largest statement; 0 is what the wire itself takes.
    statement_max: AtomicUsize,
    connections: AtomicU64,
    is_ending: AtomicBool,
}

impl Shared {
    /// The largest statement that is taken.
    fn statement_max(&self) -> usize {
        match self.statement_max.load(Ordering::Acquire) {
            0 => wire::STATEMENT_MAX,
            limit => limit,
        }
    }

    /// Remembers a statement and answers its number.
    fn note(&self, connection: u64, sql: &str) -> u64 {
        let sql = sql.chars().take(LOGGED_CHARS).collect();
        let mut log = lock(&self.log);
        if log.len() == LOGGED_MAX {
            log.remove(0);
        }
        log.push(Logged { connection, sql });
        self.count.fetch_add(1, Ordering::AcqRel)
    }

    fn capture(&self, file: &str, bytes: &[u8]) {
        let mut captured = lock(&self.captured);
        captured.push(Captured { file: file.to_owned(), bytes: bytes.to_vec() });
        let mut total: usize = captured.iter().map(|it| it.bytes.len()).sum();
        while total > CAPTURED_BYTES_MAX && captured.len() > 1 {
            total -= captured.remove(0).bytes.len();
        }
    }

    /// Takes the fault that is planned for this statement.
    fn fault(&self, number: u64, sql: &str) -> Option<(When, What)> {
        let mut faults = lock(&self.faults);
        let found = faults.iter().position(|fault| match fault.at {
            At::Number(planned) => planned == number,
            At::Next(begin) => sql.starts_with(begin),
        });
        found.map(|index| faults.remove(index)).map(|fault| (fault.when, fault.what))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running server; it ends when this is dropped.
pub struct Double {
    shared: Arc<Shared>,
    address: SocketAddr,
    path: std::path::PathBuf,
    acceptor: Option<JoinHandle<()>>,
}

impl Double {
    /// Starts on a free port of 127.0.0.1, with its rows in the SQLite file at `path`.
    ///
    /// # Errors
    /// No port is free, or the file cannot be made.
    pub fn start(path: &Path) -> Result<Self> {
        state::prepare(path)?;
        let listener = TcpListener::bind("127.0.0.1:0").context("bind a port")?;
        let mut double = Self {
            shared: Arc::new(Shared::default()),
            address: listener.local_addr().context("read a bound port")?,
            path: path.to_owned(),
            acceptor: None,
        };
        double.accept(listener)?;
        Ok(double)
    }

    fn accept(&mut self, listener: TcpListener) -> Result<()> {
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        let acceptor = std::thread::Builder::new().name("double".to_owned());
        self.acceptor = Some(acceptor.spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_ending.load(Ordering::Acquire) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::AcqRel);
                lock(&shared.clients).extend(stream.try_clone().map(|stream| (number, stream)));
                let (shared, path) = (Arc::clone(&shared), path.clone());
                std::thread::spawn(move || session::serve(stream, number, &path, &shared));
            }
        })?);
        Ok(())
    }

    /// Goes away: every connection is cut, and nobody answers.
    ///
    /// # Errors
    /// The thread that accepts had failed.
    pub fn go(&mut self) -> Result<()> {
        self.shared.is_ending.store(true, Ordering::Release);
        // Wakes the thread that accepts, which looks at the flag.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().map_err(|_| anyhow::anyhow!("the acceptor failed"))?;
        }
        self.cut();
        Ok(())
    }

    /// Comes back on the same port with the same rows.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub fn come_back(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).context("bind the port again")?;
        self.shared.is_ending.store(false, Ordering::Release);
        self.accept(listener)
    }

    /// From now on `@@max_allowed_packet` is this many bytes, and a larger statement ends its connection, as on a
    /// server.
    pub fn limit_statements(&self, bytes: usize) {
        self.shared.statement_max.store(bytes, Ordering::Release);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for (_, client) in lock(&self.shared.clients).drain() {
            // One that is gone already is no failure.
            drop(client.shutdown(Shutdown::Both));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its store, with `?…` behind it.
    pub fn url(&self, options: &str) -> String {
        format!("singlestore://root@{}/{DATABASE}{options}", self.address)
    }

    /// Plans a fault.
    pub fn plan(&self, at: At, when: When, what: What) {
        lock(&self.shared.faults).push(Fault { at, when, what });
    }

    /// Whether every fault that was planned has struck.
    pub fn is_spent(&self) -> bool {
        lock(&self.shared.faults).is_empty()
    }

    /// Forgets what was planned.
    pub fn forget_plan(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The next statement has the number 0, and everything remembered is forgotten.
    pub fn count_from_here(&self) {
        lock(&self.shared.log).clear();
        lock(&self.shared.captured).clear();
        self.shared.count.store(0, Ordering::Release);
    }

    /// How many statements came.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Acquire)
    }

    /// The statements that came, oldest first.
    pub fn log(&self) -> Vec<Logged> {
        lock(&self.shared.log).clone()
    }

    /// The streams that came whole, oldest first.
    pub fn captured(&self) -> Vec<Captured> {
        lock(&self.shared.captured).clone()
    }

    /// What clients said of themselves, oldest first.
    pub fn guests(&self) -> Vec<Guest> {
        lock(&self.shared.guests).clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        // A test that failed already has said so.
        drop(self.go());
    }
}
