//! What the name of a field or variable promises of its value.

use std::borrow::Cow;

use super::scope::placeholders;

const PASSWORDS: &[&str] = &[
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
const SECRETS: &[&str] = &[
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
pub(super) const KEYS: &[&str] = &[
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
pub(super) const HARMLESS: &[&str] = &[
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
const TAILS: &[&str] = &[
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

/// The name with a word that says nothing for each placeholder, whose label may read like the name of a password.
fn without_placeholders(name: &str) -> Cow<'_, str> {
    let mut said = Cow::Borrowed(name);
    for range in placeholders(name).collect::<Vec<_>>().into_iter().rev() {
        said.to_mut().replace_range(range, " something ");
    }
    said
}

/// What the name of a field promises; `None` for names of ordinary things.
pub(super) fn promise(name: &str) -> Option<Promise> {
    let mut words = words(&without_placeholders(name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_its_words() {
        for name in ["password", "DB_PASSWORD", "userPassword2", "smtp-pass", "adminPwdTest"] {
            assert_eq!(promise(name), Some(Promise::Password), "{name}");
        }
        for name in ["apiKey", "API_KEY_PROD", "x-api-key", "clientSecret", "access token", "auth_token_2"] {
            assert_eq!(promise(name), Some(Promise::Secret), "{name}");
        }
        for name in
            ["author", "monkey", "tokenizer", "max_tokens", "key_id", "public_key", "passport", "csrf_token"]
        {
            assert_eq!(promise(name), None, "{name}");
        }
        assert_eq!(promise("curl -u bob:<PASSWORD_1>"), None);
        assert_eq!(promise("<EMAIL_1> password"), Some(Promise::Password));
    }
}
