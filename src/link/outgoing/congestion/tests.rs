//! How the window follows the line.

use super::*;
use crate::frame::Sequence;

/// Of these the line always carries two in time.
const FRAMES: FrameSizes = FrameSizes { min: 500, max: 1_000 };
const LEAST: usize = 3 * (500 + FRAME_OVERHEAD);
const MAXIMUM: usize = 10_000;

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// One that has come to 2,000 bytes.
fn window() -> CongestionWindow {
    CongestionWindow { bytes: 2_000, ..CongestionWindow::new(FRAMES, MAXIMUM) }
}

fn ack(next: Position, delay: u64) -> Acknowledgement {
    Acknowledgement { next, delay: Stamp::new(millis(delay)), ..Acknowledgement::NONE }
}

/// Sends with all of the window in use, and acknowledges. The frame was on its way for so many
/// milliseconds.
fn send_and_acknowledge(window: &mut CongestionWindow, took: u64) -> usize {
    let used = window.bytes();
    window.on_first(millis(100));
    window.on_send(Position::FIRST, used, millis(100));
    let next = Position::start_of(Sequence::FIRST.next());
    window.on_ack(&ack(next, took), used, millis(100 + took));
    window.bytes()
}

#[test]
fn it_grows_to_the_window_while_answers_come_soon() {
    let mut window = window();
    let grown: Vec<_> = (0..5).map(|_| send_and_acknowledge(&mut window, 1)).collect();
    assert_eq!(grown, [3_000, 4_500, 6_750, 10_000, 10_000]);
}

#[test]
fn the_round_trip_that_is_told_is_smoothed_and_of_frames_that_were_sent_once() {
    let mut window = window();
    assert_eq!(window.rtt(), None);
    send_and_acknowledge(&mut window, 16);
    send_and_acknowledge(&mut window, 24);
    assert_eq!(window.rtt(), Some(millis(17)));
    window.on_resend(Position::FIRST, 0, millis(100));
    window.on_ack(&ack(Position::start_of(Sequence::FIRST.next()), 1), 0, millis(101));
    assert_eq!((window.rtt(), window.srtt), (Some(millis(17)), Some(millis(15))));
    window.restart();
    assert_eq!(window.rtt(), None);
}

#[test]
fn it_shrinks_to_the_least_while_they_queue() {
    let mut window = window();
    for _ in 0..5 {
        send_and_acknowledge(&mut window, 1);
    }
    let shrunk: Vec<_> = (0..6).map(|_| send_and_acknowledge(&mut window, 201)).collect();
    assert_eq!(shrunk, [7_500, 5_625, 4_219, 3_165, 2_374, LEAST]);
}

/// By half of what the queue is too long for the round trip, or too short.
#[test]
fn small_steps_lead_to_the_queue_that_there_is_to_be() {
    let mut window = window();
    for _ in 0..5 {
        send_and_acknowledge(&mut window, 1);
    }
    // It is to be of 25 ms, beside the one that the frame takes alone.
    let steps = [26, 46, 21].map(|took| send_and_acknowledge(&mut window, took));
    let shorter = 10_000 - 10_000 * 20 / 46 / 2;
    assert_eq!(steps, [10_000, shorter, shorter + shorter * 5 / 21 / 2]);
}

#[test]
fn a_distant_peer_is_not_late() {
    let mut window = window();
    assert_eq!(send_and_acknowledge(&mut window, 50), 3_000);
    // Four of the smallest frames take 50 ms at the rate that it shows: so long a queue may take.
    let after = [80, 100, 150].map(|took| send_and_acknowledge(&mut window, took));
    assert_eq!(after, [3_375, 3_375, 3_375 - 3_375 * 50 / 150 / 2]);
}

#[test]
fn a_peer_that_has_become_distant_is_late_for_a_while() {
    let mut window = window();
    let took = [1, 60, 60, 60, 60, 60, 60, 60];
    let after = took.map(|took| send_and_acknowledge(&mut window, took));
    assert_eq!(after, [3_000, 2_250, LEAST, LEAST, 2_826, 4_239, 6_358, 9_537]);
}

#[test]
fn it_does_not_grow_when_it_is_not_used() {
    let mut window = window();
    let before = window.bytes();
    window.on_send(Position::FIRST, before / 2 - 1, millis(0));
    window.on_ack(&ack(Position::start_of(Sequence::FIRST.next()), 1), 100, millis(1));
    assert_eq!(window.bytes(), before);
}

#[test]
fn only_the_acknowledgement_of_the_sample_counts() {
    let mut window = window();
    let before = window.bytes();
    let sample = Position { sequence: Sequence::FIRST, offset: 7 };
    window.on_send(sample, before, millis(0));
    window.on_ack(&ack(sample, 1), before, millis(1));
    assert_eq!(window.bytes(), before);
    window.forget_sample();
    window.on_ack(&ack(Position { offset: 8, ..sample }, 1), 1, millis(1));
    assert_eq!(window.bytes(), before);
}

#[test]
fn what_the_line_carries_in_its_time_is_never_too_much() {
    let frames = FrameSizes { min: 100, max: 100_000 };
    let mut window = CongestionWindow::new(frames, 1_000_000);
    // A line of 100 bytes in a millisecond, beyond which everything waits.
    for _ in 0..50 {
        let took = window.bytes() as u64 / 100;
        send_and_acknowledge(&mut window, took);
    }
    assert!((1_600..=3_800).contains(&window.bytes()), "{window:?}");
    assert_eq!(window.max_frame(), window.bytes() / 4);
    // It has become ten times slower: a while later it counts as that.
    for _ in 0..80 {
        let took = window.bytes() as u64 / 10;
        send_and_acknowledge(&mut window, took);
    }
    assert!((600..=1_100).contains(&window.bytes()), "{window:?}");
    assert_eq!(window.max_frame(), window.bytes() / 4);
}

/// The threads of a busy machine are late by some milliseconds, whatever is sent.
#[test]
fn a_delay_that_is_no_time_holds_nothing_back_until_the_largest_frame_fits() {
    let frames = FrameSizes { min: 500, max: 8_000 };
    let late = |took| {
        let mut window = CongestionWindow::new(frames, 100_000);
        send_and_acknowledge(&mut window, 1);
        let before = window.bytes();
        window.bytes = 4_000;
        (before, send_and_acknowledge(&mut window, took), send_and_acknowledge(&mut window, took))
    };
    assert_eq!(late(24), (4_000, 8_000, 8_333));
    assert_eq!(late(25), (4_000, 4_080, 4_161));
}

/// A line lets a burst pass at once after a rest: its rate is no reason to send more.
#[test]
fn a_burst_at_the_beginning_does_not_make_a_slow_line_a_fast_one() {
    let frames = FrameSizes { min: 100, max: 1_000_000 };
    let mut window = CongestionWindow::new(frames, 10_000_000);
    send_and_acknowledge(&mut window, 0);
    for _ in 0..30 {
        let took = window.bytes() as u64;
        send_and_acknowledge(&mut window, took);
        assert!(window.bytes() < 1_400 && window.max_frame() < 350, "{window:?}");
    }
}

#[test]
fn a_queue_on_the_way_back_does_not_count() {
    let mut window = window();
    for round in 0..5 {
        window.on_send(Position::FIRST, window.bytes(), millis(100));
        let next = Position::start_of(Sequence::FIRST.next());
        window.on_ack(&ack(next, 1), window.bytes(), millis(200 + 50 * round));
    }
    assert_eq!(window.bytes(), MAXIMUM);
}

#[test]
fn the_shortest_delay_is_measured_anew_with_next_to_nothing_on_its_way() {
    let mut window = window();
    send_and_acknowledge(&mut window, 1);
    let mut acknowledge = |sent: Duration, used: usize, took: u64| {
        window.on_send(Position::FIRST, used, sent);
        let next = Position::start_of(Sequence::FIRST.next());
        window.on_ack(&ack(next, took), used, sent + millis(took));
        window.bytes()
    };
    assert_eq!(acknowledge(millis(9_000), 3_000, 20), 3_450);
    assert_eq!(acknowledge(millis(11_000), 3_000, 20), LEAST);
    // What was on its way before does not count.
    assert_eq!(acknowledge(millis(11_030), 3_000, 20), LEAST);
    // The path has become longer.
    assert_eq!(acknowledge(millis(11_060), LEAST, 20), 4_350);
    assert_eq!(acknowledge(millis(11_090), 4_500, 45), 4_350);
    assert_eq!(acknowledge(millis(11_120), 4_500, 90), 3_263);
}

#[test]
fn frames_become_large_where_that_takes_no_time() {
    let frames = FrameSizes { min: 100, max: 10_000 };
    let mut window = CongestionWindow::new(frames, 100_000);
    assert_eq!((window.bytes(), window.max_frame()), (684, 171));
    while window.bytes() < frames.max {
        assert!(window.max_frame() <= window.bytes() / 4);
        send_and_acknowledge(&mut window, 1);
    }
    assert_eq!(window.max_frame(), frames.max);
    window.restart();
    assert_eq!((window.bytes(), window.max_frame()), (684, 171));
}

#[test]
fn while_the_way_is_shared_less_is_on_it_in_smaller_frames() {
    let frames = FrameSizes { min: 100, max: 10_000 };
    let mut window = CongestionWindow::new(frames, 100_000);
    while window.bytes() < 50_000 {
        send_and_acknowledge(&mut window, 1);
    }
    window.share(true);
    assert_eq!((window.bytes(), window.max_frame(), window.max_batch()), (5_000, 1_250, 2_500));
    window.share(false);
    assert!(window.bytes() >= 50_000 && window.max_frame() == frames.max);
}

#[test]
fn an_acknowledgement_that_takes_long_is_asked_for_later() {
    let mut window = window();
    assert_eq!(window.probe_timeout(), FIRST_RTT * 3);
    send_and_acknowledge(&mut window, 0);
    assert_eq!(window.probe_timeout(), FIRST_RTT / 3 * 3);
    for _ in 0..100 {
        send_and_acknowledge(&mut window, 200);
    }
    assert!((millis(590)..=millis(600)).contains(&window.probe_timeout()));
}
