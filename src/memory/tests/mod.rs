//! Tests of memory.db as a whole; what one file alone can show is tested beside it.

mod forgetting;
mod hostile;
mod meaning;
mod model;
mod opening;
mod recalling;
mod running;
mod storing;
mod superseding;
mod world;
