//! A state of the model, and what the steps make of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{Frame, Payload};
use crate::model::audit::{Audit, Verdict};
use crate::model::interned::Interned;
use crate::model::server::{Outcome, Server};
use crate::model::turns::Turn;
use crate::model::{Search, Side};
use crate::transport::memory::Sent;

/// Two servers, and the network between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) sender: Interned<Server>,
    pub(super) receiver: Interned<Server>,
    /// What the network may deliver to the sender and to the receiver, oldest first.
    pub(super) arriving: [VecDeque<Interned<Frame>>; 2],
    /// Whether the upset of the sender and that of the receiver have happened.
    pub(super) upset: [bool; 2],
    pub(super) audit: Audit,
}

impl State {
    pub(super) fn start(search: &Search) -> Self {
        let start = |side| search.turns.intern(Server::start(side, 1, search.scope.settings));
        Self {
            sender: start(Side::Sender),
            receiver: start(Side::Receiver),
            arriving: [VecDeque::new(), VecDeque::new()],
            upset: [false; 2],
            audit: Audit::new(),
        }
    }

    pub(super) fn server(&self, side: Side) -> &Interned<Server> {
        match side {
            Side::Sender => &self.sender,
            Side::Receiver => &self.receiver,
        }
    }

    fn server_mut(&mut self, side: Side) -> &mut Interned<Server> {
        match side {
            Side::Sender => &mut self.sender,
            Side::Receiver => &mut self.receiver,
        }
    }

    /// The application of a server does something.
    pub(super) fn act(&mut self, side: Side, search: &Search, act: impl FnOnce(&mut Server)) {
        let mut server = Server::clone(self.server(side));
        act(&mut server);
        *self.server_mut(side) = search.turns.intern(server);
    }

    pub(super) fn push(&mut self, search: &Search) {
        let id = self.audit.push(self.sender.incarnation);
        self.act(Side::Sender, search, |server| server.outbox.push(id));
    }

    /// Whether the sender has yet to hear what a former receiver said.
    pub(super) fn former_spoke(&self) -> bool {
        self.sender.heard().any(|spoke| spoke != Some(self.receiver.incarnation))
    }

    pub(super) fn turn_output(&mut self, side: Side, after: Duration, search: &Search) {
        let former_spoke = self.former_spoke();
        let listener = self.server(side).listener();
        let made = search.turns.make(self.server(side), Turn::Output(after));
        self.server_mut(side).clone_from(&made.server);
        let outcome = &made.outcome;
        if self.server(side).listener() != listener || outcome.sent.iter().any(is_renewal) {
            self.check_sent_again(side, outcome);
        }
        outcome.events.iter().for_each(|event| self.audit.note(event));
        if side == Side::Sender {
            let acknowledged = self.audit.pushed - outcome.unsettled;
            self.audit.acknowledge(acknowledged, self.sender.incarnation, !former_spoke);
        }
        if let (Side::Sender, Some(report)) = (side, &outcome.report) {
            self.audit.report(report.undelivered.len() as u64);
        }
        for frame in &made.frames {
            self.carry(side.other(), frame, search);
        }
    }

    /// Who learns that what was sent may be lost, sends all of it again at once, or the first piece
    /// of what needs several.
    fn check_sent_again(&mut self, side: Side, outcome: &Outcome) {
        let envelopes = |sent: &Sent| match sent {
            Sent::Frame(frame) => frame.payload.envelopes(),
            Sent::Renewed => 0,
        };
        let is_piece = |sent: &Sent| {
            matches!(sent, Sent::Frame(Frame { payload: Payload::Fragment { .. }, .. }))
        };
        let sent: u64 = outcome.sent.iter().map(envelopes).sum();
        if outcome.sent.iter().any(is_piece) {
            return;
        }
        if self.server(side).listener().is_some() && sent < outcome.unsettled {
            self.audit.verdict = Verdict::NotSentAgain;
        }
    }

    /// The network takes a frame, and forgets an old one if it has to.
    fn carry(&mut self, to: Side, frame: &Interned<Frame>, search: &Search) {
        let arriving = &mut self.arriving[to as usize];
        if !arriving.contains(frame) {
            arriving.push_back(frame.clone());
        }
        if arriving.len() > search.scope.frames[to.other() as usize] {
            arriving.pop_front();
        }
    }

    pub(super) fn turn_input(
        &mut self,
        side: Side,
        frame: Option<Interned<Frame>>,
        after: Duration,
        search: &Search,
    ) {
        let made = search.turns.make(self.server(side), Turn::Input(after, frame));
        self.server_mut(side).clone_from(&made.server);
        let outcome = &made.outcome;
        outcome.events.iter().for_each(|event| self.audit.note(event));
        if made.withheld {
            self.audit.verdict = Verdict::NewsWithheld;
        }
        for envelope in &outcome.entered {
            self.audit.enter(envelope, self.sender.incarnation);
        }
        if search.scope.reads_at_once && !self.server(side).inbox.is_empty() {
            self.act(side, search, |server| server.inbox.clear());
        }
    }

    pub(super) fn restart(&mut self, side: Side, search: &Search) {
        self.upset[side as usize] = true;
        let server = Server::start(side, 2, search.scope.settings);
        *self.server_mut(side) = search.turns.intern(server);
        match side {
            Side::Sender => self.audit.restart_sender(),
            Side::Receiver => self.audit.restart_receiver(),
        }
    }
}

fn is_renewal(sent: &Sent) -> bool {
    matches!(sent, Sent::Renewed)
}
