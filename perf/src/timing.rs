//! CPU time of one thread, for what is measured by itself. For Linux.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The best of so many measurements counts: whatever disturbs one makes it longer.
pub const ROUNDS: u32 = 5;

/// How long each of them takes.
pub const ROUND: Duration = Duration::from_millis(60);

/// What this thread has used so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of one pass, in ns: the least of some rounds, of as many passes each as they take.
///
/// # Errors
/// A pass fails.
pub fn best(mut pass: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    // Caches, branches and buffers get used to it.
    pass()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (mut passes, start, mut taken) = (0_u32, cpu_time(), Duration::ZERO);
        while taken < ROUND {
            pass()?;
            passes += 1;
            taken = cpu_time() - start;
        }
        best = best.min(taken.as_secs_f64() * 1e9 / f64::from(passes));
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_pass_is_that_of_all_by_their_number() {
        let (mut passes, began) = (0_u32, cpu_time());
        let each = best(|| {
            passes += 1;
            std::hint::black_box([1_u8; 10_000].iter().map(|n| u64::from(*n)).sum::<u64>());
            Ok(())
        });
        let all = (cpu_time() - began).as_secs_f64() * 1e9;
        // The least is no more than the mean.
        assert!(each.unwrap() * f64::from(passes - 1) <= all);
        assert!(best(|| anyhow::bail!("no")).is_err());
    }
}
