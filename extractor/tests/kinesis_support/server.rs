//! ferrokinesis, a server of the Kinesis protocol that somebody else wrote, inside the test's
//! process, and a client to fill and reshard its stream.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::future::Future;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_smithy_http_client::Builder as HttpBuilder;
use ferrokinesis::store::StoreOptions;
use tokio::runtime::Runtime;

pub(crate) const STREAM: &str = "my-kinesis-stream";

/// Where a record that was put lies.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) shard: String,
    pub(crate) sequence: String,
}

pub(crate) fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// A server of this process on a free port, with one stream.
pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    pub(crate) url: String,
    pub(crate) client: Client,
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        shard_limit: 1000,
        ..StoreOptions::default()
    }
}

impl Server {
    pub(crate) fn start(shards: i32) -> Self {
        Self::with(options(), shards)
    }

    pub(crate) fn with(options: StoreOptions, shards: i32) -> Self {
        Self::on("127.0.0.1:0", options, shards)
    }

    /// A server that listens there.
    pub(crate) fn on(address: &str, options: StoreOptions, shards: i32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (app, _store) = ferrokinesis::create_app(options);
        runtime.spawn(ferrokinesis::serve_plain_http(listener, app, std::future::pending()));
        let server = Self { runtime, client: client(&url), url };
        server.create(shards);
        server
    }

    /// A server that runs already.
    pub(crate) fn at(url: &str, shards: i32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = Self { runtime, client: client(url), url: url.to_owned() };
        server.create(shards);
        server
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn create(&self, shards: i32) {
        let call = self.client.create_stream().stream_name(STREAM).shard_count(shards);
        self.wait(call.send()).unwrap();
        self.wait_active();
    }

    pub(crate) fn wait_active(&self) {
        loop {
            let call = self.client.describe_stream_summary().stream_name(STREAM);
            let summary = self.wait(call.send()).unwrap().stream_description_summary.unwrap();
            if summary.stream_status.as_str() == "ACTIVE" {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts records with these keys and texts, in order.
    pub(crate) fn put(&self, records: &[(String, String)]) -> Vec<Put> {
        let mut put = Vec::new();
        for chunk in records.chunks(500) {
            let entry = |(key, text): &(String, String)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key);
                entry.data(Blob::new(text.as_bytes())).build().unwrap()
            };
            let entries: Vec<_> = chunk.iter().map(entry).collect();
            let call = self.client.put_records().stream_name(STREAM).set_records(Some(entries));
            let answer = self.wait(call.send()).unwrap();
            assert_eq!(answer.failed_record_count.unwrap_or(0), 0);
            put.extend(answer.records.into_iter().map(|it| Put {
                shard: it.shard_id.unwrap(),
                sequence: it.sequence_number.unwrap(),
            }));
        }
        put
    }

    /// Puts one record of any bytes.
    pub(crate) fn put_bytes(&self, key: &str, data: &[u8]) -> Put {
        let call = self.client.put_record().stream_name(STREAM).partition_key(key);
        let answer = self.wait(call.data(Blob::new(data)).send()).unwrap();
        Put { shard: answer.shard_id, sequence: answer.sequence_number }
    }

    pub(crate) fn split(&self, shard: &str) {
        let call = self.client.list_shards().stream_name(STREAM);
        let shards = self.wait(call.send()).unwrap().shards.unwrap();
        let range = shards.iter().find(|it| it.shard_id == shard).unwrap();
        let range = range.hash_key_range.as_ref().unwrap();
        let bound = |text: &str| text.parse::<u128>().unwrap();
        let (low, high) = (bound(&range.starting_hash_key), bound(&range.ending_hash_key));
        let middle = low + (high - low) / 2 + 1;
        let call = self.client.split_shard().stream_name(STREAM).shard_to_split(shard);
        self.wait(call.new_starting_hash_key(middle.to_string()).send()).unwrap();
        self.wait_active();
    }

    pub(crate) fn merge(&self, left: &str, right: &str) {
        let call = self.client.merge_shards().stream_name(STREAM).shard_to_merge(left);
        self.wait(call.adjacent_shard_to_merge(right).send()).unwrap();
        self.wait_active();
    }

    pub(crate) fn delete(&self) {
        let call = self.client.delete_stream().stream_name(STREAM).enforce_consumer_deletion(true);
        self.wait(call.send()).unwrap();
        let gone = |server: &Self| {
            let call = server.client.describe_stream_summary().stream_name(STREAM);
            server.wait(call.send()).is_err()
        };
        while !gone(self) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(crate) fn client(url: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .http_client(HttpBuilder::new().build_http())
        .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "tests"))
        .endpoint_url(url);
    Client::from_conf(config.build())
}
