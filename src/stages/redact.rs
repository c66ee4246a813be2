//! `redact`: replaces secrets and personal data in a session before anything of it is stored.

mod assign;
mod checks;
mod document;
mod joint;
mod names;
mod numbers;
mod personal;
mod phone;
#[cfg(test)]
mod properties;
mod rules;
mod scan;
mod scope;
mod shape;
mod structural;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use rules::Group;
pub use scan::Redactor;
pub use scope::Scope;

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Effect, Envelope, Session};
use scan::{Echoes, OwnRule};

/// Settings of `kind = "redact"`.
///
/// Every value found is replaced by a typed, numbered placeholder such as `<EMAIL_1>`; the same value gets the same
/// placeholder in the whole session. Only the value is replaced, never the quotes or the name beside it, so code and
/// JSON still parse. Session id, user id, app and model stay: they say whose session it is. Not found are names (but
/// for those listed), addresses, organisations, and secrets in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedactSettings {
    /// What is replaced: `secrets`, `personal` or both (the default).
    pub groups: Vec<Group>,
    /// Rules that are off, by name, as in `["phone", "ip"]`. Default: none.
    ///
    /// Personal: `card`, `email`, `iban`, `ip`, `phone`, `ssn`.
    ///
    /// Secrets: `age_key`, `airtable_token`, `anthropic_key`, `atlassian_token`, `authorization`, `aws_key`,
    /// `aws_secret`, `azure_secret`, `azure_signature`, `azure_storage_key`, `bedrock_key`, `brevo_key`,
    /// `cloudflare_key`, `crates_token`, `curl_user`, `databricks_token`, `deepseek_key`, `digitalocean_token`,
    /// `discord_token`, `discord_webhook`, `docker_token`, `doppler_token`, `dynatrace_token`, `elevenlabs_key`,
    /// `facebook_token`, `figma_token`, `firecrawl_key`, `fireworks_key`, `fly_token`, `generic_secret`,
    /// `github_token`, `gitlab_token`, `google_key`, `grafana_token`, `groq_key`, `heroku_key`, `huggingface_token`,
    /// `jina_key`, `jwt`, `linear_key`, `mailchimp_key`, `mailgun_key`, `netrc`, `newrelic_key`, `notion_token`,
    /// `npm_token`, `onepassword_token`, `openai_key`, `openrouter_key`, `password`, `perplexity_key`,
    /// `planetscale_token`, `postman_key`, `private_key`, `pulumi_token`, `pypi_token`, `replicate_token`,
    /// `rubygems_key`, `salesforce_token`, `sendgrid_key`, `sentry_token`, `shopify_token`, `slack_token`,
    /// `slack_webhook`, `square_token`, `stripe_key`, `supabase_key`, `tailscale_key`, `tavily_key`,
    /// `telegram_token`, `terraform_token`, `together_key`, `twilio_key`, `url_password`, `vault_token`,
    /// `vendor_key`, `vercel_token`, `wireguard_key`, `xai_key`.
    pub disable: Vec<String>,
    /// Names and words to replace by `<NAME_1>` wherever they stand as words, in any case, as in
    /// `["Ada Lovelace", "Project Nile"]`. Default: none.
    pub names: Vec<String>,
    /// Values never to be replaced: regexes that must match the whole value, as in `['support@example\.com']`.
    /// Default: none.
    pub allow: Vec<String>,
    /// What becomes of the session's file in `done/`: `keep` (the default) leaves it as it was dropped, `redact`
    /// puts its redacted form in its place.
    pub originals: Originals,
    /// Rules of your own, each a `[[stage.rule]]`.
    pub rule: Vec<RuleSettings>,
}

/// A rule of the user's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its name in counts and logs, as in `ticket`.
    pub name: String,
    /// What to replace, a regex as the Rust crate `regex` reads it, as in `'TICKET-\d+'`. Of a regex with a group in
    /// brackets only what the first group matches is replaced.
    pub regex: String,
    /// The type in the placeholder, in capitals: `TICKET` makes `<TICKET_1>`. Default: the rule's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
}

/// What becomes of the session's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Originals {
    /// It rests in `done/` as it was dropped.
    #[default]
    Keep,
    /// Its redacted form takes its place.
    Redact,
}

impl Default for RedactSettings {
    fn default() -> Self {
        RedactSettings {
            groups: vec![Group::Secrets, Group::Personal],
            disable: Vec::new(),
            names: Vec::new(),
            allow: Vec::new(),
            originals: Originals::Keep,
            rule: Vec::new(),
        }
    }
}

impl StageConfig for RedactSettings {
    const KIND: &'static str = "redact";

    fn build(self, services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let originals = self.originals;
        Ok(Box::new(Redact { redactor: Arc::new(self.redactor(services.home_key)?), originals }))
    }
}

impl RedactSettings {
    /// The engine these settings describe. `key` keys the hashes by which it remembers values within a session.
    pub fn redactor(&self, key: [u8; 32]) -> Result<Redactor, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut own = self.own_rules(&mut problems);
        own.extend(self.name_rule(&mut problems));
        let allow = self.allow.iter().enumerate().filter_map(|(index, pattern)| {
            compile(&format!("^(?:{pattern})$"), &format!("allow[{index}]"), &mut problems)
        });
        let allow: Vec<Regex> = allow.collect();
        let known = [Group::Secrets, Group::Personal].map(rules::names).concat();
        for (index, name) in self.disable.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let problem = Problem::new(format!("disable[{index}]"), format!("there is no rule `{name}`"));
                problems.push(problem.hint(format!("rules: {}", known.join(", "))));
            }
        }
        let on =
            |name: &str, group| self.groups.contains(&group) && !self.disable.iter().any(|off| off == name);
        if problems.is_empty() { Ok(Redactor::new(on, own, allow, key)) } else { Err(problems) }
    }

    fn own_rules(&self, problems: &mut Vec<Problem>) -> Vec<OwnRule> {
        let mut rules: Vec<OwnRule> = Vec::new();
        for (index, rule) in self.rule.iter().enumerate() {
            let key = |field: &str| format!("rule[{index}].{field}");
            let taken =
                rules::position(&rule.name).is_some() || rules.iter().any(|other| other.name == rule.name);
            if taken || rule.name == "name" || rule.name.trim().is_empty() {
                let problem =
                    Problem::new(key("name"), format!("`{}` cannot name a rule, or already does", rule.name));
                problems.push(problem.hint("choose another name"));
            }
            let label = rule.placeholder.clone().unwrap_or_else(|| {
                rule.name
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                    .collect()
            });
            let capitals = label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if !capitals || !label.starts_with(|c: char| c.is_ascii_uppercase()) || label.len() > 40 {
                let problem = Problem::new(key("placeholder"), format!("`{label}` cannot be a placeholder"));
                problems.push(
                    problem.hint("a capital letter, then at most 39 of A to Z, 0 to 9 and _, as in TICKET"),
                );
            }
            let Some(regex) = compile(&rule.regex, &key("regex"), problems) else { continue };
            if regex.is_match("") {
                let problem = Problem::new(
                    key("regex"),
                    "this regex matches the empty text, so it would match everywhere",
                );
                problems.push(problem.hint("use + in the place of *"));
            }
            rules.push(OwnRule { name: rule.name.clone(), label, regex });
        }
        rules
    }

    /// The rule that finds the listed names as words, the longest first.
    fn name_rule(&self, problems: &mut Vec<Problem>) -> Option<OwnRule> {
        let mut names: Vec<&str> = self.names.iter().map(|name| name.trim()).collect();
        if let Some(index) = names.iter().position(|name| name.is_empty()) {
            problems.push(Problem::new(format!("names[{index}]"), "an empty name"));
            return None;
        }
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let words: Vec<String> = names.iter().map(|name| edged(name)).collect();
        if words.is_empty() {
            return None;
        }
        let regex = compile(&format!("(?i:{})", words.join("|")), "names", problems)?;
        Some(OwnRule { name: "name".into(), label: "NAME".into(), regex })
    }
}

/// A name as a regex that matches it as whole words, with any blanks between them.
fn edged(name: &str) -> String {
    let edge = |c: Option<char>| if c.is_some_and(|c| c.is_alphanumeric() || c == '_') { r"\b" } else { "" };
    let words: Vec<String> = name.split_whitespace().map(regex::escape).collect();
    format!("{}{}{}", edge(name.chars().next()), words.join(r"\s+"), edge(name.chars().next_back()))
}

fn compile(pattern: &str, key: &str, problems: &mut Vec<Problem>) -> Option<Regex> {
    Regex::new(pattern).map_err(|error| problems.push(Problem::new(key, error.to_string()))).ok()
}

/// The stage.
struct Redact {
    redactor: Arc<Redactor>,
    originals: Originals,
}

#[async_trait]
impl Stage for Redact {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        let mut scope = self.redactor.scope();
        self.redactor.session(&mut scope, &mut envelope.session);
        for (rule, count) in scope.counts() {
            *envelope.learned.redactions.entry(rule.clone()).or_default() += count;
        }
        envelope.forget_readings();
        envelope.note = Some(note(scope.counts()));
        if self.originals == Originals::Redact {
            let redactor = Arc::clone(&self.redactor);
            let rewrite = move |bytes: &[u8]| redactor.document(&mut scope.clone(), bytes);
            envelope.effects.push(Effect::RedactedOriginal(Arc::new(rewrite)));
        }
        Ok(Verdict::Continue)
    }

    fn rewrites_originals(&self) -> bool {
        self.originals == Originals::Redact
    }
}

impl Redactor {
    /// Redacts all that was said in a session, the speakers' names, and the metadata.
    pub fn session(&self, scope: &mut Scope, session: &mut Session) {
        for message in &session.messages {
            scope.reserve(&message.text);
        }
        let joints = joint::across(self, scope, &session.messages);
        for (message, mut hits) in session.messages.iter_mut().zip(joints) {
            self.scan(&message.text, &mut hits);
            if let std::borrow::Cow::Owned(text) = self.replace(scope, &message.text, hits) {
                message.text = text;
            }
            for part in [&mut message.id, &mut message.name].into_iter().flatten() {
                *part = self.text(scope, part).into_owned();
            }
            self.fields(scope, &mut message.metadata);
        }
        self.fields(scope, &mut session.metadata);
        if let Some(echoes) = Echoes::of(scope) {
            let again =
                |scope: &mut Scope, text: &mut String| *text = self.echoes(scope, &echoes, text).into_owned();
            session.messages.iter_mut().for_each(|message| again(scope, &mut message.text));
            let maps = session.messages.iter_mut().map(|message| &mut message.metadata);
            for map in maps.chain([&mut session.metadata]) {
                map.values_mut().for_each(|value| each_string(value, &mut |text| again(scope, text)));
            }
        }
    }

    /// Redacts the keys and values of a map.
    fn fields(&self, scope: &mut Scope, map: &mut Map<String, Value>) {
        let keys: Vec<(String, String)> = map
            .keys()
            .filter_map(|key| match self.text(scope, key) {
                std::borrow::Cow::Owned(redacted) => Some((key.clone(), redacted)),
                std::borrow::Cow::Borrowed(_) => None,
            })
            .collect();
        for (key, value) in map.iter_mut() {
            self.value(scope, key, value);
        }
        for (key, mut redacted) in keys {
            while map.contains_key(&redacted) {
                redacted.push('_');
            }
            if let Some(value) = map.remove(&key) {
                map.insert(redacted, value);
            }
        }
    }

    fn value(&self, scope: &mut Scope, name: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let std::borrow::Cow::Owned(redacted) = self.field(scope, name, text) {
                    *text = redacted;
                }
            }
            Value::Number(number) => {
                if let Some(redacted) = self.number(scope, name, &number.to_string()) {
                    *value = Value::String(redacted);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(scope, name, item)),
            Value::Object(map) => self.fields(scope, map),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// Calls a function on every string in a value.
fn each_string(value: &mut Value, call: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => call(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_string(item, call)),
        Value::Object(map) => map.values_mut().for_each(|item| each_string(item, call)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `2 secrets, 1 e-mail`
fn note(counts: &BTreeMap<String, u32>) -> String {
    let mut kinds: Vec<(&str, u32)> = Vec::new();
    for (rule, count) in counts {
        let kind = match rule.as_str() {
            "email" => "e-mail",
            "phone" => "phone number",
            "card" => "card number",
            "iban" => "IBAN",
            "ssn" => "social security number",
            "ip" => "IP address",
            own if rules::position(own).is_none() => own,
            _ => "secret",
        };
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += count,
            None => kinds.push((kind, *count)),
        }
    }
    kinds.sort_by_key(|(kind, _)| *kind != "secret");
    let plural = |kind: &str, count: u32| match (kind, count) {
        (kind, 1) => format!("1 {kind}"),
        ("IP address", count) => format!("{count} IP addresses"),
        (kind, count) => format!("{count} {kind}s"),
    };
    let parts: Vec<String> = kinds.into_iter().map(|(kind, count)| plural(kind, count)).collect();
    if parts.is_empty() { "nothing to redact".into() } else { parts.join(", ") }
}
