//! Where providers differ.

use serde_json::{Map, Value, json};

use crate::config::{OpenaiTrainer, Provider, Training};

/// A provider's habits.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Its address; empty where each customer has one.
    pub(super) url: &'static str,
    /// Where the API key usually is.
    pub(super) key_env: &'static str,
    /// The header that carries it, and what stands before it.
    pub(super) key_header: (&'static str, &'static str),
    /// Where files are sent.
    pub(super) files: &'static str,
    /// Whether a file's name and type are fields of their own.
    pub(super) names_files: bool,
    /// Where jobs are made, and asked about under their ids.
    pub(super) jobs: &'static str,
    /// Where the new model's name stands in a job.
    pub(super) model: &'static [&'static str],
    /// Whether `/events` of a job tells the loss of steps.
    pub(super) has_events: bool,
    /// The states that are ends, in lower case; all others, unknown ones included, mean that it goes on.
    done: &'static [&'static str],
    failed: &'static [&'static str],
    /// The body that makes a job.
    create: fn(&Order<'_>) -> Value,
}

/// What a job is made from.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) trainer: &'a OpenaiTrainer,
    pub(super) training: &'a Training,
    pub(super) train: &'a str,
    pub(super) held_out: Option<&'a str>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    GoesOn,
    Done,
    Failed,
}

const OPENAI: Dialect = Dialect {
    url: "https://api.openai.com/v1",
    key_env: "OPENAI_API_KEY",
    key_header: ("authorization", "Bearer "),
    files: "/files",
    names_files: false,
    jobs: "/fine_tuning/jobs",
    model: &["fine_tuned_model"],
    has_events: true,
    done: &["succeeded"],
    failed: &["failed", "cancelled", "canceled"],
    create: openai,
};

const AZURE: Dialect =
    Dialect { url: "", key_env: "AZURE_OPENAI_API_KEY", key_header: ("api-key", ""), ..OPENAI };

const TOGETHER: Dialect = Dialect {
    url: "https://api.together.xyz/v1",
    key_env: "TOGETHER_API_KEY",
    files: "/files/upload",
    names_files: true,
    jobs: "/fine-tunes",
    model: &["model_output_name", "output_name"],
    has_events: false,
    done: &["completed"],
    failed: &["error", "user_error", "cancelled"],
    create: together,
    ..OPENAI
};

const MISTRAL: Dialect = Dialect {
    url: "https://api.mistral.ai/v1",
    key_env: "MISTRAL_API_KEY",
    has_events: false,
    done: &["success"],
    failed: &["failed", "failed_validation", "cancelled"],
    create: mistral,
    ..OPENAI
};

impl Dialect {
    pub(super) fn of(provider: Provider) -> &'static Dialect {
        match provider {
            Provider::Openai => &OPENAI,
            Provider::Azure => &AZURE,
            Provider::Together => &TOGETHER,
            Provider::Mistral => &MISTRAL,
        }
    }

    pub(super) fn create(&self, order: &Order<'_>) -> Value {
        (self.create)(order)
    }

    /// How far a job is, by its state.
    pub(super) fn phase(&self, state: &str) -> Phase {
        let state = state.to_lowercase();
        if self.done.contains(&state.as_str()) {
            Phase::Done
        } else if self.failed.contains(&state.as_str()) {
            Phase::Failed
        } else {
            Phase::GoesOn
        }
    }
}

fn openai(order: &Order<'_>) -> Value {
    let hyperparameters = json!({ "n_epochs": order.training.epochs });
    let mut body = common(order);
    body.insert("training_file".into(), order.train.into());
    if let Some(file) = order.held_out {
        body.insert("validation_file".into(), file.into());
    }
    body.insert("seed".into(), order.training.seed.min(i32::MAX as u64).into());
    body.insert(
        "method".into(),
        json!({ "type": "supervised", "supervised": { "hyperparameters": hyperparameters } }),
    );
    Value::Object(body)
}

fn together(order: &Order<'_>) -> Value {
    let training = order.training;
    let mut body = common(order);
    body.insert("training_file".into(), order.train.into());
    if let Some(file) = order.held_out {
        body.insert("validation_file".into(), file.into());
        body.insert("n_evals".into(), training.epochs.into());
    }
    body.insert("n_epochs".into(), training.epochs.into());
    body.insert("learning_rate".into(), plain(training.learning_rate));
    let lora = json!({ "type": "Lora", "lora_r": training.rank, "lora_alpha": plain(training.alpha) });
    body.insert("training_type".into(), lora);
    Value::Object(body)
}

fn mistral(order: &Order<'_>) -> Value {
    let training = order.training;
    let mut body = common(order);
    body.insert("training_files".into(), json!([{ "file_id": order.train, "weight": 1 }]));
    if let Some(file) = order.held_out {
        body.insert("validation_files".into(), json!([file]));
    }
    let hyperparameters =
        json!({ "epochs": training.epochs, "learning_rate": plain(training.learning_rate) });
    body.insert("hyperparameters".into(), hyperparameters);
    body.insert("auto_start".into(), true.into());
    Value::Object(body)
}

fn common(order: &Order<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), order.trainer.model.trim().into());
    if !order.trainer.suffix.is_empty() {
        body.insert("suffix".into(), order.trainer.suffix.as_str().into());
    }
    body
}

/// `2e-4`, not the nearest double of the nearest float.
fn plain(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
