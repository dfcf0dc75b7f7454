//! Names that nothing in the store has yet.
//!
//! Touches the store through the catalogue.

use crate::catalogue::Catalogue;
use crate::cli::CliError;
use crate::exit::Exit;
use crate::store::StoreErrorKind;

/// How many demos one store may hold.
const DEMOS_MAX: u32 = 1000;

/// What the demo makes.
pub(super) struct Names {
    pub(super) pipeline: String,
    pub(super) table: String,
    pub(super) topic: String,
}

impl Names {
    /// `demo`, or the first of `demo_2`, `demo_3`, … that is neither a pipeline nor a table. On a
    /// broker that others use the topic has a name that nobody has.
    pub(super) fn choose(catalogue: &mut Catalogue, is_shared: bool) -> Result<Self, CliError> {
        for number in 1..=DEMOS_MAX {
            let name = if number == 1 { "demo".to_owned() } else { format!("demo_{number}") };
            if catalogue.pipeline(&name)?.is_none() && !is_table(catalogue, &name)? {
                let topic = if is_shared {
                    format!("s2x-demo-{:08x}", fastrand::u32(..))
                } else {
                    "orders".to_owned()
                };
                return Ok(Self { pipeline: name.clone(), table: name, topic });
            }
        }
        let text = format!("the store holds {DEMOS_MAX} demos; name another one with --store");
        Err(CliError::other(Exit::Config, text))
    }
}

fn is_table(catalogue: &mut Catalogue, name: &str) -> Result<bool, CliError> {
    let store = catalogue.store()?;
    let sql = format!("SELECT 1 FROM {} LIMIT 1", store.dialect().quote(name));
    match store.query(&sql, &[]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == StoreErrorKind::Schema => Ok(false),
        Err(error) => Err(error.into()),
    }
}
