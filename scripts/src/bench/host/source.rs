//! Reading any source from its start, by its CONFIG. May touch what `host` may.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use protocol::avro::Marker;
use protocol::message::{Configure, GetOffsets, Settings, Start};
use protocol::session::host::Event;
use serde_json::{Map, Value};

use super::Host;

impl Host {
    /// Has it read every split of what `config` describes from the start.
    pub(in crate::bench) fn assign_source(&mut self, config: Map<String, Value>) -> Result<()> {
        let credentials = Map::new();
        let settings = Settings { pipeline: "bench".to_owned(), ..Settings::default() };
        let sent = self.session.configure(&Configure { config, credentials, settings });
        self.ask(sent, |event| matches!(event, Event::Configured(_)))?;
        let sent = self.session.discover();
        let found = self.ask(sent, |event| matches!(event, Event::Discovered(_)))?;
        let Event::Discovered(found) = found else { bail!("no answer to DISCOVER") };
        let keys = found.splits.iter().map(|split| split.key.clone()).collect();
        let sent = self.session.get_offsets(&GetOffsets { start: Start::Earliest, keys });
        let offsets = self.ask(sent, |event| matches!(event, Event::Offsets(_)))?;
        let Event::Offsets(offsets) = offsets else { bail!("no answer to GET_OFFSETS") };
        let parts: Vec<_> =
            offsets.offsets.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let sent = self.session.assign(1, Marker(*b"marker of bench!"), &found.incarnation, &parts);
        self.ask(sent, |event| matches!(event, Event::Assigned(_)))?;
        Ok(())
    }

    /// Reads on until a batch ends at the end of every split, or `patience` is over, which is an error.
    pub(in crate::bench) fn catch_up(&mut self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Event::BatchEnd(batch) = self.event()? {
                if batch.end.caught_up {
                    return Ok(());
                }
                self.credit()?;
            }
        }
        bail!("the extractor did not come to the end within {patience:?}")
    }
}
