//! Connections that never get to the point.

use std::io::{ErrorKind, Read, Write};

use crate::siege::{Siege, assert_answers, raise_file_limit};
use crate::zmtp::{GREETING, greeting, introduction};

/// How many connections are held open, where the system allows as many files.
const CONNECTIONS: u64 = 2_000;

#[test]
fn half_handshakes_by_the_thousand_keep_nobody_out() {
    let count = CONNECTIONS.min((raise_file_limit() - 300) / 2);
    println!("{count} connections");
    let introduction = introduction("DEALER", &[]);
    let beginnings = [
        &[][..],
        &introduction[..5],
        &introduction[..GREETING / 2],
        &introduction[..GREETING],
        &introduction[..GREETING + 10],
        &greeting("CURVE"),
    ];
    Siege::each(|siege| {
        let mut held = Vec::new();
        for beginning in beginnings.iter().cycle().take(count as usize) {
            let mut stream = siege.connect();
            // Some are refused at their first words.
            let _ = stream.write_all(beginning);
            held.push(stream);
        }
        siege.assert_serving();
        let (mailbox, _late) = siege.late_peer();
        assert_answers(&mailbox, 0..100);
        for mut stream in held {
            let mut rest = Vec::new();
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays");
            }
        }
        let report = siege.assert_unharmed(128 << 10);
        assert!(report.rejected > 0);
    });
}
