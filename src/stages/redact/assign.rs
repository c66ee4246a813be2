//! Passwords and secrets known by the name they are given to: `password=…`, `"api_key": "…"`, `the password is …`.

use std::ops::Range;

use super::checks::{entropy, stand_in, uuid, wordlike};
use super::rules::Found;
use super::shape::{first_bytes, past_escape};
use super::structural::mixed;

/// What the names of passwords hold.
pub(super) const PASSWORD_WORDS: &[&str] = &["pass", "pwd"];
/// What the names of other secrets hold.
pub(super) const SECRET_WORDS: &[&str] = &["secret", "token", "key", "auth", "credential"];

const PASSWORDS: [&str; 10] = [
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "passwort",
    "userpassword",
    "dbpassword",
    "userpwd",
];
const SECRETS: [&str; 15] = [
    "secret",
    "token",
    "credential",
    "credentials",
    "auth",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "authtoken",
    "accesstoken",
    "apitoken",
    "apisecret",
    "clientsecret",
];
/// Words that make a secret of the `key` behind them.
const KEYS: [&str; 24] = [
    "api",
    "access",
    "secret",
    "private",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "master",
    "service",
    "account",
    "app",
    "admin",
    "client",
    "storage",
    "shared",
    "license",
    "auth",
    "session",
    "deploy",
    "webhook",
    "subscription",
    "hmac",
    "jwt",
];
/// Words before `key` or `token` that say it is no secret.
const HARMLESS: [&str; 26] = [
    "public",
    "pub",
    "csrf",
    "xsrf",
    "next",
    "page",
    "continuation",
    "primary",
    "foreign",
    "sort",
    "partition",
    "cache",
    "max",
    "min",
    "num",
    "total",
    "prompt",
    "completion",
    "stop",
    "pad",
    "eos",
    "bos",
    "object",
    "index",
    "row",
    "host",
];
/// What may follow the telling word in a name.
const TAILS: [&str; 14] = [
    "value", "string", "str", "dev", "prod", "test", "staging", "live", "old", "new", "base64", "b64",
    "plain", "env",
];

/// What a name promises of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// A password, however simple.
    Password,
    /// A token, random to the eye.
    Secret,
    /// A `key` that may as well be one of a map.
    Perhaps,
}

/// Splits a name into its words: `dbPassword`, `DB_PASSWORD` and `db-password` are `db`, `password`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut open, mut lower) = (false, false);
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            open = false;
            continue;
        }
        if !open || (c.is_ascii_uppercase() && lower) {
            words.push(String::new());
        }
        (open, lower) = (true, c.is_ascii_lowercase() || c.is_ascii_digit());
        if let Some(word) = words.last_mut() {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

/// What the name of a field promises; `None` for names of ordinary things.
pub(super) fn promise(name: &str) -> Option<Promise> {
    let mut words = words(name);
    while words.len() > 1
        && words.last().is_some_and(|w| TAILS.contains(&w.as_str()) || w.parse::<u16>().is_ok())
    {
        words.pop();
    }
    let last = words.pop()?;
    let last = last.trim_end_matches(|c: char| c.is_ascii_digit());
    let before = words.last().map(String::as_str).unwrap_or_default();
    if PASSWORDS.contains(&last) {
        return (!matches!(before, "by" | "one" | "first" | "second")).then_some(Promise::Password);
    }
    if HARMLESS.contains(&before) {
        return None;
    }
    match last {
        last if SECRETS.contains(&last) => Some(Promise::Secret),
        "key" if KEYS.contains(&before) => Some(Promise::Secret),
        "key" => Some(Promise::Perhaps),
        _ => None,
    }
}

/// How a value follows its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// By `=`, `:` and their kin.
    Sign,
    /// By `=` without blanks, as in an environment file or a query.
    Tight,
    /// By a word: `is`.
    Word,
}

/// Rule `password`.
pub(super) fn password(text: &str, anchor: Range<usize>) -> Option<Found> {
    assigned(text, anchor, |promise| promise == Promise::Password)
}

/// Rule `generic_secret`.
pub(super) fn secret(text: &str, anchor: Range<usize>) -> Option<Found> {
    assigned(text, anchor, |promise| promise != Promise::Password)
}

fn assigned(text: &str, anchor: Range<usize>, wanted: fn(Promise) -> bool) -> Option<Found> {
    let bytes = text.as_bytes();
    let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let end = anchor.end + bytes.get(anchor.end..)?.iter().take(48).take_while(|b| named(b)).count();
    // Most words end here: nothing is assigned.
    let joint = operator(text, end);
    if joint.is_none() && bytes.get(end) != Some(&b' ') {
        return None;
    }
    let start =
        anchor.start - bytes.get(..anchor.start)?.iter().rev().take(48).take_while(|b| named(b)).count();
    let start = past_escape(bytes, start).min(anchor.start);
    // `--password hunter2`
    let flag = text.get(start..end)?.starts_with("--").then_some((end + 1, Joined::Sign));
    let (value, joined) = joint.filter(|(_, joined)| *joined != Joined::Word).or(flag).or(joint)?;
    let start = before_blank(text, start);
    let name = text.get(start..end)?;
    // `>` ends the tag `<password>` and nothing else.
    if bytes.get(end) == Some(&b'>') && !text.get(..start)?.ends_with('<') {
        return None;
    }
    let promise = promise(name).filter(|promise| wanted(*promise))?;
    let spaced = name.contains(' ');
    let (value, quoted) = delimited(text, value, joined)?;
    let said = text.get(value.clone())?;
    let shouted = joined == Joined::Tight && !name.bytes().any(|b| b.is_ascii_lowercase());
    let context = bytes.get(value.end) == Some(&b';') && joined == Joined::Tight;
    let fits = match promise {
        Promise::Password => password_fits(said, quoted || shouted || context),
        promise => secret_fits(said, promise) && !(spaced && joined == Joined::Word && said.len() < 16),
    };
    fits.then_some(Found { value, from: start })
}

/// Takes in a word of [`KEYS`] that stands before the name: `API key`.
fn before_blank(text: &str, start: usize) -> usize {
    let Some(before) = text.get(..start).and_then(|before| before.strip_suffix(' ')) else { return start };
    let word = before.bytes().rev().take(16).take_while(u8::is_ascii_alphanumeric).count();
    let from = before.len() - word;
    match before.get(from..) {
        Some(word) if KEYS.iter().chain(&HARMLESS).any(|key| word.eq_ignore_ascii_case(key)) => from,
        _ => start,
    }
}

/// Reads what stands between a name that ends at `end` and its value; gives where the value, with its quotes, begins.
fn operator(text: &str, end: usize) -> Option<(usize, Joined)> {
    let rest = text.get(end..)?;
    let rest = first_bytes(rest, 72);
    let bare = rest.trim_start_matches(['"', '\'', '`', '\\', ']', ')']).trim_start_matches([' ', '\t', '*']);
    let offset = |after: &str| end + rest.len() - after.len();
    const SIGNS: [&str; 9] = [":=", "=>", "===", "==", "!=", "=", ":", "->", ">"];
    for sign in SIGNS {
        if let Some(after) = bare.strip_prefix(sign) {
            let tag = sign == ">";
            let value = after.trim_start_matches([' ', '\t', '*']);
            let tight = sign == "=" && value.len() == after.len() && bare.len() == rest.len();
            let path = sign == ":" && after.starts_with([':', '/']);
            let closed = tag && bare.len() != rest.len();
            let joined = if tight || tag { Joined::Tight } else { Joined::Sign };
            return (!path && !closed && !value.is_empty()).then(|| (offset(value), joined));
        }
    }
    if bare.len() == rest.len() {
        return None;
    }
    // `password for the server is …`
    let clause = bare.split(['.', '\n', ',', ';', '?']).next()?;
    let told = if let Some(about) = clause.strip_prefix("for ").or_else(|| clause.strip_prefix("of ")) {
        [" is ", " was ", ": "]
            .iter()
            .filter_map(|verb| Some(about.find(verb)? + verb.len()))
            .min()
            .and_then(|at| about.get(at..))
    } else {
        ["is ", "was ", "to ", "ist ", "is: ", "will be "].iter().find_map(|verb| clause.strip_prefix(verb))
    };
    let value = bare.get(clause.len() - told?.len()..)?.trim_start_matches([' ', ':', '*']);
    (!value.is_empty()).then(|| (offset(value), Joined::Word))
}

/// The value that begins, perhaps in quotes, at `at`, and whether it is in quotes.
fn delimited(text: &str, at: usize, joined: Joined) -> Option<(Range<usize>, bool)> {
    let rest = text.get(at..)?;
    let rest = first_bytes(rest, 512);
    let line = rest.split(['\n', '\r']).next()?;
    let lead = line.len() - line.trim_start_matches(['f', 'b', 'r', 'u', '@', '$']).len();
    let lead = if line.get(lead..)?.starts_with(['"', '\'']) { lead } else { 0 };
    let slashes = line.get(lead..)?.bytes().take_while(|b| *b == b'\\').count();
    let quote = line.as_bytes().get(lead + slashes).copied().filter(|b| matches!(b, b'"' | b'\'' | b'`'));
    if let Some(quote) = quote {
        let start = lead + slashes + 1;
        let length = closing(line.get(start..)?, quote, slashes)?;
        return (length > 0).then(|| (at + start..at + start + length, true));
    }
    // “Quotes” of print.
    let printed = line.strip_prefix(['“', '„', '«', '‘', '»']).unwrap_or(line);
    let (at, quoted, line) = (at + line.len() - printed.len(), printed.len() < line.len(), printed);
    let stop = |c: char| {
        c.is_whitespace()
            || matches!(c, '“' | '”' | '‘' | '’' | '«' | '»')
            || matches!(c, '"' | '\'' | '`' | ',' | ';' | '<' | '>' | ')' | ']' | '}' | '|' | '\\')
            || (c == '&' && joined == Joined::Tight)
    };
    let value = line.split(stop).next()?;
    let value = value.trim_end_matches(['.', ':', '?', '*', '…']);
    let value = if joined == Joined::Word { value.trim_end_matches('!') } else { value };
    let next = line.get(value.len()..)?;
    // `get(…)`, `keys[…]`, `Map<…>`; not the end of an element.
    let generic = next.starts_with('<') && !next.starts_with("</") && joined != Joined::Tight;
    let call = generic || next.starts_with(['(', '[']) || value.contains(['(', '[']);
    (!value.is_empty() && !call).then(|| (at..at + value.len(), quoted))
}

/// How long the text is before the quote that closes it: one behind as many backslashes as the opening one.
fn closing(text: &str, quote: u8, slashes: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = memchr::memchr(quote, bytes.get(from..)?) {
        let at = from + found;
        let escapes = bytes.get(..at)?.iter().rev().take_while(|b| **b == b'\\').count();
        let closes = if slashes == 0 { escapes % 2 == 0 } else { escapes <= slashes };
        if closes {
            return Some(at - escapes.min(slashes));
        }
        from = at + 1;
    }
    None
}

/// Whether a value can be a password. In quotes or an environment file a plain word can be one; elsewhere it is
/// an identifier, a type or prose.
fn password_fits(value: &str, plain_words: bool) -> bool {
    const TALK: [&str; 10] = [
        "required",
        "string",
        "optional",
        "invalid",
        "incorrect",
        "input",
        "field",
        "prompt",
        "confirm",
        "hash",
    ];
    let lower = value.to_ascii_lowercase();
    let letters = value.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b'.'));
    let odd = value
        .bytes()
        .any(|b| b.is_ascii_punctuation() && !matches!(b, b'_' | b'-' | b'.' | b'/' | b':' | b'='));
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let names_itself =
        ["password", "passwd", "pwd", "secret", "token"].iter().any(|word| lower.contains(word));
    // `required|min:8`
    let rules = value.contains('|') && wordlike(value);
    let path = value.starts_with(['/', '~']) || value.starts_with("./") || value.contains("://");
    let code = value.contains("process.env") || value.contains("os.environ") || lower.starts_with("env.");
    if value.len() < 4
        || value.len() > 256
        || stand_in(value)
        || uuid(value)
        || path
        || code
        || rules
        || value.contains(' ')
    {
        return false;
    }
    if letters && (names_itself || TALK.iter().any(|word| lower.contains(word))) {
        return false;
    }
    digit || odd || (plain_words && letters)
}

/// Whether a value can be a token: 10 to 512 characters, letters and digits mixed, random to the eye.
pub(super) fn secret_fits(value: &str, promise: Promise) -> bool {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b"+/=_-.~!@#$%^&*:".contains(&b);
    if value.len() > 512 || !mixed(value) || !value.bytes().all(alphabet) {
        return false;
    }
    let random = match promise {
        Promise::Perhaps => {
            let cases = value.bytes().any(|b| b.is_ascii_lowercase())
                && value.bytes().any(|b| b.is_ascii_uppercase());
            value.len() >= 20 && cases && entropy(value) >= 3.5 && !value.contains(['/', ':', '.'])
        }
        _ => value.len() >= 10 && entropy(value) >= 2.5,
    };
    let dated = value.split('-').take(3).all(|part| part.bytes().take(2).all(|b| b.is_ascii_digit()));
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let timestamp = letters < 2 || (letters < 6 && dated && value.contains('-')) || value.contains("://");
    random && !timestamp && !uuid(value) && !stand_in(value) && !wordlike(value)
}

/// Whether the whole value of a field of structured data is secret by the field's name, and by which rule.
pub(super) fn field(name: &str, value: &str) -> Option<&'static str> {
    match promise(name)? {
        Promise::Password => password_fits(value.trim(), true).then_some("password"),
        promise => secret_fits(value.trim(), promise).then_some("generic_secret"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = |words: &[&str]| {
            let lower = text.to_ascii_lowercase();
            words.iter().filter_map(|w| Some(lower.find(w)?..lower.find(w)? + w.len())).collect::<Vec<_>>()
        };
        let passwords = at(PASSWORD_WORDS).into_iter().filter_map(|anchor| password(text, anchor));
        let secrets = at(SECRET_WORDS).into_iter().filter_map(|anchor| secret(text, anchor));
        passwords.chain(secrets).next().and_then(|found| text.get(found.value))
    }

    #[test]
    fn a_value_is_found_behind_every_kind_of_operator_and_quote() {
        for (text, value) in [
            ("password=hunter2", "hunter2"),
            ("DB_PASSWORD=letmein", "letmein"),
            ("db_password: 'letmein'", "letmein"),
            (r#"{"password": "a\"b7cd"}"#, r#"a\"b7cd"#),
            (r#"{\"password\": \"hunter2\"}"#, "hunter2"),
            ("Server=db;Uid=sa;Pwd=Geheim;", "Geheim"),
            ("--password hunter2", "hunter2"),
            ("the default password is 'letmein'", "letmein"),
            ("My password is hunter2.", "hunter2"),
            ("the password for the staging box is Tr0ub4dor", "Tr0ub4dor"),
            ("<password>hunter2</password>", "hunter2"),
            ("?access_token=f3Ab91kqQ0zz81&x=1", "f3Ab91kqQ0zz81"),
            ("apiKey => \"f3Ab91kqQ0zz81\"", "f3Ab91kqQ0zz81"),
            ("API key: f3Ab91kqQ0zz81", "f3Ab91kqQ0zz81"),
            ("**Password:** hunter2", "hunter2"),
        ] {
            assert_eq!(found(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_assignment_is_left() {
        for text in [
            "password: string",
            "the password is incorrect",
            "my password is not working",
            "password = get_password(1)",
            "password = os.environ['PW1']",
            "password=$DB_PASS1",
            "password: ${{ secrets.PW1 }}",
            "\"password\" => 'required|min:8'",
            "api_key = config.api_key2",
            "public_key = f3Ab91kqQ0zz81",
            "key_id: f3Ab91kqQ0zz81",
            "csrf_token=f3Ab91kqQ0zz81",
            "token_url: f3Ab91kqQ0zz81",
            "max_tokens = 4096",
            "author: a1b2c3d4e5f6g7",
            "keyboard: a1b2c3d4e5f6g7",
            "api_key: 550e8400-e29b-41d4-a716-446655440000",
            "secret: my-app-secret-v2",
            "token: 2024-01-15T10:00:00Z",
            "key: user-profile-12345",
            "cache key: f3Ab91kqQ0zz81",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
