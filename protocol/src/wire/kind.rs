//! The type byte of a frame. `SPEC.md` section 3 has the same table, and a test compares the two.

/// Who sends a frame. Bit 7 of the type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The database side.
    FromHost,
    /// The child.
    FromExtractor,
}

impl Direction {
    /// Direction of a type byte, known or not.
    pub const fn of(byte: u8) -> Self {
        if byte & 0x80 == 0 { Self::FromHost } else { Self::FromExtractor }
    }
}

macro_rules! kind_table {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal, $name:literal;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every type, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The type byte.
            pub const fn byte(self) -> u8 {
                match self { $(Self::$variant => $byte,)* }
            }

            /// The name in the specification.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The type of a byte; `None` for a byte that this version does not know.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kind_table! {
    /// Opens the session.
    Hello = 0x01, "HELLO";
    /// Configuration and credentials.
    Configure = 0x02, "CONFIGURE";
    /// Connect, authorise, try a read.
    Check = 0x03, "CHECK";
    /// List the splits.
    Discover = 0x04, "DISCOVER";
    /// Turn a start into durable offsets.
    GetOffsets = 0x05, "GET_OFFSETS";
    /// Replace the assignment.
    Assign = 0x06, "ASSIGN";
    /// One credit.
    Extract = 0x07, "EXTRACT";
    /// What the host has made durable; advisory.
    Commit = 0x08, "COMMIT";
    /// End a request early.
    Cancel = 0x09, "CANCEL";
    /// End the session.
    Stop = 0x0a, "STOP";
    /// Are you there.
    Ping = 0x0b, "PING";
    /// Rotated credentials, log level.
    Update = 0x0c, "UPDATE";
    /// Answers HELLO.
    HelloOk = 0x81, "HELLO_OK";
    /// Answers CONFIGURE.
    Configured = 0x82, "CONFIGURED";
    /// Answers CHECK.
    Checked = 0x83, "CHECKED";
    /// Answers DISCOVER.
    Discovered = 0x84, "DISCOVERED";
    /// Answers GET_OFFSETS.
    Offsets = 0x85, "OFFSETS";
    /// Answers ASSIGN.
    Assigned = 0x86, "ASSIGNED";
    /// An Avro container header.
    Schema = 0x88, "SCHEMA";
    /// Avro blocks of one split.
    Batch = 0x89, "BATCH";
    /// Answers EXTRACT; the unit of commit.
    BatchEnd = 0x8a, "BATCH_END";
    /// A request takes long, and why.
    Progress = 0x8b, "PROGRESS";
    /// The set of splits changed.
    Partitions = 0x8c, "PARTITIONS";
    /// One log line.
    Log = 0x8d, "LOG";
    /// A request or the session failed.
    Error = 0x8e, "ERROR";
    /// Answers PING.
    Pong = 0x8f, "PONG";
    /// Answers UPDATE.
    Updated = 0x90, "UPDATED";
    /// Answers STOP; the last frame.
    Stopped = 0x91, "STOPPED";
}

impl Kind {
    /// Who may send it.
    pub const fn direction(self) -> Direction {
        Direction::of(self.byte())
    }

    /// Whether the data frame limit applies to its payload.
    pub const fn carries_data(self) -> bool {
        matches!(self, Self::Schema | Self::Batch)
    }

    /// Whether it may overtake frames that were queued before it.
    pub const fn may_overtake(self) -> bool {
        matches!(self, Self::Pong | Self::Progress | Self::Log)
    }

    /// The frame that answers this request; `None` for what is no request.
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::Hello => Some(Self::HelloOk),
            Self::Configure => Some(Self::Configured),
            Self::Check => Some(Self::Checked),
            Self::Discover => Some(Self::Discovered),
            Self::GetOffsets => Some(Self::Offsets),
            Self::Assign => Some(Self::Assigned),
            Self::Extract => Some(Self::BatchEnd),
            Self::Stop => Some(Self::Stopped),
            Self::Update => Some(Self::Updated),
            Self::Commit
            | Self::Cancel
            | Self::Ping
            | Self::HelloOk
            | Self::Configured
            | Self::Checked
            | Self::Discovered
            | Self::Offsets
            | Self::Assigned
            | Self::Schema
            | Self::Batch
            | Self::BatchEnd
            | Self::Progress
            | Self::Partitions
            | Self::Log
            | Self::Error
            | Self::Pong
            | Self::Updated
            | Self::Stopped => None,
        }
    }
}

/// Whether a receiver skips a type that it does not know (types 0x30–0x3f and 0xb0–0xbf).
pub const fn is_ancillary(byte: u8) -> bool {
    byte & 0x7f >= 0x30 && byte & 0x7f <= 0x3f
}
