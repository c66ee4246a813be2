//! Secrets known by the structure around them: key blocks, URLs with passwords, headers, command lines.

use std::ops::Range;

use memchr::memmem;

use super::checks::{stand_in, wordlike};
use super::rules::Found;
use super::shape::{
    ALNUM, BASE32, BASE64, BEARER, DIGIT, HEX, Left, Part, URL64, end_of, first_bytes, just, last_bytes,
    past_escape, run,
};

/// The text from `at` to the end of its line, at most `most` bytes, cut on a character.
fn line_from(text: &str, at: usize, most: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let rest = first_bytes(rest, most);
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

/// How many bytes of blanks and quotes, escaped or not, the text begins with.
fn blanks_and_quotes(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t', '"', '\'', '`', '\\']).len()
}

/// Where a piece of a text begins in it.
fn offset(text: &str, piece: &str) -> Option<usize> {
    (piece.as_ptr() as usize).checked_sub(text.as_ptr() as usize).filter(|at| *at <= text.len())
}

/// Whether letters and digits are mixed as in something random.
pub(super) fn mixed(value: &str) -> bool {
    value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic())
}

/// A PEM block of a private key, or the base64 of one. A header without its end is secret to the end of the text,
/// unless it is only mentioned.
pub(super) fn private_key(text: &str, anchor: Range<usize>) -> Option<Found> {
    if !text.get(anchor.clone())?.starts_with('-') {
        return encoded_private_key(text, anchor.start);
    }
    let line = line_from(text, anchor.end, 64);
    let header = line.find("-----")? + 5;
    if !line.get(..header)?.contains("PRIVATE KEY") || !text.get(anchor.clone())?.ends_with("BEGIN") {
        return None;
    }
    let body = anchor.end + header;
    let rest = text.get(body..)?;
    if let Some(end) = memmem::find(rest.as_bytes(), b"-----END") {
        let tail = line_from(rest, end + 8, 64);
        let close = tail.find("-----").map_or(0, |at| at + 5);
        return Some(Found::bare(anchor.start..body + end + 8 + close));
    }
    let mention = rest.trim().is_empty() || rest.starts_with(['"', '\'', '`']) || rest.starts_with("\\\"");
    (!mention || dense(rest)).then(|| Found::bare(anchor.start..text.trim_end().len()))
}

/// Whether a text holds a long run of base64, as the body of a key does.
fn dense(text: &str) -> bool {
    text.as_bytes().split(|byte| !BASE64.has(*byte)).any(|piece| piece.len() >= 24)
}

/// Whether a text is mostly long runs of base64: the middle of a key block.
pub(super) fn key_body(text: &str) -> bool {
    let pieces = || text.split_ascii_whitespace();
    let long: usize = pieces().map(str::len).filter(|length| *length >= 24).sum();
    let all: usize = pieces().map(str::len).sum();
    long > 0 && long * 10 >= all * 8
}

/// The base64 of a PEM header (`-----BEGIN … PRIVATE KEY`) and all that goes on from there, over line breaks too.
fn encoded_private_key(text: &str, start: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let head = bytes.get(start..bytes.len().min(start + 96))?;
    if memmem::find(&decode(head), b"PRIVATE KEY").is_none_or(|at| at >= 40) {
        return None;
    }
    let mut end = BASE64.run(bytes, start);
    loop {
        let next = end + bytes.get(end..)?.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let until = BASE64.run(bytes, next);
        if until < next + 16 || next > end + 8 {
            return Some(Found::bare(start..end));
        }
        end = until;
    }
}

/// Decodes standard base64 as far as it goes.
fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let (mut bits, mut held) = (0_u32, 0);
    for byte in encoded {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// `PrivateKey = …` of WireGuard.
pub(super) fn wireguard(text: &str, anchor: Range<usize>) -> Option<Found> {
    let line = line_from(text, anchor.end, 16);
    let value = anchor.end + (line.len() - line.trim_start_matches([' ', '\t', '=', ':', '"']).len());
    let end = end_of(text.as_bytes(), value, &[just(BASE64, 44)])?;
    (value > anchor.end && text.get(value..end)?.ends_with('='))
        .then_some(Found { value: value..end, from: anchor.start })
}

/// A JSON web token: three runs of base64, or two where the signature is empty.
pub(super) fn jwt(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let before = anchor.start.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
    if text.get(anchor.clone())? != "eyJ"
        || !Left::Word.allows(bytes, anchor.start)
        || matches!(before, b'_' | b'-')
    {
        return None;
    }
    let header = URL64.run(bytes, anchor.end);
    if header < anchor.end + 7 || !bytes.get(header..)?.starts_with(b".") {
        return None;
    }
    let payload = URL64.run(bytes, header + 1);
    if payload < header + 8 {
        return None;
    }
    // Five runs make an encrypted token.
    let mut end = payload;
    while bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|b| URL64.has(*b)) {
        end = URL64.run(bytes, end + 1);
    }
    Some(Found::bare(anchor.start..end))
}

/// The password in `scheme://user:password@host`.
pub(super) fn url_password(text: &str, anchor: Range<usize>) -> Option<Found> {
    let rest = first_bytes(text.get(anchor.end..)?, 512);
    // Most URLs end here.
    let rest = rest.get(..memchr::memrchr(b'@', rest.as_bytes())? + 1)?;
    let stop = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\' | '|' | '”' | '’' | '»')
    };
    let url = rest.split(stop).next()?;
    let authority = url.split(['/', '?', '#']).next()?;
    let scheme = text.get(..anchor.start)?;
    let web = scheme.ends_with("http") || scheme.ends_with("https");
    let user_info = match authority.rfind('@') {
        Some(at) => url.get(..at)?,
        // A password that was not encoded may hold any of `/?#`.
        None if !web => url.get(..url.rfind('@')?)?,
        None => return None,
    };
    let colon = user_info.find(':')?;
    let password = user_info.get(colon + 1..)?;
    let port = password.split(['/', '?', '#']).next()?.bytes().all(|b| b.is_ascii_digit());
    if password.is_empty() || stand_in(password) || (port && password.contains('/')) {
        return None;
    }
    let start = anchor.end + colon + 1;
    Some(Found { value: start..start + password.len(), from: anchor.start })
}

/// `Authorization: Basic …`, `Authorization: Bearer …`, and `Bearer …` with something random behind it.
pub(super) fn authorization(text: &str, anchor: Range<usize>) -> Option<Found> {
    const SCHEMES: [&str; 8] = ["basic", "bearer", "token", "apikey", "api-key", "key", "digest", "bot"];
    let header = !text.get(anchor.clone())?.ends_with(' ');
    let mut at = anchor.end;
    if header {
        let line = line_from(text, at, 48);
        let operator = line.get(blanks_and_quotes(line)..)?.trim_start_matches([']', ')', ' ']);
        let value = operator.strip_prefix(":=").or_else(|| operator.strip_prefix("=>"));
        let value = value.or_else(|| operator.strip_prefix([':', '=', ',']))?.trim_start();
        // Python writes `f"Bearer …"`.
        let quoted = value.strip_prefix(['f', 'b', 'r']).filter(|rest| rest.starts_with(['"', '\'']));
        let value = quoted.unwrap_or(value);
        at += line.len() - value.len() + blanks_and_quotes(value);
        let word = text.get(at..)?.split([' ', '\t']).next()?;
        if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
            at += word.len();
        }
    }
    at += text.get(at..)?.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let end = BEARER.run(text.as_bytes(), at);
    let value = text.get(at..end)?;
    let value = value.trim_end_matches(['.', '-', '/', '~']);
    let random = mixed(value) && !wordlike(value);
    let enough =
        if header { value.len() >= 8 && !letters_of_one_case(value) } else { value.len() >= 16 && random };
    let call = matches!(text.as_bytes().get(end), Some(b'(' | b'['));
    (enough && !call && !stand_in(value)).then(|| Found { value: at..at + value.len(), from: anchor.start })
}

/// A plain word or an identifier such as `access_token` or `config.token`.
fn letters_of_one_case(value: &str) -> bool {
    let joined = |b: u8| matches!(b, b'_' | b'.' | b'-');
    value.bytes().all(|b| b.is_ascii_lowercase() || joined(b))
        || value.bytes().all(|b| b.is_ascii_uppercase() || joined(b))
}

/// `machine HOST login USER password SECRET`
pub(super) fn netrc(text: &str, anchor: Range<usize>) -> Option<Found> {
    let machine = text.get(anchor.clone())?.len() == "machine".len();
    let rest = text.get(anchor.end..)?;
    let rest = first_bytes(rest, 512);
    let mut words = rest.split_ascii_whitespace();
    let mut host = "default";
    if machine {
        host = words.next()?;
        (words.next()? == "login").then_some(())?;
    }
    words.next()?;
    (words.next()? == "password").then_some(())?;
    let value = words.next()?.split(['"', '\'', '`', '\\', '<', '”', '’', '»']).next()?;
    let value = value.trim_end_matches(['.', ')', ',', ']']);
    let start = anchor.end + offset(rest, value)?;
    // "the machine learning login with password reset"
    let prose = !host.contains(['.', ':']) && value.bytes().all(|b| b.is_ascii_lowercase());
    (!prose && !value.is_empty() && !stand_in(value))
        .then(|| Found { value: start..start + value.len(), from: anchor.start })
}

/// `curl -u user:password`
pub(super) fn curl_user(text: &str, anchor: Range<usize>) -> Option<Found> {
    let before = text.get(..anchor.start)?;
    if !before.ends_with([' ', '\t', '\n']) {
        return None;
    }
    let before = last_bytes(before, 512);
    let command = before.get(before.rfind("curl")?..)?;
    if command.contains("\n\n") {
        return None;
    }
    let line = line_from(text, anchor.end, 256);
    let lead = line.len() - line.trim_start_matches([' ', '=', '"', '\'', '\\']).len();
    let closers: &[char] =
        if line.get(..lead)?.contains('\'') { &['\''] } else { &['"', ' ', '\t', '\'', '\\'] };
    let pair = line.get(lead..)?.split(closers).next()?;
    let colon = pair.find(':')?;
    let value = pair.get(colon + 1..)?;
    let start = anchor.end + lead + colon + 1;
    (!value.is_empty() && !stand_in(value))
        .then(|| Found { value: start..start + value.len(), from: anchor.start })
}

/// The 40 characters of an AWS secret, behind its name or its key id.
pub(super) fn aws_secret(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let name = text.get(anchor.clone())?;
    let id = name.len() == 4;
    if id && (!matches!(name, "AKIA" | "ASIA") || end_of(bytes, anchor.end, &[just(BASE32, 16)]).is_none()) {
        return None;
    }
    let mut at = anchor.end;
    let until = text.len().min(anchor.end + 200);
    let bytes = bytes.get(..text.len().min(until + 64))?;
    while at < until {
        let end = BASE64.run(bytes, at);
        let start = past_escape(bytes, at);
        let value = text.get(start..end).unwrap_or_default();
        // `key=VALUE` is one run of the class.
        let value = value.get(value.find('=').map_or(0, |sign| sign + 1)..).unwrap_or_default();
        let kinds = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
        let all =
            kinds.iter().all(|kind| value.bytes().any(|b| kind(&b))) && !value.contains(['_', '-', '=']);
        if value.len() == 40 && all && !stand_in(value) {
            return Some(Found { value: end - 40..end, from: anchor.start });
        }
        at = end.max(at) + 1;
    }
    None
}

/// An Azure AD client secret: three characters, a digit, `Q~`, then 31 to 34 more.
pub(super) fn azure_client(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let start = anchor.start.checked_sub(4)?;
    let lead = bytes.get(start..anchor.start)?;
    let secret = |b: &u8| BEARER.has(*b) && !matches!(b, b'/' | b'+' | b'=');
    let fits = lead.iter().all(secret) && lead.last().is_some_and(u8::is_ascii_digit);
    let more = bytes.get(anchor.end..)?.iter().take(64).take_while(|b| secret(b)).count();
    let exact = text.get(anchor.clone())? == "Q~";
    let end = anchor.end + text.get(anchor.end..anchor.end + more)?.trim_end_matches('.').len();
    (fits && exact && end >= anchor.end + 31).then(|| Found::bare(past_escape(bytes, start)..end))
}

/// An Azure storage or service bus key: base64 that holds `JQQJ9`, or follows `AccountKey=`.
pub(super) fn azure_storage(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    if text.get(anchor.clone())?.ends_with('=') {
        let end = BASE64.run(bytes, anchor.end);
        return (end >= anchor.end + 40).then_some(Found { value: anchor.end..end, from: anchor.start });
    }
    if text.get(anchor.clone())? != "JQQJ9" {
        return None;
    }
    let start = ALNUM.run_back(bytes, anchor.start, 96);
    let end = BASE64.run(bytes, anchor.end);
    (anchor.start >= start + 44 && end >= anchor.end + 20).then(|| Found::bare(start..end))
}

/// The signature of a shared access URL: `sig=` and the encoded SHA-256.
pub(super) fn azure_signature(text: &str, anchor: Range<usize>) -> Option<Found> {
    let rest = text.as_bytes().get(anchor.end..)?;
    let length = rest.iter().take(257).take_while(|b| BASE64.has(**b) || **b == b'%').count();
    let edge = Left::Word.allows(text.as_bytes(), anchor.start);
    (edge && (43..=256).contains(&length))
        .then(|| Found { value: anchor.end..anchor.end + length, from: anchor.start })
}

/// A HashiCorp cloud token: 14 characters, `.atlasv1.`, 60 or more.
pub(super) fn terraform(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let start = ALNUM.run_back(bytes, anchor.start, 24);
    let end = end_of(bytes, anchor.end, &[run(URL64, 60)])?;
    (anchor.start == start + 14).then(|| Found::bare(start..end))
}

/// `https://hooks.slack.com/services/…`: what follows is the secret.
pub(super) fn slack_webhook(text: &str, anchor: Range<usize>) -> Option<Found> {
    let end = anchor.end
        + text.as_bytes().get(anchor.end..)?.iter().take_while(|b| URL64.has(**b) || **b == b'/').count();
    let path = text.get(anchor.end..end)?;
    let service = ["services/", "workflows/", "triggers/"].iter().find(|kind| path.starts_with(**kind))?;
    let start = anchor.end + service.len();
    (end >= start + 24 && path.contains("/T")).then_some(Found { value: start..end, from: anchor.start })
}

/// `https://discord.com/api/webhooks/ID/TOKEN`
pub(super) fn discord_webhook(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let id = end_of(bytes, anchor.end, &[run(DIGIT, 16), Part::Is("/")]);
    let id = id.or_else(|| {
        let end = DIGIT.run(bytes, anchor.end);
        (end >= anchor.end + 16 && bytes.get(end) == Some(&b'/')).then_some(end + 1)
    })?;
    let end = URL64.run(bytes, id);
    (end >= id + 60).then_some(Found { value: id..end, from: anchor.start })
}

/// 32 hex digits and the data centre: `…-us12`.
pub(super) fn mailchimp(text: &str, anchor: Range<usize>) -> Option<Found> {
    let bytes = text.as_bytes();
    let start = HEX.run_back(bytes, anchor.start, 40);
    let end = end_of(bytes, anchor.end, &[Part::Run(DIGIT, 1, 2)])?;
    let alone = Left::Word.allows(bytes, start);
    (anchor.start == start + 32 && alone).then(|| Found::bare(start..end))
}

/// Keys without a shape of their own, on the same line as their vendor's name: Mistral (32 letters and digits), Cohere
/// (40), Weights & Biases (40 hex digits).
pub(super) fn beside_vendor(text: &str, anchor: Range<usize>) -> Option<Found> {
    let vendor = text.get(anchor.clone())?.to_ascii_lowercase();
    let length = if vendor == "mistral" { 32 } else { 40 };
    let line = line_from(text, anchor.end, 120);
    let piece = line.split(|c: char| !c.is_ascii_alphanumeric()).find(|piece| {
        let hex = piece.bytes().all(|b| b.is_ascii_hexdigit());
        piece.len() == length && mixed(piece) && (hex || !vendor.starts_with('w'))
    })?;
    let start = anchor.end + offset(line, piece)?;
    let between = text.get(anchor.end..start)?.to_ascii_lowercase();
    let other =
        ["commit", "sha", "hash", "checksum", "revision", "digest"].iter().any(|word| between.contains(word));
    (!other && !between.contains("://")).then(|| Found { value: start..start + length, from: anchor.start })
}
