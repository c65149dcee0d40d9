//! Seeds of parts: the same place in the same stanza has the same seed in every run of the
//! program, on every machine.

/// The seed of a sample: of the process's, the stanza and the name of the file.
pub(super) fn of_sample(process: u64, stanza: &str, name: &str) -> u64 {
    let text = stanza.bytes().chain([0]).chain(name.bytes());
    text.fold(mix(process), |seed, byte| mix(seed ^ u64::from(byte)))
}

/// The seed of a part.
pub(super) fn of_part(sample: u64, run: u64, first: u64) -> u64 {
    mix(mix(sample ^ mix(run)) ^ first)
}

/// A number in [0, 1) for the rater of a run.
pub(super) fn of_rate(sample: u64, run: u64) -> f64 {
    // The upper 53 bits: all a double holds.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let numerator = (of_part(!sample, run, 0) >> 11) as f64;
    numerator / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn places_have_seeds_of_their_own_that_never_change() {
        let mut seen = HashSet::new();
        for (stanza, name) in [("a", "b"), ("ab", ""), ("", "ab"), ("a", "c")] {
            for process in 0..3 {
                let sample = of_sample(process, stanza, name);
                for run in 0..50 {
                    for first in (0..5000).step_by(1000) {
                        assert!(seen.insert(of_part(sample, run, first)), "{stanza} {name} {run} {first}");
                    }
                }
            }
        }
        // The first output of SplitMix64 for the seed 0.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn rates_are_uniform() {
        let sum: f64 = (0..10_000).map(|run| of_rate(5, run)).sum();
        assert!((sum / 10_000.0 - 0.5).abs() < 0.01, "{sum}");
    }
}
