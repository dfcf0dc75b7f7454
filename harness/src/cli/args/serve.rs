//! What may be typed behind `harness serve`.

use std::path::PathBuf;

use clap::Args;

use super::StoreArgs;

const EXAMPLES: &str = "Examples:
  harness serve --store sqlite:orders.db
  mariadb -h 127.0.0.1 -P 3307 -e 'SHOW PIPELINES'
  harness serve --store mysql://root@127.0.0.1:3306/orders --listen 0.0.0.0:3307 \\
      --password-file serve.password

Pipelines run in this process: they outlive the connection that started them, any connection stops them,
and those that were running when it ended are started again with it. Ctrl-C and SIGTERM end it after
what was extracted is committed. More: harness serve --help";

const DETAILS: &str = "Who may connect: without a password whoever reaches the address, which then must be of \
this machine (127.0.0.1, ::1). With one, clients log in with it and any user name; wrong ones are answered \
later and later. There is no TLS: the password itself is never sent, but statements and rows are; use a \
tunnel between machines.

What a client may reach: the store with the rights of --store's user. A pipeline with ${env:…}, ${file:…}, \
extractor.path, or a key that names a file or the machine's own cloud credentials is neither created nor run, \
whoever wrote it into the catalogue; CONFIG of one with secrets changes together with new ones only; on \
SQLite, ATTACH, VACUUM INTO, CREATE TRIGGER and writes to the catalogue (s2x_…) are refused: unless \
--allow-host-access is given. LOAD DATA LOCAL is refused always.

At most 64 connections, statements of 16 MiB; a connection ends after 8 hours without a statement, in a \
transaction on SQLite after 2 minutes, and when an answer takes an hour to be read. A \
client that leaves a transaction open rolls it back. COM_CHANGE_USER and KILL QUERY are not known.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}"))]
pub(in crate::cli) struct ServeArgs {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3307")]
    pub(in crate::cli) listen: String,
    /// A file with the password that clients need; without it the environment variable S2X_SERVE_PASSWORD
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// The program that reads sources
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) extractor: Option<PathBuf>,
    /// Let statements of clients read files and environment of this machine, and name programs to run
    #[arg(long)]
    pub(in crate::cli) allow_host_access: bool,
}
