//! Exit codes: one table for the help, the README and the programs that start this one.
//!
//! Touches nothing. Invariant: a class of failure always ends with the same code, the values of
//! `sysexits.h` where one fits. `harness doctor` ends with the code of a run that meets its first failure.

use std::process::ExitCode;

use protocol::Class;

use crate::run::RunError;
use crate::store::{StoreError, StoreErrorKind};

macro_rules! exit_table {
    ($($variant:ident = $code:literal, $meaning:literal;)*) => {
        /// How the program ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Exit { $(#[doc = $meaning] $variant,)* }

        impl Exit {
            /// Every way to end, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code that the shell sees.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

exit_table! {
    Done = 0, "done; also after the first Ctrl-C, when everything extracted is committed";
    Usage = 64, "called wrongly: unknown option, missing argument";
    Data = 65, "a record that is not what was declared, or an offset the source cannot serve";
    NoInput = 66, "the pipeline file is missing or cannot be read";
    Source = 69, "the source does not exist, or is another one than before";
    Internal = 70, "a bug of this program or of the extractor";
    Resource = 71, "memory, disk space or permission to write ran out";
    Transient = 75, "may work later without any change: the source or the database is away, or the extractor was killed";
    Protocol = 76, "the extractor does not speak the protocol";
    Auth = 77, "user, password or permission refused";
    Config = 78, "the configuration cannot work: pipeline file, address, table";
    Fenced = 79, "a newer harness took over the same part of the pipeline: the newer one wins";
    Interrupted = 130, "stopped at once by the second Ctrl-C; the next run reads the rest";
}

impl Exit {
    /// The table as lines of a help text.
    pub fn table() -> String {
        let lines: Vec<String> = Self::ALL
            .iter()
            .map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()))
            .collect();
        lines.join("\n")
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Usage => Self::Usage,
            Class::Protocol => Self::Protocol,
            Class::Config => Self::Config,
            Class::Auth => Self::Auth,
            Class::Source => Self::Source,
            Class::Transient => Self::Transient,
            Class::Offset | Class::Data => Self::Data,
            Class::Resource => Self::Resource,
            Class::Cancelled => Self::Interrupted,
            Class::Internal => Self::Internal,
        }
    }
}

impl From<&StoreError> for Exit {
    fn from(error: &StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Fenced => Self::Fenced,
            other => other.class().into(),
        }
    }
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Fenced(_) => Self::Fenced,
            RunError::Interrupted => Self::Interrupted,
            RunError::Store(error) => error.into(),
            other => other.class().into(),
        }
    }
}

#[cfg(test)]
mod tests;
