//! Inputs that nobody would write, by the thousand: each target takes bytes from outside, and must neither panic nor
//! think about them for a second.
//!
//! `cargo test` tries some thousands. By hand, as many as there is time for:
//!
//! ```text
//! FUZZ_INPUTS=2000000 FUZZ_SEED=7 cargo test --release --test fuzz -- --nocapture
//! ```
//!
//! The same seed gives the same inputs. An input that fails is written to a file; copied to `tests/fuzz/corpus/` it is
//! tried in every run from then on. `FUZZ_TRACE=1` writes each input before it is tried, for those that take the
//! whole process with them.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not hold fails the test")]

mod driver;
mod memory;
mod mutate;
mod mutate_json;
mod seeds;
mod targets;

use driver::fuzz;
use targets::{config, control, decode, import, recall, records, redact};

#[test]
fn no_chat_file_of_any_format_makes_the_decoder_panic_or_hang() {
    fuzz::<decode::Decoding>();
}

#[test]
fn no_text_hides_a_secret_and_no_json_is_broken_by_redaction() {
    fuzz::<redact::Redaction>();
}

#[test]
fn no_pipeline_file_makes_its_reader_panic_or_hang() {
    fuzz::<config::Configuration>();
}

#[test]
fn no_record_of_the_state_store_is_more_than_an_error() {
    fuzz::<records::Records>();
}

#[test]
fn no_question_is_an_error_and_no_answer_leaves_its_bounds() {
    fuzz::<recall::Questions>();
}

#[test]
fn no_export_makes_the_import_panic_or_hang() {
    fuzz::<import::Exports>();
}

#[test]
fn no_request_to_the_control_socket_is_more_than_refused() {
    fuzz::<control::Requests>();
}
