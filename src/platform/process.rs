//! What tells one process from another, so that it can be known whether one still lives; and how this one behaves.

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

/// The name of this machine, as `gethostname` has it.
pub fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").ok()
    }
}

/// The number of the user this process runs as; 0 where users have none.
pub fn user_number() -> u32 {
    #[cfg(unix)]
    {
        rustix::process::getuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        0
    }
}

/// What tells this boot of the machine from others; `None` where the system does not say.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The namespace in which process numbers mean something here; `None` where there are no such things.
pub fn pid_namespace() -> Option<String> {
    std::fs::read_link("/proc/self/ns/pid").ok()?.into_os_string().into_string().ok()
}

/// When a process began, in clock ticks since the boot; tells it from a later one of the same number. `None` if there
/// is no such process (one that has ended and only waits for its parent to look is none), or the system does not say.
pub fn began(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold anything. Behind it stand its state and, 19 fields on, the time.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !ended).map(str::to_owned)
}

/// Whether a process of this number runs; `None` where the system cannot be asked.
pub fn is_running(pid: i32) -> Option<bool> {
    #[cfg(unix)]
    {
        let pid = rustix::process::Pid::from_raw(pid).filter(|_| pid > 0)?;
        // That it may not be signalled says that it is there.
        Some(rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }
    #[cfg(not(unix))]
    {
        let _ = pid;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known_and_one_that_ended_is_not() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(began(pid).unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(is_running(pid), Some(true));
        drop(child.stdin.take());
        while began(pid).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(is_running(pid), Some(true), "nobody has looked after it yet");
        child.wait().unwrap();
        assert_eq!((began(pid), is_running(pid)), (None, Some(false)));
        assert_eq!(is_running(0), None);
        let said = |file: &str| std::fs::read_to_string(file).unwrap().trim().to_owned();
        assert_eq!(host_name().unwrap(), said("/proc/sys/kernel/hostname"));
        assert!(pid_namespace().unwrap().starts_with("pid:["));
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
