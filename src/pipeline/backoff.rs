use std::time::Duration;

/// When to try again: the pause doubles with every try, up to a limit, and is spread by a quarter either way, so that
/// files which failed together do not all come back together. `spread` is a random number.
pub(super) fn pause(
    tries: u32,
    first: Duration,
    longest: Duration,
    asked: Option<Duration>,
    spread: u64,
) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let capped = doubled.min(longest);
    let jitter = 0.75 + 0.5 * (spread % 1024) as f64 / 1023.0;
    let pause = capped.mul_f64(jitter).min(longest);
    // What the other side asked for counts, within reason.
    asked.map_or(pause, |asked| pause.max(asked.min(longest.max(Duration::from_secs(3600)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_pause_grows_stays_within_its_limit_and_honours_what_was_asked() {
        let limit = 60 * SECOND;
        for (tries, expected) in [(1, 1.0), (2, 2.0), (4, 8.0), (9, 60.0), (40, 60.0), (u32::MAX, 60.0)] {
            for spread in [0, 511, 1023, u64::MAX] {
                let pause = pause(tries, SECOND, limit, None, spread).as_secs_f64();
                assert!(
                    (expected * 0.75..=(expected * 1.25_f64).min(60.0)).contains(&pause),
                    "{tries}: {pause}"
                );
            }
        }
        assert_eq!(pause(1, SECOND, limit, Some(90 * SECOND), 0), 90 * SECOND);
        assert_eq!(pause(1, SECOND, limit, Some(Duration::MAX), 0), Duration::from_secs(3600));
    }
}
