//! The table of tensor types against values written down by hand.

use std::collections::HashSet;

use gguflab_format::TensorType;
use gguflab_format::types::{TENSOR_TYPES, file_type_name};

/// Code, name, bits per weight as llama.cpp's documentation states them.
const KNOWN: [(u32, &str, f64); 35] = [
    (0, "F32", 32.0),
    (1, "F16", 16.0),
    (2, "Q4_0", 4.5),
    (3, "Q4_1", 5.0),
    (6, "Q5_0", 5.5),
    (7, "Q5_1", 6.0),
    (8, "Q8_0", 8.5),
    (9, "Q8_1", 9.0),
    (10, "Q2_K", 2.625),
    (11, "Q3_K", 3.4375),
    (12, "Q4_K", 4.5),
    (13, "Q5_K", 5.5),
    (14, "Q6_K", 6.5625),
    (15, "Q8_K", 9.125),
    (16, "IQ2_XXS", 2.0625),
    (17, "IQ2_XS", 2.3125),
    (18, "IQ3_XXS", 3.0625),
    (19, "IQ1_S", 1.5625),
    (20, "IQ4_NL", 4.5),
    (21, "IQ3_S", 3.4375),
    (22, "IQ2_S", 2.5625),
    (23, "IQ4_XS", 4.25),
    (24, "I8", 8.0),
    (25, "I16", 16.0),
    (26, "I32", 32.0),
    (27, "I64", 64.0),
    (28, "F64", 64.0),
    (29, "IQ1_M", 1.75),
    (30, "BF16", 16.0),
    (34, "TQ1_0", 1.6875),
    (35, "TQ2_0", 2.0625),
    (39, "MXFP4", 4.25),
    (40, "NVFP4", 4.5),
    (41, "Q1_0", 1.125),
    (42, "Q2_0", 2.25),
];

#[test]
fn codes_names_and_sizes_are_those_of_ggml() {
    assert_eq!(TENSOR_TYPES.len(), KNOWN.len());
    for (code, name, bits) in KNOWN {
        let found = TensorType::from_code(code).expect(name);
        assert_eq!((found.code(), found.name(), found.bits_per_weight()), (code, name, bits));
        assert_eq!(TensorType::from_name(&name.to_lowercase()), Some(found));
        // 768 elements are whole blocks of every type.
        assert_eq!(found.bytes_of(768), Some((768.0 * bits / 8.0) as u64), "{name}");
        assert_eq!(found.is_quantised(), found.bytes_of(1).is_none(), "{name}");
    }
}

#[test]
fn names_and_codes_are_unique_and_removed_codes_stay_unknown() {
    let names: HashSet<&str> = TENSOR_TYPES.iter().map(|found| found.name()).collect();
    assert_eq!(names.len(), TENSOR_TYPES.len());
    assert!(TENSOR_TYPES.is_sorted_by_key(|found| found.code()));
    for code in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
        assert_eq!(TensorType::from_code(code), None);
    }
}

#[test]
fn bytes_that_do_not_fit_are_none() {
    assert_eq!(TensorType::F64.bytes_of(u64::MAX), None);
    assert_eq!(TensorType::Q4_K.bytes_of(576), None);
    assert_eq!(TensorType::Q4_0.bytes_of(0), Some(0));
}

#[test]
fn columns_decide_the_real_type() {
    use TensorType::*;
    for (wanted, columns, real) in [
        (Q4_K, 512, Q4_K),
        (Q4_K, 576, Q5_0),
        (Q5_K, 640, Q5_1),
        (Q6_K, 576, Q8_0),
        (Q2_K, 576, Q4_0),
        (Q3_K, 576, Q4_0),
        (TQ1_0, 576, Q4_0),
        (Q2_0, 32, Q4_0),
        (IQ4_XS, 576, IQ4_NL),
        (IQ1_M, 576, IQ4_NL),
        (Q4_K, 100, F16),
        (Q8_0, 100, F16),
        (F32, 7, F32),
    ] {
        assert_eq!(wanted.for_columns(columns), real, "{wanted} at {columns}");
    }
}

#[test]
fn file_types_have_names() {
    for (code, name) in [(0, Some("F32")), (3, Some("Q4_1")), (15, Some("Q4_K_M")), (4, None), (99, None)] {
        assert_eq!(file_type_name(code), name);
    }
}
