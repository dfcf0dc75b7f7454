//! Which process runs which leaf of a pipeline: the newest one that asked.
//!
//! Touches the database through `Store` alone. Invariant: of two processes that run the same leaf,
//! exactly one holds the claim, so that exactly one of them goes on after they fenced each other
//! (EXACTLY-ONCE E13). The swap alone keeps rows right; the claim keeps the two from taking turns
//! for ever, or from both giving up.

use super::Catalogue;
use super::splits::next_epoch;
use crate::store::{Param, Store, StoreError, StoreErrorKind};

/// What a process holds on a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The leaf.
    pub leaf: u32,
    /// Taken from the pipeline's epochs, so it is never given twice.
    pub number: u64,
}

impl Catalogue {
    /// Claims leaves of a pipeline for this process; whoever held them holds them no more.
    ///
    /// # Errors
    /// The pipeline was dropped, or the database cannot be reached.
    pub fn claim_leaves(
        &mut self,
        pipeline_id: u64,
        leaves: &[u32],
    ) -> Result<Vec<Claim>, StoreError> {
        self.transact("claim the leaves", |store| {
            // Locks the pipeline's row: claims are taken one after the other.
            let number = next_epoch(store, pipeline_id)?;
            let claim = |leaf: &u32| write(store, pipeline_id, Claim { leaf: *leaf, number });
            leaves.iter().map(claim).collect()
        })
    }

    /// Whether this process still holds the claim, and the pipeline is still there.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn holds(&mut self, pipeline_id: u64, claim: Claim) -> Result<bool, StoreError> {
        self.read("look at the claim", |store| is_held(store, pipeline_id, claim))
    }
}

fn write(store: &mut dyn Store, pipeline_id: u64, claim: Claim) -> Result<Claim, StoreError> {
    let of = [Param::from(claim.number), Param::from(pipeline_id), Param::from(claim.leaf)];
    let update = "UPDATE s2x_leaves SET claim = ? WHERE pipeline_id = ? AND leaf = ?";
    if store.execute(update, &of)? == 0 {
        let insert = "INSERT INTO s2x_leaves (claim, pipeline_id, leaf) VALUES (?, ?, ?)";
        store.execute(insert, &of)?;
    }
    Ok(claim)
}

/// Refuses a claim that another process has taken; inside a transaction that holds the pipeline's
/// row.
pub(super) fn require_held(
    store: &mut dyn Store,
    pipeline_id: u64,
    claim: Claim,
) -> Result<(), StoreError> {
    if is_held(store, pipeline_id, claim)? {
        return Ok(());
    }
    let text = format!("leaf {} of the pipeline is run by another process", claim.leaf);
    Err(StoreError::new(StoreErrorKind::Fenced, text))
}

fn is_held(store: &mut dyn Store, pipeline_id: u64, claim: Claim) -> Result<bool, StoreError> {
    // A locking read sees what was committed last, whatever the transaction saw before.
    let lock = store.dialect().for_update();
    let sql = format!("SELECT claim FROM s2x_leaves WHERE pipeline_id = ? AND leaf = ?{lock}");
    let answer = store.query(&sql, &[Param::from(pipeline_id), Param::from(claim.leaf)])?;
    answer.first().map_or(Ok(false), |row| Ok(row.count(0)? == claim.number))
}
