//! Where everything random in an event comes from.
//!
//! Each event has one seed, and each of its parts (its time, its line, each token) a stream of its own made from that
//! seed. So what a token draws does not depend on which tokens were drawn before it, and a value that is put in
//! several places is drawn again for each place instead of being kept.

use fastrand::Rng;

/// All that is random in one event.
#[derive(Clone, Copy, Debug)]
pub(in crate::eventgen) struct Draws {
    seed: u64,
}

/// Which part of an event something is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::eventgen) struct Purpose(u64);

impl Purpose {
    /// The event's instant.
    pub(in crate::eventgen) const TIME: Self = Self(0);
    /// The line it is made from.
    pub(in crate::eventgen) const LINE: Self = Self(1);
    /// Its index.
    pub(in crate::eventgen) const INDEX: Self = Self(2);
    /// Its host.
    pub(in crate::eventgen) const HOST: Self = Self(3);

    /// The value of a token.
    pub(in crate::eventgen) fn token(number: usize) -> Self {
        Self(16 + number as u64)
    }
}

impl Draws {
    /// The draws of an event with this seed.
    pub(in crate::eventgen) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream for one purpose.
    #[inline]
    pub(in crate::eventgen) fn stream(self, purpose: Purpose) -> Stream {
        // Odd, and unlike the generator's own step, so that no stream is another one shifted.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        Stream(Rng::with_seed(self.seed ^ purpose.0.wrapping_mul(STEP)))
    }
}

/// A sequence of random numbers.
#[derive(Debug)]
pub(in crate::eventgen) struct Stream(Rng);

impl Stream {
    /// 64 random bits.
    #[inline]
    pub(in crate::eventgen) fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Uniform in `0..n`; 0 if `n` is 0. The bias is below `n`/2^64.
    #[inline]
    pub(in crate::eventgen) fn below(&mut self, n: u64) -> u64 {
        scale(self.bits(), n)
    }

    /// Uniform in `0..n` for a length.
    #[inline]
    pub(in crate::eventgen) fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Uniform in [0, 1).
    #[inline]
    pub(in crate::eventgen) fn unit(&mut self) -> f64 {
        self.0.f64()
    }
}

/// A uniform 64-bit number, made uniform in `0..n`.
#[inline]
fn scale(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_again_and_unlike_each_other() {
        let draws = Draws::new(7);
        let first = |purpose| draws.stream(purpose).bits();
        let all: Vec<u64> = (0..100).map(|n| first(Purpose::token(n))).collect();
        assert_eq!(all[3], first(Purpose::token(3)));
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn every_value_below_a_bound_is_drawn_about_equally_often() {
        let mut counts = [0_u32; 10];
        for seed in 0..100_000 {
            counts[Draws::new(seed).stream(Purpose::TIME).index(10)] += 1;
        }
        // 10 000 each; six standard deviations are 570.
        assert!(counts.iter().all(|count| (9_400..10_600).contains(count)), "{counts:?}");
        assert_eq!(Draws::new(1).stream(Purpose::TIME).below(0), 0);
    }
}
