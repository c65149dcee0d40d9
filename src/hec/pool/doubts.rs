//! Who refused something that may not be to blame for it.

use super::{Member, MemberId};

/// The endpoints that refused a part of a batch without HEC's word, each with the number of its next
/// request at that time: what it takes from then on shows that it refuses not just anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts {
    refused: Vec<(MemberId, u64)>,
    /// Which endpoint took it and has not confirmed it.
    unconfirmed: Option<MemberId>,
}

impl Doubts {
    /// Of data that this endpoint has taken and not confirmed.
    pub(crate) fn unconfirmed(member: MemberId) -> Self {
        Self { refused: Vec::new(), unconfirmed: Some(member) }
    }

    /// Where it had better not be sent again.
    pub(crate) fn avoid(&self) -> Option<MemberId> {
        self.unconfirmed
    }

    /// Notes the first refusal of an endpoint.
    pub(crate) fn note(&mut self, member: &Member) {
        if self.of(member.id).is_none() {
            self.refused.push((member.id, member.endpoint.next_number()));
        }
    }

    /// The number noted for an endpoint.
    pub(crate) fn of(&self, id: MemberId) -> Option<u64> {
        self.refused.iter().find(|(member, _)| *member == id).map(|(_, number)| *number)
    }
}
