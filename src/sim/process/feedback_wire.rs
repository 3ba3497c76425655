//! The channel between the threads of a process, for whoever looks at what passes.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use crate::envelope::Pid;
use crate::feedback::Feedback;
use crate::sim::audit::ProcessId;

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
