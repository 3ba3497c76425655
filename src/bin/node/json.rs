//! The lines of `--json`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use raft_cluster::{Changes, Envelope, Event, Pid, Recipient, Report};
use serde::{Serialize, Serializer};

/// One line. The fields come out in the order in which they stand here; `pid` is the server that
/// speaks.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// The first.
    Listening {
        pid: Pid,
        url: &'a str,
    },
    Message {
        pid: Pid,
        from: Pid,
        #[serde(serialize_with = "recipient")]
        to: Recipient,
        msg_id: i64,
        msg: Cow<'a, str>,
    },
    Up {
        pid: Pid,
        peer: Pid,
    },
    Down {
        pid: Pid,
        peer: Pid,
    },
    Restarted {
        pid: Pid,
        peer: Pid,
    },
    Left {
        pid: Pid,
        peer: Pid,
    },
    Absent {
        pid: Pid,
        peer: Pid,
    },
    OneWay {
        pid: Pid,
        peer: Pid,
    },
    Stalled {
        pid: Pid,
        peer: Pid,
    },
    Flowing {
        pid: Pid,
        peer: Pid,
    },
    Missed {
        pid: Pid,
        from: Pid,
        count: u64,
    },
    Undeliverable {
        pid: Pid,
        peer: Pid,
        #[serde(serialize_with = "recipient")]
        to: Recipient,
        msg_id: i64,
        msg: Cow<'a, str>,
        reason: String,
    },
    Rejected {
        pid: Pid,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        count: u64,
    },
    /// The files were read again.
    Reconfigured {
        pid: Pid,
        added: &'a [Pid],
        removed: &'a [Pid],
        changed: &'a [Pid],
    },
    /// They were, and something is wrong, so that nothing was changed.
    NotReconfigured {
        pid: Pid,
        error: &'a str,
    },
    /// An event that this program does not know yet.
    Other {
        pid: Pid,
        text: String,
    },
    /// The last.
    Stopped {
        pid: Pid,
        sent: u64,
        received: u64,
        undelivered: u64,
    },
}

impl<'a> Line<'a> {
    pub(crate) fn message(pid: Pid, envelope: &'a Envelope) -> Self {
        let Envelope { to, from, msg_id, ref msg, .. } = *envelope;
        Self::Message { pid, from, to, msg_id, msg: String::from_utf8_lossy(msg) }
    }

    pub(crate) fn event(pid: Pid, event: &'a Event) -> Self {
        match *event {
            Event::Up(peer) => Self::Up { pid, peer },
            Event::Down(peer) => Self::Down { pid, peer },
            Event::Restarted(peer) => Self::Restarted { pid, peer },
            Event::Left(peer) => Self::Left { pid, peer },
            Event::Absent(peer) => Self::Absent { pid, peer },
            Event::OneWay(peer) => Self::OneWay { pid, peer },
            Event::Stalled(peer) => Self::Stalled { pid, peer },
            Event::Flowing(peer) => Self::Flowing { pid, peer },
            Event::Missed { from, count, .. } => Self::Missed { pid, from, count },
            Event::Undeliverable { peer, ref envelope, reason, .. } => Self::Undeliverable {
                pid,
                peer,
                to: envelope.to,
                msg_id: envelope.msg_id,
                msg: String::from_utf8_lossy(&envelope.msg),
                reason: reason.to_string(),
            },
            Event::Rejected { reason, address, count, .. } => {
                Self::Rejected { pid, reason: reason.to_string(), address, count }
            }
            ref other => Self::Other { pid, text: other.to_string() },
        }
    }

    pub(crate) fn reconfigured(pid: Pid, changes: &'a Changes) -> Self {
        let Changes { added, removed, changed, .. } = changes;
        Self::Reconfigured { pid, added, removed, changed }
    }

    pub(crate) fn stopped(pid: Pid, report: &Report) -> Self {
        Self::Stopped {
            pid,
            sent: report.stats.messages_sent,
            received: report.stats.messages_received,
            undelivered: report.undelivered(),
        }
    }

    /// The line with the time since the start.
    pub(crate) fn at(&self, elapsed: Duration) -> impl Serialize {
        // A double holds whole microseconds exactly for longer than any server will run.
        Timed { line: self, at: elapsed.as_micros() as f64 / 1e6 }
    }
}

/// A line as it is written: `at` stands last, in seconds.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    line: &'a Line<'a>,
    at: f64,
}

/// `"broadcast"`, or the pid as a number.
fn recipient<S: Serializer>(to: &Recipient, serializer: S) -> Result<S::Ok, S::Error> {
    match to {
        Recipient::Peer(pid) => pid.serialize(serializer),
        Recipient::Broadcast => serializer.serialize_str("broadcast"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use raft_cluster::{Config, Reason, Server};

    use super::*;

    /// Longer than anything takes on a busy machine.
    const BOUND: Duration = Duration::from_secs(60);

    fn json(line: &Line) -> String {
        serde_json::to_string(line).unwrap()
    }

    fn of_event(event: &Event) -> String {
        json(&Line::event(Pid::new(2), event))
    }

    #[test]
    fn a_message_shows_its_addresses_and_its_text() {
        let pid = Pid::new(2);
        let mut envelope = Envelope::broadcast("hello there");
        envelope.from = Pid::new(1);
        assert_eq!(
            json(&Line::message(pid, &envelope)),
            r#"{"event":"message","pid":2,"from":1,"to":"broadcast","msg_id":0,"msg":"hello there"}"#
        );
        let mut envelope = Envelope::to(pid, &b"\xffnot UTF-8"[..]).with_id(-7);
        envelope.from = Pid::new(3);
        assert_eq!(
            json(&Line::message(pid, &envelope)),
            r#"{"event":"message","pid":2,"from":3,"to":2,"msg_id":-7,"msg":"�not UTF-8"}"#
        );
    }

    #[test]
    fn every_line_tells_its_time_in_seconds() {
        let line = Line::Listening { pid: Pid::new(2), url: "ipc:///tmp/2" };
        for (elapsed, at) in [
            (Duration::from_nanos(12_345_678), "0.012345"),
            (Duration::from_secs(3), "3.0"),
            (Duration::from_micros(400_000_000_000_001), "400000000.000001"),
        ] {
            assert_eq!(
                serde_json::to_string(&line.at(elapsed)).unwrap(),
                format!(r#"{{"event":"listening","pid":2,"url":"ipc:///tmp/2","at":{at}}}"#)
            );
        }
    }

    #[test]
    fn what_happens_to_a_peer_shows_which_one() {
        let peer = Pid::new(1);
        for (event, name) in [
            (Event::Up(peer), "up"),
            (Event::Down(peer), "down"),
            (Event::Restarted(peer), "restarted"),
            (Event::Left(peer), "left"),
            (Event::Absent(peer), "absent"),
            (Event::OneWay(peer), "one_way"),
            (Event::Stalled(peer), "stalled"),
            (Event::Flowing(peer), "flowing"),
        ] {
            assert_eq!(of_event(&event), format!(r#"{{"event":"{name}","pid":2,"peer":1}}"#));
        }
    }

    /// The first event of this kind.
    fn await_event(server: &Server, is_wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = std::iter::from_fn(|| server.events().recv_timeout(BOUND).ok());
        events.find(is_wanted).expect("the event comes")
    }

    /// Two servers that are not started yet, and the folder of their sockets.
    fn two_servers() -> (Config, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let url = |pid| format!("ipc://{}/{pid}", folder.path().display());
        let servers = serde_json::json!([
            {"mypid": 1, "url": url(1)}, {"mypid": 2, "url": url(2)}]);
        let text = serde_json::json!({"object": {"total": 2, "Servers": servers}}).to_string();
        (text.parse().unwrap(), folder)
    }

    /// The next envelope that comes back to a server, as its line.
    fn next_returned(server: &Server) -> String {
        let event = await_event(server, |event| matches!(event, Event::Undeliverable { .. }));
        json(&Line::event(server.pid(), &event))
    }

    fn returned(msg_id: i64, reason: Reason) -> String {
        format!(
            r#"{{"event":"undeliverable","pid":1,"peer":2,"to":2,"msg_id":{msg_id},"msg":"late","reason":"{reason}"}}"#
        )
    }

    #[test]
    fn what_comes_back_and_what_is_missed_is_shown() {
        let (config, _folder) = two_servers();
        let start = |pid| {
            let builder = Server::builder(&config, Pid::new(pid)).idle_timeout(None).window(0);
            let heartbeat = Duration::from_millis(10);
            builder.heartbeat(heartbeat).peer_timeout(heartbeat * 5).start().unwrap()
        };
        let (one, server_one) = start(1);
        let envelope = |id| Envelope::to(Pid::new(2), "late").with_id(id);
        // One waits for a peer that is not there, and with it the window is full.
        one.outbox.send(envelope(3)).unwrap();
        one.outbox.send(envelope(4)).unwrap();
        assert_eq!(next_returned(&server_one), returned(4, Reason::PeerDown));
        let (_two, server_two) = start(2);
        let event = await_event(&server_two, |event| matches!(event, Event::Missed { .. }));
        assert_eq!(of_event(&event), r#"{"event":"missed","pid":2,"from":1,"count":1}"#);
    }

    #[test]
    fn what_waits_for_nobody_or_for_one_process_says_why_it_came_back() {
        let (config, _folder) = two_servers();
        let start = |pid| {
            let builder = Server::builder(&config, Pid::new(pid)).idle_timeout(None).window(0);
            let builder = builder.heartbeat(Duration::from_millis(10)).inbox_capacity(1);
            builder.linger(Duration::ZERO).start().unwrap()
        };
        let ((one, server_one), (_two, server_two)) = (start(1), start(2));
        await_event(&server_one, |event| *event == Event::Up(Pid::new(2)));
        let to_two = server_one.outbox_to(Pid::new(2)).unwrap();
        let envelope = |id| Envelope::to(Pid::new(2), "late").with_id(id);
        // Server 2 reads nothing: some stay in its inbox, and then others before that.
        (0..100).for_each(|id| to_two.send(envelope(id)).unwrap());
        await_event(&server_one, |event| *event == Event::Stalled(Pid::new(2)));
        one.outbox.send(envelope(100).or_return()).unwrap();
        assert_eq!(next_returned(&server_one), returned(100, Reason::WindowFull));
        // No process of server 2 is this one.
        one.outbox.send(envelope(101).for_session(server_one.session())).unwrap();
        assert_eq!(next_returned(&server_one), returned(101, Reason::Restarted));
        drop(server_two);
    }
}
