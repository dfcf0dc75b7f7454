//! E3: a transaction that ended without telling.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use harness::store::{StoreErrorKind, Transaction, connect};
use harness::transaction::{Committed, LoadError, Loader};

use crate::bed::{Bed, Owner, TABLE, at, rows};
use crate::fault::{Breaking, Fault, Verb};

#[track_caller]
fn nothing_stays(bed: &Bed, verb: Verb, fault: fn() -> Fault) {
    let mut owner = Owner::of(bed);
    let breaking = Breaking::at(bed.connect(), verb, fault());
    let mut loader = Loader::new(Arc::<Breaking>::clone(&breaking));
    let batch = rows(&["[1]", "[2]"]);
    let error = owner.send(&mut loader, &at(2), &batch, &[]).expect_err("it breaks");
    assert!(breaking.is_spent(), "{verb:?}: the fault happened");
    assert!(matches!(error, LoadError::NotCommitted(_)), "{verb:?}: {error}");
    assert_eq!(bed.row_count(), 0, "{verb:?}: no rows");
    assert_eq!(owner.stands_at().0, 0, "{verb:?}: no move");
    // The same batch on the same loader: a new connection, and exactly one copy of the rows.
    let again = owner.send(&mut loader, &at(2), &batch, &[]);
    assert_eq!(again, Ok(Committed { batch_id: Some(1) }), "{verb:?}");
    assert_eq!(bed.row_count(), 2, "{verb:?}: once");
    assert_eq!(owner.stands_at(), (1, at(2)), "{verb:?}");
}

/// The server forgets the transaction after the swap; the load would commit by itself.
/// Take `require_transaction(store, "after the swap")` out of `transaction.rs` to see it fail.
#[test]
fn e03_rows_are_not_loaded_outside_the_transaction() {
    for bed in Bed::all() {
        nothing_stays(&bed, Verb::Swap, || Fault::Forgotten);
    }
}

/// The server forgets the transaction in the load; the batch's books would commit by themselves.
/// Take `require_transaction(store, "after the load")` out of `transaction.rs` to see it fail.
#[test]
fn e03_books_are_not_written_outside_the_transaction() {
    for bed in Bed::all() {
        nothing_stays(&bed, Verb::Load, || Fault::Forgotten);
    }
}

/// The connection is lost at each verb, before and after the server did it.
/// Take both `begin()` out of `Loader::begin` in `transaction.rs` to see it fail.
#[test]
fn e03_a_lost_connection_leaves_nothing() {
    for verb in [Verb::Swap, Verb::Load, Verb::History] {
        for bed in Bed::all() {
            nothing_stays(&bed, verb, || Fault::LostBefore);
        }
        for bed in Bed::all() {
            nothing_stays(&bed, verb, || Fault::LostAfter);
        }
    }
}

/// The rollback after an error is lost too. On a kept connection the next BEGIN would commit what it left.
/// Keep the connection after an error in `Loader::attempt` (`self.store = Some(store)`) to see it fail.
#[test]
fn e03_a_connection_is_dropped_after_an_error() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let breaking = Breaking::at(bed.connect(), Verb::History, Fault::RefusedAndStuck);
        let mut loader = Loader::new(Arc::<Breaking>::clone(&breaking));
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert!(matches!(sent, Err(LoadError::Refused(_))), "{sent:?}");
        assert!(breaking.is_spent());
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert_eq!(sent, Ok(Committed { batch_id: Some(1) }));
        assert_eq!((bed.row_count(), owner.stands_at()), (1, (1, at(1))));
    }
}

/// The address of the database in which the child of the next test loads, and where it dies.
const VICTIM_URL: &str = "S2X_TEST_VICTIM_URL";
const VICTIM_VERB: &str = "S2X_TEST_VICTIM_VERB";

/// The host is killed (SIGKILL) in the middle of a load, at each verb: neither rows nor offset are there.
/// Take both `begin()` out of `Loader::begin` in `transaction.rs` to see it fail.
#[test]
fn e03_a_killed_host_leaves_nothing() {
    for (word, _) in VERBS {
        for bed in Bed::all() {
            let mut owner = Owner::of(&bed);
            let status = std::process::Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", "e03::e03_child_that_is_killed", "--nocapture"])
                .env(VICTIM_URL, bed.address())
                .env(VICTIM_VERB, word)
                .stdout(std::process::Stdio::null())
                .status()
                .expect("starts");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{word}");
            // The child took the split over, so this owner takes it back; that waits for a dead load.
            owner = Owner::take(owner.catalogue, "p");
            assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0), "{word}");
            let mut loader = Loader::new(bed.connect());
            owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]).expect("goes on");
            assert_eq!(bed.row_count(), 1, "{word}");
        }
    }
}

const VERBS: [(&str, Verb); 4] = [
    ("swap", Verb::Swap),
    ("load", Verb::Load),
    ("history", Verb::History),
    ("commit", Verb::Commit),
];

/// The child of the test above; by itself it has nothing to load.
#[test]
fn e03_child_that_is_killed() {
    let (Ok(url), Ok(word)) = (std::env::var(VICTIM_URL), std::env::var(VICTIM_VERB)) else {
        return;
    };
    let (_, verb) = VERBS.into_iter().find(|(name, _)| *name == word).expect("a verb");
    let url: harness::store::StoreUrl = url.parse().expect("an address");
    let catalogue = harness::catalogue::Catalogue::open(Arc::new(url.clone())).expect("opens");
    let owner = Owner::take(catalogue, "p");
    let mut loader = Loader::new(Breaking::at(Arc::new(url), verb, Fault::Killed));
    let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
    panic!("still alive: {sent:?}");
}

/// A kept connection that died between two batches is replaced without a word; nothing was sent in it.
#[test]
fn e03_a_connection_that_died_between_batches_is_replaced() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let breaking = Breaking::at(bed.connect(), Verb::Begin, Fault::LostBefore);
        let mut loader = Loader::new(Arc::<Breaking>::clone(&breaking));
        let first = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert!(matches!(first, Err(LoadError::NotCommitted(_))), "the very first is reported");
        owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]).expect("commits");
        owner.split.rev = 1;
        breaking.plan_again(Verb::Begin, Fault::LostBefore);
        owner.send(&mut loader, &at(2), &rows(&["[2]"]), &[]).expect("commits on a new connection");
        assert!(breaking.is_spent());
        assert_eq!((bed.row_count(), owner.stands_at().0), (2, 2));
    }
}

/// A real deadlock: the server rolls the lighter transaction back, which is the load.
/// Send the failed statement again instead of returning its error to see it fail.
#[test]
fn e03_a_deadlock_rolls_everything_back() {
    let Some(bed) = Bed::server("") else { return };
    let mut owner = Owner::of(&bed);
    let mut other = bed.store();
    other.execute("CREATE TABLE heavy (n INT) ENGINE=InnoDB", &[]).expect("creates");
    other.begin().expect("begins");
    let heavy = "INSERT INTO heavy SELECT seq FROM seq_1_to_5000";
    other.execute(heavy, &[]).expect("is the heavier one");
    // The load takes the offset's row, then wants this row; the other one holds it and wants the offset's.
    let lock = "UPDATE s2x_pipelines SET altered_us = altered_us + 1";
    other.execute(lock, &[]).expect("locks");
    let (ready, wait) = sync_channel(1);
    let rival = thread::spawn(move || {
        wait.recv().expect("the load has the offset's row");
        let wanted = other.execute("UPDATE s2x_offsets SET updated_us = updated_us + 1", &[]);
        other.rollback().expect("rolls back");
        wanted
    });
    let breaking = Breaking::announcing(bed.connect(), Verb::Load, ready);
    let mut loader = Loader::new(breaking);
    let error = owner.send(&mut loader, &at(2), &rows(&["[1]"]), &[]).expect_err("a deadlock");
    rival.join().expect("ends").expect("the heavier one goes on");
    assert!(matches!(error, LoadError::NotCommitted(_)), "{error}");
    assert!(error.to_string().contains("1213"), "{error}");
    assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
    owner.send(&mut loader, &at(2), &rows(&["[1]"]), &[]).expect("commits the second time");
    assert_eq!((bed.row_count(), owner.stands_at().0), (1, 1));
}

/// Engines that keep rows after a rollback are refused before the first row.
/// Take the `rolls_back` check out of `store/table.rs` to see it fail.
#[test]
fn e03_a_target_that_cannot_roll_back_is_refused() {
    let Some(bed) = Bed::server("") else { return };
    let mut owner = Owner::of(&bed);
    owner.catalogue.ensure_table(TABLE).expect("InnoDB");
    for engine in ["MyISAM", "Aria", "MEMORY"] {
        let mut store = bed.store();
        store.execute("DROP TABLE IF EXISTS plain", &[]).expect("drops");
        let columns = "topic VARCHAR(9), id VARCHAR(9), record VARCHAR(9)";
        store
            .execute(&format!("CREATE TABLE plain ({columns}) ENGINE={engine}"), &[])
            .expect(engine);
        let error = owner.catalogue.ensure_table("plain").expect_err(engine);
        assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
        assert!(error.to_string().contains(engine), "{error}");
        assert!(error.to_string().contains("ENGINE=InnoDB"), "{error}");
    }
    let catalogue = "ALTER TABLE s2x_offset_history ENGINE=MyISAM";
    bed.store().execute(catalogue, &[]).expect("alters");
    let error = owner.catalogue.ensure_table(TABLE).expect_err("the catalogue's own tables too");
    assert!(error.to_string().contains("s2x_offset_history"), "{error}");
}

/// The savepoint tells the transaction that began from one that came after it.
#[test]
fn e03_another_transaction_does_not_pass_for_this_one() {
    let Some(bed) = Bed::server("") else { return };
    let mut store = connect(&bed.url).expect("connects");
    assert_eq!(store.in_transaction(), Ok(Transaction::Ended));
    store.begin().expect("begins");
    assert_eq!(store.in_transaction(), Ok(Transaction::Open));
    assert_eq!(store.in_transaction(), Ok(Transaction::Open), "asking does not end it");
    store.run("CREATE TABLE made (n INT)").expect("commits implicitly");
    assert_eq!(store.in_transaction(), Ok(Transaction::Ended));
    store.run("START TRANSACTION").expect("another one");
    assert_eq!(store.in_transaction(), Ok(Transaction::Ended));
}
