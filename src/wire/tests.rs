//! Frames survive the way through bytes, and bytes that are no frame do no harm: nothing panics,
//! and nothing is allocated for a length that a header only claims.

mod golden;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::envelope::Envelope;
use crate::session::Session;

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn recipient(to: Pid) -> impl Strategy<Value = Recipient> {
    any::<bool>().prop_map(
        move |broadcast| {
            if broadcast { Recipient::Broadcast } else { Recipient::Peer(to) }
        },
    )
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::MESSAGE), Just(Role::QUESTION), Just(Role::ANSWER)]
}

/// Ids of which many are that of the one before, or one more.
fn msg_id() -> impl Strategy<Value = i64> {
    prop_oneof![0..3_i64, any::<i64>(), Just(i64::MAX), Just(i64::MIN)]
}

fn envelopes(from: Pid, to: Pid) -> impl Strategy<Value = Vec<Envelope>> {
    let envelope = (recipient(to), msg_id(), bytes(40), any::<(bool, bool, bool)>(), role());
    let envelope =
        envelope.prop_map(move |(to, msg_id, msg, (bound, or_return, receipt), role)| {
            let session = Session::of(process(if bound { 2 } else { 1 }));
            Envelope {
                to,
                from,
                session,
                msg_id,
                msg,
                delivery: Delivery { bound, or_return, receipt },
                role,
            }
        });
    prop::collection::vec(envelope, 1..20)
}

fn process(number: u64) -> Incarnation {
    Incarnation::from_wire(number).unwrap()
}

/// The envelopes of a payload, which have come back from the second server to the first.
fn returned(payload: Payload) -> Vec<Envelope> {
    let (own, peer) = (Pid::new(1), Pid::new(2));
    Envelopes::returned(payload, own, process(1), peer, Some(process(2))).collect()
}

fn batch(envelopes: &[Envelope]) -> Payload {
    let mut batch = Batch::default();
    envelopes.iter().for_each(|envelope| batch.push(envelope));
    batch.take()
}

fn payload(to: Pid) -> impl Strategy<Value = Payload> {
    let single = (recipient(to), any::<i64>(), role(), bytes(100));
    let single = single.prop_map(|(to, msg_id, role, msg)| Payload::Single {
        to,
        msg_id,
        role,
        msg,
        delivery: Delivery::default(),
    });
    prop_oneof![
        Just(Payload::Heartbeat),
        Just(Payload::Goodbye),
        Just(Payload::Batch {
            envelopes: 0,
            largest: 0,
            delivery: Delivery::default(),
            body: Bytes::new()
        }),
        single,
        envelopes(Pid::new(1), to).prop_map(|envelopes| batch(&envelopes)),
    ]
}

/// A payload or a piece of it, and where it begins.
fn piece(to: Pid) -> impl Strategy<Value = (Payload, u32)> {
    (payload(to), any::<(u32, usize)>()).prop_map(|(payload, (offset, max))| {
        if payload.len() < 2 {
            return (payload, 0);
        }
        let offset = offset as usize % payload.len();
        (payload.piece(offset, max % payload.len()), offset as u32)
    })
}

fn position() -> impl Strategy<Value = Position> {
    (sequence(), any::<u32>()).prop_map(|(sequence, offset)| Position { sequence, offset })
}

fn sequence() -> impl Strategy<Value = Sequence> {
    (1..=u64::MAX / 2).prop_map(|number| Sequence::from_wire(number).unwrap())
}

prop_compose! {
    fn acknowledgement()(
        of in any::<u64>(),
        next in position(),
        gap in any::<u32>(),
        silence in any::<u32>(),
        delay in any::<u32>(),
        intake in prop_oneof![Just(Intake::Open), Just(Intake::Closed), Just(Intake::Ended)],
    ) -> Acknowledgement {
        Acknowledgement {
            of: Incarnation::from_wire(of),
            next,
            nack: Epoch::from_wire(gap),
            silence: Silence::from_wire(silence),
            intake,
            delay: Stamp::from_wire(delay),
        }
    }
}

prop_compose! {
    fn header()(
        pids in any::<(u32, u32)>(),
        cluster in any::<u64>(),
        incarnation in 1..=u64::MAX,
        places in (sequence(), sequence()),
        epoch in 1..=u32::MAX,
        missed in any::<u64>(),
        suspends in any::<u32>(),
        max_message in any::<u32>(),
        wants_ack in prop_oneof![Just(false), Just(true)],
        (settled, resumed) in any::<(bool, bool)>(),
        stamp in any::<u32>(),
        acknowledgement in acknowledgement(),
    ) -> Header {
        Header {
            cluster: ClusterId::from_wire(cluster),
            from: Pid::new(pids.0),
            to: Pid::new(pids.1),
            incarnation: Incarnation::from_wire(incarnation).unwrap(),
            position: Position::start_of(places.0.max(places.1)),
            base: places.0.min(places.1),
            epoch: Epoch::from_wire(epoch).unwrap(),
            missed,
            suspends,
            max_message,
            wants_ack,
            stamp: Stamp::from_wire(stamp),
            settled,
            resumed,
            acknowledgement,
        }
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    header().prop_flat_map(|header| {
        piece(header.to).prop_map(move |(payload, offset)| {
            let position = Position { offset, ..header.position };
            Frame { header: Header { position, ..header }, payload }
        })
    })
}

fn encode(frame: &Frame) -> ([u8; HEADER_LEN], Bytes) {
    (encode_header(&frame.header, &frame.payload), frame.payload.clone().into_body())
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_comes_back_as_it_was(frame in frame()) {
        let (header, body) = encode(&frame);
        prop_assert_eq!(decode(&header, body), Ok(frame));
    }

    #[test]
    fn envelopes_come_back_in_order(envelopes in envelopes(Pid::new(1), Pid::new(2))) {
        let payload = batch(&envelopes);
        let back = returned(payload.clone());
        prop_assert_eq!(&back, &envelopes);
        for (back, sent) in back.iter().zip(&envelopes) {
            prop_assert_eq!((back.session, back.delivery), (sent.session, sent.delivery));
            prop_assert_eq!(back.role, sent.role);
        }
        prop_assert_eq!(payload.is_bound(), envelopes.iter().any(|it| it.delivery.is_for_one_process()));
        // How they were sent is nothing to the one who receives them.
        let received = Envelopes::received(payload, Pid::new(1), process(3), Pid::new(2));
        for (received, sent) in received.zip(&envelopes) {
            prop_assert_eq!(received.session, Session::of(process(3)));
            prop_assert_eq!(received.delivery, Delivery::default());
            prop_assert_eq!(received.is_question(), sent.is_question());
            prop_assert_eq!(received.role.answers(), sent.role == Role::ANSWER);
            prop_assert_eq!(received.role.to_wire(), 0, "nobody here has asked");
            prop_assert_eq!((received.to, received.msg_id), (sent.to, sent.msg_id));
        }
    }

    #[test]
    fn a_truncated_header_is_no_frame(frame in frame()) {
        let (header, body) = encode(&frame);
        for length in 0..HEADER_LEN {
            let error = DecodeError::HeaderLength(length);
            prop_assert_eq!(decode(&header[..length], body.clone()), Err(error));
        }
    }

    #[test]
    fn a_truncated_batch_is_no_batch(envelopes in envelopes(Pid::new(1), Pid::new(2)), header in header()) {
        let frame = Frame { header, payload: batch(&envelopes) };
        let (header, body) = encode(&frame);
        prop_assert_eq!(decode(&header, Bytes::new()), Err(DecodeError::Body));
        for length in 1..body.len() {
            let frame = decode(&header, body.slice(..length));
            let fragment = matches!(frame, Ok(Frame { payload: Payload::Fragment { .. }, .. }));
            prop_assert!(fragment);
        }
    }

    #[test]
    fn the_pieces_of_a_payload_make_it_up_again(payload in payload(Pid::new(2)), max in 1..60_usize) {
        let (mut body, mut whole) = (Vec::new(), None);
        while body.len() < payload.len() {
            let piece = payload.piece(body.len(), max);
            prop_assert!((1..=max).contains(&piece.len()));
            body.extend_from_slice(piece.body());
            if let Payload::Fragment { whole: claimed, .. } = piece {
                prop_assert_eq!(*whole.get_or_insert(claimed), claimed);
            } else {
                prop_assert_eq!(&piece, &payload);
            }
        }
        let Some(whole) = whole else { return Ok(()) };
        prop_assert_eq!(assemble(whole, body.clone().into()), Some(payload));
        body.pop();
        prop_assert_eq!(assemble(whole, body.into()), None);
    }

    #[test]
    fn a_batch_is_taken_apart_by_size(envelopes in envelopes(Pid::new(1), Pid::new(2)), max in 0..40_u32) {
        let runs = runs_by_size(batch(&envelopes), max);
        for (run, next) in runs.iter().zip(&runs[1..]) {
            prop_assert_ne!(run.meets, next.meets);
        }
        let mut back = Vec::new();
        for run in &runs {
            let of_run = returned(run.payload.clone());
            prop_assert!(!of_run.is_empty());
            prop_assert!(of_run.iter().all(|e| (e.msg.len() > max as usize) == run.meets));
            back.extend(of_run);
        }
        prop_assert_eq!(&back, &envelopes);
        let small: Vec<_> = envelopes.into_iter().filter(|e| e.msg.len() <= max as usize).collect();
        let kept = runs.into_iter().filter(|run| !run.meets).map(|run| run.payload);
        prop_assert_eq!(join(kept), batch(&small));
    }

    /// What passes as a frame in spite of the damage is taken apart completely.
    #[test]
    fn a_damaged_byte_does_no_harm(frame in frame(), damage in 1..=u8::MAX) {
        let (header, body) = encode(&frame);
        for at in 0..header.len() + body.len() {
            let (mut header, mut body) = (header, body.to_vec());
            match at.checked_sub(HEADER_LEN) {
                None => header[at] ^= damage,
                Some(at) => body[at] ^= damage,
            }
            if let Ok(frame) = decode(&header, body.into()) {
                let promised = frame.payload.envelopes();
                let envelopes = Envelopes::received(frame.payload, Pid::new(1), process(1), Pid::new(2));
                prop_assert_eq!(envelopes.count() as u64, promised);
            }
        }
    }

    #[test]
    fn noise_is_no_frame(header in prop::collection::vec(any::<u8>(), 0..200), body in bytes(100)) {
        prop_assert!(decode(&header, body).is_err());
    }
}

#[test]
fn another_version_is_told_from_damage_however_long_its_header_is() {
    for length in [4, 104, HEADER_LEN, 200] {
        let mut header = vec![0; length];
        header[..4].copy_from_slice(b"rcl\x01");
        assert_eq!(decode(&header, Bytes::new()), Err(DecodeError::Version(1)));
    }
}

#[test]
fn a_goodbye_has_no_body() {
    let (header, _) = encode(&Frame { header: any_header(), payload: Payload::Goodbye });
    assert_eq!(decode(&header, Bytes::from_static(b"x")), Err(DecodeError::Body));
}

#[test]
fn a_fragment_within_its_payload_is_the_only_one_there_is() {
    let decode_at = |offset: u32, body: &'static [u8], len: u32| {
        let payload = Payload::Fragment {
            whole: Whole { kind: WholeKind::Batch { envelopes: 1 }, len },
            body: Bytes::from_static(body),
        };
        let position = Position { offset, ..any_header().position };
        let header = encode_header(&Header { position, ..any_header() }, &payload);
        decode(&header, payload.into_body()).map(|frame| frame.payload.len())
    };
    assert_eq!(decode_at(7, b"abc", 10), Ok(3));
    assert_eq!(decode_at(8, b"abc", 10), Err(DecodeError::Body));
    assert_eq!(decode_at(u32::MAX, b"abc", 10), Err(DecodeError::Body));
    assert_eq!(decode_at(3, b"", 10), Err(DecodeError::Body));
    assert_eq!(decode_at(1, b"abc", 3), Err(DecodeError::Body));
}

#[test]
fn a_number_at_the_edge_of_its_type_is_refused() {
    let header = encode_header(&any_header(), &Payload::Heartbeat);
    for (at, field) in [(32, "sequence"), (40, "base"), (80, "next")] {
        for edge in [0, u64::MAX, u64::MAX / 2 + 1] {
            let mut header = header;
            header[at..at + 8].copy_from_slice(&edge.to_le_bytes());
            assert_eq!(decode(&header, Bytes::new()), Err(DecodeError::Field(field)));
        }
    }
}

#[test]
fn ids_that_count_up_or_stay_the_same_are_not_sent() {
    let sent = |ids: &[i64]| {
        let envelopes: Vec<_> = ids.iter().map(|id| Envelope::broadcast("").with_id(*id)).collect();
        batch(&envelopes).into_body().len()
    };
    assert_eq!(sent(&[0, 0, 0]), 12);
    assert_eq!(sent(&[7, 8, 9, 9]), 8 + 16);
    assert_eq!(sent(&[i64::MAX, i64::MIN]), 8 + 8);
    assert_eq!(sent(&[3, 2]), 2 * ENVELOPE_OVERHEAD);
}

#[test]
fn an_id_of_the_unused_kind_is_refused() {
    let batch = measure(Bytes::from_static(&[0b010, 0, 0, 0]));
    assert_eq!(batch.map(|batch| batch.envelopes()), Some(1));
    assert_eq!(measure(Bytes::from_static(&[0b110, 0, 0, 0])), None);
}

#[test]
fn a_batch_keeps_little_more_memory_than_it_needs() {
    let mut batch = Batch::default();
    (0..5_000).for_each(|_| batch.push(&Envelope::broadcast("warm")));
    let large = batch.take();
    batch.push(&Envelope::broadcast("x"));
    let Payload::Batch { body, .. } = batch.take() else { panic!("a batch") };
    let capacity = Vec::from(body).capacity();
    assert!(capacity < 64, "{capacity} bytes are kept after one of {}", large.len());
}

fn any_header() -> Header {
    let place = Sequence::from_wire(5).unwrap();
    Header {
        cluster: ClusterId::new(Some("test")),
        from: Pid::new(1),
        to: Pid::new(2),
        incarnation: Incarnation::draw(),
        position: Position::start_of(place),
        base: place,
        epoch: Epoch::FIRST,
        missed: 0,
        suspends: 0,
        max_message: 100,
        wants_ack: false,
        stamp: Stamp::ZERO,
        settled: false,
        resumed: false,
        acknowledgement: Acknowledgement::NONE,
    }
}

#[test]
fn a_question_is_no_answer() {
    let both = Role::QUESTION.to_wire() | Role::ANSWER.to_wire();
    assert_eq!(Role::from_wire(both), None);
    assert_eq!(Role::from_wire(!both), Some(Role::MESSAGE));
    let envelope = Envelope { role: Role::QUESTION, ..Envelope::to(Pid::new(2), "who leads?") };
    let mut body = batch(&[envelope]).into_body().to_vec();
    body[0] |= both;
    assert_eq!(measure(body.into()), None);
    assert_eq!(super::role(FLAG_QUESTION | FLAG_ANSWER), Err(DecodeError::Field("flags")));
    assert_eq!(super::role(role_flag(Role::ANSWER)), Ok(Role::ANSWER));
}
