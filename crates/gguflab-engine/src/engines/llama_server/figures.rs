//! What the moments of a round say.

use super::round::Course;
use gguflab_types::{Request, Sample, metric};

/// The metrics of one repetition; definitions stand with the names in `gguflab_types::metric`. Of requests that run at
/// once, the prompt is done when the last of them has its first token, and generation begins with the first of them.
pub(super) fn samples(request: &Request, courses: &[Course], cpu_time: Option<f64>) -> Vec<Sample> {
    let sequences = courses.len() as f64;
    let moments: Vec<Vec<f64>> = courses.iter().map(Course::moments).collect();
    let end = largest(courses.iter().map(|course| course.end));
    let first = |moments: &Vec<f64>| moments.first().copied();
    let mut samples = Vec::new();
    if request.prompt > 0 {
        // A prompt alone is done with the one token that the server samples from it, or with its end.
        let done = largest(
            moments.iter().zip(courses).map(|(moments, course)| first(moments).unwrap_or(course.end)),
        );
        samples.push(Sample::one(metric::PREFILL, f64::from(request.prompt) * sequences / done));
        if request.generate > 0 {
            samples.push(Sample::one(metric::FIRST_TOKEN, done));
        }
    }
    if request.generate > 0 {
        let start = if request.prompt > 0 { smallest(moments.iter().filter_map(first)) } else { 0.0 };
        samples.extend(generation(&moments, start, request.prompt > 0));
    }
    samples.push(Sample::one(metric::REQUEST, end));
    samples.extend(cpu_time.map(|seconds| Sample::one(metric::CPU_TIME, seconds)));
    let produced: u64 = if request.generate > 0 { courses.iter().map(Course::produced).sum() } else { 0 };
    samples.push(Sample::one(metric::TOKENS_ASKED, f64::from(request.generate) * sequences));
    samples.push(Sample::one(metric::TOKENS_PRODUCED, produced as f64));
    let (drafted, accepted) =
        courses.iter().fold((0, 0), |sum, course| (sum.0 + course.drafted.0, sum.1 + course.drafted.1));
    if drafted > 0 {
        samples.push(Sample::one(metric::DRAFT_ACCEPTED, accepted as f64 / drafted as f64));
    }
    samples
}

/// Rate and gaps of the tokens, those that came out of the prompt aside.
fn generation(moments: &[Vec<f64>], start: f64, skip_first: bool) -> Vec<Sample> {
    let later = |moments: &Vec<f64>| moments.len().saturating_sub(usize::from(skip_first));
    let count: usize = moments.iter().map(later).sum();
    let last = largest(moments.iter().filter_map(|moments| moments.last().copied()));
    if count == 0 || last <= start {
        return Vec::new();
    }
    let mut gaps = Vec::with_capacity(count);
    for moments in moments {
        let from = if skip_first { None } else { Some(start) };
        let all: Vec<f64> = from.into_iter().chain(moments.iter().copied()).collect();
        gaps.extend(all.windows(2).map(|pair| pair[1] - pair[0]));
    }
    vec![
        Sample::one(metric::DECODE, count as f64 / (last - start)),
        Sample { metric: metric::INTER_TOKEN.to_string(), values: gaps },
    ]
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn smallest(values: impl Iterator<Item = f64>) -> f64 {
    let smallest = values.fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(tokens: &[f64], end: f64) -> Course {
        Course { tokens: tokens.iter().map(|seconds| (*seconds, 1)).collect(), end, ..Course::default() }
    }

    fn value(samples: &[Sample], name: &str) -> Option<f64> {
        samples.iter().find(|sample| sample.metric == name)?.values.first().copied()
    }

    #[test]
    fn one_request_is_measured_as_by_the_other_engines() {
        let made = samples(&Request::new(100, 3), &[course(&[0.5, 0.75, 1.25], 1.25)], Some(2.0));
        let expected = [
            (metric::PREFILL, 200.0),
            (metric::FIRST_TOKEN, 0.5),
            (metric::DECODE, 2.0 / 0.75),
            (metric::REQUEST, 1.25),
            (metric::CPU_TIME, 2.0),
            (metric::TOKENS_ASKED, 3.0),
            (metric::TOKENS_PRODUCED, 3.0),
        ];
        for (name, number) in expected {
            assert_eq!(value(&made, name), Some(number), "{name}");
        }
        let gaps = made.iter().find(|sample| sample.metric == metric::INTER_TOKEN).unwrap();
        assert_eq!(gaps.values, [0.25, 0.5]);
    }

    #[test]
    fn parts_that_were_not_asked_for_are_not_told() {
        let prompt_only = samples(&Request::new(100, 0), &[course(&[0.5], 0.5)], None);
        assert_eq!(value(&prompt_only, metric::PREFILL), Some(200.0));
        assert_eq!(value(&prompt_only, metric::TOKENS_PRODUCED), Some(0.0));
        for name in [metric::FIRST_TOKEN, metric::DECODE, metric::CPU_TIME] {
            assert_eq!(value(&prompt_only, name), None, "{name}");
        }
        let generation_only = samples(&Request::new(0, 2), &[course(&[0.5, 1.0], 1.0)], None);
        assert_eq!(value(&generation_only, metric::DECODE), Some(2.0));
        assert_eq!(value(&generation_only, metric::PREFILL), None);
        let gaps = generation_only.iter().find(|sample| sample.metric == metric::INTER_TOKEN).unwrap();
        assert_eq!(gaps.values, [0.5, 0.5]);
    }

    #[test]
    fn requests_at_once_share_the_time() {
        let request = Request { concurrency: 2, ..Request::new(50, 2) };
        let made = samples(&request, &[course(&[1.0, 3.0], 3.0), course(&[2.0, 4.0], 4.0)], None);
        assert_eq!(value(&made, metric::PREFILL), Some(50.0));
        assert_eq!(value(&made, metric::FIRST_TOKEN), Some(2.0));
        assert_eq!(value(&made, metric::DECODE), Some(2.0 / 3.0));
        assert_eq!(value(&made, metric::REQUEST), Some(4.0));
    }
}
