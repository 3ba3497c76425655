//! What is no ZMTP, or stops being it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use raft_cluster::Rejection;

use crate::forged::Header;
use crate::siege::Siege;
use crate::zmtp::{greeting, introduce, introduction, part, ping};

/// Writes what the server takes of it, and waits until the server has ended the connection.
pub fn throw(mut stream: TcpStream, bytes: &[u8]) {
    // The server may have seen enough before the end.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Ok(0) => return,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays");
                return;
            }
        }
    }
}

fn random(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn what_is_no_zmtp_does_no_harm() {
    let seed = 0xbad;
    println!("seed {seed}");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        [&hello[..], &random(&mut rng, 506)].concat(),
        vec![0; 10_000],
        vec![0xff; 10_000],
        [greeting("NULL"), random(&mut rng, 1_000)].concat(),
        [greeting("CURVE"), random(&mut rng, 1_000)].concat(),
        [greeting("PLAIN"), random(&mut rng, 1_000)].concat(),
        [greeting("no such mechanism"), random(&mut rng, 1_000)].concat(),
        // A command, and a message, of all the bytes there are.
        [greeting("CURVE"), vec![6, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
        [introduction("DEALER", &[]), random(&mut rng, 1_000)].concat(),
    ];
    garbage.extend((0..100).map(|_| {
        let length = rng.usize(1..4_096);
        random(&mut rng, length)
    }));
    // A message longer than memory, commands of no meaning, and what may be anything.
    let no_messages = [
        vec![2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![6, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![4, 0],
        vec![5, 1, 0],
        vec![4, 6, 5, b'E', b'R', b'R', b'O', b'R'],
        random(&mut rng, 10_000),
    ];
    Siege::each(|siege| {
        for bytes in &garbage {
            throw(siege.connect(), bytes);
        }
        for bytes in &no_messages {
            let mut stream = siege.connect();
            // Where keys are asked for it ends here.
            let _ = introduce(&mut stream, &[]);
            throw(stream, bytes);
        }
        let report = siege.assert_unharmed(16 << 10);
        assert!(report.rejected > 0);
        assert_eq!(report.delivered.len(), 1, "{report:?}");
    });
}

/// How a connection begins.
type Begin = fn(&mut TcpStream) -> io::Result<()>;

#[test]
fn endless_bytes_from_one_that_reads_nothing_do_no_harm() {
    const BYTES: usize = 32 << 20;
    let noise = random(&mut fastrand::Rng::with_seed(7), 64 << 10);
    let nothing: Begin = |_| Ok(());
    let greet: Begin = |stream| stream.write_all(&greeting("NULL"));
    let introduce: Begin = |stream| introduce(stream, &[]);
    let streams = [
        (nothing, noise.clone()),
        (greet, noise.clone()),
        (introduce, noise),
        (introduce, ping().repeat(2_000)),
        (introduce, part(b"nonsense", false).repeat(4_000)),
    ];
    Siege::each(|siege| {
        for (begin, endless) in &streams {
            let mut stream = siege.connect();
            let mut result = begin(&mut stream);
            let mut written = 0;
            while result.is_ok() && written < BYTES {
                result = stream.write_all(endless);
                written += endless.len();
            }
            let timeout = result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(!timeout, "neither read nor refused");
        }
        siege.assert_unharmed(24 << 10);
    });
}

#[test]
fn who_claims_to_be_proven_is_believed_nothing() {
    Siege::each(|siege| {
        let lies: [(&str, &[u8]); 3] =
            [("User-Id", b"2"), ("Peer-Address", b"\xff\xfe"), ("Identity", b"2")];
        let stranger = Header { from: 2, to: 7, ..Header::default() };
        let mut stream = siege.connect();
        // Where keys are asked for it ends here.
        let _ = introduce(&mut stream, &lies);
        throw(stream, &part(&stranger.bytes(), false));
        let reason = siege.outsider_rejection(Rejection::OtherRecipient(7.into()));
        siege.await_report(|report| report.rejections(reason) == 1);
        siege.assert_unharmed(16 << 10);
    });
}
