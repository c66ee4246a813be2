//! The folders: what lies in the spool is found, claimed, and settled in `done/` or `failed/`.

mod abandoned;
mod claim;
mod delivery;
mod folders;
mod intake;
mod lock;
mod names;
mod outcome;
mod readiness;
mod retention;
mod watch;

pub use abandoned::{Adoption, AdoptionRules, adopt, is_unfinished, live_token, remove_leftover};
pub use claim::{Claimed, ReadError, Refusal};
pub use delivery::{Delivery, DeliveryError};
pub use folders::{FolderError, Home};
pub use intake::{Intake, IntakeSettings, IntakeStatus};
pub use lock::{InstanceLock, LockError};
pub use names::{NameFilter, shown};
pub use outcome::{AttemptRecord, SIDECAR_SUFFIX, Sidecar};
pub use retention::{Retention, sweep};
pub use watch::{LiveHints, WatcherKind};
