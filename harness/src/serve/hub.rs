//! What all connections of a server share: the pipelines that run, and the list of who is there.
//!
//! May touch: what its parts do.

use std::time::Instant;

use super::Options;
use super::clients::Clients;
use super::connection::Waits;
use super::patience::Patience;
use crate::report::{Report, Style, Verbosity};
use crate::run::Control;
use crate::sql::{Background, HostAccess, Session, Wishes};

/// What all connections share.
pub(super) struct Hub {
    pub(super) options: Options,
    /// What the server calls its version.
    pub(super) version: String,
    pub(super) control: Control,
    pub(super) running: Background,
    pub(super) patience: Patience,
    /// How long clients may be silent.
    pub(super) waits: Waits,
    /// Tells warnings; equal ones once.
    pub(super) report: Report,
    began: Instant,
    pub(super) clients: Clients,
}

impl Hub {
    pub(super) fn new(options: Options, version: String, control: &Control) -> Self {
        let report = Report::start("serve", None, Style::Quiet, Verbosity::Warnings, control);
        Self {
            options,
            version,
            control: control.clone(),
            running: Background::of_server(),
            patience: Patience::default(),
            waits: Waits::DEFAULT,
            report,
            began: Instant::now(),
            clients: Clients::default(),
        }
    }

    /// A new session on the store, for this client.
    pub(super) fn session(&self, client: Option<String>) -> Session {
        let wishes = Wishes {
            url: self.options.store.clone(),
            extractor: self.options.extractor.clone(),
            until_caught_up: false,
            leaves: None,
            leaf: None,
            style: Style::Quiet,
            verbosity: Verbosity::Warnings,
            host: if self.options.allow_host_access {
                HostAccess::Allowed
            } else {
                HostAccess::Refused
            },
            client,
        };
        Session::beside(wishes, &self.control, self.running.clone())
    }

    /// One line for COM_STATISTICS.
    pub(super) fn statistics(&self) -> String {
        let running = self.running.names();
        let up = self.began.elapsed().as_secs();
        format!("Uptime: {up}  Threads: {}  Pipelines: {}", self.clients.count(), running.len())
    }
}
