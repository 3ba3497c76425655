//! placeholder
mod clock;
mod config;
mod counters;
mod envelope;
mod event;
mod frame;
mod input;
mod link;
mod output;
mod report;
mod server;
mod socket;
mod stats;
mod wire;

pub use bytes::Bytes;
pub use config::{Config, ConfigError, ConfigPlace, ConfigWarning, UrlError};
pub use crossbeam_channel::{Receiver, Sender};
pub use envelope::{Envelope, Pid, Recipient};
pub use event::{Event, Reason, Rejection};
pub use report::{PeerReport, Report};
pub use server::{Builder, Mailbox, Server, StartError};
pub use stats::{Dropped, PeerState, PeerStats, Stats};
