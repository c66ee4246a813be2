//! The daemon as a service of the user's session: started at login, started again when it fails.
//!
//! Each system has its definition (a unit, a property list, a task) and a few commands of its service manager. What
//! would be written and run is worked out first, as a [`Plan`], so that it can be shown and tested on any system.

mod launchd;
mod plan;
mod scheduler;
mod systemd;

pub use plan::{Definition, Failed, Plan, Service, Step, System};
