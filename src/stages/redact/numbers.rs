//! What is found from the digits in a text: telephone and card numbers, IBANs, social security numbers, IP addresses,
//! and the few tokens that nothing but digits announces.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::checks;
use super::phone::phone;
use super::rules::position;
use super::shape::{ALNUM, DIGIT, HEX, Left, Part, URL64, end_of, just, last_bytes, past_escape, run};
use crate::text::bytes::find;

/// Positions of the rules that need this pass, where they are on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    phone: Option<usize>,
    card: Option<usize>,
    iban: Option<usize>,
    ssn: Option<usize>,
    ip: Option<usize>,
    telegram: Option<usize>,
    twilio: Option<usize>,
    discord: Option<usize>,
}

impl Wanted {
    /// Looks the rules up.
    pub(super) fn new(on: impl Fn(&str) -> bool) -> Self {
        let rule = |name: &str| position(name).filter(|_| on(name));
        Wanted {
            phone: rule("phone"),
            card: rule("card"),
            iban: rule("iban"),
            ssn: rule("ssn"),
            ip: rule("ip"),
            telegram: rule("telegram_token"),
            twilio: rule("twilio_key"),
            discord: rule("discord_token"),
        }
    }
}

/// A run of digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub start: usize,
    pub end: usize,
    /// What stands between it and the group before: one of ` -./(`, 0 for the first.
    pub joined: u8,
}

impl Group {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Reports what is found, as the position of its rule and its bytes.
pub(super) fn scan(text: &str, wanted: &Wanted, report: &mut dyn FnMut(usize, Range<usize>)) {
    let bytes = text.as_bytes();
    let (mut at, mut token_end) = (0, 0);
    let mut groups = Vec::new();
    while let Some(first) = find(bytes, at, |byte| byte.is_ascii_digit()) {
        collect(text, first, &mut groups);
        for group in groups.iter() {
            if group.start >= token_end {
                token_end = token(bytes, group.start, wanted, report);
            }
        }
        let Some(last) = groups.last() else { return };
        at = last.end;
        let lettered = first > 0 && bytes.get(first - 1).is_some_and(u8::is_ascii_alphabetic);
        let coloned = bytes.get(first + 4) == Some(&b':');
        if lettered || coloned || groups.iter().map(|group| group.len()).sum::<usize>() >= 4 {
            cluster(text, &groups, wanted, report);
        }
    }
}

/// Tokens that hold digits but begin with nothing telling. Gives where the token ends.
fn token(bytes: &[u8], first: usize, wanted: &Wanted, report: &mut dyn FnMut(usize, Range<usize>)) -> usize {
    let wide = |b: u8| URL64.has(b) || b == b'.';
    let back = bytes.get(..first).unwrap_or_default().iter().rev().take(80).take_while(|b| wide(**b)).count();
    let start = past_escape(bytes, first - back).min(first);
    let end = first + bytes.get(first..).unwrap_or_default().iter().take_while(|b| wide(**b)).count();
    let lead = bytes.get(start..end).unwrap_or_default();
    match lead {
        [b'A', b'C', ..] | [b'S', b'K', ..] if Left::Word.allows(bytes, start) => {
            if let (Some(rule), Some(until)) = (wanted.twilio, end_of(bytes, start + 2, &[just(HEX, 32)])) {
                report(rule, start..until);
            }
        }
        [b'M' | b'N' | b'O', ..] => {
            let shape =
                [Part::Run(ALNUM, 24, 28), Part::Is("."), just(URL64, 6), Part::Is("."), run(URL64, 27)];
            if let (Some(rule), Some(until)) = (wanted.discord, end_of(bytes, start, &shape)) {
                report(rule, start..until);
            }
        }
        _ => {}
    }
    let digits = DIGIT.run(bytes, first);
    if let Some(rule) = wanted.telegram
        && (8..=10).contains(&(digits - first))
        && bytes.get(digits) == Some(&b':')
        && Left::Word.allows(bytes, first) | bytes.get(..first).is_some_and(|before| before.ends_with(b"bot"))
        && let Some(until) = end_of(bytes, digits + 1, &[run(URL64, 35)])
    {
        report(rule, first..until);
    }
    end
}

/// The separator that begins at `at`, as its kind and its length.
fn separator(text: &str, at: usize) -> Option<(u8, usize)> {
    let rest = text.get(at..)?;
    let simple = match rest.as_bytes() {
        [b')', b' ' | b'-' | b'/', ..] | [b' ' | b'-', b'(', ..] => Some((b'(', 2)),
        [b')' | b'(', ..] => Some((b'(', 1)),
        [kind @ (b' ' | b'-' | b'.' | b'/'), ..] => Some((*kind, 1)),
        _ => None,
    };
    simple.or_else(|| match rest.chars().next()? {
        c @ ('\u{a0}' | '\u{202f}' | '\u{2009}') => Some((b' ', c.len_utf8())),
        c @ ('\u{2010}' | '\u{2011}' | '\u{2013}') => Some((b'-', c.len_utf8())),
        _ => None,
    })
}

/// Collects the groups of digits that single separators join, from the digit at `first` on.
fn collect(text: &str, first: usize, groups: &mut Vec<Group>) {
    const MOST: usize = 24;
    groups.clear();
    let bytes = text.as_bytes();
    let (mut start, mut joined) = (first, 0);
    while groups.len() < MOST {
        let end = DIGIT.run(bytes, start);
        groups.push(Group { start, end, joined });
        let Some((kind, length)) = separator(text, end) else { return };
        if !bytes.get(end + length).is_some_and(u8::is_ascii_digit) {
            return;
        }
        (start, joined) = (end + length, kind);
    }
}

/// Tries every recogniser from every group, the longer value first.
fn cluster(text: &str, groups: &[Group], wanted: &Wanted, report: &mut dyn FnMut(usize, Range<usize>)) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(rest) = groups.get(from..).filter(|rest| !rest.is_empty()) {
        let start = rest.first().map_or(0, |group| group.start);
        let iban = start.checked_sub(2).filter(|at| {
            let country = bytes.get(*at..start).is_some_and(|two| two.iter().all(u8::is_ascii_alphabetic));
            country && Left::Alone.allows(bytes, past_escape(bytes, *at))
        });
        let iban = wanted.iban.zip(iban.and_then(|at| Some(at..checks::iban_end(bytes, at)?)));
        let taken = iban
            .or_else(|| wanted.ip.zip(ip(text, rest)))
            .or_else(|| wanted.card.zip(card(text, rest)))
            .or_else(|| wanted.ssn.zip(ssn(text, rest)))
            .or_else(|| wanted.phone.zip(phone(text, rest)));
        if let Some((rule, range)) = taken {
            from += rest.iter().take_while(|group| group.start < range.end).count();
            report(rule, range);
        } else {
            from += 1;
        }
    }
}

/// The digits of some groups as numbers.
fn digits_of(bytes: &[u8], groups: &[Group]) -> Vec<u8> {
    groups.iter().filter_map(|group| bytes.get(group.start..group.end)).flatten().map(|b| b - b'0').collect()
}

/// The groups from the first to the last byte of them.
fn span(groups: &[Group]) -> Option<Range<usize>> {
    Some(groups.first()?.start..groups.last()?.end)
}

/// Whether what stands around digits makes them part of something longer: a word, a decimal, an id.
pub(super) fn part_of_more(bytes: &[u8], range: &Range<usize>) -> bool {
    let before = range.start.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    let joined_left =
        before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-' | b'.' | b'#' | b'$' | b'/' | b'@');
    let after = |n: usize| bytes.get(range.end + n).copied().unwrap_or(b' ');
    let joined_right = after(0).is_ascii_alphanumeric()
        || matches!(after(0), b'_' | b'%' | b'@' | b'$')
        || (matches!(after(0), b'.' | b'-' | b'/' | b':') && after(1).is_ascii_alphanumeric());
    (joined_left && !Left::Alone.allows(bytes, range.start))
        || joined_right
        || matches!(before, b'#' | b'$' | b'@')
}

/// A card number: 13 to 19 digits in one group, or in the groups cards are printed with.
fn card(text: &str, groups: &[Group]) -> Option<Range<usize>> {
    // Those with groups of 8 and 12 are what becomes of four groups where two messages are joined.
    const PRINTED: [&[usize]; 11] = [
        &[4, 4, 4, 4, 3],
        &[4, 4, 4, 4],
        &[4, 4, 4, 1],
        &[4, 6, 5],
        &[4, 6, 4],
        &[8, 8],
        &[4, 4, 8],
        &[4, 8, 4],
        &[8, 4, 4],
        &[4, 12],
        &[12, 4],
    ];
    if groups.first().is_some_and(|group| group.len() >= 13) {
        return card_of(text, groups.get(..1)?);
    }
    PRINTED.iter().find_map(|lengths| {
        let groups = groups.get(..lengths.len())?;
        let uniform = groups.iter().skip(1).all(|group| b" -".contains(&group.joined));
        let fits = groups.iter().zip(*lengths).all(|(group, length)| group.len() == *length);
        (uniform && fits).then(|| card_of(text, groups))?
    })
}

fn card_of(text: &str, groups: &[Group]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let range = span(groups)?;
    let before = range.start.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    let after = bytes.get(range.end).copied().unwrap_or(b' ');
    let inside = (before.is_ascii_alphanumeric() && !Left::Word.allows(bytes, range.start))
        || matches!(before, b'_' | b'.' | b'-')
        || after.is_ascii_alphabetic()
        || after == b'_'
        || (matches!(after, b'.' | b'-') && bytes.get(range.end + 1).is_some_and(u8::is_ascii_alphanumeric));
    let digits = digits_of(bytes, groups);
    // Some networks' lengths are those of ordinary large numbers.
    let sure = groups.len() > 1 || checks::common_card(&digits);
    let told = || said_before(text, range.start, &["card", "visa", "credit", "debit", "maestro", "pan"]);
    (!inside && checks::card(&digits) && (sure || told())).then_some(range)
}

/// A US social security number: `ddd-dd-dddd`; with blanks or nothing between only where the words say so.
fn ssn(text: &str, groups: &[Group]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut lengths = [0; 3];
    lengths.iter_mut().zip(groups).for_each(|(length, group)| *length = group.len());
    let joined =
        |kind: u8| groups.get(1..3).is_some_and(|pair| pair.iter().all(|group| group.joined == kind));
    let (count, sure) = match lengths {
        [3, 2, 4] if joined(b'-') => (3, true),
        [3, 2, 4] if joined(b' ') => (3, false),
        [9, ..] => (1, false),
        _ => return None,
    };
    let groups = groups.get(..count)?;
    let range = span(groups)?;
    let told = || said_before(text, range.start, &["ssn", "social security"]);
    (!part_of_more(bytes, &range) && checks::ssn(&digits_of(bytes, groups)) && (sure || told()))
        .then_some(range)
}

/// An IP address of either version.
fn ip(text: &str, groups: &[Group]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = groups.first()?.start;
    if let Some(range) = ip_v6(text, start) {
        return Some(range);
    }
    let four = groups.get(..4)?;
    let dotted = four.iter().skip(1).all(|group| group.joined == b'.') && groups.first()?.joined != b'.';
    let more = groups.get(4).is_some_and(|group| group.joined == b'.');
    let range = span(four)?;
    if !dotted || more || four.iter().any(|group| group.len() > 3) {
        return None;
    }
    let before = text.get(..start)?;
    let address: Ipv4Addr = text.get(range.clone())?.parse().ok()?;
    // `Chrome/120.0.6099.71`, `v1.2.3.4`, `Version=4.0.0.0`, `1.2.3.4-beta`
    let product = before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        && !Left::Alone.allows(bytes, start);
    let product =
        product || before.strip_suffix('/').is_some_and(|b| b.ends_with(|c: char| c.is_ascii_alphanumeric()));
    let product = product || before.ends_with('§');
    let version = said_before(
        text,
        start,
        &["version", "release", "build", "oid", "section", "rfc", "chapter", "appendix"],
    );
    let after = bytes.get(range.end).copied().unwrap_or(b' ');
    let goes_on =
        after.is_ascii_alphabetic() || after == b'_' || (after == b'-' && !more_digits(bytes, range.end + 1));
    (!product && !version && !goes_on && checks::personal_v4(address)).then_some(range)
}

fn more_digits(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|b| !b.is_ascii_alphabetic())
}

/// A global IPv6 address: these begin with 2 or 3.
fn ip_v6(text: &str, start: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..)?;
    if !matches!(rest.first(), Some(b'2' | b'3')) || !Left::Alone.allows(bytes, start) {
        return None;
    }
    let of_address = |b: &&u8| b.is_ascii_hexdigit() || **b == b':';
    // The end of a longer chain is none; before one group there may be a label.
    let before = bytes.get(..start)?.iter().rev().take(46).take_while(of_address);
    if before.filter(|b| **b == b':').nth(1).is_some() {
        return None;
    }
    let length = rest.iter().take(46).take_while(of_address).count();
    let mut address = text.get(start..start + length)?;
    if bytes.get(start + 4) != Some(&b':') {
        return None;
    }
    if !address.ends_with("::") {
        address = address.trim_end_matches(':');
    }
    let parsed: Ipv6Addr = address.parse().ok()?;
    let open = bytes.get(start + address.len()).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (!open && checks::personal_v6(parsed)).then(|| start..start + address.len())
}

/// Whether one of the words stands just before, on the same line.
pub(super) fn said_before(text: &str, at: usize, words: &[&str]) -> bool {
    const WINDOW: usize = 40;
    let near = last_bytes(text.get(..at).unwrap_or_default(), WINDOW);
    let near = near.rsplit(['\n', '\r']).next().unwrap_or_default();
    let lower = near.to_ascii_lowercase();
    words.iter().any(|word| {
        lower.match_indices(word).any(|(place, _)| {
            let before = lower.get(..place).unwrap_or_default();
            let between = near.get(place + word.len()..).unwrap_or_default();
            let code = between.contains([';', '[', ']', '{', '}', '<', '>', '!', '?']);
            // `phoneNumber` and `phone_number` are told, `phones` and `phone_id` are not.
            let name = between.trim_end_matches([' ', '=', ':', '"', '\'', '\\']).to_ascii_lowercase();
            let goes_on = between.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            // The words may have told another number; a word that the window cuts may be another one.
            let other = between.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 4);
            let cut = place == 0 && near.len() >= WINDOW - 3;
            !goes_on
                && !other
                && !cut
                && !before.ends_with(|c: char| c.is_ascii_alphanumeric())
                && !code
                && !name.ends_with("id")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        let mut hits = Vec::new();
        scan(text, &Wanted::new(|_| true), &mut |rule, range| hits.push((RULES[rule].name, &text[range])));
        hits
    }

    #[test]
    fn numbers_of_people_are_found_whole() {
        for (text, rule, value) in [
            ("call +49 151 23456789 now", "phone", "+49 151 23456789"),
            ("(555) 234-5678", "phone", "(555) 234-5678"),
            ("+1 (555) 234-5678", "phone", "+1 (555) 234-5678"),
            ("555-234-5678", "phone", "555-234-5678"),
            ("1-555-234-5678", "phone", "1-555-234-5678"),
            ("030/1234567", "phone", "030/1234567"),
            ("06 12 34 56 78", "phone", "06 12 34 56 78"),
            ("020 7946 0958", "phone", "020 7946 0958"),
            ("my phone is 5552345678", "phone", "5552345678"),
            ("\"phone\": \"555 234 5678\"", "phone", "555 234 5678"),
            ("+4915123456789", "phone", "+4915123456789"),
            ("4111 1111 1111 1111 12/26", "card", "4111 1111 1111 1111"),
            ("2024 4111-1111-1111-1111", "card", "4111-1111-1111-1111"),
            ("3782 822463 10005", "card", "3782 822463 10005"),
            ("DE89 3704 0044 0532 0130 00", "iban", "DE89 3704 0044 0532 0130 00"),
            ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
            ("123-45-6789", "ssn", "123-45-6789"),
            ("SSN 123456789", "ssn", "123456789"),
            ("from 93.184.216.34:8080", "ip", "93.184.216.34"),
            ("http://93.184.216.34/x", "ip", "93.184.216.34"),
            ("2a00:1450:4001:81b::200e", "ip", "2a00:1450:4001:81b::200e"),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_are_left() {
        for text in [
            "2024-05-08 13:56:00",
            "08.05.2024",
            "2024-05-08T13:56:00+02:00",
            "1700000000 1700000000000 1700000000000000",
            "3 + 12345678 = 12345681",
            "x+12345678",
            "call 12345678 failed with 555 123 4567",
            "550e8400-e29b-41d4-a716-446655440000",
            "3.14159265358979",
            "1,234,567.89",
            "Chrome/120.0.6099.71 v1.22.33.44 version 10.20.30.40",
            "192.168.1.17 10.0.0.1 127.0.0.1 8.8.8.8 203.0.113.9 255.255.255.0",
            "section 3.1.2.4",
            "OID 1.3.6.1.4.1.311",
            "std::fs::abc 2001:db8::1 fe80::1",
            "3704:3704:3704:3704:3704:3704:3704:3704:3704:3704:3704:3704",
            "4111111111111112",
            "order 100200300-12",
            "999-99-9999 000-12-3456",
            "0000010 6568 6c6c 206f",
            "f(202) 555",
            "ISBN 978-3-16-148410-0",
            "10-20-30-40",
            "1920x1080 100-200-3000",
            "deadbeef4111111111111111",
            "12:34:56.789012345",
            "01 02 03 04 05 06 07 08 09 10",
            "0061 08CD 0315 0300 05AE 0062;0391 0314 0300",
            "date!(+999999-12-25) +9999-12-31 23:59:59 +9999-365 23:58:59",
            "SMS_ATN: u32 = 536916224; phone_id: 536916224, automobile 536916224",
            "fax[0]; and 1673670979",
            "RFC 5280 4.2.1.13, §4.2.1.13, OID 2.5.29.37, 128.0.0.0/1",
            "5010420900022432 4951948911778577463",
            "src/a.rs:13:1 604 525",
            "ae46 f6b1 39a2 ffan dtha tis",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
