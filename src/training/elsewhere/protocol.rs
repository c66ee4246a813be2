//! What a training program says on standard output: a JSON object a line.
//!
//! `{"step": 10, "steps": 200, "loss": 1.72, "tokens": 40960}` tells how far it is, `{"artefact": "adapter.gguf"}` what
//! it left, `{"error": "out of memory"}` why it will fail. Anything else is for the log.

use serde::Deserialize;

/// A line that was understood. Any of it may be absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// Steps done.
    pub(super) step: Option<u64>,
    /// Steps in all.
    pub(super) steps: Option<u64>,
    /// Mean loss per token of the last step.
    pub(super) loss: Option<f32>,
    /// Tokens learned from since the program started.
    pub(super) tokens: Option<u64>,
    /// The artefact's file, relative to the output folder.
    pub(super) artefact: Option<String>,
    /// What went wrong.
    pub(super) error: Option<String>,
}

impl Line {
    /// Reads a line; `None` if it says nothing of the above.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        // A list would be read as the fields in their order.
        let line: Line = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
        (line != Line::default()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_us_is_taken() {
        let line = Line::read(r#"{"step": 3, "steps": 9, "loss": 1.5, "epoch": 0.3}"#).unwrap();
        assert_eq!((line.step, line.steps, line.loss), (Some(3), Some(9), Some(1.5)));
        for other in ["", "Loading…", "{}", "[1]", r#"{"step": "three"}"#, r#"{"epoch": 1}"#, "{\"step\": 1"]
        {
            assert_eq!(Line::read(other), None, "{other}");
        }
    }
}
