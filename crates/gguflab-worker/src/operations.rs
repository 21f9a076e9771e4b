//! Times the operations of a request: in turn a run without stops and one that stops after each of them.

use crate::channel::Output;
use crate::measure::{self, Session, Wanted};
use crate::roof;
use gguflab_native::observe::{self, Observed};
use gguflab_native::{Model, NativeError};
use gguflab_types::Request;
use gguflab_types::event::Phase;
use gguflab_types::message::Message;
use gguflab_types::operation::{Anatomy, Operation, Stage};
use std::collections::HashMap;
use std::time::Instant;

/// Times the first request of the workload and tells what it found.
pub(crate) fn tell<'model>(
    model: &'model Model,
    session: &mut Option<Session<'model>>,
    wanted: Wanted,
    output: &Output,
    request: u64,
) -> Result<(), NativeError> {
    measure::check(model, &wanted.workload)?;
    output.send(&Message::Phase { request, phase: Phase::Context });
    measure::prepare(model, session, &wanted)?;
    let (Some(session), Some(wish)) = (session.as_mut(), wanted.workload.requests.first()) else {
        return Ok(());
    };
    let mut anatomy = Anatomy::default();
    for part in parts(wish) {
        output.send(&Message::Phase { request, phase: Phase::Warmup });
        session.settle(|session| session.once(&part))?;
        if gguflab_native::has_gpu() {
            session.settle(|session| session.stopped(&part).map(|(seconds, _)| seconds))?;
        }
        let mut stage = Stage {
            tokens: part.prompt.max(part.generate) * part.concurrency.max(1),
            generation: part.generate > 0,
            ..Stage::default()
        };
        let mut kinds = Kinds::default();
        for _ in 0..wanted.protocol.repetitions {
            output.send(&Message::Phase { request, phase: Phase::Measure });
            if gguflab_native::has_gpu() {
                // CUDA keeps a record of the work, and stops leave others in its place.
                session.settle(|session| session.once(&part))?;
            }
            stage.plain.push(session.once(&part)?);
            let (seconds, seen) = session.stopped(&part)?;
            stage.stopped.push(seconds);
            kinds.take(seen);
        }
        stage.operations = kinds.operations;
        anatomy.stages.push(stage);
    }
    output.send(&Message::Phase { request, phase: Phase::Measure });
    anatomy.roofs = roof::measure(&anatomy.stages, session.threads());
    output.send(&Message::Operations { request, anatomy: Box::new(anatomy) });
    Ok(())
}

/// Prompt and generation of a request as requests of their own.
fn parts(wish: &Request) -> Vec<Request> {
    let prompt = Request { generate: 0, ..*wish };
    let generation = Request { prompt: 0, depth: wish.depth + wish.prompt, ..*wish };
    let parts = [prompt, generation];
    parts.into_iter().filter(|part| part.prompt > 0 || part.generate > 0).collect()
}

impl Session<'_> {
    /// Seconds of a run that stops after each operation, and the operations.
    fn stopped(&mut self, part: &Request) -> Result<(f64, Vec<Observed>), NativeError> {
        observe::start();
        let seconds = self.once(part);
        let seen = observe::finish();
        Ok((seconds?, seen))
    }

    /// Seconds of one run; the depth is filled before.
    fn once(&mut self, part: &Request) -> Result<f64, NativeError> {
        self.fill_depth(part)?;
        let started = Instant::now();
        self.run(part)?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Operations by kind.
#[derive(Default)]
struct Kinds {
    operations: Vec<Operation>,
    places: HashMap<(Option<u32>, String, String, String, String), usize>,
    runs: usize,
}

impl Kinds {
    /// Takes over what one run did.
    fn take(&mut self, seen: Vec<Observed>) {
        self.runs += 1;
        let mut layer = None;
        for one in seen {
            let (own, part) = place(&one);
            // What has no name belongs to what ran before it.
            layer = if part.is_empty() { layer } else { own };
            self.add(layer, part, one);
        }
    }

    fn add(&mut self, layer: Option<u32>, part: String, one: Observed) {
        let key = (layer, part, one.operator, one.operand, one.device);
        let next = self.operations.len();
        let place = *self.places.entry(key.clone()).or_insert(next);
        if place == next {
            let (layer, part, operator, operand, device) = key;
            self.operations.push(Operation {
                layer,
                part,
                operator,
                operand,
                device,
                ..Operation::default()
            });
        }
        let operation = &mut self.operations[place];
        operation.seconds.resize(self.runs, 0.0);
        if let Some(seconds) = operation.seconds.last_mut() {
            *seconds += one.seconds;
        }
        // All runs do the same, so the first one is counted.
        if self.runs == 1 {
            operation.count += 1;
            operation.weight_bytes += one.weight_bytes;
            operation.other_bytes += one.other_bytes;
            operation.arithmetic += one.arithmetic;
        }
    }
}

/// Layer and part of an operation: those of its weights (`blk.3.ffn_down.weight`), else of its result (`kq-3`,
/// `cache_k_l3 (view)`).
fn place(one: &Observed) -> (Option<u32>, String) {
    match &one.weight {
        Some(weight) => place_of_weight(weight),
        None => place_of_result(&one.name),
    }
}

fn place_of_weight(name: &str) -> (Option<u32>, String) {
    let plain = |name: &str| name.trim_end_matches(".weight").to_string();
    let in_layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match in_layer.and_then(|(number, rest)| Some((number.parse().ok()?, rest))) {
        Some((number, rest)) => (Some(number), plain(rest)),
        None => (None, plain(name)),
    }
}

fn place_of_result(name: &str) -> (Option<u32>, String) {
    let name = name.split(" (").next().unwrap_or_default();
    // ggml numbers what nobody named.
    if name.is_empty() || name.starts_with("node_") || name.starts_with("leaf_") {
        return (None, String::new());
    }
    let numbered = name.rsplit_once('-').or_else(|| name.rsplit_once("_l"));
    match numbered.and_then(|(part, number)| Some((part, number.parse().ok()?))) {
        Some((part, number)) => (Some(number), part.to_string()),
        None => (None, name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, weight: Option<&str>, operator: &str, seconds: f64) -> Observed {
        Observed {
            name: name.to_string(),
            weight: weight.map(str::to_string),
            operator: operator.to_string(),
            operand: "F32".to_string(),
            device: "CPU".to_string(),
            seconds,
            weight_bytes: 8.0,
            other_bytes: 4.0,
            arithmetic: 2.0,
        }
    }

    #[test]
    fn names_tell_layer_and_part() {
        for (name, weight, expected) in [
            ("Qcur-3", Some("blk.3.attn_q.weight"), (Some(3), "attn_q")),
            ("Qcur-3 (reshaped)", None, (Some(3), "Qcur")),
            ("cache_k_l12 (view)", None, (Some(12), "cache_k")),
            ("result_output", Some("output.weight"), (None, "output")),
            ("norm", Some("output_norm.weight"), (None, "output_norm")),
            ("ffn_moe_out-0", Some("blk.0.ffn_down_exps.weight"), (Some(0), "ffn_down_exps")),
            ("result_norm", None, (None, "result_norm")),
            ("node_57", None, (None, "")),
            ("", None, (None, "")),
        ] {
            let (layer, part) = place(&seen(name, weight, "MUL", 1.0));
            assert_eq!((layer, part.as_str()), expected, "{name}");
        }
    }

    #[test]
    fn runs_are_summed_by_kind_and_kept_apart() {
        let mut kinds = Kinds::default();
        let run = |seconds: f64| {
            vec![
                seen("kq-0", None, "MUL_MAT", seconds),
                seen("node_3", None, "CONT", seconds),
                seen("kq-0", None, "MUL_MAT", seconds),
                seen("kq-1", None, "MUL_MAT", seconds),
            ]
        };
        kinds.take(run(1.0));
        kinds.take(run(2.0));
        let found: Vec<_> =
            kinds.operations.iter().map(|one| (one.layer, one.count, one.seconds.clone())).collect();
        let (first, unnamed) = ((Some(0), 2, vec![2.0, 4.0]), (Some(0), 1, vec![1.0, 2.0]));
        assert_eq!(found, [first, unnamed, (Some(1), 1, vec![1.0, 2.0])]);
        assert_eq!(kinds.operations[0].weight_bytes, 16.0);
    }

    #[test]
    fn a_request_is_taken_apart() {
        let parts = parts(&Request { depth: 5, ..Request::new(16, 4) });
        let found: Vec<_> = parts.iter().map(|part| (part.depth, part.prompt, part.generate)).collect();
        assert_eq!(found, [(5, 16, 0), (21, 0, 4)]);
        assert_eq!(super::parts(&Request::new(0, 4)).len(), 1);
    }
}
