//! docs/PIPELINE.md, written from the settings themselves.

use std::fmt::{self, Write};

use schemars::Schema;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::{Map, Value, json};

use super::{Settings, SourceSettings, StageKeys, VERSION};
use crate::pipeline::when::conditions_reference;
use crate::stages::kinds::{DECODE, KINDS, decode_reference, defaults};

const HEAD: &str = "\
# pipeline.toml

Every key there is, with its type, its default and its meaning. This page is written from the code; the program's own
`pipeline.toml`, which `atles init` writes, is a working example with comments.

Durations are written `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"90d\"`; sizes `\"10KiB\"`, `\"64MiB\"`, `\"1GB\"` or as a number of
bytes. Relative paths are read from the folder that holds pipeline.toml. A key that is not listed here is an error:
`atles check` shows all mistakes at once, each with its line and what to do. A changed file is checked and swapped in
while the daemon runs; one with mistakes changes nothing.
";

/// The reference of everything that can stand in pipeline.toml, as Markdown.
pub fn pipeline_reference() -> String {
    let mut page = HEAD.to_owned();
    let _ = write!(
        page,
        "\n## The file\n\n| key | type | default | meaning |\n|---|---|---|---|\n| `version` | whole number | | Always \
         {VERSION}: the version of the file's form. |\n"
    );
    let schema = Schemas::new(schemars::schema_for!(Settings));
    let written = Ordered::read(&defaults::<Settings>());
    for (section, node) in schema.properties(&schema.root, &written) {
        let whole = schema.resolve(node);
        if let Some(item) = whole.get("items") {
            let _ = write!(page, "\n## `[[{section}]]`\n\n{}\n", text(node, "description"));
            page.push_str(&schema.table(schema.resolve(item), &Ordered::read(&defaults::<SourceSettings>())));
            continue;
        }
        let _ = write!(page, "\n## `[{section}]`\n\n{}\n", text(whole, "description"));
        page.push_str(&schema.table(whole, written.get(section)));
    }
    let common = Schemas::new(schemars::schema_for!(StageKeys));
    let _ = write!(page, "\n## `[[stage]]`\n\n{STAGES}\n");
    page.push_str(&common.table(&common.root, &Ordered::read(&defaults::<StageKeys>())));
    let _ = write!(page, "\n## Conditions\n\n{}", conditions_reference());
    let (schema, defaults) = decode_reference();
    page.push_str(&kind_section(DECODE, schema, &defaults));
    for kind in KINDS {
        page.push_str(&kind_section(kind.name, (kind.schema)(), &(kind.defaults)()));
    }
    page
}

const STAGES: &str = "\
The chain: each `[[stage]]` is one step, in the order of the file. Without any the chain of the program's own
pipeline.toml is used. These keys may stand in every stage, except that `decode` takes `kind` only; those of each kind
follow below.";

fn kind_section(name: &str, schema: Schema, defaults: &str) -> String {
    let schema = Schemas::new(schema);
    let description = text(&schema.root, "description");
    format!(
        "\n## `kind = \"{name}\"`\n\n{description}\n{}",
        schema.table(&schema.root, &Ordered::read(defaults))
    )
}

/// A schema and the definitions it refers to.
struct Schemas {
    root: Value,
    definitions: Map<String, Value>,
}

/// JSON whose objects keep the order in which they were written: that of the fields in the code.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ordered {
    Object(Entries),
    Other(Value),
}

static NOTHING: Ordered = Ordered::Other(Value::Null);

impl Ordered {
    fn read(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or(Ordered::Other(Value::Null))
    }

    fn entries(&self) -> &[(String, Ordered)] {
        match self {
            Ordered::Object(Entries(entries)) => entries,
            Ordered::Other(_) => &[],
        }
    }

    fn get(&self, key: &str) -> &Ordered {
        self.entries().iter().find(|(known, _)| known == key).map_or(&NOTHING, |(_, value)| value)
    }
}

struct Entries(Vec<(String, Ordered)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// One line of a table.
struct Row {
    key: String,
    kind: String,
    default: String,
    meaning: String,
}

impl Schemas {
    fn new(schema: Schema) -> Self {
        let root = schema.to_value();
        let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        Schemas { root, definitions }
    }

    /// Follows references, and looks through "or nothing".
    fn resolve<'s>(&'s self, node: &'s Value) -> &'s Value {
        let name = node.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        if let Some(found) = name.and_then(|name| self.definitions.get(name)) {
            return self.resolve(found);
        }
        let choices = node.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match choices {
            [some, none] if none.get("type") == Some(&json!("null")) => self.resolve(some),
            _ => node,
        }
    }

    /// The keys of a table, in the order of its defaults.
    fn properties<'s>(&'s self, node: &'s Value, defaults: &Ordered) -> Vec<(&'s str, &'s Value)> {
        let all = node.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut all: Vec<(&str, &Value)> = all.map(|(key, value)| (key.as_str(), value)).collect();
        let order =
            |key: &str| defaults.entries().iter().position(|(known, _)| known == key).unwrap_or(usize::MAX);
        all.sort_by_key(|(key, _)| order(key));
        all
    }

    fn table(&self, node: &Value, defaults: &Ordered) -> String {
        let mut rows = Vec::new();
        self.rows(node, defaults, "", 0, &mut rows);
        if rows.is_empty() {
            return "\nIt has no keys of its own.\n".to_owned();
        }
        let mut table = "\n| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
        for Row { key, kind, default, meaning } in rows {
            let _ = writeln!(table, "| `{key}` | {kind} | {default} | {meaning} |");
        }
        table
    }

    fn rows(&self, node: &Value, defaults: &Ordered, prefix: &str, depth: usize, rows: &mut Vec<Row>) {
        for (name, property) in self.properties(node, defaults) {
            let target = self.resolve(property);
            let key = format!("{prefix}{name}");
            let default = defaults.get(name);
            let nested = self.nested(target).filter(|_| depth < 4);
            let meaning = match text(property, "description") {
                "" => text(target, "description"),
                own => own,
            };
            let whole = matches!(&nested, Some((step, _)) if *step == ".");
            rows.push(Row {
                kind: cell(&self.kind(target)),
                default: if whole { String::new() } else { shown(default) },
                meaning: cell(&format!("{meaning}{}", self.choices(target))),
                key: key.clone(),
            });
            if let Some((step, inner)) = nested {
                let inner_defaults = if whole { default } else { &NOTHING };
                self.rows(inner, inner_defaults, &format!("{key}{step}"), depth + 1, rows);
            }
        }
    }

    /// The table within a key, and how its keys are reached.
    fn nested<'s>(&'s self, node: &'s Value) -> Option<(&'static str, &'s Value)> {
        let has_keys = |node: &Value| node.get("properties").is_some();
        let named = || node.get("additionalProperties").map(|inner| self.resolve(inner));
        if has_keys(node) {
            Some((".", node))
        } else if let Some(inner) = node.get("items").map(|inner| self.resolve(inner)).filter(|n| has_keys(n))
        {
            Some(("[].", inner))
        } else {
            named().filter(|inner| has_keys(inner)).map(|inner| (".NAME.", inner))
        }
    }

    fn kind(&self, node: &Value) -> String {
        let node = self.resolve(node);
        let values = self.values(node);
        if !values.is_empty() {
            return values.iter().map(|(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = node.get("anyOf").or(node.get("oneOf")).and_then(Value::as_array) {
            let kinds = choices.iter().map(|choice| self.kind(choice)).filter(|kind| kind != "null");
            return kinds.collect::<Vec<_>>().join(" or ");
        }
        let kinds = match node.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            other => other.and_then(Value::as_str),
        };
        match (kinds.unwrap_or("any"), text(node, "format")) {
            ("string", "duration") => "duration".to_owned(),
            ("string", "size") => "size".to_owned(),
            ("string", "pattern") => "file name pattern".to_owned(),
            ("string", _) => "text".to_owned(),
            ("integer", _) => "whole number".to_owned(),
            ("number", _) => "number".to_owned(),
            ("boolean", _) => "`true`, `false`".to_owned(),
            ("array", _) => match node.get("items") {
                Some(items) => format!("list of {}", self.kind(items)),
                None => "list".to_owned(),
            },
            ("object", _) => "table".to_owned(),
            (other, _) => other.to_owned(),
        }
    }

    /// The values of an enumeration with their meanings.
    fn values<'s>(&self, node: &'s Value) -> Vec<(&'s Value, &'s str)> {
        if let Some(values) = node.get("enum").and_then(Value::as_array) {
            return values.iter().map(|value| (value, "")).collect();
        }
        let choices = node.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let constant = |choice: &'s Value| {
            let single = choice.get("const").map(|value| vec![(value, text(choice, "description"))]);
            let several = choice.get("enum").and_then(Value::as_array);
            single.or(several
                .map(|values| values.iter().map(|value| (value, text(choice, "description"))).collect()))
        };
        let all: Option<Vec<_>> = choices.iter().map(constant).collect();
        all.map(|all| all.concat()).unwrap_or_default()
    }

    fn choices(&self, node: &Value) -> String {
        let values = self.values(self.resolve(node));
        let told = values.iter().filter(|(_, meaning)| !meaning.is_empty());
        told.fold(String::new(), |all, (value, meaning)| format!("{all} `{value}`: {meaning}"))
    }
}

fn text<'v>(node: &'v Value, key: &str) -> &'v str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A default as it would be written in the file; nothing where it is empty.
fn shown(default: &Ordered) -> String {
    const LONGEST: usize = 80;
    let value = match default {
        Ordered::Object(Entries(entries)) if entries.is_empty() => return String::new(),
        Ordered::Object(Entries(entries)) => return format!("{} built in", entries.len()),
        Ordered::Other(value) => value,
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::Array(items) if value.to_string().len() > LONGEST => format!("{} built in", items.len()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            format!("`[{}]`", cell(&items.join(", ")))
        }
        other => format!("`{}`", cell(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with `UPDATE_DOCS=1` to write the page anew.
    #[test]
    fn the_reference_in_docs_is_the_one_the_code_gives() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PIPELINE.md");
        let page = pipeline_reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, &page).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default().replace("\r\n", "\n");
        assert!(
            written == page,
            "docs/PIPELINE.md is not what the code says; write it anew with\n    \
             UPDATE_DOCS=1 cargo test --lib the_reference_in_docs"
        );
    }

    #[test]
    fn every_key_has_a_meaning() {
        let page = pipeline_reference();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "no doc comment: {line}");
        }
    }

    #[test]
    fn tables_lists_names_choices_and_options_are_all_described() {
        /// Made up.
        #[derive(Default, serde::Serialize, schemars::JsonSchema)]
        #[serde(default)]
        struct Made {
            /// A | bar.
            maybe: Option<u32>,
            /// Rules.
            rules: Vec<Rule>,
            /// By name.
            topics: std::collections::BTreeMap<String, Rule>,
            /// Either.
            which: super::super::Watcher,
        }
        /// A rule.
        #[derive(Default, serde::Serialize, schemars::JsonSchema)]
        struct Rule {
            /// Its pattern.
            regex: String,
        }
        let section = kind_section("made", schemars::schema_for!(Made), r#"{"which": "auto", "rules": []}"#);
        for line in [
            "| `maybe` | whole number |  | A \\| bar. |",
            "| `rules` | list of table | `[]` | Rules. |",
            "| `rules[].regex` | text |  | Its pattern. |",
            "| `topics.NAME.regex` | text |  | Its pattern. |",
        ] {
            assert!(section.contains(line), "{line} is not in\n{section}");
        }
        assert!(section.contains("| `which` | `\"auto\"`, `\"native\"`, `\"poll\"` | `\"auto\"` | Either. `\"auto\"`: The system"), "{section}");
    }
}
