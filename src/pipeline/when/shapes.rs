//! What the variables of a condition look like.

/// What is known of a value before there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Any,
    Bool,
    Number,
    Text,
    List(&'static Shape),
    /// A map whose keys are not known in advance.
    Map,
    Record(Fields),
}

pub(super) type Fields = &'static [(&'static str, Shape)];

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Any => "a value",
            Shape::Bool => "true or false",
            Shape::Number => "a number",
            Shape::Text => "text",
            Shape::List(_) => "a list",
            Shape::Map | Shape::Record(_) => "a table",
        }
    }
}

/// The variables there are.
pub(super) const VARIABLES: Fields = &[
    ("session", Shape::Record(SESSION)),
    ("learned", Shape::Record(LEARNED)),
    ("file", Shape::Record(FILE)),
];

const SESSION: Fields = &[
    ("session_id", Shape::Text),
    ("user_id", Shape::Text),
    ("app", Shape::Text),
    ("model", Shape::Text),
    ("start_time", Shape::Text),
    ("end_time", Shape::Text),
    ("metadata", Shape::Map),
    ("messages", Shape::List(&Shape::Record(MESSAGE))),
];

const MESSAGE: Fields = &[
    ("role", Shape::Text),
    ("name", Shape::Text),
    ("content", Shape::Text),
    ("timestamp", Shape::Text),
    ("feedback", Shape::Text),
];

const LEARNED: Fields = &[
    ("language", Shape::Text),
    ("redactions", Shape::Map),
    ("topics", Shape::List(&Shape::Record(&[("name", Shape::Text), ("score", Shape::Number)]))),
    ("key_phrases", Shape::List(&Shape::Record(&[("text", Shape::Text), ("score", Shape::Number)]))),
    ("preferences", Shape::List(&Shape::Record(PREFERENCE))),
    ("patterns", Shape::Record(PATTERNS)),
    ("facts", Shape::List(&Shape::Record(FACT))),
    ("extra", Shape::Map),
];

const PREFERENCE: Fields = &[
    ("kind", Shape::Text),
    ("polarity", Shape::Text),
    ("object", Shape::Text),
    ("strength", Shape::Number),
    ("quote", Shape::Text),
];

const PATTERNS: Fields = &[
    ("messages", Shape::Number),
    ("mean_words", Shape::Number),
    ("question_share", Shape::Number),
    ("code_share", Shape::Number),
    ("politeness", Shape::Number),
    ("complexity", Shape::Text),
    ("feedback", Shape::List(&Shape::Record(&[("kind", Shape::Text), ("quote", Shape::Text)]))),
];

const FACT: Fields = &[
    ("attribute", Shape::Text),
    ("value", Shape::Text),
    ("exclusive", Shape::Bool),
    ("confidence", Shape::Number),
    ("quote", Shape::Text),
];

const FILE: Fields = &[
    ("name", Shape::Text),
    ("size", Shape::Number),
    ("format", Shape::Text),
    ("index", Shape::Number),
    ("sessions", Shape::Number),
];

/// The functions there are and what they give. Operators are looked up by the names the parser gives them.
pub(super) const FUNCTIONS: &[(&str, Shape)] = &[
    ("size", Shape::Number),
    ("contains", Shape::Bool),
    ("startsWith", Shape::Bool),
    ("endsWith", Shape::Bool),
    ("matches", Shape::Bool),
    ("int", Shape::Number),
    ("double", Shape::Number),
    ("string", Shape::Text),
    ("type", Shape::Any),
    ("lowerAscii", Shape::Text),
    ("upperAscii", Shape::Text),
    ("trim", Shape::Text),
    ("replace", Shape::Text),
    ("substring", Shape::Text),
    ("charAt", Shape::Text),
    ("indexOf", Shape::Number),
    ("lastIndexOf", Shape::Number),
    ("split", Shape::List(&Shape::Text)),
    ("join", Shape::Text),
];

/// Operators and what they give.
pub(super) const OPERATORS: &[(&str, Shape)] = &[
    ("_&&_", Shape::Bool),
    ("_||_", Shape::Bool),
    ("!_", Shape::Bool),
    ("_==_", Shape::Bool),
    ("_!=_", Shape::Bool),
    ("_<_", Shape::Bool),
    ("_<=_", Shape::Bool),
    ("_>_", Shape::Bool),
    ("_>=_", Shape::Bool),
    ("@in", Shape::Bool),
    ("@not_strictly_false", Shape::Bool),
    ("_-_", Shape::Number),
    ("_*_", Shape::Number),
    ("_/_", Shape::Number),
    ("_%_", Shape::Number),
    ("-_", Shape::Number),
    ("_+_", Shape::Any),
    ("_[_]", Shape::Any),
    ("_?_:_", Shape::Any),
];

/// Functions that take a list apart; the parser turns them into loops.
pub(super) const MACROS: &[&str] = &["all", "exists", "exists_one", "filter", "map", "has"];

/// Names that stand for types, as in `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

pub(super) fn lookup(table: Fields, name: &str) -> Option<Shape> {
    table.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape)
}

/// The variables, fields and functions of conditions, as Markdown.
pub(crate) fn conditions_reference() -> String {
    let mut page = "`when` is an expression in [CEL](https://cel.dev) that gives true or false. All names are checked when the \
                    file is read.\nWhat a session lacks is empty (`\"\"`, `0`, `[]`), not missing: write \
                    `session.user_id != \"\"`. In `metadata`, `redactions` and\n`extra`, whose keys are not known in \
                    advance, ask first: `\"email\" in learned.redactions`.\n\n| field | type |\n|---|---|\n"
        .to_owned();
    for (name, shape) in VARIABLES {
        describe(name, *shape, &mut page);
    }
    let functions: Vec<String> = FUNCTIONS.iter().map(|(name, _)| format!("`{name}`")).collect();
    let macros: Vec<String> = MACROS.iter().map(|name| format!("`{name}`")).collect();
    page.push_str(&format!(
        "\nFunctions: {}.\nOn lists: {}, as in `session.messages.exists(m, m.role == \"user\" && m.content.contains(\"?\"))`.\n\
         The pattern of `matches` is a regular expression, written out in quotes.\n",
        functions.join(", "),
        macros.join(", "),
    ));
    page
}

fn describe(path: &str, shape: Shape, page: &mut String) {
    let (fields, step) = match shape {
        Shape::Record(fields) => (fields, "."),
        Shape::List(Shape::Record(fields)) => (*fields, "[]."),
        _ => (&[] as Fields, ""),
    };
    if !matches!(shape, Shape::Record(_)) {
        page.push_str(&format!("| `{path}` | {} |\n", shape.name().trim_start_matches("a ")));
    }
    for (name, shape) in fields {
        describe(&format!("{path}{step}{name}"), *shape, page);
    }
}
