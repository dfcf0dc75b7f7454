//! The one thread that writes to the host. It numbers frames and finishes their checksums in the
//! order in which it writes them.

use std::fs::File;
use std::io::ErrorKind;

use protocol::wire::FrameSealer;
use protocol::{Class, Failure};

use super::{Link, os};

/// Writes frames until the process ends.
pub(super) fn run(link: &Link, to_host: &File) {
    let mut sealer = FrameSealer::default();
    loop {
        let mut frame = link.outbox.next();
        let length = u32::try_from(frame.payload_len()).unwrap_or(u32::MAX);
        let header = sealer.seal(&frame.head, length, frame.crc());
        if let Err(error) = os::write_whole(to_host, frame.whole(header)) {
            end(link, &error);
        }
        link.outbox.written(frame);
    }
}

/// A host that is gone is no error; it will read nothing that this process could say.
fn end(link: &Link, error: &std::io::Error) -> ! {
    if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
        os::exit_now(0);
    }
    let text = format!("cannot write to the host: {error}");
    let failure = Failure::new(protocol::Code::Bug, text);
    link.stderr.say(&format!("fatal: {failure}"));
    os::exit_now(Class::Internal.exit_code())
}
