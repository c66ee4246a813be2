use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The same JSON, or lines of it, with something changed; `None` for what is none.
pub(crate) fn changed(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut values = values(input)?;
    let at = rng.usize(..values.len());
    let lent = self::values(other).and_then(|mut others| {
        let at = rng.usize(..others.len());
        Some(node(others.get_mut(at)?, rng).clone())
    });
    let word = |rng: &mut Rng| rng.choice(words).copied().unwrap_or("a").to_owned();
    change(&mut values[at], lent, &word, rng);
    if rng.u8(..8) == 0 {
        // Lines in another order, or twice.
        let again = values[rng.usize(..values.len())].clone();
        values.insert(rng.usize(..=values.len()), again);
    }
    let written = |value: &Value| serde_json::to_string(value).unwrap_or_default();
    let mut text = values.iter().map(written).collect::<Vec<_>>().join("\n");
    if rng.u8(..6) == 0 {
        let brackets: Vec<usize> = text.match_indices('{').map(|(at, _)| at + 1).collect();
        if let Some(at) = rng.choice(brackets) {
            let key = json!(word(rng));
            text.insert_str(at, &format!("{key}:{},", odd(rng)));
        }
    }
    Some(text.into_bytes())
}

/// One document, or lines of them.
fn values(input: &[u8]) -> Option<Vec<Value>> {
    if let Ok(value) = serde_json::from_slice(input) {
        return Some(vec![value]);
    }
    let text = std::str::from_utf8(input).ok()?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let values: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    (!values.is_empty()).then_some(values)
}

/// Some node of a value.
fn node<'v>(value: &'v mut Value, rng: &mut Rng) -> &'v mut Value {
    let below = match &*value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if below == 0 || rng.u8(..8) == 0 {
        return value;
    }
    let next = rng.usize(..below);
    match value {
        Value::Array(items) => node(&mut items[next], rng),
        Value::Object(fields) => node(fields.values_mut().nth(next).unwrap(), rng),
        leaf => leaf,
    }
}

fn change(value: &mut Value, lent: Option<Value>, word: &dyn Fn(&mut Rng) -> String, rng: &mut Rng) {
    let place = node(value, rng);
    match rng.u8(..9) {
        0 => *place = odd(rng),
        1 | 2 => *place = lent.unwrap_or(Value::Null),
        3 => *place = json!(word(rng)),
        4 => {
            for _ in 0..1 << rng.u8(..8) {
                let inner = place.take();
                *place = if rng.bool() { json!([inner]) } else { json!({ word(rng): inner }) };
            }
        }
        _ => match place {
            Value::Object(fields) => field(fields, lent, word, rng),
            Value::Array(items) => element(items, lent, rng),
            Value::String(text) => {
                let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                let at = rng.choice(places).unwrap_or(0);
                match odd(rng) {
                    Value::String(more) => text.insert_str(at, &more),
                    _ => text.truncate(at),
                }
            }
            leaf => *leaf = odd(rng),
        },
    }
}

fn field(
    fields: &mut Map<String, Value>,
    lent: Option<Value>,
    word: &dyn Fn(&mut Rng) -> String,
    rng: &mut Rng,
) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    let key = rng.choice(keys);
    match (rng.u8(..4), key) {
        (0, Some(key)) => drop(fields.remove(&key)),
        (1, Some(key)) => {
            let value = fields.remove(&key).unwrap_or_default();
            fields.insert(word(rng), value);
        }
        (2, Some(key)) => drop(fields.insert(key, odd(rng))),
        _ => drop(fields.insert(word(rng), lent.unwrap_or_else(|| odd(rng)))),
    }
}

fn element(items: &mut Vec<Value>, lent: Option<Value>, rng: &mut Rng) {
    let at = rng.usize(..=items.len());
    match rng.u8(..4) {
        0 => drop((at < items.len()).then(|| items.remove(at))),
        1 => rng.shuffle(items),
        2 => items.insert(at, lent.unwrap_or(Value::Null)),
        _ => {
            let again = items.get(at).cloned().unwrap_or_default();
            let times = 1 << rng.u8(..7);
            items.splice(at..at, std::iter::repeat_n(again, times));
        }
    }
}

/// A value that is seldom thought of.
fn odd(rng: &mut Rng) -> Value {
    match rng.u8(..22) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1e308),
        6 => json!(1e-308),
        7 => json!(253_402_300_800_i64),
        8 => json!([]),
        9 => json!({}),
        10 => json!(""),
        11 => json!("x".repeat(1 << rng.u8(..15))),
        12 => json!("../../../etc/passwd"),
        13 => json!("a\u{0}b"),
        14 => json!("\u{1b}]0;x\u{7}\u{1b}[31m"),
        15 => json!("\u{202e}gpj.exe\u{2066}"),
        16 => json!("'; DROP TABLE messages; --"),
        17 => json!("{{ x }}{% raw %}<|im_end|>\"\"\""),
        18 => json!("9999-99-99T99:99:99Z"),
        19 => json!("+262143-12-31T23:59:59.999999999+23:59"),
        20 => json!("\n\r\t \u{2028}\u{85}"),
        _ => json!(char::from_u32(rng.u32(..0x11_0000)).unwrap_or('\u{fffd}').to_string()),
    }
}
