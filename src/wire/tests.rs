//! Frames survive the way through bytes, and bytes that are no frame do no harm: nothing panics,
//! and nothing is allocated for a length that a header only claims.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::envelope::Envelope;

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

/// Ids of which many are that of the one before, or one more.
fn msg_id() -> impl Strategy<Value = i64> {
    prop_oneof![0..3_i64, any::<i64>(), Just(i64::MAX), Just(i64::MIN)]
}

fn envelopes(from: Pid, to: Pid) -> impl Strategy<Value = Vec<Envelope>> {
    let envelope = (recipient(to), msg_id(), bytes(40))
        .prop_map(move |(to, msg_id, msg)| Envelope { to, from, msg_id, msg });
    prop::collection::vec(envelope, 1..20)
}

fn batch(envelopes: &[Envelope]) -> Payload {
    let mut batch = Batch::default();
    envelopes.iter().for_each(|envelope| batch.push(envelope));
    batch.take()
}

fn payload(to: Pid) -> impl Strategy<Value = Payload> {
    let single = (recipient(to), any::<i64>(), bytes(100))
        .prop_map(|(to, msg_id, msg)| Payload::Single { to, msg_id, msg });
    prop_oneof![
        Just(Payload::Heartbeat),
        Just(Payload::Goodbye),
        Just(Payload::Batch { envelopes: 0, body: Bytes::new() }),
        single,
        envelopes(Pid::new(1), to).prop_map(|envelopes| batch(&envelopes)),
    ]
}

fn sequence() -> impl Strategy<Value = Sequence> {
    (1..=u64::MAX / 2).prop_map(|number| Sequence::from_wire(number).unwrap())
}

prop_compose! {
    fn acknowledgement()(
        of in any::<u64>(),
        next in sequence(),
        gap in any::<u32>(),
        silence in any::<u32>(),
        intake in prop_oneof![Just(Intake::Open), Just(Intake::Closed), Just(Intake::Ended)],
    ) -> Acknowledgement {
        Acknowledgement {
            of: Incarnation::from_wire(of),
            next,
            nack: Epoch::from_wire(gap),
            silence: Silence::from_wire(silence),
            intake,
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
        max_message in any::<u32>(),
        wants_ack in prop_oneof![Just(false), Just(true)],
        settled in prop_oneof![Just(false), Just(true)],
        acknowledgement in acknowledgement(),
    ) -> Header {
        Header {
            cluster: ClusterId::from_wire(cluster),
            from: Pid::new(pids.0),
            to: Pid::new(pids.1),
            incarnation: Incarnation::from_wire(incarnation).unwrap(),
            sequence: places.0.max(places.1),
            base: places.0.min(places.1),
            epoch: Epoch::from_wire(epoch).unwrap(),
            missed,
            max_message,
            wants_ack,
            settled,
            acknowledgement,
        }
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    header().prop_flat_map(|header| {
        payload(header.to).prop_map(move |payload| Frame { header, payload })
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
        let back: Vec<_> = Envelopes::new(payload, Pid::new(1), Pid::new(2)).collect();
        prop_assert_eq!(back, envelopes);
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
    fn a_truncated_batch_is_no_frame(envelopes in envelopes(Pid::new(1), Pid::new(2)), header in header()) {
        let frame = Frame { header, payload: batch(&envelopes) };
        let (header, body) = encode(&frame);
        for length in 0..body.len() {
            prop_assert_eq!(decode(&header, body.slice(..length)), Err(DecodeError::Body));
        }
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
                let envelopes = Envelopes::new(frame.payload, Pid::new(1), Pid::new(2));
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
    assert_eq!(count_envelopes(&[0b010, 0, 0, 0]), Some(1));
    assert_eq!(count_envelopes(&[0b110, 0, 0, 0]), None);
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
        sequence: place,
        base: place,
        epoch: Epoch::FIRST,
        missed: 0,
        max_message: 100,
        wants_ack: false,
        settled: false,
        acknowledgement: Acknowledgement::NONE,
    }
}
