//! Files as the tools wrote them, whole and damaged.

use super::*;
use crate::bench::{RECORD_VERSION, Record};
use gguflab_stats::Verdict;
use gguflab_types::{
    Configuration, Ending, Outcome, Protocol, Purpose, Repetition, Request, Sample, Subject, Trial, Workload,
    metric,
};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../tests/recorded/", $name))
    };
}
macro_rules! of_engine {
    ($name:literal) => {
        include_str!(concat!("../../../gguflab-engine/tests/recorded/", $name))
    };
}

const RECORDS: &str = recorded!("aiperf-0.13-records.jsonl");
const SUMMARY: &str = recorded!("aiperf-0.13-summary.json");
const GUIDE: &str = recorded!("guidellm-0.8.json");
/// Of a run of GuideLLM, what is read of each request.
const GUIDE_RUN: &str = recorded!("guidellm-0.8.1-run.json");
const SQL: &str = recorded!("llama-bench-b11434.sql");

/// A text, who wrote it, its series, values of the first one and its metric.
const KNOWN: &[(&str, &str, usize, usize, &str)] = &[
    (of_engine!("b11434-jsonl.txt"), "llama-bench", 2, 2, metric::PREFILL),
    (of_engine!("b11434-json.txt"), "llama-bench", 2, 2, metric::PREFILL),
    (of_engine!("b11434-csv.txt"), "llama-bench", 2, 0, metric::PREFILL),
    (of_engine!("b11434-md.txt"), "llama-bench", 2, 0, metric::PREFILL),
    (of_engine!("early-2024-csv.txt"), "llama-bench", 3, 0, metric::PREFILL),
    (of_engine!("late-2023-json.txt"), "llama-bench", 2, 3, metric::PREFILL),
    (of_engine!("markdown-2023.txt"), "llama-bench", 2, 0, metric::PREFILL),
    (SQL, "llama-bench", 2, 0, metric::PREFILL),
    (RECORDS, "AIPerf", 4, 12, metric::FIRST_TOKEN),
    (SUMMARY, "AIPerf", 4, 0, metric::FIRST_TOKEN),
    (GUIDE, "GuideLLM", 3, 8, metric::FIRST_TOKEN),
    (GUIDE_RUN, "GuideLLM", 3, 12, metric::FIRST_TOKEN),
];

#[test]
fn every_known_file_is_read() {
    for (text, kind, series, values, metric) in KNOWN {
        let found = parse(text).unwrap_or_else(|flaw| panic!("{kind}: {flaw:?}"));
        assert_eq!((found.kind, found.series.len()), (*kind, *series), "{found:?}");
        let first = &found.series[0];
        assert_eq!((first.values.len(), first.metric), (*values, *metric), "{kind}");
        assert!(first.values.is_empty() != first.moments.is_none(), "{kind}");
        assert!(first.summary().unwrap().mean.is_finite() && !found.limits.is_empty(), "{kind}");
    }
}

#[test]
fn values_and_summary_of_one_run_agree() {
    let (records, summary) = (parse(RECORDS).unwrap(), parse(SUMMARY).unwrap());
    for (values, kept) in records.series.iter().zip(&summary.series) {
        let moments = kept.moments.unwrap();
        let mean = values.values.iter().sum::<f64>() / values.values.len() as f64;
        assert!((mean / moments.mean - 1.0).abs() < 1e-9, "{}: {mean} {moments:?}", values.metric);
        assert_eq!(moments.count, Some(values.values.len()));
        assert_eq!(kept.percentiles.len(), 4);
    }
    assert_eq!(summary.series[0].about.get("concurrency").map(String::as_str), Some("2"));
    let guide = parse(GUIDE).unwrap();
    assert_eq!(guide.series[0].label, "concurrent 2");
    assert!(guide.series.iter().all(|series| series.values.iter().all(|value| (0.01..2.0).contains(value))));
    assert!(guide.remarks[0].contains("1 were cut off"), "{:?}", guide.remarks);
    // Without its requests a report still has summaries.
    let mut value: Value = serde_json::from_str(GUIDE).unwrap();
    value["benchmarks"][0]["requests"]["successful"] = serde_json::json!([]);
    let kept = parse(&value.to_string()).unwrap();
    assert_eq!(kept.series[0].moments.unwrap().count, Some(8));
}

#[test]
fn the_means_of_a_run_are_those_that_guidellm_states_of_it() {
    let run = parse(GUIDE_RUN).unwrap();
    assert_eq!((run.series[0].label.as_str(), run.remarks.len()), ("concurrent 4", 0));
    for (name, stated) in [
        (metric::FIRST_TOKEN, 0.19650165239969888),
        (metric::INTER_TOKEN, 0.020843817476640665),
        (metric::REQUEST, 0.6125434239705404),
    ] {
        let series = run.series.iter().find(|series| series.metric == name).unwrap();
        let mean = series.values.iter().sum::<f64>() / series.values.len() as f64;
        assert!((mean / stated - 1.0).abs() < 1e-9, "{name}: {mean} {stated}");
    }
}

#[test]
fn files_that_are_cut_say_so() {
    // Markdown ends with the build, whose loss is none.
    for (text, kind, ..) in KNOWN.iter().filter(|(text, ..)| !text.contains("t/s |")) {
        let whole = text.trim_end();
        let cut = &whole[..whole.len() - 7];
        let found = parse(cut);
        assert!(matches!(found, Err(Flaw::Cut(_))), "{kind}: {found:?}\n{}", &cut[cut.len() - 60..]);
    }
    let row = of_engine!("markdown-2023.txt").trim_end();
    assert!(matches!(parse(&row[..row.rfind('|').unwrap()]), Err(Flaw::Cut(_))));
    let error = Flaw::Cut("line 3 has no end".to_string()).of("a.jsonl");
    assert_eq!(error.to_string(), "a.jsonl is cut off: line 3 has no end; take the whole file");
}

#[test]
fn unknown_versions_and_programs_are_named() {
    let newer = SUMMARY.replace("\"schema_version\": \"1.4\"", "\"schema_version\": \"2.0\"");
    assert!(matches!(parse(&newer), Err(Flaw::Version { kind: "AIPerf", .. })));
    let newer = GUIDE.replace("\"version\": 2", "\"version\": 7");
    let error = parse(&newer).unwrap_err().of("b.json").to_string();
    assert_eq!(
        error,
        "b.json was written by GuideLLM in format version 7; known: 1 and 2; write it anew in one of these"
    );
    let newer = r#"{"format": "gguflab-record", "version": 9}"#;
    assert!(matches!(parse(newer), Err(Flaw::Version { kind: "gguflab bench", .. })));
    for text in ["", "hello\n", "{}", "[]", "{\"a\": 1}\n{\"a\": 2}\n", "a,b\n1,2\n", "[1, 2"] {
        let found = parse(text);
        assert!(matches!(found, Err(Flaw::Unknown(_) | Flaw::Cut(_))), "{text}: {found:?}");
    }
    let unfinished = SUMMARY.replace("\"is_complete\": true", "\"is_complete\": false");
    assert!(matches!(parse(&unfinished), Err(Flaw::Content(_))));
    let other = SUMMARY.replacen("\"unit\": \"ms\"", "\"unit\": \"fortnights\"", 1);
    assert!(matches!(parse(&other), Err(Flaw::Content(problem)) if problem.contains("fortnights")));
    let failed = RECORDS.replace(",\"metrics\":", ",\"error\":{\"code\":500},\"metrics\":");
    assert!(matches!(parse(&failed), Err(Flaw::Content(_))));
}

#[test]
fn nothing_that_is_cut_anywhere_does_harm() {
    for (text, ..) in KNOWN {
        for at in (0..text.len()).step_by(97).filter(|at| text.is_char_boundary(*at)) {
            let _ = parse(&text[..at]);
        }
    }
}

/// A llama-bench line of one test.
fn line(threads: u32, rates: &[f64]) -> String {
    let times: Vec<f64> = rates.iter().map(|rate| 128e9 / rate).collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    format!(
        "{{\"build_commit\": \"b{threads}\", \"n_threads\": {threads}, \"n_prompt\": 0, \"n_gen\": 128, \"n_depth\": 0, \
         \"avg_ts\": {mean}, \"stddev_ts\": 1.0, \"samples_ns\": {times:?}}}\n"
    )
}

fn file(name: &str, text: &str) -> Results {
    Results { file: name.to_string(), ..parse(text).unwrap() }
}

#[test]
fn the_same_rules_judge_and_say_what_they_cannot_know() {
    let slow = file("new", &line(2, &[90.0, 91.0, 89.5, 90.4, 90.2]));
    let fast = file("old", &line(2, &[100.0, 101.0, 99.5, 100.4, 100.2]));
    let judged = judge(&fast, &slow, 0.01).unwrap();
    let pair = &judged.pairs[0];
    assert_eq!((pair.label.as_str(), pair.metric, pair.verdict), ("tg128", metric::DECODE, Verdict::Worse));
    assert!((pair.difference.value + 0.1).abs() < 0.002 && pair.counts == [Some(5), Some(5)], "{pair:?}");
    assert!(
        judged.remarks[0].contains("one after the other") && judged.remarks.len() >= 3,
        "{:?}",
        judged.remarks
    );
    assert_eq!(judge(&slow, &fast, 0.01).unwrap().pairs[0].verdict, Verdict::Better);
    let document = crate::documents::results::document(&judged, 0.01);
    let text = serde_json::to_string(&document).unwrap();
    assert!(
        text.contains("new is worse than old, if nothing else changed in between: tg128 decode −10.0 %"),
        "{text}"
    );
}

#[test]
fn means_alone_decide_nothing() {
    let table = file("a.csv", "n_prompt,n_gen,avg_ts,stddev_ts\n512,0,100,1\n");
    let judged = judge(&table, &table, 0.01).unwrap();
    assert_eq!((judged.pairs[0].verdict, judged.pairs[0].counts), (Verdict::Undecided, [None, None]));
    assert!(
        judged.remarks.iter().any(|remark| remark.contains("nothing can be decided")),
        "{:?}",
        judged.remarks
    );
}

#[test]
fn tests_are_told_apart_by_what_differs_within_a_file() {
    let both = [line(1, &[50.0, 51.0, 50.5]), line(2, &[90.0, 91.0, 90.5])].concat();
    let (one, other) = (file("one", &both), file("other", &both));
    let judged = judge(&one, &other, 0.01).unwrap();
    let labels: Vec<&str> = judged.pairs.iter().map(|pair| pair.label.as_str()).collect();
    assert_eq!(labels, ["tg128 build_commit=b1 n_threads=1", "tg128 build_commit=b2 n_threads=2"]);
    assert!(judged.pairs.iter().all(|pair| pair.difference.value == 0.0));
    // The same test twice adds its values; what differs between the files is told.
    let twice = file("twice", &line(2, &[90.0, 91.0]).repeat(2));
    let judged = judge(&file("once", &line(3, &[90.0, 91.0])), &twice, 0.01).unwrap();
    assert_eq!(judged.pairs[0].counts, [Some(2), Some(4)]);
    assert_eq!(judged.differences.len(), 2, "{:?}", judged.differences);
    let apart = judge(&one, &parse(GUIDE).unwrap(), 0.01).unwrap_err();
    assert!(matches!(apart, ResultsError::Apart { .. }), "{apart}");
}

#[test]
fn a_file_that_drifts_is_named() {
    let falling: Vec<f64> = (0..20).map(|at| 100.0 - f64::from(at) + 0.1 * f64::from(at % 3)).collect();
    let drifting = file("warm.jsonl", &line(2, &falling));
    let judged = judge(&drifting, &drifting, 0.01).unwrap();
    assert!(
        judged.remarks.iter().any(|remark| remark.starts_with("warm.jsonl: decode of tg128 drifts by -19 %")),
        "{:?}",
        judged.remarks
    );
}

#[test]
fn requests_have_percentiles_where_there_are_enough() {
    let records = file("r", RECORDS);
    let judged = judge(&records, &file("s", SUMMARY), 0.01).unwrap();
    let pair = judged.pairs.iter().find(|pair| pair.metric == metric::FIRST_TOKEN).unwrap();
    assert!(pair.percentiles[0][0].estimate.is_some() && pair.percentiles[0][2].estimate.is_none());
    assert_eq!((pair.percentiles[1].len(), pair.stated[1].len()), (0, 4));
}

/// A visit of bench whose repetitions had these rates.
fn visit(number: u32, rates: &[f64]) -> Trial {
    let repetition = |rate: &f64| Repetition {
        request: Some(0),
        samples: vec![
            Sample::one(metric::CPU_TIME, 3.0),
            Sample::one(metric::REQUEST, 128.0 / rate),
            Sample::one(metric::DECODE, *rate),
            Sample { metric: metric::INTER_TOKEN.to_string(), values: vec![1.0 / rate; 40] },
            Sample::one(metric::TOKENS_PRODUCED, 128.0),
            Sample::one(metric::PREFILL, 9.0 * rate),
        ],
        ..Repetition::default()
    };
    Trial {
        number,
        configuration: Configuration::new(),
        purpose: Purpose::Bench,
        round: number,
        ending: Some(Ending::measured()),
        repetitions: rates.iter().map(repetition).collect(),
        intermediates: BTreeMap::new(),
        told: Vec::new(),
        started: 0.0,
        duration: Some(1.0),
    }
}

fn record(trials: Vec<Trial>) -> String {
    let record = Record {
        format: "gguflab-record".into(),
        version: RECORD_VERSION,
        subject: Subject::default(),
        workload: Workload::single("one", Request::new(64, 128)),
        configuration: Configuration::new(),
        protocol: Protocol::default(),
        metrics: Vec::new(),
        trials,
    };
    serde_json::to_string(&record).unwrap()
}

/// Three processes of two repetitions, which differ by less than the processes do.
fn processes(rates: [f64; 3]) -> String {
    let visits = (0..).zip(rates).map(|(number, rate)| visit(number, &[rate, rate * 1.001]));
    record(visits.collect())
}

#[test]
fn a_visit_of_a_record_is_one_value() {
    let names = ["old.json", "new.json"];
    let rates = [[100.0, 101.0, 99.0], [98.5, 99.5, 97.5]];
    let [old, new] = rates.map(processes);
    let judged = judge(&file(names[0], &old), &file(names[1], &new), 0.01).unwrap();
    assert!(judged.pairs.iter().all(|pair| pair.counts == [Some(3), Some(3)]), "{:?}", judged.pairs);
    assert_eq!(judged.pairs[1].verdict, Verdict::Undecided);
    // All repetitions, as if each were a process of its own, call it worse.
    let pooled = rates.map(|rates| file("x", &line(2, &rates.map(|rate| [rate, rate * 1.001]).concat())));
    assert_eq!(judge(&pooled[0], &pooled[1], 0.01).unwrap().pairs[0].verdict, Verdict::Worse);
    let series = &parse(&old).unwrap().series[0];
    assert!((series.values[0] / (900.0 * 1.001_f64.sqrt()) - 1.0).abs() < 1e-12, "{series:?}");
    // Percentiles are of the single gaps.
    let gaps = judged.pairs.iter().find(|pair| pair.metric == metric::INTER_TOKEN).unwrap();
    assert_eq!((gaps.percentiles[0][0].count, gaps.counts[0]), (240, Some(3)));
    // Of a single visit there are only repetitions, and that is said.
    let single = parse(&record(vec![visit(0, &[100.0, 101.0, 99.0, 100.5])])).unwrap();
    assert!(
        single.series[0]
            .values
            .iter()
            .zip([900.0, 909.0, 891.0, 904.5])
            .all(|(one, other)| (one - other).abs() < 1e-9)
    );
    assert_eq!(single.series[0].values.len(), 4);
    assert!(single.limits.contains(&ONE_PROCESS) && !parse(&old).unwrap().limits.contains(&ONE_PROCESS));
}

#[test]
fn an_unfinished_record_is_an_error() {
    let crashed = Trial { ending: Some(Ending::new(Outcome::Crashed, "signal 9")), ..visit(1, &[50.0]) };
    for (cut, words) in
        [(crashed, "a visit ended as crashed: signal 9"), (Trial { ending: None, ..visit(1, &[]) }, "no end")]
    {
        let found = parse(&record(vec![visit(0, &[100.0]), cut]));
        let said = |problem: &str| problem.contains(words) && problem.contains("did not finish");
        assert!(matches!(&found, Err(Flaw::Content(problem)) if said(problem)), "{found:?}");
    }
    assert!(matches!(parse(&record(Vec::new())), Err(Flaw::Content(_))));
}

#[test]
fn disturbed_repetitions_count_where_a_visit_has_no_others() {
    let disturb = |mut trial: Trial, count: usize| {
        trial.repetitions.iter_mut().take(count).for_each(|one| one.noisy = Some("busy".to_string()));
        trial
    };
    let visits =
        [(0, 0), (1, 1), (2, 2)].map(|(number, count)| disturb(visit(number, &[50.0, 100.0]), count));
    let found = parse(&record(visits.to_vec())).unwrap();
    let decode = &found.series[1];
    assert_eq!((decode.metric, decode.values[1]), (metric::DECODE, 100.0));
    assert!((decode.values[2] / 5000_f64.sqrt() - 1.0).abs() < 1e-12, "{decode:?}");
    let remarks: Vec<(&str, bool)> =
        found.remarks.iter().map(|remark| (&remark[..1], remark.contains("left out"))).collect();
    assert_eq!(remarks, [("1", true), ("2", false)], "{:?}", found.remarks);
}

#[test]
fn the_headline_is_the_first_test_of_the_reference_or_the_first_metric_asked_for() {
    let metrics =
        |judged: &Judged| judged.pairs.iter().map(|pair| pair.metric.to_string()).collect::<Vec<_>>();
    let ours = file("ours", &processes([100.0, 101.0, 99.0]));
    let mut judged = judge(&ours, &ours, 0.01).unwrap();
    let all = [metric::PREFILL, metric::DECODE, metric::REQUEST, metric::INTER_TOKEN, metric::CPU_TIME];
    assert_eq!(metrics(&judged), all);
    let asked = [metric::INTER_TOKEN, metric::DECODE, "speed"].map(str::to_string);
    assert_eq!(judged.keep(&asked), Err([vec!["speed".to_string()], all.map(str::to_string).to_vec()]));
    judged.keep(&asked[..2]).unwrap();
    assert_eq!(metrics(&judged), asked[..2]);
    let lines: [String; 2] =
        [line(2, &[90.0, 91.0]), line(2, &[900.0, 901.0]).replace("\"n_gen\": 128", "\"n_gen\": 9")];
    let tests = |order: [usize; 2]| order.map(|at| lines[at].clone()).concat();
    let judged = judge(&file("a", &tests([0, 1])), &file("b", &tests([1, 0])), 0.01).unwrap();
    assert_eq!(judged.pairs.iter().map(|pair| pair.label.as_str()).collect::<Vec<_>>(), ["tg128", "tg9"]);
}
