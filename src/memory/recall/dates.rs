//! Dates in a question: "last week", "in May", "on 8 May 2023", "three days ago", "since March", "2023-05-08".

use std::ops::Range;

use jiff::civil::{Date, Weekday};
use jiff::{Span, Timestamp, tz::TimeZone};

use crate::text::words::words;

/// Dates in one question at most.
const DATES_MAX: usize = 4;
/// Bytes of a question in which dates are looked for.
const LOOKED_AT: usize = 4096;

/// The dates a question names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Dates {
    /// From midnight to midnight, in milliseconds since 1970; local times read as UTC.
    pub ranges: Vec<Range<i64>>,
    /// The words, lower case, that say nothing but when ("last", "week"); a month or a year may stand in the text.
    pub spent: Vec<String>,
    /// The other words of the dates.
    pub named: Vec<String>,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// Seasons by their first month. Those who live in the south have to name months.
const SEASONS: [(&str, i8); 5] = [("spring", 3), ("summer", 6), ("autumn", 9), ("fall", 9), ("winter", 12)];

const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// Finds the dates in a question that is asked at `now`.
pub(super) fn dates(question: &str, now: Timestamp) -> Dates {
    let lower = crate::text::words::beginning(question, LOOKED_AT).to_lowercase();
    let words: Vec<&str> = words(&lower).map(|range| &lower[range]).collect();
    let today = TimeZone::UTC.to_datetime(now).date();
    let mut found = Dates::default();
    let mut at = 0;
    while at < words.len() && found.ranges.len() < DATES_MAX {
        let Some(phrase) = phrase(&words[at..], before(&words, at), today) else {
            at += 1;
            continue;
        };
        let taken = &words[at..at + phrase.words];
        for word in taken {
            let kept = if says_only_when(word) { &mut found.spent } else { &mut found.named };
            kept.push((*word).to_owned());
        }
        let tomorrow = today.checked_add(Span::new().days(1)).unwrap_or(today);
        for (from, to) in phrase.ranges {
            let (from, to) = match before(&words, at) {
                Some("since") => (from, tomorrow),
                Some("before" | "until" | "till") => (Date::constant(1970, 1, 1), from),
                Some("after") => (to, tomorrow),
                _ => (from, to),
            };
            if from < to {
                found.ranges.push(millis(from)..millis(to));
            }
        }
        at += phrase.words;
    }
    found
}

/// Some words that name one or more times.
struct Phrase {
    words: usize,
    /// First day, and the day behind the last.
    ranges: Vec<(Date, Date)>,
}

impl Phrase {
    fn one(words: usize, from: Date, to: Option<Date>) -> Option<Self> {
        Some(Phrase { words, ranges: vec![(from, to?)] })
    }
}

fn before<'a>(words: &[&'a str], at: usize) -> Option<&'a str> {
    // "since last May", "in the summer": the article is passed over.
    let earlier = words[..at].iter().rev();
    earlier.copied().find(|word| *word != "the" && *word != "early" && *word != "late")
}

fn phrase(words: &[&str], before: Option<&str>, today: Date) -> Option<Phrase> {
    let first = *words.first()?;
    let second = words.get(1).copied().unwrap_or_default();
    match first {
        "today" => return Phrase::one(1, today, days(today, 1)),
        "yesterday" => return Phrase::one(1, days(today, -1)?, Some(today)),
        "last" | "past" | "previous" | "this" => {
            if let Some(phrase) = relative(first, second, words, today) {
                return Some(phrase);
            }
        }
        _ => {}
    }
    ago(words, today).or_else(|| written(first)).or_else(|| named(words, before, today))
}

/// "last week", "this month", "past three days", "last Monday", "last summer", "last May".
fn relative(which: &str, unit: &str, words: &[&str], today: Date) -> Option<Phrase> {
    let this = which == "this";
    let monday = days(today, -i64::from(today.weekday().to_monday_zero_offset()))?;
    let month = Date::new(today.year(), today.month(), 1).ok()?;
    let year = Date::new(today.year(), 1, 1).ok()?;
    let back = |span: Span, start: Date| start.checked_sub(span).ok();
    match unit {
        "week" if this => Phrase::one(2, monday, days(monday, 7)),
        // Who says "last week" on a Tuesday may mean the last seven days.
        "week" => Phrase::one(2, days(monday, -7)?, Some(days(today, -2)?.max(monday))),
        "weekend" if this => Phrase::one(2, days(monday, 4)?, days(monday, 7)),
        "weekend" => Phrase::one(2, days(monday, -3)?, Some(monday)),
        "month" if this => Phrase::one(2, month, month.checked_add(Span::new().months(1)).ok()),
        "month" => Phrase::one(2, back(Span::new().months(1), month)?, Some(month)),
        "year" if this => Phrase::one(2, year, year.checked_add(Span::new().years(1)).ok()),
        "year" => Phrase::one(2, back(Span::new().years(1), year)?, Some(year)),
        "night" => Phrase::one(2, days(today, -1)?, days(today, 1)),
        _ => {
            if let Some(count) = number(unit) {
                let (_, span) = span_of(words.get(2)?, count)?;
                return Phrase::one(3, today.checked_sub(span).ok()?, days(today, 1));
            }
            if let Some((_, weekday)) = WEEKDAYS.iter().find(|(name, _)| *name == unit) {
                let day = if this { today.nth_weekday(1, *weekday) } else { today.nth_weekday(-1, *weekday) }
                    .ok()?;
                return Phrase::one(2, day, days(day, 1));
            }
            let first_month = season(unit).map(|month| (month, 3)).or_else(|| month_of(unit).map(|m| (m, 1)));
            let (month, length) = first_month?;
            let mut start = Date::new(today.year(), month, 1).ok()?;
            if start > today || !this && start.month() == today.month() {
                start = start.checked_sub(Span::new().years(1)).ok()?;
            }
            Phrase::one(2, start, start.checked_add(Span::new().months(length)).ok())
        }
    }
}

/// "three days ago", "a couple of weeks ago".
fn ago(words: &[&str], today: Date) -> Option<Phrase> {
    let end = words.iter().take(5).position(|word| *word == "ago")?;
    let (unit, counted) = words[..end].split_last()?;
    let count = match counted {
        ["a" | "an"] => 1,
        ["couple"] | ["couple", "of"] | ["a", "couple"] | ["a", "couple", "of"] => 2,
        ["few"] | ["a", "few"] => 3,
        [count] => number(count)?,
        _ => return None,
    };
    let (unit_days, span) = span_of(unit, count)?;
    let day = today.checked_sub(span).ok()?;
    // The further back, the less exact it is meant.
    let slack = (unit_days / 2).max(i64::from(unit_days > 1));
    Phrase::one(end + 1, days(day, -slack)?, days(day, slack + 1))
}

/// "2023-05-08" and "2023-05".
fn written(word: &str) -> Option<Phrase> {
    if word.len() == 10 {
        let day: Date = word.parse().ok()?;
        return Phrase::one(1, day, days(day, 1));
    }
    let (year, month) = word.split_once('-')?;
    let start = Date::new(year_of(year)?, month.parse().ok().filter(|_| month.len() == 2)?, 1).ok()?;
    Phrase::one(1, start, start.checked_add(Span::new().months(1)).ok())
}

/// "8 May 2023", "May 8th", "in May", "May 2023", "in 2023", "summer of 2022".
fn named(words: &[&str], before: Option<&str>, today: Date) -> Option<Phrase> {
    let preposed = matches!(
        before,
        Some(
            "in" | "of"
                | "since"
                | "during"
                | "by"
                | "until"
                | "till"
                | "on"
                | "from"
                | "before"
                | "after"
                | "mid"
        )
    );
    let first = *words.first()?;
    if let Some(year) = year_of(first).filter(|_| preposed || before == Some("year")) {
        return Phrase::one(1, Date::new(year, 1, 1).ok()?, Date::new(year + 1, 1, 1).ok());
    }
    let rest = |from: usize| words.get(from..).unwrap_or_default();
    let skip_of = |from: usize| from + usize::from(rest(from).first() == Some(&"of"));
    let (day, at) = match day_of(first) {
        Some(day) => (Some(day), skip_of(1)),
        None => (None, 0),
    };
    let name = *words.get(at)?;
    if let (Some(start), None) = (season(name), day) {
        let behind = skip_of(at + 1);
        let year = rest(behind).first().and_then(|word| year_of(word));
        let length = Span::new().months(3);
        return match year {
            Some(year) => {
                let start = Date::new(year, start, 1).ok()?;
                Phrase::one(behind + 1, start, start.checked_add(length).ok())
            }
            None if preposed => in_late_years(at + 1, today, |year| {
                let start = Date::new(year, start, 1).ok()?;
                Some((start, start.checked_add(length).ok()?))
            }),
            None => None,
        };
    }
    let month = month_of(name)?;
    let mut end = at + 1;
    let mut day = day;
    if day.is_none()
        && let Some(found) = rest(end).first().and_then(|word| day_of(word))
    {
        (day, end) = (Some(found), end + 1);
    }
    let year = rest(end).first().and_then(|word| year_of(word));
    end += usize::from(year.is_some());
    // "may" and "march" are also other words.
    if day.is_none() && year.is_none() && !preposed && matches!(name, "may" | "march") {
        return None;
    }
    let range = |year: i16| {
        let from = Date::new(year, month, day.unwrap_or(1)).ok()?;
        let length = if day.is_some() { Span::new().days(1) } else { Span::new().months(1) };
        Some((from, from.checked_add(length).ok()?))
    };
    match year {
        Some(year) => Some(Phrase { words: end, ranges: vec![range(year)?] }),
        None => in_late_years(end, today, range),
    }
}

/// The same time of this year and of some before, where it has begun.
fn in_late_years(words: usize, today: Date, range: impl Fn(i16) -> Option<(Date, Date)>) -> Option<Phrase> {
    let years = (today.year() - 5..=today.year()).rev();
    let ranges: Vec<_> = years.filter_map(range).filter(|(from, _)| *from <= today).collect();
    (!ranges.is_empty()).then_some(Phrase { words, ranges })
}

fn span_of(unit: &str, count: i64) -> Option<(i64, Span)> {
    let span = Span::new();
    Some(match unit.strip_suffix('s').unwrap_or(unit) {
        "day" => (1, span.try_days(count).ok()?),
        "week" => (7, span.try_weeks(count).ok()?),
        "month" => (30, span.try_months(count).ok()?),
        "year" => (365, span.try_years(count).ok()?),
        _ => return None,
    })
}

fn number(word: &str) -> Option<i64> {
    match NUMBERS.iter().position(|name| *name == word) {
        Some(number) => Some(number as i64),
        None => word.parse().ok().filter(|number| (0..1000).contains(number)),
    }
}

fn month_of(word: &str) -> Option<i8> {
    let full = MONTHS.iter().position(|name| *name == word);
    let short = || match word {
        "sept" => Some(8),
        "may" => None,
        _ if word.len() == 3 => MONTHS.iter().position(|name| name.starts_with(word)),
        _ => None,
    };
    full.or_else(short).map(|month| month as i8 + 1)
}

fn season(word: &str) -> Option<i8> {
    SEASONS.iter().find(|(name, _)| *name == word).map(|(_, month)| *month)
}

fn day_of(word: &str) -> Option<i8> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    digits.parse().ok().filter(|day| (1..=31).contains(day) && digits.len() <= 2)
}

fn year_of(word: &str) -> Option<i16> {
    word.parse().ok().filter(|year| word.len() == 4 && (1970..2200).contains(year))
}

fn days(date: Date, count: i64) -> Option<Date> {
    date.checked_add(Span::new().try_days(count).ok()?).ok()
}

fn millis(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(0, |midnight| midnight.timestamp().as_millisecond())
}

/// Whether a word of a date is one that would not stand in what was said then.
fn says_only_when(word: &str) -> bool {
    let named = month_of(word).is_some() || season(word).is_some() || year_of(word).is_some();
    let day = word.parse::<u8>().is_ok() || day_of(word).is_some();
    !named && !day && WEEKDAYS.iter().all(|(name, _)| *name != word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(question: &str) -> Vec<String> {
        // A Wednesday.
        let now: Timestamp = "2024-06-12T15:00:00Z".parse().unwrap();
        let day = |at: i64| Timestamp::from_millisecond(at).unwrap().to_string()[..10].to_owned();
        dates(question, now).ranges.iter().map(|it| format!("{}/{}", day(it.start), day(it.end))).collect()
    }

    #[test]
    fn dates_are_read_as_people_say_them() {
        for (question, expected) in [
            ("What did I say yesterday?", "2024-06-11/2024-06-12"),
            ("what did we plan last week", "2024-06-03/2024-06-10"),
            ("this month's budget? this month", "2024-06-01/2024-07-01"),
            ("the past three days", "2024-06-09/2024-06-13"),
            ("two days ago", "2024-06-10/2024-06-11"),
            ("a couple of weeks ago", "2024-05-26/2024-06-02"),
            ("last Monday", "2024-06-10/2024-06-11"),
            ("last summer", "2023-06-01/2023-09-01"),
            ("on 8 May 2023", "2023-05-08/2023-05-09"),
            ("on the 8th of May, 2023", "2023-05-08/2023-05-09"),
            ("May 8th 2023", "2023-05-08/2023-05-09"),
            ("Oct 2022", "2022-10-01/2022-11-01"),
            ("during the summer of 2022", "2022-06-01/2022-09-01"),
            ("around 2023-05-08", "2023-05-08/2023-05-09"),
            ("in 2022?", "2022-01-01/2023-01-01"),
            ("since 1 June 2024", "2024-06-01/2024-06-13"),
            ("before 2023", "1970-01-01/2023-01-01"),
            ("before May 2023", "1970-01-01/2023-05-01"),
            ("31 February 2023", "2023-02-01/2023-03-01"),
            ("It may march on; room 12, 99999999999 days ago", ""),
            ("may I ask", ""),
        ] {
            assert_eq!(read(question).first().map_or("", String::as_str), expected, "{question}");
        }
    }

    #[test]
    fn a_month_without_a_year_is_that_month_of_any_late_year() {
        assert_eq!(read("in May").len(), 6);
        assert_eq!(read("in August")[0], "2023-08-01/2023-09-01");
    }
}
