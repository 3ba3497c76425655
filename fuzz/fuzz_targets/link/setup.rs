//! What the two servers are.

use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::Arbitrary;
use raft_cluster::internals::{Process, Tuning};
use raft_cluster::{Config, Pid, Server};
use serde_json::json;

use crate::Side;

pub const WINDOW: usize = 4_096;
/// The largest message that each side takes: some of one side's are too large for the other.
pub const MAX_MESSAGE: [usize; 2] = [6_000, 2_000];
pub const HEARTBEAT: Duration = Duration::from_secs(1);
pub const PEER_TIMEOUT: Duration = Duration::from_secs(5);
pub const LINGER: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The third server, and one that no configuration lists.
pub const ABSENTEE: Pid = Pid::new(3);
pub const NOBODY: Pid = Pid::new(9);

/// The configurations without the third server, and with it.
static TWO: LazyLock<Config> = LazyLock::new(|| config(2));
static THREE: LazyLock<Config> = LazyLock::new(|| config(3));

/// What both servers have in common.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    /// How much the channels hold.
    outbox: u8,
    inbox: u8,
    feedback: u8,
    /// Whether the inbox ends when nothing enters it for a while.
    idles: bool,
    /// Whether there is a third server in the configuration, which never starts.
    pub has_absentee: bool,
    /// Whether most messages need several frames.
    has_small_frames: bool,
    /// Whether letters may come later than a peer timeout, as if a process that was replaced still
    /// ran.
    pub has_ghosts: bool,
}

impl Setup {
    pub fn start(self, side: Side, incarnation: u64, now: Duration) -> Process {
        let config = if self.has_absentee { &*THREE } else { &*TWO };
        let builder = Server::builder(config, pid(side))
            .outbox_capacity(usize::from(self.outbox % 64) + 1)
            .inbox_capacity(usize::from(self.inbox % 64) + 1)
            .idle_timeout(self.idles.then_some(IDLE_TIMEOUT))
            .linger(LINGER)
            .window(WINDOW)
            .max_message(MAX_MESSAGE[side as usize])
            .heartbeat(HEARTBEAT)
            .peer_timeout(PEER_TIMEOUT);
        let tuning = Tuning {
            incarnation,
            min_backlog: WINDOW / 4,
            max_frame: if self.has_small_frames { [100, 700] } else { [1 << 14, 1 << 20] },
            feedback_capacity: usize::from(self.feedback % 4) + 1,
        };
        Process::start_tuned(&builder, tuning, now).expect("the limits fit together")
    }
}

pub fn pid(side: Side) -> Pid {
    Pid::new(side as u32 + 1)
}

fn config(servers: u32) -> Config {
    let server = |pid| json!({"mypid": pid, "url": format!("ipc:///nowhere/{pid}")});
    let list: Vec<_> = (1..=servers).map(server).collect();
    let text = json!({"object": {"total": servers, "Servers": list}}).to_string();
    text.parse().expect("it is a configuration")
}
