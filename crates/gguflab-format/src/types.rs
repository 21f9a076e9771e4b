//! The element types of tensors: one table with the block size and the bytes per block of each.
//!
//! A tensor's rows are stored as blocks of `block` elements in `bytes` bytes each; unquantised types have
//! blocks of one element. Numbers are those of ggml in llama.cpp b11434 (`ggml.h` for the codes,
//! `ggml-common.h` for the layouts).

use std::fmt;

macro_rules! tensor_types {
    ($($variant:ident = $code:literal, $name:literal, $block:literal, $bytes:literal;)*) => {
        /// Element type of a tensor, named as ggml names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        #[allow(non_camel_case_types)] // the names people know: Q4_K, IQ2_XXS
        pub enum TensorType {
            $(
                #[doc = concat!("`", $name, "`: blocks of ", $block, " elements in ", $bytes, " bytes.")]
                $variant = $code,
            )*
        }

        /// Every tensor type, in the order of its code.
        pub const TENSOR_TYPES: &[TensorType] = &[$(TensorType::$variant),*];

        impl TensorType {
            /// The facts of this type.
            #[must_use]
            pub const fn facts(self) -> TypeFacts {
                match self {
                    $(TensorType::$variant => TypeFacts { name: $name, block: $block, bytes: $bytes },)*
                }
            }

            /// The type with this code in a file, if there is one (removed types are not).
            #[must_use]
            pub const fn from_code(code: u32) -> Option<TensorType> {
                match code {
                    $($code => Some(TensorType::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

tensor_types! {
    // variant, code, name, elements per block, bytes per block
    F32 = 0, "F32", 1, 4;
    F16 = 1, "F16", 1, 2;
    Q4_0 = 2, "Q4_0", 32, 18;
    Q4_1 = 3, "Q4_1", 32, 20;
    Q5_0 = 6, "Q5_0", 32, 22;
    Q5_1 = 7, "Q5_1", 32, 24;
    Q8_0 = 8, "Q8_0", 32, 34;
    Q8_1 = 9, "Q8_1", 32, 36;
    Q2_K = 10, "Q2_K", 256, 84;
    Q3_K = 11, "Q3_K", 256, 110;
    Q4_K = 12, "Q4_K", 256, 144;
    Q5_K = 13, "Q5_K", 256, 176;
    Q6_K = 14, "Q6_K", 256, 210;
    Q8_K = 15, "Q8_K", 256, 292;
    IQ2_XXS = 16, "IQ2_XXS", 256, 66;
    IQ2_XS = 17, "IQ2_XS", 256, 74;
    IQ3_XXS = 18, "IQ3_XXS", 256, 98;
    IQ1_S = 19, "IQ1_S", 256, 50;
    IQ4_NL = 20, "IQ4_NL", 32, 18;
    IQ3_S = 21, "IQ3_S", 256, 110;
    IQ2_S = 22, "IQ2_S", 256, 82;
    IQ4_XS = 23, "IQ4_XS", 256, 136;
    I8 = 24, "I8", 1, 1;
    I16 = 25, "I16", 1, 2;
    I32 = 26, "I32", 1, 4;
    I64 = 27, "I64", 1, 8;
    F64 = 28, "F64", 1, 8;
    IQ1_M = 29, "IQ1_M", 256, 56;
    BF16 = 30, "BF16", 1, 2;
    TQ1_0 = 34, "TQ1_0", 256, 54;
    TQ2_0 = 35, "TQ2_0", 256, 66;
    MXFP4 = 39, "MXFP4", 32, 17;
    NVFP4 = 40, "NVFP4", 64, 36;
    Q1_0 = 41, "Q1_0", 128, 18;
    Q2_0 = 42, "Q2_0", 64, 18;
}

/// Layout of a tensor type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeFacts {
    /// Name as people write it, as in `Q4_K`.
    pub name: &'static str,
    /// Elements in a block, at least 1.
    pub block: u64,
    /// Bytes in a block.
    pub bytes: u64,
}

impl TensorType {
    /// The code in a file.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The name, as in `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The type of this name, in upper or lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<TensorType> {
        TENSOR_TYPES.iter().copied().find(|tensor_type| tensor_type.name().eq_ignore_ascii_case(name))
    }

    /// Bits per element, block scales included.
    #[must_use]
    pub fn bits_per_weight(self) -> f64 {
        let facts = self.facts();
        8.0 * facts.bytes as f64 / facts.block as f64
    }

    /// Whether several elements share a block.
    #[must_use]
    pub const fn is_quantised(self) -> bool {
        self.facts().block > 1
    }

    /// Bytes of `elements` elements. None if they are no whole number of blocks or the product does not fit.
    #[must_use]
    pub const fn bytes_of(self, elements: u64) -> Option<u64> {
        let facts = self.facts();
        if !elements.is_multiple_of(facts.block) {
            return None;
        }
        (elements / facts.block).checked_mul(facts.bytes)
    }

    /// The type that llama.cpp's quantiser really uses when this one is asked for a tensor with `columns`
    /// columns (its first dimension): the same if the columns are whole blocks, else the fallback
    /// (`tensor_type_fallback` in llama.cpp's `src/llama-quant.cpp`), else `F16`. (llama.cpp stops instead for
    /// `Q1_0`, `Q8_K` and `NVFP4`, which have no fallback.)
    #[must_use]
    pub fn for_columns(self, columns: u64) -> TensorType {
        if columns.is_multiple_of(self.facts().block) {
            return self;
        }
        match self.fallback() {
            Some(fallback) if columns.is_multiple_of(fallback.facts().block) => fallback,
            _ => TensorType::F16,
        }
    }

    /// The type with smaller blocks that llama.cpp's quantiser puts in place of this one.
    const fn fallback(self) -> Option<TensorType> {
        match self {
            TensorType::IQ2_XXS
            | TensorType::IQ2_XS
            | TensorType::IQ2_S
            | TensorType::IQ3_XXS
            | TensorType::IQ3_S
            | TensorType::IQ1_S
            | TensorType::IQ1_M
            | TensorType::IQ4_XS => Some(TensorType::IQ4_NL),
            TensorType::Q2_0
            | TensorType::Q2_K
            | TensorType::Q3_K
            | TensorType::TQ1_0
            | TensorType::TQ2_0 => Some(TensorType::Q4_0),
            TensorType::Q4_K => Some(TensorType::Q5_0),
            TensorType::Q5_K => Some(TensorType::Q5_1),
            TensorType::Q6_K => Some(TensorType::Q8_0),
            _ => None,
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Types that ggml once had, by code, with what to do about them. Files that hold them cannot be loaded.
pub(crate) fn removed_type(code: u32) -> Option<&'static str> {
    match code {
        4 | 5 => Some("Q4_2/Q4_3, removed from ggml; convert the original model again"),
        31..=33 => Some("Q4_0 repacked for one processor, removed from ggml; use plain Q4_0"),
        36..=38 => Some("IQ4_NL repacked for one processor, removed from ggml; use plain IQ4_NL"),
        _ => None,
    }
}

/// Name of a `general.file_type` (llama.cpp's `llama_ftype`): the mix of types that a quantiser was asked
/// for. None for a number that is not known.
#[must_use]
pub fn file_type_name(code: u64) -> Option<&'static str> {
    FILE_TYPES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// `llama_ftype` of llama.cpp b11434 (`include/llama.h`).
const FILE_TYPES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (41, "Q2_0"),
];
