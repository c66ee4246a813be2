//! Reading a table that may hold several mistakes.
//!
//! Deserialisation stops at the first mistake. Every key of ours has a default, so the entry that a mistake lies in
//! is noted, taken out, and the rest is read again, until it fits. That finds each wrong value and each unknown
//! key, at any depth, in serde's own words and without a second description of the settings.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::nearest::nearest;

/// A table of the file with the places of everything in it.
pub(crate) type Table<'t> = Spanned<DeTable<'t>>;

/// A file with more mistakes than this in one table is shown only so many.
const MOST: usize = 100;

/// A mistake in a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// What could be read of a table.
pub(crate) struct Peeled<'t, T> {
    /// The settings without the entries that were wrong; `None` if not even that could be read.
    pub(crate) value: Option<T>,
    /// The mistakes.
    pub(crate) findings: Vec<Finding>,
    /// The table without the entries that were wrong.
    pub(crate) left: Table<'t>,
    /// What was taken out, as in `spool.settle` or `rules[2].regex`.
    pub(crate) touched: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

/// Reads `table` as `T`. `others` are keys that the table may have as well although `T` does not know them; they
/// only widen the suggestions.
pub(crate) fn peel<'t, T: DeserializeOwned>(table: Table<'t>, others: &[String]) -> Peeled<'t, T> {
    let mut peeled = Peeled { value: None, findings: Vec::new(), left: table, touched: Vec::new() };
    let whole = peeled.left.span();
    // Containers that lost an entry: what is missing there now was not missing before.
    let mut holed: Vec<Range<usize>> = Vec::new();
    while peeled.findings.len() < MOST && holed.len() < 2 * MOST {
        let tree = DeValue::Table(peeled.left.get_ref().clone());
        let error = match T::deserialize(ValueDeserializer::from(Spanned::new(whole.clone(), tree))) {
            Ok(value) => {
                peeled.value = Some(value);
                break;
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or(whole.clone());
        let place = locate(peeled.left.get_ref(), &span);
        if !holed.contains(&span) {
            peeled.findings.push(explain(&error, &span, others));
        }
        let Some(place) = place else { break };
        peeled.touched.push(path(&place));
        let container = peeled.left.span();
        match remove(peeled.left.get_mut(), container, &place) {
            Some(container) => holed.push(container),
            None => break,
        }
    }
    peeled
}

fn path(place: &[Step]) -> String {
    place.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) if path.is_empty() => key.clone(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Item(i) => format!("{path}[{i}]"),
    })
}

/// The innermost entry whose key or value covers a place.
fn locate(table: &DeTable<'_>, place: &Range<usize>) -> Option<Vec<Step>> {
    table.iter().find_map(|(key, value)| {
        let step = Step::Key(key.get_ref().to_string());
        if covers(&key.span(), place) {
            return Some(vec![step]);
        }
        within(value, place).map(|rest| [vec![step], rest].concat())
    })
}

fn within(value: &Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<Vec<Step>> {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => locate(table, place),
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| within(item, place).map(|rest| [vec![Step::Item(i)], rest].concat())),
        _ => None,
    };
    deeper.or_else(|| covers(&value.span(), place).then(Vec::new))
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Takes an entry out, and says where the container stands that lost it.
fn remove(table: &mut DeTable<'_>, here: Range<usize>, place: &[Step]) -> Option<Range<usize>> {
    let (Step::Key(key), rest) = place.split_first()? else { return None };
    if rest.is_empty() {
        return table.remove(key.as_str()).map(|_| here);
    }
    remove_within(table.get_mut(key.as_str())?, rest)
}

fn remove_within(value: &mut Spanned<DeValue<'_>>, place: &[Step]) -> Option<Range<usize>> {
    let here = value.span();
    match (value.get_mut(), place) {
        (DeValue::Table(table), _) => remove(table, here, place),
        (DeValue::Array(items), [Step::Item(i)]) if *i < items.len() => {
            let all = std::mem::replace(items, std::iter::empty().collect());
            let kept = all.into_iter().enumerate().filter(|(at, _)| at != i);
            *items = kept.map(|(_, item)| item).collect();
            Some(here)
        }
        (DeValue::Array(items), [Step::Item(i), rest @ ..]) => remove_within(items.get_mut(*i)?, rest),
        _ => None,
    }
}

/// Puts serde's words into those of somebody who edits a file.
fn explain(error: &toml::de::Error, span: &Range<usize>, others: &[String]) -> Finding {
    let said = error.message().trim();
    let finding = |message: String, hint: Option<String>| Finding { span: span.clone(), message, hint };
    if let Some((name, mut known)) = unknown(said, "unknown field ") {
        known.extend(others.iter().cloned());
        let hint = suggestion(name, &known, "known here");
        return finding(format!("unknown key `{name}`"), Some(hint));
    }
    if let Some((name, known)) = unknown(said, "unknown variant ") {
        let hint = suggestion(name, &known, "possible");
        return finding(format!("`{name}` is not possible here"), Some(hint));
    }
    if let Some(name) = said.strip_prefix("missing field ") {
        return finding(format!("{name} is missing"), None);
    }
    let wrong = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "));
    match wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        Some((found, expected)) => finding(format!("expected {}, found {found}", plainly(expected)), None),
        None => finding(said.to_owned(), None),
    }
}

/// Splits "unknown field `a`, expected one of `b`, `c`".
fn unknown<'e>(said: &'e str, what: &str) -> Option<(&'e str, Vec<String>)> {
    let (name, known) = said.strip_prefix(what)?.strip_prefix('`')?.split_once("`, ")?;
    Some((name, known.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
}

/// "did you mean …", or all there is.
pub(crate) fn suggestion(given: &str, known: &[String], what: &str) -> String {
    match nearest(given, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "nothing is expected here".to_owned(),
        None => {
            let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("{what}: {}", quoted.join(", "))
        }
    }
}

fn plainly(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list, as in [\"a\", \"b\"]",
        "a map" => "a table",
        "path string" => "a path in quotes",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The key's value; for a table with a header of its own, the header.
    pub(crate) span: Range<usize>,
    /// Whether the key itself is there, not only what it would stand in.
    pub(crate) exact: bool,
}

/// Where a key such as `rules[2].regex` stands, as deep as the table has it; `None` if not even its first part is
/// there. Keys may hold dots themselves: the longest that fits is taken.
pub(crate) fn find(table: &DeTable<'_>, path: &str) -> Option<Place> {
    let (key, value) = table
        .iter()
        .filter(|(key, _)| starts_path(path, key.get_ref()))
        .max_by_key(|(key, _)| key.get_ref().len())?;
    let rest = path.get(key.get_ref().len()..).unwrap_or_default();
    Some(find_within(value, rest))
}

fn starts_path(path: &str, key: &str) -> bool {
    !key.is_empty()
        && path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn find_within(value: &Spanned<DeValue<'_>>, rest: &str) -> Place {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => rest.strip_prefix('.').and_then(|rest| find(table, rest)),
        DeValue::Array(items) => {
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).and_then(|(i, rest)| {
                let item = items.get(i.parse::<usize>().ok()?)?;
                Some(find_within(item, rest))
            })
        }
        _ => None,
    };
    deeper.unwrap_or(Place { span: value.span(), exact: rest.is_empty() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        number: u32,
        flag: bool,
        rules: Vec<Rule>,
        inner: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        name: String,
        regex: String,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Fast,
        Slow,
    }

    fn read(text: &str) -> (Option<Outer>, Vec<(String, String)>) {
        let peeled = peel::<Outer>(DeTable::parse(text).unwrap(), &["name".to_owned()]);
        let shown = |finding: Finding| {
            let message =
                finding.message + &finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            (text[finding.span].to_owned(), message)
        };
        (peeled.value, peeled.findings.into_iter().map(shown).collect())
    }

    #[test]
    fn every_mistake_is_found_where_it_stands() {
        let (value, mut found) = read(
            "number = -1\nflga = 1\nflag = 'yes'\nnames = 2\nrules = [{name = 'a', regex = 1}, {name = 'b'}, \
             {nam = 'x', name = 'c', regex = 'c'}]\n[inner]\nmode = 'fats'\nx.y = 1\n",
        );
        found.sort();
        let expected = [
            ("'fats'", "`fats` is not possible here (did you mean `fast`?)"),
            ("'yes'", "expected `true` or `false`, found string \"yes\""),
            ("-1", "expected a whole number that is not negative, found integer `-1`"),
            ("1", "expected a string, found integer `1`"),
            ("flga", "unknown key `flga` (did you mean `flag`?)"),
            ("nam", "unknown key `nam` (did you mean `name`?)"),
            ("names", "unknown key `names` (did you mean `name`?)"),
            ("x", "unknown key `x` (known here: `mode`, `name`)"),
            ("{name = 'b'}", "`regex` is missing"),
        ];
        let expected = expected.map(|(place, message)| (place.to_owned(), message.to_owned()));
        assert_eq!(found, expected);
        let kept = Rule { name: "c".into(), regex: "c".into() };
        assert_eq!(value, Some(Outer { rules: vec![kept], ..Outer::default() }));
    }

    #[test]
    fn an_entry_that_misses_a_key_only_because_its_value_was_wrong_is_reported_once() {
        let (_, found) = read("[[rules]]\nname = 1\nregex = 'x'\n[[rules]]\nname = 'ok'\nregex = 'ok'\n");
        assert_eq!(found.len(), 1, "{found:#?}");
    }

    #[test]
    fn a_path_is_followed_as_far_as_it_goes() {
        let text = "a.b = 1\n'c.d' = [10, {e = 5}]\n";
        let table = DeTable::parse(text).unwrap();
        let at = |path| find(table.get_ref(), path).map(|place| (&text[place.span], place.exact));
        assert_eq!(at("a.b"), Some(("1", true)));
        assert_eq!(at("c.d[0]"), Some(("10", true)));
        assert_eq!(at("c.d[1].e"), Some(("5", true)));
        assert_eq!(at("c.d[1].x"), Some(("{e = 5}", false)));
        assert_eq!(at("c.d[9]"), Some(("[10, {e = 5}]", false)));
        assert_eq!(at("x"), None);
        assert_eq!(at(""), None);
    }
}
