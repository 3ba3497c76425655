//! placeholder
mod config;
mod envelope;
mod event;
mod stats;

pub use bytes::Bytes;
pub use config::{Config, ConfigError, ConfigPlace, ConfigWarning, UrlError};
pub use envelope::{Envelope, Pid, Recipient};
pub use event::{Event, Reason, Rejection};
pub use stats::{Dropped, PeerState, PeerStats, Stats};
