//! Model versions that were trained on what is forgotten.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ForgetError;
use super::receipt::{Receipt, replace};
use super::records::{files_below, name_of, read};
use super::survey::Targets;
use crate::spool::Home;

/// `models/retrain.json`: a wish that the trainer fulfils and then deletes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Retrain {
    /// When it was first wished for, RFC 3339.
    asked_at: String,
    /// Why.
    reason: String,
    /// The receipts that ask for it.
    receipts: BTreeSet<String>,
    /// The versions that it is about.
    versions: BTreeSet<String>,
}

/// Marks each version whose `lineage.json` names a forgotten session, and asks for a new training run. The lineage
/// keeps the session's key, which is a hash, and loses its id.
pub(super) fn taint(home: &Home, targets: &Targets, receipt: &mut Receipt) -> Result<(), ForgetError> {
    let mut tainted = BTreeSet::new();
    for path in files_below(&home.models())? {
        if name_of(&path) != "lineage.json" {
            continue;
        }
        let failed = |source| ForgetError::file(&path, source);
        let Ok(mut lineage) = serde_json::from_slice::<Value>(&read(&path)?) else { continue };
        let mut sessions = 0;
        let mut changed = false;
        for session in lineage.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
            let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or_default();
            let (key, id) = (text("key"), text("session_id"));
            let named = |target: &&super::survey::Target| {
                target.keys.contains(key) || (key.is_empty() && target.ids.contains(id))
            };
            let by_identity = targets.get(text("identity"));
            let Some(target) = by_identity.or_else(|| targets.values().find(named)) else { continue };
            sessions += 1;
            if target.whole && !id.is_empty() {
                session["session_id"] = json!("");
                changed = true;
            }
        }
        if sessions == 0 {
            continue;
        }
        if changed {
            replace(&path, &serde_json::to_vec_pretty(&lineage).unwrap_or_default()).map_err(failed)?;
        }
        let beside = path.with_file_name("tainted.json");
        if !mentions(&beside, &receipt.id) {
            let mark = json!({
                "at": receipt.asked_at, "why": "it was trained on sessions that were forgotten since",
                "receipt": receipt.id, "sessions": sessions,
            });
            replace(&beside, &serde_json::to_vec_pretty(&mark).unwrap_or_default()).map_err(failed)?;
        }
        tainted.extend(path.parent().map(name_of));
    }
    if !tainted.is_empty() {
        ask_for_training(home, receipt, &tainted)?;
        receipt.tainted = tainted.into_iter().collect();
    }
    Ok(())
}

fn mentions(mark: &std::path::Path, receipt: &str) -> bool {
    std::fs::read(mark).is_ok_and(|text| memchr::memmem::find(&text, receipt.as_bytes()).is_some())
}

fn ask_for_training(home: &Home, receipt: &Receipt, tainted: &BTreeSet<String>) -> Result<(), ForgetError> {
    let path = home.models().join("retrain.json");
    let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Retrain>(&text).ok());
    let mut wish = known.unwrap_or_default();
    if wish.asked_at.is_empty() {
        wish.asked_at.clone_from(&receipt.asked_at);
    }
    "sessions were forgotten".clone_into(&mut wish.reason);
    wish.receipts.insert(receipt.id.clone());
    wish.versions.extend(tainted.iter().cloned());
    let content = serde_json::to_vec_pretty(&wish).unwrap_or_default();
    replace(&path, &content).map_err(|source| ForgetError::file(&path, source))
}
