//! The client of the service: a runtime on a thread of its own, made at the first call, and calls
//! with bounded time. Nothing else starts threads or holds credentials.
//!
//! Every call ends: connecting, and a whole request with its answer, have limits. The SDK's own
//! retries are off, because the source backs off itself and tells the host; its stalled-stream
//! protection is off as well, because the limit of the whole request covers it.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Config, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use protocol::{Code, Failure};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::identity;
use super::settings::KinesisSettings;
use crate::source::Cancel;

/// How often a waiting call looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The runtime and the client that lives on it.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
    /// Ends the runtime when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What tasks on the runtime share.
#[derive(Debug)]
pub(super) struct Shared {
    client: Mutex<Client>,
    /// The stream's ARN, where the settings give it: sent along with the name.
    pub(super) arn: Option<String>,
    /// The service's clock.
    pub(super) clock: Clock,
}

impl Shared {
    /// The client, with the credentials of the last rotation.
    pub(super) fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service {
    /// Starts the thread and makes the client; asks nothing of the service.
    pub(super) fn start(settings: &KinesisSettings) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| no_thread(&e))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("kinesis".to_owned()).spawn(move || {
            // Either the sender is dropped, which is the end as well.
            let _end = runtime.block_on(stopped);
            runtime.shutdown_background();
        });
        let thread = thread.map_err(|e| no_thread(&e))?;
        let clock = Clock::default();
        let client = ready(&handle, make_client(settings.clone(), clock.clone()))?;
        let arn = settings.stream_arn.clone();
        let shared = Arc::new(Shared { client: Mutex::new(client), arn, clock });
        Ok(Self { handle, stop: Some(stop), thread: Some(thread), shared })
    }

    /// What tasks share.
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The runtime.
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Signs with other credentials from now on.
    pub(super) fn rotate(&self, settings: &KinesisSettings) -> Result<(), Failure> {
        let clock = self.shared.clock.clone();
        let client = ready(&self.handle, make_client(settings.clone(), clock))?;
        *self.shared.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// Runs a call and waits for it, until it is cancelled or `limit` is over.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        cancel: &Cancel,
        limit: Duration,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (send, receive) = sync_channel(1);
        let task = self.handle.spawn(async move {
            // Nobody waits any more after a cancel.
            let _gone = send.try_send(call.await);
        });
        let until = Instant::now() + limit;
        let ended = loop {
            match receive.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    break Failure::new(Code::Bug, "the thread of the source ended");
                }
                Err(RecvTimeoutError::Timeout) if cancel.is_set() => {
                    break Failure::new(Code::Cancelled, "cancelled by the host");
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                    let text = format!("no answer of the service within {} ms", limit.as_millis());
                    break Failure::new(Code::Timeout, text);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        task.abort();
        Err(ended)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only waited for this; a panic of it has been told already.
            let _ended = thread.join();
        }
    }
}

fn no_thread(error: &std::io::Error) -> Failure {
    Failure::new(Code::OutOfMemory, format!("no thread for the Kinesis source: {error}"))
}

/// Waits for something that asks nothing of the network.
fn ready<T: Send + 'static>(
    handle: &Handle,
    making: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    /// Why 10 s: reading the machine's certificates and AWS files takes milliseconds.
    const LIMIT: Duration = Duration::from_secs(10);
    let (send, receive) = sync_channel(1);
    handle.spawn(async move {
        let _gone = send.try_send(making.await);
    });
    receive
        .recv_timeout(LIMIT)
        .map_err(|_| Failure::new(Code::Timeout, "no Kinesis client in time"))
}

/// Connections of their own, which no other client shares.
pub(super) fn connections(endpoint: Option<&str>) -> SharedHttpClient {
    if endpoint.is_some_and(|url| url.starts_with("http://")) {
        HttpBuilder::new().build_http()
    } else {
        identity::https()
    }
}

/// Makes the client that the settings describe.
async fn make_client(settings: KinesisSettings, clock: Clock) -> Client {
    let http = connections(settings.endpoint.as_deref());
    let times = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.request_timeout)
        .operation_attempt_timeout(settings.request_timeout)
        .operation_timeout(settings.request_timeout)
        .build();
    let provider = identity::provider(&settings).await;
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(times)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .use_fips(settings.fips)
        .use_dual_stack(settings.dualstack)
        .interceptor(clock);
    config.set_credentials_provider(provider);
    config.set_endpoint_url(settings.endpoint.clone());
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests;
