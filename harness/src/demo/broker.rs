//! A Kafka broker: one inside this process, or one that is there already.
//!
//! One of the two files of the harness's demo that use rdkafka. The broker inside the process is
//! librdkafka's mock: it listens on 127.0.0.1 alone and forgets what is older than 5 MiB per partition.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::cli::CliError;
use crate::exit::Exit;

/// How far the producer may be ahead in one partition of the broker inside the process, in bytes.
///
/// Why 3 MiB: it keeps 5 MiB and drops older records without a word.
const WINDOW_BYTES: u64 = 3 * 1024 * 1024;

/// How long a broker is waited for.
const WAIT: Duration = Duration::from_secs(20);

pub(super) struct Broker {
    bootstrap: String,
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Broker {
    /// Starts one inside this process, or takes the one at `bootstrap`.
    pub(super) fn start(bootstrap: Option<&str>) -> Result<Self, CliError> {
        if let Some(bootstrap) = bootstrap {
            return Ok(Self { bootstrap: bootstrap.to_owned(), embedded: None });
        }
        let cluster = MockCluster::new(1).map_err(|error| {
            let text = format!("start a Kafka broker inside this process: {error}");
            CliError::other(Exit::Resource, text)
        })?;
        Ok(Self { bootstrap: cluster.bootstrap_servers(), embedded: Some(cluster) })
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) fn describe(&self) -> String {
        match self.embedded {
            Some(_) => format!("a Kafka broker inside this process ({})", self.bootstrap),
            None => format!("the Kafka broker at {}", self.bootstrap),
        }
    }

    /// How far the producer may be ahead in one partition; `None` where the broker keeps everything.
    pub(super) fn window_bytes(&self) -> Option<u64> {
        self.embedded.as_ref().map(|_| WINDOW_BYTES)
    }

    /// Makes the topic.
    pub(super) fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), CliError> {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let made = match &self.embedded {
            Some(cluster) => cluster.create_topic(topic, count, 1),
            None => self.create_on_server(topic, count),
        };
        made.map_err(|error| {
            let text = format!(
                "make the topic {topic} on {}: {error}; is the broker up, and may this user make \
                 topics?",
                self.bootstrap
            );
            CliError::other(Exit::Transient, text)
        })
    }

    fn create_on_server(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT));
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = block_on(admin.create_topics(&[new], &options))?;
        for result in made {
            result.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        }
        Ok(())
    }
}

/// Waits in this thread for the one future of the demo; rdkafka completes it from a thread of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
