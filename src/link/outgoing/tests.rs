//! The sending half by itself, as scripts with times: what peers can only say when they err or lie,
//! and what a healthy peer never brings about.

mod fragments;
mod lanes;
mod membership;
mod sight;

use bytes::Bytes;

use super::*;
use crate::envelope::{Delivery, Pid};
use crate::frame::{ClusterId, Frame, Incarnation, Position, Sequence, Silence};
use crate::link::FrameSizes;

const OWN: u64 = 7;
const PEER: u64 = 8;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn outgoing() -> Outgoing {
    let ends = Ends {
        cluster: ClusterId::new(None),
        own: Pid::new(1),
        peer: Pid::new(2),
        incarnation: Incarnation::from_wire(OWN).unwrap(),
    };
    let limits = Limits {
        window: 1_000,
        min_backlog: 1_000,
        frames: FrameSizes::DEFAULT,
        max_message: 100,
        heartbeat: at(1_000),
        peer_timeout: at(5_000),
        reconnect_grace: at(500),
    };
    Outgoing::new(ends, limits, at(0))
}

fn batch() -> Payload {
    Payload::Batch {
        envelopes: 2,
        largest: 46,
        delivery: Delivery::default(),
        body: Bytes::from_static(&[0; 100]),
    }
}

/// A payload that found the peer down.
fn given_up(payload: Payload) -> GivenUp {
    GivenUp { payload, reason: Reason::PeerDown, bound_to: None }
}

/// The peer was heard and says it has all before `next`.
fn heard(millis: u64, next: u64) -> PeerStatus {
    let received_ack = Acknowledgement {
        of: Incarnation::from_wire(OWN),
        next: Position::start_of(Sequence::from_wire(next).unwrap()),
        silence: Silence::new(at(0)),
        ..Acknowledgement::NONE
    };
    PeerStatus {
        incarnation: Incarnation::from_wire(PEER),
        presence: Presence::Up,
        heard_at: at(millis),
        received_ack,
        ack_to_send: Acknowledgement::NONE,
        ack_timing: AckTiming::Delayed,
        max_message: 100,
        settled: false,
    }
}

/// What is sent now: the sequence of each frame that is not a heartbeat.
fn sent(outgoing: &mut Outgoing, millis: u64) -> Vec<u64> {
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(millis)));
    let in_stream = frames.filter(|frame| frame.payload != Payload::Heartbeat);
    in_stream.map(|frame| frame.header.position.sequence.to_wire()).collect()
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused_and_changes_nothing() {
    let mut outgoing = outgoing();
    outgoing.push(batch(), 0, None, at(0));
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(outgoing.handle_status(&heard(1, 1)), Ok(()));
    // Both are queued, and neither is sent.
    let refused = Err(Rejection::FalseAcknowledgement(Pid::new(2)));
    assert_eq!(outgoing.handle_status(&heard(2, 2)), refused);
    assert_eq!(sent(&mut outgoing, 3), [1, 2]);
    assert_eq!(outgoing.handle_status(&heard(4, 4)), refused);
    let stats = outgoing.stats(at(4));
    assert_eq!((stats.acknowledged, stats.in_flight), (0, 4));
    assert_eq!(outgoing.handle_status(&heard(5, 3)), Ok(()));
    assert_eq!(outgoing.stats(at(5)).acknowledged, 4);
}

#[test]
fn a_gap_is_answered_once_for_each_epoch() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 2), [1, 2]);
    let mut gap = heard(3, 1);
    gap.received_ack.nack = Some(outgoing.epoch);
    outgoing.handle_status(&gap).unwrap();
    assert_eq!(sent(&mut outgoing, 4), [1, 2]);
    outgoing.handle_status(&gap).unwrap();
    assert_eq!(sent(&mut outgoing, 5), [0_u64; 0]);
}

#[test]
fn a_peer_that_does_not_confirm_holds_nobody_up_after_the_timeout() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    while outgoing.room(100, 0, at(2)) == Room::Yes {
        outgoing.push(batch(), 0, None, at(0));
    }
    assert_eq!(outgoing.stats(at(2)).window_bytes, 4 * (100 + FRAME_OVERHEAD as u64));
    assert_eq!(outgoing.room(100, 0, at(5_000)), Room::Wait);
    assert_eq!(outgoing.room(100, 0, at(5_001)), Room::Refuse(Reason::PeerDown));
    // Whoever waits for room is woken then.
    outgoing.handle_renewal();
    (0..4).for_each(|probe| drop(sent(&mut outgoing, 4_300 + 2_000 * probe)));
    sent(&mut outgoing, 4_400);
    assert_eq!(outgoing.poll_timeout(at(4_400)), Some(at(5_001)));
}

#[test]
fn a_pause_of_this_process_is_not_held_against_the_peer() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    while outgoing.room(100, 0, at(2)) == Room::Yes {
        outgoing.push(batch(), 0, None, at(0));
    }
    outgoing.handle_pause(at(60_000));
    assert_eq!(outgoing.room(100, 0, at(65_000)), Room::Wait);
    assert_eq!(outgoing.evidence(), at(60_001));
    assert_eq!(outgoing.room(100, 0, at(65_001)), Room::Refuse(Reason::PeerDown));
}

#[test]
fn the_missed_are_told_with_the_frame_after_them() {
    let mut outgoing = outgoing();
    outgoing.push(batch(), 0, None, at(0));
    outgoing.refuse(given_up(batch()));
    outgoing.push(batch(), 0, None, at(0));
    outgoing.refuse(given_up(batch()));
    outgoing.handle_status(&heard(1, 1)).unwrap();
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(2)));
    let told: Vec<_> =
        frames.map(|frame| (frame.header.missed, frame.payload.envelopes())).collect();
    assert_eq!(told, [(0, 2), (2, 2), (2, 0)]);
}

/// A peer that is heard again and again, and never acknowledges anything, does not fill the memory
/// with what it is told.
#[test]
fn the_missed_are_told_when_there_is_room_for_it() {
    let mut outgoing = outgoing();
    (0..4).for_each(|_| outgoing.push(batch(), 0, None, at(0)));
    outgoing.refuse(given_up(batch()));
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(sent(&mut outgoing, 2), [1, 2, 3, 4]);
    outgoing.handle_status(&heard(3, 2)).unwrap();
    assert_eq!(sent(&mut outgoing, 4), [5]);
}

#[test]
fn what_is_in_flight_is_sent_again_at_once_when_it_may_be_lost() {
    let mut outgoing = outgoing();
    outgoing.push(batch(), 0, None, at(0));
    outgoing.push(batch(), 0, None, at(0));
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(sent(&mut outgoing, 1), [1, 2]);
    // Another process speaks for the peer.
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..heard(2, 1) };
    outgoing.handle_status(&other).unwrap();
    assert_eq!(sent(&mut outgoing, 2), [1, 2]);
    // It is heard again after a silence.
    outgoing.handle_status(&PeerStatus { presence: Presence::Down, ..other }).unwrap();
    assert_eq!(sent(&mut outgoing, 3), [0_u64; 0]);
    outgoing.handle_status(&other).unwrap();
    assert_eq!(sent(&mut outgoing, 4), [1, 2]);
    // The connection was replaced.
    outgoing.handle_renewal();
    assert_eq!(sent(&mut outgoing, 5), [1, 2]);
    assert_eq!(outgoing.stats(at(5)).resent, 3 * 4);
}

#[test]
fn only_a_heartbeat_of_its_own_asks_for_an_acknowledgement() {
    let mut outgoing = outgoing();
    let wants_ack = |outgoing: &mut Outgoing, millis| {
        let frame = outgoing.poll_transmit(at(millis))?;
        (frame.payload == Payload::Heartbeat).then_some(frame.header.wants_ack)
    };
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(wants_ack(&mut outgoing, 1), Some(false));
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 2), [1]);
    assert_eq!(wants_ack(&mut outgoing, 151), None);
    assert_eq!(wants_ack(&mut outgoing, 152), Some(true));
    outgoing
        .handle_status(&PeerStatus { ack_timing: AckTiming::Immediate, ..heard(153, 1) })
        .unwrap();
    assert_eq!(wants_ack(&mut outgoing, 153), Some(false));
}

#[test]
fn a_peer_that_has_ended_is_sent_nothing_and_holds_nobody_up() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    let mut ended = heard(2, 1);
    ended.received_ack.intake = outgoing.clone().last_words(at(2)).header.acknowledgement.intake;
    outgoing.handle_status(&ended).unwrap();
    let dropped = std::iter::from_fn(|| outgoing.poll_dropped());
    assert_eq!(
        dropped.collect::<Vec<_>>(),
        [GivenUp { reason: Reason::InboxClosed, ..given_up(batch()) }]
    );
    assert_eq!(outgoing.room(1, 0, at(3)), Room::Refuse(Reason::InboxClosed));
    assert_eq!(outgoing.poll_transmit(at(10_000)), None);
    assert_eq!(outgoing.poll_timeout(at(10_000)), None);
    // Until another process speaks for it.
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..heard(10_001, 1) };
    outgoing.handle_status(&other).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 10_002), [2]);
}

/// Otherwise two servers that restart side by side, each in time for the last words that were for
/// the other's predecessor, would both be silent for ever.
#[test]
fn the_last_words_for_the_process_before_silence_nobody() {
    let mut outgoing = outgoing();
    let mut last_words = heard(1, 1);
    last_words.received_ack.intake = Intake::Ended;
    last_words.received_ack.of = Incarnation::from_wire(OWN - 1);
    outgoing.handle_status(&last_words).unwrap();
    assert_eq!(outgoing.room(100, 0, at(2)), Room::Yes);
    assert!(outgoing.poll_transmit(at(2)).is_some());
    last_words.received_ack.of = Incarnation::from_wire(OWN);
    outgoing.handle_status(&last_words).unwrap();
    assert_eq!(outgoing.room(100, 0, at(3)), Room::Refuse(Reason::InboxClosed));
    assert_eq!(outgoing.poll_transmit(at(3)), None);
}

#[test]
fn an_acknowledgement_is_asked_for_each_eighth_of_the_congestion_window_and_at_its_end() {
    let mut outgoing = outgoing();
    outgoing.congestion = CongestionWindow::new(FrameSizes::DEFAULT, 2_060);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    (0..9).for_each(|_| outgoing.push(batch(), 0, None, at(0)));
    outgoing.say_goodbye();
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(2)));
    let asks: Vec<bool> = frames.map(|frame| frame.header.wants_ack).collect();
    // Each takes more than a tenth of it, and less than an eighth, and it has no room for a tenth.
    assert_eq!(asks, [false, true, false, true, false, true, false, true, true]);
    assert_eq!(outgoing.poll_transmit(at(3)), None);
    outgoing.handle_status(&heard(4, 2)).unwrap();
    let goodbye = outgoing.poll_transmit(at(4)).unwrap();
    assert_eq!((goodbye.payload, goodbye.header.wants_ack), (Payload::Goodbye, true));
}
