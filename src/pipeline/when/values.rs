//! The values of a condition's variables. Texts are borrowed from the envelope, not copied.

use std::collections::{BTreeSet, HashMap};

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use serde_json::Value as Json;

use crate::session::{Envelope, FileFacts, Learned, Message, Patterns, Rating, Session};

type Boxed<'v> = Box<dyn Val + 'v>;

/// The fields that an expression uses, as variable and field.
pub(super) type Uses = BTreeSet<(&'static str, &'static str)>;

/// One variable with the fields that are used.
pub(super) fn variable<'v>(name: &'static str, uses: &Uses, envelope: &'v Envelope) -> Boxed<'v> {
    let fields = uses.iter().filter(|(variable, _)| *variable == name).map(|(_, field)| *field);
    record(fields.map(|field| {
        let value = match name {
            "session" => of_session(&envelope.session, field),
            "learned" => of_learned(&envelope.learned, field),
            _ => of_file(&envelope.file, field),
        };
        (field, value)
    }))
}

fn of_session<'v>(session: &'v Session, field: &str) -> Boxed<'v> {
    match field {
        "session_id" => text(&session.session_id),
        "user_id" => maybe(&session.user_id),
        "app" => maybe(&session.app),
        "model" => maybe(&session.model),
        "start_time" => moment(session.start_time.as_ref()),
        "end_time" => moment(session.end_time.as_ref()),
        "metadata" => object(&session.metadata),
        "messages" => list(session.messages.iter().map(|message| Box::new(Spoken(message)) as Boxed<'v>)),
        _ => nothing(),
    }
}

/// A message that is looked into only where an expression does so: a long session costs an expression over
/// `size(session.messages)` next to nothing.
#[derive(Debug, Clone, Copy)]
struct Spoken<'v>(&'v Message);

impl<'v> Spoken<'v> {
    fn field(self, name: &str) -> Option<Boxed<'v>> {
        let feedback = match self.0.feedback {
            Some(Rating::Up) => "up",
            Some(Rating::Down) => "down",
            None => "",
        };
        Some(match name {
            "role" => text(self.0.role.as_str()),
            "name" => maybe(&self.0.name),
            "content" => text(&self.0.text),
            "timestamp" => moment(self.0.timestamp.as_ref()),
            "feedback" => text(feedback),
            _ => return None,
        })
    }
}

impl Val for Spoken<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }
    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }
    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }
    fn clone_as_boxed<'w>(&self) -> Boxed<'w>
    where
        Self: 'w,
    {
        Box::new(*self)
    }
}

impl Indexer for Spoken<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let name = key.downcast_ref::<CelString>().map_or("", |name| name.inner());
        self.field(name).map(CowVal::Owned).ok_or_else(|| ExecutionError::no_such_key(name))
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Boxed<'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

fn of_learned<'v>(learned: &'v Learned, field: &str) -> Boxed<'v> {
    match field {
        "language" => maybe(&learned.language),
        "redactions" => map(learned.redactions.iter().map(|(rule, n)| (rule.as_str(), int(*n)))),
        "topics" => {
            list(learned.topics.iter().map(|t| record([("name", text(&t.name)), ("score", double(t.score))])))
        }
        "key_phrases" => list(
            learned.key_phrases.iter().map(|p| record([("text", text(&p.text)), ("score", double(p.score))])),
        ),
        "preferences" => list(learned.preferences.iter().map(|preference| {
            record([
                ("kind", text(&preference.kind)),
                ("polarity", text(preference.polarity.as_str())),
                ("object", text(&preference.object)),
                ("strength", double(preference.strength)),
                ("quote", text(&preference.quote.text)),
            ])
        })),
        "patterns" => patterns(learned.patterns.as_ref()),
        "facts" => list(learned.facts.iter().map(|fact| {
            record([
                ("attribute", text(&fact.attribute)),
                ("value", text(&fact.value)),
                ("exclusive", Box::new(CelBool::from(fact.exclusive))),
                ("confidence", double(fact.confidence)),
                ("quote", text(&fact.quote.text)),
            ])
        })),
        "extra" => object(&learned.extra),
        _ => nothing(),
    }
}

/// Without patterns every number is 0 and every text empty.
fn patterns(patterns: Option<&Patterns>) -> Boxed<'_> {
    let number = |read: fn(&Patterns) -> f64| double(patterns.map_or(0.0, read));
    record([
        ("messages", int(patterns.map_or(0, |p| p.messages))),
        ("mean_words", number(|p| p.mean_words)),
        ("question_share", number(|p| p.question_share)),
        ("code_share", number(|p| p.code_share)),
        ("politeness", number(|p| p.politeness)),
        ("complexity", text(patterns.and_then(|p| p.complexity.as_deref()).unwrap_or_default())),
        (
            "feedback",
            list(patterns.iter().flat_map(|p| &p.feedback).map(|feedback| {
                record([("kind", text(&feedback.kind)), ("quote", text(&feedback.quote.text))])
            })),
        ),
    ])
}

fn of_file<'v>(file: &'v FileFacts, field: &str) -> Boxed<'v> {
    match field {
        "name" => text(&file.name),
        "size" => int(file.size),
        "format" => text(file.format),
        "index" => int(file.index),
        "sessions" => int(file.sessions),
        _ => nothing(),
    }
}

fn nothing<'v>() -> Boxed<'v> {
    Box::new(CelNull)
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

fn maybe(value: &Option<String>) -> Boxed<'_> {
    text(value.as_deref().unwrap_or_default())
}

fn moment<'v>(moment: Option<&crate::session::Moment>) -> Boxed<'v> {
    Box::new(CelString::from(moment.map(ToString::to_string).unwrap_or_default()))
}

fn int<'v>(number: impl TryInto<i64>) -> Boxed<'v> {
    Box::new(CelInt::from(number.try_into().unwrap_or(i64::MAX)))
}

fn double<'v>(number: f64) -> Boxed<'v> {
    Box::new(CelDouble::from(number))
}

fn list<'v>(items: impl Iterator<Item = Boxed<'v>>) -> Boxed<'v> {
    Box::new(CelList::from(items.collect::<Vec<_>>()))
}

fn record<'v>(fields: impl IntoIterator<Item = (&'v str, Boxed<'v>)>) -> Boxed<'v> {
    map(fields.into_iter())
}

fn map<'v>(entries: impl Iterator<Item = (&'v str, Boxed<'v>)>) -> Boxed<'v> {
    let entries: HashMap<CelMapKey<'v>, Boxed<'v>> =
        entries.map(|(key, value)| (key.into(), value)).collect();
    Box::new(CelMap::from(entries))
}

fn object(object: &serde_json::Map<String, Json>) -> Boxed<'_> {
    map(object.iter().map(|(key, value)| (key.as_str(), json(value))))
}

fn json(value: &Json) -> Boxed<'_> {
    match value {
        Json::Null => nothing(),
        Json::Bool(flag) => Box::new(CelBool::from(*flag)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => int(whole),
            None => double(number.as_f64().unwrap_or_default()),
        },
        Json::String(string) => text(string),
        Json::Array(items) => list(items.iter().map(json)),
        Json::Object(entries) => object(entries),
    }
}

/// The length of the longest list that an expression could walk along.
pub(super) fn longest_list(envelope: &Envelope) -> usize {
    let learned = &envelope.learned;
    let lists = [
        envelope.session.messages.len(),
        learned.topics.len(),
        learned.key_phrases.len(),
        learned.preferences.len(),
        learned.facts.len(),
        learned.redactions.len(),
        learned.patterns.as_ref().map_or(0, |patterns| patterns.feedback.len()),
    ];
    let loose = [&envelope.session.metadata, &learned.extra];
    let loose = loose.iter().map(|object| object.values().map(longest).max().unwrap_or(0).max(object.len()));
    lists.into_iter().chain(loose).max().unwrap_or(0)
}

fn longest(value: &Json) -> usize {
    match value {
        Json::Array(items) => items.iter().map(longest).max().unwrap_or(0).max(items.len()),
        Json::Object(entries) => entries.values().map(longest).max().unwrap_or(0).max(entries.len()),
        _ => 0,
    }
}
