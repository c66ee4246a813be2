//! pipeline.toml: what may stand in it, how it is read, and how its mistakes are shown.

mod chain;
mod diagnostics;
mod discover;
mod glob;
mod load;
pub(crate) mod nearest;
pub(crate) mod peel;
mod reference;
mod settings;
mod units;
mod validate;

pub use diagnostics::{Diagnostic, Diagnostics, Located, Severity};
pub use discover::{NotFound, VARIABLE, find_config};
pub use glob::Glob;
pub use load::{
    Config, Folders, Loaded, Source, StageEntry, default_pipeline, folders, folders_despite_errors, load,
    parse,
};
pub use reference::pipeline_reference;
pub use settings::{
    Disk, Home, Level, Logs, OnError, Retention, Retry, Rotate, Settings, Shutdown, SourceMode,
    SourceSettings, Spool, StageKeys, StageRetry, VERSION, Watcher, Workers,
};
pub use units::{ByteSize, Span};

#[cfg(test)]
mod tests;
