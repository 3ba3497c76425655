//! What comes by several outboxes, and what is for one process only.

use super::fragments::{has, outgoing_in_pieces, pieces, single};
use super::*;
use crate::envelope::Envelope;
use crate::frame::Header;
use crate::wire::{Batch, Envelopes};

/// Some small messages with these ids, of which those with odd ids wait for nobody.
fn ids(ids: &[i64]) -> Payload {
    let mut batch = Batch::default();
    for id in ids {
        let envelope = Envelope::to(Pid::new(2), "some message").with_id(*id);
        batch.push(&if id % 2 == 1 { envelope.or_return() } else { envelope });
    }
    batch.take()
}

fn ids_of(payload: Payload) -> Vec<i64> {
    let process = Incarnation::from_wire(OWN).unwrap();
    let envelopes = Envelopes::returned(payload, Pid::new(1), process, Pid::new(2), None);
    envelopes.map(|envelope| envelope.msg_id).collect()
}

#[test]
fn a_large_message_is_broken_off_for_a_short_one_and_goes_on_where_it_was() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(950), 0, None, at(0));
    let first = [0, 100, 200, 300, 400].map(|offset| (1, offset, 100));
    assert_eq!(pieces(&mut outgoing, 2), first);
    // What comes by the same outbox stays behind it, what comes by others goes first.
    outgoing.push(single(10), 0, None, at(0));
    outgoing.push(single(20), 1, None, at(0));
    outgoing.push(single(30), 2, None, at(0));
    outgoing.handle_status(&has(3, 1, 500)).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| outgoing.poll_transmit(at(4))).collect();
    let place = |frame: &Frame| {
        let Header { position: Position { sequence, offset }, suspends, .. } = frame.header;
        (sequence.to_wire(), offset, suspends, frame.payload.len())
    };
    let sent: Vec<_> = frames.iter().map(place).collect();
    assert_eq!(sent, [(2, 0, 500, 20), (3, 0, 0, 30), (4, 500, 0, 100)]);
    let stats = outgoing.stats(at(5));
    assert_eq!((stats.accepted, stats.in_flight, stats.queued, stats.resent), (4, 3, 1, 0));
    // The peer has all that comes before the break, and nothing else.
    outgoing.handle_renewal();
    assert_eq!(pieces(&mut outgoing, 7)[0], (2, 0, 20));
    outgoing.handle_status(&has(8, 4, 500)).unwrap();
    assert_eq!(outgoing.stats(at(8)).acknowledged, 2);
    outgoing.handle_status(&has(8, 5, 0)).unwrap_err();
    assert_eq!(
        pieces(&mut outgoing, 8),
        [(4, 600, 100), (4, 700, 100), (4, 800, 100), (4, 900, 50)]
    );
    outgoing.handle_status(&has(9, 4, 700)).unwrap();
    assert_eq!(pieces(&mut outgoing, 9).last(), Some(&(5, 0, 10)));
    outgoing.handle_status(&has(10, 6, 0)).unwrap();
    let stats = outgoing.stats(at(10));
    assert_eq!((stats.acknowledged, stats.window_bytes, stats.in_flight), (4, 0, 0));
}

#[test]
fn another_process_gets_the_whole_of_what_was_broken_off() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(950), 0, None, at(0));
    pieces(&mut outgoing, 2);
    outgoing.push(single(20), 1, None, at(0));
    outgoing.handle_status(&has(3, 1, 500)).unwrap();
    pieces(&mut outgoing, 3);
    outgoing.handle_status(&has(4, 2, 0)).unwrap();
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..has(5, 1, 0) };
    outgoing.handle_status(&other).unwrap();
    let mut sent = pieces(&mut outgoing, 5);
    outgoing.handle_status(&PeerStatus { heard_at: at(6), ..acked(&other, 3, 300) }).unwrap();
    sent.extend(pieces(&mut outgoing, 7));
    assert_eq!((sent[0], sent[1]), ((2, 0, 20), (3, 0, 100)));
    assert!(sent.contains(&(3, 500, 100)), "{sent:?}");
    let stats = outgoing.stats(at(8));
    assert_eq!((stats.accepted, stats.in_flight, stats.acknowledged), (2, 1, 1));
}

/// The same status, but the peer has all before this.
fn acked(status: &PeerStatus, next: u64, offset: u32) -> PeerStatus {
    let PeerStatus { received_ack, .. } = has(0, next, offset);
    PeerStatus { received_ack, ..*status }
}

#[test]
fn one_message_at_a_time_is_broken_off_and_only_for_a_short_one() {
    let mut outgoing = outgoing_in_pieces();
    outgoing.handle_status(&has(1, 1, 0)).unwrap();
    outgoing.push(single(950), 0, None, at(0));
    pieces(&mut outgoing, 2);
    outgoing.push(single(700), 1, None, at(0));
    outgoing.push(single(180), 2, None, at(0));
    outgoing.handle_status(&has(3, 1, 400)).unwrap();
    let sent = pieces(&mut outgoing, 3);
    assert_eq!(sent[..2], [(2, 0, 100), (2, 100, 80)]);
    // The message goes on, and is broken off again, before anything else that is large.
    outgoing.handle_status(&has(4, 3, 500)).unwrap();
    assert_eq!(pieces(&mut outgoing, 4)[0], (3, 500, 100));
    outgoing.push(single(30), 3, None, at(0));
    outgoing.handle_status(&has(5, 3, 700)).unwrap();
    assert_eq!(pieces(&mut outgoing, 5)[0].2, 30, "whatever is being sent");
}

#[test]
fn what_is_for_a_process_that_is_gone_comes_back_and_the_rest_keeps_its_place() {
    let mut outgoing = outgoing();
    let speaker = Incarnation::from_wire(PEER);
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(ids(&[0, 1, 2]), 0, speaker, at(0));
    let sent: Vec<_> = std::iter::from_fn(|| outgoing.poll_transmit(at(2))).collect();
    assert_eq!(sent.len(), 1);
    outgoing.push(ids(&[3, 5]), 0, speaker, at(0));
    outgoing.push(ids(&[4, 6]), 0, speaker, at(0));
    let other = PeerStatus { incarnation: Incarnation::from_wire(PEER + 1), ..heard(3, 1) };
    outgoing.handle_status(&other).unwrap();
    let back = std::iter::from_fn(|| outgoing.poll_dropped());
    let back: Vec<_> = back.map(|it| (ids_of(it.payload), it.reason, it.bound_to)).collect();
    let expected = [vec![1], vec![3, 5]].map(|ids| (ids, Reason::Restarted, speaker));
    assert_eq!(back, expected);
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(4)));
    let sent: Vec<_> = frames.map(|frame| (frame.header.missed, ids_of(frame.payload))).collect();
    assert_eq!(sent, [(0, vec![0, 2]), (0, vec![4, 6])], "the other process need not know");
    let stats = outgoing.stats(at(4));
    assert_eq!((stats.accepted, stats.in_flight, stats.dropped.restarted), (7, 4, 3));
}

#[test]
fn what_was_given_up_is_told_before_whatever_overtakes_it() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    outgoing.push(batch(), 0, None, at(0));
    outgoing.refuse(given_up(batch()));
    outgoing.push(batch(), 0, None, at(0));
    outgoing.push(ids(&[0]), 1, None, at(0));
    let frames = std::iter::from_fn(|| outgoing.poll_transmit(at(2)));
    let sent: Vec<_> =
        frames.map(|frame| (frame.payload.envelopes(), frame.header.missed)).collect();
    assert_eq!(sent, [(2, 0), (1, 2), (2, 0), (2, 0)]);
}

/// A place is found in no time, whatever waits, and what came by one outbox stays in order.
#[test]
fn so_many_payloads_are_overtaken_and_no_more() {
    const WAITING: usize = 3_000;
    let outgoing = outgoing();
    let mut outgoing =
        Outgoing::new(outgoing.ends, Limits { window: 1 << 20, ..outgoing.limits }, at(0));
    (0..WAITING).for_each(|_| outgoing.push(single(1), 0, None, at(0)));
    outgoing.push(single(2), 1, None, at(0));
    outgoing.push(single(3), 1, None, at(0));
    outgoing.push(single(4), LEFTOVERS, None, at(0));
    let left: Vec<_> = outgoing.into_undelivered().map(|(payload, _)| payload.len()).collect();
    let places = [2, 3, 4].map(|length| left.iter().position(|it| *it == length).unwrap());
    assert_eq!(places[0], WAITING - 1_024);
    assert!(places.is_sorted() && places[2] == WAITING + 2, "{places:?}");
}

#[test]
fn beside_an_outbox_that_needs_little_less_is_on_the_way_for_a_while() {
    let outgoing = outgoing();
    let frames = FrameSizes { min: 100, max: 10_000 };
    let limits = Limits { frames, window: 100_000, ..outgoing.limits };
    let mut outgoing = Outgoing::new(outgoing.ends, limits, at(0));
    outgoing.handle_status(&heard(0, 1)).unwrap();
    // Sends as much as can be on its way, and has it acknowledged at once.
    let flight_at = |outgoing: &mut Outgoing, millis| {
        (0..1_200).for_each(|_| outgoing.push(single(100), 0, None, at(0)));
        while outgoing.poll_transmit(at(millis)).is_some() {}
        let flight = outgoing.queue.flight();
        outgoing
            .handle_status(&has(millis, outgoing.queue.end_of_sent().sequence.to_wire(), 0))
            .unwrap();
        flight
    };
    // A fast line that is always full.
    for _ in 0..20 {
        let window = &mut outgoing.congestion;
        let (used, next) = (window.bytes(), Sequence::from_wire(2).unwrap());
        window.on_send(Position::FIRST, used, at(0));
        let next = Position::start_of(next);
        window.on_ack(&Acknowledgement { next, ..Acknowledgement::NONE }, used, at(1));
    }
    assert!(flight_at(&mut outgoing, 1) > 50_000);
    outgoing.push(single(10), 1, None, at(0));
    assert!((4_000..=5_000).contains(&flight_at(&mut outgoing, 2)));
    assert!((4_000..=5_000).contains(&flight_at(&mut outgoing, 21)));
    assert!(flight_at(&mut outgoing, 22) > 50_000);
}
