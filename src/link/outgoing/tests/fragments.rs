//! What goes out in pieces.

use super::*;
use crate::envelope::{Envelope, Recipient, Role};
use crate::wire::{Batch, Envelopes};

/// One with frames of 100 bytes, of which some are on their way at once.
pub(super) fn outgoing_in_pieces() -> Outgoing {
    let frames = FrameSizes { min: 100, max: 100 };
    let outgoing = outgoing();
    Outgoing::new(outgoing.ends, Limits { frames, ..outgoing.limits }, at(0))
}

pub(super) fn single(bytes: usize) -> Payload {
    Payload::Single {
        to: Recipient::Broadcast,
        msg_id: 0,
        role: Role::MESSAGE,
        msg: Bytes::from(vec![7; bytes]),
        delivery: Delivery::default(),
    }
}

/// A peer that takes large messages has all before this.
pub(super) fn has(millis: u64, next: u64, offset: u32) -> PeerStatus {
    let mut status = heard(millis, next);
    status.received_ack.next.offset = offset;
    PeerStatus { max_message: 1_000, ..status }
}

/// The frames of the stream that are sent now: which payload, from where, and how many bytes.
pub(super) fn pieces(outgoing: &mut Outgoing, millis: u64) -> Vec<(u64, u32, usize)> {
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(millis)));
    let in_stream = frames.filter(|frame| frame.payload != Payload::Heartbeat);
    let place = |frame: Frame| {
        let Position { sequence, offset } = frame.header.position;
        (sequence.to_wire(), offset, frame.payload.len())
    };
    in_stream.map(place).collect()
}

#[test]
fn a_large_payload_goes_out_as_the_window_has_room() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(650), 0, None, at(0));
    let first = [0, 100, 200, 300, 400].map(|offset| (1, offset, 100));
    assert_eq!(pieces(&mut outgoing, 2), first);
    let stats = outgoing.stats(at(2));
    assert_eq!((stats.queued, stats.in_flight, stats.sent), (0, 1, 1));
    outgoing.handle_status(&has(3, 1, 100)).unwrap();
    assert_eq!(pieces(&mut outgoing, 4), [(1, 500, 100), (1, 600, 50)]);
    outgoing.handle_status(&has(5, 1, 600)).unwrap();
    assert_eq!(outgoing.stats(at(6)).acknowledged, 0);
    outgoing.handle_status(&has(7, 2, 0)).unwrap();
    let stats = outgoing.stats(at(7));
    assert_eq!((stats.acknowledged, stats.window_bytes, stats.resent), (1, 0, 0));
}

#[test]
fn after_a_break_it_goes_on_from_what_the_peer_has() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(650), 0, None, at(0));
    pieces(&mut outgoing, 2);
    outgoing.handle_status(&has(3, 1, 200)).unwrap();
    pieces(&mut outgoing, 4);
    outgoing.handle_renewal();
    // More of what was sent before turns out to have arrived.
    outgoing.handle_status(&has(5, 1, 300)).unwrap();
    assert_eq!(pieces(&mut outgoing, 5)[0], (1, 300, 100));
    // The peer has lost what it had: it was another's for a while.
    let mut lost = has(6, 1, 100);
    lost.received_ack.nack = Some(outgoing.epoch);
    outgoing.handle_status(&lost).unwrap();
    assert_eq!(pieces(&mut outgoing, 7)[0], (1, 100, 100));
    assert_eq!(outgoing.stats(at(7)).resent, 2);
}

#[test]
fn another_process_gets_it_from_the_beginning() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(650), 0, None, at(0));
    pieces(&mut outgoing, 2);
    outgoing.handle_status(&has(3, 1, 200)).unwrap();
    let other = Incarnation::from_wire(PEER + 1);
    outgoing.handle_status(&PeerStatus { incarnation: other, ..has(4, 1, 0) }).unwrap();
    assert_eq!(pieces(&mut outgoing, 5)[0], (1, 0, 100));
}

#[test]
fn a_peer_cannot_have_more_of_a_payload_than_was_sent() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(650), 0, None, at(0));
    pieces(&mut outgoing, 2);
    let refused = Err(Rejection::FalseAcknowledgement(Pid::new(2)));
    assert_eq!(outgoing.handle_status(&has(3, 1, 501)), refused);
    assert_eq!(outgoing.handle_status(&has(4, 1, 500)), Ok(()));
}

#[test]
fn what_may_be_lost_is_asked_for_soon_and_less_and_less_often() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(650), 0, None, at(0));
    pieces(&mut outgoing, 2);
    let mut asked = Vec::new();
    for _ in 0..4 {
        let due = outgoing.poll_timeout(at(2)).unwrap();
        let probe = outgoing.poll_transmit(due).unwrap();
        assert_eq!((&probe.payload, probe.header.wants_ack), (&Payload::Heartbeat, true));
        assert_eq!(probe.header.position.offset, 500);
        asked.push(due);
    }
    assert_eq!(asked, [152, 452, 1_052, 2_052].map(at));
    outgoing.handle_status(&has(2_100, 1, 100)).unwrap();
    assert_eq!(pieces(&mut outgoing, 2_100), [(1, 500, 100), (1, 600, 50)]);
    assert_eq!(outgoing.poll_timeout(at(2_100)), Some(at(2_250)));
}

/// The messages of a payload, by their lengths.
fn lengths(payload: Payload) -> Vec<usize> {
    Envelopes::received(payload, Pid::new(1), Incarnation::from_wire(1).unwrap(), Pid::new(2))
        .map(|envelope| envelope.msg.len())
        .collect()
}

#[test]
fn of_a_batch_only_what_the_peer_does_not_take_comes_back() {
    let batch = || {
        let mut batch = Batch::default();
        for bytes in [10, 101, 102, 20, 103] {
            batch.push(&Envelope::broadcast(vec![0; bytes]));
        }
        batch.take()
    };
    let mut outgoing = outgoing();
    outgoing.push(batch(), 0, None, at(0));
    // The peer is heard, and takes 100 bytes.
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(2)));
    let sent: Vec<_> = frames.map(|frame| (frame.header.missed, lengths(frame.payload))).collect();
    let once = [(0, vec![10]), (2, vec![20]), (1, vec![])];
    let again = [(0, vec![10]), (2, vec![20]), (1, vec![])];
    assert_eq!(sent, [once, again].concat());
    let dropped = std::iter::from_fn(|| outgoing.poll_dropped());
    let dropped: Vec<_> = dropped.map(|given_up| lengths(given_up.payload)).collect();
    assert_eq!(dropped, [vec![101, 102], vec![103], vec![101, 102], vec![103]]);
    let stats = outgoing.stats(at(2));
    assert_eq!((stats.accepted, stats.in_flight, stats.dropped.too_large), (10, 4, 6));
}

#[test]
fn a_process_that_takes_less_gets_the_rest_of_what_was_on_its_way() {
    let mut batch = Batch::default();
    for bytes in [10, 101, 20] {
        batch.push(&Envelope::broadcast(vec![0; bytes]));
    }
    let mut outgoing = outgoing();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(batch.take(), 0, None, at(0));
    outgoing.push(single(300), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 2), [1, 2]);
    let other = Incarnation::from_wire(PEER + 1);
    outgoing.handle_status(&PeerStatus { incarnation: other, ..heard(3, 1) }).unwrap();
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(4)));
    let sent: Vec<_> = frames
        .map(|frame| (frame.header.position.sequence.to_wire(), frame.header.missed, frame.payload))
        .map(|(sequence, missed, payload)| (sequence, missed, lengths(payload)))
        .collect();
    // Each keeps its place in the stream, which the process before may still know.
    assert_eq!(sent, [(1, 1, vec![10, 20]), (2, 1, vec![])]);
    let stats = outgoing.stats(at(4));
    assert_eq!((stats.accepted, stats.in_flight, stats.dropped.too_large), (4, 2, 2));
}

/// The lengths of all frames that are sent while the peer acknowledges each at once.
fn lengths_to_the_end(outgoing: &mut Outgoing) -> Vec<usize> {
    let mut lengths = Vec::new();
    for millis in 4.. {
        let mut status = has(millis, 1, 0);
        status.received_ack.next = outgoing.queue.end_of_sent();
        outgoing.handle_status(&status).unwrap();
        let sent = pieces(outgoing, millis);
        if sent.is_empty() {
            break;
        }
        lengths.extend(sent.iter().map(|(_, _, length)| *length));
    }
    lengths
}

#[test]
fn a_large_message_gives_way_to_each_short_one_when_it_is_due() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(900), 0, None, at(0));
    assert_eq!(pieces(&mut outgoing, 2).len(), 5);
    // The second one of an outbox is due later, which holds nothing up that others send.
    outgoing.push(single(11), 1, None, at(0));
    outgoing.push(single(12), 1, None, at(0));
    outgoing.push(single(13), 2, None, at(0));
    let lengths = lengths_to_the_end(&mut outgoing);
    assert_eq!(lengths, [11, 13, 100, 12, 100, 100, 100]);
}

#[test]
fn what_a_large_message_does_not_give_way_to_holds_no_short_one_up() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(900), 0, None, at(0));
    assert_eq!(pieces(&mut outgoing, 2).len(), 5);
    outgoing.push(single(350), 1, None, at(0));
    outgoing.push(single(11), 2, None, at(0));
    // Nor does what only tells of some that were given up.
    outgoing.refuse(GivenUp { payload: batch(), reason: Reason::WindowFull, bound_to: None });
    assert_eq!(pieces(&mut outgoing, 3), []);
    outgoing.handle_status(&has(3, 1, 500)).unwrap();
    outgoing.push(single(12), 3, None, at(0));
    let lengths = lengths_to_the_end(&mut outgoing);
    assert_eq!(lengths, [11, 12, 100, 100, 100, 100, 100, 100, 100, 50]);
}
