//! Memory and threads of a whole extractor process while its host does not read, as `KAFKA.md`
//! promises them. Peaks are those of the process (`VmHWM`), which is the debug build unless the tests
//! are run with `--release`: its heap is the same as a release's, since librdkafka is compiled alike for
//! both, and its program and stacks are larger, so that what holds there holds for the release.
//!
//! The mock cluster serves every test; with `KAFKA_BOOTSTRAP=host:port` a real broker serves them
//! again, with answers as large as a client may ask for.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where it fails, and says what it skips and measures"
)]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kafka_support/support.rs"]
mod support;

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driver::Host;
use protocol::Code;
use protocol::message::Settings;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};

use support::{OwnTopic, at, key};

const MIB: u64 = 1024 * 1024;

/// The budget where none is set, and the documented one for little memory.
const DEFAULT: u64 = 16 * MIB;
const LOW: u64 = 4 * MIB;

/// Where the records are.
enum Cluster {
    Mock(MockCluster<'static, DefaultProducerContext>),
    Real(String, OwnTopic),
}

impl Cluster {
    /// A mock of so many brokers with one topic.
    fn mock(brokers: i32, partitions: i32) -> Self {
        let cluster = MockCluster::new(brokers).unwrap();
        cluster.create_topic("t", partitions, 1).unwrap();
        Self::Mock(cluster)
    }

    /// A topic on a real broker; `None`: there is none, and the test says so.
    fn real(test: &str, partitions: i32) -> Option<Self> {
        let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP") else {
            eprintln!("skipped: KAFKA_BOOTSTRAP is not set ({test})");
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let config = [("max.message.bytes", "10485760")];
        let topic = OwnTopic::with(&servers, &format!("x-{test}-{now}"), partitions, &config);
        Some(Self::Real(servers, topic))
    }

    fn servers(&self) -> String {
        match self {
            Self::Mock(cluster) => cluster.bootstrap_servers(),
            Self::Real(servers, _) => servers.clone(),
        }
    }

    fn topic(&self) -> &str {
        match self {
            Self::Mock(_) => "t",
            Self::Real(_, topic) => &topic.name,
        }
    }

    fn producer(&self, extra: &[(&str, &str)]) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers()).set("linger.ms", "20");
        config.set("queue.buffering.max.kbytes", "1048576");
        for (key, value) in extra {
            config.set(*key, *value);
        }
        config.create().unwrap()
    }

    /// Adds JSON strings of so many bytes to each partition.
    fn fill(&self, partitions: i32, per_partition: usize, bytes: usize) {
        let producer = self.producer(&[]);
        // Every record is another one, so that nothing could be shared.
        let pad = "x".repeat(bytes.saturating_sub(10));
        for number in 0..per_partition {
            for partition in 0..partitions {
                let value = format!("\"{number:08}{pad}\"");
                send(&producer, self.topic(), partition, value.as_bytes());
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(value);
    while let Err((error, again)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
        producer.poll(Duration::from_millis(10));
        record = again;
    }
}

/// A number of `/proc/PID/status`, in KiB or as a count.
fn status(pid: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// An extractor that has its partitions from their start.
fn assigned(cluster: &Cluster, partitions: i32, config: &Value) -> Host {
    let mut all = json!({
        "connector.class": "kafka",
        "bootstrap.servers": cluster.servers(),
        "topics": cluster.topic(),
    });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let mut host = Host::spawn();
    host.greet();
    host.configure_with(all, json!({}), Settings::default());
    let parts: Vec<_> = (0..partitions).map(|p| (key(cluster.topic(), p), at(0))).collect();
    host.assign(&parts);
    host
}

/// The peak of the process in KiB once it grows no more.
fn settled(host: &Host) -> u64 {
    const QUIET: Duration = Duration::from_millis(1500);
    let (mut peak, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        thread::sleep(Duration::from_millis(50));
        let now = status(host.pid(), "VmHWM");
        if now > peak {
            (peak, since) = (now, Instant::now());
        }
    }
    peak
}

/// How the host stalls.
#[derive(Clone, Copy, Debug)]
enum Stall {
    /// It gives no credit.
    NoCredit,
    /// It gives credit and leaves the pipe unread.
    Unread,
    /// It reads half of the records before it does so.
    UnreadAfterAWhile,
}

/// Stalls in each way; the worst peak stays within `limit_mib`, and the queue was filled.
fn check(
    cluster: &Cluster,
    (partitions, per_partition): (i32, usize),
    memory: u64,
    limit_mib: u64,
) {
    let total = usize::try_from(partitions).unwrap() * per_partition;
    let what = format!("{partitions} partitions of {per_partition} records");
    let config = json!({"kafka.memory.bytes": memory});
    let idle = assigned(cluster, 0, &config);
    settled(&idle);
    let held_idle = status(idle.pid(), "RssAnon");
    drop(idle);
    for stall in [Stall::NoCredit, Stall::Unread, Stall::UnreadAfterAWhile] {
        let mut host = assigned(cluster, partitions, &config);
        let credit = driver::credit(10_000_000);
        match stall {
            Stall::NoCredit => {}
            Stall::Unread => drop((host.send_extract(&credit), host.send_extract(&credit))),
            Stall::UnreadAfterAWhile => {
                let (mut rows, credit) = (0, driver::credit(1000.min(total / 20) as u64));
                while rows < total / 2 {
                    let came = host.extract(&credit).rows.len();
                    assert!(came > 0, "no rows after {rows}");
                    rows += came;
                }
                host.send_extract(&credit);
            }
        }
        let (peak, threads) = (settled(&host), status(host.pid(), "Threads"));
        let held = status(host.pid(), "RssAnon");
        eprintln!(
            "{what}, budget {} MiB, {stall:?}: peak {:.1} MiB (limit {limit_mib}), anonymous {:.1} \
             MiB ({:.1} without a partition), {threads} threads",
            memory / MIB,
            as_mib(peak),
            as_mib(held),
            as_mib(held_idle)
        );
        assert!(peak <= limit_mib * 1024, "{peak} KiB, {what}, {memory}, {stall:?}");
        let is_filled = held * 1024 > held_idle * 1024 + queue_bytes(memory) / 2;
        assert!(is_filled, "{held} KiB, {held_idle} idle: the queue was never filled, {stall:?}");
    }
}

/// Bytes that may wait in the queue, with what a record costs beside its payload (KAFKA.md, Memory).
fn queue_bytes(memory: u64) -> u64 {
    (memory / 4 * 3).min((4 * MIB).max(memory / 4))
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
fn as_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The documented peaks at 16 partitions, of the build that is tested.
fn sixteen_partitions(cluster: &Cluster, bytes: usize, per_partition: usize, limits_mib: [u64; 2]) {
    cluster.fill(16, per_partition, bytes);
    for (memory, limit) in [DEFAULT, LOW].into_iter().zip(limits_mib) {
        check(cluster, (16, per_partition), memory, limit + DEBUG_MIB);
    }
}

/// What the debug build has more than a release from its first moment on: 12.6 MB against 6.4.
const DEBUG_MIB: u64 = if cfg!(debug_assertions) { 6 } else { 0 };

/// Budget and 32 MiB, of the build that is tested.
const fn budget_and_32(memory: u64) -> u64 {
    memory / MIB + 32 + DEBUG_MIB
}

/// Budget and 32 MiB at 200 partitions.
fn two_hundred_partitions(cluster: &Cluster, bytes: usize, per_partition: usize) {
    cluster.fill(200, per_partition, bytes);
    for memory in [DEFAULT, LOW] {
        check(cluster, (200, per_partition), memory, budget_and_32(memory));
    }
}

#[test]
fn f23_sixteen_partitions_of_1_kb_stay_within_64_mb() {
    sixteen_partitions(&Cluster::mock(1, 16), 1000, 3000, [64, 32]);
    if let Some(real) = Cluster::real("memory-1k", 16) {
        sixteen_partitions(&real, 1000, 5000, [64, 32]);
    }
}

#[test]
fn f23_sixteen_partitions_of_100_b_stay_within_160_mb() {
    sixteen_partitions(&Cluster::mock(1, 16), 100, 20_000, [160, 80]);
    if let Some(real) = Cluster::real("memory-100", 16) {
        sixteen_partitions(&real, 100, 40_000, [160, 80]);
    }
}

#[test]
fn f23_two_hundred_partitions_stay_within_the_budget_and_32_mb() {
    two_hundred_partitions(&Cluster::mock(1, 200), 1000, 400);
    if let Some(real) = Cluster::real("memory-200", 200) {
        two_hundred_partitions(&real, 1000, 400);
    }
}

#[test]
fn f23_two_hundred_partitions_of_900_kb_records_stay_within_the_budget_and_32_mb() {
    if let Some(real) = Cluster::real("memory-large", 200) {
        two_hundred_partitions(&real, 900_000, 2);
    }
}

/// One client per process: a thread for each broker and a fixed number beside them, however many
/// partitions there are.
#[test]
fn f24_threads_grow_with_brokers_only_and_by_one() {
    let mut counts = Vec::new();
    for (brokers, partitions) in [(1, 1), (1, 200), (12, 1), (12, 200)] {
        let cluster = Cluster::mock(brokers, partitions);
        cluster.fill(partitions, 20, 1000);
        let host = assigned(&cluster, partitions, &json!({}));
        settled(&host);
        let threads = status(host.pid(), "Threads");
        eprintln!("{brokers} brokers, {partitions} partitions: {threads} threads");
        // Ours: main, reader, writer, watchdog, monitor. librdkafka's: main, the bootstrap
        // address, one internal broker.
        let brokers = u64::try_from(brokers).unwrap();
        assert!(threads <= brokers + FIXED_THREADS, "{threads} threads for {brokers} brokers");
        counts.push(threads);
    }
    let pairs: Vec<_> = counts.chunks(2).collect();
    assert!(pairs.iter().all(|pair| pair.first() == pair.last()), "with partitions: {counts:?}");
}

/// Threads of a process beside one for each broker.
const FIXED_THREADS: u64 = 10;

/// Brokers hold fetches of their own under way; the budget holds all the same.
#[test]
fn f23_many_brokers_share_the_budget() {
    let cluster = Cluster::mock(8, 64);
    cluster.fill(64, 1500, 1000);
    check(&cluster, (64, 1500), DEFAULT, budget_and_32(DEFAULT));
}

/// Records that are larger than the whole budget pass, one after the other.
fn large_records_pass(cluster: &Cluster, partitions: i32, bytes: usize, what: &str) {
    let large = format!("\"{}\"", "x".repeat(bytes - 2));
    let producer = cluster.producer(&[("message.max.bytes", "10485760")]);
    for partition in 0..partitions {
        for value in ["1", &large] {
            send(&producer, cluster.topic(), partition, value.as_bytes());
            producer.flush(Duration::from_secs(30)).unwrap();
        }
    }
    let mut host = assigned(cluster, partitions, &json!({"kafka.memory.bytes": MIB}));
    let mut lens = Vec::new();
    let count = usize::try_from(partitions).unwrap();
    while lens.len() < 2 * count {
        let batch = host.extract(&driver::credit(10));
        lens.extend(batch.rows.iter().map(|row| row.record.len()));
    }
    let peak = status(host.pid(), "VmHWM");
    eprintln!("{what}: {bytes} B in a budget of 1 MiB: peak {:.1} MiB", as_mib(peak));
    lens.sort_unstable();
    assert_eq!(lens, [vec![1; count], vec![bytes; count]].concat());
    assert!(peak <= 64 * 1024, "{peak} KiB");
}

#[test]
fn f28_a_record_of_eight_mebibytes_passes_a_small_budget_alone() {
    // The mock keeps 5 MiB of each partition.
    large_records_pass(&Cluster::mock(1, 3), 3, 4_500_000, "mock");
    if let Some(real) = Cluster::real("memory-8m", 3) {
        large_records_pass(&real, 3, 8 * 1024 * 1024, "real");
    }
}

/// A record of 8 MiB that zstd packs to about a half of `random` bytes.
fn packable(random: usize) -> String {
    const BYTES: usize = 8 * 1024 * 1024;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(BYTES + 16);
    text.push('"');
    while text.len() < random {
        // Xorshift: the same text in every run, and zstd finds nothing in it but hex digits.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").unwrap();
    }
    text.extend(std::iter::repeat_n('x', BYTES.saturating_sub(text.len() + 1)));
    text.truncate(BYTES - 1);
    text.push('"');
    text
}

/// Batches of zstd mostly do not say what they hold, and the client guesses by their packed length,
/// in steps of three: whatever that length is, a record of 8 MiB passes.
#[test]
fn f28_a_packed_record_of_eight_mebibytes_passes_however_well_it_packs() {
    const RECORDS: usize = 16;
    let cluster = Cluster::mock(1, 16);
    let packs = [("compression.codec", "zstd"), ("message.max.bytes", "10485760")];
    let producer = cluster.producer(&packs);
    for index in 0..RECORDS {
        // Packed, a sixteenth of 4 MiB more each time; the mock keeps 5 MiB of each partition.
        let value = packable((index + 1) * 512 * 1024);
        send(&producer, "t", i32::try_from(index).unwrap(), value.as_bytes());
        producer.flush(Duration::from_secs(30)).unwrap();
    }
    for memory in [MIB, LOW] {
        let mut host = assigned(&cluster, 16, &json!({"kafka.memory.bytes": memory}));
        let mut lens = Vec::new();
        while lens.len() < RECORDS {
            let batch = host.extract(&driver::credit(10));
            lens.extend(batch.rows.iter().map(|row| row.record.len()));
        }
        let peak = status(host.pid(), "VmHWM");
        eprintln!("budget {} MiB: peak {:.1} MiB", memory / MIB, as_mib(peak));
        // No limit of the peak here: the mock puts several of them into one answer.
        assert_eq!(lens, vec![8 * 1024 * 1024; RECORDS]);
    }
}

/// Bytes that the client tries to unpack a batch into, at most: three times what it may hold.
fn unpacking(memory: u64) -> u64 {
    3 * (2 * memory).max(9 * MIB)
}

/// The bomb is an error with its place and what to do, and takes no more memory than is documented.
/// `offset` is the offset of its batch.
fn bomb_is_refused(cluster: &Cluster, budgets: &[u64], offset: u64, what: &str) {
    for &memory in budgets {
        let mut host = assigned(cluster, 1, &json!({"kafka.memory.bytes": memory}));
        let mut rows = 0;
        let failure = loop {
            host.send_extract(&driver::credit(1000));
            match host.try_batch() {
                Ok(batch) => rows += batch.end.rows,
                Err(failure) => break failure,
            }
            assert!(rows <= offset, "the bomb was delivered");
        };
        let peak = status(host.pid(), "VmHWM");
        let budget = memory / MIB;
        eprintln!("{what}, budget {budget} MiB: peak {:.1} MiB; {failure}", as_mib(peak));
        assert_eq!(rows, offset, "everything before it, nothing behind it");
        assert_eq!(failure.code, Code::DecodeFailed, "{failure}");
        assert_eq!(failure.detail.get("offset"), Some(&json!(offset)), "{failure}");
        let place = format!("{} partition 0", cluster.topic());
        for part in [place.as_str(), "does not decompress", "receive.message.max.bytes"] {
            assert!(failure.message.contains(part), "{part:?} is not in: {failure}");
        }
        assert!(!failure.retryable, "{failure}");
        let allowed = budget_and_32(memory) * 1024 + unpacking(memory) / 1024;
        assert!(peak <= allowed, "{peak} KiB of {allowed}");
    }
}

/// One answer that is larger than the client takes is told with what to do, though no partition can
/// be named.
#[test]
fn f28_an_answer_larger_than_the_client_accepts_is_an_error() {
    let cluster = Cluster::mock(1, 1);
    cluster.fill(1, 1, 900_000);
    let config =
        json!({"kafka.memory.bytes": MIB, "properties.receive.message.max.bytes": 600_000});
    let mut host = assigned(&cluster, 1, &config);
    host.send_extract(&driver::credit(1000));
    let failure = loop {
        match host.try_batch() {
            Ok(batch) => {
                assert_eq!(batch.end.rows, 0);
                host.send_extract(&driver::credit(1000));
            }
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code, Code::BufferLimit, "{failure}");
    assert!(failure.message.contains("raise properties.receive.message.max.bytes"), "{failure}");
}

#[test]
fn f28_a_bomb_of_zstd_is_an_error_with_its_offset_and_no_memory() {
    let cluster = Cluster::mock(1, 1);
    let small = cluster.producer(&[]);
    for number in 0..3 {
        send(&small, "t", 0, number.to_string().as_bytes());
    }
    small.flush(Duration::from_secs(10)).unwrap();
    let packs = [("compression.codec", "zstd"), ("message.max.bytes", "300000000")];
    let producer = cluster.producer(&packs);
    send(&producer, "t", 0, &vec![b'0'; 200_000_000]);
    producer.flush(Duration::from_secs(60)).unwrap();
    send(&small, "t", 0, b"5");
    small.flush(Duration::from_secs(10)).unwrap();
    bomb_is_refused(&cluster, &[DEFAULT, LOW], 3, "a bomb of librdkafka's");
}

#[test]
fn f28_a_bomb_of_kafkas_own_client_is_an_error_with_its_offset_and_no_memory() {
    let Some(cluster) = Cluster::real("memory-bomb", 1) else { return };
    let mut client = xtask::kafka::Client::start(&cluster.servers()).unwrap();
    let topic = cluster.topic();
    client.call(&format!("produce {topic} count=2 batch=1")).unwrap();
    client.call(&format!("produce {topic} count=1 codec=zstd size=50000000")).unwrap();
    client.call(&format!("produce {topic} count=1")).unwrap();
    // Kafka's client makes no larger one in its memory, and the default budget has room for this.
    bomb_is_refused(&cluster, &[LOW], 2, "a bomb of Kafka's own client");
}
