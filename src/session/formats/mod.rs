//! The chat formats, one file each.
