//! A service of canned answers: what no embeddable server does (throttled reads, lag, children told
//! by polling, several pages, contradictions, silence). It speaks just enough HTTP/1.1.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

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
        let started = Instant::now();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || serve(stream, &script, &log, started));
            }
        });
        Self { url, calls }
    }

    /// The calls of one operation so far.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }
}

fn serve(stream: TcpStream, script: &Mutex<Box<Script>>, log: &Mutex<Vec<Call>>, started: Instant) {
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
        };
        // 1775700271 and the seconds since the start.
        let second = 31 + started.elapsed().as_secs();
        let (minute, second) = (4 + second / 60, second % 60);
        let head = format!(
            "HTTP/1.1 {status} X\r\nDate: Thu, 09 Apr 2026 02:{minute:02}:{second:02} GMT\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
            body.len() + missing
        );
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(body.as_bytes()))
            .is_err()
            || missing > 0
        {
            return;
        }
    }
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
