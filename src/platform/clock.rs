use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Tells the time of day. Injected, so that tests can set it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// A clock that shows what it was set to, in milliseconds since 1970, and its hand.
    pub fn manual(millis: i64) -> (Self, Arc<AtomicI64>) {
        let hand = Arc::new(AtomicI64::new(millis));
        (Clock(Some(hand.clone())), hand)
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> i64 {
        match &self.0 {
            Some(hand) => hand.load(Ordering::Acquire),
            None => Timestamp::now().as_millisecond(),
        }
    }

    /// The instant.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis()).unwrap_or_default()
    }
}
