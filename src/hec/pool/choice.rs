//! Which endpoint gets the next request: the better one of two drawn at random.
//!
//! Pure. Two choices are enough to keep a slow endpoint from filling up, and unlike always taking
//! the best one they do not send everybody to it at once. Better is who has less to do, in bytes
//! times the time a request takes; of two that are about as good, who was given less lately. Since
//! every endpoint is drawn now and then, none is forgotten.

/// Costs that differ by less than this factor are about as good.
const ALIKE: f64 = 1.25;

/// An endpoint that could take the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Bytes under way with this request, more where it fails often.
    pub(crate) work: f64,
    /// Seconds a request takes, if that is known.
    pub(crate) latency: Option<f64>,
    /// Bytes given to it lately.
    pub(crate) sent: f64,
    /// How much of a full share it is to get, above 0 and up to 1.
    pub(crate) share: f64,
}

/// Chooses one; `None` if there is none.
pub(crate) fn choose(candidates: &[Candidate], chance: &mut fastrand::Rng) -> Option<usize> {
    let first = draw(candidates, None, chance)?;
    let Some(second) = draw(candidates, Some(first), chance) else { return Some(first) };
    // One that has not answered yet is taken to be like the rest.
    let usual = usual_latency(candidates);
    let cost = |at: usize| candidates[at].work * candidates[at].latency.unwrap_or(usual);
    let (one, other) = (cost(first), cost(second));
    let second_is_better = if one.max(other) < one.min(other) * ALIKE {
        candidates[second].sent < candidates[first].sent
    } else {
        other < one
    };
    Some(if second_is_better { second } else { first })
}

/// What the candidates were given lately, on average.
pub(crate) fn mean_sent(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| candidate.sent).sum::<f64>() / candidates.len().max(1) as f64
}

/// Draws one, by share.
fn draw(candidates: &[Candidate], without: Option<usize>, chance: &mut fastrand::Rng) -> Option<usize> {
    let others = || candidates.iter().enumerate().filter(|(at, _)| Some(*at) != without);
    let mut mark = chance.f64() * others().map(|(_, candidate)| candidate.share).sum::<f64>();
    let mut last = None;
    for (at, candidate) in others() {
        last = Some(at);
        mark -= candidate.share;
        if mark < 0.0 {
            break;
        }
    }
    last
}

fn usual_latency(candidates: &[Candidate]) -> f64 {
    let known = || candidates.iter().filter_map(|candidate| candidate.latency);
    match known().count() {
        0 => 1.0,
        n => known().sum::<f64>() / n as f64,
    }
}

#[cfg(test)]
mod tests;
