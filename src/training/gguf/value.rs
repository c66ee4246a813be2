//! Values of the metadata.

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned number of any width.
    Unsigned(u64),
    /// A signed number of any width.
    Signed(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// Truth.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// A list of floats.
    Floats(Vec<f32>),
    /// A list of a kind that nobody here asks for; how many items it has.
    Other(u64),
}

impl Value {
    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Any number.
    pub fn as_f32(&self) -> Option<f32> {
        match self {
            Value::Unsigned(n) => Some(*n as f32),
            Value::Signed(n) => Some(*n as f32),
            Value::F32(x) => Some(*x),
            Value::F64(x) => Some(*x as f32),
            _ => None,
        }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// Truth.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// A list of texts.
    pub fn as_texts(&self) -> Option<&[String]> {
        if let Value::Texts(texts) = self { Some(texts) } else { None }
    }

    /// A list of whole numbers.
    pub fn as_integers(&self) -> Option<&[i64]> {
        if let Value::Integers(numbers) = self { Some(numbers) } else { None }
    }

    /// A list of floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        if let Value::Floats(numbers) = self { Some(numbers) } else { None }
    }
}
