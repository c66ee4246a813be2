use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use crate::cli::{Exit, open, say};
use crate::config::Target;
use crate::daemon::{Services, home_of};
use crate::platform;
use crate::publish::{Desk, Outcome, PublishError};
use crate::training::versions::Versions;

/// Options of `atles models publish`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The version, as in v0001. Without it: the current one.
    version: Option<String>,
    /// Where to; may be given several times. Without it: where `[training.publish] to` says.
    #[arg(long, value_name = "TARGET", value_parser = target)]
    to: Vec<Target>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

fn target(text: &str) -> Result<Target, String> {
    let names = || Target::ALL.map(Target::as_str).join(", ");
    Target::ALL
        .into_iter()
        .find(|one| one.as_str() == text)
        .ok_or_else(|| format!("possible are {}", names()))
}

pub(in crate::cli) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let loaded = match open::config(config, &Services::default()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let settings = &loaded.config.settings.training.publish;
    let home = home_of(&loaded.config);
    let versions = Versions::of(&home);
    let found = match &args.version {
        Some(name) => versions.get(name).ok_or_else(|| format!("there is no version {name}")),
        None => versions.current().ok_or_else(|| "no version is current yet".to_owned()),
    };
    let version = match found {
        Ok(version) => version,
        Err(message) => {
            say::error(message, Some("`atles models list` names the versions"));
            return Exit::Failure;
        }
    };
    if version.tainted {
        let message = format!("{} was trained on a session that was forgotten since", version.name);
        say::error(message, Some("`atles train --now` makes a version without it"));
        return Exit::Failure;
    }
    let targets = if args.to.is_empty() { &settings.to } else { &args.to };
    if targets.is_empty() {
        say::error(
            "nothing says where to publish to",
            Some(
                "add `--to ollama`, `--to llama-server` or `--to folder`, or set `to` in [training.publish]",
            ),
        );
        return Exit::Usage;
    }
    platform::make_everything_private();
    let stop = Arc::new(AtomicBool::new(false));
    let _signals = super::super::train::stop_on_signal(&stop);
    let desk = Desk::new(settings, &home);
    let publish = |target: &Target| {
        eprintln!("publishing {} to {target} …", version.name);
        desk.publish_to(&(&version).into(), *target, &stop)
    };
    let outcomes: Vec<Outcome> = targets.iter().map(publish).collect();
    let failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    let said =
        if args.json { say::json(&document(&version.name, &outcomes)) } else { say::page(&page(&outcomes)) };
    for Outcome { target, result } in &outcomes {
        if let Err(error) = result {
            let hint = error.hint().map(str::to_owned).or_else(|| match error {
                PublishError::Later { .. } if settings.to.contains(target) => {
                    Some("a running daemon tries again by itself".into())
                }
                _ => None,
            });
            say::error(format_args!("not published to {target}: {error}"), hint.as_deref());
        }
    }
    if failed { Exit::Failure } else { said }
}

fn page(outcomes: &[Outcome]) -> String {
    let mut page = String::new();
    for published in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()) {
        let _ = writeln!(page, "{:<13} {} ({})", published.target.as_str(), published.name, published.form);
        for note in &published.notes {
            let _ = writeln!(page, "              {note}");
        }
    }
    page
}

fn document(version: &str, outcomes: &[Outcome]) -> Value {
    let one = |outcome: &Outcome| match &outcome.result {
        Ok(published) => json!({ "target": outcome.target, "published": published }),
        Err(error) => json!({
            "target": outcome.target, "error": error.to_string(), "hint": error.hint(),
            "later": matches!(error, PublishError::Later { .. }),
        }),
    };
    json!({ "version": version, "targets": outcomes.iter().map(one).collect::<Vec<_>>() })
}
