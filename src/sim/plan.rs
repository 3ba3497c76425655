//! What a seed decides: how many servers there are, their bounds, and what is done to them.

use std::time::Duration;

use fastrand::Rng;

use crate::link::{FrameSizes, Limits};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
pub(super) const PEER_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const RECONNECT_GRACE: Duration = Duration::from_millis(500);

/// How long a server that leaves waits for its peers.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// What can be done to the servers and to the network between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// One direction of one pair loses everything for a while.
    CutOneWay,
    /// Both directions do.
    CutBothWays,
    /// One server hears nobody and is not heard.
    Isolate,
    /// One direction delivers nothing for a while, and then all of it.
    Stall,
    /// What is on its way on one pair is lost in part.
    Reset,
    /// A socket takes everything and sends nothing, until it is replaced.
    Stick,
    Kill,
    /// A new process takes over an address while the old one runs on, deaf.
    Usurp,
    /// The process does not run for a while.
    Pause,
    /// The application does not read for a while.
    StopReading,
    /// The application drops its inbox.
    DropInbox,
    /// The server leaves in order, and starts again later.
    Leave,
    /// The same, but it does not wait for what its peers still send. The application may go on
    /// sending.
    ShutDown,
    /// The application sends whenever there is room, for a while.
    Flood,
    /// A server takes a peer out of its list for a while.
    Unlist,
    /// A server is told to find a peer elsewhere.
    Reroute,
}

const FAULTS: [Fault; 16] = [
    Fault::CutOneWay,
    Fault::CutBothWays,
    Fault::Isolate,
    Fault::Stall,
    Fault::Reset,
    Fault::Stick,
    Fault::Kill,
    Fault::Usurp,
    Fault::Pause,
    Fault::StopReading,
    Fault::DropInbox,
    Fault::Leave,
    Fault::ShutDown,
    Fault::Flood,
    Fault::Unlist,
    Fault::Reroute,
];

/// The largest message that any server takes, in bytes.
pub(super) const LARGEST: usize = 3_000;

/// How large the frames of a cluster can be: all messages need several, or some, or none.
const FRAMES: [FrameSizes; 3] =
    [FrameSizes { min: 100, max: 400 }, FrameSizes { min: 400, max: 4_000 }, FrameSizes::DEFAULT];

/// The windows of a cluster, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    Same(usize),
    /// A sender can have a larger one than its peer holds, which is answered with resending.
    Various,
}

/// The clocks that incarnations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WallClock {
    Steady,
    /// Some processes have smaller incarnations than those before them.
    SetBack,
}

/// What one seed decides.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) servers: u32,
    /// For how long faults happen.
    pub(super) chaos: Duration,
    /// How long it takes from one fault to the next, at most.
    pub(super) lull: Duration,
    /// A seed knows only some of the faults, so that each also meets the others' absence.
    pub(super) faults: Vec<Fault>,
    /// What a process that starts takes for the time of day.
    pub(super) clock: WallClock,
    /// How often a frame is lost, in a hundred.
    pub(super) loss: u32,
    /// How often a frame comes twice, in a hundred.
    pub(super) repeats: u32,
    /// How often a frame is overtaken by later ones, in a hundred.
    pub(super) detours: u32,
    /// How long a frame is on its way, at most.
    pub(super) delay: Duration,
    /// How long an application waits between two looks at its channels, at most.
    pub(super) leisure: Duration,
    /// Whether all servers have the same window.
    pub(super) windows: Windows,
    /// How many envelopes an outbox holds.
    pub(super) outbox: usize,
    /// How many envelopes an inbox holds.
    pub(super) inbox: usize,
    /// How long an inbox waits for an envelope before it ends, if not for ever.
    pub(super) idle_timeout: Option<Duration>,
    /// Whether one of the applications does not read its inbox while it waits for the end.
    pub(super) joins_unread: bool,
    /// How large the frames are.
    pub(super) frames: FrameSizes,
    /// What a line carries, in bytes per second, if that is bounded.
    pub(super) rate: Option<u64>,
    /// Whether the applications have further outboxes, each for one peer.
    pub(super) lanes: bool,
    /// Whether some envelopes are for one process only, or wait for nobody.
    pub(super) picky: bool,
    /// Whether the applications ask each other questions.
    pub(super) questions: bool,
    /// How much feedback the channel between the threads of a server holds.
    pub(super) feedback: usize,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let pick = |rng: &mut Rng, choices: &[u32]| choices[rng.usize(..choices.len())];
        let millis = |rng: &mut Rng, choices: &[u32]| {
            Duration::from_millis(u64::from(choices[rng.usize(..choices.len())]))
        };
        Self {
            servers: pick(rng, &[2, 2, 2, 3, 3, 4]),
            chaos: millis(rng, &[2_000, 8_000, 15_000]),
            lull: millis(rng, &[300, 1_000, 4_000]),
            faults: FAULTS.into_iter().filter(|_| rng.u32(..3) == 0).collect(),
            clock: if rng.u32(..6) == 0 { WallClock::SetBack } else { WallClock::Steady },
            loss: pick(rng, &[0, 0, 2, 10, 30]),
            repeats: pick(rng, &[0, 0, 5, 20]),
            detours: pick(rng, &[0, 0, 5, 30]),
            delay: millis(rng, &[1, 10, 200]),
            leisure: millis(rng, &[50, 200, 1_000]),
            windows: if rng.u32(..4) == 0 {
                Windows::Various
            } else {
                Windows::Same(draw_window(rng))
            },
            outbox: pick(rng, &[1, 8, 1_000]) as usize,
            inbox: pick(rng, &[1, 4, 1_000]) as usize,
            idle_timeout: (rng.u32(..6) == 0).then(|| millis(rng, &[1_500, 2_000, 6_000])),
            joins_unread: rng.u32(..4) == 0,
            feedback: pick(rng, &[1, 2, 8]) as usize,
            frames: FRAMES[rng.usize(..FRAMES.len())],
            lanes: rng.bool(),
            picky: rng.bool(),
            rate: [None, None, None, Some(100_000), Some(10_000)][rng.usize(..5)],
            // Of another generator, so that seeds without questions are what they were.
            questions: Rng::with_seed(!rng.get_seed()).u32(..3) == 0,
        }
    }
}

impl Plan {
    /// The same with slow lines instead of all faults.
    pub(super) fn slowed_down(self, rng: &mut Rng) -> Self {
        Self {
            faults: Vec::new(),
            clock: WallClock::Steady,
            loss: 0,
            repeats: 0,
            detours: 0,
            windows: Windows::Same(draw_window(rng)),
            idle_timeout: None,
            picky: false,
            rate: Some([3_000, 10_000, 100_000][rng.usize(..3)]),
            ..self
        }
    }

    /// The same, but nothing happens to the servers: only the network is as bad as it was.
    pub(super) fn at_peace(self) -> Self {
        Self { faults: Vec::new(), clock: WallClock::Steady, idle_timeout: None, ..self }
    }
}

impl Plan {
    /// Two servers that talk all the time, and nothing else.
    pub(super) fn undisturbed(self, rng: &mut Rng) -> Self {
        let leisure = Duration::from_millis(50);
        Self { servers: 2, leisure, rate: None, ..self.slowed_down(rng) }
    }
}

fn draw_window(rng: &mut Rng) -> usize {
    [600, 2_000, 8_000][rng.usize(..3)]
}

/// The bounds of one server, which may differ from those of its peers.
pub(super) fn draw_limits(rng: &mut Rng, plan: &Plan) -> Limits {
    let window = match plan.windows {
        Windows::Same(window) => window,
        Windows::Various => draw_window(rng),
    };
    let max_message = [120, 400, LARGEST as u32][rng.usize(..3)];
    let min_backlog = window / [1, 2, 4][rng.usize(..3)];
    Limits {
        window,
        min_backlog,
        frames: plan.frames,
        max_message,
        heartbeat: HEARTBEAT,
        peer_timeout: PEER_TIMEOUT,
        reconnect_grace: RECONNECT_GRACE,
    }
}

/// A time up to this one.
pub(super) fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    Duration::from_micros(rng.u64(..=u64::try_from(most.as_micros()).unwrap()))
}
