//! What comes in pieces.

use super::*;
use crate::envelope::{Recipient, Role};
use crate::frame::{Whole, WholeKind};
use crate::wire::Batch;

/// The letters of a message of 60 bytes, by number.
const TEXT: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ12345678";

fn single(msg: &'static [u8]) -> Payload {
    Payload::Single {
        to: Recipient::Broadcast,
        msg_id: 7,
        role: Role::MESSAGE,
        msg: Bytes::from_static(msg),
        delivery: Delivery::default(),
    }
}

fn frame(position: (u64, u32), payload: Payload) -> Frame {
    let position = Position {
        offset: position.1,
        ..Position::start_of(Sequence::from_wire(position.0).unwrap())
    };
    Frame { header: Header { position, ..header(PEER, 1) }, payload }
}

/// Some bytes of the payload with this number.
fn piece(sequence: u64, of: &Payload, bytes: std::ops::Range<usize>) -> Frame {
    let offset = u32::try_from(bytes.start).unwrap();
    frame((sequence, offset), of.piece(bytes.start, bytes.len()))
}

/// What it says next: how urgent, and what it has of which payload.
fn said(incoming: &mut Incoming) -> Option<(AckTiming, u64, u32)> {
    let heard = incoming.poll_status()?;
    let Position { sequence, offset } = heard.ack_to_send.next;
    Some((heard.ack_timing, sequence.to_wire(), offset))
}

fn nack(incoming: &Incoming) -> Option<Epoch> {
    incoming.ack_to_send().nack
}

fn arrived(incoming: &Incoming) -> Option<&Payload> {
    incoming.front().map(|arrival| &arrival.payload)
}

#[test]
fn pieces_make_up_the_payload_and_each_is_acknowledged() {
    let mut incoming = incoming(10_000);
    let whole = single(TEXT);
    incoming.takes(heartbeat(1), 0);
    assert_eq!(incoming.takes(piece(1, &whole, 0..20), 1), None);
    assert_eq!(incoming.poll_timeout(), Some(at(11)));
    incoming.handle_timeout(at(11));
    assert_eq!(said(&mut incoming), Some((AckTiming::Immediate, 1, 20)));
    assert_eq!(incoming.takes(urgent(piece(1, &whole, 20..40)), 12), Some(AckTiming::Immediate));
    assert_eq!(arrived(&incoming), None);
    incoming.takes(piece(1, &whole, 40..60), 13);
    assert_eq!(arrived(&incoming), Some(&whole));
    incoming.pop(at(14));
    incoming.handle_timeout(at(24));
    assert_eq!(said(&mut incoming), Some((AckTiming::Immediate, 2, 0)));
}

#[test]
fn what_comes_again_is_cut_at_other_places_and_does_no_harm() {
    let mut incoming = incoming(10_000);
    let whole = single(TEXT);
    incoming.takes(piece(1, &whole, 0..40), 0);
    incoming.takes(piece(1, &whole, 10..30), 1);
    incoming.takes(piece(1, &whole, 20..50), 2);
    assert_eq!((arrived(&incoming), nack(&incoming)), (None, None));
    incoming.takes(piece(1, &whole, 0..59), 3);
    incoming.takes(piece(1, &whole, 30..60), 4);
    assert_eq!(arrived(&incoming), Some(&whole));
    // All of it comes at once, although some has come.
    incoming.takes(piece(2, &whole, 0..40), 5);
    incoming.takes(frame((2, 0), whole.clone()), 6);
    incoming.pop(at(7));
    assert_eq!(arrived(&incoming), Some(&whole));
}

#[test]
fn a_piece_that_is_missing_is_asked_for() {
    let mut incoming = incoming(10_000);
    let whole = single(TEXT);
    incoming.takes(piece(1, &whole, 0..20), 0);
    assert_eq!(incoming.takes(piece(1, &whole, 40..60), 1), Some(AckTiming::Immediate));
    assert_eq!((nack(&incoming), incoming.ack_to_send().next.offset), (Some(Epoch::FIRST), 20));
    incoming.takes(piece(1, &whole, 20..40), 2);
    assert_eq!(nack(&incoming), None);
    // A heartbeat tells what the next frame would.
    let asks = frame((1, 60), Payload::Heartbeat);
    assert_eq!(incoming.takes(asks, 3), Some(AckTiming::Immediate));
    assert_eq!(nack(&incoming), Some(Epoch::FIRST));
}

#[test]
fn a_payload_that_takes_the_place_of_another_begins_anew() {
    let mut incoming = incoming(10_000);
    let (one, other) = (single(TEXT), single(&TEXT[..50]));
    incoming.takes(piece(1, &one, 0..40), 0);
    assert_eq!(incoming.takes(piece(1, &other, 20..40), 1), Some(AckTiming::Immediate));
    assert_eq!((nack(&incoming), incoming.ack_to_send().next.offset), (Some(Epoch::FIRST), 0));
    incoming.takes(piece(1, &other, 0..20), 2);
    incoming.takes(piece(1, &other, 20..50), 3);
    assert_eq!(arrived(&incoming), Some(&other));
}

#[test]
fn another_process_of_the_peer_begins_anew() {
    let mut incoming = incoming(10_000);
    let whole = single(TEXT);
    incoming.takes(piece(1, &whole, 0..40), 0);
    let mut other = piece(1, &whole, 0..20);
    other.header.incarnation = Incarnation::from_wire(PEER + 1).unwrap();
    incoming.takes(other, 1);
    assert_eq!(incoming.ack_to_send().next.offset, 20);
}

#[test]
fn a_piece_of_what_is_too_large_is_refused_at_once() {
    let mut incoming = incoming(10_000);
    let too_large = single(&[0; 101]);
    let refused = Err(Rejection::TooLarge(Pid::new(2)));
    assert_eq!(incoming.handle_frame(piece(1, &too_large, 0..10), at(0)), refused);
    assert_eq!(incoming.handle_frame(frame((1, 0), too_large), at(1)), refused);
    let mut batch = Batch::default();
    batch.push(&crate::Envelope::broadcast("small"));
    batch.push(&crate::Envelope::broadcast(vec![0; 101]));
    let batch = batch.take();
    assert_eq!(incoming.handle_frame(frame((1, 0), batch.clone()), at(2)), refused);
    incoming.takes(piece(1, &batch, 0..60), 3);
    assert_eq!(incoming.handle_frame(piece(1, &batch, 60..batch.len()), at(4)), refused);
    assert_eq!((arrived(&incoming), incoming.ack_to_send().next.offset), (None, 0));
}

#[test]
fn pieces_that_are_not_what_they_said_are_malformed() {
    let mut incoming = incoming(10_000);
    let whole = Whole { kind: WholeKind::Batch { envelopes: 9 }, len: 60 };
    let of = |range: std::ops::Range<usize>| Payload::Fragment {
        whole,
        body: Bytes::from_static(&TEXT[range]),
    };
    incoming.takes(frame((1, 0), of(0..30)), 0);
    let last = frame((1, 30), of(30..60));
    assert_eq!(incoming.handle_frame(last, at(1)), Err(Rejection::Malformed));
    assert_eq!((arrived(&incoming), incoming.ack_to_send().next.offset), (None, 0));
}

#[test]
fn the_first_piece_of_what_has_no_room_is_turned_away_until_all_of_it_has() {
    let cost = TEXT.len() + FRAME_OVERHEAD;
    let mut incoming = incoming(4 * cost);
    let whole = single(TEXT);
    for sequence in 1..=4 {
        incoming.takes(frame((sequence, 0), whole.clone()), 0);
    }
    incoming.takes(piece(5, &whole, 0..20), 1);
    incoming.pop(at(2));
    assert_eq!(nack(&incoming), None);
    incoming.pop(at(2));
    assert_eq!(nack(&incoming), Some(Epoch::FIRST));
    incoming.takes(piece(5, &whole, 0..20), 3);
    assert_eq!(nack(&incoming), None);
}

/// The same frame, before which a payload is broken off of which so much has come.
fn breaking_off(frame: Frame, suspends: u32) -> Frame {
    Frame { header: Header { suspends, ..frame.header }, ..frame }
}

#[test]
fn a_message_that_is_broken_off_goes_on_behind_what_came_in_between() {
    let mut incoming = incoming(10_000);
    let (large, short) = (single(TEXT), single(b"short"));
    incoming.takes(heartbeat(1), 0);
    incoming.takes(piece(1, &large, 0..20), 1);
    // What comes before the break has to come first.
    incoming.takes(breaking_off(frame((2, 0), short.clone()), 40), 2);
    assert_eq!((nack(&incoming), arrived(&incoming)), (Some(Epoch::FIRST), None));
    incoming.takes(piece(1, &large, 20..40), 3);
    incoming.takes(breaking_off(frame((2, 0), short.clone()), 40), 4);
    assert_eq!((nack(&incoming), arrived(&incoming)), (None, Some(&short)));
    incoming.pop(at(5));
    incoming.takes(frame((3, 0), short.clone()), 6);
    incoming.pop(at(6));
    // A heartbeat says where it goes on, and is no gap.
    incoming.takes(frame((4, 40), Payload::Heartbeat), 7);
    assert_eq!(nack(&incoming), None);
    incoming.takes(piece(4, &large, 50..60), 8);
    assert_eq!(nack(&incoming), Some(Epoch::FIRST), "some is missing");
    incoming.takes(piece(4, &large, 40..50), 9);
    incoming.takes(piece(4, &large, 50..60), 10);
    assert_eq!(arrived(&incoming), Some(&large));
}

/// Seed 7681 of the simulation: the rest came again and again, and was a gap each time.
#[test]
fn a_message_that_is_broken_off_goes_on_although_its_peer_was_none_for_a_while() {
    let mut incoming = incoming(10_000);
    let (large, short) = (single(TEXT), single(b"short"));
    incoming.takes(heartbeat(1), 0);
    incoming.takes(piece(1, &large, 0..20), 1);
    incoming.takes(breaking_off(frame((2, 0), short), 20), 2);
    incoming.pop(at(3));
    incoming.retire();
    incoming.revive(at(10));
    incoming.takes(piece(3, &large, 20..60), 11);
    assert_eq!((nack(&incoming), arrived(&incoming)), (None, Some(&large)));
}

#[test]
fn a_message_that_is_broken_off_goes_on_although_another_process_spoke_meanwhile() {
    let mut incoming = incoming(10_000);
    let (large, short) = (single(TEXT), single(b"short"));
    incoming.takes(piece(1, &large, 0..20), 1);
    incoming.takes(breaking_off(frame((2, 0), short), 20), 2);
    incoming.pop(at(3));
    let mut other = heartbeat(1);
    other.header.incarnation = Incarnation::from_wire(PEER + 1).unwrap();
    incoming.takes(other, 4);
    // That one was silent for the peer timeout.
    incoming.takes(piece(3, &large, 20..60), 5_004);
    assert_eq!((nack(&incoming), arrived(&incoming)), (None, Some(&large)));
}

#[test]
fn nothing_large_comes_in_between_and_nothing_is_broken_off_twice() {
    const HUGE: &[u8] = &[0; 300 << 10];
    let takes = |frame: Frame| {
        let mut incoming = incoming(10 << 20);
        incoming.limits.max_message = u32::MAX;
        incoming.takes(heartbeat(1), 0);
        incoming.takes(piece(1, &single(TEXT), 0..20), 1);
        let result = incoming.handle_frame(frame, at(2));
        (result.map(|_| nack(&incoming)), incoming)
    };
    let huge = single(HUGE);
    let (result, _) = takes(breaking_off(piece(2, &huge, 0..1_000), 20));
    assert_eq!(result, Err(Rejection::Malformed));
    let (result, mut incoming) = takes(breaking_off(piece(2, &single(&TEXT[..30]), 0..10), 20));
    assert_eq!(result, Ok(None));
    incoming.takes(breaking_off(frame((3, 0), single(b"short")), 10), 3);
    assert_eq!(nack(&incoming), Some(Epoch::FIRST));
    // The first may begin anew instead of going on.
    incoming.takes(piece(2, &single(&TEXT[..30]), 10..30), 4);
    incoming.pop(at(4));
    incoming.takes(piece(3, &single(TEXT), 0..60), 5);
    assert_eq!(arrived(&incoming), Some(&single(TEXT)));
}
