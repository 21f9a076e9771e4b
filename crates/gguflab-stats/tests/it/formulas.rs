//! Closed forms, published values and brute force.

use gguflab_stats::{
    Cell, Estimate, Interval, Verdict, compare, effective_size, geometric_mean, hodges_lehmann, judge,
    location, median_interval, percentile, pooled_difference, positive_location, proportion, residual,
    robust_spread, samples_needed, sign_flip, special,
};
use gguflab_types::Direction;

#[track_caller]
fn close(ours: f64, expected: f64) {
    assert!((ours - expected).abs() < 1e-9 * expected.abs().max(1.0), "{ours} instead of {expected}");
}

#[test]
fn floors_of_the_percentiles_are_the_smallest_numbers_with_both_order_statistics() {
    for (probability, floor) in [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)] {
        assert_eq!(samples_needed(probability, 0.95), floor, "p{}", probability * 100.0);
        let extremes = |count: u64| {
            special::binomial_mass(0, count, probability).max(special::binomial_mass(
                count,
                count,
                probability,
            ))
        };
        assert!(extremes(floor) <= 0.025 && extremes(floor - 1) > 0.025);
        let samples: Vec<f64> = (0..floor).map(|index| scattered(index) as f64).collect();
        let shown = percentile(&[&samples], probability, 0.95);
        let hidden = percentile(&[&samples[1..]], probability, 0.95);
        assert!(shown.effective < floor as f64 || shown.estimate.is_some());
        assert_eq!((hidden.estimate, hidden.needed), (None, floor));
    }
}

/// A fixed disorder: neighbouring indices give distant values.
fn scattered(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

#[test]
fn the_geometric_mean_is_that_of_logarithms() {
    let mean = geometric_mean(&[2.0, 8.0, f64::NAN]).unwrap();
    assert!((mean - 4.0).abs() < 1e-14, "{mean}");
    assert_eq!(geometric_mean(&[20.0]), Some(20.0), "not a bit of a single value is lost");
    assert_eq!((geometric_mean(&[]), geometric_mean(&[3.0, 0.0])), (None, None));
}

#[test]
fn the_median_interval_of_published_tables() {
    // Ranks for 95 %: David & Nagaraja, table 7.1 (n: lower rank); the upper one mirrors it.
    for (count, lower) in [(6_usize, 1_usize), (8, 1), (9, 2), (12, 3), (20, 6), (30, 10)] {
        let samples: Vec<f64> = (1..=count).map(|rank| rank as f64).collect();
        let interval = median_interval(&samples, 0.95).unwrap().interval.unwrap();
        assert_eq!((interval.low, interval.high), (lower as f64, (count + 1 - lower) as f64), "{count}");
        assert!(interval.confidence >= 0.95);
    }
    assert_eq!(median_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap().interval, None);
}

#[test]
fn location_uses_what_the_number_of_samples_allows() {
    let single = location(&[7.0]).unwrap();
    assert_eq!((single.value, single.interval, single.count), (7.0, None, 1));
    let few = location(&[1.0, 2.0, 4.0]).unwrap();
    // Means of pairs: 1, 1.5, 2, 2.5, 3, 4.
    close(few.value, 2.25);
    close(few.interval.unwrap().half_width(), 4.302_652_729_911_275 * (7.0_f64 / 9.0).sqrt());
    let many = location(&[3.0, 1.0, 2.0, 9.0, 5.0, 4.0]).unwrap();
    let interval = many.interval.unwrap();
    assert_eq!((many.value, interval.low, interval.high), (3.5, 1.0, 9.0));
    close(interval.confidence, 1.0 - 2.0 / 64.0);
}

#[test]
fn the_sign_flip_test_counts_patterns() {
    close(sign_flip(&[1.0, 2.0, 3.0]).unwrap(), 2.0 / 8.0);
    close(sign_flip(&[1.0, 2.0, -3.0]).unwrap(), 1.0);
    close(sign_flip(&[0.1; 10]).unwrap(), 2.0 / 1024.0);
    close(sign_flip(&[0.0; 4]).unwrap(), 1.0);
    let many: Vec<f64> = (0..19).map(|index| 0.2 + f64::from(index % 3 - 1)).collect();
    let exact_like = sign_flip(&many[..18]).unwrap();
    assert!((sign_flip(&many).unwrap() - exact_like).abs() < 0.1);
}

#[test]
fn the_wilcoxon_interval_of_published_tables() {
    // Number of pair means cut off on each side for 95 %: Hollander & Wolfe, table A.4 (critical value t: the
    // interval runs from the (t)-th smallest), here counted from 0.
    for (count, cut) in [(6_usize, 0_usize), (7, 2), (8, 3), (10, 8), (15, 25), (20, 52)] {
        let samples: Vec<f64> = (0..count as u64).map(|index| scattered(index) as f64).collect();
        let mut means: Vec<f64> = (0..count)
            .flat_map(|one| (one..count).map(move |other| (one, other)))
            .map(|(one, other)| f64::midpoint(samples[one], samples[other]))
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let interval = hodges_lehmann(&samples, 0.95).unwrap().interval.unwrap();
        assert_eq!((interval.low, interval.high), (means[cut], means[means.len() - 1 - cut]), "{count}");
    }
    assert_eq!(hodges_lehmann(&[1.0; 5], 0.95).unwrap().method, "Hodges-Lehmann, paired t interval");
    assert_eq!(hodges_lehmann(&[1.0], 0.95).unwrap().interval, None);
}

#[test]
fn the_normal_limit_takes_over_smoothly() {
    let samples = |count: u64| (0..count).map(|index| (scattered(index) % 1000) as f64).collect::<Vec<_>>();
    let exact = hodges_lehmann(&samples(60), 0.95).unwrap().interval.unwrap();
    let limit = hodges_lehmann(&samples(61), 0.95).unwrap().interval.unwrap();
    assert!((exact.half_width() / limit.half_width() - 1.0).abs() < 0.1);
    assert_eq!(hodges_lehmann(&samples(2000), 0.95).unwrap().count, 2000);
}

#[test]
fn verdicts() {
    let difference = |low: f64, high: f64| Estimate {
        value: f64::midpoint(low, high),
        interval: Some(Interval { low, high, confidence: 0.95 }),
        count: 8,
        method: "given",
    };
    for (low, high, lower_is_better) in [
        (-0.06, -0.02, Verdict::Better),
        (0.02, 0.06, Verdict::Worse),
        (-0.005, 0.008, Verdict::Indistinguishable),
        (-0.009, -0.001, Verdict::Indistinguishable),
        (-0.03, 0.002, Verdict::Undecided),
        (-0.03, -0.002, Verdict::Better),
    ] {
        assert_eq!(judge(&difference(low, high), 0.01, Direction::Lower), lower_is_better, "{low}…{high}");
        let mirrored = judge(&difference(-high, -low), 0.01, Direction::Higher);
        assert_eq!(mirrored, lower_is_better, "mirrored {low}…{high}");
    }
    assert_eq!(judge(&Estimate::bare(-0.5, 1, "given"), 0.01, Direction::Lower), Verdict::Undecided);
    assert_eq!(judge(&difference(0.02, 0.06), 0.01, Direction::Neutral), Verdict::Undecided);
}

#[test]
fn comparisons_are_relative_and_symmetric() {
    let reference = [10.0, 11.0, 12.0, 10.5, 11.5, 12.5, 10.2];
    let candidate = reference.map(|value| value * 0.9);
    let comparison = compare(&candidate, &reference, 0.95).unwrap();
    close(comparison.difference.value, -0.1);
    close(comparison.p_value, 2.0 / 128.0);
    let back = compare(&reference, &candidate, 0.95).unwrap();
    close((1.0 + back.difference.value) * (1.0 + comparison.difference.value), 1.0);
    assert!(compare(&[0.0, -1.0], &[1.0, 1.0], 0.95).is_none());
}

#[test]
fn correlated_series_are_worth_less() {
    let steady: Vec<f64> = (0..1000).map(|index| scattered(index) as f64).collect();
    assert!(effective_size(&[&steady]) > 900.0);
    let doubled: Vec<f64> = steady.iter().flat_map(|value| [*value; 4]).collect();
    let worth = effective_size(&[&doubled]);
    assert!((800.0..1500.0).contains(&worth), "{worth}");
    // Two repetitions at different levels are worth two samples, not two hundred.
    let levels: Vec<Vec<f64>> =
        [0.0, 1e9].iter().map(|level| steady[..100].iter().map(|v| v + level).collect()).collect();
    let worth = effective_size(&[&levels[0], &levels[1]]);
    assert!(worth < 8.0, "{worth}");
    assert_eq!(effective_size(&[&[5.0; 50]]), 50.0);
}

#[test]
fn a_complete_block_design_gives_the_textbook_residual() {
    // Two blocks, three treatments: residual sum of squares by hand.
    let values = [[1.0, 2.0, 4.0], [2.0, 4.0, 4.0]];
    let cells: Vec<Cell> = (0..2)
        .flat_map(|block| {
            (0..3).map(move |treatment| Cell { block, treatment, value: values[block][treatment] })
        })
        .collect();
    let found = residual(&cells).unwrap();
    assert_eq!(found.freedom, 2);
    close(found.variance, 0.5);
    let difference = pooled_difference(&cells, residual(&cells), (2, 0), 0.95, 1).unwrap();
    close(difference.value, 2.5);
    close(difference.interval.unwrap().half_width(), 4.302_652_729_911_275 * 0.5_f64.sqrt());
    let together = pooled_difference(&cells, residual(&cells), (2, 0), 0.95, 4).unwrap();
    assert!(together.interval.unwrap().half_width() > difference.interval.unwrap().half_width());
}

#[test]
fn missing_cells_cost_their_degrees_of_freedom() {
    let cell = |block, treatment, value| Cell { block, treatment, value };
    let exact: Vec<Cell> = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]
        .map(|(block, treatment)| cell(block, treatment, (block * 10 + treatment * treatment) as f64))
        .to_vec();
    let found = residual(&exact).unwrap();
    assert_eq!(found.freedom, 7 - (3 + 3 - 1));
    assert!(found.variance < 1e-20);
    // Blocks that share no treatment have a level each.
    assert_eq!(residual(&[cell(0, 0, 1.0), cell(1, 1, 5.0)]), None);
    assert_eq!(pooled_difference(&exact, residual(&exact), (9, 0), 0.95, 1), None);
}

#[test]
fn a_contender_that_varies_more_is_judged_by_its_own_spread() {
    let wild = [0.0, 3.0, -3.0, 2.5, -2.5, 3.0];
    let calm = [0.01, -0.01, 0.02, -0.02, 0.01, -0.01];
    let cells: Vec<Cell> = (0..6)
        .flat_map(|block| {
            let quiet =
                (0..6).map(move |treatment| Cell { block, treatment, value: calm[(block + treatment) % 6] });
            quiet.chain([Cell { block, treatment: 6, value: wild[block] }])
        })
        .collect();
    assert_eq!(
        pooled_difference(&cells, residual(&cells), (6, 0), 0.95, 1).unwrap().method,
        "mean paired difference, own t interval"
    );
    assert_eq!(
        pooled_difference(&cells, residual(&cells), (1, 0), 0.95, 1).unwrap().method,
        "mean paired difference, pooled t interval"
    );
}

#[test]
fn positive_quantities_have_intervals_above_zero() {
    let estimate = positive_location(&[0.1, 0.3]).unwrap();
    let interval = estimate.interval.unwrap();
    assert!(interval.low > 0.0 && interval.contains(estimate.value), "{estimate:?}");
    close(estimate.value, (0.1_f64 * 0.3).sqrt());
    assert_eq!(positive_location(&[0.0, -1.0]), None);
}

#[test]
fn a_robust_spread_is_that_of_most_values() {
    close(robust_spread(&[1.0, 2.0, 3.0, 4.0, 100.0]).unwrap(), 1.4826);
}

#[test]
fn estimates_are_written_with_their_interval() {
    let json = serde_json::to_value(location(&[1.0, 2.0]).unwrap()).unwrap();
    assert_eq!(json["count"], 2);
    assert_eq!(json["interval"]["confidence"], 0.95);
}

#[test]
fn shares_have_the_exact_interval_of_clopper_and_pearson() {
    // Clopper and Pearson (1934) for 10 of 20; the rule of three and the closed form for none of n.
    let half = proportion(10, 20, 0.95).unwrap();
    let interval = half.interval.unwrap();
    assert!((interval.low - 0.271_96).abs() < 1e-5 && (interval.high - 0.728_04).abs() < 1e-5, "{half:?}");
    let none = proportion(0, 50, 0.95).unwrap().interval.unwrap();
    assert_eq!(none.low, 0.0);
    close(none.high, 1.0 - 0.025_f64.powf(1.0 / 50.0));
    let all = proportion(50, 50, 0.95).unwrap().interval.unwrap();
    close(all.low, 0.025_f64.powf(1.0 / 50.0));
    assert_eq!((all.high, proportion(0, 0, 0.95), proportion(2, 1, 0.95)), (1.0, None, None));
}
