//! The channel between the threads of a process, for whoever looks at what passes.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::Process;
use crate::envelope::Pid;
use crate::feedback::{Feedback, News};
use crate::frame::{Incarnation, Intake};
use crate::sim::audit::ProcessId;
use crate::sim::world::Surroundings;

/// The channel between the threads, cut open, so that one can see what passes.
pub(super) struct FeedbackWire {
    pub(super) from_input: Receiver<Feedback>,
    /// What is next.
    pub(super) held: Option<Feedback>,
    /// None once the input thread has ended.
    pub(super) to_output: Option<Sender<Feedback>>,
    /// The process that spoke last, for each peer.
    pub(super) speakers: BTreeMap<Pid, Option<ProcessId>>,
}

impl FeedbackWire {
    /// Whether the output thread has feedback to take, or to notice that no more comes.
    pub(super) fn is_ready(&self, input_has_ended: bool) -> bool {
        let ended = input_has_ended && self.to_output.is_some();
        ended || self.held.is_some() || !self.from_input.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Feedback> {
        if self.held.is_some() {
            return self.held.take();
        }
        let next = self.from_input.try_recv();
        if next == Err(TryRecvError::Disconnected) {
            self.to_output = None;
        }
        next.ok()
    }

    pub(super) fn forward(&self, feedback: Feedback) {
        self.to_output.as_ref().expect("an output thread").send(feedback).unwrap();
    }
}

impl Process {
    /// Lets some of the feedback through, but only that of one process of a peer, so that it is
    /// known by which one something is acknowledged.
    pub(super) fn forward_feedback(&mut self, world: &mut Surroundings<'_>) {
        for count in 0.. {
            let Some(feedback) = self.feedback.next() else { return };
            let Feedback { peer, news } = feedback;
            let News::Status(status) = news else { unreachable!("nobody proves anything here") };
            let speaker = status.incarnation.map(Incarnation::to_wire);
            let known = self.feedback.speakers.get(&peer) == Some(&speaker);
            if count > 0 && (!known || world.rng.bool()) {
                return self.feedback.held = Some(feedback);
            }
            self.feedback.speakers.insert(peer, speaker);
            if status.received_ack.intake != Intake::Open {
                world.audit.close(self.id, peer);
            }
            self.feedback.forward(feedback);
        }
    }
}
