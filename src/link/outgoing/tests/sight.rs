//! What is told of the link besides the accounts: the round trip, the oldest envelope, the limit.

use super::fragments::{has, outgoing_in_pieces, single};
use super::*;
use crate::envelope::Envelope;
use crate::session::Session;
use crate::wire::Batch;

fn ask(outgoing: &mut Outgoing, millis: u64) -> Vec<bool> {
    outgoing.push(batch(), 0, None, at(millis));
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(millis)));
    frames.map(|frame| frame.header.wants_ack).collect()
}

fn rtt(outgoing: &Outgoing) -> Option<Duration> {
    outgoing.stats(at(0)).rtt
}

fn oldest(outgoing: &Outgoing, millis: u64) -> Option<Duration> {
    outgoing.stats(at(millis)).oldest_unacknowledged
}

/// One that has just been asked for an acknowledgement, and has it.
fn asked() -> Outgoing {
    let mut outgoing = outgoing();
    // It has room for so much that the peer need not be asked for that.
    outgoing.congestion = CongestionWindow::new(FrameSizes::DEFAULT, 10_000);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(ask(&mut outgoing, 2), [false]);
    outgoing.handle_status(&heard(3, 2)).unwrap();
    assert_eq!(rtt(&outgoing), None);
    assert_eq!(ask(&mut outgoing, 1_000), [true]);
    outgoing.handle_status(&heard(1_008, 3)).unwrap();
    outgoing
}

#[test]
fn the_round_trip_is_measured_once_a_heartbeat_however_little_is_sent() {
    let mut outgoing = asked();
    assert_eq!(rtt(&outgoing), Some(at(8)));
    assert_eq!(ask(&mut outgoing, 1_999), [false]);
    outgoing.handle_status(&heard(1_999, 4)).unwrap();
    assert_eq!(ask(&mut outgoing, 2_000), [true]);
    assert_eq!(rtt(&outgoing), Some(at(8)));
    outgoing.handle_status(&heard(2_016, 5)).unwrap();
    assert_eq!(rtt(&outgoing), Some(at(9)));
}

#[test]
fn a_frame_that_was_sent_again_tells_no_round_trip() {
    let mut outgoing = asked();
    assert_eq!(ask(&mut outgoing, 2_000), [true]);
    let mut gap = heard(2_010, 3);
    gap.received_ack.nack = Some(outgoing.epoch);
    outgoing.handle_status(&gap).unwrap();
    assert_eq!(sent(&mut outgoing, 3_000), [3]);
    outgoing.handle_status(&heard(3_001, 4)).unwrap();
    assert_eq!(rtt(&outgoing), Some(at(8)));
}

#[test]
fn a_pause_of_this_process_is_no_round_trip() {
    let mut outgoing = asked();
    assert_eq!(ask(&mut outgoing, 2_000), [true]);
    outgoing.handle_pause(at(60_000));
    outgoing.handle_status(&heard(62_000, 4)).unwrap();
    assert_eq!(rtt(&outgoing), Some(at(8)));
}

#[test]
fn the_round_trip_of_another_connection_or_process_is_measured_anew() {
    let mut outgoing = asked();
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..heard(1_100, 3) };
    outgoing.handle_status(&other).unwrap();
    assert_eq!(rtt(&outgoing), None);
    let mut outgoing = asked();
    outgoing.handle_renewal();
    assert_eq!(rtt(&outgoing), None);
}

#[test]
fn the_oldest_is_what_was_accepted_first_whatever_overtakes_it() {
    let mut outgoing = outgoing_in_pieces();
    assert_eq!(oldest(&outgoing, 5), None);
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(950), 0, None, at(10));
    assert_eq!(sent(&mut outgoing, 11).len(), 5);
    // They are sent before the rest of it, which is the third payload then.
    outgoing.push(single(20), 1, None, at(20));
    outgoing.push(single(30), 2, None, at(30));
    outgoing.handle_status(&has(40, 1, 500)).unwrap();
    sent(&mut outgoing, 41);
    assert_eq!(oldest(&outgoing, 50), Some(at(40)));
    outgoing.handle_status(&has(60, 4, 500)).unwrap();
    assert_eq!(oldest(&outgoing, 70), Some(at(60)));
    sent(&mut outgoing, 71);
    outgoing.handle_status(&has(80, 5, 0)).unwrap();
    assert_eq!((oldest(&outgoing, 90), outgoing.stats(at(90)).acknowledged), (None, 3));
}

#[test]
fn what_is_given_up_has_no_age() {
    let mut outgoing = outgoing();
    let speaker = Incarnation::from_wire(PEER);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    let bound = |message: &'static str| {
        let mut batch = Batch::default();
        batch.push(&Envelope::to(Pid::new(2), message).or_return());
        batch
    };
    outgoing.push(bound("for that one").take(), 0, speaker, at(10));
    let mut mixed = bound("too");
    mixed.push(&Envelope::to(Pid::new(2), "for anybody"));
    outgoing.push(mixed.take(), 0, speaker, at(20));
    outgoing.refuse(given_up(batch()));
    outgoing.push(batch(), 0, None, at(30));
    assert_eq!(oldest(&outgoing, 100), Some(at(90)));
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..heard(40, 1) };
    outgoing.handle_status(&other).unwrap();
    assert_eq!(outgoing.stats(at(41)).dropped.restarted, 2);
    assert_eq!(oldest(&outgoing, 100), Some(at(80)), "what is left of the mixed one");
    let mut closed = other;
    closed.received_ack.intake = Intake::Closed;
    outgoing.handle_status(&closed).unwrap();
    assert_eq!(oldest(&outgoing, 100), None);
}

#[test]
fn the_limit_is_the_window_or_what_the_line_carries_to_a_living_peer() {
    let mut outgoing = outgoing();
    outgoing.limits = Limits { window: 10_000, min_backlog: 700, ..outgoing.limits };
    outgoing.congestion = CongestionWindow::new(FrameSizes { min: 100, max: 1_000 }, 10_000);
    let limit = |outgoing: &Outgoing, millis| outgoing.stats(at(millis)).window_limit;
    assert_eq!(limit(&outgoing, 0), 10_000);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(limit(&outgoing, 1), 700);
    outgoing.limits.min_backlog = 0;
    assert_eq!(limit(&outgoing, 1), outgoing.congestion.bytes() as u64);
    assert_eq!(limit(&outgoing, 5_001), 10_000, "it does not hear this server");
    outgoing.handle_status(&PeerStatus { presence: Presence::Down, ..heard(9_000, 1) }).unwrap();
    assert_eq!(limit(&outgoing, 9_000), 10_000);
}

#[test]
fn the_session_is_that_of_the_process_that_was_heard_last() {
    let mut outgoing = outgoing();
    let session = |outgoing: &Outgoing| outgoing.stats(at(9)).session;
    assert_eq!(session(&outgoing), None);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    assert_eq!(session(&outgoing), Incarnation::from_wire(PEER).map(Session::of));
    outgoing.handle_status(&PeerStatus { presence: Presence::Down, ..heard(2, 1) }).unwrap();
    assert_eq!(session(&outgoing), Incarnation::from_wire(PEER).map(Session::of));
}
