//! The coordinator of a run: asks the source once, writes the starts down, gives each task its
//! splits, and ends the run.

mod begin;
mod splits;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::Failure;
use protocol::avro::Marker;

use super::failure::Stop;
use super::heartbeat::Heartbeat;
use super::patience::persist;
use super::setup::{Counters, Setup};
use super::share::{Parents, keys_of, leaf_of, own_slots, slots};
use super::task::{News, Order, Orders, Task};
use super::{Control, Event, Observer, Plan, RunError, Summary, Tally, Until};
use crate::catalogue::{Catalogue, Claim, Creation, NewPipeline, Pipeline, PipelineState, Split};
use crate::deadletter::{Producer, Sender};
use crate::store::Connect;

/// News that wait for the coordinator; it takes them at once.
const NEWS_MAX: usize = 256;

/// How long tasks may take to end when the run is ended at once.
const NOW_WAIT: Duration = Duration::from_secs(1);

/// How often the coordinator looks at the catalogue without news of its own.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often the coordinator looks at the wish to end.
const TICK: Duration = Duration::from_millis(50);

/// Runs a pipeline until it is complete, stopped, or failed.
///
/// # Errors
/// See [`RunError`]. Whatever was committed stays committed, and the next run goes on from there.
pub fn execute(
    plan: Plan,
    control: Control,
    observer: Arc<dyn Observer>,
) -> Result<Summary, RunError> {
    let began = Instant::now();
    let connect: Arc<dyn Connect> = Arc::new(plan.store.clone());
    let mut catalogue = Catalogue::open(Arc::clone(&connect))?;
    if let Some(notice) = catalogue.take_notice() {
        observer.event(&Event::Warning(notice));
    }
    let (pipeline, is_new) = open_pipeline(&mut catalogue, &plan)?;
    for (_, target) in plan.route.used().filter(|_| is_new) {
        if has_rows(&mut catalogue, &target.table)? {
            observer.event(&Event::Warning(format!(
                "pipeline {:?} is new and its table {:?} holds rows already; what the source has is \
                 added to them",
                plan.name, target.table
            )));
        }
    }
    if let Some(letters) = plan.aside.letters.clone() {
        let sender = Sender { pipeline: plan.name.clone(), task: 0 };
        Producer::new(letters, sender).check()?;
    }
    let marker = Marker::from_hex(&pipeline.sync_marker)
        .ok_or_else(|| RunError::Internal("the catalogue holds no sync marker".to_owned()))?;
    let setup = Arc::new(Setup {
        incarnation: Mutex::new(pipeline.incarnation.clone().unwrap_or_default()),
        ends: OnceLock::new(),
        budget: Setup::budget_of(&plan),
        plan,
        marker,
        connect,
        control,
        observer,
        counters: Counters::default(),
        complete: AtomicBool::new(false),
        tally: Arc::new(Tally::new(began, None)),
        pipeline,
    });
    let id = setup.pipeline.id;
    let (connect, tally) = (Arc::clone(&setup.connect), Arc::clone(&setup.tally));
    let share = &setup.plan.share;
    let mut heartbeat = Heartbeat::start(&mut catalogue, connect, id, share, tally)?;
    let mut coordinator = Coordinator::new(Arc::clone(&setup), catalogue);
    let result = coordinator.run();
    if matches!(&result, Err(RunError::Store(error)) if error.may_pass()) {
        // It was waited for in vain: what is left to say is said once.
        coordinator.catalogue.says_last_words();
    }
    match setup.control.is_now() {
        true => heartbeat.abandon(),
        false => heartbeat.stop(),
    }
    let failed = match &result {
        Ok(_) | Err(RunError::Interrupted | RunError::Fenced(_)) => None,
        Err(error) => Some(error.to_string()),
    };
    // What became of the pipeline is said by whoever runs it: not by one that was replaced, and not
    // of one that was dropped. A run that is ended at once asks the database nothing more, as one that
    // was killed. One that ends with its server leaves the state alone: Running, or what STOP PIPELINE
    // said meanwhile somewhere else.
    let stays = result.is_ok() && setup.control.is_server_ending();
    if !setup.control.is_now() && !stays && coordinator.holds_all() {
        let catalogue = &mut coordinator.catalogue;
        let _told_anyway = match &failed {
            Some(error) => catalogue.set_state(id, PipelineState::Error, Some(error)),
            // The other leaves of it run on, until STOP PIPELINE ends them all.
            None if setup.plan.is_one_of_many() => Ok(()),
            None => catalogue.end_state(id),
        };
    }
    result.map(|caught_up| summary(&setup.counters, caught_up, began.elapsed()))
}

fn summary(counters: &Counters, caught_up: bool, elapsed: Duration) -> Summary {
    Summary {
        rows: counters.rows.load(Ordering::Acquire),
        errors: counters.errors.load(Ordering::Acquire),
        bytes: counters.bytes.load(Ordering::Acquire),
        batches: counters.batches.load(Ordering::Acquire),
        elapsed,
        extractor_peak_bytes: counters.peak_memory.load(Ordering::Acquire),
        retries: counters.retries.load(Ordering::Acquire),
        caught_up,
    }
}

fn has_rows(catalogue: &mut Catalogue, table: &str) -> Result<bool, RunError> {
    let store = catalogue.store()?;
    let sql = format!("SELECT 1 FROM {} LIMIT 1", store.dialect().quote(table));
    Ok(store.query(&sql, &[])?.first().is_some())
}

/// The pipeline in the catalogue, created when missing, and its table. Tells whether it is new.
fn open_pipeline(catalogue: &mut Catalogue, plan: &Plan) -> Result<(Pipeline, bool), RunError> {
    let tasks_max = plan.share.tasks;
    let config_json = &plan.source.redacted_json;
    if plan.definition.is_some() {
        return defined_pipeline(catalogue, plan);
    }
    // Nothing is made for a plan that does not fit what is there.
    if let Some(pipeline) = catalogue.pipeline(&plan.name)? {
        require_fit(&pipeline, plan)?;
    }
    catalogue.ensure_route(&plan.route)?;
    let created = catalogue.create_pipeline(&NewPipeline {
        name: &plan.name,
        config_json,
        credentials: None,
        target_table: &plan.table,
        leaf_count: plan.share.leaves,
        tasks_max,
    })?;
    let is_new = matches!(created, Creation::Created(_));
    let pipeline = created.into_pipeline();
    require_fit(&pipeline, plan)?;
    if pipeline.config_json != *config_json || pipeline.tasks_max != tasks_max {
        catalogue.alter_config(pipeline.id, config_json, None, tasks_max)?;
    }
    Ok((pipeline, is_new))
}

/// The pipeline of a plan that was made of its definition. It is never created here: one that is not
/// there any more was dropped, and one that differs was replaced, after the plan was made.
fn defined_pipeline(catalogue: &mut Catalogue, plan: &Plan) -> Result<(Pipeline, bool), RunError> {
    let pipeline = catalogue.pipeline(&plan.name)?;
    let Some(pipeline) = pipeline.filter(|it| it.credentials == plan.definition) else {
        let text =
            format!("pipeline {:?} was dropped or changed meanwhile; start it again", plan.name);
        return Err(RunError::Config(text));
    };
    require_fit(&pipeline, plan)?;
    catalogue.ensure_route(&plan.route)?;
    let is_new = catalogue.splits(pipeline.id)?.is_empty();
    Ok((pipeline, is_new))
}

/// Refuses a plan that is of another pipeline than the one of its name in the catalogue.
///
/// # Errors
/// It was created in another way, for another table, or for another count of leaves.
pub(crate) fn require_fit(pipeline: &Pipeline, plan: &Plan) -> Result<(), RunError> {
    if pipeline.credentials.is_some() && plan.definition.is_none() {
        return Err(RunError::Config(format!(
            "pipeline {:?} was created by SQL; run it with harness sql -e 'START PIPELINE …', or give \
             the one of the file another name",
            plan.name
        )));
    }
    pipeline.require_leaf_count(plan.share.leaves)?;
    if pipeline.target_table == plan.table {
        return Ok(());
    }
    Err(RunError::Config(format!(
        "pipeline {:?} loads into table {:?}, not {:?}; drop it first, or give the new one another \
         name",
        plan.name, pipeline.target_table, plan.table
    )))
}

struct Coordinator {
    setup: Arc<Setup>,
    catalogue: Catalogue,
    news: Receiver<News>,
    tell: SyncSender<News>,
    parents: Parents,
    /// Splits that the source lists, or listed once and has let go unread.
    listed: HashSet<String>,
    /// Splits of the catalogue that are not part of the pipeline any more.
    left: HashSet<String>,
    /// Splits that had come to their end in a bounded run before.
    ended: HashSet<String>,
    /// A question that is under way: which of these does the source list?
    asked: Option<Asked>,
    claims: Vec<Claim>,
    tasks: HashMap<u32, Running>,
    /// Every split was read to its end when the run was found complete.
    was_caught_up: bool,
    /// When the catalogue was last looked at.
    looked: Instant,
}

/// Splits that another leaf wrote down, and the order under which a task asks for them.
struct Asked {
    task: u32,
    order: u64,
    strange: Vec<Split>,
}

struct Running {
    orders: Orders,
    thread: JoinHandle<()>,
    keys: Vec<String>,
    order: u64,
    caught_up: bool,
}

impl Coordinator {
    fn new(setup: Arc<Setup>, catalogue: Catalogue) -> Self {
        let (tell, news) = sync_channel(NEWS_MAX);
        Self {
            setup,
            catalogue,
            news,
            tell,
            parents: Parents::new(),
            listed: HashSet::new(),
            left: HashSet::new(),
            ended: HashSet::new(),
            asked: None,
            claims: Vec::new(),
            tasks: HashMap::new(),
            was_caught_up: false,
            looked: Instant::now(),
        }
    }

    /// Whether this process is still the one that runs its leaves.
    fn holds_all(&mut self) -> bool {
        let id = self.setup.pipeline.id;
        let claims = self.claims.clone();
        !claims.is_empty()
            && claims.iter().all(|claim| self.catalogue.holds(id, *claim).unwrap_or(false))
    }

    /// Tells whether every split was read to its end.
    fn run(&mut self) -> Result<bool, RunError> {
        let own = own_slots(&self.setup.plan.share);
        self.claims = self.claim(&own)?;
        for slot in own {
            let claim =
                self.claims.iter().find(|it| it.leaf == leaf_of(slot, &self.setup.plan.share));
            let claim = *claim.ok_or_else(|| RunError::Internal("a leaf has no claim".into()))?;
            let mut task = Task::new(slot, claim, Arc::clone(&self.setup), self.tell.clone())?;
            if self.tasks.is_empty() {
                // The first extractor answers for all; it then serves its task.
                loop {
                    match self.scout(&mut task) {
                        Ok(()) => break,
                        Err(Stop::Drained) => return Ok(false),
                        Err(stop) => {
                            task.settle();
                            task.after_first(stop)?;
                        }
                    }
                }
                task.looked = true;
            }
            self.start(task)?;
        }
        let result = self.assign(false).and_then(|()| self.watch());
        if result.is_err() {
            self.setup.complete.store(true, Ordering::Release);
        }
        let ended = self.join();
        let caught_up = result?;
        ended?;
        Ok(caught_up)
    }

    /// Claims the leaves of this process: an older one on the same leaf ends.
    fn claim(&mut self, slots: &[u32]) -> Result<Vec<Claim>, RunError> {
        let mut leaves: Vec<u32> =
            slots.iter().map(|slot| leaf_of(*slot, &self.setup.plan.share)).collect();
        leaves.sort_unstable();
        leaves.dedup();
        Ok(self.catalogue.claim_leaves(self.setup.pipeline.id, &leaves)?)
    }

    fn start(&mut self, task: Task) -> Result<(), RunError> {
        let (slot, orders) = (task.slot, task.orders());
        let thread = thread::Builder::new()
            .name(format!("task-{slot}"))
            .spawn(move || task.run())
            .map_err(|e| RunError::Internal(format!("cannot start a thread: {e}")))?;
        let running = Running { orders, thread, keys: Vec::new(), order: 0, caught_up: false };
        self.tasks.insert(slot, running);
        Ok(())
    }

    /// Gives each task the splits that are its own by the catalogue; a task whose splits did not
    /// change is left alone. `has_new`: some came up at the source, so that a task that gets others asks
    /// which lives they belong to before it reads.
    fn assign(&mut self, has_new: bool) -> Result<(), RunError> {
        let (setup, catalogue) = (&self.setup, &mut self.catalogue);
        let mut splits = persist(setup, 0, || catalogue.splits(setup.pipeline.id))?;
        self.looked = Instant::now();
        let is_out = |key: &String| self.left.contains(key) || self.ended.contains(key);
        splits.retain(|split| !is_out(&split.key) && setup.reads(&split.key));
        // A split that another leaf wrote down: whether it has parents is the source's to say.
        let (known, strange): (Vec<Split>, Vec<Split>) =
            splits.into_iter().partition(|split| self.listed.contains(&split.key));
        let splits = known;
        let mut look = self.asked.is_none() && !strange.is_empty();
        for (slot, running) in &mut self.tasks {
            let keys = keys_of(*slot, &self.setup.plan.share, &splits, &self.parents);
            if running.order == 0 || keys != running.keys || look {
                running.caught_up = false;
                running.order += 1;
                running.keys.clone_from(&keys);
                if std::mem::take(&mut look) {
                    self.asked =
                        Some(Asked { task: *slot, order: running.order, strange: strange.clone() });
                    running.orders.assign(Order { number: running.order, keys, look: true });
                } else {
                    let order = Order { number: running.order, keys, look: has_new };
                    running.orders.assign(order);
                }
            }
        }
        Ok(())
    }

    /// Follows the tasks until all have ended, or one has failed.
    fn watch(&mut self) -> Result<bool, RunError> {
        let mut left = self.tasks.len();
        let mut failed = None;
        let mut patience = Duration::ZERO;
        while left > 0 {
            if self.setup.control.is_now() {
                // A task that the database holds back ends with the process.
                patience += TICK;
                if patience > NOW_WAIT {
                    return Err(RunError::Interrupted);
                }
            }
            match self.news.recv_timeout(TICK) {
                Ok(News::Partitions(partitions)) => self.grow(&partitions)?,
                Ok(News::Listed { task, order, splits }) => {
                    self.note(&splits);
                    self.judge(task, order)?;
                    self.assign(false)?;
                }
                Ok(News::SplitEnded) => self.assign(false)?,
                Ok(News::CaughtUp { task, order, caught_up }) => {
                    let running = self.tasks.get_mut(&task);
                    if let Some(running) = running.filter(|running| running.order == order) {
                        running.caught_up = caught_up;
                    }
                }
                Ok(News::Finished { task, result }) => {
                    left -= 1;
                    if let Err(error) = result {
                        // The others commit what they have; the first failure is the reason.
                        self.setup.complete.store(true, Ordering::Release);
                        failed.get_or_insert((task, error));
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if self.looked.elapsed() > LOOK_AGAIN && !self.setup.is_draining() {
                if self.is_stopped()? {
                    self.setup.control.drain();
                }
                // Another leaf may have found splits that are ours.
                self.assign(false)?;
            }
            if self.is_complete() {
                self.was_caught_up |= self.is_caught_up();
                if !self.setup.complete.swap(true, Ordering::AcqRel) {
                    self.tasks.values().for_each(|running| running.orders.complete());
                }
            }
        }
        match failed {
            Some((task, error)) => Err(with_task(error, task, slots(&self.setup.plan.share))),
            // The drain that follows ends batches early, before they can say so again.
            None => Ok(self.was_caught_up || self.is_caught_up()),
        }
    }

    /// Whether STOP or DETACH PIPELINE was said somewhere else. Leaves that pipeline files run apart from each other
    /// write the state of their pipeline when they end, so that there it means nothing to the others.
    fn is_stopped(&mut self) -> Result<bool, RunError> {
        let (setup, catalogue) = (&self.setup, &mut self.catalogue);
        if setup.plan.definition.is_none() {
            return Ok(false);
        }
        let found = persist(setup, 0, || catalogue.pipeline(&setup.plan.name))?;
        let is_told =
            |it: PipelineState| matches!(it, PipelineState::Stopped | PipelineState::Detached);
        Ok(found.is_some_and(|it| it.id == setup.pipeline.id && is_told(it.state)))
    }

    fn is_caught_up(&self) -> bool {
        self.tasks.values().all(|running| running.caught_up)
    }

    fn is_complete(&self) -> bool {
        if self.setup.is_bounded() && self.is_caught_up() {
            return true;
        }
        match self.setup.plan.until {
            Until::Stopped => false,
            Until::CaughtUp => self.is_caught_up(),
            Until::Batches(wanted) => {
                self.setup.counters.batches_with_rows.load(Ordering::Acquire) >= wanted
            }
        }
    }

    fn join(&mut self) -> Result<(), RunError> {
        let mut panicked = Ok(());
        for (slot, running) in self.tasks.drain() {
            drop(running.orders);
            if self.setup.control.is_now() && !running.thread.is_finished() {
                continue;
            }
            if running.thread.join().is_err() {
                panicked = Err(RunError::Internal(format!("task {slot} panicked")));
            }
        }
        panicked
    }
}

/// Names the task where there is more than one.
fn with_task(error: RunError, task: u32, tasks: u32) -> RunError {
    match error {
        RunError::Crashed(text) if tasks > 1 => RunError::Crashed(format!("task {task}: {text}")),
        RunError::Killed(text) if tasks > 1 => RunError::Killed(format!("task {task}: {text}")),
        RunError::Protocol(text) if tasks > 1 => RunError::Protocol(format!("task {task}: {text}")),
        RunError::Extractor(failure) if tasks > 1 && failure.part.is_some() => {
            let message = format!("task {task}: {}", failure.message);
            RunError::Extractor(Failure { message, ..failure })
        }
        other => other,
    }
}
