//! Looking after every chunk: how often intervals miss, and how soon races are decided, by simulation.

use crate::simulate::generator;
use gguflab_stats::simulation::{Text, normal};
use gguflab_stats::{
    ConfidenceSequence, Elimination, Estimate, Goal, Interval, Margin, Part, Ratio, Rules, Verdict, beside,
};
use gguflab_types::Direction;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Simulated evaluations for each rate.
const RUNS: u64 = 2000;

/// A text of many chunks, whose mean is known.
struct Pool {
    parts: Vec<Part>,
    /// Sum of squares of each chunk's values, for the interval that takes tokens for independent.
    squares: Vec<f64>,
    truth: f64,
}

impl Pool {
    fn new(text: Text, chunks: usize, seed: u64) -> Pool {
        let mut generator = generator(seed);
        let chunks = text.chunks(chunks, &mut || generator.random());
        let part = |chunk: &Vec<f64>| Part { sum: chunk.iter().sum(), size: chunk.len() as f64 };
        let parts: Vec<Part> = chunks.iter().map(part).collect();
        let squares = chunks.iter().map(|chunk| chunk.iter().map(|value| value * value).sum()).collect();
        let truth = Ratio::of(&parts, None).expect("chunks").value;
        Pool { parts, squares, truth }
    }

    /// Chunks by their place, drawn with replacement.
    fn draw(&self, count: usize, generator: &mut ChaCha8Rng) -> Vec<usize> {
        (0..count).map(|_| generator.random_range(0..self.parts.len())).collect()
    }

    /// All chunks in a random order.
    fn permutation(&self, generator: &mut ChaCha8Rng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, generator.random_range(0..=last));
        }
        order
    }

    /// Mean and interval as if tokens were independent.
    fn naive(&self, drawn: &[usize]) -> Estimate {
        let sum = |value: &dyn Fn(usize) -> f64| drawn.iter().map(|chunk| value(*chunk)).sum::<f64>();
        let tokens = sum(&|chunk| self.parts[chunk].size);
        let mean = sum(&|chunk| self.parts[chunk].sum) / tokens;
        let variance = sum(&|chunk| self.squares[chunk]) / tokens - mean * mean;
        let half = 1.96 * (variance / (tokens - 1.0)).sqrt();
        let interval = Some(Interval { low: mean - half, high: mean + half, confidence: 0.95 });
        Estimate { value: mean, interval, count: drawn.len(), method: "naive" }
    }
}

/// What became of looking after each chunk.
#[derive(Default, Clone, Copy)]
struct Looked {
    runs: u64,
    /// Runs in which the interval of every look held the truth.
    always: u64,
    /// Runs that stopped, and those in which the interval at the stop held the truth.
    stopped: u64,
    at_stop: u64,
    /// Chunks until then, in all.
    chunks: usize,
    naive_stopped: u64,
    naive_at_stop: u64,
}

impl Looked {
    /// Looks at chunks one after the other until a goal is reached, and goes on to see whether later looks would miss.
    fn run(&mut self, pool: &Pool, order: &[usize], population: Option<usize>, goal: Goal) {
        let sequence = ConfidenceSequence::DEFAULT;
        let parts: Vec<Part> = order.iter().map(|chunk| pool.parts[*chunk]).collect();
        let (mut always, mut stopped, mut naive_stopped) = (true, false, false);
        for seen in sequence.first..=parts.len() {
            let estimate = sequence.estimate(&Ratio::of(&parts[..seen], population).expect("chunks"));
            let covers = holds(&estimate, pool.truth);
            always &= covers;
            if !stopped && goal.is_reached(&estimate) {
                stopped = true;
                self.at_stop += u64::from(covers);
                self.chunks += seen;
            }
            let naive = pool.naive(&order[..seen]);
            if !naive_stopped && goal.is_reached(&naive) {
                naive_stopped = true;
                self.naive_at_stop += u64::from(holds(&naive, pool.truth));
            }
        }
        self.runs += 1;
        self.always += u64::from(always);
        self.stopped += u64::from(stopped);
        self.naive_stopped += u64::from(naive_stopped);
    }

    /// Prints the rates, and gives them: at all looks, at the stop, at the naive stop.
    fn rates(&self, what: &str) -> (f64, f64, f64) {
        let share = |count: u64, of: u64| count as f64 / of as f64;
        let rates = (
            share(self.always, self.runs),
            share(self.at_stop, self.stopped),
            share(self.naive_at_stop, self.naive_stopped),
        );
        let (always, stop, naive) = (100.0 * rates.0, 100.0 * rates.1, 100.0 * rates.2);
        let chunks = self.chunks as f64 / self.stopped as f64;
        println!(
            "{what}: all looks {always:.1} %, the stop after {chunks:.0} chunks {stop:.1} %, naive {naive:.1} %"
        );
        rates
    }
}

fn holds(estimate: &Estimate, truth: f64) -> bool {
    let rounding = 1e-12 * truth.abs();
    estimate.interval.is_some_and(|it| it.low - rounding <= truth && truth <= it.high + rounding)
}

/// Texts like those measured, and one with a far heavier tail: (name, what they are like, the width to stop at).
const TEXTS: [(&str, Text, f64); 3] = [
    ("Q4_K_M", Text::MEASURED, 0.15),
    ("Q2_K", Text { deviation: 1.2, between: 0.06, median: 0.3, ..Text::MEASURED }, 0.15),
    ("heavy tail", Text { deviation: 2.0, ..Text::MEASURED }, 0.3),
];

#[test]
fn intervals_hold_at_every_look_at_texts_without_end() {
    for (name, text, width) in TEXTS {
        let pool = Pool::new(text, 3000, 42);
        let mut looked = Looked::default();
        for run in 0..RUNS {
            let order = pool.draw(150, &mut generator(run));
            looked.run(&pool, &order, None, Goal::RelativeHalfWidth(width));
        }
        let (always, stop, naive) = looked.rates(name);
        assert!(always >= 0.95 || name == "heavy tail" && always >= 0.93, "{name}: {always}");
        assert!(stop >= 0.95 && naive < 0.8, "{name}: {stop}, naive {naive}");
    }
}

#[test]
fn intervals_hold_at_every_look_to_the_end_of_a_text() {
    for (name, text, _) in TEXTS.into_iter().take(2) {
        for chunks in [30, 100] {
            let mut looked = Looked::default();
            // The draw of the text is part of what may go wrong.
            for seed in 0..RUNS / 20 {
                let pool = Pool::new(text, chunks, seed);
                for run in 0..20 {
                    let order = pool.permutation(&mut generator(20 * seed + run));
                    looked.run(&pool, &order, Some(chunks), Goal::RelativeHalfWidth(0.2));
                }
            }
            let (always, stop, naive) = looked.rates(&format!("{name}, a text of {chunks} chunks"));
            assert!(always >= 0.95 && stop >= 0.95, "{name} of {chunks}: {always}, {stop}");
            assert!(naive < 0.8, "{name} of {chunks}: naive {naive}");
            assert_eq!(looked.stopped, RUNS, "at the end everything is known");
        }
    }
}

/// Candidates on the same chunks of a text: each has a level, and a noise of its own.
fn race(
    pool: &Pool,
    levels: &[f64],
    rules: Rules,
    most: usize,
    seed: u64,
    check: &mut dyn FnMut(&Elimination),
) {
    let mut generator = generator(seed);
    let order = pool.draw(most, &mut generator);
    let mut race = Elimination::new(levels.len(), rules);
    for chunk in order {
        let own = |level: &f64| {
            let noise = (0.15 * normal(&mut || generator.random())).exp();
            let Part { sum, size } = pool.parts[chunk];
            Some(Part { sum: sum * level * noise, size })
        };
        let parts: Vec<Option<Part>> = levels.iter().map(own).collect();
        race.push(&parts);
        check(&race);
        if race.is_over() {
            break;
        }
    }
}

#[test]
fn races_drop_nobody_who_is_as_good_as_the_leader() {
    let pool = Pool::new(Text::MEASURED, 3000, 1);
    let levels = [1.0, 1.0, 1.02, 1.3, 8.0];
    let (mut wrong, mut rightly, mut last) = (0_u32, 0_u32, 0_u32);
    let runs = 400;
    for seed in 0..runs {
        let (mut mistaken, mut dropped, mut worst) = (false, 0, None);
        race(&pool, &levels, Rules::DEFAULT, 120, seed, &mut |race| {
            for (standing, own) in race.standings().iter().zip(levels) {
                let better = own <= levels[standing.against];
                mistaken |= standing.verdict == Verdict::Worse && better;
                let apart = (own / levels[standing.against] - 1.0).abs() > 0.07;
                mistaken |= standing.verdict == Verdict::Indistinguishable && apart;
            }
            dropped = race.standings().iter().filter(|standing| standing.dropped.is_some()).count();
            worst = race.standings()[4].dropped;
        });
        wrong += u32::from(mistaken);
        rightly += u32::from(dropped >= 2);
        last += u32::from(worst.is_some_and(|chunks| chunks <= 12));
    }
    println!(
        "wrong {wrong}, both bad ones dropped {rightly}, the worst within 12 chunks {last}, % of {runs}"
    );
    assert!(wrong <= 20, "{wrong} of {runs} races were wrong");
    assert!(f64::from(rightly) >= 0.95 * runs as f64 && f64::from(last) >= 0.9 * runs as f64);
}

#[test]
fn eight_bits_against_two_are_decided_with_less_than_a_fifth_of_the_chunks() {
    // Means of 0.0014 and 0.45 nats with the design effects and the scatter that were measured.
    let texts = [0.0006, 0.02, 0.2].map(|median| Text { median, deviation: 1.3, ..Text::MEASURED });
    let mut longest = 0;
    for seed in 0..300 {
        let pools = texts.map(|text| Pool::new(text, 64, seed));
        let mut race = Elimination::new(3, Rules { population: Some(64), ..Rules::DEFAULT });
        for chunk in 0..64 {
            let parts: Vec<Option<Part>> = pools.iter().map(|pool| Some(pool.parts[chunk])).collect();
            race.push(&parts);
            if race.is_over() {
                break;
            }
        }
        let verdicts: Vec<Verdict> = race.standings().iter().map(|standing| standing.verdict).collect();
        assert_eq!(verdicts, [Verdict::Better, Verdict::Worse, Verdict::Worse], "seed {seed}");
        longest = longest.max(race.chunks());
    }
    println!("the longest of 300 races took {longest} of 64 chunks, {:.1} %", longest as f64 / 0.64);
    assert!(longest * 5 < 64, "{longest} of 64 chunks");
}

#[test]
fn a_race_of_equals_ends_when_they_are_known_to_be_equal() {
    let equal = |value: f64| Some(Part { sum: 255.0 * value, size: 255.0 });
    let mut race = Elimination::new(3, Rules::DEFAULT);
    assert_eq!((race.leader(), race.is_over()), (None, false));
    for chunk in 0..8 {
        let value = 0.1 + f64::from(chunk % 3) * 0.01;
        race.push(&[equal(value), equal(value), equal(value * 1.5)]);
    }
    let verdicts: Vec<Verdict> = race.standings().iter().map(|standing| standing.verdict).collect();
    assert_eq!(verdicts, [Verdict::Indistinguishable, Verdict::Indistinguishable, Verdict::Worse]);
    assert!(race.is_over());
    assert_eq!((race.leader(), race.left(), race.chunks()), (Some(0), vec![0, 1], 8));
    // Whoever was dropped is not evaluated any further; what it had stays.
    let dropped = race.standings()[2].clone();
    race.push(&[equal(0.1), equal(0.1), None]);
    assert_eq!((race.standings()[2].clone(), dropped.dropped), (dropped, Some(8)));
}

#[test]
fn the_same_chunks_make_the_same_decisions_in_either_direction() {
    let pool = Pool::new(Text::MEASURED, 300, 2);
    let mut seen: Vec<Vec<Elimination>> = Vec::new();
    for _ in 0..2 {
        let mut states = Vec::new();
        race(&pool, &[1.0, 1.4, 1.1], Rules::DEFAULT, 60, 5, &mut |race| states.push(race.clone()));
        seen.push(states);
    }
    assert_eq!(seen[0], seen[1]);
    // Where more is better, the largest leads.
    let rules = Rules { direction: Direction::Higher, margin: Margin::Absolute(1e-9), ..Rules::DEFAULT };
    let mut last = None;
    race(&pool, &[1.0, 3.0], rules, 60, 6, &mut |race| last = Some((race.leader(), race.left())));
    assert_eq!(last, Some((Some(1), vec![1])));
}

#[test]
fn goals_are_reached_when_the_wider_side_is_narrow_enough() {
    let at = |value: f64, low: f64, high: f64| Estimate {
        value,
        interval: Some(Interval { low, high, confidence: 0.95 }),
        count: 9,
        method: "",
    };
    for (goal, estimate, reached) in [
        (Goal::HalfWidth(0.2), at(1.0, 0.9, 1.2), true),
        (Goal::HalfWidth(0.15), at(1.0, 0.9, 1.2), false),
        (Goal::RelativeHalfWidth(0.06), at(-2.0, -2.1, -1.9), true),
        (Goal::RelativeHalfWidth(0.04), at(-2.0, -2.1, -1.9), false),
        (Goal::Beside(0.3), at(0.2, 0.1, 0.29), true),
        (Goal::Beside(0.3), at(0.2, 0.1, 0.31), false),
        (Goal::Decided(0.01), at(0.02, 0.001, 0.04), true),
        (Goal::Decided(0.01), at(-0.02, -0.04, -0.001), true),
        (Goal::Decided(0.01), at(0.0, -0.009, 0.009), true),
        (Goal::Decided(0.01), at(0.0, -0.009, 0.02), false),
        (Goal::Decided(0.01), Estimate::bare(3.0, 1, ""), false),
    ] {
        assert_eq!(goal.is_reached(&estimate), reached, "{goal:?} {estimate:?}");
    }
}

#[test]
fn there_is_no_interval_before_the_first_look_nor_for_sequences_that_are_none() {
    let pool = Pool::new(Text::MEASURED, 40, 3);
    let ratio = |chunks: usize| Ratio::of(&pool.parts[..chunks], None).unwrap();
    let good = ConfidenceSequence::DEFAULT;
    assert_eq!(good.interval(&ratio(good.first - 1)), None);
    assert!(good.interval(&ratio(good.first)).is_some());
    for sequence in [
        ConfidenceSequence { error: 0.0, ..good },
        ConfidenceSequence { error: f64::NAN, ..good },
        ConfidenceSequence { error: -1.0, ..good },
    ] {
        assert_eq!(sequence.interval(&ratio(40)), None, "{sequence:?}");
    }
    let _ = ConfidenceSequence { first: 0, target: 0, ..good }.interval(&ratio(1));
    assert!(
        good.shared_by(6).interval(&ratio(40)).unwrap().half_width()
            > good.interval(&ratio(40)).unwrap().half_width()
    );
}

#[test]
fn two_candidates_after_all_chunks_are_compared_on_the_scale_of_the_margin() {
    let pool = Pool::new(Text::MEASURED, 60, 8);
    let scaled = |factor: f64| -> Vec<Part> {
        pool.parts.iter().map(|part| Part { sum: factor * part.sum, ..*part }).collect()
    };
    let estimate = |ratio: &Ratio| ratio.estimate(0.95);
    let found = |factor: f64, rules: Rules| beside(&scaled(factor), &pool.parts, &rules, estimate);
    let more = found(1.5, Rules::DEFAULT);
    assert!((more.difference.unwrap().value - 0.5).abs() < 1e-9 && more.relative);
    assert_eq!(more.verdict, Verdict::Worse);
    assert_eq!(found(1.01, Rules::DEFAULT).verdict, Verdict::Indistinguishable);
    let nats = found(1.5, Rules { margin: Margin::Absolute(0.0), ..Rules::DEFAULT });
    assert!((nats.difference.unwrap().value - 0.5 * pool.truth).abs() < 1e-9 && !nats.relative);
    let mut turned = scaled(1.0);
    turned.rotate_left(7);
    assert_eq!(beside(&turned, &pool.parts, &Rules::DEFAULT, estimate).verdict, Verdict::Undecided);
    let none = beside(&[], &pool.parts, &Rules::DEFAULT, estimate);
    assert_eq!((none.difference, none.verdict), (None, Verdict::Undecided));
}

#[test]
fn the_reference_itself_may_race() {
    let part = |value: f64| Some(Part { sum: 255.0 * value, size: 255.0 });
    let mut race = Elimination::new(3, Rules::DEFAULT);
    for chunk in 0..9 {
        let value = 0.1 + f64::from(chunk % 3) * 0.01;
        race.push(&[part(value), part(0.0), part(2.0 * value)]);
    }
    assert_eq!((race.leader(), race.left(), race.is_over()), (Some(1), vec![1], true));
    let standing = &race.standings()[0];
    assert_eq!((standing.against, standing.relative, standing.verdict), (1, false, Verdict::Worse));
}

#[test]
fn hostile_races_do_no_harm() {
    let mut none = Elimination::new(0, Rules::DEFAULT);
    none.push(&[]);
    assert_eq!((none.leader(), none.is_over()), (None, true));
    let mut alone = Elimination::new(1, Rules::DEFAULT);
    assert!(alone.is_over());
    alone.push(&[Some(Part { sum: 1.0, size: 1.0 })]);
    assert_eq!(alone.standings()[0].verdict, Verdict::Better);
    let mut odd = Elimination::new(2, Rules { population: Some(20), ..Rules::DEFAULT });
    for chunk in 0..20 {
        let value = [f64::NAN, f64::INFINITY, 1.0, f64::MAX][chunk % 4];
        odd.push(&[Some(Part { sum: value, size: 1.0 }), Some(Part { sum: 1.0, size: value })]);
        odd.push(&[]);
    }
    assert!(odd.is_over());
}
