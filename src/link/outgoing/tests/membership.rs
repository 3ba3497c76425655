//! A peer that is taken out of the list and put back.

use super::*;
use crate::frame::Intake;

fn dropped(outgoing: &mut Outgoing) -> Vec<Reason> {
    std::iter::from_fn(|| outgoing.poll_dropped()).map(|given_up| given_up.reason).collect()
}

#[test]
fn a_peer_that_is_retired_is_told_goodbye_and_what_it_has_not_acknowledged_comes_back() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 2), [1]);
    outgoing.push(batch(), 0, None, at(0));
    let frames = outgoing.retire(at(3));
    let [goodbye, last_words] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((&goodbye.payload, goodbye.header.base.to_wire()), (&Payload::Goodbye, 3));
    assert_eq!(goodbye.header.position.sequence.to_wire(), 3);
    assert_eq!(last_words.payload, Payload::Heartbeat);
    assert_eq!(last_words.header.acknowledgement.intake, Intake::Ended);
    assert!(last_words.header.settled, "the peer would wait for that before it ends");
    assert_eq!(dropped(&mut outgoing), [Reason::Removed; 2]);
    let stats = outgoing.stats(at(4));
    assert_eq!((stats.accepted, stats.dropped.removed), (4, 4));
    assert_eq!((stats.queued, stats.in_flight), (0, 0));
}

#[test]
fn a_peer_that_is_not_there_is_retired_without_a_word() {
    let mut outgoing = outgoing();
    outgoing.push(batch(), 0, None, at(0));
    assert!(outgoing.retire(at(1)).is_empty());
    assert_eq!(dropped(&mut outgoing), [Reason::Removed]);
}

#[test]
fn one_that_is_revived_goes_on_behind_its_goodbye_and_takes_that_back() {
    let mut outgoing = outgoing();
    outgoing.handle_status(&heard(1, 1)).unwrap();
    outgoing.push(batch(), 0, None, at(0));
    sent(&mut outgoing, 2);
    outgoing.retire(at(3));
    dropped(&mut outgoing);
    outgoing.revive(at(10_000));
    assert_eq!(outgoing.stats(at(10_000)).accepted, 0, "it is counted anew");
    assert!(outgoing.is_reachable(at(14_999)), "it has the time of a new peer");
    let frame = outgoing.poll_transmit(at(10_001)).unwrap();
    assert!(frame.header.resumed && frame.payload == Payload::Heartbeat);
    outgoing.push(batch(), 0, None, at(0));
    assert_eq!(sent(&mut outgoing, 10_002), [0; 0], "nobody is heard yet");
    outgoing.handle_status(&heard(10_003, 1)).unwrap();
    assert_eq!(sent(&mut outgoing, 10_004), [3]);
    outgoing.say_goodbye();
    let goodbye = outgoing.poll_transmit(at(10_005)).unwrap();
    assert!(!goodbye.header.resumed && goodbye.payload == Payload::Goodbye);
}
