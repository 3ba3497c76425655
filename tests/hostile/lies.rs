//! Headers of the right form that lie about what follows, and about themselves.

use raft_cluster::{Pid, Rejection};

use crate::forged::{BATCH, GOODBYE, Header, SINGLE, batch_of_one, envelope};
use crate::siege::{Reach, Siege};

/// Frames that no server of the cluster would send to server 1, whose incarnation is `of`.
fn lies(of: u64) -> Vec<Vec<Vec<u8>>> {
    let heartbeat = Header { of, ..Header::default() };
    let kind = |kind| Header { kind, ..heartbeat };
    let batch = |envelopes| Header { kind: BATCH, envelopes, ..heartbeat };
    let piece = |offset, length| Header { kind: SINGLE, offset, length, ..heartbeat }.bytes();
    let edges = [0, u64::MAX, u64::MAX - 1, 1 << 63];
    let headers = [
        heartbeat.with(0, b"RCL"),
        heartbeat.with(3, &[0]),
        heartbeat.with(3, &[255]),
        kind(4).bytes(),
        kind(255).bytes(),
        Header { flags: 4, ..heartbeat }.bytes(),
        Header { flags: 24, ..heartbeat }.bytes(),
        Header { flags: 32, ..heartbeat }.bytes(),
        heartbeat.with(6, &[0, 1]),
        Header { cluster: 1, ..heartbeat }.bytes(),
        Header { to: 0, ..heartbeat }.bytes(),
        Header { to: 2, ..heartbeat }.bytes(),
        Header { to: u32::MAX, ..heartbeat }.bytes(),
        Header { incarnation: 0, ..heartbeat }.bytes(),
        Header { sequence: 1, base: 2, ..heartbeat }.bytes(),
        Header { base: 0, ..heartbeat }.bytes(),
        Header { round: 0, ..heartbeat }.bytes(),
        Header { envelopes: 1, ..heartbeat }.bytes(),
        Header { msg_id: 1, ..heartbeat }.bytes(),
        Header { msg_id: 1, ..kind(BATCH) }.bytes(),
        Header { envelopes: 1, ..kind(SINGLE) }.bytes(),
        heartbeat.with(108, &[1]),
        kind(GOODBYE).with(104, &[1]),
        piece(0, 1),
        piece(1, 0),
        piece(u32::MAX, u32::MAX),
    ];
    let sequences = edges.map(|sequence| Header { sequence, ..heartbeat }.bytes());
    let bases = edges.map(|base| Header { base, sequence: base, ..heartbeat }.bytes());
    let nexts = edges.map(|next| Header { next, ..heartbeat }.bytes());
    let one = envelope(2, b"ab");
    let with_bodies = vec![
        heartbeat.before(b"body".to_vec()).to_vec(),
        kind(GOODBYE).before(b"body".to_vec()).to_vec(),
        batch(u32::MAX).before(vec![]).to_vec(),
        batch(u32::MAX).before(one.clone()).to_vec(),
        batch(0).before(one.clone()).to_vec(),
        batch(2).before(one.clone()).to_vec(),
        batch(1).before(one[..11].to_vec()).to_vec(),
        batch(1).before(one[..13].to_vec()).to_vec(),
        batch(1).before([&one[..], b"c"].concat()).to_vec(),
        batch(1).before(envelope(1, b"ab")).to_vec(),
        batch(1).before(envelope(3, b"ab")).to_vec(),
        batch(1).before(envelope(u32::MAX >> 5, b"ab")).to_vec(),
        batch(2).before([one, envelope(u32::MAX >> 5, b"")].concat()).to_vec(),
        // Its id is in no place that there is.
        batch(1).before(vec![3 << 1, 0, 0, 0]).to_vec(),
        batch(1_000_000).before(envelope(0, b"").repeat(80_000)).to_vec(),
        vec![piece(8, 10), b"abc".to_vec()],
        vec![piece(u32::MAX, 10), b"abc".to_vec()],
        vec![piece(1, 3), b"abc".to_vec()],
        vec![piece(0, 2), b"abc".to_vec()],
    ];
    let alone = headers.into_iter().chain(sequences).chain(bases).chain(nexts);
    alone.map(|header| vec![header]).chain(with_bodies).collect()
}

#[test]
fn each_lie_is_refused() {
    Siege::each(|siege| {
        let lies = lies(siege.incarnation());
        for (guise, reach) in siege.guises() {
            if reach == Reach::Refused {
                siege.await_refusal(guise, &lies[0]);
                continue;
            }
            let before = siege.await_report(|_| true).rejected;
            let socket = siege.attacker(guise, zmq::DEALER);
            for (count, lie) in (1..).zip(&lies) {
                socket.send_multipart(lie, 0).unwrap();
                siege.await_report(|report| report.rejected >= before + count);
            }
        }
        let report = siege.assert_unharmed(24 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
        assert_eq!(report.ups.get(&3), None, "{report:?}");
    });
}

#[test]
fn who_is_not_listed_is_nobody() {
    Siege::each(|siege| {
        let of = siege.incarnation();
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        // Not listed, the server itself, and the edges.
        let claims = [99, 1, 0, u32::MAX];
        for from in claims {
            let header = Header { from, of, ..Header::default() };
            socket.send_multipart(batch_of_one(header, b"I am somebody"), 0).unwrap();
        }
        let reason = |claimed| {
            if siege.has_keys() {
                format!("server 3, as its key proves, spoke as server {claimed}")
            } else {
                Rejection::UnknownSender(Pid::new(claimed)).to_string()
            }
        };
        let reasons = claims.map(reason);
        siege.await_report(|report| reasons.iter().all(|reason| report.rejections(reason) == 1));
        let report = siege.assert_unharmed(16 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
    });
}

#[test]
fn a_refusal_says_why() {
    Siege::each(|siege| {
        let right = Header::default();
        let wrong = [
            (Header { kind: 9, ..right }.bytes(), Rejection::Malformed),
            (right.with(3, &[1]), Rejection::Version(1)),
            (right.with(3, &[3]), Rejection::Version(3)),
            (Header { cluster: 1, ..right }.bytes(), Rejection::OtherCluster),
            (Header { to: 4, ..right }.bytes(), Rejection::OtherRecipient(Pid::new(4))),
        ];
        let socket = siege.attacker(siege.insider(), zmq::DEALER);
        for (header, _) in &wrong {
            for _ in 0..100 {
                socket.send(header, 0).unwrap();
            }
        }
        siege.await_report(|report| {
            wrong.iter().all(|(_, reason)| report.rejections(*reason) == 100)
        });
        siege.assert_unharmed(16 << 10);
    });
}
