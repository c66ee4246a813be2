//! E-mail addresses.

use std::ops::Range;

use super::rules::Found;
use super::shape::{last_bytes, past_escape};

/// Endings of files and code that stand where a top-level domain would.
const NO_DOMAINS: [&str; 22] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "tsx", "jsx", "mjs", "json",
    "html", "py", "rs", "yml", "yaml", "toml", "lock", "local",
];

/// `name@domain.tld`, with `@` perhaps as `%40`. Not: the user in `ssh` remotes and URLs, versions, file names, code.
pub(super) fn email(text: &str, anchor: Range<usize>) -> Option<Found> {
    let name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '\'' | '!' | '#' | '&');
    let domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let before = text.get(..anchor.start)?;
    let length: usize = before.chars().rev().take(64).take_while(|c| name(*c)).map(char::len_utf8).sum();
    let mut start = past_escape(text.as_bytes(), anchor.start - length).min(anchor.start);
    let local = text.get(start..anchor.start)?;
    // A quote or a sign before the name is not part of it; nor is what a query puts before an `&`.
    let cut = local.rfind(['\'', '&', '#', '!']).map_or(0, |at| at + 1);
    start += cut;
    start += text.get(start..anchor.start)?.len()
        - text.get(start..anchor.start)?.trim_start_matches(['.', '-', '+']).len();
    let local = text.get(start..anchor.start)?;
    let after = text.get(anchor.end..)?;
    let length: usize = after.chars().take(255).take_while(|c| domain(*c)).map(char::len_utf8).sum();
    let host = after.get(..length)?.trim_end_matches(['.', '-']);
    // No top-level domain has a hyphen, but those that are encoded.
    let last = host.rfind('.').map_or(0, |dot| dot + 1);
    let hyphen = host.get(last..).filter(|top| !top.starts_with("xn--")).and_then(|top| top.find('-'));
    let host = hyphen.map_or(host, |at| &host[..last + at]);
    let end = anchor.end + host.len();
    if local.is_empty() || host.starts_with(['.', '-']) || host.contains("..") {
        return None;
    }
    let (site, top) = host.rsplit_once('.')?;
    let versioned = host.strip_prefix('v').unwrap_or(host).starts_with(|c: char| c.is_ascii_digit())
        && site.contains('.');
    let named = top.chars().count() >= 2 && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    let code = text.get(end..)?.starts_with(['(', '[', ':'])
        && (local == "git" || !text.get(end..)?.starts_with(':'));
    if !named || versioned || code || NO_DOMAINS.contains(&top.to_ascii_lowercase().as_str()) {
        return None;
    }
    (!in_authority(before)).then(|| Found::bare(start..end))
}

/// Whether the text ends inside the `user:password` of a URL.
fn in_authority(before: &str) -> bool {
    let near = last_bytes(before, 256);
    let Some(scheme) = near.rfind("://") else { return false };
    let authority = near.get(scheme + 3..).unwrap_or_default();
    !authority.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find('@').map(|at| at..at + 1).or_else(|| text.find("%40").map(|at| at..at + 3))?;
        email(text, at).and_then(|found| text.get(found.value))
    }

    #[test]
    fn addresses_are_found_whole() {
        for (text, address) in [
            ("write to jane.doe+x@mail.example.co.uk.", "jane.doe+x@mail.example.co.uk"),
            ("<jane@example.org>", "jane@example.org"),
            (r#""a\njane@example.org\n""#, "jane@example.org"),
            ("?to=jane%40example.org&x", "jane%40example.org"),
            ("jürgen@müller.de", "jürgen@müller.de"),
            ("'jane@example.org'", "jane@example.org"),
            ("mailto:jane@example.org?subject=x", "jane@example.org"),
        ] {
            assert_eq!(found(text), Some(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_left() {
        for text in [
            "git@github.com:me/x.git",
            "logo@2x.png",
            "lodash@4.17.21",
            "@types/node",
            "@app.route('/')",
            "https://me@example.org/x",
            "https://me:pw@example.org/x",
            "y = a@b.transpose(1)",
            "github.com/x/y@v1.2.3-beta.rc",
            "user@localhost",
            "a @ b.c",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
