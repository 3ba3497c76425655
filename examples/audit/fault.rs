//! What is done to the connections.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::never;

use crate::holder::{self, Holder};
use crate::support::proxy::{BOTH, Campaign, Cut, Mode, Proxy, Way};
use crate::{Progress, Result, SENDERS};

/// How long a contender is given to recover by itself from a silent fault.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than it takes to connect again.
const RECONNECTED: Duration = Duration::from_millis(300);

/// How far apart looks at the counters are.
const GLANCE: Duration = Duration::from_millis(1);

/// So many looks without progress are a standstill.
const STANDSTILL: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Reset,
    Close,
    StallAndReset,
    ResetUnread,
    Swallow,
    Partition,
    OneWay,
    Delay,
    WrongSocket,
    HttpServer,
    SilentServer,
}

impl Fault {
    pub(crate) const ALL: [Self; 12] = [
        Self::None,
        Self::Reset,
        Self::Close,
        Self::StallAndReset,
        Self::ResetUnread,
        Self::Swallow,
        Self::Partition,
        Self::OneWay,
        Self::Delay,
        Self::WrongSocket,
        Self::HttpServer,
        Self::SilentServer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reset => "connection reset in the middle of the traffic",
            Self::Close => "connection closed in the middle of the traffic",
            Self::StallAndReset => "connection stalled, then reset",
            Self::ResetUnread => "reset while the receiver has messages unread",
            Self::Swallow => "half-open connection: all is swallowed silently",
            Self::Partition => "partition for 2 s, healed",
            Self::OneWay => "partition one way for 2 s, healed",
            Self::Delay => "delay of 50 ms ± 20 ms, for 2 s",
            Self::WrongSocket => "the port is first held by a PUB socket",
            Self::HttpServer => "the port is first held by an HTTP server",
            Self::SilentServer => "the port is first held by one that accepts and says nothing",
        }
    }

    pub(crate) fn times(self) -> usize {
        match self {
            Self::None => 0,
            Self::Reset | Self::Close => 1_000,
            Self::StallAndReset | Self::ResetUnread => 40,
            Self::Swallow => SENDERS,
            Self::Partition | Self::OneWay | Self::Delay => 1,
            Self::WrongSocket | Self::HttpServer | Self::SilentServer => 1,
        }
    }

    /// Takes the receiver's port, if the fault is there before the receiver.
    pub(crate) fn hold(self, url: &str) -> Result<Option<Holder>> {
        let hold = match self {
            Self::WrongSocket => holder::wrong_socket,
            Self::HttpServer => holder::http_server,
            Self::SilentServer => holder::silent_server,
            _ => return Ok(None),
        };
        hold(url).map(Some)
    }

    /// Does it as often as it is to be done.
    pub(crate) fn inject(self, proxy: &Proxy, progress: &Progress) -> Result<()> {
        for sender in 0..SENDERS {
            progress.await_more(sender);
        }
        match self {
            Self::None | Self::WrongSocket | Self::HttpServer | Self::SilentServer => {
                pause(Duration::from_secs(2));
            }
            Self::Reset => self.cut_often(proxy, usize::MAX)?,
            Self::Close => self.cut_often(proxy, 1)?,
            Self::StallAndReset => self.stall_and_reset(proxy, progress),
            Self::ResetUnread => self.reset_unread(proxy, progress),
            Self::Swallow => (0..SENDERS).for_each(|sender| swallow(proxy, progress, sender)),
            Self::Partition => everywhere(proxy, &BOTH, &Mode::Stall),
            Self::OneWay => everywhere(proxy, &[Way::Back], &Mode::Stall),
            Self::Delay => {
                let delay = Duration::from_millis(30)..Duration::from_millis(70);
                everywhere(proxy, &BOTH, &Mode::Delay(delay));
            }
        }
        for sender in 0..SENDERS {
            progress.await_more(sender);
        }
        Ok(())
    }

    fn cut_often(self, proxy: &Proxy, closes: usize) -> Result<()> {
        let campaign = Campaign { bytes: 1..1 << 20, total: self.times(), closes };
        let progress = proxy.begin(campaign);
        for _ in 0..self.times() {
            progress.recv_timeout(PATIENCE)?;
        }
        Ok(())
    }

    fn reset_unread(self, proxy: &Proxy, progress: &Progress) {
        for sender in (0..SENDERS).cycle().take(self.times()) {
            progress.reading_rests.store(true, Ordering::Relaxed);
            progress.await_standstill(sender);
            proxy.cut(sender, Cut::Reset);
            pause(RECONNECTED);
            progress.reading_rests.store(false, Ordering::Relaxed);
            progress.await_more(sender);
        }
    }

    fn stall_and_reset(self, proxy: &Proxy, progress: &Progress) {
        for sender in (0..SENDERS).cycle().take(self.times()) {
            proxy.set(sender, &BOTH, &Mode::Stall);
            progress.await_standstill(sender);
            proxy.cut(sender, Cut::Reset);
            proxy.set(sender, &BOTH, &Mode::Pass);
            progress.await_more(sender);
        }
    }
}

/// Tears one connection: new ones pass. Who has not noticed when the patience is over is helped by
/// a reset.
fn swallow(proxy: &Proxy, progress: &Progress, sender: usize) {
    proxy.set(sender, &BOTH, &Mode::Swallow);
    progress.await_standstill(sender);
    proxy.set(sender, &BOTH, &Mode::Pass);
    if !progress.await_more(sender) {
        proxy.cut(sender, Cut::Reset);
    }
}

/// Does it to all connections, for 2 s.
fn everywhere(proxy: &Proxy, ways: &[Way], mode: &Mode) {
    (0..SENDERS).for_each(|sender| proxy.set(sender, ways, mode));
    pause(Duration::from_secs(2));
    (0..SENDERS).for_each(|sender| proxy.set(sender, &BOTH, &Mode::Pass));
}

impl Progress {
    fn received(&self, sender: usize) -> u64 {
        self.received[sender].load(Ordering::Relaxed)
    }

    /// Rests while the receiver is to rest.
    pub(crate) fn rest(&self) {
        while self.reading_rests.load(Ordering::Relaxed) {
            pause(GLANCE);
        }
    }

    /// Waits until more has come from a sender, as far as patience goes.
    fn await_more(&self, sender: usize) -> bool {
        let (before, started) = (self.received(sender), Instant::now());
        while self.received(sender) == before {
            if started.elapsed() > PATIENCE {
                return false;
            }
            pause(GLANCE);
        }
        true
    }

    /// Waits until nothing comes from a sender any more.
    fn await_standstill(&self, sender: usize) {
        let (mut before, mut looks) = (self.received(sender), 0);
        while looks < STANDSTILL {
            pause(GLANCE);
            let now = self.received(sender);
            looks = if now == before { looks + 1 } else { 0 };
            before = now;
        }
    }
}

/// Lets the traffic go on for so long.
pub(crate) fn pause(duration: Duration) {
    // Nothing comes: the wait ends when the time is over.
    let _ = never::<()>().recv_timeout(duration);
}
