//! The prompt of `harness sql` on a terminal: keys go in through a pseudo-terminal, and what the screen gets is
//! read from it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

const PATIENCE: Duration = Duration::from_secs(60);

struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<String>>,
    /// What was waited for so far ends here.
    seen: usize,
}

impl Terminal {
    fn start(folder: &std::path::Path) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(["sql", "--store", "sqlite:s.db"])
            .current_dir(folder)
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("TERM", "xterm")
            .env_remove("S2X_STORE")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        drop(pty.slave);
        let keys = File::from(pty.master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut from, to) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal fails when its last program has ended.
            while let Ok(count) = from.read(&mut bytes) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(bytes.get(..count).unwrap()));
            }
        });
        let mut terminal = Self { child, keys, screen, seen: 0 };
        terminal.shows("harness> ");
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, behind what was waited for before.
    fn shows(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap().clone();
            let new = screen.get(self.seen..).unwrap();
            if let Some(at) = new.find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(Instant::now() < until, "waited for {text:?} in\n{new}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types, waits for this answer, and then for the next prompt: keys that come before it are lost.
    fn asks(&mut self, keys: &str, answer: &str) {
        self.types(keys);
        // The keys are shown, too, with a prompt before them each time.
        let last = keys.trim_end_matches('\r').rsplit(['\r', '\t']).next().unwrap_or_default();
        if !last.is_empty() && !last.starts_with('\x03') {
            self.shows(last);
        }
        self.shows("\x1b[?2004l");
        self.shows(answer);
        self.shows("harness> ");
    }

    fn ends(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "it does not end: {}", self.screen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_person_at_a_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The catalogue makes the file, which a statement for the database alone would not.
    let mut terminal = Terminal::start(folder);
    terminal.asks("SHOW PIPELINES;\r", "Pipelines_in_main");
    // Over several lines, up to the semicolon.
    terminal.asks("SELECT 40\r+ 2 AS\rtotal;\r", "42");
    // Ctrl-C drops what is typed.
    terminal.types("SELECT nonsense FROM");
    terminal.asks("\x03", "");
    // An error ends nothing.
    terminal.asks("SELECT a FROM nowhere;\r", "no such table: nowhere");
    terminal.asks("START PIPELIN x;\r", "did you mean PIPELINE?");
    // Tab completes.
    terminal.asks("SHOW PIPELIN\tS;\r", "Pipelines_in_main");
    terminal.asks("CREATE USER u IDENTIFIED BY 'geheim';\r", "error:");
    terminal.asks("\\?\r", "Ctrl-D");
    terminal.types("\\q\r");
    assert_eq!(terminal.ends(), 0);

    let history = folder.join("state/s2x/history");
    let text = std::fs::read_to_string(&history).unwrap();
    assert!(text.contains("SHOW PIPELINES;"), "{text}");
    assert!(text.contains("SELECT 40\\n+ 2 AS\\ntotal;"), "{text}");
    assert!(!text.contains("geheim") && !text.contains("nonsense"), "{text}");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);

    // The next one remembers; Ctrl-D ends it.
    let mut terminal = Terminal::start(folder);
    terminal.types("\x1b[A");
    terminal.shows("SHOW PIPELINES;");
    terminal.types("\x15\x04");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn without_a_terminal_statements_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(["sql", "--store", "sqlite:s.db"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("give -e 'SQL' or -f FILE"), "{text}");
    assert!(!folder.path().join("s.db").exists());
}
