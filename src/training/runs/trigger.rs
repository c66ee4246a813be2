//! When a run starts.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Standing;
use crate::config::{Trigger, TriggerMode};

/// Why a run is due now; `None` while it is not. `once`: the daemon works through what is there and ends, so nothing
/// is waited for.
pub fn due(
    trigger: &Trigger,
    standing: &Standing,
    now: Timestamp,
    zone: &TimeZone,
    once: bool,
) -> Option<&'static str> {
    if trigger.mode == TriggerMode::Manual {
        return None;
    }
    if standing.retrain {
        return Some("a session was forgotten");
    }
    let (first, last) = standing.new_at?;
    if trigger.mode == TriggerMode::PerSession {
        return Some("every session");
    }
    if trigger.examples > 0 && standing.new_answers >= trigger.examples {
        return Some("examples");
    }
    if once {
        return None;
    }
    let now_ms = now.as_millisecond();
    let passed = |since: i64, span: crate::config::Span| {
        now_ms.saturating_sub(since) >= i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)
    };
    if trigger.idle.is_some_and(|idle| passed(last, idle)) {
        return Some("idle");
    }
    if trigger.every.is_some_and(|every| passed(standing.last_run.unwrap_or(first), every)) {
        return Some("every");
    }
    let at = trigger.time_of_day()?;
    let today = now.to_zoned(zone.clone()).date();
    let moments = [Some(today), today.yesterday().ok()].into_iter().flatten().filter_map(|day| {
        Some(day.to_datetime(at).to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
    });
    // The last time that it was so late; what came since waits for the next.
    let moment = moments.filter(|moment| *moment <= now_ms).max()?;
    (first <= moment && standing.last_run.is_none_or(|run| run < moment)).then_some("at")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    const HOUR: i64 = 3_600_000;

    fn due_at(trigger: &Trigger, standing: &Standing, hours: i64) -> Option<&'static str> {
        let now = Timestamp::from_millisecond(hours * HOUR).unwrap();
        due(trigger, standing, now, &TimeZone::UTC, false)
    }

    fn new(answers: usize, first: i64, last: i64) -> Standing {
        Standing {
            new_sessions: 1,
            new_answers: answers,
            new_at: Some((first * HOUR, last * HOUR)),
            sessions: 5,
            ..Standing::default()
        }
    }

    #[test]
    fn each_condition_starts_a_run_by_itself_and_none_without_something_new() {
        let none = Trigger { examples: 0, ..Trigger::default() };
        let examples = Trigger { examples: 10, ..none.clone() };
        assert_eq!(due_at(&examples, &new(9, 1, 1), 99), None);
        assert_eq!(due_at(&examples, &new(10, 1, 1), 2), Some("examples"));
        let idle = Trigger { idle: Some(Span::secs(7200)), ..none.clone() };
        assert_eq!(due_at(&idle, &new(1, 1, 5), 6), None);
        assert_eq!(due_at(&idle, &new(1, 1, 5), 7), Some("idle"));
        let every = Trigger { every: Some(Span::secs(36_000)), ..none.clone() };
        assert_eq!(due_at(&every, &new(1, 1, 5), 10), None);
        assert_eq!(due_at(&every, &new(1, 1, 5), 11), Some("every"));
        assert_eq!(due_at(&every, &Standing { last_run: Some(3 * HOUR), ..new(1, 1, 5) }, 11), None);
        let per_session = Trigger { mode: TriggerMode::PerSession, ..none.clone() };
        assert_eq!(due_at(&per_session, &new(1, 1, 1), 1), Some("every session"));
        for trigger in [&none, &examples, &idle, &every, &per_session] {
            assert_eq!(due_at(trigger, &Standing { sessions: 5, ..Standing::default() }, 99), None);
        }
        let manual = Trigger { mode: TriggerMode::Manual, ..examples };
        assert_eq!(due_at(&manual, &Standing { retrain: true, ..new(99, 1, 1) }, 99), None);
        assert_eq!(
            due_at(&none, &Standing { retrain: true, ..new(1, 1, 1) }, 1),
            Some("a session was forgotten")
        );
    }

    #[test]
    fn at_a_time_of_the_day_what_came_before_it_is_trained_on_once() {
        let trigger = Trigger { examples: 0, at: Some("03:30".into()), ..Trigger::default() };
        // Days are 24 hours from the epoch here; 51 is 3:00 on the third day.
        assert_eq!(due_at(&trigger, &new(1, 50, 50), 51), None);
        assert_eq!(due_at(&trigger, &new(1, 50, 50), 52), Some("at"));
        assert_eq!(due_at(&trigger, &new(1, 50, 50), 60), Some("at"), "also when the daemon slept over it");
        assert_eq!(due_at(&trigger, &Standing { last_run: Some(52 * HOUR), ..new(1, 50, 50) }, 60), None);
        assert_eq!(due_at(&trigger, &new(1, 53, 53), 60), None);
        assert_eq!(due_at(&trigger, &new(1, 53, 53), 76), Some("at"));
    }
}
