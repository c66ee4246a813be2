use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::doc::Doc;

/// Bytes that a node of a [`Value`] takes, whatever is in it.
const NODE: usize = 64;
/// Bytes that the first entry of an object takes: a whole node of the tree behind it.
const OBJECT: usize = 640;
/// Bytes that one more entry of an object takes, apart from its value.
const ENTRY: usize = 64;

/// How much memory the fields that no format knows may take.
///
/// A tree of values is up to a hundred times as large as its JSON (`[{"a":0},{"a":0},…`). Unknown fields are kept as
/// trees as long as their sum stays within a few times the file; then as JSON text; and when even the entries are too
/// many, they are counted and dropped.
pub(super) struct Budget {
    left: Cell<usize>,
    dropped: Cell<usize>,
}

impl Budget {
    pub(super) fn for_input(bytes: usize) -> Self {
        let left = bytes.saturating_mul(4).saturating_add(16 << 20);
        Budget { left: Cell::new(left), dropped: Cell::new(0) }
    }

    /// How many fields were not kept.
    pub(super) fn dropped(&self) -> usize {
        self.dropped.get()
    }

    fn spend(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(self.left.get()));
        left.is_some()
    }
}

impl Doc<'_> {
    /// The value as a tree; as its JSON text where it is too large, too deep or has numbers out of range; `None` where
    /// not even that is affordable.
    pub(super) fn keep(self) -> Option<Value> {
        let budget = &self.whole().budget;
        let before = budget.left.get();
        let mut json = serde_json::Deserializer::from_str(self.raw());
        match (Tree { budget }).deserialize(&mut json) {
            Ok(value) => Some(value),
            Err(_) => {
                budget.left.set(before);
                budget.spend(NODE + self.raw().len()).then(|| Value::String(self.raw().to_owned()))
            }
        }
    }

    /// Puts the value into `fields` as [`Doc::keep`] has it.
    pub(super) fn keep_in(self, fields: &mut Map<String, Value>, key: &str) {
        let budget = &self.whole().budget;
        let entry = key.len() + if fields.is_empty() { OBJECT } else { ENTRY };
        let kept = if budget.spend(entry) { self.keep() } else { None };
        match kept {
            Some(value) => drop(fields.insert(key.to_owned(), value)),
            None => budget.dropped.set(budget.dropped.get() + 1),
        }
    }

    /// Appends the value to the list `fields[key]`.
    pub(super) fn keep_among(self, fields: &mut Map<String, Value>, key: &str) {
        if let Some(Value::Array(list)) = fields.get_mut(key) {
            match self.keep() {
                Some(value) => list.push(value),
                None => self.whole().budget.dropped.set(self.whole().budget.dropped.get() + 1),
            }
            return;
        }
        self.keep_in(fields, key);
        if let Some(value) = fields.get_mut(key) {
            *value = Value::Array(vec![value.take()]);
        }
    }
}

/// Adds fields that no format knows to the app's own metadata. A name that is taken goes under `_fields`.
pub(super) fn merge(metadata: &mut Map<String, Value>, extra: Map<String, Value>) {
    let mut taken = Map::new();
    for (key, value) in extra {
        if metadata.contains_key(&key) {
            taken.insert(key, value);
        } else {
            metadata.insert(key, value);
        }
    }
    if !taken.is_empty() && !metadata.contains_key("_fields") {
        metadata.insert("_fields".to_owned(), Value::Object(taken));
    }
}

/// Builds a [`Value`] within a budget. (serde_json's own `Value` has a magic key that makes it parse texts inside of
/// texts; input from outside must not reach that.)
#[derive(Clone, Copy)]
struct Tree<'b> {
    budget: &'b Budget,
}

impl Tree<'_> {
    fn spend<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        if self.budget.spend(bytes) { Ok(()) } else { Err(E::custom("over budget")) }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Value, S::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            self.spend(NODE)?;
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        let mut object = Map::new();
        self.spend(OBJECT)?;
        while let Some(key) = map.next_key::<String>()? {
            self.spend(ENTRY + key.len())?;
            let value = map.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{many, one};

    const MESSAGE: &str = r#"{"role": "user", "content": "a"}"#;

    #[test]
    fn a_tree_far_larger_than_its_json_is_kept_as_json_text() {
        for (item, count) in [("0,", 400_000), (r#"{"a":0},"#, 50_000)] {
            let list = format!("[{}0]", item.repeat(count));
            let session = one(&format!(r#"{{"x": {list}, "y": {{"z": [1]}}, "messages": [{MESSAGE}]}}"#));
            assert_eq!(session.metadata["x"].as_str().map(str::len), Some(list.len()));
            assert_eq!(session.metadata["y"], json!({"z": [1]}), "what is affordable stays a tree");
        }
    }

    #[test]
    fn fields_beyond_the_budget_are_dropped_and_counted() {
        let message = r#"{"role":"user","content":"","x":1},"#.repeat(60_000);
        let decoded = many(&format!(r#"{{"messages": [{message} {MESSAGE}]}}"#));
        let kept = decoded.sessions[0].messages.iter().filter(|message| message.metadata.len() == 1).count();
        assert!(kept > 20_000 && kept < 60_000, "{kept}");
        assert_eq!(
            decoded.skipped,
            [format!("{} unknown fields beyond what is kept from one file", 60_000 - kept)]
        );
    }

    #[test]
    fn a_magic_key_of_the_parser_is_a_key_like_any_other() {
        let session = one(&format!(
            r#"{{"x": {{"$serde_json::private::RawValue": "[[1]]"}}, "y": 1e999, "messages": [{MESSAGE}]}}"#
        ));
        assert_eq!(session.metadata["x"], json!({"$serde_json::private::RawValue": "[[1]]"}));
        assert_eq!(session.metadata["y"], json!("1e999"), "a number out of range stays text");
    }
}
