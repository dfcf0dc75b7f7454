//! From the command line to the end of the process.

use std::process::ExitCode;
use std::sync::Arc;

use protocol::Class;

use crate::args::{self, Call, Options};
use crate::log;
use crate::pipe::{self, NoHost};
use crate::pump::Pump;

/// What a person sees who starts the program by hand.
const NOT_A_HOST: &str = "\
extractor: NOT_A_HOST: this program is started by a database, with pipes on standard input and \
output, but its {end} is no pipe.
To move a topic into a table, run: harness run pipeline.json
To learn more, run: extractor --help
";

/// Runs the program.
pub fn run() -> ExitCode {
    let printed = match args::parse(std::env::args_os().skip(1)) {
        Ok(Call::Serve(options)) => return serve(options),
        Ok(Call::Help) => pipe::print(args::HELP),
        Ok(Call::Version) => pipe::print(&args::version()),
        Err(problem) => {
            complain(&format!("extractor: {problem}\n"));
            return ExitCode::from(Class::Usage.exit_code());
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(Class::Internal.exit_code()),
    }
}

fn serve(options: Options) -> ExitCode {
    let link = match pipe::open(options.dumpable) {
        Ok(link) => link,
        Err(NoHost::NotAPipe(end)) => {
            complain(&NOT_A_HOST.replace("{end}", end));
            return ExitCode::from(Class::Usage.exit_code());
        }
        Err(NoHost::Os(error)) => {
            complain(&format!("extractor: cannot take over its pipes: {error}\n"));
            return ExitCode::from(Class::Resource.exit_code());
        }
    };
    let control = log::install(Arc::clone(&link), options.log_level);
    Pump::new(link, control).run()
}

/// Writes to stderr while the process has only this thread.
fn complain(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when this fails.
    let _written = std::io::stderr().write_all(text.as_bytes());
}
