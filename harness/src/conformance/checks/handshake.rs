//! The start of the process, HELLO, and the order of requests (`SPEC.md` 1, 4.1, 7.1).

use protocol::Code;
use protocol::message::{Hello, WireLimits};
use protocol::wire::{FrameSealer, Kind};
use serde_json::json;

use super::core;
use super::shared::{frame, hello_frame, hello_json, raw_configured, refuses, refuses_on};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, demand, equal};
use crate::conformance::peer::hello;
use crate::conformance::process::{Ended, plain};

pub(super) const CHECKS: &[Check] = &[
    core("H01", "hello_basic", "4.1", "HELLO is answered by HELLO_OK", hello_basic).bare(),
    core(
        "H02",
        "hello_picks_one_offered_version",
        "4.1",
        "`protocol` of HELLO_OK is exactly one of the offered versions, whatever else was offered",
        hello_picks_one_offered_version,
    )
    .bare(),
    core(
        "H03",
        "hello_future_version_only",
        "4.1",
        "without a common version the answer is a fatal ERROR VERSION_MISMATCH and exit code 76",
        hello_future_version_only,
    )
    .bare(),
    core(
        "H04",
        "hello_features_subset",
        "7.3 H2",
        "HELLO_OK picks a version, features and a max_frame that were offered",
        hello_features_subset,
    )
    .bare()
    .owns(&["H2"]),
    core(
        "H05",
        "hello_unknown_fields_ignored",
        "3",
        "receivers ignore fields that they do not know",
        hello_unknown_fields_ignored,
    )
    .bare(),
    core(
        "H06",
        "first_frame_not_hello",
        "7.1",
        "before HELLO every other request is UNEXPECTED_MESSAGE",
        first_frame_not_hello,
    )
    .bare(),
    core("H07", "hello_twice", "7.1", "a second HELLO is UNEXPECTED_MESSAGE", hello_twice).bare(),
    core(
        "H08",
        "input_that_is_no_pipe",
        "1.3",
        "without a pipe as input the program explains itself on stderr, writes nothing to stdout, exit code 64",
        input_that_is_no_pipe,
    )
    .bare(),
    core(
        "H09",
        "version_flag_prints_one_line",
        "1.3",
        "--version prints one line with `s2x/1` and exits 0",
        version_flag_prints_one_line,
    )
    .bare(),
    core(
        "H11",
        "unknown_argument",
        "1.2",
        "an argument that is not in the list is exit code 64, without a word on stdout",
        unknown_argument,
    )
    .bare(),
    core(
        "H12",
        "known_arguments",
        "1.2",
        "--log-level, --pipeline, --task and --dumpable are taken",
        known_arguments,
    )
    .bare(),
    core(
        "H13",
        "requests_out_of_state",
        "7.2 X1",
        "a request that may not come in this state is UNEXPECTED_MESSAGE",
        requests_out_of_state,
    ),
    core(
        "H14",
        "configure_twice",
        "1.4",
        "one process has one configuration: a second CONFIGURE is UNEXPECTED_MESSAGE",
        configure_twice,
    ),
];

fn hello_basic(bench: &mut Bench) -> Done {
    let ok = bench.start()?.greet()?;
    equal("protocol", &ok.protocol, &1)?;
    demand(!ok.extractor.name.is_empty(), "a name of the program", || "an empty one".to_owned())
}

fn hello_picks_one_offered_version(bench: &mut Bench) -> Done {
    let offer = Hello { protocols: vec![7, 1, 3], ..hello() };
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &serde_json::to_value(offer).unwrap_or_default())?;
    let ok: protocol::message::HelloOk =
        crate::conformance::peer::read(&peer.raw_answer(Kind::HelloOk)?)?;
    equal("protocol, where 7, 1 and 3 were offered,", &ok.protocol, &1)
}

fn hello_future_version_only(bench: &mut Bench) -> Done {
    let mut offer = hello_json();
    if let Some(offer) = offer.as_object_mut() {
        offer.insert("protocols".to_owned(), json!([2, 9]));
    }
    let bytes = frame(&mut FrameSealer::default(), Kind::Hello, offer.to_string().as_bytes());
    refuses(bench, &bytes, Code::VersionMismatch, "HELLO that offers versions 2 and 9")
}

fn hello_features_subset(bench: &mut Bench) -> Done {
    let features = vec!["x-unheard-of".to_owned()];
    let limits = WireLimits { max_frame: 1 << 20 };
    let offer = Hello { features, limits, ..hello() };
    let ok = bench.start()?.greet_with(&offer)?;
    let known = ok.features.iter().all(|name| name == "x-unheard-of");
    demand(known, "features out of [\"x-unheard-of\"]", || format!("{:?}", ok.features))
}

fn hello_unknown_fields_ignored(bench: &mut Bench) -> Done {
    let mut offer = hello_json();
    if let Some(offer) = offer.as_object_mut() {
        offer.insert("deadlines".to_owned(), json!({"hello_ms": 5000}));
    }
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &offer)?;
    peer.raw_answer(Kind::HelloOk).map(drop)
}

fn first_frame_not_hello(bench: &mut Bench) -> Done {
    for kind in [Kind::Check, Kind::Ping, Kind::Stop, Kind::Cancel] {
        let bytes = frame(&mut FrameSealer::default(), kind, b"{}");
        let what = format!("{} as the first frame", kind.name());
        refuses(bench, &bytes, Code::UnexpectedMessage, &what)?;
    }
    Ok(())
}

fn hello_twice(bench: &mut Bench) -> Done {
    let mut sealer = FrameSealer::default();
    let bytes = [hello_frame(&mut sealer), hello_frame(&mut sealer)].concat();
    refuses(bench, &bytes, Code::UnexpectedMessage, "a second HELLO")
}

fn input_that_is_no_pipe(bench: &mut Bench) -> Done {
    let ran = plain(&bench.command, &[], false)?;
    let due = "exit code 64 with /dev/null as input";
    demand(ran.ended == Ended::Code(64), due, || ran.ended.to_string())?;
    demand(ran.stdout.is_empty(), "nothing on stdout", || ran.stdout.clone())?;
    demand(!ran.stderr.is_empty(), "an explanation on stderr", || "nothing".to_owned())
}

fn version_flag_prints_one_line(bench: &mut Bench) -> Done {
    let ran = plain(&bench.command, &["--version"], true)?;
    demand(ran.ended == Ended::Code(0), "exit code 0", || ran.ended.to_string())?;
    let is_right = ran.stdout.lines().count() == 1 && ran.stdout.contains("s2x/1");
    demand(is_right, "one line with s2x/1", || ran.stdout.clone())
}

fn unknown_argument(bench: &mut Bench) -> Done {
    let ran = plain(&bench.command, &["--config", "x"], true)?;
    let due = "exit code 64 with --config x";
    demand(ran.ended == Ended::Code(64), due, || ran.ended.to_string())?;
    demand(ran.stdout.is_empty(), "nothing on stdout", || ran.stdout.clone())
}

fn known_arguments(bench: &mut Bench) -> Done {
    let args = ["--log-level", "warn", "--pipeline", "orders", "--task", "3", "--dumpable"];
    let start = crate::conformance::bench::Start { args: &args, ..Default::default() };
    bench.start_with(start)?.greet().map(drop)
}

fn requests_out_of_state(bench: &mut Bench) -> Done {
    let extract = json!({"max_rows": 1, "max_bytes": 1, "max_interval_ms": 1});
    let assign = super::shared::assign_json(&[("p0", 0)]);
    for (kind, payload) in [
        (Kind::Check, json!({})),
        (Kind::Discover, json!({})),
        (Kind::GetOffsets, json!({"start": "earliest", "keys": []})),
        (Kind::Assign, assign),
        (Kind::Extract, extract.clone()),
        (Kind::Commit, json!({"batch": 1})),
    ] {
        let mut peer = bench.start()?;
        peer.raw(Kind::Hello, 0, &hello_json())?;
        peer.raw_answer(Kind::HelloOk)?;
        peer.raw(kind, 0, &payload)?;
        let what = format!("{} before CONFIGURE", kind.name());
        refuses_on(&mut peer, Code::UnexpectedMessage, &what)?;
    }
    let mut peer = raw_configured(bench, &json!({}))?;
    peer.raw(Kind::Extract, 0, &extract)?;
    refuses_on(&mut peer, Code::UnexpectedMessage, "EXTRACT before ASSIGN").map(drop)
}

fn configure_twice(bench: &mut Bench) -> Done {
    let mut peer = raw_configured(bench, &json!({}))?;
    peer.raw(Kind::Configure, 0, &json!({"config": {"connector.class": "test"}}))?;
    refuses_on(&mut peer, Code::UnexpectedMessage, "a second CONFIGURE").map(drop)
}
