//! The few element types that tiny models are written in.

use crate::number::{Endian, Number};
use crate::types::TensorType;

/// Appends a row of numbers in a tensor type: `F16`, `Q8_0` (whole blocks), and `F32` for every other.
pub(super) fn encode(numbers: &[f32], tensor_type: TensorType, endian: Endian, out: &mut Vec<u8>) {
    match tensor_type {
        TensorType::F16 => numbers.iter().for_each(|number| half(*number).encode(endian, out)),
        TensorType::Q8_0 => numbers.chunks(32).for_each(|block| encode_q8_0(block, endian, out)),
        _ => numbers.iter().for_each(|number| number.encode(endian, out)),
    }
}

/// A `Q8_0` block: a half-precision scale and 32 signed bytes (`block_q8_0` in ggml-common.h).
fn encode_q8_0(block: &[f32], endian: Endian, out: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let scale = largest / 127.0;
    half(scale).encode(endian, out);
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    out.extend(block.iter().map(|number| ((number * inverse).round() as i8).cast_unsigned()));
}

/// The bits of the nearest IEEE 754 half-precision number, ties to even.
fn half(number: f32) -> u16 {
    let bits = number.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = f64::from(f32::from_bits(bits & 0x7fff_ffff));
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    // Halves below 2^-14 are spaced 2^-24; above, each power of two is cut into 1024 steps.
    let exponent = (magnitude.log2().floor()).clamp(-14.0, 16.0);
    let steps = (magnitude / 2.0_f64.powf(exponent - 10.0)).round_ties_even();
    // A full 2048 steps carries into the next exponent by itself, as the fields are adjacent.
    let raised = (exponent + 14.0) * 1024.0 + steps;
    sign | raised.min(f64::from(0x7c00)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_known_numbers() {
        let cases: [(f32, u16); 12] = [
            (0.0, 0),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (0.1, 0x2e66),
            (65504.0, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (f32::INFINITY, 0x7c00),
            (5.960_464_5e-8, 0x0001),
            (6.103_515_6e-5, 0x0400),
            (0.333_333_34, 0x3555),
        ];
        for (number, expected) in cases {
            assert_eq!(half(number), expected, "{number}");
        }
    }

    #[test]
    fn q8_0_blocks_keep_numbers_within_half_a_step() {
        let numbers: Vec<f32> = (0..32).map(|index| (index as f32 - 11.0) * 0.25).collect();
        let mut out = Vec::new();
        encode(&numbers, TensorType::Q8_0, Endian::Little, &mut out);
        assert_eq!(out.len(), 34);
        let scale = 5.0_f32 / 127.0;
        for (number, byte) in numbers.iter().zip(&out[2..]) {
            let back = f32::from(byte.cast_signed()) * scale;
            assert!((back - number).abs() <= scale * 0.5 + 1e-6, "{number} {back}");
        }
    }

    #[test]
    fn byte_order_is_respected() {
        let mut out = Vec::new();
        encode(&[1.0], TensorType::F32, Endian::Big, &mut out);
        encode(&[1.0], TensorType::F16, Endian::Big, &mut out);
        assert_eq!(out, [0x3f, 0x80, 0, 0, 0x3c, 0]);
    }
}
