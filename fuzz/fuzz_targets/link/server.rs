//! A server: its process, the scheduler of its two threads, and the application that holds its
//! channels.

use std::time::Duration;

use raft_cluster::internals::{FRAME_OVERHEAD, Frame, Process, Sent, Thread, Turn};
use raft_cluster::{Envelope, Event, PeerState, Reason, Recipient, Rejection, Stats};

use crate::ledger::{self, Received, Record, Speakers};
use crate::letters::{LETTERS, Letters};
use crate::setup::{
    ABSENTEE, HEARTBEAT, LINGER, MAX_MESSAGE, NOBODY, PEER_TIMEOUT, Setup, WINDOW, pid,
};
use crate::{Manners, Mood, Side, To};

/// How many frames one turn may send: more than fit in a window.
const FRAMES_IN_A_TURN: usize = 2 * WINDOW / FRAME_OVERHEAD;

/// How much longer than the linger time an end may take: peers part, and threads are late.
const END_SLACK: Duration = Duration::from_secs(4);

/// A thread that is due so soon may still have something to tell the other one.
const SOON: Duration = Duration::from_millis(20);

const NEVER: Duration = Duration::MAX;

/// Both threads, in the order in which they run.
const THREADS: [Thread; 2] = [Thread::Input, Thread::Output];

pub struct Server {
    side: Side,
    mood: Mood,
    has_absentee: bool,
    pub process: Process,
    pub id: ledger::Process,
    /// When each of the threads runs although it is not ready.
    due: [Duration; 2],
    /// Until when the process is stopped.
    paused_until: Duration,
    /// Since when it has not been stopped.
    awake_since: Duration,
    /// Until when it has to have ended.
    end_by: Duration,
    app: Application,
    /// What is on its way to here.
    pub letters: Letters,
    speakers: Speakers,
    /// Who sent what has arrived and is not read.
    unread: Vec<ledger::Process>,
}

/// What the application has done, and has been told.
#[derive(Default)]
struct Application {
    /// The number of the next envelope for the peer.
    next: u64,
    /// How many envelopes were for the peer, for the absentee, and for nobody.
    to_peer: u64,
    to_absentee: u64,
    to_nobody: u64,
    /// How many envelopes came back: of those for the peer, for the absentee, and for nobody.
    returned: [u64; 3],
    /// How many it was told to have missed, by events and by the statistics.
    missed: u64,
    counted_missed: u64,
    received: Received,
    /// Whether it has told the server to end.
    stopped: bool,
}

impl Server {
    pub fn start(side: Side, id: ledger::Process, scene: (Mood, Setup), now: Duration) -> Self {
        let (mood, setup) = scene;
        Self {
            side,
            mood,
            has_absentee: setup.has_absentee,
            process: setup.start(side, id, now),
            id,
            due: [now; 2],
            paused_until: now,
            awake_since: now,
            end_by: NEVER,
            app: Application::default(),
            letters: Letters::default(),
            speakers: Speakers::default(),
            unread: Vec::new(),
        }
    }

    /// Another process takes over. What was on its way to the old one finds it.
    pub fn replace(&mut self, new: Self) -> Self {
        let mut old = std::mem::replace(self, new);
        self.letters = std::mem::take(&mut old.letters);
        old
    }

    /// The process ends. Returns what it sends then.
    pub fn end(mut self, manners: Manners, now: Duration) -> Vec<Frame> {
        if manners == Manners::Killed {
            return Vec::new();
        }
        self.process.fail();
        self.turn(Thread::Output, now)
    }

    pub fn pause(&mut self, until: Duration, pause: Duration) {
        self.paused_until = self.paused_until.max(until);
        self.awake_since = self.paused_until;
        self.end_by = self.end_by.saturating_add(pause + HEARTBEAT);
    }

    /// The process goes on.
    pub fn resume(&mut self, now: Duration) {
        self.paused_until = self.paused_until.min(now);
        self.awake_since = self.awake_since.min(now);
    }

    fn runs(&self, now: Duration) -> bool {
        now >= self.paused_until && !self.process.has_ended()
    }

    /// When one of the threads has to run although nothing happens.
    pub fn poll_timeout(&self) -> Duration {
        if self.process.has_ended() {
            return NEVER;
        }
        self.due[0].min(self.due[1]).max(self.paused_until)
    }

    /// Lets each thread run that is due, or ready. Returns whether any was, and what it sent.
    pub fn run(&mut self, now: Duration) -> Option<Vec<Frame>> {
        let mut sent = None;
        for thread in THREADS {
            let due = self.due[thread as usize] <= now || self.process.is_ready(thread);
            if due && self.runs(now) {
                sent.get_or_insert_with(Vec::new).append(&mut self.turn(thread, now));
            }
        }
        sent
    }

    /// A thread takes a turn. Returns what it sent to the peer.
    pub fn turn(&mut self, thread: Thread, now: Duration) -> Vec<Frame> {
        if !self.runs(now) {
            return Vec::new();
        }
        self.due[thread as usize] = match self.process.turn(thread, now) {
            Turn::Again => now,
            Turn::Wait(None) | Turn::End => NEVER,
            Turn::Wait(Some(due)) => {
                assert!(due > now, "{thread:?} wants to run again at once");
                due
            }
        };
        match thread {
            Thread::Input => {
                self.check_progress(now);
                Vec::new()
            }
            Thread::Output => {
                self.check_accounts();
                self.take_sent()
            }
        }
    }

    fn take_sent(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (count, (peer, sent)) in self.process.sent().enumerate() {
            assert!(count <= 2 * FRAMES_IN_A_TURN, "it sends without end");
            match sent {
                Sent::Frame(frame) if peer != ABSENTEE => frames.push(frame),
                Sent::Frame(_) | Sent::Renewed => {}
            }
        }
        frames
    }

    /// The application sends an envelope. Returns whether there was room.
    pub fn send(&mut self, to: To, bytes: usize) -> bool {
        let Some(outbox) = self.process.outbox() else { return false };
        let for_peer = matches!(to, To::All | To::Peer);
        // One that this server itself does not take is no gap in the stream.
        let numbered = for_peer && bytes <= MAX_MESSAGE[self.side as usize];
        let record = Record { writer: self.id, number: self.app.next };
        let (id, msg) = ledger::write(numbered.then_some(record), bytes);
        let envelope = match to {
            To::All => Envelope::broadcast(msg),
            To::Peer => Envelope::to(pid(self.side.other()), msg),
            To::Absentee => Envelope::to(ABSENTEE, msg),
            To::Nobody => Envelope::to(NOBODY, msg),
        };
        if outbox.try_send(envelope.with_id(id)).is_err() {
            return false;
        }
        self.app.next += u64::from(numbered);
        self.app.to_peer += u64::from(for_peer);
        match to {
            To::All | To::Absentee if self.has_absentee => self.app.to_absentee += 1,
            To::Absentee | To::Nobody => self.app.to_nobody += 1,
            To::All | To::Peer => {}
        }
        true
    }

    /// An envelope that this side may send, and some that are too large.
    pub fn large(&self, bytes: u16) -> usize {
        usize::from(bytes) % (MAX_MESSAGE[self.side as usize] + 64)
    }

    /// The application takes the next envelope out of its inbox.
    pub fn read(&mut self) -> Option<Envelope> {
        let envelope = self.process.inbox()?.try_recv().ok()?;
        assert_eq!(envelope.from, pid(self.side.other()));
        if self.mood == Mood::Peaceful {
            let to = [Recipient::Broadcast, Recipient::Peer(pid(self.side))];
            assert!(to.contains(&envelope.to), "it is for somebody else: {:?}", envelope.to);
            let most = MAX_MESSAGE[self.side as usize];
            assert!(envelope.msg.len() <= most, "it is larger than this server takes");
        }
        Some(envelope)
    }

    pub fn received(&mut self) -> &mut Received {
        &mut self.app.received
    }

    /// How many envelopes have entered the inbox and were not read.
    pub fn waiting(&self) -> u64 {
        self.process.inbox().map_or(0, |inbox| inbox.len() as u64)
    }

    pub fn stop(&mut self, now: Duration) {
        if !self.app.stopped {
            self.app.stopped = true;
            self.end_by = now.max(self.paused_until) + LINGER + END_SLACK;
            self.process.stop();
        }
    }

    /// Whether what it sends now reaches a peer that listens.
    pub fn is_open(&self) -> bool {
        self.process.outbox().is_some() && !self.app.stopped && !self.process.has_ended()
    }

    /// The application reads its events.
    pub fn read_events(&mut self) {
        for event in self.process.events().try_iter() {
            match event {
                Event::Undeliverable { reason: Reason::NoSuchPeer, .. } => {
                    self.app.returned[2] += 1
                }
                Event::Undeliverable { peer, envelope, .. } => {
                    let record = Record::of(&envelope);
                    let is_own = record.is_none_or(|record| record.writer == self.id);
                    assert!(is_own, "it returns what it was not given: {record:?}");
                    self.app.returned[usize::from(peer == ABSENTEE)] += 1;
                }
                Event::Missed { count, .. } => {
                    self.app.missed = self.app.missed.saturating_add(count);
                }
                Event::Rejected { reason, .. } => {
                    let is_fair = matches!(reason, Rejection::Conflict(_));
                    assert!(is_fair || self.mood == Mood::Hostile, "{reason:?}");
                }
                _ => {}
            }
        }
        self.check_events();
    }

    fn check_events(&self) {
        let stats = self.process.stats();
        let Application { returned, missed, counted_missed, .. } = &self.app;
        let dropped = |pid| stats.peer(pid).map_or(0, |peer| peer.dropped.total());
        let counted = [dropped(pid(self.side.other())), dropped(ABSENTEE), stats.no_such_peer];
        // Forged frames claim any number.
        let told = returned.iter().sum::<u64>().saturating_add(*missed);
        let all = counted.iter().sum::<u64>().saturating_add(*counted_missed);
        if stats.events_missed == 0 {
            assert_eq!((*returned, missed), (counted, counted_missed), "{stats:?}");
        } else {
            assert!(told <= all, "it is told of more than there was: {stats:?}");
        }
    }

    /// Takes note of whom the process listens to, and that no frame enters twice.
    fn check_progress(&mut self, now: Duration) {
        let peer = pid(self.side.other());
        let missed = self.process.stats().peer(peer).map_or(0, |stats| stats.missed);
        let more = missed - self.app.counted_missed;
        self.app.counted_missed = missed;
        let heard = std::mem::take(&mut self.unread);
        let Some(place) = self.process.progress().find(|place| place.peer == peer) else { return };
        if more > 0 {
            self.app.received.miss(place.speaker, more);
        }
        let checks_order = self.mood == Mood::Peaceful;
        self.speakers.note(place, heard.contains(&place.speaker), checks_order, now);
    }

    fn check_accounts(&self) {
        let stats = self.process.stats();
        let sent = [self.app.to_peer, self.app.to_absentee];
        for (peer, sent) in stats.peers.iter().zip(sent) {
            let places = peer.acknowledged + peer.dropped.total() + peer.queued + peer.in_flight;
            assert_eq!(peer.accepted, places, "{peer:?}");
            assert!(peer.accepted <= sent, "it accepts more than the {sent} sent: {peer:?}");
            let most = WINDOW.max(MAX_MESSAGE[self.side as usize]) + 3 * FRAME_OVERHEAD;
            // Once the linger time is over all that was held up is accepted, room or not.
            let is_within = peer.window_bytes <= most as u64;
            assert!(is_within || !self.is_open(), "{peer:?}");
        }
        assert!(stats.no_such_peer <= self.app.to_nobody, "{stats:?}");
        if self.process.has_ended() {
            self.check_report(&stats);
        }
    }

    /// What is pending in the end is handed back.
    fn check_report(&self, stats: &Stats) {
        for (peer, report) in stats.peers.iter().zip(self.process.report()) {
            let pending = peer.queued + peer.in_flight;
            assert_eq!(report.undelivered.len() as u64, pending, "{peer:?}");
        }
    }

    /// Checks what has to hold once no thread has anything to do.
    pub fn check_rest(&self, now: Duration) {
        let late = now > self.end_by && self.runs(now);
        assert!(!late, "it should have ended by {:?}", self.end_by);
        if self.runs(now) && self.poll_timeout() > now + SOON {
            assert!(self.process.is_informed(), "the output thread was not told");
        }
    }

    /// Whether the process has ended, or nothing that was sent is left anywhere, the process of the
    /// peer is heard, and the absentee holds nothing up any more.
    pub fn is_settled(&self, peer: &Self, now: Duration) -> bool {
        let hears = self.process.progress().any(|place| place.speaker == peer.id);
        let stats = self.process.stats();
        let Some(peer) = stats.peers.first() else { return true };
        let is_heard = hears && matches!(peer.state, PeerState::Up | PeerState::Left);
        let is_free = !self.has_absentee || now > self.awake_since + PEER_TIMEOUT;
        let is_empty = peer.accepted == self.app.to_peer && peer.window_bytes == 0;
        self.process.has_ended() || is_heard && is_free && is_empty
    }

    /// Once all is settled nothing that was sent is left anywhere, and who has ended has done so.
    pub fn check_settled(&self) {
        let stats = self.process.stats();
        let Some(peer) = stats.peers.first() else { return };
        assert_eq!(peer.accepted, self.app.to_peer, "the outbox has been emptied: {peer:?}");
        let left = peer.queued + peer.in_flight + peer.window_bytes;
        assert_eq!(left, 0, "nothing is pending in the end: {peer:?}");
    }

    pub fn acknowledged(&self) -> u64 {
        self.process.stats().peers.first().map_or(0, |peer| peer.acknowledged)
    }

    /// Whether a listener of this process has to know of all that is left out. What was given up on
    /// the word of a process before it, it need not know.
    pub fn tells_all(&self) -> bool {
        self.process.stats().peers.first().is_some_and(|peer| peer.dropped.inbox_closed == 0)
    }

    /// A letter arrives.
    pub fn arrive(&mut self, frame: Frame) {
        self.unread.push(frame.incarnation());
        self.process.arrive(frame);
    }

    /// Whether the process takes one more letter now.
    pub fn takes_letters(&self) -> bool {
        self.process.unread() < LETTERS
    }
}
