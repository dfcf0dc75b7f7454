//! Where a bounded run ends: written down before anything is read, so that a restart has the same
//! ends.
//!
//! Touches the database through `Store` alone. Invariant: the ends of a pipeline were all taken for the
//! same wish, at once; another wish replaces all of them.

use super::ids::key_hash;
use super::pipelines::gone;
use super::splits::{SPLITS_MAX, check_key, check_value};
use super::{Catalogue, Store};
use crate::store::{Param, StoreError, StoreErrorKind};

/// Ends as KEY and VALUE, sorted by KEY.
pub type Ends = Vec<(String, String)>;

impl Catalogue {
    /// The ends that were written down for this wish; `None` when there are none yet.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn ends(&mut self, pipeline_id: u64, wish: &str) -> Result<Option<Ends>, StoreError> {
        self.read("read the ends", |store| read_ends(store, pipeline_id, wish))
    }

    /// Forgets the ends of a wish, so that they are taken anew.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn forget_ends(&mut self, pipeline_id: u64, wish: &str) -> Result<(), StoreError> {
        let digest = key_hash_text(wish);
        self.transact("forget the ends", |store| {
            let sql = "DELETE FROM s2x_ends WHERE pipeline_id = ? AND wish = ?";
            store.execute(sql, &[Param::from(pipeline_id), Param::Text(&digest)])?;
            Ok(())
        })
    }

    /// Writes the ends of a wish down, unless somebody did before, and answers what is there then.
    ///
    /// # Errors
    /// A key or value is not usable, there are none or too many, or the pipeline was dropped.
    pub fn pin_ends(
        &mut self,
        pipeline_id: u64,
        wish: &str,
        ends: &[(&str, &str)],
    ) -> Result<Ends, StoreError> {
        for (key, value) in ends {
            check_key(key)?;
            check_value(key, value)?;
        }
        if ends.is_empty() || ends.len() > SPLITS_MAX {
            let text = format!("{} ends; a bounded run has 1 to {SPLITS_MAX}", ends.len());
            return Err(StoreError::new(StoreErrorKind::Config, text));
        }
        self.transact("write the ends down", |store| {
            // The lock of the pipeline's row: of two that write, the second finds what the first wrote.
            let lock = store.dialect().for_update();
            let sql = format!("SELECT epoch FROM s2x_pipelines WHERE pipeline_id = ?{lock}");
            let there = store.query(&sql, &[Param::from(pipeline_id)])?;
            there.first().ok_or_else(|| gone(pipeline_id))?;
            if read_ends(store, pipeline_id, wish)?.is_some() {
                return Ok(());
            }
            let sql = "DELETE FROM s2x_ends WHERE pipeline_id = ?";
            store.execute(sql, &[Param::from(pipeline_id)])?;
            for (key, value) in ends {
                let hash = key_hash(key);
                store.execute(
                    "INSERT INTO s2x_ends (pipeline_id, key_hash, key_text, value_text, wish) \
                     VALUES (?, ?, ?, ?, ?)",
                    &[
                        Param::from(pipeline_id),
                        Param::Bytes(&hash),
                        Param::Text(key),
                        Param::Text(value),
                        Param::Text(&key_hash_text(wish)),
                    ],
                )?;
            }
            Ok(())
        })?;
        self.ends(pipeline_id, wish)?.ok_or_else(|| gone(pipeline_id))
    }
}

/// A wish may be as long as its map of partitions; its digest is what is compared.
fn key_hash_text(wish: &str) -> String {
    key_hash(wish).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_ends(
    store: &mut dyn Store,
    pipeline_id: u64,
    wish: &str,
) -> Result<Option<Ends>, StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!(
        "SELECT key_text, value_text FROM s2x_ends WHERE pipeline_id = ? AND wish = ? \
         ORDER BY key_hash{lock}"
    );
    let digest = key_hash_text(wish);
    let answer = store.query(&sql, &[Param::from(pipeline_id), Param::Text(&digest)])?;
    let mut ends = Ends::with_capacity(answer.rows.len());
    for row in &answer.rows {
        ends.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
    }
    ends.sort_unstable();
    Ok((!ends.is_empty()).then_some(ends))
}
