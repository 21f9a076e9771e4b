//! The samples of a repetition as one value: a table of metric names and counts, then all numbers.
//!
//! Version 1, everything little endian: byte `1`; number of samples (u32); for each the length of its name (u32),
//! the name (UTF-8) and its number of values (u32); then the values of all samples in this order (f64).

use gguflab_types::Sample;

const VERSION: u8 = 1;

/// Packs samples.
pub(crate) fn pack(samples: &[Sample]) -> Vec<u8> {
    let values: usize = samples.iter().map(|sample| sample.values.len()).sum();
    let names: usize = samples.iter().map(|sample| sample.metric.len() + 8).sum();
    let mut bytes = Vec::with_capacity(5 + names + 8 * values);
    bytes.push(VERSION);
    push_length(&mut bytes, samples.len());
    for sample in samples {
        push_length(&mut bytes, sample.metric.len());
        bytes.extend_from_slice(sample.metric.as_bytes());
        push_length(&mut bytes, sample.values.len());
    }
    for value in samples.iter().flat_map(|sample| &sample.values) {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Reads what [`pack`] wrote, or says what is wrong with it.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Sample>, String> {
    let mut rest = bytes;
    match take(&mut rest, 1)?.first() {
        Some(&VERSION) => {}
        other => return Err(format!("packed samples have version {other:?}, known is {VERSION}")),
    }
    let count = length(&mut rest)?;
    let mut table = Vec::new();
    for _ in 0..count {
        let size = length(&mut rest)?;
        let name = std::str::from_utf8(take(&mut rest, size)?).map_err(|error| error.to_string())?;
        table.push((name, length(&mut rest)?));
    }
    let mut samples = Vec::with_capacity(table.len());
    for (name, count) in table {
        let size = count.checked_mul(8).ok_or("packed samples have an impossible length")?;
        samples.push(Sample { metric: name.to_string(), values: numbers(take(&mut rest, size)?) });
    }
    if rest.is_empty() {
        Ok(samples)
    } else {
        Err(format!("{} bytes too many in packed samples", rest.len()))
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    // SQLite holds no value of 4 GiB, so a length that does not fit is refused when it is stored.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn length(rest: &mut &[u8]) -> Result<usize, String> {
    let mut number = [0; 4];
    number.copy_from_slice(take(rest, 4)?);
    usize::try_from(u32::from_le_bytes(number)).map_err(|error| error.to_string())
}

fn numbers(bytes: &[u8]) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(size).ok_or("packed samples end too early")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(samples: &[Sample]) -> Vec<(&str, Vec<u64>)> {
        let bits = |sample: &Sample| sample.values.iter().map(|value| value.to_bits()).collect();
        samples.iter().map(|sample| (sample.metric.as_str(), bits(sample))).collect()
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(
            table in prop::collection::vec((".{0,12}", prop::collection::vec(any::<u64>(), 0..20)), 0..8),
        ) {
            let samples: Vec<Sample> = table
                .into_iter()
                .map(|(metric, values)| Sample { metric, values: values.into_iter().map(f64::from_bits).collect() })
                .collect();
            let packed = pack(&samples);
            let unpacked = unpack(&packed).unwrap();
            prop_assert_eq!(bits(&unpacked), bits(&samples));
            for end in 0..packed.len() {
                prop_assert!(unpack(&packed[..end]).is_err());
            }
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(samples) = unpack(&bytes) {
                prop_assert_eq!(pack(&samples), bytes);
            }
        }
    }

    #[test]
    fn a_token_costs_eight_bytes_and_another_version_is_refused() {
        let mut packed = pack(&[Sample { metric: "inter-token".into(), values: vec![0.01; 128] }]);
        assert_eq!(packed.len(), 1 + 4 + 4 + "inter-token".len() + 4 + 128 * 8);
        packed[0] = 2;
        assert!(unpack(&packed).unwrap_err().contains("version"));
    }
}
