//! Whole searches on synthetic machines: how good, how honest, how robust.

use crate::machine::{Answer, CpuSurface, Disturbance, NOISE, Noise, facts, gpu_facts, run, visit, winner};
use gguflab_search::tuning::{dry_run, next, stage};
use gguflab_search::{Budget, Choice, Conclusion, Space, SpaceRequest, Stage, Step, TunePlan, Visit};
use gguflab_stats::Verdict;
use gguflab_types::{Configuration, Outcome, Purpose, Value};

fn plan(seed: u64) -> TunePlan {
    TunePlan { seed, ..TunePlan::new(Space::standard(&facts())) }
}

fn search(plan: &TunePlan, surface: &CpuSurface, noise: Noise, seed: u64) -> (Conclusion, Vec<Visit>) {
    let mut disturbance = Disturbance::new(noise, seed);
    run(plan, |configuration| {
        (Outcome::Measured, Some(disturbance.apply(surface.seconds(&plan.space, configuration))))
    })
}

#[test]
fn finds_a_configuration_near_the_best() {
    let seeds = 50;
    let (mut near, mut most, mut losses, mut defaults) = (0, 0, Vec::new(), Vec::new());
    for seed in 0..seeds {
        let plan = plan(seed);
        let surface = CpuSurface::new(seed);
        let (conclusion, visits) = search(&plan, &surface, NOISE, seed);
        let best = surface.best(&plan.space);
        let loss = surface.seconds(&plan.space, winner(&conclusion)) / best - 1.0;
        defaults.push(surface.seconds(&plan.space, plan.space.baseline()) / best - 1.0);
        near += u32::from(loss <= 0.02);
        most = most.max(visits.len());
        losses.push(loss);
    }
    let median = |values: &[f64]| gguflab_stats::median(values).unwrap() * 100.0;
    losses.sort_by(f64::total_cmp);
    println!(
        "within 2 % of the best: {near} of {seeds} in at most {most} runs; loss median {:.2} %, p90 {:.2} %, worst {:.2} %; default's loss median {:.1} %",
        median(&losses),
        losses[44] * 100.0,
        losses[49] * 100.0,
        median(&defaults),
    );
    assert!(near >= 45 && most <= 40, "{near} of {seeds} in {most} runs");
}

#[test]
fn a_flat_machine_is_a_tie() {
    for (name, noise) in [
        ("flat", NOISE),
        (
            "flat with a 4 % ramp and outliers",
            Noise { white: 0.012, drift: 0.013, ramp: 0.04, outliers: 0.05 },
        ),
    ] {
        let seeds = 200;
        let (mut ties, mut better) = (0, 0);
        for seed in 0..seeds {
            let plan = plan(seed);
            let mut disturbance = Disturbance::new(noise, seed ^ 0xf1a7);
            let (conclusion, _) = run(&plan, |_| (Outcome::Measured, Some(disturbance.apply(1.0))));
            assert!(
                better > 5 || winner(&conclusion).is_default() || matches!(conclusion, Conclusion::Raced(_))
            );
            if let Conclusion::Raced(result) = &conclusion {
                ties += u32::from(result.tie() && result.winner.is_default());
                better += u32::from(result.verdict == Verdict::Better);
            } else {
                ties += 1;
            }
        }
        println!("{name}: tie in {ties} of {seeds}, false `better` in {better}");
        assert!(ties >= 190 && better <= 5, "{name}: {ties} ties, {better} better");
    }
}

/// A GPU of limited memory: out of memory above a limit, crashes and refusals besides.
fn gpu_answer(space: &Space, configuration: &Configuration, limit: f64) -> Answer {
    let number = |name: &str| space.meant(configuration, name).as_number();
    let layers = number("gpu-layers").unwrap_or(33.0);
    let experts = number("cpu-moe-layers").unwrap_or(0.0);
    let ubatch = number("ubatch").unwrap_or(512.0);
    let needed = layers - 0.6 * experts.min(layers) + ubatch / 256.0;
    if needed > limit {
        return (Outcome::OutOfMemory, None);
    }
    if configuration.is_word("flash-attention", &["off"]) {
        return (Outcome::Crashed, None);
    }
    if *configuration.get("repack") == Value::Switch(false) {
        return (Outcome::TimedOut, None);
    }
    let host = (33.0 - layers) + 0.3 * experts.min(layers);
    (Outcome::Measured, Some(1.0 + 0.2 * host + 100.0 / ubatch))
}

#[test]
fn failures_everywhere_still_give_a_result() {
    let space = Space::standard(&gpu_facts());
    for (limit, baseline_fails) in [(100.0, false), (30.0, true), (22.0, true)] {
        for seed in 0..10 {
            let plan = TunePlan { seed, ..TunePlan::new(space.clone()) };
            let mut disturbance = Disturbance::new(NOISE, seed);
            let (conclusion, visits) = run(&plan, |configuration| {
                let (outcome, value) = gpu_answer(&plan.space, configuration, limit);
                (outcome, value.map(|value| disturbance.apply(value)))
            });
            assert_eq!(visits[0].outcome == Some(Outcome::OutOfMemory), baseline_fails);
            let chosen = winner(&conclusion);
            assert_eq!(gpu_answer(&plan.space, chosen, limit).0, Outcome::Measured, "{limit}: {chosen}");
            let baselines = visits.iter().filter(|visit| visit.purpose == Purpose::Baseline).count();
            assert_eq!(baselines, if baseline_fails { 2 } else { 5 });
        }
    }
}

#[test]
fn when_everything_fails_the_commonest_cause_is_named() {
    for choice in ["auto", "grid", "random"] {
        let plan = TunePlan { choice: Choice::parse(choice).unwrap(), ..plan(1) };
        let mut count = 0;
        let (conclusion, visits) = run(&plan, |_| {
            count += 1;
            (if count % 4 == 0 { Outcome::TimedOut } else { Outcome::Crashed }, None)
        });
        let Conclusion::AllFailed { outcome, cause, count, visits: all } = conclusion else {
            panic!("{conclusion:?}")
        };
        assert_eq!((outcome, cause.as_str()), (Outcome::Crashed, "because of crashed"));
        assert!(count * 4 >= all * 3 - 4 && all == visits.len());
    }
}

#[test]
fn a_search_that_was_cut_anywhere_goes_on_as_if_it_had_not_been() {
    for (seed, choice) in [(1, "auto"), (2, "grid"), (3, "random"), (4, "screen")] {
        let plan = TunePlan { choice: Choice::parse(choice).unwrap(), ..plan(seed) };
        let surface = CpuSurface::new(seed);
        let (conclusion, visits) = search(&plan, &surface, NOISE, seed);
        for cut in 0..visits.len() {
            let step = next(&plan, &visits[..cut], 0.0);
            let made = &visits[cut];
            let (configuration, purpose, round) = (made.configuration.clone(), made.purpose, made.round);
            assert_eq!(step, Step::Visit { configuration, purpose, round }, "{choice} after {cut}");
        }
        assert_eq!(next(&plan, &visits, 0.0), Step::Done(conclusion));
    }
}

#[test]
fn several_workers_finish_within_the_budget() {
    for workers in [2, 3, 8] {
        let plan = plan(7);
        let surface = CpuSurface::new(7);
        let mut disturbance = Disturbance::new(NOISE, 7);
        let mut visits: Vec<Visit> = Vec::new();
        let conclusion = loop {
            let running = visits.iter().filter(|visit| visit.running()).count();
            match next(&plan, &visits, 0.0) {
                Step::Visit { configuration, purpose, round } if running < workers => {
                    let same = |visit: &&Visit| visit.configuration == configuration && visit.round == round;
                    assert!(visits.iter().filter(same).all(|visit| visit.purpose != purpose));
                    let made = visit(&configuration, purpose, round, (Outcome::Measured, None));
                    visits.push(Visit { outcome: None, ..made });
                }
                Step::Done(conclusion) => break conclusion,
                step => {
                    assert!(running > 0, "waits for nothing: {step:?}");
                    // The last one that was begun ends first: the order of the ends must not matter.
                    let ended = visits.iter_mut().rev().find(|visit| visit.running()).unwrap();
                    ended.outcome = Some(Outcome::Measured);
                    ended.value = Some(disturbance.apply(surface.seconds(&plan.space, &ended.configuration)));
                }
            }
        };
        assert!(matches!(conclusion, Conclusion::Raced(_)));
        assert!(visits.len() <= 40 && visits.iter().all(|visit| !visit.running()), "{}", visits.len());
    }
}

#[test]
fn a_small_lattice_is_searched_whole() {
    let request = SpaceRequest { only: vec!["threads".into()], set: vec![], items: vec![] };
    let space = Space::requested(&facts(), &Configuration::new(), &request).unwrap();
    let plan = TunePlan::new(space);
    assert_eq!(plan.sampler().name, "grid");
    let surface = CpuSurface::new(3);
    let (_, visits) = search(&plan, &surface, NOISE, 3);
    let cells = visits.iter().filter(|visit| visit.purpose == Purpose::Grid).count();
    assert_eq!(cells + 1, plan.space.count().unwrap());
    assert_eq!(TunePlan::new(Space::standard(&facts())).sampler().name, "screen");
}

#[test]
fn budgets_of_any_size_are_kept() {
    for runs in [1, 2, 3, 5, 6, 10, 15, 40, 80, 200] {
        let plan = TunePlan { budget: Budget { runs, seconds: None }, ..plan(u64::from(runs)) };
        assert!(plan.check().is_ok());
        let (conclusion, visits) = search(&plan, &CpuSurface::new(5), NOISE, 5);
        assert!(!visits.is_empty() && visits.len() <= runs as usize);
        let raced = matches!(conclusion, Conclusion::Raced(_));
        assert_eq!(raced, runs >= 5, "{runs} runs: {conclusion:?}");
    }
    for budget in [Budget { runs: 0, seconds: None }, Budget { runs: 9, seconds: Some(0.0) }] {
        assert!(TunePlan { budget, ..plan(0) }.check().is_err());
    }
    assert!(Choice::parse("tpe9").unwrap_err().to_string().contains("grid, screen, random"));
}

#[test]
fn a_time_budget_keeps_its_share_for_the_race() {
    for seconds in [5.0, 20.0, 40.0, 60.0] {
        let choice = Choice::parse("random").unwrap();
        let plan = TunePlan { choice, budget: Budget { runs: 200, seconds: Some(seconds) }, ..plan(1) };
        let mut disturbance = Disturbance::new(NOISE, 1);
        let (_, visits) = run(&plan, |_| (Outcome::Measured, Some(disturbance.apply(1.0))));
        let spent: f64 = visits.iter().map(|visit| visit.cost).sum();
        assert!(spent <= seconds + 1.5, "{spent} of {seconds}");
        let raced = visits.iter().filter(|visit| visit.purpose == Purpose::Race).count() as f64;
        let share = raced / visits.len() as f64;
        assert!(seconds < 20.0 || (0.25..0.6).contains(&share), "{share} of {} in {seconds} s", visits.len());
    }
}

#[test]
fn a_short_time_is_divided_as_few_runs_are() {
    let plan = TunePlan { budget: Budget { runs: 40, seconds: Some(9.5) }, ..plan(1) };
    let mut disturbance = Disturbance::new(NOISE, 1);
    let (_, visits) = run(&plan, |_| (Outcome::Measured, Some(disturbance.apply(1.0))));
    let count = |purpose: Purpose| visits.iter().filter(|visit| visit.purpose == purpose).count();
    assert!(count(Purpose::Baseline) <= 3, "{visits:?}");
    assert!(count(Purpose::Screen) > 0 && count(Purpose::Race) > 0, "{visits:?}");
    let hopeless = TunePlan { budget: Budget { runs: 40, seconds: Some(0.5) }, ..plan };
    let (conclusion, _) = run(&hopeless, |_| (Outcome::Measured, Some(1.0)));
    assert!(format!("{conclusion:?}").contains("before anything else was tried"), "{conclusion:?}");
}

#[test]
fn stages_and_the_dry_run_say_what_happens() {
    let plan = plan(1);
    let (conclusion, visits) = search(&plan, &CpuSurface::new(1), NOISE, 1);
    assert!(matches!(conclusion, Conclusion::Raced(_)));
    assert_eq!(stage(&plan, &[]), Stage { name: "baseline", done: 0, expected: 5 });
    assert_eq!(stage(&plan, &visits[..3]), Stage { name: "baseline", done: 3, expected: 5 });
    assert_eq!(stage(&plan, &visits[..7]), Stage { name: "screen", done: 2, expected: 19 });
    assert_eq!(stage(&plan, &visits).name, "race");
    let planned = dry_run(&plan, &|_| 2.0);
    let of = |purpose| planned.iter().filter(|visit| visit.purpose == purpose).count();
    assert_eq!(of(Purpose::Baseline), 5);
    assert!(planned.len() <= 40 && of(Purpose::Screen) > 5 && of(Purpose::Race) >= 10, "{planned:?}");
    assert!(planned.iter().all(|visit| visit.configuration.is_none() == (visit.purpose == Purpose::Race)));
    assert!(planned.iter().all(|visit| visit.seconds == 2.0));
    assert!(planned.iter().any(|visit| {
        visit.configuration.as_ref().is_some_and(|made| made.integer("threads") == Some(7))
    }));
}

#[test]
fn the_verdict_does_not_use_what_selected_the_finalists() {
    // Screen values far below anything that the race sees: whoever used them would find an improvement.
    let plan = plan(9);
    let mut disturbance = Disturbance::new(NOISE, 9);
    let mut visits: Vec<Visit> = Vec::new();
    let conclusion = loop {
        match next(&plan, &visits, 0.0) {
            Step::Visit { configuration, purpose, round } => {
                let lucky = if purpose == Purpose::Screen { 0.7 } else { 1.0 };
                let value = disturbance.apply(lucky);
                visits.push(visit(&configuration, purpose, round, (Outcome::Measured, Some(value))));
            }
            Step::Done(conclusion) => break conclusion,
            Step::Wait => panic!("nothing runs"),
        }
    };
    let Conclusion::Raced(result) = conclusion else { panic!("{conclusion:?}") };
    assert!(result.tie() && result.winner.is_default(), "{result:?}");
    assert!(result.difference.unwrap().value.abs() < 0.03);
}

#[test]
fn a_thousand_cells_are_proposed_quickly() {
    let set = vec!["threads=1..32".to_string(), "batch=512,1024,2048,4096".to_string()];
    let space = Space::requested(
        &gpu_facts(),
        &Configuration::new(),
        &SpaceRequest {
            only: vec![
                "threads".into(),
                "batch".into(),
                "flash-attention".into(),
                "repack".into(),
                "kv-offload".into(),
            ],
            set,
            items: vec![],
        },
    )
    .unwrap();
    let plan = TunePlan {
        choice: Choice::parse("grid").unwrap(),
        budget: Budget { runs: 1000, seconds: None },
        race_share: 0.0,
        ..TunePlan::new(space)
    };
    let begun = std::time::Instant::now();
    let (_, visits) = run(&plan, |_| (Outcome::Measured, Some(1.0)));
    let spent = begun.elapsed().as_secs_f64();
    println!("{} proposals in {spent:.2} s", visits.len());
    assert!(visits.len() > 900 && spent < 20.0, "{} in {spent} s", visits.len());
}

#[test]
fn trials_of_others_and_those_asked_for_are_beside_the_budget() {
    let plan = plan(3);
    let surface = CpuSurface::new(3);
    let seconds = |configuration: &Configuration| Some(surface.seconds(&plan.space, configuration));
    let told = plan.space.shuffled(9).take(60).collect::<Vec<_>>();
    let mut visits: Vec<Visit> = told
        .iter()
        .map(|one| visit(one, Purpose::Foreign, 0, (Outcome::Measured, seconds(one))))
        .chain([visit(&told[7], Purpose::Enqueued, 0, (Outcome::Measured, seconds(&told[7])))])
        .collect();
    let given = visits.len();
    let conclusion = loop {
        match next(&plan, &visits, 0.0) {
            Step::Visit { configuration, purpose, round } => {
                let answer = (Outcome::Measured, seconds(&configuration));
                visits.push(visit(&configuration, purpose, round, answer));
            }
            Step::Wait => panic!("nothing runs"),
            Step::Done(conclusion) => break conclusion,
        }
    };
    let own = &visits[given..];
    let count = |purpose: Purpose| own.iter().filter(|visit| visit.purpose == purpose).count();
    assert!(own.len() <= plan.budget.runs as usize && count(Purpose::Race) > 0, "{} runs", own.len());
    assert_eq!(count(Purpose::Baseline), plan.baseline_runs());
    assert!(
        own.iter().all(|visit| visit.purpose == Purpose::Race
            || !told.contains(&visit.configuration)
            || visit.configuration == *plan.space.baseline()),
        "nothing told is tried again but in the race"
    );
    assert!(matches!(conclusion, Conclusion::Raced(_)), "{conclusion:?}");
}
