//! Who sent and received what, as lines.

use std::iter;

use raft_cluster::Pid;

use super::record::Record;

/// A row for each process: what it sent, what it received, and from whom.
///
/// One that has stopped counted that itself. One that was killed could not; what it sent is counted
/// where it arrived.
pub(super) fn lines(pids: &[Pid], records: &[Record]) -> Vec<String> {
    let header = pids.iter().map(|pid| format!("from {pid}"));
    let header = ["sent", "received"].map(Into::into).into_iter().chain(header);
    let rows: Vec<_> = records.iter().map(|record| row(pids, records, record)).collect();
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum();
    let sums: Vec<u64> = (0..pids.len() + 2).map(sum).collect();
    let names = records.iter().map(|record| name(records, record)).chain(["all".into()]);

    let mut lines = vec![line("", header)];
    for (name, row) in names.zip(rows.iter().chain(iter::once(&sums))) {
        lines.push(line(&name, row.iter().map(|&count| shown(count))));
    }
    lines.push("* Killed before it could report: what it sent is counted where it arrived.".into());
    lines
}

fn row(pids: &[Pid], records: &[Record], record: &Record) -> Vec<u64> {
    let (sent, received) = match record.counts {
        Some(counts) => (counts.sent, counts.received),
        None => (arrived(records, record), record.received.len() as u64),
    };
    let from = pids.iter().map(|&pid| record.received_from(pid).len() as u64);
    [sent, received].into_iter().chain(from).collect()
}

/// How many of the messages that a process was told to send were received.
fn arrived(records: &[Record], by: &Record) -> u64 {
    let is_its = |text: &str| by.told.iter().any(|(told, _)| told == text);
    let received = records.iter().flat_map(|record| record.received_from(by.pid));
    received.filter(|text| is_its(text)).count() as u64
}

fn name(records: &[Record], record: &Record) -> String {
    let pid = record.pid;
    let is_back = || records.iter().any(|other| other.pid == pid && other.killed);
    match record.killed {
        true => format!("server {pid}, killed*"),
        false if is_back() => format!("server {pid}, back"),
        false => format!("server {pid}"),
    }
}

fn shown(count: u64) -> String {
    match count {
        0 => "·".into(),
        count => count.to_string(),
    }
}

fn line(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>9}")).collect();
    format!("{name:<17}{cells}")
}
