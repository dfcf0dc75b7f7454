//! Words of enumerations. A word that a version does not know reads as `Other`.

use serde::{Deserialize, Serialize};

macro_rules! word_table {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
            /// A word that this version does not know.
            #[serde(other, rename = "other")]
            Other,
        }

        impl $name {
            /// Every word, in the order of the specification.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $word),)*];
        }
    };
}

word_table! {
    /// Why a batch ended.
    Reason {
        /// `max_rows` reached.
        Rows = "rows",
        /// `max_bytes` reached.
        Bytes = "bytes",
        /// `max_interval_ms` after the first row.
        Interval = "interval",
        /// Nothing came within `max_interval_ms`.
        Idle = "idle",
        /// Every split with `until` reached it.
        Until = "until",
        /// The host sent CANCEL.
        Cancel = "cancel",
        /// The host sent STOP.
        Stop = "stop",
        /// ASSIGN voided the credit.
        Void = "void",
        /// Every assigned split is closed and was read to its end.
        Eof = "eof",
    }
}

word_table! {
    /// What the extractor is busy with.
    Phase {
        /// Reaching the source.
        Connecting = "connecting",
        /// Waiting for records.
        Polling = "polling",
        /// Slowed down by the source.
        Throttled = "throttled",
        /// Waiting before a retry.
        Backoff = "backoff",
    }
}
