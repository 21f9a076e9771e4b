//! Reads the header of a GGUF file: everything before the tensor data.
//!
//! Layout (`docs/gguf.md` of ggml): `GGUF`, version (u32), tensor count (u64), pair count (u64), the metadata
//! pairs, the tensor descriptions, padding to the alignment, tensor data. Versions 2 and 3 are laid out alike;
//! 3 added big-endian files. The byte order is whichever makes the version a small number.

use std::io::Read;

use crate::error::FormatError;
use crate::limits;
use crate::metadata::{Array, Metadata, StringArray, Value, ValueKind};
use crate::number::{Endian, Number};
use crate::source::{SliceSource, Source, StreamSource, truncated};
use crate::types::{TENSOR_TYPES, TensorType, removed_type};

/// Alignment of the data section when `general.alignment` is absent, in bytes.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Metadata key of the alignment.
pub const ALIGNMENT_KEY: &str = "general.alignment";

/// Everything a GGUF file says before its tensor data.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// GGUF version, 2 or 3.
    pub version: u32,
    /// Byte order of the header and of the tensor data.
    pub endian: Endian,
    /// Metadata in file order.
    pub metadata: Metadata,
    /// Tensor descriptions in file order.
    pub tensors: Vec<TensorInfo>,
    /// Alignment of the data section and of each tensor in it, in bytes; a power of two.
    pub alignment: u64,
    /// Where the data section starts, in bytes from the start of the file. Beyond the file's end if the file
    /// is short.
    pub data_offset: u64,
}

/// Description of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name, as in `blk.0.attn_q.weight`.
    pub name: String,
    /// Shape, innermost dimension first.
    pub dimensions: Dimensions,
    /// Element type.
    pub tensor_type: TensorType,
    /// Where its data start, in bytes from the start of the data section.
    pub offset: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

/// Shape of a tensor: up to four dimensions, innermost (columns) first, as ggml's `ne`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dimensions {
    sizes: [u64; limits::DIMENSIONS as usize],
    count: u8,
}

impl Header {
    /// Reads a header from the start of `bytes`; tensor data may follow or be missing.
    ///
    /// # Errors
    /// Anything in [`FormatError`] but `File` and `MissingParts`.
    pub fn parse(bytes: &[u8]) -> Result<Header, FormatError> {
        parse(&mut SliceSource::new(bytes))
    }

    /// Reads a header from a reader, little further than the header goes. `length` is the number of bytes in
    /// all, if known: a count that they cannot hold is then refused at once.
    ///
    /// # Errors
    /// As [`Header::parse`], and `System` if the reader fails.
    pub fn read(reader: impl Read, length: Option<u64>) -> Result<Header, FormatError> {
        parse(&mut StreamSource::new(reader, length))
    }

    /// Bytes that the file needs to hold every tensor (padding after the last not counted). Saturates.
    #[must_use]
    pub fn needed_bytes(&self) -> u64 {
        let ends = self.tensors.iter().map(|tensor| self.data_offset.saturating_add(tensor.end()));
        ends.max().unwrap_or(0)
    }

    /// The tensor of this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl TensorInfo {
    /// Elements of the tensor.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dimensions.elements().unwrap_or(u64::MAX)
    }

    /// Where its data end, in bytes from the start of the data section. Saturates.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}

impl Dimensions {
    /// A shape from its sizes, innermost first. None for more than four.
    #[must_use]
    pub fn new(sizes: &[u64]) -> Option<Dimensions> {
        let mut all = [1; limits::DIMENSIONS as usize];
        all.get_mut(..sizes.len())?.copy_from_slice(sizes);
        Some(Dimensions { sizes: all, count: sizes.len() as u8 })
    }

    /// The sizes as stored, innermost first.
    #[must_use]
    pub fn sizes(&self) -> &[u64] {
        &self.sizes[..usize::from(self.count)]
    }

    /// Size of the innermost dimension: the columns, or inputs, of a weight matrix.
    #[must_use]
    pub fn columns(&self) -> u64 {
        self.sizes[0]
    }

    /// Elements in all; None above [`limits::TENSOR_ELEMENTS`].
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        let product = self.sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))?;
        (product <= limits::TENSOR_ELEMENTS).then_some(product)
    }

    /// Dimensions without the trailing ones, as ggml counts them; at least 1.
    #[must_use]
    pub fn significant(&self) -> usize {
        self.sizes.iter().rposition(|size| *size != 1).map_or(1, |last| last + 1)
    }
}

impl std::fmt::Debug for Dimensions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sizes().fmt(formatter)
    }
}

/// The next multiple of `alignment` (a power of two). None if it does not fit.
pub(crate) fn align(position: u64, alignment: u64) -> Option<u64> {
    position.checked_next_multiple_of(alignment)
}

fn parse<S: Source>(source: &mut S) -> Result<Header, FormatError> {
    let (version, endian) = preamble(source)?;
    let mut decoder = Decoder { source, endian };
    let tensor_count = decoder.count("the number of tensors", limits::TENSORS)?;
    let pair_count = decoder.count("the number of metadata pairs", limits::METADATA_PAIRS)?;
    let mut metadata = Metadata::new();
    for index in 0..pair_count {
        let (key, value) = decoder.pair(index)?;
        metadata.push(key, value);
    }
    let alignment = alignment(&metadata)?;
    let mut tensors = Vec::with_capacity(decoder.capacity(tensor_count, 24));
    for index in 0..tensor_count {
        tensors.push(decoder.tensor(index)?);
    }
    let end = decoder.source.position();
    let data_offset =
        align(end, alignment).ok_or_else(|| FormatError::invalid("the header", "is too long"))?;
    Ok(Header { version, endian, metadata, tensors, alignment, data_offset })
}

fn preamble<S: Source>(source: &mut S) -> Result<(u32, Endian), FormatError> {
    if source.remaining() == Some(0) {
        return Err(FormatError::Empty);
    }
    let magic: [u8; 4] = match source.take(4, "the magic number") {
        Ok(bytes) => bytes.try_into().unwrap_or_default(),
        Err(error) => return Err(error),
    };
    if magic != *b"GGUF" {
        return Err(not_gguf(magic));
    }
    let raw = source.take(4, "the version")?;
    let (little, big) = (u32::decode(raw, Endian::Little), u32::decode(raw, Endian::Big));
    // The smaller reading is the version: 3 read in the wrong order is 50,331,648.
    let (version, endian) = if little <= big { (little, Endian::Little) } else { (big, Endian::Big) };
    match version {
        1 => Err(FormatError::VersionOne),
        2 | 3 => Ok((version, endian)),
        _ => Err(FormatError::UnknownVersion { version }),
    }
}

/// Names what is often found in place of a GGUF file.
fn not_gguf(magic: [u8; 4]) -> FormatError {
    let advice = match &magic {
        b"lmgg" | b"fmgg" | b"tjgg" | b"algg" => {
            "it is a GGML file from before GGUF; convert the original model again"
        }
        b"vers" => "it is probably a Git LFS pointer; fetch the real file (git lfs pull)",
        b"<!DO" | b"<!do" | b"<htm" | b"<HTM" => "it is a web page; download the file itself",
        [b'P', b'K', 3, 4] => "it is a ZIP or PyTorch file; unpack or convert it",
        [b'{', ..] => "it is JSON; give the model file itself",
        [_, _, 0, 0] => "it may be a safetensors file; convert it to GGUF",
        _ => "check the path",
    };
    FormatError::NotGguf { start: format!("\"{}\"", magic.escape_ascii()), advice }
}

fn alignment(metadata: &Metadata) -> Result<u64, FormatError> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value.unsigned() {
        Some(bytes) if bytes.is_power_of_two() && bytes <= limits::ALIGNMENT => Ok(bytes),
        _ => Err(FormatError::invalid(
            ALIGNMENT_KEY,
            format!(
                "must be a power of two up to {}, but is {value:?}; convert the model again",
                limits::ALIGNMENT
            ),
        )),
    }
}

/// Reads the parts of a header in the file's byte order.
struct Decoder<'s, S> {
    source: &'s mut S,
    endian: Endian,
}

macro_rules! numbers {
    ($decoder:expr, $type:ty, $count:expr) => {{
        let endian = $decoder.endian;
        let bytes = $decoder.source.take($count * <$type as Number>::BYTES, "an array")?;
        bytes.chunks_exact(<$type as Number>::BYTES).map(|raw| <$type>::decode(raw, endian)).collect()
    }};
}

impl<S: Source> Decoder<'_, S> {
    fn number<N: Number>(&mut self, what: &'static str) -> Result<N, FormatError> {
        let endian = self.endian;
        Ok(N::decode(self.source.take(N::BYTES, what)?, endian))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, FormatError> {
        let value: u64 = self.number(what)?;
        if value > limit {
            return Err(FormatError::AboveLimit { what: what.to_owned(), value, limit });
        }
        Ok(value)
    }

    fn bytes(&mut self, what: &'static str, limit: u64) -> Result<&[u8], FormatError> {
        let length = self.count(what, limit)?;
        self.source.take(length as usize, what)
    }

    fn name(&mut self, what: &'static str, limit: u64, index: u64) -> Result<String, FormatError> {
        let bytes = self.bytes(what, limit).map_err(|error| located(error, || format!("{what} {index}")))?;
        String::from_utf8(bytes.to_vec()).map_err(|error| {
            let start: Vec<u8> = error.as_bytes().iter().copied().take(40).collect();
            let start = start.escape_ascii();
            FormatError::invalid(
                format!("{what} {index}"),
                format!("(\"{start}\") is not UTF-8; get the file again"),
            )
        })
    }

    /// Room to reserve for `count` items of at least `least` bytes each: what the input can justify.
    fn capacity(&self, count: u64, least: u64) -> usize {
        let held = self.source.remaining().map_or(4_096, |bytes| bytes / least);
        count.min(held).min(1 << 20) as usize
    }

    fn pair(&mut self, index: u64) -> Result<(String, Value), FormatError> {
        let key = self.name("metadata key", limits::KEY_BYTES, index)?;
        if key.is_empty() {
            return Err(FormatError::invalid(
                format!("metadata key {index}"),
                "is empty; get the file again",
            ));
        }
        let value = self.value().map_err(|error| located(error, || format!("the value of '{key}'")))?;
        let position = self.source.position();
        if position > limits::HEADER_BYTES {
            let (what, limit) = ("the length of the header".to_owned(), limits::HEADER_BYTES);
            return Err(FormatError::AboveLimit { what, value: position, limit });
        }
        Ok((key, value))
    }

    fn kind(&mut self) -> Result<ValueKind, FormatError> {
        let code: u32 = self.number("a value type")?;
        ValueKind::from_code(code).ok_or_else(|| {
            FormatError::invalid("it", format!("has value type {code}, which GGUF lacks; get the file again"))
        })
    }

    fn value(&mut self) -> Result<Value, FormatError> {
        const WHAT: &str = "a value";
        Ok(match self.kind()? {
            ValueKind::U8 => Value::U8(self.number(WHAT)?),
            ValueKind::I8 => Value::I8(self.number(WHAT)?),
            ValueKind::U16 => Value::U16(self.number(WHAT)?),
            ValueKind::I16 => Value::I16(self.number(WHAT)?),
            ValueKind::U32 => Value::U32(self.number(WHAT)?),
            ValueKind::I32 => Value::I32(self.number(WHAT)?),
            ValueKind::U64 => Value::U64(self.number(WHAT)?),
            ValueKind::I64 => Value::I64(self.number(WHAT)?),
            ValueKind::F32 => Value::F32(self.number(WHAT)?),
            ValueKind::F64 => Value::F64(self.number(WHAT)?),
            ValueKind::Bool => Value::Bool(self.number::<u8>(WHAT)? != 0),
            ValueKind::String => Value::String(self.bytes("a string", limits::STRING_BYTES)?.to_vec()),
            ValueKind::Array => Value::Array(self.array(1)?),
        })
    }

    fn array(&mut self, depth: u32) -> Result<Array, FormatError> {
        let kind = self.kind()?;
        let count = self.count("the length of an array", limits::ARRAY_ELEMENTS)?;
        if kind == ValueKind::Array {
            check_nesting(count, depth)?;
        }
        let least = count.saturating_mul(least_bytes(kind));
        if self.source.remaining().is_some_and(|bytes| bytes < least) {
            return Err(truncated("an array", self.source.position(), least as usize));
        }
        let length = count as usize;
        Ok(match kind {
            ValueKind::U8 => Array::U8(numbers!(self, u8, length)),
            ValueKind::I8 => Array::I8(numbers!(self, i8, length)),
            ValueKind::U16 => Array::U16(numbers!(self, u16, length)),
            ValueKind::I16 => Array::I16(numbers!(self, i16, length)),
            ValueKind::U32 => Array::U32(numbers!(self, u32, length)),
            ValueKind::I32 => Array::I32(numbers!(self, i32, length)),
            ValueKind::U64 => Array::U64(numbers!(self, u64, length)),
            ValueKind::I64 => Array::I64(numbers!(self, i64, length)),
            ValueKind::F32 => Array::F32(numbers!(self, f32, length)),
            ValueKind::F64 => Array::F64(numbers!(self, f64, length)),
            ValueKind::Bool => {
                Array::Bool(self.source.take(length, "an array")?.iter().map(|byte| *byte != 0).collect())
            }
            ValueKind::String => Array::String(self.strings(count)?),
            ValueKind::Array => Array::Array(self.arrays(count, depth)?),
        })
    }

    fn strings(&mut self, count: u64) -> Result<StringArray, FormatError> {
        // Tokens are 6 to 8 bytes on average; the buffer grows if they are longer.
        let capacity = self.capacity(count, 16);
        let mut strings = StringArray::with_capacity(capacity, capacity * 8);
        for _ in 0..count {
            let string = self.bytes("a string", limits::STRING_BYTES)?;
            if !strings.push(string) {
                let value = strings.total_bytes() as u64 + string.len() as u64;
                let what = "the length of all strings of an array".to_owned();
                return Err(FormatError::AboveLimit { what, value, limit: limits::ARRAY_BYTES });
            }
        }
        Ok(strings)
    }

    fn arrays(&mut self, count: u64, depth: u32) -> Result<Vec<Array>, FormatError> {
        let mut arrays = Vec::new();
        for _ in 0..count {
            arrays.push(self.array(depth + 1)?);
        }
        Ok(arrays)
    }

    fn tensor(&mut self, index: u64) -> Result<TensorInfo, FormatError> {
        let name = self.name("tensor name", limits::TENSOR_NAME_BYTES, index)?;
        self.described(&name)
            .map_err(|error| located(error, || format!("tensor '{name}'")))
            .map(|info| TensorInfo { name, ..info })
    }

    fn described(&mut self, name: &str) -> Result<TensorInfo, FormatError> {
        const WHAT: &str = "a tensor description";
        let count: u32 = self.number("the number of dimensions")?;
        if count > limits::DIMENSIONS {
            let what = format!("the number of dimensions of tensor '{name}'");
            return Err(FormatError::AboveLimit {
                what,
                value: count.into(),
                limit: limits::DIMENSIONS.into(),
            });
        }
        let mut dimensions = Dimensions { sizes: [1; limits::DIMENSIONS as usize], count: count as u8 };
        for size in &mut dimensions.sizes[..count as usize] {
            *size = self.number(WHAT)?;
        }
        let tensor_type = tensor_type(self.number(WHAT)?)?;
        let offset: u64 = self.number(WHAT)?;
        let bytes = tensor_bytes(&dimensions, tensor_type)?;
        Ok(TensorInfo { name: String::new(), dimensions, tensor_type, offset, bytes })
    }
}

/// Refuses an array of `count` arrays inside `depth` others if that is beyond the limits.
fn check_nesting(count: u64, depth: u32) -> Result<(), FormatError> {
    for (what, value, limit) in [
        ("the depth of nested arrays", u64::from(depth) + 1, u64::from(limits::ARRAY_DEPTH)),
        ("the number of arrays in an array", count, limits::ARRAYS_IN_ARRAY),
    ] {
        if value > limit {
            return Err(FormatError::AboveLimit { what: what.to_owned(), value, limit });
        }
    }
    Ok(())
}

/// Bytes that an element of this kind takes at least.
fn least_bytes(kind: ValueKind) -> u64 {
    match kind {
        ValueKind::U8 | ValueKind::I8 | ValueKind::Bool => 1,
        ValueKind::U16 | ValueKind::I16 => 2,
        ValueKind::U32 | ValueKind::I32 | ValueKind::F32 => 4,
        ValueKind::U64 | ValueKind::I64 | ValueKind::F64 | ValueKind::String => 8,
        ValueKind::Array => 12,
    }
}

/// Bytes of a tensor of this shape and type; refuses a shape that has no whole number of blocks in a row.
pub(crate) fn tensor_bytes(dimensions: &Dimensions, tensor_type: TensorType) -> Result<u64, FormatError> {
    let columns = dimensions.columns();
    let block = tensor_type.facts().block;
    if !columns.is_multiple_of(block) {
        let problem = format!("has {columns} columns, no whole number of {tensor_type} blocks of {block}");
        return Err(FormatError::invalid("it", problem));
    }
    dimensions.elements().and_then(|elements| tensor_type.bytes_of(elements)).ok_or_else(|| {
        FormatError::invalid("it", format!("has the shape {dimensions:?}, more elements than 64 bits count"))
    })
}

fn tensor_type(code: u32) -> Result<TensorType, FormatError> {
    TensorType::from_code(code).ok_or_else(|| {
        let newest = TENSOR_TYPES.last().map_or(0, |newest| newest.code());
        let problem = match removed_type(code) {
            Some(advice) => format!("has type {code}: {advice}"),
            None => format!("has type {code}, which is not known (up to {newest}); use a newer gguflab"),
        };
        FormatError::invalid("it", problem)
    })
}

/// Puts a place into an error that arose where the place was not known.
fn located(error: FormatError, place: impl Fn() -> String) -> FormatError {
    match error {
        FormatError::Truncated { position, needed, .. } => {
            FormatError::Truncated { what: place(), position, needed }
        }
        FormatError::AboveLimit { what, value, limit } => {
            FormatError::AboveLimit { what: format!("{what} ({})", place()), value, limit }
        }
        FormatError::Invalid { what, problem } if what == "it" => {
            FormatError::Invalid { what: place(), problem }
        }
        other => other,
    }
}
