//! How the peers stand with a process, as its application is told, and whether that makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::envelope::Pid;
use crate::event::Event;
use crate::sim::audit::ProcessId;
use crate::sim::plan::{HEARTBEAT, PEER_TIMEOUT, RECONNECT_GRACE};

/// What is known of each peer, and for how long the process has been awake.
pub(super) struct Standings {
    peers: BTreeMap<Pid, Peer>,
    idle_timeout: Option<Duration>,
    /// For how long it has been awake and nothing has entered the inbox.
    idle: Duration,
    /// When the input thread ran last.
    ran_at: Duration,
    /// How often a peer was down.
    pub(super) downs: usize,
}

#[derive(Default)]
struct Peer {
    standing: Standing,
    /// The process that is listened to.
    speaker: Option<ProcessId>,
    /// All that ever were.
    speakers: BTreeSet<ProcessId>,
    up: bool,
    /// Whether it was none for a while, so that a process may have been heard before.
    was_forgotten: bool,
    /// Whether it was told that it holds an outbox up.
    stalled: bool,
    /// For how long the thread has been awake and heard nothing.
    silence: Duration,
    /// How often the process that was there was gone.
    partings: u64,
}

/// How a peer stands.
///
/// ```text
///   Unknown ──► Up ◄──► OneWay
///               ▲ │       │
///               │ └─► Down ◄┘      Left ◄── from any that was up
///               └───── │
///           Succeeded ◄── from any, when another process speaks, and up next
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Unknown,
    /// Another process was announced, and is not up yet.
    Succeeded,
    Up,
    OneWay,
    Down,
    Left,
}

impl Standings {
    pub(super) fn new(peers: &[Pid], idle_timeout: Option<Duration>, now: Duration) -> Self {
        let peers = peers.iter().map(|pid| (*pid, Peer::default())).collect();
        Self { peers, idle_timeout, idle: Duration::ZERO, ran_at: now, downs: 0 }
    }

    fn peer(&mut self, pid: Pid) -> &mut Peer {
        self.peers.get_mut(&pid).expect("a peer")
    }

    /// The input thread runs, for the first time in a while. It never waits longer than a
    /// heartbeat; if it was away for much longer, it was not awake.
    pub(super) fn wake(&mut self, now: Duration) {
        let away = now - self.ran_at;
        self.ran_at = now;
        self.idle += if away > HEARTBEAT * 2 { HEARTBEAT } else { away };
        self.peers.values_mut().for_each(|peer| peer.silence += away.min(HEARTBEAT));
    }

    /// Takes note of the process that is listened to for a peer.
    pub(super) fn note_speaker(&mut self, pid: Pid, speaker: Option<ProcessId>, up: bool) {
        let peer = self.peer(pid);
        peer.speaker = speaker;
        peer.speakers.extend(speaker);
        peer.up = up;
    }

    /// A frame was read.
    pub(super) fn note_frame(&mut self, pid: Pid, process: ProcessId) {
        let peer = self.peer(pid);
        if peer.speaker == Some(process) {
            peer.silence = Duration::ZERO;
        }
    }

    /// A peer is none any more, or is one again: nothing is known of it but who spoke for it.
    pub(super) fn forget(&mut self, pid: Pid) {
        let peer = self.peer(pid);
        let (speaker, speakers) = (peer.speaker, std::mem::take(&mut peer.speakers));
        let partings = peer.partings + 1;
        *peer = Peer { speaker, speakers, partings, was_forgotten: true, ..Peer::default() };
    }

    /// Whether the application was told that the peer is up, and nothing else since.
    pub(super) fn is_told_up(&self, pid: Pid) -> bool {
        self.peers[&pid].standing == Standing::Up
    }

    /// How often the application was told that the process was gone which spoke for the peer.
    pub(super) fn partings(&self, pid: Pid) -> u64 {
        self.peers[&pid].partings
    }

    /// Nobody is told whether a peer holds an outbox up that is none any more.
    pub(super) fn forget_stall(&mut self, pid: Pid) {
        self.peer(pid).stalled = false;
    }

    /// The process that is listened to for this peer.
    pub(super) fn speaker_of(&self, pid: Pid) -> ProcessId {
        self.peers[&pid].speaker.expect("somebody was heard")
    }

    /// The same, if that is up.
    pub(super) fn up(&self, pid: Pid) -> Option<ProcessId> {
        self.peers.get(&pid).filter(|peer| peer.up)?.speaker
    }

    /// An envelope of a peer comes from a process that was listened to.
    pub(super) fn check_writer(&self, pid: Pid, writer: ProcessId) {
        assert!(self.peers[&pid].speakers.contains(&writer), "an envelope of {writer}");
    }

    /// Takes note of how a peer stands, and checks that the change makes sense.
    /// `deserted` tells whether nobody has listened at the address of a peer for the grace.
    pub(super) fn see(&mut self, event: &Event, deserted: impl Fn(Pid) -> bool) {
        let (pid, next) = match *event {
            Event::Up(pid) => (pid, Standing::Up),
            Event::Down(pid) => (pid, Standing::Down),
            Event::Restarted(pid) => (pid, Standing::Succeeded),
            Event::Left(pid) => (pid, Standing::Left),
            Event::OneWay(pid) => (pid, Standing::OneWay),
            Event::Absent(pid) => {
                let peer = self.peer(pid);
                assert!(peer.standing == Standing::Unknown && peer.silence > PEER_TIMEOUT / 2);
                return;
            }
            Event::Stalled(pid) => {
                let told_before = std::mem::replace(&mut self.peer(pid).stalled, true);
                return assert!(!told_before, "{event} twice");
            }
            Event::Flowing(pid) => {
                let was_stalled = std::mem::take(&mut self.peer(pid).stalled);
                return assert!(was_stalled, "{event} and was not stalled");
            }
            ref other => panic!("{other}"),
        };
        let peer = self.peer(pid);
        let makes_sense = match (peer.standing, next) {
            (Standing::Up, Standing::Up) => false,
            (_, Standing::Up) => true,
            (Standing::Up, Standing::OneWay) => true,
            (Standing::Up | Standing::OneWay, Standing::Down) => {
                let refused = peer.silence >= RECONNECT_GRACE / 2 && deserted(pid);
                refused || peer.silence > PEER_TIMEOUT / 2
            }
            (Standing::Up | Standing::OneWay | Standing::Down, Standing::Left) => true,
            (Standing::Unknown, Standing::Succeeded) => peer.was_forgotten,
            (_, Standing::Succeeded) => true,
            _ => false,
        };
        assert!(makes_sense, "{event} while {:?}, silent for {:?}", peer.standing, peer.silence);
        peer.standing = next;
        let parts = matches!(next, Standing::Down | Standing::Succeeded | Standing::Left);
        peer.partings += u64::from(parts);
        self.downs += usize::from(next == Standing::Down);
    }

    /// After a turn of the input thread: no silence goes unnoticed.
    pub(super) fn check_silence(&self, id: ProcessId) {
        for (pid, peer) in &self.peers {
            let noticed =
                peer.standing != Standing::Up || peer.silence < PEER_TIMEOUT + HEARTBEAT * 2;
            assert!(noticed, "{id}: nobody noticed the silence of {pid}");
        }
    }

    /// Something has entered the inbox.
    pub(super) fn note_entry(&mut self) {
        self.idle = Duration::ZERO;
    }

    /// The inbox has ended, although the application has not asked for it.
    pub(super) fn check_idle_end(&self, id: ProcessId) {
        const SLACK: Duration = Duration::from_millis(100);
        let timeout = self.idle_timeout.expect("nothing but the idle timeout ends the inbox");
        assert!(self.idle + SLACK > timeout, "{id}: the inbox ends, idle for {:?}", self.idle);
    }
}
