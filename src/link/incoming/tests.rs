//! The receiving half by itself, as scripts with times: how soon it answers what.

mod fragments;
mod membership;

use bytes::Bytes;

use super::*;
use crate::envelope::Delivery;
use crate::envelope::Pid;
use crate::frame::{ClusterId, Epoch, Position, Sequence, Stamp};
use crate::link::{FRAME_OVERHEAD, FrameSizes};

const PEER: u64 = 8;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn incoming(window: usize) -> Incoming {
    let ends = Ends {
        cluster: ClusterId::new(None),
        own: Pid::new(1),
        peer: Pid::new(2),
        incarnation: Incarnation::from_wire(7).unwrap(),
    };
    let limits = Limits {
        window,
        min_backlog: window,
        frames: FrameSizes::DEFAULT,
        max_message: 100,
        heartbeat: at(1_000),
        peer_timeout: at(5_000),
        reconnect_grace: at(500),
    };
    Incoming::new(ends, limits, at(0))
}

fn header(incarnation: u64, sequence: u64) -> Header {
    Header {
        cluster: ClusterId::new(None),
        from: Pid::new(2),
        to: Pid::new(1),
        incarnation: Incarnation::from_wire(incarnation).unwrap(),
        position: Position::start_of(Sequence::from_wire(sequence).unwrap()),
        base: Sequence::FIRST,
        epoch: Epoch::FIRST,
        missed: 0,
        suspends: 0,
        max_message: 100,
        wants_ack: false,
        stamp: Stamp::ZERO,
        settled: false,
        resumed: false,
        // Of the receiver.
        acknowledgement: Acknowledgement { of: Incarnation::from_wire(7), ..Acknowledgement::NONE },
    }
}

fn batch(sequence: u64) -> Frame {
    let payload = Payload::Batch {
        envelopes: 2,
        largest: 46,
        delivery: Delivery::default(),
        body: Bytes::from_static(&[0; 100]),
    };
    Frame { header: header(PEER, sequence), payload }
}

fn heartbeat(sequence: u64) -> Frame {
    Frame { header: header(PEER, sequence), payload: Payload::Heartbeat }
}

fn urgent(frame: Frame) -> Frame {
    Frame { header: Header { wants_ack: true, ..frame.header }, ..frame }
}

impl Incoming {
    /// Takes a frame and tells how urgent what it has to say is, if it has anything to say.
    fn takes(&mut self, frame: Frame, millis: u64) -> Option<AckTiming> {
        self.handle_frame(frame, at(millis)).unwrap();
        self.poll_status().map(|heard| heard.ack_timing)
    }
}

#[test]
fn an_acknowledgement_waits_for_company_unless_it_is_wanted_at_once() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    assert_eq!(incoming.takes(batch(1), 1), None);
    incoming.pop(at(2));
    assert_eq!(incoming.poll_timeout(), Some(at(12)));
    incoming.handle_timeout(at(12));
    let heard = incoming.poll_status().unwrap();
    assert_eq!(
        (heard.ack_timing, heard.ack_to_send.next.sequence.to_wire()),
        (AckTiming::Immediate, 2)
    );
    assert_eq!(incoming.takes(urgent(batch(2)), 13), None);
    incoming.pop(at(14));
    let heard = incoming.poll_status().unwrap();
    assert_eq!(
        (heard.ack_timing, heard.ack_to_send.next.sequence.to_wire()),
        (AckTiming::Immediate, 3)
    );
}

#[test]
fn a_gap_is_answered_once_for_each_epoch_and_again_for_each_heartbeat() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    assert_eq!(incoming.takes(batch(2), 1), Some(AckTiming::Immediate));
    assert_eq!(incoming.takes(batch(3), 2), None);
    assert_eq!(incoming.takes(heartbeat(4), 3), Some(AckTiming::Immediate));
    let mut again = batch(2);
    again.header.epoch = Epoch::FIRST.next();
    assert_eq!(incoming.takes(again, 4), Some(AckTiming::Immediate));
}

/// A goodbye is taken although the inbox is closed, so it is asked for when it is lost.
#[test]
fn a_gap_is_answered_although_the_inbox_is_closed() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    incoming.close();
    incoming.poll_status();
    incoming.handle_frame(heartbeat(2), at(1)).unwrap();
    let heard = incoming.poll_status().unwrap();
    assert_eq!(
        (heard.ack_timing, heard.ack_to_send.nack),
        (AckTiming::Immediate, Some(Epoch::FIRST))
    );
    incoming.takes(Frame { header: header(PEER, 1), payload: Payload::Goodbye }, 2);
    incoming.pop(at(3));
    assert_eq!(incoming.presence(), Presence::Left);
}

#[test]
fn only_a_heartbeat_that_asks_is_answered() {
    let mut incoming = incoming(10_000);
    assert_eq!(incoming.takes(heartbeat(1), 0), Some(AckTiming::Immediate));
    assert_eq!(incoming.takes(heartbeat(1), 1), Some(AckTiming::Delayed));
    assert_eq!(incoming.takes(urgent(heartbeat(1)), 2), Some(AckTiming::Immediate));
}

#[test]
fn a_repeat_is_acknowledged_again() {
    let mut incoming = incoming(10_000);
    incoming.takes(batch(1), 0);
    incoming.pop(at(1));
    incoming.handle_timeout(at(11));
    incoming.poll_status();
    assert_eq!(incoming.takes(batch(1), 20), None);
    assert_eq!(incoming.front(), None);
    assert_eq!(incoming.poll_timeout(), Some(at(30)));
}

#[test]
fn what_finds_no_room_is_asked_for_when_half_the_window_is_free() {
    let mut incoming = incoming(1_000);
    for sequence in 1..=4 {
        incoming.takes(batch(sequence), 0);
    }
    assert_eq!(incoming.takes(batch(5), 1), None);
    // It would find no room either: nothing is asked for.
    assert_eq!(incoming.takes(batch(6), 2), None);
    assert_eq!(incoming.takes(heartbeat(7), 3), Some(AckTiming::Delayed));
    incoming.pop(at(4));
    assert_eq!(incoming.poll_status(), None);
    incoming.pop(at(5));
    let heard = incoming.poll_status().unwrap();
    assert_eq!(
        (heard.ack_timing, heard.ack_to_send.next.sequence.to_wire()),
        (AckTiming::Immediate, 3)
    );
    assert_eq!(heard.ack_to_send.nack, Some(Epoch::FIRST));
}

#[test]
fn a_newer_process_is_heard_at_once_and_an_older_one_after_a_silence() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    let from = |incarnation| Frame { header: header(incarnation, 1), payload: Payload::Heartbeat };
    assert_eq!(incoming.handle_frame(from(PEER + 1), at(1)), Ok(Handled::Fresh));
    assert_eq!(incoming.handle_frame(from(PEER), at(2)), Ok(Handled::Known));
    let conflict = Err(Rejection::Conflict(Pid::new(2)));
    assert_eq!(incoming.handle_frame(from(PEER - 1), at(3)), conflict);
    assert_eq!(incoming.handle_frame(from(PEER - 1), at(5_001)), Ok(Handled::Fresh));
    // The newer one was not gone: it is heard once its frames cannot be late ones.
    assert_eq!(incoming.handle_frame(from(PEER + 1), at(10_000)), Ok(Handled::Known));
    assert_eq!(incoming.handle_frame(from(PEER + 1), at(10_001)), Ok(Handled::Fresh));
    assert_eq!(incoming.handle_frame(from(PEER + 1), at(12_000)), Ok(Handled::Known));
    assert_eq!(incoming.handle_frame(from(PEER - 1), at(15_001)), conflict);
    let sightings: Vec<_> = std::iter::from_fn(|| incoming.poll_sighting()).collect();
    let other = [Sighting::Restarted, Sighting::Up];
    assert_eq!(sightings, [&[Sighting::Up][..], &other, &other, &other].concat());
}

#[test]
fn a_process_that_is_heard_again_goes_on_where_it_was() {
    let mut incoming = incoming(10_000);
    incoming.takes(batch(1), 0);
    incoming.pop(at(1));
    let older = Frame { header: header(PEER - 1, 1), payload: Payload::Heartbeat };
    assert_eq!(incoming.handle_frame(older, at(5_001)), Ok(Handled::Fresh));
    assert_eq!(incoming.handle_frame(batch(1), at(11_000)), Ok(Handled::Fresh));
    assert_eq!(incoming.front(), None);
    incoming.takes(batch(2), 11_001);
    assert_eq!(incoming.front().map(|arrival| arrival.sequence.to_wire()), Some(2));
}

/// The header's words about how long ago the peer has heard this server.
fn hears(silence: Option<u64>, sequence: u64) -> Frame {
    let mut frame = heartbeat(sequence);
    let ack = &mut frame.header.acknowledgement;
    ack.of = silence.and_then(|_| Incarnation::from_wire(7));
    ack.silence = silence.map_or(Silence::NEVER_HEARD, |millis| Silence::new(at(millis)));
    frame
}

fn sightings(incoming: &mut Incoming) -> Vec<Sighting> {
    std::iter::from_fn(|| incoming.poll_sighting()).collect()
}

#[test]
fn a_peer_that_is_never_heard_is_absent_and_told_so_once() {
    let mut incoming = incoming(10_000);
    assert_eq!(incoming.poll_timeout(), Some(at(5_000)));
    incoming.handle_timeout(at(4_999));
    assert_eq!(sightings(&mut incoming), []);
    incoming.handle_timeout(at(5_000));
    assert_eq!(sightings(&mut incoming), [Sighting::Absent]);
    assert_eq!(incoming.poll_timeout(), None);
    incoming.handle_timeout(at(50_000));
    incoming.takes(heartbeat(1), 60_000);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
}

#[test]
fn a_peer_that_does_not_hear_this_server_is_heard_one_way() {
    let mut incoming = incoming(10_000);
    incoming.takes(hears(None, 1), 1_000);
    incoming.takes(hears(Some(100), 1), 2_000);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
    // It goes on speaking, but has heard nothing since.
    for second in 3..=6 {
        incoming.takes(hears(Some(second * 1_000 - 1_900), 1), second * 1_000);
    }
    incoming.handle_timeout(at(6_899));
    assert_eq!((sightings(&mut incoming), incoming.poll_timeout()), (vec![], Some(at(6_900))));
    incoming.handle_timeout(at(6_900));
    assert_eq!(sightings(&mut incoming), [Sighting::OneWay]);
    // What another process heard does not count.
    let mut other = hears(Some(0), 1);
    other.header.acknowledgement.of = Incarnation::from_wire(6);
    incoming.takes(other, 7_100);
    assert_eq!(sightings(&mut incoming), []);
    incoming.takes(hears(Some(0), 1), 7_200);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
}

/// Nothing enters the inbox, which is full, and the sender has nothing new to say but its frames.
#[test]
fn a_peer_whose_frames_wait_learns_that_it_is_heard() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    let mut told = Vec::new();
    for (sequence, millis) in (1..).zip((100..3_000).step_by(100)) {
        incoming.handle_frame(batch(sequence), at(millis)).unwrap();
        told.extend(incoming.poll_status().map(|status| status.heard_at));
    }
    assert_eq!(told, [500, 1_000, 1_500, 2_000, 2_500].map(at));
}

#[test]
fn a_peer_that_refuses_connections_is_down_unless_it_was_heard_meanwhile() {
    let sightings = |heard: &[u64], refusals: &[(u64, u64)]| {
        let mut incoming = incoming(1_000);
        for millis in heard {
            incoming.takes(heartbeat(1), *millis);
        }
        for (refused_for, now) in refusals {
            incoming.handle_refusal(at(*refused_for), at(*now));
        }
        std::iter::from_fn(|| incoming.poll_sighting()).collect::<Vec<_>>()
    };
    // It was never heard: it is still to come.
    assert_eq!(sightings(&[], &[(500, 1_000)]), []);
    // Down once, however often it is told, and not before the grace is over. What was on its way
    // when it died does not count.
    let refusals = [(499, 1_499), (500, 1_500), (700, 1_700)];
    assert_eq!(sightings(&[1_250], &refusals[..1]), [Sighting::Up]);
    assert_eq!(sightings(&[1_250], &refusals), [Sighting::Up, Sighting::Down(Loss::Refusing)]);
    // Heard after it closed the connection: it lives, whatever refuses.
    assert_eq!(sightings(&[900, 1_251], &refusals), [Sighting::Up]);
}
