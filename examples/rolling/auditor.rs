//! What a server hears: the messages of its peers, and what happens around it.

use std::collections::BTreeMap;
use std::time::Instant;

use crossbeam_channel::{Receiver, never, select};
use raft_cluster::{Envelope, Event, Pid};

use crate::Result;
use crate::load::Load;
use crate::shared::process::tell;
use crate::speech::{News, Role, Tally};
use crate::stream::Received;

/// Holds what comes in against what there should be.
pub(crate) struct Auditor<'a> {
    load: &'a Load,
    tally: Tally,
}

impl<'a> Auditor<'a> {
    /// Who joins is to hear from now on those who are there.
    pub(crate) fn new(role: &Role, load: &'a Load, peers: &[Pid]) -> Self {
        let received = |pid: &Pid| (pid.as_u32(), Received::since(Some(Instant::now())));
        let present = if role.joins { peers } else { &[] };
        let received: BTreeMap<_, _> = present.iter().map(received).collect();
        Self { load, tally: Tally { received, ..Tally::default() } }
    }

    /// Audits until the inbox ends.
    pub(crate) fn run(
        &mut self,
        inbox: &Receiver<Envelope>,
        events: &Receiver<Event>,
    ) -> Result<()> {
        let mut events = events.clone();
        loop {
            select! {
                recv(inbox) -> envelope => match envelope {
                    Ok(envelope) => self.note(&envelope)?,
                    Err(_) => return Ok(()),
                },
                // They end with the server, as the inbox does, which may still hold something.
                recv(events) -> event => match event {
                    Ok(event) => self.observe(event)?,
                    Err(_) => events = never(),
                },
            }
        }
    }

    fn note(&mut self, envelope: &Envelope) -> Result<()> {
        let from = envelope.from.as_u32();
        let received = self.tally.received.entry(from).or_insert_with(|| Received::since(None));
        received.note(envelope, Instant::now());
        if received.came() == 1 {
            tell(&News::Heard(from))?;
        }
        Ok(())
    }

    pub(crate) fn observe(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Undeliverable { peer, envelope, .. } => self.load.note_returned(peer, &envelope),
            Event::Left(peer) => tell(&News::Left(peer.as_u32()))?,
            Event::Rejected { reason, count, .. } => {
                *self.tally.refused.entry(reason.to_string()).or_default() += count;
            }
            Event::Down(_) | Event::Restarted(_) | Event::Absent(_) | Event::OneWay(_) => {
                self.tally.troubles.push(event.to_string());
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn into_tally(self) -> Tally {
        self.tally
    }
}
