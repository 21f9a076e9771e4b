//! What every sampler of the table keeps to.

use crate::machine::{Answer, CpuSurface, facts, gpu_facts, visit};
use gguflab_search::{Proposal, SAMPLERS, SamplerRow, Space, SpaceRequest, Visit, sampler};
use gguflab_types::{Configuration, Outcome, Purpose};
use std::collections::BTreeSet;

fn spaces() -> Vec<Space> {
    let set = ["threads=1..1024", "batch=1..60000", "ubatch=1..60000"].map(String::from).to_vec();
    let huge = SpaceRequest { only: vec![], set, items: vec![] };
    let small = SpaceRequest { only: vec!["threads".into(), "repack".into()], set: vec![], items: vec![] };
    let request = |request| Space::requested(&gpu_facts(), &Configuration::new(), request).unwrap();
    vec![Space::standard(&facts()), Space::standard(&gpu_facts()), request(&huge), request(&small)]
}

/// Every class of outcome, spread over the space.
fn answer(space: &Space, surface: &CpuSurface, configuration: &Configuration) -> Answer {
    let print: u32 = configuration.key().bytes().map(u32::from).sum();
    let failures =
        [Outcome::OutOfMemory, Outcome::Crashed, Outcome::TimedOut, Outcome::Rejected, Outcome::Pruned];
    if !configuration.is_default() && print.is_multiple_of(3) {
        return (failures[(print / 3) as usize % failures.len()], None);
    }
    (Outcome::Measured, Some(surface.seconds(space, configuration)))
}

/// Everything that a sampler proposes, up to a number of visits.
fn proposals(row: &SamplerRow, space: &Space, seed: u64, most: usize) -> Vec<Visit> {
    let surface = CpuSurface::new(seed);
    let mut visits =
        vec![visit(space.baseline(), Purpose::Baseline, 0, answer(space, &surface, space.baseline()))];
    while visits.len() < most {
        match (row.make)(seed).propose(space, &visits) {
            Proposal::Visit(configuration, purpose, round) => {
                let found = answer(space, &surface, &configuration);
                visits.push(visit(&configuration, purpose, round, found));
            }
            Proposal::Exhausted => break,
            Proposal::Wait => panic!("{row:?} waits for nothing"),
        }
    }
    visits
}

#[test]
fn names_are_unique_and_found() {
    let names: BTreeSet<_> = SAMPLERS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), SAMPLERS.len());
    assert!(SAMPLERS.iter().all(|row| sampler::find(row.name).is_some() && row.name != "auto"));
}

#[test]
fn proposals_are_allowed_new_and_the_same_for_a_seed() {
    for row in SAMPLERS {
        for space in spaces() {
            let visits = proposals(row, &space, 1, 60);
            let again = proposals(row, &space, 1, 60);
            assert_eq!(visits, again, "{row:?} differs under one seed");
            let keys: BTreeSet<String> = visits.iter().map(|visit| visit.configuration.key()).collect();
            assert_eq!(keys.len(), visits.len(), "{row:?} repeats a configuration");
            for visit in &visits {
                let checked = visit.configuration.checked(space.facts());
                assert_eq!(
                    checked.as_ref(),
                    Ok(&visit.configuration),
                    "{row:?} proposes what is not allowed"
                );
            }
            // A search by a model opens with a screen.
            let known = |visit: &Visit| visit.purpose == row.purpose || visit.purpose == Purpose::Screen;
            assert!(visits[1..].iter().all(known));
        }
    }
}

#[test]
fn a_search_that_was_cut_anywhere_goes_on_as_if_it_had_not_been() {
    for row in SAMPLERS {
        for space in spaces() {
            let visits = proposals(row, &space, 2, 40);
            for cut in 1..visits.len() {
                let expected = &visits[cut];
                let proposed = (row.make)(2).propose(&space, &visits[..cut]);
                let same = Proposal::Visit(expected.configuration.clone(), expected.purpose, expected.round);
                assert_eq!(proposed, same, "{row:?} after {cut}");
                // A cancelled visit is as if it had not been.
                let mut cancelled = visits[..cut].to_vec();
                cancelled.push(Visit { outcome: Some(Outcome::Cancelled), value: None, ..expected.clone() });
                assert_eq!((row.make)(2).propose(&space, &cancelled), same, "{row:?} after a cancelled one");
            }
        }
    }
}

#[test]
fn workers_get_different_configurations() {
    for row in SAMPLERS {
        for space in spaces() {
            let mut visits =
                vec![visit(space.baseline(), Purpose::Baseline, 0, (Outcome::Measured, Some(1.0)))];
            for _ in 0..4 {
                match (row.make)(3).propose(&space, &visits) {
                    Proposal::Visit(configuration, purpose, round) => {
                        assert!(visits.iter().all(|visit| visit.configuration != configuration), "{row:?}");
                        let running = visit(&configuration, purpose, round, (Outcome::Measured, None));
                        visits.push(Visit { outcome: None, ..running });
                    }
                    Proposal::Wait => assert!(visits.iter().any(Visit::running)),
                    Proposal::Exhausted => panic!("{row:?} gives up while visits run"),
                }
            }
            assert!(visits.len() >= 3, "{row:?}");
        }
    }
}

#[test]
fn what_needs_more_memory_than_there_was_is_skipped() {
    for row in SAMPLERS {
        let space = Space::standard(&gpu_facts());
        let mut visits = vec![visit(space.baseline(), Purpose::Baseline, 0, (Outcome::Measured, Some(1.0)))];
        while let Proposal::Visit(configuration, purpose, round) = (row.make)(4).propose(&space, &visits) {
            for earlier in visits.iter().filter(|visit| visit.outcome == Some(Outcome::OutOfMemory)) {
                assert!(
                    !space.needs_at_least(&configuration, &earlier.configuration),
                    "{row:?}: {configuration} after {}",
                    earlier.configuration
                );
            }
            let full = configuration.integer("ubatch").unwrap_or(512) > 512;
            let found = if full { (Outcome::OutOfMemory, None) } else { (Outcome::Measured, Some(1.0)) };
            visits.push(visit(&configuration, purpose, round, found));
            if visits.len() > 80 {
                break;
            }
        }
        assert!(visits.iter().any(|visit| visit.outcome == Some(Outcome::OutOfMemory)), "{row:?}");
    }
}

#[test]
fn the_grid_visits_everything_and_others_end_where_nothing_is_gained() {
    let request = SpaceRequest { only: vec!["threads".into(), "repack".into()], set: vec![], items: vec![] };
    let space = Space::requested(&facts(), &Configuration::new(), &request).unwrap();
    for row in SAMPLERS {
        let mut visits = vec![visit(space.baseline(), Purpose::Baseline, 0, (Outcome::Measured, Some(1.0)))];
        while let Proposal::Visit(configuration, purpose, round) = (row.make)(5).propose(&space, &visits) {
            visits.push(visit(&configuration, purpose, round, (Outcome::Measured, Some(1.0))));
        }
        let complete = space.count().unwrap();
        let stops = matches!(row.name, "screen" | "model");
        let expected = if stops { 2..complete } else { complete..complete + 1 };
        assert!(expected.contains(&visits.len()), "{row:?} made {} of {complete}", visits.len());
    }
}
