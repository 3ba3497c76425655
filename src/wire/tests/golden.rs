//! The bytes of version 2 of the protocol, as they were written down. A server of another release that
//! speaks it has to understand them: who changes them raises the version.

use super::*;

/// Every number is another one, so that none can be taken for its neighbour.
fn header_of_all_fields() -> Header {
    Header {
        cluster: ClusterId::new(Some("orders")),
        from: Pid::new(0x0102_0304),
        to: Pid::new(0x0506_0708),
        incarnation: Incarnation::from_wire(0x1112_1314_1516_1718).unwrap(),
        position: Position { sequence: Sequence::from_wire(0x2122_2324_2526).unwrap(), offset: 0 },
        base: Sequence::from_wire(0x0122_2324_2526).unwrap(),
        epoch: Epoch::from_wire(0x3132_3334).unwrap(),
        missed: 0x41,
        suspends: 0x42,
        max_message: 0x5152_5354,
        wants_ack: true,
        stamp: Stamp::from_wire(0x6162_6364),
        settled: true,
        resumed: true,
        acknowledgement: Acknowledgement {
            of: Incarnation::from_wire(0x7172_7374_7576_7778),
            next: Position { sequence: Sequence::from_wire(0x0807_0605).unwrap(), offset: 0x81 },
            nack: Epoch::from_wire(0x91),
            intake: Intake::Closed,
            silence: Silence::from_wire(0xa1),
            delay: Stamp::from_wire(0xb1),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn envelopes() -> Payload {
    batch(&[
        Envelope::broadcast("to all").with_id(7),
        Envelope::to(Pid::new(2), "to two").with_id(8),
        Envelope { role: Role::QUESTION, ..Envelope::to(Pid::new(2), "who leads?").with_id(-1) },
        Envelope { role: Role::ANSWER, ..Envelope::to(Pid::new(2), "I do") },
    ])
}

#[test]
fn a_header_of_version_2_is_what_it_was() {
    let bytes = encode_header(&header_of_all_fields(), &Payload::Heartbeat);
    assert_eq!(hex(&bytes), HEARTBEAT);
    let frame = decode(&bytes, Bytes::new()).unwrap();
    assert_eq!((frame.header, frame.payload), (header_of_all_fields(), Payload::Heartbeat));
}

#[test]
fn a_batch_of_version_2_is_what_it_was() {
    assert_eq!(hex(envelopes().body()), BATCH);
}

#[test]
fn a_single_of_version_2_is_what_it_was() {
    let payload = Payload::Single {
        to: Recipient::Broadcast,
        msg_id: 0x0102_0304_0506_0708,
        role: Role::MESSAGE,
        msg: Bytes::from_static(b"all of you"),
        delivery: Delivery::default(),
    };
    let header = Header {
        position: any_header().position,
        base: any_header().base,
        ..header_of_all_fields()
    };
    assert_eq!(hex(&encode_header(&header, &payload)), SINGLE);
}

const HEARTBEAT: &str = "\
    72636c02008b00004c8bbe50925d1200040302010807060518171615141312112625242322210000\
    26252423220100003433323100000000410000000000000000000000000000007877767574737271\
    050607080000000091000000a10000005453525181000000000000000000000064636261b1000000\
    42000000";
const BATCH: &str = "\
    010600000700000000000000746f20616c6c04060000746f2074776f400a0000ffffffffffffffff\
    77686f206c656164733f840400004920646f";
const SINGLE: &str = "\
    72636c02028f00004c8bbe50925d1200040302010807060518171615141312110500000000000000\
    05000000000000003433323100000000410000000000000008070605040302017877767574737271\
    050607080000000091000000a10000005453525181000000000000000a00000064636261b1000000\
    42000000";
