use super::{DecodeError, Decoded, Format, decode};
use crate::session::Session;

/// What the text comes to; the same each time.
pub(super) fn many(text: &str) -> Decoded {
    let decoded = decode(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(decode(text.as_bytes(), Format::Auto).as_ref(), Ok(&decoded));
    decoded
}

/// The one session in a text.
pub(super) fn one(text: &str) -> Session {
    let decoded = many(text);
    assert_eq!(decoded.skipped, [] as [&str; 0]);
    let [session] = <[Session; 1]>::try_from(decoded.sessions).expect("one session");
    session
}

/// The texts of the one session in a text.
pub(super) fn said(text: &str) -> Vec<String> {
    one(text).messages.into_iter().map(|message| message.text).collect()
}

/// Why a text cannot be read.
pub(super) fn error(text: &str) -> DecodeError {
    decode(text.as_bytes(), Format::Auto).expect_err("an error")
}
