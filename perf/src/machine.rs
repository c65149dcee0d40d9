//! What processes and the machine have used, from `/proc`. For Linux.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// More CPU time that the hypervisor kept, or that others used, makes a measurement noisy; shares of the machine.
const STEAL_MAX: f64 = 0.01;
const OTHERS_MAX: f64 = 0.05;
/// With less CPU time left over, the machine was busy.
const IDLE_MIN: f64 = 0.08;

/// CPU time of a process so far: its threads, and the kernel on its behalf.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    stat(&format!("/proc/{pid}/stat"), 11)
}

/// CPU time of this process's children that have ended.
///
/// # Errors
/// The kernel does not tell.
pub fn children_cpu_seconds() -> anyhow::Result<f64> {
    stat("/proc/self/stat", 13)
}

/// User and system time, in fields that follow each other.
fn stat(path: &str, user: usize) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(path).with_context(|| path.to_owned())?;
    // The name in parentheses may hold anything; the numbers come after it.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("stat")?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("stat");
    Ok((ticks(user)? + ticks(user + 1)?) / TICKS_PER_SECOND)
}

/// The most memory a process has had, in MB.
///
/// # Errors
/// There is no such process.
pub fn peak_memory_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmHWM:")
}

/// Lets the most memory a process has had begin anew, where the system allows it.
pub fn forget_peak(pid: u32) {
    const PEAK: &str = "5";
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), PEAK);
}

/// The memory a process has, in MB.
///
/// # Errors
/// There is no such process.
pub fn present_memory_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: u32, name: &'static str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).context(name)?;
    let kib: f64 = line.split_whitespace().nth(1).context(name)?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// How many CPUs this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What kind of CPU it is, as it calls itself.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown", |(_, name)| name.trim()).to_owned()
}

/// CPU time of the whole machine at one moment, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct MachineTime {
    busy: f64,
    idle: f64,
    steal: f64,
}

impl MachineTime {
    /// The present time.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn now() -> anyhow::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?).context("/proc/stat")
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
        let [user, nice, system, idle, wait, irq, softirq, steal, ..] = ticks[..] else { return None };
        Some(Self {
            busy: (user + nice + system + irq + softirq) / TICKS_PER_SECOND,
            idle: (idle + wait) / TICKS_PER_SECOND,
            steal: steal / TICKS_PER_SECOND,
        })
    }

    /// Who used the machine since then, when `ours` is the CPU time of what was measured.
    pub fn since(self, before: Self, ours: f64) -> Load {
        let (busy, idle, steal) =
            (self.busy - before.busy, self.idle - before.idle, self.steal - before.steal);
        let total = (busy + idle + steal).max(0.01);
        Load { idle: idle / total, steal: steal / total, others: ((busy - ours) / total).max(0.0) }
    }
}

/// Who used the machine, as shares of all its CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Nobody.
    pub idle: f64,
    /// Kept by the hypervisor.
    pub steal: f64,
    /// Processes that are no part of the measurement.
    pub others: f64,
}

impl Load {
    /// Whether others may have disturbed the measurement.
    pub fn is_noisy(self) -> bool {
        self.steal > STEAL_MAX || self.others > OTHERS_MAX
    }

    /// Whether hardly any CPU time was left over.
    pub fn is_busy(self) -> bool {
        self.idle < IDLE_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_divided_among_all() {
        let time = |text: &str| MachineTime::parse(text).unwrap();
        let before = time("cpu  1000 0 500 8000 100 0 0 10 0 0\ncpu0 1 2 3\n");
        let after = time("cpu  1200 50 600 8200 150 10 40 60 0 0\ncpu0 1 2 3\n");
        // Busy 4 s, idle 2.5 s, kept 0.5 s.
        let load = after.since(before, 3.5);
        assert!((load.idle - 2.5 / 7.0).abs() < 1e-9);
        assert!((load.steal - 0.5 / 7.0).abs() < 1e-9);
        assert!((load.others - 0.5 / 7.0).abs() < 1e-9);
        assert!(load.is_noisy() && !load.is_busy());
        assert!(!Load { idle: 0.5, steal: 0.0, others: 0.04 }.is_noisy());
        assert!(MachineTime::parse("cpu0 1 2").is_none());
    }

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_ok() && children_cpu_seconds().is_ok());
        assert!(peak_memory_mb(pid).unwrap() >= present_memory_mb(pid).unwrap());
        assert!(peak_memory_mb(u32::MAX).is_err());
    }
}
