//! A service of canned answers: what no embeddable server does (throttled reads, lag, children told
//! by polling, several pages, contradictions, silence). It speaks just enough HTTP/1.1.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The answer to one call.
pub(crate) enum Answer {
    /// 200 with this body.
    Ok(Value),
    /// 200 with this text.
    Text(Arc<str>),
    /// 200 with the first bytes of this body; then the connection ends.
    Cut(Value),
    /// 400 with this error.
    Error(&'static str),
    /// This status without a body that says anything.
    Status(u16),
    /// The connection ends without an answer.
    Reset,
    /// No answer for ever.
    Silence,
    /// A stream of events; it ends well after the last one.
    Events(Vec<Event>),
}

/// What happens on a stream of events.
pub(crate) enum Event {
    /// An event with this payload.
    Frame(Value),
    /// The service says this error.
    Error(&'static str),
    /// Half of an event, and the end of the connection.
    Half(Value),
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing for ever.
    Silence,
}

/// One call as it came: operation, input, who signed it, when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) input: Value,
    /// The headers `authorization` and `x-amz-security-token`.
    pub(crate) signed: String,
    pub(crate) token: String,
    pub(crate) at: Instant,
}

/// See the file. It ends with the process; connections are its only threads.
pub(crate) struct Canned {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    events: Arc<AtomicUsize>,
}

type Script = dyn FnMut(&str, &Value) -> Option<Answer> + Send;

impl Canned {
    /// `script` answers calls; what it leaves is answered as a stream of one open shard would be.
    pub(crate) fn start(
        script: impl FnMut(&str, &Value) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let log = Arc::clone(&calls);
        let events: Arc<AtomicUsize> = Arc::default();
        let sent = Arc::clone(&events);
        let started = Instant::now();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                let sent = Arc::clone(&sent);
                thread::spawn(move || serve(stream, &script, &log, &sent, started));
            }
        });
        Self { url, calls, events }
    }

    /// Events of all streams that were written so far.
    pub(crate) fn events(&self) -> usize {
        self.events.load(Ordering::SeqCst)
    }

    /// The calls of one operation so far.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }
}

fn serve(
    stream: TcpStream,
    script: &Mutex<Box<Script>>,
    log: &Mutex<Vec<Call>>,
    sent: &AtomicUsize,
    started: Instant,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(call) = request(&mut reader) {
        let (operation, input) = (call.operation.clone(), call.input.clone());
        log.lock().unwrap().push(call);
        let answer = script.lock().unwrap()(&operation, &input);
        let answer = answer.unwrap_or_else(|| usual(&operation, &input));
        let mut missing = 0;
        let (status, body): (u16, Arc<str>) = match answer {
            Answer::Ok(body) => (200, body.to_string().into()),
            Answer::Text(body) => (200, body),
            Answer::Cut(body) => {
                let mut body = body.to_string();
                missing = body.len() / 2;
                body.truncate(body.len() - missing);
                (200, body.into())
            }
            Answer::Error(name) => {
                let body = json!({"__type": name, "message": "said so by the test"});
                (400, body.to_string().into())
            }
            Answer::Status(status) => (status, "".into()),
            Answer::Reset => return,
            Answer::Silence => loop {
                thread::park();
            },
            Answer::Events(events) => {
                let whole = stream_events(&mut writer, events, sent).is_ok();
                if whole {
                    continue;
                }
                return;
            }
        };
        // 1775700271 and the seconds since the start.
        let second = 31 + started.elapsed().as_secs();
        let (minute, second) = (4 + second / 60, second % 60);
        let head = format!(
            "HTTP/1.1 {status} X\r\nDate: Thu, 09 Apr 2026 02:{minute:02}:{second:02} GMT\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
            body.len() + missing
        );
        // In one piece, or the second one waits for the client's acknowledgement of the first.
        if writer.write_all((head + &body).as_bytes()).is_err() || missing > 0 {
            return;
        }
    }
}

/// Writes a chunked answer, one event in a chunk.
fn stream_events(
    writer: &mut TcpStream,
    events: Vec<Event>,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 X\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes())?;
    let mut chunk = |bytes: &[u8]| -> std::io::Result<()> {
        let mut whole = format!("{:x}\r\n", bytes.len()).into_bytes();
        whole.extend_from_slice(bytes);
        whole.extend_from_slice(b"\r\n");
        writer.write_all(&whole)
    };
    chunk(&frame(&[(":message-type", "event"), (":event-type", "initial-response")], b"{}"))?;
    let event = |payload: &Value| {
        let headers = [(":message-type", "event"), (":event-type", "SubscribeToShardEvent")];
        let kind = (":content-type", "application/json");
        frame(&[headers[0], headers[1], kind], payload.to_string().as_bytes())
    };
    for it in events {
        match it {
            Event::Frame(payload) => chunk(&event(&payload))?,
            Event::Error(name) => {
                let headers = [(":message-type", "exception"), (":exception-type", name)];
                chunk(&frame(&headers, br#"{"message":"said so by the test"}"#))?;
            }
            Event::Half(payload) => {
                let whole = event(&payload);
                chunk(&whole[..whole.len() / 2])?;
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            Event::Pause(time) => thread::sleep(time),
            Event::Silence => loop {
                thread::park();
            },
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    chunk(b"")
}

/// A message of `application/vnd.amazon.eventstream`: two lengths, their checksum, headers, payload,
/// and the checksum of all.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for (name, value) in headers {
        const STRING: u8 = 7;
        coded.push(u8::try_from(name.len()).unwrap());
        coded.extend_from_slice(name.as_bytes());
        coded.push(STRING);
        coded.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        coded.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut whole = length(16 + coded.len() + payload.len()).to_vec();
    whole.extend_from_slice(&length(coded.len()));
    whole.extend_from_slice(&crc32(&whole).to_be_bytes());
    whole.extend_from_slice(&coded);
    whole.extend_from_slice(payload);
    whole.extend_from_slice(&crc32(&whole).to_be_bytes());
    whole
}

/// The checksum of gzip.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let (mut table, mut at) = ([0; 16], 0_u32);
        while at < 16 {
            let (mut entry, mut bit) = (at, 0);
            while bit < 4 {
                entry = if entry & 1 == 1 { 0xedb8_8320 ^ (entry >> 1) } else { entry >> 1 };
                bit += 1;
            }
            table[at as usize] = entry;
            at += 1;
        }
        table
    };
    let half = |crc: u32, bits: u32| TABLE[((crc ^ bits) & 15) as usize] ^ (crc >> 4);
    let fold = |crc, byte: &u8| half(half(crc, u32::from(*byte)), u32::from(*byte) >> 4);
    !bytes.iter().fold(!0, fold)
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Call> {
    let (operation, input) = (String::new(), Value::Null);
    let (signed, token) = (String::new(), String::new());
    let mut call = Call { operation, input, signed, token, at: Instant::now() };
    let mut length = 0;
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-amz-target" => call.operation = value.rsplit('.').next()?.to_owned(),
            "authorization" => call.signed = value.to_owned(),
            "x-amz-security-token" => call.token = value.to_owned(),
            _ => continue,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    call.input = serde_json::from_slice(&body).ok()?;
    call.at = Instant::now();
    Some(call)
}

/// What an open stream of one empty shard answers.
fn usual(operation: &str, input: &Value) -> Answer {
    Answer::Ok(match operation {
        "DescribeStreamSummary" => summary(),
        "ListShards" => json!({"Shards": [shard_json(0, None, false)]}),
        "GetShardIterator" => json!({"ShardIterator": format!("of {input}")}),
        "GetRecords" => page(&[], 0),
        "DescribeStreamConsumer" => json!({"ConsumerDescription": consumer("ACTIVE")}),
        other => panic!("nobody needs {other}"),
    })
}

pub(crate) fn summary() -> Value {
    json!({"StreamDescriptionSummary": {
        "StreamName": "my-kinesis-stream",
        "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/my-kinesis-stream",
        "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "OpenShardCount": 1,
        "StreamCreationTimestamp": 1_775_600_000.5, "EnhancedMonitoring": [],
    }})
}

/// The ARN of the consumer that is there.
pub(crate) const CONSUMER: &str =
    "arn:aws:kinesis:us-east-1:000000000000:stream/my-kinesis-stream/consumer/c:1775600000";

pub(crate) fn consumer(status: &str) -> Value {
    json!({
        "ConsumerName": "c", "ConsumerARN": CONSUMER, "ConsumerStatus": status,
        "ConsumerCreationTimestamp": 1_775_600_000.5,
        "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/my-kinesis-stream",
    })
}

pub(crate) fn shard_json(number: u32, parent: Option<u32>, closed: bool) -> Value {
    let mut range = json!({"StartingSequenceNumber": "1"});
    if closed {
        range["EndingSequenceNumber"] = json!("99999");
    }
    let mut shard = json!({
        "ShardId": format!("shardId-{number:012}"),
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
        "SequenceNumberRange": range,
    });
    if let Some(parent) = parent {
        shard["ParentShardId"] = json!(format!("shardId-{parent:012}"));
    }
    shard
}

/// An event with these records, after which reading goes on at `next`.
pub(crate) fn event(numbers: &[u32], next: u32, behind_ms: u64) -> Event {
    let mut payload = page(numbers, behind_ms);
    payload.as_object_mut().unwrap().remove("NextShardIterator");
    payload["ContinuationSequenceNumber"] = json!(next.to_string());
    Event::Frame(payload)
}

/// A page of records with these numbers, whose payload is the number.
pub(crate) fn page(numbers: &[u32], behind_ms: u64) -> Value {
    use base64::Engine;
    let record = |number: &u32| {
        let data = base64::engine::general_purpose::STANDARD.encode(number.to_string());
        json!({
            "SequenceNumber": number.to_string(), "PartitionKey": "k", "Data": data,
            "ApproximateArrivalTimestamp": 1_775_700_271.554,
        })
    };
    json!({
        "Records": numbers.iter().map(record).collect::<Vec<_>>(),
        "NextShardIterator": format!("next of {numbers:?}"),
        "MillisBehindLatest": behind_ms,
    })
}
