//! Looking for rare bytes, without a branch for each.

/// Bytes that are judged at once.
const BLOCK: usize = 32;

/// Where the first of the wanted bytes stands, from `at` on.
#[inline]
pub(crate) fn find(bytes: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, _) = bytes.get(at..)?.as_chunks::<BLOCK>();
    // The compiler makes a few wide operations of the fold.
    let holds = |block: &[u8; BLOCK]| block.iter().fold(false, |any, byte| any | wanted(*byte));
    let from = at + blocks.iter().position(holds).unwrap_or(blocks.len()) * BLOCK;
    Some(from + bytes[from..].iter().position(|byte| wanted(*byte))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_stands_first(text in "[a-c]{0,90}", at in 0_usize..95) {
            let expected = text.bytes().enumerate().position(|(place, byte)| place >= at && byte == b'c');
            prop_assert_eq!(find(text.as_bytes(), at, |byte| byte == b'c'), expected);
        }
    }
}
