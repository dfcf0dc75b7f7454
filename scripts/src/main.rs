//! Entry point of `cargo xtask`: hands the arguments to the library and turns an error into one
//! line on stderr. May touch: argv, stderr, the exit code.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match xtask::cli::run(&args) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to tell when stderr itself is gone.
            writeln!(std::io::stderr(), "xtask: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}
