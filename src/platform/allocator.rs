//! How the C library gives memory back.

/// Starts the program anew in its own place, once, with an allocator that gives large buffers back: the same process,
/// arguments and terminal. Where that cannot be done, or somebody has set up the allocator himself, all goes on as it
/// was.
///
/// glibc gives a large buffer a mapping of its own, which is gone when it is freed, but raises the size this takes each
/// time one is freed. Compiling the patterns at start raises it so far that nothing leaves any more, and some 6 MiB
/// stay for good. With that fixed, 2 MiB at the end of each heap may stay free instead of 128 KiB, so that a busy
/// daemon does not give back what it takes again at once. The settings are read only while a program is loaded.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn start_with_lean_allocator() {
    use std::os::unix::process::CommandExt;

    const VARIABLE: &str = "GLIBC_TUNABLES";
    const SETTINGS: &str = "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=2097152";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let _ = again.args(arguments).env(VARIABLE, SETTINGS).exec();
}

/// Elsewhere the allocator does so by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn start_with_lean_allocator() {}
