//! In which order the outboxes of a server share the way to one peer.

/// An outbox, by its number.
pub(crate) type LaneId = u32;

/// The lane of what is left when the outboxes are closed: it comes behind all that was queued before.
pub(crate) const LEFTOVERS: LaneId = LaneId::MAX;

/// The start tag of a payload, in bytes of virtual time: the smaller one goes first.
pub(super) type Tag = u64;

/// How many lanes are remembered before those are forgotten that have nothing queued.
const REMEMBERED: usize = 8;

/// What is light takes less than this part of its share.
const LIGHT: Tag = 8;

/// Start-time fair queueing (Goyal, Vin and Cheng, 1996): what comes by one outbox stays in order,
/// and outboxes that have something to send share the way by bytes. So a message that comes by an
/// idle outbox is next, whatever else is queued, and a stream of them takes no more than its share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lanes {
    /// The start tag of what was begun to be sent last.
    now: Tag,
    /// For each lane, where what it was given last ends.
    ends: Vec<(LaneId, Tag)>,
}

impl Lanes {
    /// The start tag of a payload of so many bytes, which is not less than the earliest.
    pub(super) fn tag_from(&mut self, earliest: Tag, lane: LaneId, bytes: usize) -> Tag {
        let (bytes, earliest) = (bytes as Tag, self.now.max(earliest));
        if let Some((_, end)) = self.ends.iter_mut().find(|(known, _)| *known == lane) {
            let start = earliest.max(*end);
            *end = start + bytes;
            return start;
        }
        if self.ends.len() >= REMEMBERED {
            let now = self.now;
            self.ends.retain(|(_, end)| *end > now);
        }
        self.ends.push((lane, earliest + bytes));
        earliest
    }

    /// Whether something that has come by this outbox is still to be begun, or was begun last.
    pub(super) fn is_waiting(&self, lane: LaneId) -> bool {
        self.ends.iter().any(|(known, end)| *known == lane && *end > self.now)
    }

    /// Whether an outbox that puts in so many bytes takes but a small part of what it might. Nobody
    /// knows of one that was forgotten among many.
    pub(super) fn is_light(&self, lane: LaneId, bytes: usize) -> bool {
        match self.ends.iter().find(|(known, _)| *known == lane) {
            Some((_, end)) => end.saturating_add(LIGHT * bytes as Tag) <= self.now,
            None => !self.ends.is_empty() && self.ends.len() < REMEMBERED,
        }
    }

    /// A payload with this tag is sent.
    pub(super) fn advance(&mut self, tag: Tag) {
        self.now = self.now.max(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_by_bytes_and_one_that_was_idle_is_next() {
        let mut lanes = Lanes::default();
        let large: Vec<_> = (0..4).map(|_| lanes.tag_from(0, 0, 1_000)).collect();
        assert_eq!(large, [0, 1_000, 2_000, 3_000]);
        // Ten small ones take the time of one large one.
        let small: Vec<_> = (0..10).map(|_| lanes.tag_from(0, 1, 100)).collect();
        assert_eq!((small[0], small[9]), (0, 900));
        lanes.advance(2_000);
        assert_eq!(lanes.tag_from(0, 1, 100), 2_000, "what it did not use before is no credit");
        assert_eq!(lanes.tag_from(0, 0, 1_000), 4_000);
        lanes.advance(1_000);
        assert_eq!(lanes.tag_from(0, 2, 1), 2_000, "what is sent again does not set the time back");
    }

    #[test]
    fn a_lane_waits_until_what_it_has_queued_is_begun() {
        let mut lanes = Lanes::default();
        let tags =
            [lanes.tag_from(0, 0, 1_000), lanes.tag_from(0, 0, 1_000), lanes.tag_from(0, 1, 100)];
        assert!(lanes.is_waiting(0) && lanes.is_waiting(1) && !lanes.is_waiting(2));
        lanes.advance(tags[2]);
        lanes.advance(tags[0] + 500);
        assert!(lanes.is_waiting(0) && !lanes.is_waiting(1));
    }

    #[test]
    fn light_is_what_takes_a_small_part_of_its_share() {
        let mut lanes = Lanes::default();
        assert!(!lanes.is_light(0, 10), "there are no others");
        for _ in 0..3 {
            let large = lanes.tag_from(0, 0, 1_000);
            lanes.advance(large);
            assert!(lanes.is_light(1, 10) && !lanes.is_light(0, 10));
        }
        lanes.tag_from(0, 1, 10);
        assert!(!lanes.is_light(1, 10), "it has put in something");
        lanes.advance(2_090);
        assert!(lanes.is_light(1, 10) && !lanes.is_light(1, 11));
        for lane in 2..=REMEMBERED as LaneId {
            lanes.tag_from(0, lane, 1_000);
        }
        assert!(!lanes.is_light(99, 10), "it may have been forgotten");
    }

    #[test]
    fn lanes_that_have_nothing_queued_are_forgotten() {
        let mut lanes = Lanes::default();
        for lane in 0..100 {
            let tag = lanes.tag_from(0, lane, 10);
            lanes.advance(tag + 10);
        }
        assert!(lanes.ends.len() <= REMEMBERED);
        let many: Vec<_> = (0..20).map(|lane| lanes.tag_from(0, lane, 10)).collect();
        assert!(many.iter().all(|tag| *tag == lanes.now) && lanes.ends.len() >= 20);
    }
}
