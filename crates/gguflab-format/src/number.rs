//! Fixed-width numbers in either byte order.

/// Byte order of a file. GGUF 2 and 3 state it only through how the version number reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first: nearly every file.
    Little,
    /// Most significant byte first: files for s390x and a few others.
    Big,
}

impl Endian {
    /// The word shown to people: `little` or `big`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Endian::Little => "little",
            Endian::Big => "big",
        }
    }
}

/// A number that a GGUF file stores in a fixed width.
pub(crate) trait Number: Copy {
    /// Width in bytes.
    const BYTES: usize;

    /// The number in the first [`Self::BYTES`] bytes; missing bytes read as zero, so it cannot fail.
    fn decode(bytes: &[u8], endian: Endian) -> Self;

    /// Appends the number.
    fn encode(self, endian: Endian, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const BYTES: usize = size_of::<$type>();

            fn decode(bytes: &[u8], endian: Endian) -> Self {
                let mut raw = [0; size_of::<$type>()];
                if let Some(first) = bytes.get(..Self::BYTES) {
                    raw.copy_from_slice(first);
                }
                match endian {
                    Endian::Little => <$type>::from_le_bytes(raw),
                    Endian::Big => <$type>::from_be_bytes(raw),
                }
            }

            fn encode(self, endian: Endian, out: &mut Vec<u8>) {
                match endian {
                    Endian::Little => out.extend_from_slice(&self.to_le_bytes()),
                    Endian::Big => out.extend_from_slice(&self.to_be_bytes()),
                }
            }
        }
    )*};
}

number!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
