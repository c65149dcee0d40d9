//! Who refused something that may not be to blame for it.

use super::{Member, MemberId};

/// The endpoints that refused a part of a batch without HEC's word, each with the number of its next
/// request at that time: what it takes from then on shows that it refuses not just anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(Vec<(MemberId, u64)>);

impl Doubts {
    /// Notes the first refusal of an endpoint.
    pub(crate) fn note(&mut self, member: &Member) {
        if self.of(member.id).is_none() {
            self.0.push((member.id, member.endpoint.next_number()));
        }
    }

    /// The number noted for an endpoint.
    pub(crate) fn of(&self, id: MemberId) -> Option<u64> {
        self.0.iter().find(|(member, _)| *member == id).map(|(_, number)| *number)
    }
}
