//! Spaces: what is in them, what is refused, and that huge ones cost nothing.

use crate::machine::{facts, gpu_facts};
use gguflab_search::space::Items;
use gguflab_search::{SearchError, Space, SpaceRequest};
use gguflab_types::knob::{Forbidden, Kind, Memory};
use gguflab_types::{Configuration, DeclaredKnob, Facts, Value};
use std::collections::BTreeSet;

fn requested(only: &[&str], set: &[&str]) -> Result<Space, SearchError> {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let request = SpaceRequest { only: owned(only), set: owned(set), ..SpaceRequest::default() };
    Space::requested(&gpu_facts(), &Configuration::new(), &request)
}

#[test]
fn the_standard_space_holds_each_distinct_configuration_once() {
    for facts in [facts(), gguflab_types::knob::Facts::default()] {
        let space = Space::standard(&facts);
        let points: Vec<Configuration> = space.points().collect();
        let keys: BTreeSet<String> = points.iter().map(Configuration::key).collect();
        assert_eq!(keys.len(), points.len());
        assert_eq!(space.count(), Some(points.len()));
        assert!(points.contains(space.baseline()), "the default lies in the lattice");
        assert_eq!(space.start().as_ref(), Some(space.baseline()));
        for point in &points {
            assert_eq!(point.checked(&facts).as_ref(), Ok(point));
        }
        let shuffled: BTreeSet<String> = space.shuffled(3).map(|point| point.key()).collect();
        assert_eq!(shuffled, keys);
    }
}

#[test]
fn knobs_come_strongest_first() {
    let names: Vec<String> =
        Space::standard(&gpu_facts()).dimensions().iter().map(|dimension| dimension.knob.clone()).collect();
    assert_eq!(names[..4], ["gpu-layers", "cpu-moe-layers", "threads", "ubatch"]);
}

#[test]
fn lists_are_read_as_people_write_them() {
    for (text, values) in [
        ("threads=1..4", "1 2 3 4"),
        ("threads=14..32:6", "14 20 26 32"),
        ("threads=8,2,8", "2 8"),
        ("threads=1..3,8", "1 2 3 8"),
        ("threads-batch=4,auto", "auto 4"),
        ("ubatch=batch/4,64", "64 batch/4"),
        ("flash-attention=on,off,auto", "on off auto"),
        ("kv-offload=on,off", "on off"),
        ("tensor-overrides=a=CPU,b=CPU;c=CPU", "a=CPU,b=CPU c=CPU"),
        ("cache-type-k=f16,q8_0", "f16 q8_0"),
        (" batch = 512 , 1024 ", "512 1024"),
        ("threads=physical,half,logical,3", "3 4 8 16"),
        ("gpu-layers=25%,50%,100%,auto", "auto 8 17 33"),
        ("cpu-moe-layers=0%,50%,100%", "0 16 32"),
        ("env:GGML_VULKAN=1;0;auto", "1 0 auto"),
    ] {
        let space = requested(&[], &[text]).unwrap();
        let name = text.split('=').next().unwrap().trim();
        let dimension = space.dimensions().iter().find(|dimension| dimension.knob == name).unwrap();
        let written: Vec<String> = dimension.values.iter().map(Value::to_string).collect();
        assert_eq!(written.join(" "), values, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (only, set, message) in [
        (vec![], vec!["threds=4"], "did you mean `threads`?"),
        (vec!["threds"], vec![], "did you mean `threads`?"),
        (vec![], vec!["threads"], "there is no `=`"),
        (vec![], vec!["threads="], "a value is missing"),
        (vec![], vec!["threads=1,,2"], "a value is missing"),
        (vec![], vec!["threads=8..1"], "the range runs down from 8 to 1"),
        (vec![], vec!["threads=1..8:0"], "the step is 0"),
        (vec![], vec!["batch=1..2000000000"], "more than 100000"),
        (vec![], vec!["threads=-9223372036854775808..9223372036854775807"], "more than 100000"),
        (vec![], vec!["threads=1..x"], "`x` is not a whole number"),
        (vec![], vec!["threads=0"], "whole number from 1"),
        (vec![], vec!["threads=50%"], "which threads does not count"),
        (vec![], vec!["gpu-layers=120%"], "no percentage from 0% to 100%"),
        (vec![], vec!["batch=half"], "`half` is a number of cores, which batch is not"),
        (vec![], vec!["env:9X=1"], "unknown knob `env:9X`"),
        (vec![], vec!["flash-attention=maybe"], "one of on, off"),
        (vec![], vec!["threads=1,2", "threads=4"], "knob threads is given twice"),
        (vec![], vec!["split-mode=row"], "needs two or more GPUs"),
        (vec!["cache-type-k"], vec![], "knob cache-type-k has no values to try"),
        (vec!["batch"], vec!["batch=64", "ubatch=128,256"], "ubatch may not be larger than batch"),
        (vec!["threads"], vec!["threads=8"], "nothing to search"),
        (vec!["threads"], vec!["threads=8,auto"], "nothing to search"),
    ] {
        match requested(&only, &set) {
            Err(error) => assert!(error.to_string().contains(message), "{set:?}: {error}"),
            Ok(space) => panic!("{set:?} gave {:?}", space.dimensions()),
        }
    }
}

#[test]
fn requests_restrict_replace_and_fix() {
    let space = requested(&["threads", "ubatch"], &["batch=1024"]).unwrap();
    assert_eq!(
        space.extents().iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(),
        BTreeSet::from(["threads", "ubatch", "batch"])
    );
    assert!(space.points().all(|point| point.integer("batch") == Some(1024)));
    // The default batch is not in the lattice: the screen starts beside the baseline.
    let start = space.start().unwrap();
    assert_eq!(start.key(), "batch=1024");
    assert!(space.baseline().is_default());
    let near = requested(&["threads"], &["threads=1,7,32"]).unwrap();
    assert_eq!(near.start().unwrap().key(), "threads=7");
}

#[test]
fn huge_lattices_are_never_laid_out() {
    let space = requested(
        &[],
        &[
            "threads=1..1024",
            "threads-batch=1..1024",
            "batch=1..50000",
            "ubatch=1..50000",
            "gpu-layers=0..1000",
        ],
    )
    .unwrap();
    assert!(space.size() > 1_000_000_000_000_000_000);
    assert_eq!(space.count(), None);
    let drawn: BTreeSet<String> = space.shuffled(5).take(200).map(|point| point.key()).collect();
    assert_eq!(drawn.len(), 200);
    assert_eq!(space.points().take(10).count(), 10);
    assert!(space.start().is_some());
}

#[test]
fn neighbours_are_steps_along_one_knob() {
    let space = Space::standard(&facts());
    let start = space.start().unwrap();
    let neighbours: Vec<String> = space.neighbours(&start).iter().map(Configuration::key).collect();
    for expected in [
        "threads=7",
        "threads=6",
        "threads=16",
        "ubatch=256",
        "ubatch=128",
        "flash-attention=off",
        "batch=128",
    ] {
        assert!(neighbours.contains(&expected.to_string()), "{expected} in {neighbours:?}");
    }
    assert!(!neighbours.contains(&"ubatch=64".to_string()) && !neighbours.contains(&"default".to_string()));
}

#[test]
fn unset_knobs_mean_what_llama_cpp_makes_of_them() {
    let space = Space::standard(&facts());
    let small = Configuration::new().with("batch", Value::Integer(128)).with("threads", Value::Integer(4));
    assert_eq!(space.meant(&small, "ubatch"), Value::Integer(128));
    assert_eq!(space.meant(&small, "threads-batch"), Value::Integer(4));
    let ubatch = space.dimensions().iter().find(|dimension| dimension.knob == "ubatch").unwrap();
    let (line, place) = space.line(&small, ubatch);
    assert_eq!(ubatch.values[line[place]], Value::Integer(128));
    let batch_threads =
        space.dimensions().iter().find(|dimension| dimension.knob == "threads-batch").unwrap();
    let (line, place) = space.line(&small, batch_threads);
    assert_eq!(
        (line.len() + 1, &batch_threads.values[line[place]]),
        (batch_threads.values.len(), &Value::Integer(4))
    );
    let gpu = Space::standard(&gpu_facts());
    let (line, place) = gpu.line(gpu.baseline(), &gpu.dimensions()[0]);
    assert_eq!((place, &gpu.dimensions()[0].values[line[place]]), (line.len() - 1, &Value::Auto));
}

#[test]
fn running_out_of_memory_rules_out_what_needs_more() {
    let space = Space::standard(&gpu_facts());
    let configuration = |text: &str| {
        text.split_whitespace().fold(Configuration::new(), |made, part| {
            let (name, value) = part.split_once('=').unwrap();
            made.with(name, Value::parse(value))
        })
    };
    for (here, exhausted, ruled_out) in [
        ("gpu-layers=24", "gpu-layers=16", true),
        ("gpu-layers=8", "gpu-layers=16", false),
        ("gpu-layers=24 ubatch=1024", "gpu-layers=16 ubatch=1024", true),
        ("gpu-layers=24 ubatch=256", "gpu-layers=16 ubatch=1024", false),
        ("gpu-layers=16 threads=2", "gpu-layers=16", true),
        ("gpu-layers=16 kv-offload=off", "gpu-layers=16", false),
        ("gpu-layers=16 cpu-moe-layers=8", "gpu-layers=16 cpu-moe-layers=16", true),
        ("gpu-layers=16 cpu-moe-layers=16", "gpu-layers=16 cpu-moe-layers=8", false),
        ("gpu-layers=24", "gpu-layers=0", false),
    ] {
        let found = space.needs_at_least(&configuration(here), &configuration(exhausted));
        assert_eq!(found, ruled_out, "{here} after {exhausted}");
    }
}

#[test]
fn lists_of_files_give_way_to_the_command_line() {
    let list = |name: &str, items: &[&str]| {
        (name.to_string(), Items::List(items.iter().map(ToString::to_string).collect()))
    };
    let request = SpaceRequest {
        only: vec!["threads".into(), "batch".into()],
        set: vec!["threads=1,2".into()],
        items: vec![list("threads", &["4..8"]), list("batch", &["512", "1024..2048:1024"])],
    };
    let space = Space::requested(&facts(), &Configuration::new(), &request).unwrap();
    assert_eq!(space.extents(), [("batch", 3), ("threads", 2)]);
    let twice = SpaceRequest { items: vec![list("batch", &["1"]), list("batch", &["2"])], ..request };
    let refused = Space::requested(&facts(), &Configuration::new(), &twice).unwrap_err();
    assert_eq!(refused, SearchError::Repeated("batch".into()));
}

#[test]
fn engines_with_their_own_knobs_are_searched_like_any_other() {
    let knob =
        |name: &str, kind| DeclaredKnob { name: name.into(), kind: Some(kind), ..DeclaredKnob::default() };
    let knobs = vec![
        DeclaredKnob {
            values: (1..=4).map(Value::Integer).collect(),
            default: Some(Value::Integer(1)),
            memory: Some(Memory::Grows),
            ..knob("slots", Kind::Integer)
        },
        DeclaredKnob {
            values: vec![Value::Number(0.5), Value::Number(0.9)],
            memory: Some(Memory::Grows),
            ..knob("fill", Kind::Number)
        },
        DeclaredKnob { default: Some(Value::Switch(false)), ..knob("draft", Kind::Switch) },
        DeclaredKnob {
            values: vec![Value::Integer(4), Value::Integer(8)],
            only_if: Some("draft=on".into()),
            ..knob("draft-length", Kind::Integer)
        },
    ];
    let facts = Facts { declared: Some(knobs.try_into().unwrap()), ..facts() };
    let space = Space::standard(&facts);
    // Without a draft its length means nothing: 4 x 2 x (1 + 2) configurations.
    assert_eq!((space.size(), space.count()), (4 * 2 * 2 * 2, Some(4 * 2 * 3)));
    let point = |text: &str| {
        text.split_whitespace().fold(Configuration::new(), |made, part| {
            let (name, value) = part.split_once('=').unwrap();
            made.with(name, Value::parse(value))
        })
    };
    let exhausted = point("slots=2 fill=0.5");
    assert!(space.needs_at_least(&point("slots=4 fill=0.9"), &exhausted));
    assert!(!space.needs_at_least(&point("fill=0.9"), &exhausted));
    assert!(!space.needs_at_least(&point("slots=4 fill=0.9 draft=on"), &exhausted));
    let asked = SpaceRequest { set: vec!["fill=0.1..0.3:0.1".into()], ..SpaceRequest::default() };
    let space = Space::requested(&facts, &Configuration::new(), &asked).unwrap();
    let fill = space.dimensions().iter().find(|dimension| dimension.knob == "fill").unwrap();
    assert_eq!(fill.values, [0.1, 0.2, 0.3].map(Value::Number));
    let threads = SpaceRequest { set: vec!["threads=4".into()], ..SpaceRequest::default() };
    let refused = Space::requested(&facts, &Configuration::new(), &threads).unwrap_err().to_string();
    assert!(refused.contains("unknown knob `threads`: the knobs are slots, fill"), "{refused}");
}

#[test]
fn what_a_rule_forbids_is_never_handed_out() {
    let rule = |text: &str| Forbidden::parse(text, "too hot").unwrap();
    let rules = vec![rule("threads > 4"), rule("ubatch = 64 and repack = off")];
    let facts = Facts { forbidden: rules.clone().into(), ..facts() };
    let baseline = Configuration::new().with("threads", Value::Integer(4));
    let space = Space::requested(&facts, &baseline, &SpaceRequest::default()).unwrap();
    let points: Vec<Configuration> = space.points().collect();
    assert!(!points.is_empty());
    for point in points.iter().chain(&space.neighbours(&baseline)).chain(&space.start()) {
        assert!(rules.iter().all(|rule| !rule.forbids(point, &facts)), "{point}");
    }
    let free = Space::standard(&Facts { forbidden: [].into(), ..facts.clone() });
    let out: u64 = space.forbidden().iter().filter_map(|(_, count)| *count).sum();
    assert_eq!(points.len() as u64 + out, free.count().unwrap() as u64);
    // The baseline itself is refused by name, and so is a space without a point.
    let refused = Space::requested(&facts, &Configuration::new(), &SpaceRequest::default()).unwrap_err();
    assert!(refused.to_string().contains("forbidden by the rule `threads > 4`: too hot"), "{refused}");
    let hot = SpaceRequest {
        only: vec!["threads".into()],
        set: vec!["threads=6,8".into()],
        ..SpaceRequest::default()
    };
    let refused = Space::requested(&facts, &baseline, &hot).unwrap_err();
    assert!(matches!(refused, SearchError::Contradictory(_)), "{refused}");
}
