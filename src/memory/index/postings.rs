//! The bytes of one block of the index: where a term stands, with all that scoring needs to know of the place.
//!
//! ```text
//! session:  varint(session − the one before) · code(words of the session) · varint(turns) · turn …
//! turn:     varint(ordinal − the one before) · (times − 1, at most 7) << 5 | code(words of the turn)
//! ```

/// One turn in which a term stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Index of the message in its session.
    pub ordinal: u32,
    /// How often the term stands in it, 1 to 8.
    pub times: u8,
    /// Its length, as [`turn_code`] writes it.
    pub code: u8,
}

/// The most that `times` tells.
const TIMES_MAX: u32 = 8;
const TURN_CODES: usize = 32;

/// The code of a turn's length in words, in thirds of an octave.
pub(crate) fn turn_code(words: u32) -> u8 {
    (f64::from(words.max(1)).log2() * 3.0).round().min((TURN_CODES - 1) as f64) as u8
}

/// The length that a turn's code stands for.
pub(crate) fn turn_words(code: u8) -> f32 {
    (f32::from(code) / 3.0).exp2()
}

/// The code of a session's length in words, in eighths of an octave.
pub(crate) fn session_code(words: u64) -> u8 {
    ((words.max(1) as f64).log2() * 8.0).round().min(255.0) as u8
}

/// The length that a session's code stands for.
pub(crate) fn session_words(code: u8) -> f32 {
    (f32::from(code) / 8.0).exp2()
}

/// Adds a session's turns at the end of a block.
pub(crate) fn append(block: &mut Vec<u8>, since: u64, code: u8, turns: &[(u32, u32, u8)]) {
    varint(block, since);
    block.push(code);
    varint(block, turns.len() as u64);
    let mut before = 0;
    for (ordinal, times, code) in turns {
        varint(block, u64::from(ordinal - before));
        before = *ordinal;
        block.push(((*times).clamp(1, TIMES_MAX) as u8 - 1) << 5 | code & 31);
    }
}

/// Reads a block whose sessions count on from `first`: `session` is called at each session with its number and the
/// code of its length, `turn` at each turn. `None` if the bytes are no block.
pub(crate) fn read(
    mut bytes: &[u8],
    first: i64,
    mut each: impl FnMut(i64, u8, &[Turn]),
    scratch: &mut Vec<Turn>,
) -> Option<()> {
    let mut session = first;
    while !bytes.is_empty() {
        session = session.checked_add_unsigned(take(&mut bytes)?)?;
        let code = byte(&mut bytes)?;
        let count = take(&mut bytes)?;
        scratch.clear();
        let mut ordinal = 0_u32;
        for _ in 0..count {
            ordinal = ordinal.checked_add(u32::try_from(take(&mut bytes)?).ok()?)?;
            let packed = byte(&mut bytes)?;
            scratch.push(Turn { ordinal, times: (packed >> 5) + 1, code: packed & 31 });
        }
        each(session, code, scratch);
    }
    Some(())
}

/// The block without a session, and the last session left in it; `None` if the bytes are no block.
pub(crate) fn without(bytes: &[u8], first: i64, gone: i64) -> Option<(Vec<u8>, Option<i64>)> {
    let mut left = Vec::with_capacity(bytes.len());
    let mut last = None;
    let each = |session: i64, code: u8, turns: &[Turn]| {
        if session != gone {
            let turns: Vec<_> = turns.iter().map(|it| (it.ordinal, u32::from(it.times), it.code)).collect();
            append(&mut left, session.abs_diff(last.unwrap_or(first)), code, &turns);
            last = Some(session);
        }
    };
    read(bytes, first, each, &mut Vec::new())?;
    Some((left, last))
}

pub(super) fn varint(block: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        block.push(number as u8 | 128);
        number >>= 7;
    }
    block.push(number as u8);
}

pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        number |= u64::from(next & 127) << shift;
        if next < 128 {
            return Some(number);
        }
    }
    None
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Session = (i64, u8, Vec<(u32, u32, u8)>);

    fn sessions() -> impl Strategy<Value = Vec<Session>> {
        let turns = prop::collection::btree_map(0_u32..100_000, (1_u32..20, 0_u8..32), 1..6);
        prop::collection::btree_map(5_i64..1 << 40, (any::<u8>(), turns), 0..12).prop_map(|all| {
            let flat = |(ordinal, (times, code))| (ordinal, times, code);
            all.into_iter()
                .map(|(session, (code, turns))| (session, code, turns.into_iter().map(flat).collect()))
                .collect()
        })
    }

    fn block(sessions: &[Session]) -> Vec<u8> {
        let (mut block, mut last) = (Vec::new(), 5);
        for (session, code, turns) in sessions {
            append(&mut block, session.abs_diff(last), *code, turns);
            last = *session;
        }
        block
    }

    fn decoded(bytes: &[u8]) -> Option<Vec<Session>> {
        let mut all = Vec::new();
        let each = |session, code, turns: &[Turn]| {
            let turns = turns.iter().map(|it| (it.ordinal, u32::from(it.times), it.code)).collect();
            all.push((session, code, turns));
        };
        read(bytes, 5, each, &mut Vec::new())?;
        Some(all)
    }

    proptest! {
        #[test]
        fn a_block_says_what_was_put_in_less_what_was_taken_out(mut all in sessions(), gone in 0_usize..12) {
            let bytes = block(&all);
            all.iter_mut().flat_map(|it| &mut it.2).for_each(|turn| turn.1 = turn.1.min(TIMES_MAX));
            let told = decoded(&bytes);
            prop_assert_eq!(told.as_ref(), Some(&all));
            let number = all.get(gone).map_or(1, |it| it.0);
            let (left, last) = without(&bytes, 5, number).unwrap();
            all.retain(|it| it.0 != number);
            prop_assert_eq!(last, all.last().map(|it| it.0));
            prop_assert_eq!(decoded(&left), Some(all));
        }

        #[test]
        fn bytes_that_are_no_block_are_told(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decoded(&bytes);
        }
    }

    #[test]
    fn lengths_are_kept_to_an_eighth() {
        for words in [1, 2, 5, 17, 120, 1000] {
            let near = |found: f32| (found / words as f32 - 1.0).abs() < 0.13;
            assert!(
                near(turn_words(turn_code(words))) && near(session_words(session_code(u64::from(words))))
            );
        }
    }
}
