//! What differs between operating systems, each with a portable fallback.

mod allocator;
mod clock;
mod crash;
mod files;
mod folders;
mod launch;
mod process;
pub(crate) mod program;

pub use allocator::start_with_lean_allocator;
pub use clock::Clock;
pub use crash::{failpoint, hurried, sync_point};
pub use files::{
    Signature, create_private, create_whole, free_bytes, is_disk_full, is_exhausted, last_change, lstat,
    make_everything_private, make_private, make_private_dir, may_write, name_from_bytes, open_regular,
    open_to_others, rename_no_replace, replace, same_filesystem, sync_dir, sync_filesystem,
};
pub use folders::{user_cache, user_home};
pub use launch::{Caught, PassedOn, apart_from_terminal};
pub use process::{be_nice, began, boot_id, host_name, is_running, peak_memory, pid_namespace, user_number};
