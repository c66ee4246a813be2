//! Telephone numbers. Most rows of digits are none: dates, ids, sums. One must have its country, brackets or a shape
//! that only telephone numbers have, or the words must say so.

use std::ops::Range;

use super::numbers::{Group, part_of_more, said_before};
use super::shape::Left;

/// A telephone number: with its country, with brackets, in a shape only these have, or where the words say so.
pub(super) fn phone(text: &str, groups: &[Group]) -> Option<Range<usize>> {
    const TOLD: &[&str] = &[
        "phonenumber",
        "phone",
        "telephone",
        "telefon",
        "mobile",
        "mobil",
        "cell",
        "cellphone",
        "tel",
        "fax",
        "whatsapp",
        "handy",
        "call me",
        "call us",
        "call him",
        "call her",
        "call them",
        "text me",
        "reach me",
        "reach us",
        "ring me",
        "dial",
        "hotline",
        "my number",
        "contact number",
        "téléphone",
    ];
    let bytes = text.as_bytes();
    let first = groups.first()?;
    let before = text.get(..first.start)?;
    if let Some(sign) =
        before.strip_suffix('+').or_else(|| before.strip_suffix("+(")).or_else(|| before.strip_suffix("(+"))
    {
        return international(text, groups, sign);
    }
    let (count, from) = national(text, groups).or_else(|| {
        let count = run_of(groups, 15, 7)?;
        let date = dated(bytes, groups.get(..count)?);
        let dotted = groups.iter().take(count).skip(1).filter(|group| group.joined == b'.').count();
        let mixed = dotted > 0 && dotted + 1 < count;
        let address = mixed || count == 4 && groups.iter().take(4).skip(1).all(|group| group.joined == b'.');
        (!date && !address && said_before(text, first.start, TOLD))
            .then(|| (count, opening(text, first.start)))
    })?;
    let range = from..groups.get(count - 1)?.end;
    (!part_of_more(bytes, &range)).then_some(range)
}

/// Where the bracket before a number is, if there is one.
fn opening(text: &str, start: usize) -> usize {
    let bracket = start > 0 && text.as_bytes().get(start - 1) == Some(&b'(');
    let closes = text.get(start..).is_some_and(|rest| rest.bytes().take(6).any(|b| b == b')'));
    if bracket && closes { start - 1 } else { start }
}

/// How many groups from the first make at most `most` digits, if they make `least`.
fn run_of(groups: &[Group], most: usize, least: usize) -> Option<usize> {
    let (mut digits, mut count) = (0, 0);
    for group in groups.iter().take(6) {
        if digits + group.len() > most {
            break;
        }
        digits += group.len();
        count += 1;
    }
    (digits >= least).then_some(count)
}

/// Whether the groups read as a date: `2024-05-08`, `08.05.2024`.
fn dated(bytes: &[u8], groups: &[Group]) -> bool {
    let year = |group: &Group| {
        group.len() == 4
            && bytes.get(group.start..).is_some_and(|at| at.starts_with(b"19") || at.starts_with(b"20"))
    };
    match groups {
        [a, b, c, ..] => {
            (year(a) && b.len() <= 2 && c.len() <= 2) || (a.len() <= 2 && b.len() <= 2 && year(c))
        }
        [a, b] => year(a) && (year(b) || b.joined == b'.'),
        [one] => one.len() == 8 && year(&Group { end: one.start + 4, ..*one }),
        [] => true,
    }
}

/// `+CC …`, 8 to 15 digits. `before` is the text before the plus.
fn international(text: &str, groups: &[Group], before: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let first = groups.first()?;
    let one = bytes.get(first.start) == Some(&b'1');
    let count = run_of(groups, if one { 11 } else { 15 }, if one { 11 } else { 8 })?;
    // Arithmetic, a zone, a line of a diff.
    let sum = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | ']' | '_' | '+' | '='));
    let spaced = before.trim_end_matches(' ').ends_with(|c: char| c.is_ascii_digit() || c == ')');
    let line = before.is_empty() || before.ends_with('\n');
    let plain = count == 1 && (first.len() < 10 || (line && first.len() < 11));
    let leading_zero = bytes.get(first.start) == Some(&b'0');
    let range = before.len()..groups.get(count - 1)?.end;
    let date =
        groups.get(1).is_some_and(|second| second.joined == b'-') && (first.len() == 4 || first.len() > 5);
    let dots = groups.get(..count)?.iter().skip(1).any(|group| group.joined == b'.') && count == 2;
    let escaped = Left::Word.allows(bytes, before.len());
    let told =
        said_before(text, before.len(), &["phone", "mobile", "tel", "fax", "whatsapp", "call", "number"]);
    let after = |n: usize| bytes.get(range.end + n).copied().unwrap_or(b' ');
    let open = after(0).is_ascii_alphanumeric()
        || after(0) == b'_'
        || (after(0) == b':' && after(1).is_ascii_digit());
    let refused = (sum && !(escaped || before.ends_with('=')))
        || (spaced && count == 1 && first.len() < 11)
        || (plain && !told)
        || leading_zero
        || date
        || dots
        || open;
    (!refused).then_some(range)
}

/// National shapes: `(555) 123-4567`, `555-123-4567`, `030/1234567`, `06 12 34 56 78`, `020 7946 0958`.
fn national(text: &str, groups: &[Group]) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let first = groups.first()?;
    let digit = |group: &Group| bytes.get(group.start).copied().unwrap_or(b'0');
    let north = |groups: &[Group]| match groups {
        [a, b, c, ..] => (a.len(), b.len(), c.len()) == (3, 3, 4) && digit(a) >= b'2' && digit(b) >= b'2',
        _ => false,
    };
    let joins = |from: usize, count: usize| groups.get(from..from + count).unwrap_or_default();
    let bracket =
        opening(text, first.start) < first.start && groups.get(1).is_some_and(|group| group.joined == b'(');
    let called = || {
        !Left::Word.allows(bytes, first.start - 1)
            || text.get(..first.start - 1).is_some_and(|t| t.ends_with('_'))
    };
    if bracket && !called() {
        let total: usize = groups.iter().take(3).map(|group| group.len()).sum();
        let trunk = digit(first) == b'0' && (3..=5).contains(&first.len()) && (9..=12).contains(&total);
        return (north(groups) || trunk).then(|| (groups.len().min(3), first.start - 1));
    }
    let same = |from: usize, kinds: &[u8]| {
        let pair = joins(from, 2);
        pair.len() == 2
            && pair.iter().all(|group| {
                group.joined == pair.first().map_or(0, |g| g.joined) && kinds.contains(&group.joined)
            })
    };
    if north(groups) && same(1, b"-.") {
        return Some((3, first.start));
    }
    // `file.rs:13:1 (604) …`
    let column = text.get(..first.start).is_some_and(|before| before.ends_with(':'));
    let country = first.len() == 1
        && !column
        && digit(first) == b'1'
        && groups.get(1).is_some_and(|group| b"-. (".contains(&group.joined));
    if country
        && north(groups.get(1..)?)
        && (same(2, b"-.") || joins(2, 1).iter().any(|group| group.joined == b'('))
    {
        return Some((4, first.start));
    }
    let second = bytes.get(first.start + 1).is_some_and(|b| (b'1'..=b'9').contains(b));
    if digit(first) != b'0' || !second {
        return None;
    }
    let lengths: Vec<usize> = groups.iter().take(6).map(|group| group.len()).collect();
    let kind = groups.get(1)?.joined;
    let even = |count: usize| groups.iter().take(count).skip(1).all(|group| group.joined == kind);
    let total = |count: usize| lengths.iter().take(count).sum::<usize>();
    // A row of numbers is a table, not a telephone number.
    let before = text.get(..first.start.saturating_sub(1)).unwrap_or_default();
    // Not further back than it needs: the next space may be far away.
    let digits = before.bytes().rev().take(6).take_while(u8::is_ascii_digit).count();
    let begins = before
        .get(..before.len() - digits)
        .is_some_and(|before| before.chars().next_back().is_none_or(char::is_whitespace));
    let row = first.joined == kind && (2..=5).contains(&digits) && begins;
    let alone = |count: usize| !row && groups.get(count).is_none_or(|group| group.joined != kind);
    match lengths.as_slice() {
        [2, 2, 2, 2, 2, ..] if even(5) && alone(5) && b" .-".contains(&kind) => Some((5, first.start)),
        [3..=5, 3 | 4, 3 | 4, ..] if even(3) && alone(3) && total(3) < 12 && b" -".contains(&kind) => {
            Some((3, first.start))
        }
        [3..=5, 5..=8, ..] if alone(2) && b" -/".contains(&kind) => Some((2, first.start)),
        _ => None,
    }
}
