//! E4: same value, other life; and a commit whose answer is lost.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::catalogue::Catalogue;
use harness::transaction::{Committed, LoadError, Loader, fenced_pause};

use crate::bed::{Bed, KEY, Owner, START, TABLE, at, rows};
use crate::fault::{Breaking, Fault, Verb};

#[track_caller]
fn is_fenced(sent: &Result<Committed, LoadError>) {
    assert!(matches!(sent, Err(LoadError::Fenced(_))), "{sent:?}");
}

/// A batch that was committed is sent again by an owner that does not know.
/// Take `AND rev = ?` out of the swap in `transaction.rs` to see it fail.
#[test]
fn e04_a_replayed_batch_loads_nothing() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let mut loader = Loader::new(bed.connect());
        let first = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert_eq!(first, Ok(Committed { batch_id: Some(1) }));
        is_fenced(&owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        assert_eq!((bed.row_count(), owner.stands_at()), (1, (1, at(1))));
    }
}

/// Another owner takes the split; the revision and the value are the same as before.
/// Take `AND epoch <= ?` out of the swap in `transaction.rs` to see it fail.
#[test]
fn e04_an_owner_that_was_replaced_loads_nothing() {
    for bed in Bed::all() {
        let zombie = Owner::of(&bed);
        let mut owner = Owner::take(Catalogue::open(bed.connect()).expect("opens"), "p");
        assert_eq!(owner.epoch, zombie.epoch + 1);
        assert_eq!(owner.split.rev, zombie.split.rev);
        let mut loader = Loader::new(bed.connect());
        is_fenced(&zombie.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
        owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]).expect("the new owner commits");
        assert_eq!(bed.row_count(), 1);
    }
}

/// The pipeline is dropped and one of the same name is created; it stands where the zombie began.
/// Let `create_pipeline` use the lowest free number instead of the counter to see it fail.
#[test]
fn e04_a_pipeline_of_the_same_name_is_another_one() {
    for bed in Bed::all() {
        let mut zombie = Owner::of(&bed);
        assert_eq!(zombie.catalogue.drop_pipeline("p"), Ok(true));
        assert_eq!(zombie.catalogue.drop_pipeline("p"), Ok(false));
        let mut owner = Owner::take(Catalogue::open(bed.connect()).expect("opens"), "p");
        assert_ne!(owner.pipeline.id, zombie.pipeline.id);
        assert_eq!((owner.split.rev, &owner.split.value), (0, &START.to_owned()));
        // Even with the epoch of the new one.
        zombie.epoch = owner.epoch + 10;
        let mut loader = Loader::new(bed.connect());
        is_fenced(&zombie.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
    }
}

/// The offset is set by hand to the value that the zombie holds.
/// Take `rev = rev + 1` and the epoch out of `set_value` in `catalogue/splits.rs` to see it fail.
#[test]
fn e04_an_offset_set_by_hand_fences_the_owner() {
    for bed in Bed::all() {
        let mut zombie = Owner::of(&bed);
        let set = zombie.catalogue.set_offsets(zombie.pipeline.id, &[(KEY, START)]).expect("sets");
        assert_eq!((set[0].rev, set[0].value.as_str()), (1, START));
        assert!(set[0].epoch > zombie.epoch);
        let mut loader = Loader::new(bed.connect());
        is_fenced(&zombie.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        // Nor with the new revision, as long as it has the old epoch.
        zombie.split.rev = 1;
        is_fenced(&zombie.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        assert_eq!(bed.row_count(), 0);
    }
}

/// The pipeline gets another configuration; what was extracted by the old one is not loaded.
/// Take `fence_all` out of `alter_config` in `catalogue/pipelines.rs` to see it fail.
#[test]
fn e04_an_altered_pipeline_fences_the_owner() {
    for bed in Bed::all() {
        let mut zombie = Owner::of(&bed);
        zombie.catalogue.alter_config(zombie.pipeline.id, "{}", None, 2).expect("alters");
        let mut loader = Loader::new(bed.connect());
        is_fenced(&zombie.send(&mut loader, &at(1), &rows(&["[1]"]), &[]));
        assert_eq!((bed.row_count(), zombie.stands_at().0), (0, 0));
    }
}

/// Two moves, the second of which is fenced: the first one does not stay.
#[test]
fn e04_one_fenced_move_fences_the_batch() {
    use crate::bed::KEY_2;
    use harness::transaction::Move;
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let id = owner.pipeline.id;
        owner.catalogue.insert_splits(id, &[(KEY_2, START)]).expect("inserts");
        let none: &[harness::store::RowRef<'_>] = &[];
        for (rev, rev_2) in [(0, 7), (7, 0)] {
            let moves = [
                Move { key: KEY, rev, to_value: "{}" },
                Move { key: KEY_2, rev: rev_2, to_value: "{}" },
            ];
            is_fenced(&Loader::new(bed.connect()).commit(&owner.batch(&moves, &none)));
        }
        let splits = owner.catalogue.splits(id).expect("reads");
        assert!(splits.iter().all(|split| split.rev == 0), "{splits:?}");
    }
}

/// The history holds the revision already: the second gate.
/// Take the call of `insert_history` out of `transaction.rs` to see it fail.
#[test]
fn e04_the_history_is_a_second_gate() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let mut loader = Loader::new(bed.connect());
        owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]).expect("commits");
        // What no statement of this program does: the revision goes back.
        let back = "UPDATE s2x_offsets SET rev = 0";
        bed.store().execute(back, &[]).expect("is forced back");
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert!(matches!(sent, Err(LoadError::Refused(_))), "{sent:?}");
        assert_eq!((bed.row_count(), owner.stands_at().0), (1, 0));
    }
}

/// The commit happened, its answer is lost.
/// Let `resolve` answer `NotCommitted` without asking to see it fail: the rows come twice.
#[test]
fn e04_a_commit_whose_answer_is_lost_counts_once() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let breaking = Breaking::at(bed.connect(), Verb::Commit, Fault::LostAfter);
        let mut loader = Loader::new(breaking);
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert_eq!(sent, Ok(Committed { batch_id: Some(1) }));
        assert_eq!((bed.row_count(), owner.stands_at()), (1, (1, at(1))));
    }
}

/// The commit never reached the server.
/// Let `resolve` answer `Ok` without asking to see it fail: the row is missing.
#[test]
fn e04_a_commit_that_never_arrived_may_be_sent_again() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let breaking = Breaking::at(bed.connect(), Verb::Commit, Fault::LostBefore);
        let mut loader = Loader::new(breaking);
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert!(matches!(sent, Err(LoadError::NotCommitted(_))), "{sent:?}");
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert_eq!(sent, Ok(Committed { batch_id: Some(1) }));
        assert_eq!((bed.row_count(), owner.stands_at()), (1, (1, at(1))));
    }
}

/// The commit is on its way for half a second more, with the answer lost: asking must wait for it.
/// Take `{lock}` out of the question in `transaction/resolve.rs` to see it fail on a server.
#[test]
fn e04_a_commit_that_is_still_on_its_way_is_waited_for() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let slot = Arc::new(Mutex::new(None));
        let fault = Fault::Detached(Arc::clone(&slot));
        let breaking = Breaking::at(bed.connect(), Verb::Commit, fault);
        let late = thread::spawn(move || {
            let give_up = Instant::now() + Duration::from_secs(20);
            loop {
                let taken = slot.lock().expect("the slot").take();
                if let Some(mut store) = taken {
                    // The question is asked at once; half a second later the commit happens.
                    thread::sleep(Duration::from_millis(500));
                    return store.commit();
                }
                assert!(Instant::now() < give_up, "the commit comes");
                thread::yield_now();
            }
        });
        let mut loader = Loader::new(breaking);
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        late.join().expect("ends").expect("commits late");
        assert_eq!(sent, Ok(Committed { batch_id: Some(1) }));
        assert_eq!((bed.row_count(), owner.stands_at()), (1, (1, at(1))));
    }
}

/// The answer is lost, and meanwhile someone else moved the split on.
#[test]
fn e04_a_lost_answer_after_which_another_owner_went_on_is_fenced() {
    for bed in Bed::all() {
        let owner = Owner::of(&bed);
        let slot = Arc::new(Mutex::new(None));
        let fault = Fault::Detached(Arc::clone(&slot));
        let breaking = Breaking::at(bed.connect(), Verb::Commit, fault);
        let next = thread::spawn(move || {
            let give_up = Instant::now() + Duration::from_secs(20);
            let mut store = loop {
                if let Some(store) = slot.lock().expect("the slot").take() {
                    break store;
                }
                assert!(Instant::now() < give_up, "the commit comes");
                thread::yield_now();
            };
            // As if the lost transaction were rolled back and another owner won before the question.
            let swap = "UPDATE s2x_offsets SET rev = rev + 1, commit_id = NULL";
            store.execute(swap, &[]).expect("moves on");
            store.commit()
        });
        let mut loader = Loader::new(breaking);
        let sent = owner.send(&mut loader, &at(1), &[], &[]);
        next.join().expect("ends").expect("commits");
        is_fenced(&sent);
    }
}

/// Eight owners race for the same thousand rows; every row comes once.
#[test]
fn e04_racing_owners_load_every_row_once() {
    const OWNERS: usize = 8;
    const BATCHES: u64 = 25;
    for bed in Bed::all() {
        drop(Owner::of(&bed));
        let racers: Vec<_> = (0..OWNERS)
            .map(|_| {
                let connect = bed.connect();
                thread::spawn(move || race(&connect, BATCHES))
            })
            .collect();
        for racer in racers {
            racer.join().expect("ends");
        }
        let distinct = bed.number(&format!("SELECT COUNT(DISTINCT record) FROM {TABLE}"));
        assert_eq!((bed.row_count(), distinct), (2 * 25, 2 * 25));
        let batches = bed.number("SELECT COUNT(*) FROM s2x_batches");
        assert_eq!(batches, 25);
        assert_eq!(bed.number("SELECT MAX(batch_id) FROM s2x_batches"), 25);
    }
}

/// How many batches the racing child processes load, and the address of their database.
const RACER_URL: &str = "S2X_TEST_RACER_URL";
const RACER_BATCHES: u64 = 1500;

/// Three hosts race for one split and are killed (SIGKILL) at random moments, again and again; every row
/// comes once. The seed is printed; `SEED=…` repeats the kills.
#[test]
fn e04_hosts_that_are_killed_at_random_load_every_row_once() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let give_up = Instant::now() + Duration::from_secs(120);
        let mut racers: Vec<Racer> = (0..3).map(|_| Racer::start(&bed)).collect();
        let mut killed = 0;
        while owner.stands_at().0 < RACER_BATCHES {
            assert!(Instant::now() < give_up, "stands at {}", owner.stands_at().0);
            thread::sleep(Duration::from_millis(random.u64(10..60)));
            racers[random.usize(..3)] = Racer::start(&bed);
            killed += 1;
        }
        drop(racers);
        assert!(killed > 5, "only {killed} were killed; load more batches");
        let distinct = bed.number(&format!("SELECT COUNT(DISTINCT record) FROM {TABLE}"));
        let wanted = i64::try_from(2 * RACER_BATCHES).expect("small");
        assert_eq!((bed.row_count(), distinct), (wanted, wanted), "after {killed} kills");
    }
}

/// A child process that is killed when this is dropped.
struct Racer(std::process::Child);

impl Racer {
    fn start(bed: &Bed) -> Self {
        let child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "e04::e04_child_that_races", "--nocapture"])
            .env(RACER_URL, bed.address())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        Self(child.expect("starts"))
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The child of the test above; by itself it has nothing to race for.
#[test]
fn e04_child_that_races() {
    let Ok(url) = std::env::var(RACER_URL) else { return };
    let url: harness::store::StoreUrl = url.parse().expect("an address");
    let connect: Arc<dyn harness::store::Connect> = Arc::new(url);
    race(&connect, RACER_BATCHES);
}

/// Takes the split over and loads batch after batch until it is fenced, until all are loaded.
fn race(connect: &Arc<dyn harness::store::Connect>, batches: u64) {
    let mut loader = Loader::new(Arc::clone(connect));
    loop {
        let catalogue = Catalogue::open(Arc::clone(connect)).expect("opens");
        let mut owner = Owner::take(catalogue, "p");
        loop {
            let rev = owner.split.rev;
            if rev >= batches {
                return;
            }
            let (a, b) = (format!("[{rev},1]"), format!("[{rev},2]"));
            let to = at(u32::try_from(rev).expect("small") + 1);
            match owner.send(&mut loader, &to, &rows(&[&a, &b]), &[]) {
                Ok(_) => owner.split.rev += 1,
                Err(LoadError::Fenced(_) | LoadError::InDoubt(_)) => {
                    thread::sleep(fenced_pause(0));
                    break;
                }
                Err(LoadError::NotCommitted(_)) => {}
                Err(error @ LoadError::Refused(_)) => panic!("{error}"),
            }
        }
    }
}
