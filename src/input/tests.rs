//! The input thread by itself, turn by turn: when it ends, what it waits for, and whom it refuses.

mod bench;

use crossbeam_channel::TryRecvError;

use super::*;
use crate::event::Event;
use crate::feedback::News;
use crate::frame::{Frame, Header, Payload};
use crate::key::PublicKey;
use bench::{Bench, Bounds, Call, HEARTBEAT, OWN, PEER, at, batch, header};

#[test]
fn a_server_that_nobody_ends_goes_on() {
    let mut bench = Bench::new(&Bounds::default());
    assert_eq!(bench.waits(0).timeout, Some(HEARTBEAT), "a thread that sleeps notices pauses");
    bench.put(1, Payload::Heartbeat);
    bench.waits(1);
    for stage in [Stage::Leaving, Stage::Settled, Stage::Stopping] {
        bench.reach(&[stage]);
        bench.waits(2);
        assert!(bench.input.is_inbox_open(), "{stage:?}: the peer is there");
    }
    bench.reach(&[Stage::Ending]);
    assert_eq!(bench.turn(3), Next::End);
}

#[test]
fn it_ends_when_the_output_thread_has() {
    let mut bench = Bench::new(&Bounds::default());
    bench.waits(0);
    drop(bench.control);
    assert_eq!(bench.input.turn(at(1)).unwrap(), Next::End);

    let mut bench = Bench::new(&Bounds::default());
    bench.put(1, Payload::Heartbeat);
    drop(bench.feedback);
    assert_eq!(bench.input.turn(at(1)).unwrap(), Next::End, "nobody is left to tell");
}

/// A peer that has left waits to be told that its goodbye came in: a second at most, in which the
/// process runs.
#[test]
fn the_end_waits_for_those_who_part_and_not_for_long() {
    let parting = || {
        let mut bench = Bench::new(&Bounds { heartbeat: at(100), ..Bounds::default() });
        bench.put(1, Payload::Goodbye);
        bench.reach(&[Stage::Leaving, Stage::Settled]);
        bench.waits(0);
        assert_eq!(bench.inbox.try_recv(), Err(TryRecvError::Disconnected));
        bench.waits(10);
        bench
    };
    let mut bench = parting();
    (1..=9).for_each(|tenth| assert_eq!(bench.waits(tenth * 100).timeout, Some(at(100))));
    assert_eq!(bench.waits(999).timeout, Some(at(1)));
    assert_eq!(bench.turn(1_000), Next::End);

    let mut bench = parting();
    // It was to run after 110 milliseconds, and did so ten seconds later.
    bench.waits(10_110);
    (2..=9).for_each(|tenth| assert!(!bench.waits(10_000 + tenth * 100).room));
    assert_eq!(bench.waits(10_999).timeout, Some(at(1)));
    assert_eq!(bench.turn(11_000), Next::End);

    let mut bench = parting();
    let settled =
        Frame { header: Header { settled: true, ..header(2) }, payload: Payload::Heartbeat };
    let speaker = Speaker::Unproven;
    bench.frames.send(Received { frame: Ok(settled), speaker }).unwrap();
    assert_eq!(bench.turn(20), Next::End);
}

#[test]
fn the_inbox_ends_when_nothing_has_entered_it_for_the_idle_time() {
    let idle_timeout = Some(at(2_000));
    let mut bench = Bench::new(&Bounds { idle_timeout, ..Bounds::default() });
    bench.waits(0);
    bench.put(1, batch(&["one"]));
    bench.waits(900);
    assert_eq!(bench.inbox.len(), 1);
    // A sign of life enters no inbox.
    bench.put(2, Payload::Heartbeat);
    bench.waits(1_800);
    bench.waits(2_700);
    assert_eq!(bench.waits(2_899).timeout, Some(at(1)));
    assert!(bench.input.is_inbox_open());
    bench.waits(2_900);
    assert!(!bench.input.is_inbox_open());
}

#[test]
fn the_idle_time_does_not_run_while_the_process_does_not_or_something_waits() {
    let idle_timeout = Some(at(2_000));
    let mut bench = Bench::new(&Bounds { idle_timeout, inbox: 1, ..Bounds::default() });
    bench.waits(0);
    bench.waits(60_000);
    bench.put(1, batch(&["one"]));
    bench.put(2, batch(&["two"]));
    for millis in [60_500, 61_500, 62_500, 63_500] {
        bench.waits(millis);
        assert!(bench.input.is_inbox_open(), "at {millis}");
    }
    assert_eq!(bench.inbox.recv().unwrap().msg, "one");
    bench.waits(63_600);
    assert_eq!(bench.inbox.recv().unwrap().msg, "two");
}

#[test]
fn a_full_inbox_is_waited_for_with_a_glance_at_the_network() {
    let mut bench = Bench::new(&Bounds { inbox: 1, ..Bounds::default() });
    bench.put(1, batch(&["one", "two"]));
    let wait = bench.waits(0);
    assert_eq!(wait, Wait { timeout: Some(GLANCE), room: true });
    // The application takes something: that ends the wait, which is not one for the network.
    assert_eq!(bench.inbox.recv().unwrap().msg, "one");
    bench.input.wait(Wait { timeout: Some(Duration::from_secs(600)), ..wait }).unwrap();
    assert_eq!(bench.calls.try_iter().collect::<Vec<_>>(), [Call::Rearm]);
    let wait = bench.waits(1);
    assert_eq!(bench.inbox.recv().unwrap().msg, "two");
    bench.input.wait(wait).unwrap();
    let calls: Vec<_> = bench.calls.try_iter().collect();
    assert_eq!(calls, [Call::Wait(wait.timeout)], "the inbox had room");
}

#[test]
fn the_time_that_a_full_inbox_and_a_late_turn_cost_is_counted() {
    let mut bench = Bench::new(&Bounds { inbox: 1, ..Bounds::default() });
    let counted = |bench: &Bench, millis| {
        let stats = bench.counters.snapshot(at(millis));
        (stats.inbox_blocked, stats.paused)
    };
    bench.put(1, batch(&["one", "two"]));
    bench.waits(0);
    bench.waits(2);
    assert_eq!(counted(&bench, 2), (at(2), at(0)));
    bench.inbox.recv().unwrap();
    bench.waits(4);
    bench.waits(5);
    assert_eq!(counted(&bench, 5), (at(4), at(0)));
    assert_eq!(bench.waits(14).timeout, Some(HEARTBEAT), "the acknowledgement has gone");
    bench.waits(14 + 1_500);
    assert_eq!(counted(&bench, 1_514), (at(4), at(500)), "it was half a second late");
}

/// The channel still has room for envelopes, and to wait for it would be no wait.
#[test]
fn an_inbox_that_holds_too_many_bytes_is_looked_at_in_a_while() {
    let mut bench = Bench::new(&Bounds { window: 4, ..Bounds::default() });
    bench.put(1, batch(&["four"]));
    bench.put(2, batch(&["more"]));
    bench.waits(0);
    bench.put(2, batch(&["more"]));
    assert_eq!(bench.waits(1), Wait { timeout: Some(GLANCE), room: false });
    assert_eq!(bench.inbox.len(), 1);
    assert_eq!(bench.inbox.recv().unwrap().msg, "four");
    bench.waits(3);
    assert_eq!(bench.inbox.recv().unwrap().msg, "more");
}

#[test]
fn feedback_that_finds_no_room_is_sent_again() {
    let mut bench = Bench::new(&Bounds { feedback: 1, ..Bounds::default() });
    bench.put(1, Payload::Heartbeat);
    bench.waits(0);
    bench.put(1, Payload::Heartbeat);
    assert_eq!(bench.waits(1).timeout, Some(RETRY));
    assert_eq!(bench.feedback.try_iter().count(), 1);
    assert_ne!(bench.waits(2).timeout, Some(RETRY));
    let News::Status(status) = bench.feedback.try_recv().unwrap().news else { panic!() };
    assert_eq!(status.heard_at, at(1));
}

#[test]
fn who_asks_to_come_in_is_answered_before_it_waits() {
    let requests = REQUESTS_AT_ONCE + 1;
    let mut bench = Bench::new(&Bounds { requests, ..Bounds::default() });
    assert_eq!(bench.turn(0), Next::Again, "one is left");
    assert_eq!(bench.calls.try_iter().collect::<Vec<_>>(), [Call::Rearm]);
    bench.waits(1);
    let counts = |event| match event {
        Event::Rejected { reason: Rejection::Stranger, count, .. } => count,
        other => panic!("{other:?}"),
    };
    assert_eq!(bench.events.try_iter().map(counts).sum::<u64>(), REQUESTS_AT_ONCE as u64);
    bench.turn(1_001);
    assert_eq!(bench.events.try_iter().map(counts).sum::<u64>(), 1);
}

#[test]
fn frames_are_read_a_part_at_a_time_and_without_a_wait_between() {
    let mut bench = Bench::new(&Bounds { inbox: 1_000, ..Bounds::default() });
    for sequence in 1..=FRAMES_AT_ONCE as u64 + 1 {
        bench.put(sequence, batch(&["one"]));
    }
    assert_eq!(bench.turn(0), Next::Again);
    assert_eq!(bench.inbox.len(), FRAMES_AT_ONCE);
    bench.waits(0);
    assert_eq!(bench.inbox.len(), FRAMES_AT_ONCE + 1);
}

#[test]
fn what_a_peer_gave_up_is_told_before_what_comes_after_it() {
    let mut bench = Bench::new(&Bounds::default());
    bench.put(1, batch(&["one"]));
    let frame = Frame { header: Header { missed: 3, ..header(2) }, payload: batch(&["two"]) };
    bench.frames.send(Received { frame: Ok(frame), speaker: Speaker::Unproven }).unwrap();
    bench.waits(0);
    let told: Vec<_> = bench.events.try_iter().collect();
    assert_eq!(told, [Event::Up(PEER), Event::Missed { from: PEER, count: 3 }]);
    assert_eq!(bench.inbox.len(), 2);
}

/// With nobody left to come, an application that does not read is not waited for longer than the
/// linger time. It has all of that, counted in time in which the process runs.
#[test]
fn what_nobody_reads_keeps_the_inbox_for_the_linger_time() {
    let unread = || {
        let mut bench = Bench::new(&Bounds { inbox: 1, ..Bounds::default() });
        bench.put(1, batch(&["one", "two"]));
        bench.waits(0);
        // The peer is silent, and then the server leaves.
        (1..=6).for_each(|second| assert!(bench.waits(second * 900).room));
        bench.waits(6_000);
        bench.reach(&[Stage::Leaving]);
        bench.waits(6_500);
        bench
    };
    let mut bench = unread();
    [7_000, 8_000, 9_000, 9_499].into_iter().for_each(|millis| assert!(bench.waits(millis).room));
    bench.waits(9_500);
    assert!(!bench.input.is_inbox_open());

    let mut bench = unread();
    // It was to run within a glance.
    bench.waits(100_000);
    let left = 9_500 + (100_000 - 6_500 - 2);
    for millis in [101_000, 102_000, 102_900, left - 1] {
        assert!(bench.waits(millis).room, "at {millis}");
    }
    bench.waits(left);
    assert!(!bench.input.is_inbox_open());

    // Who reads a little is waited for again.
    let mut bench = unread();
    assert!(bench.waits(9_000).room);
    assert_eq!(bench.inbox.recv().unwrap().msg, "one");
    bench.waits(9_400);
    assert_eq!(bench.inbox.len(), 1, "the second has entered");
    bench.waits(9_500);
    assert!(!bench.input.is_inbox_open(), "all has entered");
}

/// Even one that comes late: what is still to be read may be from just now.
#[test]
fn a_peer_is_not_missed_before_all_that_has_come_is_read() {
    let mut bench = Bench::new(&Bounds { inbox: 1_000, ..Bounds::default() });
    bench.put(1, Payload::Heartbeat);
    bench.waits(0);
    (1..=5).for_each(|second| assert!(!bench.waits(second * 900).room));
    let other = Header { to: Pid::new(3), ..header(1) };
    for _ in 0..FRAMES_AT_ONCE {
        let frame = Ok(Frame { header: other, payload: Payload::Heartbeat });
        bench.frames.send(Received { frame, speaker: Speaker::Unproven }).unwrap();
    }
    bench.put(1, Payload::Heartbeat);
    bench.events.try_iter().for_each(drop);
    assert_eq!(bench.turn(5_000), Next::Again);
    bench.waits(5_000);
    let down = bench.events.try_iter().any(|event| event == Event::Down(PEER));
    assert!(!down);
    (1..=6).for_each(|second| assert!(!bench.waits(5_000 + second * 900).room));
    assert_eq!(bench.events.try_iter().collect::<Vec<_>>(), [Event::Down(PEER)]);
}

#[test]
fn who_proves_to_be_another_than_it_says_is_refused() {
    let key = PublicKey::new([7; 32]);
    assert_eq!(refuse_impostor(Speaker::Unproven, PEER), Ok(()));
    assert_eq!(refuse_impostor(Speaker::Proven(PEER, key), PEER), Ok(()));
    let impostor = Rejection::Impostor { claimed: PEER, actual: OWN };
    assert_eq!(refuse_impostor(Speaker::Proven(OWN, key), PEER), Err(impostor));
    assert_eq!(refuse_impostor(Speaker::Unknown, PEER), Err(Rejection::Stranger));
}

#[test]
fn a_frame_of_another_version_is_told_from_one_that_is_none() {
    assert_eq!(rejection(DecodeError::Version(2)), Rejection::Version(2));
    assert_eq!(rejection(DecodeError::Magic), Rejection::Malformed);
}
