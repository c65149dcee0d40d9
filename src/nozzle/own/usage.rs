//! What this process uses of CPU and memory.
//!
//! The Go nozzle told the usage of the whole machine, which says nothing about a container.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// In per cent; not a number where it cannot be found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Of all CPUs this process may use, since the last look.
    pub(super) cpu: f64,
    /// Of the memory it may use.
    pub(super) memory: f64,
}

/// Looks at this process.
#[derive(Debug)]
pub(super) struct Usage {
    cpus: NonZeroUsize,
    memory_bytes: Option<u64>,
    looked: Instant,
    cpu_time: Duration,
}

impl Usage {
    /// `memory_bytes` is what the platform allows, if it says so.
    pub(super) fn new(memory_bytes: Option<u64>) -> Self {
        Self {
            cpus: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_bytes: memory_bytes.or_else(memory_limit),
            looked: Instant::now(),
            cpu_time: cpu_time(),
        }
    }

    /// The usage since the last look, or since the beginning.
    pub(super) fn measure(&mut self) -> Used {
        let (now, cpu_time) = (Instant::now(), cpu_time());
        let available = (now - self.looked).as_secs_f64() * self.cpus.get() as f64;
        let used = cpu_time.saturating_sub(self.cpu_time).as_secs_f64();
        (self.looked, self.cpu_time) = (now, cpu_time);
        let memory = || Some(100.0 * resident_bytes()? as f64 / self.memory_bytes? as f64);
        Used { cpu: 100.0 * used / available, memory: memory().unwrap_or(f64::NAN) }
    }
}

/// CPU time of this process, all threads together.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn resident_bytes() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The limit of the container, else the memory of the machine.
fn memory_limit() -> Option<u64> {
    let machine = kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:");
    // `max` is no number: no limit.
    let container =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    container.into_iter().chain(machine).min()
}

/// The value of a row such as `VmRSS:     1234 kB`, in bytes.
fn kib(table: &str, row: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(row))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_not_more_than_all() {
        let mut usage = Usage::new(Some(1 << 40));
        let work = std::iter::repeat_n(7_u64, 2_000_000).fold(0_u64, |sum, n| std::hint::black_box(sum ^ n));
        assert_eq!(work, 0);
        let used = usage.measure();
        assert!(used.cpu > 0.0 && used.cpu.is_finite(), "{used:?}");
        assert!(used.memory > 0.0 && used.memory < 100.0, "{used:?}");
        let half = Usage::new(Some(1 << 39)).measure();
        assert!(half.memory > used.memory, "of half as much");
        assert!(Usage::new(None).memory_bytes > Some(1 << 20), "the machine has some");
    }

    #[test]
    fn rows_are_found_by_name() {
        let table = "VmPeak:\t  200 kB\nVmRSS:\t    100 kB\nThreads:\t3\n";
        assert_eq!(
            (kib(table, "VmRSS:"), kib(table, "Threads:"), kib(table, "VmX:")),
            (Some(102_400), None, None)
        );
    }
}
