use std::fmt;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Serialize, Serializer};

/// A point in time as a chat file gives it.
///
/// Apps write either an instant (`…Z`, an offset, seconds since 1970) or a bare local time. A bare local time stays
/// one: it is compared and stored as if it were UTC, and shown without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    at: Timestamp,
    local: bool,
}

impl Moment {
    /// A known instant.
    pub fn instant(at: Timestamp) -> Self {
        Moment { at, local: false }
    }

    /// Reads ISO 8601 with or without a zone, with `T` or a space; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(Moment::instant(at));
        }
        let naive: civil::DateTime = text.parse().ok()?;
        let at = naive.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Moment { at, local: true })
    }

    /// Reads a number of seconds, milliseconds or microseconds since 1970; the size tells which.
    pub fn from_epoch(number: f64) -> Option<Self> {
        let seconds = match number.abs() {
            n if !n.is_finite() => return None,
            n if n >= 1e14 => number / 1e6,
            n if n >= 1e11 => number / 1e3,
            _ => number,
        };
        let millis = (seconds * 1e3).round();
        if millis.abs() > 2.5e14 {
            return None;
        }
        Timestamp::from_millisecond(millis as i64).ok().map(Moment::instant)
    }

    /// Milliseconds since 1970, the form memory.db sorts by.
    pub fn millis(self) -> i64 {
        self.at.as_millisecond()
    }

    /// Whether it is a bare local time, of a zone nobody named.
    pub fn is_local(self) -> bool {
        self.local
    }

    /// The instant; for a bare local time, that time read as UTC.
    pub fn timestamp(self) -> Timestamp {
        self.at
    }

    /// The hour of the day the writer's clock showed: bare local times as they are, instants in the zone of this machine.
    pub fn local_hour(self, zone: &TimeZone) -> i8 {
        if self.local { TimeZone::UTC.to_datetime(self.at).hour() } else { zone.to_datetime(self.at).hour() }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local {
            write!(f, "{}", TimeZone::UTC.to_datetime(self.at))
        } else {
            write!(f, "{}", self.at)
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_local_time_stays_local_and_an_instant_stays_an_instant() {
        let naive = Moment::parse("2023-05-08T13:56:00").unwrap();
        assert_eq!(naive.to_string(), "2023-05-08T13:56:00");
        let instant = Moment::parse("2023-05-08T13:56:00+02:00").unwrap();
        assert_eq!(instant.to_string(), "2023-05-08T11:56:00Z");
        assert!(Moment::parse("yesterday").is_none());
        assert!(Moment::parse("2023-05-08 13:56:00.123456").is_some());
    }

    #[test]
    fn epoch_numbers_are_read_by_their_size() {
        for number in [1.7e9, 1.7e12, 1.7e15] {
            assert_eq!(Moment::from_epoch(number).unwrap().to_string(), "2023-11-14T22:13:20Z");
        }
        for broken in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(Moment::from_epoch(broken).is_none());
        }
    }
}
