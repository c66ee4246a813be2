//! The daemon: boot → recover → run → stop, with its log, its statistics, its control socket and the reload of
//! pipeline.toml.

mod boot;
mod control;
mod forgetting;
mod logging;
mod reload;
mod rotate;
mod run;
mod services;
mod signals;
mod statistics;
mod status;
mod training;
mod working;

pub use boot::{BootError, Booted, boot, home_of};
pub use control::{ControlError, Request, Response, ask, ask_patiently};
pub use logging::{LogGuard, start_logging};
pub use run::{Daemon, Ended, Running};
pub use services::Services;
pub use status::{Report, from_folders};
