use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::load::{Reader, StageEntry, default_pipeline};
use super::peel::{Table, find, peel, suggestion};
use super::validate::retry_faults;
use super::{Diagnostics, Retry, StageKeys};
use crate::pipeline::{Services, When};
use crate::stages::decode::Decode;
use crate::stages::kinds::{DECODE, Kind, default_decode, read_decode};

/// What the `[[stage]]` tables say.
pub(super) struct Chain {
    /// `None` where the settings of decode are too wrong.
    pub(super) decode: Option<(Decode, [u8; 32])>,
    pub(super) stages: Vec<StageEntry>,
}

/// What has been seen of the chain so far.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, usize>,
    /// Kinds that are switched on, in order, and where their tables begin.
    kinds: Vec<(String, Range<usize>)>,
    position: usize,
}

/// The keys of [`StageKeys`].
pub(super) fn common_keys() -> Vec<String> {
    let schema = schemars::schema_for!(StageKeys);
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

impl Reader<'_> {
    /// The chain of the default pipeline.toml, for a file that has no stages of its own.
    pub(super) fn default_chain(&mut self, retry: &Retry, services: &Services) -> Chain {
        let mut inner = Reader {
            source: self.source,
            text: default_pipeline(),
            found: Diagnostics::new("the default pipeline.toml", default_pipeline()),
        };
        let stages = DeTable::parse(inner.text).ok().and_then(|mut root| root.get_mut().remove("stage"));
        let chain = match stages {
            Some(stages) => inner.chain(stages, retry, services),
            None => Chain { decode: Some(default_decode()), stages: Vec::new() },
        };
        for problem in inner.found.located() {
            // Only a broken build of this program gets here.
            let place = problem.line.map(|line| format!(", line {line}")).unwrap_or_default();
            self.found.error(None, format!("{}{place}: {}", problem.file, problem.message), None);
        }
        chain
    }

    pub(super) fn chain(
        &mut self,
        stages: Spanned<DeValue<'_>>,
        retry: &Retry,
        services: &Services,
    ) -> Chain {
        let mut chain = Chain { decode: Some(default_decode()), stages: Vec::new() };
        let span = stages.span();
        let DeValue::Array(items) = stages.into_inner() else {
            let hint = "each stage begins with `[[stage]]`, with two brackets".to_owned();
            self.found.error(span, "`stage` is not a list of tables", hint);
            return chain;
        };
        let mut seen = Seen::default();
        let common = common_keys();
        for item in items {
            let span = item.span();
            match item.into_inner() {
                DeValue::Table(table) => {
                    self.stage(Spanned::new(span, table), &common, retry, services, &mut seen, &mut chain);
                }
                other => {
                    let hint = "each stage begins with `[[stage]]`, with two brackets".to_owned();
                    self.found.error(
                        span,
                        format!("a stage is a table, not a value of type {}", other.type_str()),
                        hint,
                    );
                }
            }
            seen.position += 1;
        }
        self.order(&seen);
        chain
    }

    fn stage(
        &mut self,
        mut table: Table<'_>,
        common: &[String],
        retry: &Retry,
        services: &Services,
        seen: &mut Seen,
        chain: &mut Chain,
    ) {
        let header = table.span();
        let mut own = Spanned::new(header.clone(), DeTable::new());
        let names: Vec<_> =
            table.get_ref().keys().filter(|key| common.iter().any(|c| c == key.get_ref())).cloned().collect();
        for name in names {
            if let Some(value) = table.get_mut().remove(&name) {
                own.get_mut().insert(name, value);
            }
        }
        // A kind of the wrong type is taken out with its mistake; that it is then missing is not another one.
        let has_kind = own.get_ref().contains_key("kind");
        let peeled = peel::<StageKeys>(own, &[]);
        self.note(peeled.findings);
        let (Some(keys), left) = (peeled.value, peeled.left) else { return };
        let place = |key: &str| find(left.get_ref(), key).map_or(header.clone(), |place| place.span);

        let known: Vec<String> = std::iter::once(DECODE)
            .chain(self.source.kinds.iter().map(|kind| kind.name))
            .map(str::to_owned)
            .collect();
        if keys.kind.is_empty() {
            if !has_kind || left.get_ref().contains_key("kind") {
                let hint = suggestion("", &known, "one of");
                self.found.error(header.clone(), "a stage needs a `kind`", hint);
            }
            return;
        }
        let name = keys.name.clone().unwrap_or_else(|| keys.kind.clone());
        let name_place = if keys.name.is_some() { place("name") } else { place("kind") };
        let when = self.condition(&keys, &left);
        self.timing(&keys, retry, &place);
        if keys.enabled {
            seen.kinds.push((keys.kind.clone(), header.clone()));
        }
        if keys.kind == DECODE {
            self.decode(table, &left, &name_place, common, seen, chain);
            return;
        }
        let Some(kind) = self.source.kinds.iter().find(|kind| kind.name == keys.kind) else {
            let hint = suggestion(&keys.kind, &known, "kinds");
            self.found.error(place("kind"), format!("there is no stage of kind `{}`", keys.kind), hint);
            return;
        };
        self.name(&name, &name_place, keys.name.is_some(), seen);
        let read = (kind.read)(table, common, services);
        self.note(read.findings);
        let (Some((stage, settings)), true) = (read.made, keys.enabled) else { return };
        chain.stages.push(StageEntry {
            settings_hash: with_condition(settings, keys.when.as_deref()),
            name,
            kind: kind.name,
            timeout: keys.timeout.map(|span| span.0),
            on_error: keys.on_error,
            when,
            retry: keys.retry.over(retry),
            stage,
        });
    }

    fn decode(
        &mut self,
        table: Table<'_>,
        left: &Table<'_>,
        place: &Range<usize>,
        common: &[String],
        seen: &Seen,
        chain: &mut Chain,
    ) {
        if seen.position > 0 {
            let message = if seen.names.contains_key(DECODE)
                || seen.kinds.iter().filter(|(kind, _)| kind == DECODE).count() > 1
            {
                "a second `decode`"
            } else {
                "`decode` is not the first stage"
            };
            let hint =
                "it turns a file into sessions, which the other stages work on: one, and before all others";
            self.found.error(place.clone(), message, hint.to_owned());
        }
        for (key, _) in left.get_ref().iter().filter(|(key, _)| key.get_ref() != "kind") {
            let message = format!("`{}` has no meaning for `decode`", key.get_ref());
            let hint = "it is always run, once for each file; of the common keys it takes `kind` only";
            self.found.error(key.span(), message, hint.to_owned());
        }
        let read = read_decode(table, common);
        self.note(read.findings);
        chain.decode = read.made;
    }

    fn name(&mut self, name: &str, place: &Range<usize>, written: bool, seen: &mut Seen) {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !fits {
            let hint = "1 to 64 of a-z, 0-9, _ and -".to_owned();
            self.found.error(place.clone(), format!("`{name}` is not possible as a name"), hint);
        }
        if let Some(line) = seen.names.get(name) {
            let message = format!("a second stage named `{name}`; the first is on line {line}");
            let hint = match written {
                true => "checkpoints and logs are kept by name: choose another",
                false => "two stages of a kind need names: add `name = \"…\"`",
            };
            self.found.error(place.clone(), message, hint.to_owned());
            return;
        }
        let line = self.text.get(..place.start).unwrap_or_default().matches('\n').count() + 1;
        seen.names.insert(name.to_owned(), line);
    }

    fn timing(&mut self, keys: &StageKeys, retry: &Retry, place: &dyn Fn(&str) -> Range<usize>) {
        if keys.timeout.is_some_and(|span| span.0 == Duration::ZERO) {
            let hint = "leave the key out for no limit".to_owned();
            self.found.error(place("timeout"), "no stage is done in no time", hint);
        }
        if keys.retry == Default::default() {
            return;
        }
        for fault in retry_faults(&keys.retry.over(retry), "retry") {
            let key = fault.keys.first().map_or("retry", String::as_str);
            self.found.error(place(key), fault.message, fault.hint);
        }
    }

    /// Compiles `when`; its mistakes are shown inside the string where that can be done.
    fn condition(&mut self, keys: &StageKeys, left: &Table<'_>) -> Option<When> {
        let text = keys.when.as_deref()?;
        let problems = match When::compile(text) {
            Ok(when) => return Some(when),
            Err(problems) => problems,
        };
        let whole = find(left.get_ref(), "when").map_or(left.span(), |place| place.span);
        // A string with escapes does not stand in the file as it is meant; then the whole of it is shown.
        let inside =
            self.text.get(whole.clone()).and_then(|written| written.find(text)).map(|at| whole.start + at);
        for problem in problems {
            let span = match (inside, problem.at) {
                (Some(start), Some(at)) => start + at.start..start + at.end,
                _ => whole.clone(),
            };
            self.found.error(span, format!("`when`: {}", problem.message), problem.hint);
        }
        None
    }

    /// Warns of chains that can be run but hardly are what was meant.
    fn order(&mut self, seen: &Seen) {
        let at = |kind: &str| seen.kinds.iter().position(|(known, _)| known == kind);
        let place = |i: usize| seen.kinds.get(i).map(|(_, place)| place.clone());
        let known = |name: &str| self.source.kinds.iter().any(|Kind { name: kind, .. }| *kind == name);
        let mut warnings: Vec<(Option<Range<usize>>, String, &str)> = Vec::new();
        for (kind, what) in [
            ("memory", "secrets of a chat would be stored as they are"),
            ("training_data", "secrets of a chat would be trained on"),
            ("fine_tune", "secrets of a chat would be trained on"),
            ("http", "secrets of a chat would leave this machine"),
        ] {
            let Some(effect) = at(kind) else { continue };
            match at("redact") {
                Some(redact) if redact > effect => warnings.push((
                    place(redact),
                    format!("`redact` stands after `{kind}`: {what}"),
                    "move `redact` before every stage that stores or sends",
                )),
                None if known("redact") && !matches!(kind, "http" | "fine_tune") => {
                    warnings.push((
                        place(effect),
                        format!("`{kind}` without `redact`: {what}"),
                        "add a stage of kind `redact` before it",
                    ));
                }
                _ => {}
            }
        }
        if let Some(fine_tune) = at("fine_tune")
            && at("training_data").is_none_or(|before| before > fine_tune)
        {
            warnings.push((
                place(fine_tune),
                "`fine_tune` without `training_data` before it: nothing would be learned from".to_owned(),
                "move `training_data`, which finds the answers worth learning, before it",
            ));
        }
        for (kind, what) in [
            ("memory", "nothing would be remembered"),
            ("session_log", "no session logs, no master log and no statistics would be written"),
        ] {
            if known(kind) && at(kind).is_none() {
                warnings.push((
                    None,
                    format!("no stage of kind `{kind}`: {what}"),
                    "add it, unless that is what you want",
                ));
            }
        }
        for (place, message, hint) in warnings {
            self.found.warning(place, message, hint.to_owned());
        }
    }
}

fn with_condition(settings: [u8; 32], when: Option<&str>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&settings);
    if let Some(when) = when {
        hasher.update(when.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
