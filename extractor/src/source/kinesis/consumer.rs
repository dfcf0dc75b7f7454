//! The consumer of enhanced fan-out: found by its ARN or its name, registered where a name is not
//! there yet, waited for, and never removed. It also knows when a shard may be subscribed again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::SharedHttpClient;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::types::ConsumerStatus;
use protocol::{Code, Failure};

use super::client::{self, Shared};
use super::failure;
use super::settings::{ConsumerId, FanOut, KinesisSettings, OnUnusable};
use super::shards;

/// How long a consumer may take to become active before that is told as trouble, and tried again.
const ACTIVE_WAIT: Duration = Duration::from_secs(60);

/// Pause between two looks at a consumer that is not active. Why 1 s: 20 looks a second are allowed
/// for the whole account.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How often a registration that hits a limit is tried.
///
/// Why 3: the limit of calls per second passes, that of 20 consumers of a stream does not.
const REGISTER_TRIES: u32 = 3;

/// Subscriptions of one connection.
///
/// Why 16: streams of an HTTP/2 connection share its window of a few MB, which bounds what waits
/// unread while the sink is blocked; and a connection has a limit of streams. No other call is made
/// on these connections, so that none waits behind a subscription.
const LANE: usize = 16;

/// What became of the consumer.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It is active.
    Arn(String),
    /// It can not be used, and trying again will not help.
    Unusable(Failure),
}

/// See the file. One for all shards of a source.
#[derive(Debug)]
pub(super) struct Consumer {
    settings: FanOut,
    endpoint: Option<String>,
    /// Asked for once; a second task waits for the answer of the first.
    found: tokio::sync::Mutex<Option<Found>>,
    told: AtomicBool,
    /// When each shard was subscribed last, as far as it matters still.
    subscribed: Mutex<BTreeMap<String, Instant>>,
    lanes: Mutex<BTreeMap<usize, SharedHttpClient>>,
}

impl Consumer {
    /// Asks nothing yet. Nothing where shards are polled.
    pub(super) fn new(settings: &KinesisSettings) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            settings: settings.fan_out.clone()?,
            endpoint: settings.endpoint.clone(),
            found: tokio::sync::Mutex::default(),
            told: AtomicBool::new(false),
            subscribed: Mutex::default(),
            lanes: Mutex::default(),
        }))
    }

    /// Silence after which a subscription is dead.
    pub(super) const fn silence(&self) -> Duration {
        self.settings.silence
    }

    /// For people.
    pub(super) fn name(&self) -> &str {
        match &self.settings.consumer {
            ConsumerId::Arn(name) | ConsumerId::Name(name) => name,
        }
    }

    /// Forgets that it can not be used; the next task asks again.
    pub(super) fn forget(&self) {
        if let Ok(mut found) = self.found.try_lock() {
            *found = None;
        }
        self.told.store(false, Ordering::Relaxed);
    }

    /// Its ARN once it is active, or why it can not be used.
    ///
    /// # Errors
    /// What may pass.
    pub(super) async fn find(&self, shared: &Arc<Shared>, stream: &str) -> Result<Found, Failure> {
        let mut found = self.found.lock().await;
        if let Some(found) = found.as_ref() {
            return Ok(found.clone());
        }
        let now = match self.ask(shared, stream).await {
            Ok(arn) => Found::Arn(arn),
            Err(failure) if is_for_good(&failure) => Found::Unusable(failure),
            Err(failure) => return Err(failure),
        };
        *found = Some(now.clone());
        Ok(now)
    }

    /// Notes that it can not be used after all.
    pub(super) async fn give_up(&self, failure: &Failure) {
        *self.found.lock().await = Some(Found::Unusable(failure.clone()));
    }

    /// Whether a shard is to be polled instead; it is told once.
    pub(super) fn allows_polling(&self, failure: &Failure) -> bool {
        let polling = self.settings.fallback == OnUnusable::Polling;
        if polling && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                consumer = self.name(),
                "enhanced fan-out can not be used, reading by polling instead: {}",
                failure.message
            );
        }
        polling
    }

    /// Whether shards are polled because it can not be used.
    pub(super) fn polls(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// How long a shard must not be subscribed yet.
    pub(super) fn wait(&self, shard: &str) -> Duration {
        let subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        let since = subscribed.get(shard).map(Instant::elapsed);
        since.map_or(Duration::ZERO, |since| self.settings.interval.saturating_sub(since))
    }

    /// A shard was subscribed.
    pub(super) fn subscribed(&self, shard: &str) {
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        subscribed.retain(|_, at| at.elapsed() < self.settings.interval);
        subscribed.insert(shard.to_owned(), Instant::now());
    }

    /// A client for subscriptions of a part, with the credentials of the last rotation.
    pub(super) fn client(&self, shared: &Shared, part: usize) -> Client {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = self.endpoint.as_deref();
        let lane = lanes.entry(part / LANE).or_insert_with(|| client::connections(endpoint));
        let config = shared.client().config().to_builder().http_client(lane.clone());
        Client::from_conf(config.build())
    }

    /// Looks for the consumer until it is active.
    async fn ask(&self, shared: &Arc<Shared>, stream: &str) -> Result<String, Failure> {
        let what = format!("find consumer {} of stream {stream}", self.name());
        let of = match &self.settings.consumer {
            ConsumerId::Arn(_) => None,
            ConsumerId::Name(_) => Some(shards::describe(shared, stream).await?.arn),
        };
        let (until, mut tries) = (Instant::now() + ACTIVE_WAIT, 0);
        loop {
            let call = shared.client().describe_stream_consumer().set_stream_arn(of.clone());
            let call = match &self.settings.consumer {
                ConsumerId::Arn(arn) => call.consumer_arn(arn),
                ConsumerId::Name(name) => call.consumer_name(name),
            };
            let status = match call.send().await {
                Ok(answer) => {
                    let it = answer.consumer_description;
                    let it = it.ok_or_else(|| passing(&what, "the answer is empty"))?;
                    if it.consumer_status == ConsumerStatus::Active {
                        return Ok(it.consumer_arn);
                    }
                    it.consumer_status.to_string()
                }
                Err(error) => {
                    let (_, failure) = failure::from_sdk(&what, &error);
                    match (&self.settings.consumer, of.as_deref()) {
                        // Whether it can be subscribed, the subscription itself will tell.
                        (ConsumerId::Arn(arn), _) if failure.code == Code::PermissionDenied => {
                            return Ok(arn.clone());
                        }
                        (ConsumerId::Name(name), Some(of))
                            if failure.code == Code::SourceNotFound =>
                        {
                            tries += 1;
                            register(shared, of, name, tries).await?;
                            "just registered".to_owned()
                        }
                        _ => return Err(failure),
                    }
                }
            };
            if Instant::now() >= until {
                return Err(passing(&what, &format!("it is {status}, not ACTIVE")));
            }
            tokio::time::sleep(LOOK_PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }
}

/// Registers a consumer that is not there. That it is there by now is fine.
async fn register(shared: &Shared, of: &str, name: &str, tries: u32) -> Result<(), Failure> {
    let what = format!("register consumer {name} of {of}");
    let call = shared.client().register_stream_consumer().stream_arn(of).consumer_name(name);
    match call.send().await {
        Ok(_) => {
            tracing::info!(consumer = name, "registered for enhanced fan-out; it stays registered");
            Ok(())
        }
        Err(error) => match error.code() {
            Some("ResourceInUseException") => Ok(()),
            Some("LimitExceededException") if tries < REGISTER_TRIES => Ok(()),
            Some("LimitExceededException") => {
                let said = error.message().unwrap_or("limit exceeded");
                let text = format!("{what}: {said}; deregister one, or name one that is there");
                Err(Failure::new(Code::PermissionDenied, text))
            }
            _ => Err(failure::from_sdk(&what, &error).1),
        },
    }
}

/// Whether trying again will not help, and polling may. A request that nothing signs says nothing of the
/// consumer, and polling would not be signed either.
pub(super) fn is_for_good(failure: &Failure) -> bool {
    let refused =
        matches!(failure.code, Code::PermissionDenied | Code::ConfigInvalid | Code::SourceNotFound);
    refused && !failure::is_unsigned(failure)
}

fn passing(what: &str, why: &str) -> Failure {
    Failure::new(Code::SourceUnavailable, format!("{what}: {why}"))
}
