//! Three servers as processes, and what lies between them.

use std::time::Duration;

use raft_cluster::{Config, Event, Mailbox, Server};

use super::Result;
use super::follower::{Follower, Role};
use super::traffic::{FAULTY, HEALTHY, LEADER};
use crate::support::addresses::free_addresses;
use crate::support::config_text;
use crate::support::netns::Machines;

/// The leader is this process.
pub struct Cluster {
    pub mailbox: Mailbox,
    pub server: Server,
    pub healthy: Follower,
    pub faulty: Follower,
    /// Removed when all others are gone.
    pub _machines: Option<Machines>,
}

/// What the third server is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Loopback,
    /// A line between two machines that carries so many bits per second. The first two servers are
    /// on one machine.
    Limited(u64),
}

impl Cluster {
    /// Starts all three, and waits until the leader hears both followers. The window is the
    /// leader's, in bytes, if it is not to be what it is unless set.
    pub fn start(line: Line, window: Option<usize>) -> Result<Self> {
        let Line::Limited(bits) = line else {
            let urls: Vec<_> = free_addresses(3)?.iter().map(ToString::to_string).collect();
            let text = config_text(&urls);
            let follower = |pid| Follower::start(&Role { config: text.clone(), pid });
            let (healthy, faulty) = (follower(2)?, follower(3)?);
            let (mailbox, server) = lead(&text, window)?;
            return Ok(Self { mailbox, server, healthy, faulty, _machines: None });
        };
        let machines = Machines::new()?;
        machines.limit(bits)?;
        let text =
            config_text(&["10.77.0.1:4001", "10.77.0.1:4002", "10.77.0.2:4003"].map(Into::into));
        let follower = |pid| Follower::start(&Role { config: text.clone(), pid });
        let healthy = machines.on(0, || follower(HEALTHY.as_u32()))?;
        let faulty = machines.on(1, || follower(FAULTY.as_u32()))?;
        let (mailbox, server) = machines.on(0, || lead(&text, window))?;
        Ok(Self { mailbox, server, healthy, faulty, _machines: Some(machines) })
    }
}

fn lead(config: &str, window: Option<usize>) -> Result<(Mailbox, Server)> {
    let config: Config = config.parse()?;
    let builder = Server::builder(&config, LEADER).idle_timeout(None).linger(Duration::ZERO);
    let builder = match window {
        Some(bytes) => builder.window(bytes),
        None => builder,
    };
    let (mailbox, server) = builder.start()?;
    let mut up = 0;
    while up < 2 {
        up += u32::from(matches!(server.events().recv()?, Event::Up(_)));
    }
    Ok((mailbox, server))
}
