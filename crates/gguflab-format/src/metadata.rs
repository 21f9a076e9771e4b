//! Metadata: an ordered list of keys and typed values.

use std::borrow::Cow;

/// Metadata of a file, in file order. Keys may repeat in a damaged file; look-ups give the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    pairs: Vec<(String, Value)>,
}

/// A metadata value, with the width it has in the file, so that it can be written back unchanged.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned, 8 bits.
    U8(u8),
    /// Signed, 8 bits.
    I8(i8),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Signed, 16 bits.
    I16(i16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Signed, 32 bits.
    I32(i32),
    /// Unsigned, 64 bits.
    U64(u64),
    /// Signed, 64 bits.
    I64(i64),
    /// Floating point, 32 bits.
    F32(f32),
    /// Floating point, 64 bits.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// Text as bytes: the format asks for UTF-8, but files with other bytes exist and must survive a copy.
    String(Vec<u8>),
    /// Several values of one kind.
    Array(Array),
}

/// An array of one kind of value.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Signed, 8 bits.
    I8(Vec<i8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Unsigned, 64 bits.
    U64(Vec<u64>),
    /// Signed, 64 bits.
    I64(Vec<i64>),
    /// Floating point, 32 bits.
    F32(Vec<f32>),
    /// Floating point, 64 bits.
    F64(Vec<f64>),
    /// Yes or no.
    Bool(Vec<bool>),
    /// Texts.
    String(StringArray),
    /// Arrays, each with its own kind. The format allows them; llama.cpp refuses them.
    Array(Vec<Array>),
}

/// Many strings in one buffer, because a vocabulary of 128,000 tokens as separate strings would cost more
/// than reading the rest of the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StringArray {
    bytes: Vec<u8>,
    /// Where each string ends in `bytes`. 32 bits are enough: see [`crate::limits::ARRAY_BYTES`].
    ends: Vec<u32>,
}

/// The kind of a value as the file names it, with its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Metadata {
    /// Metadata without any pair.
    #[must_use]
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// All pairs in file order.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Sets a key: in place if it is there, else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let key = key.into();
        match self.pairs.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value.into(),
            None => self.pairs.push((key, value.into())),
        }
    }

    /// Removes every pair of this key.
    pub fn remove(&mut self, key: &str) {
        self.pairs.retain(|(name, _)| name != key);
    }

    /// Adds a pair at the end, even if the key is there: the reader keeps what the file says.
    pub(crate) fn push(&mut self, key: String, value: Value) {
        self.pairs.push((key, value));
    }

    /// The text of a string value; bytes that are no UTF-8 become replacement characters.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        match self.get(key)? {
            Value::String(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// A whole number that is not negative, of any width.
    #[must_use]
    pub fn unsigned(&self, key: &str) -> Option<u64> {
        self.get(key)?.unsigned()
    }

    /// A floating-point number of either width.
    #[must_use]
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::F32(number) => Some(f64::from(*number)),
            Value::F64(number) => Some(*number),
            _ => None,
        }
    }

    /// A yes or no.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// An array.
    #[must_use]
    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// An array of strings.
    #[must_use]
    pub fn strings(&self, key: &str) -> Option<&StringArray> {
        match self.array(key)? {
            Array::String(strings) => Some(strings),
            _ => None,
        }
    }
}

impl Value {
    /// The whole number, if it is one and not negative.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match *self {
            Value::U8(number) => Some(u64::from(number)),
            Value::U16(number) => Some(u64::from(number)),
            Value::U32(number) => Some(u64::from(number)),
            Value::U64(number) => Some(number),
            Value::I8(number) => u64::try_from(number).ok(),
            Value::I16(number) => u64::try_from(number).ok(),
            Value::I32(number) => u64::try_from(number).ok(),
            Value::I64(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> ValueKind {
        match self {
            Value::U8(_) => ValueKind::U8,
            Value::I8(_) => ValueKind::I8,
            Value::U16(_) => ValueKind::U16,
            Value::I16(_) => ValueKind::I16,
            Value::U32(_) => ValueKind::U32,
            Value::I32(_) => ValueKind::I32,
            Value::U64(_) => ValueKind::U64,
            Value::I64(_) => ValueKind::I64,
            Value::F32(_) => ValueKind::F32,
            Value::F64(_) => ValueKind::F64,
            Value::Bool(_) => ValueKind::Bool,
            Value::String(_) => ValueKind::String,
            Value::Array(_) => ValueKind::Array,
        }
    }
}

impl Array {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Array::U8(items) => items.len(),
            Array::I8(items) => items.len(),
            Array::U16(items) => items.len(),
            Array::I16(items) => items.len(),
            Array::U32(items) => items.len(),
            Array::I32(items) => items.len(),
            Array::U64(items) => items.len(),
            Array::I64(items) => items.len(),
            Array::F32(items) => items.len(),
            Array::F64(items) => items.len(),
            Array::Bool(items) => items.len(),
            Array::String(items) => items.len(),
            Array::Array(items) => items.len(),
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as whole numbers, if all are and none is negative. `Bool` counts as 0 and 1, because
    /// per-layer patterns are stored either way.
    #[must_use]
    pub fn unsigned(&self) -> Option<Vec<u64>> {
        fn signed<T: Copy + TryInto<u64>>(items: &[T]) -> Option<Vec<u64>> {
            items.iter().map(|item| (*item).try_into().ok()).collect()
        }
        match self {
            Array::U8(items) => signed(items),
            Array::I8(items) => signed(items),
            Array::U16(items) => signed(items),
            Array::I16(items) => signed(items),
            Array::U32(items) => signed(items),
            Array::I32(items) => signed(items),
            Array::U64(items) => signed(items),
            Array::I64(items) => signed(items),
            Array::Bool(items) => Some(items.iter().map(|item| u64::from(*item)).collect()),
            Array::F32(_) | Array::F64(_) | Array::String(_) | Array::Array(_) => None,
        }
    }

    pub(crate) fn kind(&self) -> ValueKind {
        match self {
            Array::U8(_) => ValueKind::U8,
            Array::I8(_) => ValueKind::I8,
            Array::U16(_) => ValueKind::U16,
            Array::I16(_) => ValueKind::I16,
            Array::U32(_) => ValueKind::U32,
            Array::I32(_) => ValueKind::I32,
            Array::U64(_) => ValueKind::U64,
            Array::I64(_) => ValueKind::I64,
            Array::F32(_) => ValueKind::F32,
            Array::F64(_) => ValueKind::F64,
            Array::Bool(_) => ValueKind::Bool,
            Array::String(_) => ValueKind::String,
            Array::Array(_) => ValueKind::Array,
        }
    }
}

impl StringArray {
    /// An array without any string.
    #[must_use]
    pub fn new() -> StringArray {
        StringArray::default()
    }

    pub(crate) fn with_capacity(strings: usize, bytes: usize) -> StringArray {
        StringArray { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(strings) }
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all strings together.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of one string.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// The text of one string; bytes that are no UTF-8 become replacement characters.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<Cow<'_, str>> {
        self.get(index).map(String::from_utf8_lossy)
    }

    /// All strings.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Adds a string at the end. False, and nothing added, if the array would hold more bytes than
    /// [`crate::limits::ARRAY_BYTES`].
    #[must_use]
    pub fn push(&mut self, string: &[u8]) -> bool {
        let end = self.bytes.len() as u64 + string.len() as u64;
        match u32::try_from(end) {
            Ok(fits) if end <= crate::limits::ARRAY_BYTES => {
                self.bytes.extend_from_slice(string);
                self.ends.push(fits);
                true
            }
            _ => false,
        }
    }
}

impl ValueKind {
    pub(crate) fn from_code(code: u32) -> Option<ValueKind> {
        use ValueKind::{Array, Bool, F32, F64, I8, I16, I32, I64, String, U8, U16, U32, U64};
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64]
            .into_iter()
            .find(|kind| *kind as u32 == code)
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Value {
                Value::$variant(number)
            }
        }
    )*};
}

value_from!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64);
value_from!(f32 => F32, f64 => F64, bool => Bool, Array => Array);

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.as_bytes().to_vec())
    }
}

impl From<StringArray> for Value {
    fn from(strings: StringArray) -> Value {
        Value::Array(Array::String(strings))
    }
}
