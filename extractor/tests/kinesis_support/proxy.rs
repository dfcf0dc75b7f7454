//! A proxy between the source and a server of its protocol, that does to calls and answers what no
//! server to be had does by itself: throttles reads, lets iterators expire, hides children, ends
//! shards that are open, loses answers.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it passes.
    None,
    /// 400 with this error; the server never sees the call.
    Error(&'static str),
    /// This status without a body; the server never sees the call.
    Status(u16),
    /// The connection ends before the server sees the call.
    Reset,
    /// The server answers, and the answer is lost half way.
    LostAnswer,
    /// GetRecords: no iterator follows and no children are told, although the shard may be open.
    FalseEnd,
    /// GetRecords: the children are left out of the answer.
    NoChildren,
    /// GetRecords: no records yet, with the iterator that was given, far from the end.
    EmptyPage,
}

type Script = dyn FnMut(&str, &Value) -> Fault + Send;

/// See the file. It ends with the process.
pub(crate) struct Proxy {
    pub(crate) url: String,
    done: Arc<Mutex<Vec<(String, Fault)>>>,
}

impl Proxy {
    /// Stands before the server at `upstream` (`http://HOST:PORT`); `script` sees each call.
    pub(crate) fn start(
        upstream: &str,
        script: impl FnMut(&str, &Value) -> Fault + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let done: Arc<Mutex<Vec<(String, Fault)>>> = Arc::default();
        let log = Arc::clone(&done);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (upstream, script, log) =
                    (upstream.clone(), Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || serve(stream, &upstream, &script, &log));
            }
        });
        Self { url, done }
    }

    /// The faults so far, in order.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let done = self.done.lock().unwrap();
        done.iter().map(|(_, fault)| *fault).filter(|fault| *fault != Fault::None).collect()
    }
}

struct Call {
    head: String,
    operation: String,
    body: Vec<u8>,
}

fn serve(
    mut client: TcpStream,
    upstream: &str,
    script: &Mutex<Box<Script>>,
    log: &Mutex<Vec<(String, Fault)>>,
) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while let Some(call) = read_call(&mut reader) {
        let input: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let fault = script.lock().unwrap()(&call.operation, &input);
        log.lock().unwrap().push((call.operation.clone(), fault));
        let answer = match fault {
            Fault::Reset => return,
            Fault::Status(status) => respond(status, &[], ""),
            Fault::Error(name) => {
                let body = json!({"__type": name, "message": "said so by the proxy"}).to_string();
                respond(400, body.as_bytes(), "")
            }
            Fault::EmptyPage => {
                let iterator = input.get("ShardIterator");
                let body = json!({
                    "Records": [], "NextShardIterator": iterator, "MillisBehindLatest": 60_000,
                });
                respond(200, body.to_string().as_bytes(), "")
            }
            Fault::None | Fault::LostAnswer | Fault::FalseEnd | Fault::NoChildren => {
                let Some((status, date, body)) = forward(upstream, &call) else { return };
                let body = change(fault, status, body);
                respond(status, &body, &date)
            }
        };
        if fault == Fault::LostAnswer {
            let half = answer.len() / 2;
            let _gone = client.write_all(answer.get(..half).unwrap());
            return;
        }
        if client.write_all(&answer).is_err() {
            return;
        }
    }
}

fn change(fault: Fault, status: u16, body: Vec<u8>) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<Value>(&body) else { return body };
    let Some(map) = json.as_object_mut().filter(|_| status == 200) else { return body };
    if matches!(fault, Fault::FalseEnd | Fault::NoChildren) {
        map.remove("ChildShards");
    }
    if fault == Fault::FalseEnd {
        map.remove("NextShardIterator");
    }
    json.to_string().into_bytes()
}

fn respond(status: u16, body: &[u8], date: &str) -> Vec<u8> {
    let date = if date.is_empty() { String::new() } else { format!("Date: {date}\r\n") };
    let head = format!(
        "HTTP/1.1 {status} X\r\n{date}Content-Type: application/x-amz-json-1.1\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Status, `Date` and body of the server's answer.
fn forward(upstream: &str, call: &Call) -> Option<(u16, String, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(call.head.as_bytes()).ok()?;
    server.write_all(&call.body).ok()?;
    let mut reader = BufReader::new(server);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let (mut date, mut length) = (String::new(), 0);
    for (name, value) in headers(&mut reader)? {
        match name.as_str() {
            "date" => date = value,
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((status, date, body))
}

fn read_call(reader: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut head = String::new();
    reader.read_line(&mut head).ok().filter(|count| *count > 0)?;
    let (mut operation, mut length) = (String::new(), 0);
    for (name, value) in headers(reader)? {
        match name.as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-amz-target" => value.rsplit('.').next()?.clone_into(&mut operation),
            "connection" => continue,
            _ => {}
        }
        for part in [&name, ": ", &value, "\r\n"] {
            head += part;
        }
    }
    head += "connection: close\r\n\r\n";
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Call { head, operation, body })
}

/// The lines of a head, names in small letters.
fn headers(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else { return Some(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}
