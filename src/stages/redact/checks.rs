//! Checks that tell a value from what merely looks like one.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The Luhn sum of a card number's digits.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            if place % 2 == 0 { digit } else { digit * 2 % 10 + digit * 2 / 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a card number of these digits can have been issued: the ranges and lengths of the networks, and Luhn.
pub(super) fn card(digits: &[u8]) -> bool {
    let lead = |n: usize| digits.iter().take(n).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let lengths: &[usize] = match (lead(1), lead(2), lead(3), lead(4)) {
        (4, ..) => &[13, 16, 19],
        (_, 51..=55, ..) | (.., 2221..=2720) => &[16],
        (_, 34 | 37, ..) => &[15],
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305, _) => &[14, 16, 19],
        (.., 3528..=3589) | (_, 65, ..) | (_, _, 644..=649, _) | (.., 6011) | (_, 62, ..) => {
            &[16, 17, 18, 19]
        }
        (_, 50 | 56..=58 | 60 | 61 | 63 | 66..=69, ..) => &[13, 14, 15, 16, 18, 19],
        _ => &[],
    };
    let varied = digits.iter().any(|digit| Some(digit) != digits.first());
    lengths.contains(&digits.len()) && varied && luhn(digits)
}

/// Length of an IBAN by country, from the SWIFT registry.
fn iban_length(country: [u8; 2]) -> Option<usize> {
    const LENGTHS: [(usize, &str); 18] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL SD FK"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK MN"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BF BY CY DO GT HN HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    ];
    let country = std::str::from_utf8(&country).ok()?.to_ascii_uppercase();
    LENGTHS.iter().find(|(_, list)| list.split(' ').any(|code| code == country)).map(|(length, _)| *length)
}

/// Where the IBAN that begins at `start` ends: country, length and the mod-97 sum must agree. Groups of
/// four may be separated by single spaces or hyphens.
pub(super) fn iban_end(bytes: &[u8], start: usize) -> Option<usize> {
    let country = [*bytes.get(start)?, *bytes.get(start + 1)?];
    let length = iban_length(country)?;
    // In print in groups of four, in capitals.
    let printed = country.iter().all(u8::is_ascii_uppercase);
    let mut compact = Vec::with_capacity(34);
    let mut at = start;
    while compact.len() < length {
        match bytes.get(at)? {
            b if b.is_ascii_alphanumeric() => compact.push(b.to_ascii_uppercase()),
            b' ' | b'-'
                if printed
                    && compact.len().is_multiple_of(4)
                    && bytes.get(at + 1)?.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let rotated = compact.get(4..)?.iter().chain(compact.get(..4)?);
    let rest = rotated.fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    });
    (rest == 1).then_some(at)
}

/// Whether an IPv4 address may name a person's line: not private, reserved, for documentation, or a public resolver.
pub(super) fn personal_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let reserved = a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation();
    // Public resolvers, netmasks' kin and section numbers: `8.8.8.8`, `1.1.1.1`, `3.1.2.4`.
    !reserved && ip.octets().iter().any(|octet| *octet > 9)
}

/// Whether an IPv6 address is a global one outside of the documentation range.
pub(super) fn personal_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0xdb8) && a != 0x3fff
}

/// Whether the digits of a US social security number can have been issued.
pub(super) fn ssn(digits: &[u8]) -> bool {
    let [a, b, c, d, e, f, g, h, i] = *digits else { return false };
    let area = (a, b, c);
    a != 9 && area != (0, 0, 0) && area != (6, 6, 6) && (d, e) != (0, 0) && (f, g, h, i) != (0, 0, 0, 0)
}

/// Shannon entropy in bits a character.
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[byte as usize] += 1);
    let total = text.len().max(1) as f64;
    let share = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    -share.map(|p| p * p.log2()).sum::<f64>()
}

/// Whether the text is a UUID: an id, not a secret.
pub(super) fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a value stands for a secret instead of being one: a variable, a template, stars, `YOUR_KEY`, `…EXAMPLE`.
pub(super) fn stand_in(value: &str) -> bool {
    const WORDS: [&str; 14] = [
        "example",
        "your",
        "changeme",
        "change_me",
        "placeholder",
        "redacted",
        "dummy",
        "xxxx",
        "****",
        "....",
        "insert",
        "replace",
        "<",
        "…",
    ];
    const NOTHING: [&str; 12] = [
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "password",
        "passwd",
        "pass",
        "secret",
        "token",
        "pwd",
    ];
    let lower = value.to_ascii_lowercase();
    let first = lower.bytes().next().unwrap_or(b'*');
    let template =
        value.starts_with('$') || value.contains("${") || value.contains("{{") || value.contains("#{");
    let braced =
        value.starts_with(['{', '[', '(']) || value.starts_with("%(") || value == "%s" || value == "%v";
    let percent = value.len() > 2 && value.starts_with('%') && value.ends_with('%');
    template
        || braced
        || percent
        || lower.bytes().all(|byte| byte == first)
        || NOTHING.contains(&lower.as_str())
        || WORDS.iter().any(|word| lower.contains(word))
        || sequence(&lower)
}

/// `1234567890`, `abcdefgh…`: each character the next of the one before.
fn sequence(text: &str) -> bool {
    let bytes = text.as_bytes();
    let steps = bytes.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) == 1 || pair == b"90").count();
    bytes.len() >= 8 && steps + 3 > bytes.len()
}

/// Whether every piece of the text between punctuation reads as a word, a short number or a word with a short number:
/// an identifier, a path or a version rather than something random.
pub(super) fn wordlike(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(|piece| {
        let letters = piece.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = piece.len() - letters.len();
        digits <= 4 && letters.bytes().all(|b| b.is_ascii_alphabetic()) && (digits < 2 || letters.len() != 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_decide_over_cards_and_ibans() {
        let digits = |text: &str| text.bytes().map(|b| b - b'0').collect::<Vec<_>>();
        assert!(card(&digits("4111111111111111")));
        assert!(card(&digits("378282246310005")));
        assert!(!card(&digits("4111111111111112")), "Luhn");
        assert!(!card(&digits("1111111111111117")), "no network");
        assert!(!card(&digits("0000000000000000")));
        let good = "DE89 3704 0044 0532 0130 00";
        assert_eq!(iban_end(good.as_bytes(), 0), Some(good.len()));
        assert_eq!(iban_end(b"GB82WEST12345698765432 x", 0), Some(22));
        for bad in ["DE89 3704 0044 0532 0130 01", "ZZ89370400440532013000", "DE8937040044053201300", "DE"] {
            assert_eq!(iban_end(bad.as_bytes(), 0), None, "{bad}");
        }
    }

    #[test]
    fn stand_ins_are_told_from_secrets() {
        for text in [
            "$DB_PASS",
            "${PASS}",
            "{{ pass }}",
            "%PASS%",
            "********",
            "your-api-key",
            "abcdefghijkl",
            "null",
        ] {
            assert!(stand_in(text), "{text}");
        }
        for text in ["hunter2", "S3cr3t!pw", "a8f5f167f44f4964"] {
            assert!(!stand_in(text), "{text}");
        }
        assert!(wordlike("src/keys/id_rsa2.pem") && wordlike("v1.2.3-beta") && !wordlike("a8f5f167f44f"));
    }
}
