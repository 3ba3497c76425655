//! What the input thread of a process does, and the inbox it fills.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Vigil;
use crate::envelope::Pid;
use crate::event::Rejection;
use crate::frame::{Frame, Payload, Progress};
use crate::link::sim::audit::{Audit, ProcessId};
use crate::link::sim::letter::Record;
use crate::link::sim::plan::{HEARTBEAT, PEER_TIMEOUT, Plan};
use crate::link::sim::process::{NEVER, Phase};
use crate::link::{Ends, FRAME_OVERHEAD, Feedback, Handled, Incoming, Limits, Presence, Sighting};

/// How many frames are read before the inbox is looked after.
const FRAMES_AT_ONCE: usize = 64;

/// How long feedback that found no room waits for it.
const RETRY: Duration = Duration::from_millis(1);

pub(super) struct Inlet {
    own: Pid,
    id: ProcessId,
    limits: Limits,
    lanes: Vec<Lane>,
    /// What has reached the process and is not read yet.
    socket: VecDeque<Frame>,
    /// How many envelopes wait in the inbox; none once it is closed.
    inbox: Option<usize>,
    inbox_capacity: usize,
    feedback_capacity: usize,
    turn: usize,
    vigil: Vigil,
    ran_at: Duration,
    /// When it wakes.
    pub(super) due: Duration,
}

/// The receiving half of the link from one peer.
struct Lane {
    peer: Pid,
    incoming: Incoming,
    /// What is left of the arrival at the front.
    entering: Option<VecDeque<Record>>,
    standing: Standing,
    /// The process that is listened to.
    speaker: Option<ProcessId>,
    /// For how long the thread has been awake and heard nothing.
    silence: Duration,
}

/// How a peer stands, as the application was told.
///
/// ```text
///   Unknown ──► Up ◄──► Down
///               ▲ └──┬───┘
///               │    ▼
///               │   Left
///           Succeeded ◄── from any, when another process speaks
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    /// Another process was announced, and is not up yet.
    Succeeded,
    Up,
    Down,
    Left,
}

impl Inlet {
    pub(super) fn new(
        (own, id): (Pid, ProcessId),
        limits: Limits,
        ends: impl Iterator<Item = Ends>,
        plan: &Plan,
        now: Duration,
    ) -> Self {
        let lanes = ends.map(|ends| Lane {
            peer: ends.peer,
            incoming: Incoming::new(ends, limits, now),
            entering: None,
            standing: Standing::Unknown,
            speaker: None,
            silence: Duration::ZERO,
        });
        Self {
            own,
            id,
            limits,
            lanes: lanes.collect(),
            socket: VecDeque::new(),
            inbox: Some(0),
            inbox_capacity: plan.inbox,
            feedback_capacity: plan.feedback,
            turn: 0,
            vigil: Vigil::new(HEARTBEAT, now),
            ran_at: now,
            due: now,
        }
    }

    pub(super) fn arrive(&mut self, frame: Frame, due: Duration) {
        let refused = matches!(&frame.payload, Payload::Single { msg, .. }
            if msg.len() > self.limits.largest as usize);
        if !refused {
            self.socket.push_back(frame);
            self.due = self.due.min(due);
        }
    }

    pub(super) fn read(&mut self, envelopes: usize, now: Duration) {
        if let Some(waiting) = self.inbox.as_mut().filter(|waiting| **waiting > 0) {
            *waiting = waiting.saturating_sub(envelopes);
            self.due = self.due.min(now);
        }
    }

    /// From now on the application reads whatever comes.
    pub(super) fn read_all(&mut self) {
        self.inbox_capacity = usize::MAX;
    }

    pub(super) fn close(&mut self) {
        if self.inbox.take().is_some() {
            for lane in &mut self.lanes {
                lane.entering = None;
                lane.incoming.close();
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inbox.is_none()
    }

    /// Whether every peer has left or is down, and nothing waits to enter the inbox. One that was not
    /// heard in all the time it took to settle counts as down.
    pub(super) fn is_alone(&self, phase: Phase) -> bool {
        let gone = |lane: &Lane| match lane.incoming.presence() {
            Presence::Up => false,
            Presence::Awaited => phase == Phase::Settled,
            Presence::Left | Presence::Down => lane.incoming.front().is_none(),
        };
        self.lanes.iter().all(gone)
    }

    /// Whether a peer that has left still waits to be told that its goodbye came in.
    pub(super) fn is_parting(&self) -> bool {
        self.lanes.iter().any(|lane| {
            let incoming = &lane.incoming;
            incoming.presence() == Presence::Left && incoming.progress() == Progress::Running
        })
    }

    /// One round of the thread, but for what it tells the other one.
    pub(super) fn run(&mut self, audit: &mut Audit, now: Duration) {
        if let Some(pause) = self.vigil.wake(now) {
            self.lanes.iter_mut().for_each(|lane| lane.incoming.forgive(pause));
        }
        let awake = (now - self.ran_at).min(HEARTBEAT);
        self.lanes.iter_mut().for_each(|lane| lane.silence += awake);
        self.ran_at = now;
        for frame in self.socket.drain(..self.socket.len().min(FRAMES_AT_ONCE)) {
            let from = frame.header.from;
            let lane = self.lanes.iter_mut().find(|lane| lane.peer == from).unwrap();
            lane.handle_frame(frame, now);
            lane.check_bytes(&self.limits);
        }
        self.fill_inbox(audit, now);
        if self.socket.is_empty() {
            self.lanes.iter_mut().for_each(|lane| lane.handle_timeout(now));
        }
    }

    fn fill_inbox(&mut self, audit: &mut Audit, now: Duration) {
        let mut empty = 0;
        while empty < self.lanes.len() {
            let lane = &mut self.lanes[self.turn];
            let Some(waiting) = &mut self.inbox else {
                return self.lanes.iter_mut().for_each(|lane| lane.pass(now));
            };
            let room = self.inbox_capacity - *waiting;
            match lane.enter((self.own, self.id), room, audit, now) {
                Entered::All(envelopes) => {
                    *waiting += envelopes;
                    empty = 0;
                }
                Entered::Nothing => empty += 1,
                Entered::Some(envelopes) => {
                    *waiting += envelopes;
                    return;
                }
            }
            self.turn = (self.turn + 1) % self.lanes.len();
        }
    }

    /// Tells the output thread what it does not know yet, and decides when to wake again.
    pub(super) fn tell(&mut self, feedback: &mut VecDeque<Feedback>, now: Duration) {
        let mut retry = None;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let Some(heard) = lane.incoming.poll_heard() else { continue };
            if feedback.len() < self.feedback_capacity {
                feedback.push_back(Feedback { lane: at, heard });
            } else {
                lane.incoming.untold(&heard);
                retry = Some(now + RETRY);
            }
        }
        let more = (!self.socket.is_empty()).then_some(now);
        let lanes = self.lanes.iter().filter_map(|lane| lane.incoming.poll_timeout());
        let lanes = lanes.map(|due| due.min(now + HEARTBEAT));
        self.due = lanes.chain(retry).chain(more).min().unwrap_or(NEVER);
        self.vigil.sleep(Some(self.due.max(now)));
    }

    /// The process that is listened to for this peer.
    pub(super) fn speaker(&self, peer: Pid) -> Option<ProcessId> {
        let lane = self.lanes.iter().find(|lane| lane.peer == peer)?;
        lane.speaker.filter(|_| lane.standing == Standing::Up)
    }
}

/// How much of the arrival at the front entered the inbox, in envelopes.
enum Entered {
    All(usize),
    /// There is no room for the rest.
    Some(usize),
    Nothing,
}

impl Lane {
    fn handle_frame(&mut self, frame: Frame, now: Duration) {
        let incarnation = frame.header.incarnation;
        match self.incoming.handle_frame(frame, now) {
            Ok(Handled::Known) | Err(Rejection::Conflict(_)) => {}
            Ok(Handled::Fresh) => {
                self.entering = None;
                self.speaker = Some(incarnation.to_wire());
                let first = self.standing == Standing::Unknown;
                let sighting = (!first).then(|| self.incoming.poll_sighting());
                assert!(matches!(sighting, None | Some(Some(Sighting::Restarted))));
                self.standing = if first { Standing::Unknown } else { Standing::Succeeded };
            }
            Err(rejection) => panic!("rejected: {rejection}"),
        }
        if self.speaker == Some(incarnation.to_wire()) {
            self.silence = Duration::ZERO;
        }
        self.see();
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.incoming.handle_timeout(now);
        self.see();
        let noticed = self.standing != Standing::Up || self.silence < PEER_TIMEOUT + HEARTBEAT * 2;
        assert!(noticed, "{}: nobody noticed the silence", self.peer);
    }

    /// Takes note of how the peer stands, and checks that the change makes sense.
    fn see(&mut self) {
        while let Some(sighting) = self.incoming.poll_sighting() {
            self.standing = match (self.standing, sighting) {
                (Standing::Unknown | Standing::Succeeded | Standing::Down, Sighting::Up) => {
                    Standing::Up
                }
                (Standing::Up, Sighting::Down) if self.silence > PEER_TIMEOUT / 2 => Standing::Down,
                (Standing::Up | Standing::Down, Sighting::Left) => Standing::Left,
                (standing, sighting) => panic!("{}: {sighting:?} while {standing:?}", self.peer),
            };
        }
    }

    /// What waits is bounded by the window, but for one frame of any size.
    fn check_bytes(&self, limits: &Limits) {
        let mut copy = self.incoming.clone();
        let mut sizes = Vec::new();
        while let Some(arrival) = copy.front() {
            sizes.push(arrival.payload.len() + FRAME_OVERHEAD);
            copy.pop(Duration::ZERO);
        }
        let bytes: usize = sizes.iter().sum();
        assert!(bytes <= limits.window || sizes.len() == 1, "{}: {bytes} bytes wait", self.peer);
    }

    fn enter(
        &mut self,
        (own, id): (Pid, ProcessId),
        room: usize,
        audit: &mut Audit,
        now: Duration,
    ) -> Entered {
        if self.entering.is_none() {
            let Some(arrival) = self.incoming.front() else { return Entered::Nothing };
            let speaker = self.speaker.expect("a frame of a process");
            audit.miss(id, own, speaker, arrival.missed);
            self.entering = Some(Record::all(&arrival.payload).into());
        }
        let Some(records) = &mut self.entering else { return Entered::Nothing };
        let fitting = records.len().min(room);
        for record in records.drain(..fitting) {
            assert_eq!(Some(record.writer), self.speaker, "an envelope of another process");
            assert!(matches!(self.standing, Standing::Up | Standing::Down), "{:?}", self.standing);
            audit.enter(id, record);
        }
        if !records.is_empty() {
            return Entered::Some(fitting);
        }
        self.entering = None;
        self.incoming.pop(now);
        self.see();
        Entered::All(fitting)
    }

    /// Takes what comes although the inbox is closed, which can only be a goodbye.
    fn pass(&mut self, now: Duration) {
        while let Some(arrival) = self.incoming.front() {
            assert_eq!(arrival.payload, Payload::Goodbye, "taken although the inbox is closed");
            self.incoming.pop(now);
            self.see();
        }
    }
}
