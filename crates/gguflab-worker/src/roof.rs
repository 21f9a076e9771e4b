//! What the devices that worked can do at best.

use gguflab_native::roof::Probe;
use gguflab_types::operation::{Limit, Roof, Stage, Work};

/// Measures each device that operations ran on: reading, and products with each type that it multiplied there.
pub(crate) fn measure(stages: &[Stage], threads: u32) -> Vec<Roof> {
    works(stages).into_iter().map(|(device, works)| roof(device, works, threads)).collect()
}

/// What each device did, in the order in which it did it first.
fn works(stages: &[Stage]) -> Vec<(&str, Vec<Work>)> {
    let mut all: Vec<(&str, Vec<Work>)> = Vec::new();
    for operation in stages.iter().flat_map(|stage| &stage.operations) {
        let place = all.iter().position(|(device, _)| *device == operation.device).unwrap_or(all.len());
        if place == all.len() {
            all.push((&operation.device, vec![Work::Reading]));
        }
        let (works, products) = (&mut all[place].1, Work::Products(operation.operand.clone()));
        if operation.is_product() && !works.contains(&products) {
            works.push(products);
        }
    }
    all
}

fn roof(device: &str, works: Vec<Work>, threads: u32) -> Roof {
    let probe = Probe::open(device, threads);
    let rate = |work: &Work| match (&probe, work) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(probe), Work::Reading) => probe.bandwidth().map_err(|error| error.to_string()),
        (Ok(probe), Work::Products(weights)) => probe.products(weights).map_err(|error| error.to_string()),
    };
    let limits = works.into_iter().map(|work| Limit { rate: rate(&work), work }).collect();
    let is_processor = probe.as_ref().is_ok_and(Probe::is_processor);
    Roof { device: device.to_string(), threads: is_processor.then_some(threads), limits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::operation::Operation;

    fn operation(device: &str, operator: &str, operand: &str) -> Operation {
        Operation {
            device: device.to_string(),
            operator: operator.to_string(),
            operand: operand.to_string(),
            ..Operation::default()
        }
    }

    #[test]
    fn each_device_is_asked_for_what_it_did() {
        let stage = |operations: &[Operation]| Stage { operations: operations.to_vec(), ..Stage::default() };
        let first = stage(&[
            operation("CUDA0", "MUL_MAT", "q4_K"),
            operation("CPU", "GET_ROWS", "q6_K"),
            operation("CUDA0", "ADD", "f32"),
        ]);
        let second = stage(&[operation("CUDA0", "MUL_MAT", "q4_K"), operation("CUDA0", "MUL_MAT_ID", "f16")]);
        let products = |weights: &str| Work::Products(weights.to_string());
        assert_eq!(
            works(&[first, second]),
            [("CUDA0", vec![Work::Reading, products("q4_K"), products("f16")]), ("CPU", vec![Work::Reading])]
        );
    }

    #[test]
    fn a_real_device_has_a_roof_and_one_that_is_missing_says_so() {
        let stage = Stage {
            operations: vec![operation("CPU", "MUL_MAT", "q8_0"), operation("CUDA9", "MUL_MAT", "q8_0")],
            ..Stage::default()
        };
        let roofs = measure(&[stage], 1);
        let [processor, missing] = roofs.as_slice() else { panic!("{roofs:?}") };
        assert_eq!((processor.threads, missing.threads), (Some(1), None));
        assert!(processor.limits.iter().all(|limit| limit.rate.is_ok()), "{processor:?}");
        let reason = Err("the engine has no device `CUDA9`".to_string());
        assert_eq!(missing.limits.len(), 2);
        assert!(missing.limits.iter().all(|limit| limit.rate == reason), "{missing:?}");
    }
}
