//! Writes GGUF files: the header at once, the tensors one by one, beside their place and then renamed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::FormatError;
use crate::header::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, Dimensions, TensorInfo, align, tensor_bytes};
use crate::limits;
use crate::metadata::{Array, Metadata, StringArray, Value};
use crate::number::{Endian, Number};
use crate::types::TensorType;

/// What a file shall hold. The alignment is that of `general.alignment` in the metadata, 32 if it is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// GGUF version, 2 or 3.
    pub version: u32,
    /// Byte order of the header. Tensor data are written as they come: whoever makes them keeps this order.
    pub endian: Endian,
    /// Metadata in file order.
    pub metadata: Metadata,
    /// Tensors in file order.
    pub tensors: Vec<TensorPlan>,
}

/// A tensor that shall be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorPlan {
    /// Name, at most 63 bytes, the longest that llama.cpp loads.
    pub name: String,
    /// Shape, innermost dimension first; whole blocks of the type in a row.
    pub dimensions: Dimensions,
    /// Element type.
    pub tensor_type: TensorType,
}

impl Contents {
    /// Contents of the usual kind: version 3, little-endian.
    #[must_use]
    pub fn new(metadata: Metadata, tensors: Vec<TensorPlan>) -> Contents {
        Contents { version: 3, endian: Endian::Little, metadata, tensors }
    }

    /// Length of the file in bytes, padding included, without writing it.
    ///
    /// # Errors
    /// `Invalid` or `AboveLimit` if the contents break a rule of the format.
    pub fn file_bytes(&self) -> Result<u64, FormatError> {
        let layout = layout(self)?;
        Ok(layout.header.len() as u64 + layout.data_bytes)
    }
}

/// Writes a file. `data` is called once for each tensor, in order, and writes exactly its bytes. The file
/// appears under `path` only when it is complete and on the disk; a failed one leaves nothing behind.
///
/// # Errors
/// Contents that break a rule, a tensor with another number of bytes than its shape, or the system's refusal;
/// the error names the file.
pub fn write_file(
    path: &Path,
    contents: &Contents,
    data: impl FnMut(&TensorInfo, &mut dyn Write) -> io::Result<()>,
) -> Result<(), FormatError> {
    write_beside(path, contents, data).map_err(|error| error.in_file(path))
}

/// Writes the same bytes to any writer, from where it stands.
///
/// # Errors
/// As [`write_file`], without the file's name.
pub fn write_to(
    writer: &mut dyn Write,
    contents: &Contents,
    mut data: impl FnMut(&TensorInfo, &mut dyn Write) -> io::Result<()>,
) -> Result<(), FormatError> {
    let layout = layout(contents)?;
    writer.write_all(&layout.header).map_err(write_error)?;
    for tensor in &layout.tensors {
        let mut counted = Counted { writer: &mut *writer, bytes: 0 };
        data(tensor, &mut counted).map_err(write_error)?;
        if counted.bytes != tensor.bytes {
            let problem = format!("was given {} bytes but has {}", counted.bytes, tensor.bytes);
            return Err(FormatError::invalid(format!("tensor '{}'", tensor.name), problem));
        }
        let padding = align(tensor.bytes, layout.alignment).unwrap_or(tensor.bytes) - tensor.bytes;
        io::copy(&mut io::Read::take(io::repeat(0), padding), writer).map_err(write_error)?;
    }
    Ok(())
}

/// A file made ready: its header bytes and where each tensor goes.
struct Layout {
    header: Vec<u8>,
    tensors: Vec<TensorInfo>,
    alignment: u64,
    data_bytes: u64,
}

fn layout(contents: &Contents) -> Result<Layout, FormatError> {
    if !matches!(contents.version, 2 | 3) {
        return Err(FormatError::UnknownVersion { version: contents.version });
    }
    let alignment = alignment(&contents.metadata)?;
    let (tensors, data_bytes) = placed(&contents.tensors, alignment)?;
    let mut encoder = Encoder { endian: contents.endian, out: b"GGUF".to_vec() };
    encoder.number(contents.version);
    encoder.number(tensors.len() as u64);
    encoder.number(contents.metadata.len() as u64);
    encoder.metadata(&contents.metadata)?;
    for tensor in &tensors {
        encoder.tensor(tensor);
    }
    let mut header = encoder.out;
    header.resize(header.len().next_multiple_of(alignment as usize), 0);
    Ok(Layout { header, tensors, alignment, data_bytes })
}

fn alignment(metadata: &Metadata) -> Result<u64, FormatError> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        // llama.cpp wants exactly this width.
        Some(Value::U32(bytes)) if bytes.is_power_of_two() && u64::from(*bytes) <= limits::ALIGNMENT => {
            Ok(u64::from(*bytes))
        }
        Some(value) => {
            let problem =
                format!("must be a 32-bit power of two up to {}, but is {value:?}", limits::ALIGNMENT);
            Err(FormatError::invalid(ALIGNMENT_KEY, problem))
        }
    }
}

/// Where each tensor goes, and the length of the data section.
fn placed(plans: &[TensorPlan], alignment: u64) -> Result<(Vec<TensorInfo>, u64), FormatError> {
    within("the number of tensors", plans.len() as u64, limits::TENSORS)?;
    let mut names = HashSet::new();
    let mut offset = 0;
    let mut tensors = Vec::with_capacity(plans.len());
    for plan in plans {
        let what = || format!("tensor '{}'", plan.name);
        within(
            "the length of a tensor name",
            plan.name.len() as u64,
            limits::LOADABLE_TENSOR_NAME_BYTES as u64,
        )?;
        if !names.insert(plan.name.as_str()) {
            return Err(FormatError::invalid(what(), "is there twice; give each tensor its own name"));
        }
        let bytes = tensor_bytes(&plan.dimensions, plan.tensor_type).map_err(|error| match error {
            FormatError::Invalid { problem, .. } => FormatError::Invalid { what: what(), problem },
            other => other,
        })?;
        let (name, dimensions, tensor_type) = (plan.name.clone(), plan.dimensions, plan.tensor_type);
        tensors.push(TensorInfo { name, dimensions, tensor_type, offset, bytes });
        let end = offset.checked_add(bytes).and_then(|end| align(end, alignment));
        offset =
            end.ok_or_else(|| FormatError::invalid(what(), "makes the file longer than 64 bits count"))?;
    }
    Ok((tensors, offset))
}

fn within(what: &str, value: u64, limit: u64) -> Result<(), FormatError> {
    if value > limit {
        return Err(FormatError::AboveLimit { what: what.to_owned(), value, limit });
    }
    Ok(())
}

/// Appends parts of a header in the file's byte order.
struct Encoder {
    endian: Endian,
    out: Vec<u8>,
}

impl Encoder {
    fn number(&mut self, number: impl Number) {
        number.encode(self.endian, &mut self.out);
    }

    fn numbers<N: Number>(&mut self, numbers: &[N]) {
        for number in numbers {
            number.encode(self.endian, &mut self.out);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn metadata(&mut self, metadata: &Metadata) -> Result<(), FormatError> {
        within("the number of metadata pairs", metadata.len() as u64, limits::METADATA_PAIRS)?;
        let mut keys = HashSet::new();
        for (key, value) in metadata.pairs() {
            within("the length of a metadata key", key.len() as u64, limits::KEY_BYTES)?;
            if key.is_empty() || !keys.insert(key) {
                return Err(FormatError::invalid(format!("metadata key '{key}'"), "is empty or there twice"));
            }
            self.bytes(key.as_bytes());
            self.value(value)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), FormatError> {
        self.number(value.kind() as u32);
        match value {
            Value::U8(number) => self.number(*number),
            Value::I8(number) => self.number(*number),
            Value::U16(number) => self.number(*number),
            Value::I16(number) => self.number(*number),
            Value::U32(number) => self.number(*number),
            Value::I32(number) => self.number(*number),
            Value::U64(number) => self.number(*number),
            Value::I64(number) => self.number(*number),
            Value::F32(number) => self.number(*number),
            Value::F64(number) => self.number(*number),
            Value::Bool(flag) => self.number(u8::from(*flag)),
            Value::String(bytes) => {
                within("the length of a string", bytes.len() as u64, limits::STRING_BYTES)?;
                self.bytes(bytes);
            }
            Value::Array(array) => self.array(array, 1)?,
        }
        Ok(())
    }

    fn array(&mut self, array: &Array, depth: u32) -> Result<(), FormatError> {
        within("the depth of nested arrays", depth.into(), limits::ARRAY_DEPTH.into())?;
        within("the length of an array", array.len() as u64, limits::ARRAY_ELEMENTS)?;
        self.number(array.kind() as u32);
        self.number(array.len() as u64);
        match array {
            Array::U8(items) => self.numbers(items),
            Array::I8(items) => self.numbers(items),
            Array::U16(items) => self.numbers(items),
            Array::I16(items) => self.numbers(items),
            Array::U32(items) => self.numbers(items),
            Array::I32(items) => self.numbers(items),
            Array::U64(items) => self.numbers(items),
            Array::I64(items) => self.numbers(items),
            Array::F32(items) => self.numbers(items),
            Array::F64(items) => self.numbers(items),
            Array::Bool(items) => self.out.extend(items.iter().map(|item| u8::from(*item))),
            Array::String(items) => self.strings(items),
            Array::Array(items) => {
                within("the number of arrays in an array", items.len() as u64, limits::ARRAYS_IN_ARRAY)?;
                for item in items {
                    self.array(item, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn strings(&mut self, strings: &StringArray) {
        for string in strings.iter() {
            self.bytes(string);
        }
    }

    fn tensor(&mut self, tensor: &TensorInfo) {
        self.bytes(tensor.name.as_bytes());
        let sizes = tensor.dimensions.sizes();
        self.number(sizes.len() as u32);
        self.numbers(sizes);
        self.number(tensor.tensor_type.code());
        self.number(tensor.offset);
    }
}

/// Counts what goes through, so that a tensor of the wrong length is noticed where it happens.
struct Counted<'a> {
    writer: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn write_beside(
    path: &Path,
    contents: &Contents,
    data: impl FnMut(&TensorInfo, &mut dyn Write) -> io::Result<()>,
) -> Result<(), FormatError> {
    let partial = partial_path(path)?;
    let file = File::create_new(&partial)
        .map_err(|cause| FormatError::System { action: "create the file", cause })?;
    let written = write_through(file, contents, data);
    let renamed = written.and_then(|()| {
        std::fs::rename(&partial, path)
            .map_err(|cause| FormatError::System { action: "put the file in place", cause })
    });
    if renamed.is_err() {
        // The first error is the one to report; a leftover that cannot be removed changes nothing about it.
        let _ = std::fs::remove_file(&partial);
    }
    renamed
}

fn write_through(
    file: File,
    contents: &Contents,
    data: impl FnMut(&TensorInfo, &mut dyn Write) -> io::Result<()>,
) -> Result<(), FormatError> {
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    write_to(&mut writer, contents, data)?;
    let file = writer.into_inner().map_err(|error| write_error(error.into_error()))?;
    file.sync_all().map_err(write_error)
}

/// A path beside the real one that no other writer of this or another process uses.
fn partial_path(path: &Path) -> Result<PathBuf, FormatError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| FormatError::invalid("the path", "names no file"))?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}-{}.partial", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(partial))
}

fn write_error(cause: io::Error) -> FormatError {
    FormatError::System { action: "write the file", cause }
}
