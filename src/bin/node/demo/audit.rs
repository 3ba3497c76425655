//! Whether the story is true: what every process received, beside what it was promised.

use std::collections::BTreeSet;

use raft_cluster::Pid;

use super::record::Record;

/// The outcome for all processes together. Messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    pub(super) promised: u64,
    /// What a process that took the place of a killed one received again.
    pub(super) repeated: u64,
    /// What is not as it was promised.
    pub(super) faults: Vec<String>,
}

impl Audit {
    /// Audits the processes, in the order of their start, when all have ended.
    ///
    /// Each must have received what each of the others was told to send it, all of it once and in
    /// order. One exception is granted: to a process that takes the place of a killed one, its
    /// peers send again what the killed one may have received but had not acknowledged, before
    /// anything new.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut audit = Self::default();
        for (index, record) in records.iter().enumerate() {
            let killed = records[..index].iter().rfind(|other| other.pid == record.pid);
            let senders: BTreeSet<_> = records.iter().map(|sender| sender.pid).collect();
            senders.into_iter().for_each(|from| audit.compare(record, killed, from));
            audit.promised += record.promised.len() as u64;
            audit.faults.extend_from_slice(&record.troubles);
            audit.close(record);
        }
        audit
    }

    fn compare(&mut self, record: &Record, killed: Option<&Record>, from: Pid) {
        let (promised, received) = (record.promised_by(from), record.received_from(from));
        let before = killed.map_or(vec![], |killed| killed.promised_by(from));
        let repeated = received.len().saturating_sub(promised.len());
        if before.ends_with(&received[..repeated]) && received[repeated..] == promised {
            self.repeated += repeated as u64;
            return;
        }
        let place = received.iter().zip(&promised).take_while(|(one, other)| one == other).count();
        let at = |messages: &[&str]| {
            messages.get(place).map_or("nothing".into(), |text| format!("{text:?}"))
        };
        self.faults.push(format!(
            "server {pid} received {} messages from server {from} and was promised {}; as number \
             {} it received {} and was promised {}",
            received.len(),
            promised.len(),
            place + 1,
            at(&received),
            at(&promised),
            pid = record.pid,
        ));
    }

    /// Compares what a process says of itself at its end with what is known of it.
    fn close(&mut self, record: &Record) {
        let pid = record.pid;
        if record.killed {
            return;
        }
        match &record.ending {
            Some(ending) if ending.promised() == Some(0) => {}
            Some(ending) => self.faults.push(format!("server {pid} {ending}")),
            None => self.faults.push(format!("server {pid} has not ended")),
        }
        let Some(counts) = record.counts else {
            self.faults.push(format!("server {pid} has not said what it sent and received"));
            return;
        };
        for (what, counted, known) in [
            ("sent", counts.sent, record.to_send()),
            ("received", counts.received, record.received.len() as u64),
            ("undelivered", counts.undelivered, 0),
        ] {
            if counted != known {
                self.faults.push(format!("server {pid} counted {counted} {what}, not {known}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Counts, Message};
    use super::*;

    /// Server 2, which was promised and has received these of server 1.
    fn listener(promised: &[&str], received: &[&str]) -> Record {
        let message = |text: &&str| Message { from: Pid::new(1), text: (*text).into() };
        let mut record = Record::new(Pid::new(2), 0);
        record.killed = true;
        record.promised = promised.iter().map(message).collect();
        record.received = received.iter().map(message).collect();
        record
    }

    fn speaker() -> Record {
        let mut record = Record::new(Pid::new(1), 0);
        record.killed = true;
        record
    }

    fn audit(listeners: impl IntoIterator<Item = Record>) -> Audit {
        Audit::of(&[speaker()].into_iter().chain(listeners).collect::<Vec<_>>())
    }

    #[test]
    fn all_in_order_is_right() {
        let audit = audit([listener(&["a", "b"], &["a", "b"])]);
        assert_eq!(audit, Audit { promised: 2, ..Audit::default() });
    }

    #[test]
    fn what_is_lost_repeated_or_out_of_order_is_a_fault() {
        for received in [&["a"][..], &["b"], &[], &["a", "b", "b"], &["a", "a", "b"], &["b", "a"]] {
            let audit = audit([listener(&["a", "b"], received)]);
            assert_eq!((audit.faults.len(), audit.repeated), (1, 0), "{received:?}");
        }
        let audit = audit([listener(&["a", "b"], &["a", "c"])]);
        assert_eq!(
            audit.faults,
            [
                r#"server 2 received 2 messages from server 1 and was promised 2; as number 2 it received "c" and was promised "b""#
            ]
        );
    }

    #[test]
    fn only_what_a_killed_process_was_sent_last_may_come_again() {
        let killed = || listener(&["a", "b"], &["a", "b"]);
        for (received, repeated, faults) in [
            (&["c"][..], 0, 0),
            (&["b", "c"], 1, 0),
            (&["a", "b", "c"], 2, 0),
            (&["a", "c"], 0, 1),
            (&["c", "b"], 0, 1),
            (&["b"], 0, 1),
        ] {
            let audit = audit([killed(), listener(&["c"], received)]);
            assert_eq!((audit.repeated, audit.faults.len()), (repeated, faults), "{received:?}");
        }
    }

    #[test]
    fn a_server_that_counts_otherwise_or_does_not_end_well_is_a_fault() {
        let mut record = listener(&["a"], &["a"]);
        record.killed = false;
        record.told = vec![("x".into(), 1)];
        record.counts = Some(Counts { sent: 1, received: 1, undelivered: 0 });
        assert_eq!(Audit::of(&[speaker(), record]).faults, ["server 2 has not ended"]);

        let mut record = listener(&["a"], &["a"]);
        record.killed = false;
        record.counts = Some(Counts { sent: 1, received: 2, undelivered: 3 });
        let faults = Audit::of(&[speaker(), record]).faults;
        assert_eq!(
            faults[1..],
            [
                "server 2 counted 1 sent, not 0",
                "server 2 counted 2 received, not 1",
                "server 2 counted 3 undelivered, not 0"
            ]
        );
    }
}
