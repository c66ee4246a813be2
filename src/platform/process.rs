/// Lets the calling thread wait where others want the processor. Best effort: where it is refused, the thread runs as
/// it is.
pub fn be_nice() {
    #[cfg(target_os = "linux")]
    {
        // On Linux a priority set for the calling "process" is that of the thread.
        let _ = rustix::process::setpriority_process(None, 15);
    }
}

/// The process's highest resident memory so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes << 10)
}
