//! ZMTP done right, with nonsense inside.

use crate::forged::{Header, LENGTH};
use crate::garbage::throw;
use crate::siege::{Reach, Siege};
use crate::zmtp::introduction;

type Message = Vec<Vec<u8>>;

fn nonsense() -> Vec<Message> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut bytes = |length| std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    let right = Header::default().bytes();
    vec![
        vec![vec![]],
        vec![vec![], vec![]],
        vec![vec![], right.clone()],
        vec![b"hello".to_vec()],
        vec![bytes(LENGTH)],
        vec![bytes(LENGTH), bytes(1_000)],
        vec![right[..LENGTH - 1].to_vec()],
        vec![[&right[..], &[0]].concat()],
        vec![right.clone(), vec![], vec![]],
        vec![right.clone(), right.clone(), right.clone()],
        vec![right; 1_000],
        vec![vec![]; 1_000],
        vec![bytes(100_000)],
    ]
}

#[test]
fn messages_that_are_no_frames_are_refused() {
    const TIMES: usize = 20;
    let nonsense = nonsense();
    Siege::each(|siege| {
        for (guise, reach) in siege.guises() {
            if reach == Reach::Refused {
                nonsense.iter().for_each(|message| siege.await_refusal(guise, message));
                continue;
            }
            let before = siege.await_report(|_| true).rejected;
            let socket = siege.attacker(guise, zmq::DEALER);
            for message in nonsense.iter().cycle().take(nonsense.len() * TIMES) {
                socket.send_multipart(message, 0).unwrap();
            }
            let expected = (nonsense.len() * TIMES) as u64;
            siege.await_report(|report| report.rejected >= before + expected);
        }
        let report = siege.assert_unharmed(24 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
    });
}

#[test]
fn sockets_of_other_types_are_refused() {
    use zmq::{PAIR, PUB, PULL, PUSH, REQ, SUB, XPUB, XSUB};
    let kinds = ["PAIR", "PUB", "PULL", "PUSH", "REQ", "SUB", "XPUB", "XSUB", "STREAM", "nonsense"];
    Siege::each(|siege| {
        // The real ones find out for themselves that they are not wanted.
        let real = [PAIR, PUB, PULL, PUSH, REQ, SUB, XPUB, XSUB];
        let _real = real.map(|kind| siege.attacker(siege.insider(), kind));
        for kind in kinds {
            throw(siege.connect(), &introduction(kind, &[]));
        }
        let report = siege.assert_unharmed(16 << 10);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
        // libzmq says nothing of sockets that do not match.
        let refused = if siege.has_keys() { kinds.len() as u64 } else { 0 };
        assert!(report.rejected >= refused, "{report:?}");
    });
}
