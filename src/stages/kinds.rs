//! The table of the kinds of stage. A new kind is one file beside this one and one line in [`KINDS`].

use schemars::Schema;
use serde::Serialize;

use crate::config::peel::{Finding, Table, find, peel};
use crate::pipeline::{Problem, Services, Stage, StageConfig};
use crate::stages::decode::{Decode, DecodeSettings};

/// Every kind of stage but `decode`, in the order in which the reference shows them.
pub static KINDS: &[Kind] = &[
    kind::<super::filter::FilterSettings>(),
    kind::<super::redact::RedactSettings>(),
    kind::<super::topics::TopicsSettings>(),
    kind::<super::preferences::PreferencesSettings>(),
    kind::<super::patterns::PatternsSettings>(),
    kind::<super::facts::FactsSettings>(),
    kind::<super::llm_extract::LlmExtractSettings>(),
    kind::<super::memory::MemorySettings>(),
    kind::<super::training_data::TrainingDataSettings>(),
    kind::<super::fine_tune::FineTuneSettings>(),
    kind::<super::session_log::SessionLogSettings>(),
    kind::<super::exec::ExecSettings>(),
    kind::<super::http::HttpSettings>(),
];

/// A kind of stage: what configuration and reference need to know of it.
pub struct Kind {
    /// The `kind` in pipeline.toml.
    pub name: &'static str,
    /// Its settings, with their doc comments.
    pub schema: fn() -> Schema,
    /// Its settings where nothing is written, as JSON with the keys in the order of the code.
    pub defaults: fn() -> String,
    pub(crate) read: ReadStage,
}

/// Reads the table of a stage, whose other keys are those named, and builds it.
pub(crate) type ReadStage = fn(Table<'_>, &[String], &Services) -> Read<Box<dyn Stage>>;

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kind").field(&self.name).finish()
    }
}

/// What became of a stage's table.
pub(crate) struct Read<T> {
    /// What was made of it, and the hash of its settings; `None` where they are too wrong.
    pub(crate) made: Option<(T, [u8; 32])>,
    /// What is wrong with it.
    pub(crate) findings: Vec<Finding>,
}

/// The line of [`KINDS`] for the stage that `C` configures.
pub const fn kind<C: StageConfig>() -> Kind {
    Kind { name: C::KIND, schema: schema::<C>, defaults: defaults::<C>, read: read::<C> }
}

fn schema<C: schemars::JsonSchema>() -> Schema {
    schemars::schema_for!(C)
}

pub(crate) fn defaults<C: Default + Serialize>() -> String {
    serde_json::to_string(&C::default()).unwrap_or_default()
}

fn read<C: StageConfig>(table: Table<'_>, others: &[String], services: &Services) -> Read<Box<dyn Stage>> {
    let header = table.span();
    let peeled = peel::<C>(table, others);
    let mut findings = peeled.findings;
    let Some(settings) = peeled.value else { return Read { made: None, findings } };
    let hash = match fingerprint(C::KIND, &settings) {
        Ok(hash) => hash,
        Err(error) => {
            findings.push(Finding { span: header, message: error.to_string(), hint: None });
            return Read { made: None, findings };
        }
    };
    let problems = match settings.build(services) {
        Ok(stage) => return Read { made: Some((stage, hash)), findings },
        Err(problems) => problems,
    };
    for problem in problems {
        let place = find(peeled.left.get_ref(), &problem.key);
        // What is found with a default that stands in for a wrong value is nobody's mistake.
        if !peeled.touched.is_empty() && !place.as_ref().is_some_and(|place| place.exact) {
            continue;
        }
        let span = place.map_or(header.clone(), |place| place.span);
        findings.push(Finding { span, message: problem.message, hint: problem.hint });
    }
    Read { made: None, findings }
}

/// BLAKE3 over the kind and its settings in canonical JSON (keys sorted, defaults written out), by which a change of
/// settings is noticed.
fn fingerprint(kind: &str, settings: &impl Serialize) -> serde_json::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    // Through `Value`, whose objects are sorted maps.
    hasher.update(&serde_json::to_vec(&serde_json::to_value(settings)?)?);
    Ok(*hasher.finalize().as_bytes())
}

/// The kind of the first stage, which turns a file into sessions and so is no [`Stage`].
pub const DECODE: &str = "decode";

/// Reads the settings of `decode` and makes the decoder.
pub(crate) fn read_decode(table: Table<'_>, others: &[String]) -> Read<Decode> {
    let header = table.span();
    let peeled = peel::<DecodeSettings>(table, others);
    let mut findings = peeled.findings;
    let Some(settings) = peeled.value else { return Read { made: None, findings } };
    let hash = fingerprint(DECODE, &settings).unwrap_or_default();
    match settings.build() {
        Ok(decode) => Read { made: Some((decode, hash)), findings },
        Err(problems) => {
            for Problem { key, message, hint } in problems {
                let span = find(peeled.left.get_ref(), &key).map_or(header.clone(), |place| place.span);
                findings.push(Finding { span, message, hint });
            }
            Read { made: None, findings }
        }
    }
}

/// The decoder where no settings are written.
pub(crate) fn default_decode() -> (Decode, [u8; 32]) {
    let settings = DecodeSettings::default();
    let hash = fingerprint(DECODE, &settings).unwrap_or_default();
    (Decode::default(), hash)
}

/// `decode` for the reference.
pub(crate) fn decode_reference() -> (Schema, String) {
    (schema::<DecodeSettings>(), defaults::<DecodeSettings>())
}
