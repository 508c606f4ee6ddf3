//! How much memory this process may have.

use std::path::Path;

/// The machine's memory, or what a container leaves of it; `None` where the system does not say.
pub(crate) fn memory_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(meminfo_total);
    // Control groups, version 2 (the kernel's admin guide, cgroup-v2): a number, or the word "max".
    let container = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(container).min()
}

/// `MemTotal:       24689068 kB`; the unit is always that, and means 1,024 bytes (proc_meminfo(5)).
fn meminfo_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_kernels_table() {
        assert_eq!(meminfo_total("MemTotal:       24689068 kB\nMemFree: 1 kB\n"), Some(24_689_068 * 1024));
        assert_eq!(meminfo_total("MemFree: 1 kB\n"), None);
    }
}
