//! A commit whose answer was lost: find out whether it happened.
//!
//! Touches the database through `Store` alone. Invariant: the row is read with a lock, so that the answer
//! waits for the lost transaction to end; a plain read could show the old value while that one still
//! lives and commits later (EXACTLY-ONCE E4).

use std::thread;
use std::time::{Duration, Instant};

use super::{BatchCommit, LoadError, NONCE_LEN, Swap};
use crate::store::{CellRow, Connect, Param, StoreError, StoreErrorKind};

/// How long the question is asked again while the database cannot be reached.
///
/// Why 75 s: longer than the 50 s that a server waits for a row lock by default.
const ASK_MAX: Duration = Duration::from_secs(75);

/// The pause between two questions, before jitter.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// Answers `Ok` when the batch is committed.
pub(super) fn resolve(
    connect: &dyn Connect,
    batch: &BatchCommit<'_>,
    swaps: &[Swap<'_>],
    nonce: &[u8; NONCE_LEN],
    lost: StoreError,
) -> Result<(), LoadError> {
    let Some(swap) = swaps.first() else {
        return Err(StoreError::internal("a commit without a swap").into());
    };
    let asked = Instant::now();
    let row = loop {
        match ask(connect, batch, swap, nonce) {
            Ok(row) => break row,
            Err(error) if error.is_transient() && asked.elapsed() < ASK_MAX => {
                thread::sleep(ASK_PAUSE.mul_f64(0.5 + fastrand::f64()));
            }
            Err(error) => {
                return Err(LoadError::InDoubt(StoreError::new(
                    StoreErrorKind::InDoubt,
                    format!("the answer to a commit was lost ({lost}), and asking failed: {error}"),
                )));
            }
        }
    };
    let Some(row) = row else {
        return Err(LoadError::Fenced(StoreError::new(
            StoreErrorKind::Fenced,
            format!("split {} is not in the catalogue any more", swap.to.key),
        )));
    };
    let rev = row.count(0)?;
    if row.int(1)? == 1 {
        return Ok(());
    }
    if rev == swap.to.rev {
        // Rolled back: what the commit answered says whether sending again helps (a full disk does not).
        return Err(lost.into());
    }
    Err(LoadError::Fenced(StoreError::new(
        StoreErrorKind::Fenced,
        format!(
            "split {}: the answer to a commit from revision {} was lost, and the split stands at \
             revision {rev} by another commit",
            swap.to.key, swap.to.rev
        ),
    )))
}

/// Reads the first moved row under its lock.
fn ask(
    connect: &dyn Connect,
    batch: &BatchCommit<'_>,
    swap: &Swap<'_>,
    nonce: &[u8; NONCE_LEN],
) -> Result<Option<CellRow>, StoreError> {
    let mut store = connect.connect()?;
    store.begin()?;
    let lock = store.dialect().for_update();
    let sql = format!(
        "SELECT rev, CASE WHEN commit_id = ? THEN 1 ELSE 0 END FROM s2x_offsets \
         WHERE pipeline_id = ? AND key_hash = ?{lock}"
    );
    let params = [Param::Bytes(nonce), Param::from(batch.pipeline_id), Param::Bytes(&swap.hash)];
    let answer = store.query(&sql, &params)?;
    let row = answer.first().cloned();
    store.rollback()?;
    Ok(row)
}
