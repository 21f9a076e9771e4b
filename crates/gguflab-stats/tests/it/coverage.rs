//! Coverage and error rates by simulation, seeded.

use crate::simulate::{autoregressive, coverage, normals};
use gguflab_stats::special::normal_quantile;
use gguflab_stats::{
    Cell, Summary, drift, hodges_lehmann, location, mean, mean_interval, percentile, pooled_difference,
    residual, sign_flip, welch,
};

const RUNS: u64 = 4000;

#[track_caller]
fn covers(share: f64, least: f64, what: &str) {
    println!("{what}: {:.1} %", share * 100.0);
    assert!(share >= least, "{what} covers in {:.1} % of the simulations", share * 100.0);
}

#[test]
fn location_intervals_cover() {
    for count in [2, 3, 5, 6, 9, 30] {
        let share = coverage(RUNS, |generator| {
            location(&normals(generator, count)).unwrap().interval.unwrap().contains(0.0)
        });
        covers(share, 0.93, &format!("location of {count}"));
    }
    let share = coverage(RUNS, |generator| {
        mean_interval(&normals(generator, 4), 0.95).unwrap().interval.unwrap().contains(0.0)
    });
    covers(share, 0.93, "mean of 4");
}

#[test]
fn the_median_interval_covers_for_skewed_times_with_outliers() {
    let share = coverage(RUNS, |generator| {
        // Log-normal with every tenth value far out: its median is exp(0) shifted by nothing at all.
        let mut values: Vec<f64> = normals(generator, 21).iter().map(|z| z.exp()).collect();
        values.iter_mut().step_by(10).for_each(|value| {
            if *value > 1.0 {
                *value *= 50.0
            }
        });
        location(&values).unwrap().interval.unwrap().contains(1.0)
    });
    covers(share, 0.93, "median of 21 skewed times");
}

#[test]
fn paired_intervals_cover_and_the_exact_test_keeps_its_level() {
    for count in [2, 4, 6, 8, 15] {
        let share = coverage(RUNS, |generator| {
            hodges_lehmann(&normals(generator, count), 0.95).unwrap().interval.unwrap().contains(0.0)
        });
        covers(share, 0.93, &format!("paired interval of {count}"));
    }
    let alarms = 1.0 - coverage(RUNS, |generator| sign_flip(&normals(generator, 8)).unwrap() > 0.05);
    assert!(alarms <= 0.06, "false alarms of the sign-flip test: {alarms}");
}

#[test]
fn drift_intervals_cover_for_independent_and_for_correlated_runs() {
    for (count, carried, least) in [(8, 0.0, 0.93), (30, 0.0, 0.93), (60, 0.5, 0.9), (900, 0.5, 0.9)] {
        let share = coverage(if count > 100 { 400 } else { 2000 }, |generator| {
            let noise = autoregressive(generator, count, carried);
            let time = |at: usize| at as f64 / (count - 1) as f64;
            let values: Vec<f64> = noise
                .iter()
                .enumerate()
                .map(|(at, z)| 50.0 * (0.9_f64.ln() * time(at) + 0.04 * z).exp())
                .collect();
            drift(&values, 0.95).unwrap().interval.unwrap().contains(-0.1)
        });
        covers(share, least, &format!("drift of {count} runs, correlation {carried}"));
    }
    assert_eq!((drift(&[], 0.95), drift(&[1.0, 0.0], 0.95)), (None, None));
    let two = drift(&[4.0, 2.0], 0.95).unwrap();
    assert!((two.value + 0.5).abs() < 1e-12 && two.interval.is_none(), "{two:?}");
}

#[test]
fn unpaired_intervals_cover_with_unequal_spread_and_from_moments() {
    for (ours, theirs) in [(5, 5), (4, 12), (30, 10)] {
        let draw = |generator: &mut _, count, spread: f64| -> Vec<f64> {
            normals(generator, count).iter().map(|z| 100.0 * (spread * z).exp()).collect()
        };
        let mut moments = 0_u32;
        let share = coverage(RUNS, |generator| {
            let (one, other) = (draw(generator, ours, 0.08), draw(generator, theirs, 0.03));
            let kept = |values: &[f64]| {
                let deviation = variance(values).sqrt();
                Summary::of_moments(mean(values).unwrap(), deviation, values.len()).unwrap()
            };
            let rough = welch(&kept(&one), &kept(&other), 0.95);
            moments += u32::from(rough.interval.unwrap().contains(0.0));
            let found = welch(&Summary::of(&one).unwrap(), &Summary::of(&other).unwrap(), 0.95);
            found.interval.unwrap().contains(0.0)
        });
        covers(share, 0.935, &format!("unpaired {ours} and {theirs}"));
        covers(f64::from(moments) / RUNS as f64, 0.93, &format!("moments of {ours} and {theirs}"));
    }
    assert_eq!(Summary::of_moments(0.0, 1.0, 5), None);
    let single = welch(&Summary::of(&[9.0]).unwrap(), &Summary::of(&[10.0, 10.0]).unwrap(), 0.95);
    assert!((single.value + 0.1).abs() < 1e-12 && single.interval.is_none());
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values).unwrap_or_default();
    values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

#[test]
fn percentile_intervals_cover_for_independent_tokens() {
    for (probability, count) in [(0.5, 100), (0.9, 100), (0.95, 200), (0.99, 1000)] {
        let truth = normal_quantile(probability);
        let mut shown = 0_u32;
        let share = coverage(2000, |generator| {
            let samples = normals(generator, count);
            match percentile(&[&samples], probability, 0.95).estimate {
                Some(estimate) => {
                    shown += 1;
                    estimate.interval.unwrap().contains(truth)
                }
                None => true,
            }
        });
        assert!(shown > 1900, "p{} of {count} tokens was shown only {shown} times", probability * 100.0);
        covers(share, 0.93, &format!("p{} of {count}", probability * 100.0));
    }
}

#[test]
fn percentile_intervals_cover_for_correlated_tokens_where_naive_ones_do_not() {
    for (probability, count, carried) in
        [(0.5, 400, 0.6), (0.5, 600, 0.8), (0.9, 600, 0.8), (0.95, 1000, 0.8), (0.99, 4000, 0.6)]
    {
        let truth = normal_quantile(probability);
        let (mut honest, mut shown) = (0_u32, 0_u32);
        let naive = coverage(2000, |generator| {
            let samples = autoregressive(generator, count, carried);
            if let Some(estimate) = percentile(&[&samples], probability, 0.95).estimate {
                shown += 1;
                honest += u32::from(estimate.interval.unwrap().contains(truth));
            }
            naive_interval(samples, probability).contains(&truth)
        });
        let name = format!("p{} of {count}, correlation {carried}", probability * 100.0);
        assert!(shown > 1900, "{name} was shown only {shown} times");
        covers(f64::from(honest) / f64::from(shown), 0.90, &name);
        println!("  naive: {:.1} %", naive * 100.0);
        assert!(naive < 0.93, "{name}: even the naive interval covers in {naive}");
    }
}

/// The order-statistic interval that takes correlated tokens for independent ones.
fn naive_interval(samples: Vec<f64>, probability: f64) -> std::ops::RangeInclusive<f64> {
    let mut sorted = samples;
    sorted.sort_unstable_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let half = 1.96 * (count * probability * (1.0 - probability)).sqrt();
    let rank = |rank: f64| sorted[(rank.max(1.0) as usize - 1).min(sorted.len() - 1)];
    rank((count * probability - half).floor())..=rank((count * probability + half).ceil() + 1.0)
}

#[test]
fn pooled_intervals_hold_for_all_contenders_together() {
    for rounds in [2_usize, 4, 8] {
        let share = coverage(RUNS, |generator| {
            let cells: Vec<Cell> = (0..rounds)
                .flat_map(|block| {
                    let values = normals(generator, 6);
                    (0..5).map(move |treatment| Cell {
                        block,
                        treatment,
                        value: values[treatment] + 3.0 * values[5],
                    })
                })
                .collect();
            let noise = residual(&cells);
            (1..5).all(|treatment| {
                let difference = pooled_difference(&cells, noise, (treatment, 0), 0.95, 4).unwrap();
                difference.interval.unwrap().contains(0.0)
            })
        });
        covers(share, 0.94, &format!("four contenders in {rounds} rounds"));
    }
}
