//! A peer that is taken out of the list and put back, on either side.

use super::*;
use crate::frame::Sequence;

/// The first sequence that can still come.
fn base(sequence: u64) -> Sequence {
    Sequence::from_wire(sequence).unwrap()
}

fn goodbye(sequence: u64) -> Frame {
    let header = Header { base: base(sequence), ..header(PEER, sequence) };
    Frame { header, payload: Payload::Goodbye }
}

/// A sign of life of a peer that goes on after its goodbye.
fn resumed(sequence: u64) -> Frame {
    let header = Header { base: base(sequence), resumed: true, ..header(PEER, sequence) };
    Frame { header, payload: Payload::Heartbeat }
}

fn sightings(incoming: &mut Incoming) -> Vec<Sighting> {
    std::iter::from_fn(|| incoming.poll_sighting()).collect()
}

#[test]
fn a_goodbye_that_is_taken_back_brings_the_peer_up_again() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    incoming.takes(goodbye(1), 1);
    incoming.pop(at(2));
    assert_eq!(sightings(&mut incoming), [Sighting::Up, Sighting::Left]);
    // What was sent before, or says nothing of it, does not.
    for frame in [heartbeat(1), resumed(1), heartbeat(2)] {
        incoming.takes(frame, 3);
        assert_eq!(incoming.presence(), Presence::Left);
    }
    incoming.takes(resumed(2), 4);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
    assert!(!incoming.is_announced(), "the sending half is told before an envelope enters");
    // And it may leave for good.
    incoming.takes(goodbye(2), 5);
    incoming.pop(at(6));
    incoming.takes(resumed(2), 7);
    assert_eq!(sightings(&mut incoming), [Sighting::Left]);
}

#[test]
fn a_goodbye_that_was_taken_back_before_it_was_read_is_followed_by_an_up() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    incoming.takes(goodbye(1), 1);
    incoming.takes(resumed(2), 2);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
    incoming.pop(at(3));
    assert_eq!(sightings(&mut incoming), [Sighting::Left, Sighting::Up]);
}

#[test]
fn what_has_entered_is_remembered_of_a_peer_that_is_none_for_a_while() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    for sequence in [1, 2, 3] {
        incoming.takes(batch(sequence), 1);
    }
    incoming.pop(at(2));
    incoming.note_entered(1);
    incoming.retire();
    assert!(incoming.front().is_none() && incoming.poll_status().is_none());
    assert_eq!(incoming.presence(), Presence::Awaited);
    incoming.revive(at(10));
    incoming.handle_timeout(at(9_000_000));
    assert_eq!(sightings(&mut incoming), [Sighting::Absent]);
    // The peer was not told, and goes on where it was.
    incoming.takes(batch(2), 11);
    assert_eq!(sightings(&mut incoming), [Sighting::Up]);
    assert_eq!((incoming.front().unwrap().sequence, incoming.entered()), (base(2), 1));
}

/// It would take the next arrival for one of which some has entered.
#[test]
fn what_has_entered_of_one_that_never_comes_again_is_forgotten() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    incoming.takes(batch(1), 1);
    incoming.note_entered(1);
    incoming.retire();
    incoming.revive(at(10));
    let mut next = batch(2);
    next.header.base = base(2);
    incoming.takes(next, 11);
    assert_eq!((incoming.front().unwrap().sequence, incoming.entered()), (base(2), 0));
}

#[test]
fn what_was_missed_is_told_once_however_often_the_one_after_it_comes() {
    let mut incoming = incoming(10_000);
    incoming.takes(heartbeat(1), 0);
    let with_missed = |missed| {
        let frame = batch(1);
        Frame { header: Header { missed, ..frame.header }, ..frame }
    };
    incoming.takes(with_missed(3), 1);
    assert_eq!([incoming.take_missed(), incoming.take_missed()], [3, 0]);
    incoming.retire();
    incoming.revive(at(10));
    incoming.takes(with_missed(5), 11);
    assert_eq!([incoming.take_missed(), incoming.take_missed()], [2, 0]);
}
