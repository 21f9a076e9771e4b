//! `cargo xtask bench`: measures the program itself. Each benchmark is one entry of a table and one module.

mod bisect;
mod context_switch;
mod demo_time;
mod evaluation;
mod false_alarms;
mod figure;
mod gate;
mod gemma;
mod grid;
mod header;
mod help_time;
mod load;
mod overlap;
mod parent_memory;
mod parity;
mod process;
mod scoring;
mod search;
mod store;

use crate::setup::{self, BuildEnvironment};
use anyhow::{Context, Result, bail};
use figure::Figure;

/// Pairs of measurements when nothing else is asked for: the number that the project's claims are made with.
const PAIRS: usize = 20;

/// Benchmarks that are run by their names only: they fetch what not everybody may use.
const BY_NAME_ONLY: &[&str] = &["evaluation-gemma"];

/// What a benchmark is run with.
struct Request {
    /// How programs are built.
    environment: BuildEnvironment,
    /// Interleaved pairs, or repeats of what has no partner.
    pairs: usize,
    /// Whether what others have made is fetched and measured beside ours, where that is large.
    peers: bool,
}

/// One entry of the table of benchmarks.
struct Benchmark {
    name: &'static str,
    help: &'static str,
    run: fn(&Request) -> Result<Vec<Figure>>,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "help-time", help: "gguflab --help, median of 20 runs", run: help_time::run },
    Benchmark { name: "header", help: "reading the header of a large GGUF file", run: header::run },
    Benchmark {
        name: "parity-prefill",
        help: "CPU time of pp512 beside the real llama-bench (4 minutes)",
        run: parity::prefill,
    },
    Benchmark {
        name: "parity-decode",
        help: "CPU time of tg128 beside the real llama-bench (3 minutes; its noise wants 60 pairs, 8 minutes)",
        run: parity::decode,
    },
    Benchmark {
        name: "context-switch",
        help: "CPU time of a trial that changes context knobs only, above its decode work",
        run: context_switch::run,
    },
    Benchmark {
        name: "parent-memory",
        help: "peak memory of the gguflab process during a tune",
        run: parent_memory::run,
    },
    Benchmark {
        name: "search",
        help: "our search beside Optuna's TPE and random search, as many seeds as pairs (20 minutes)",
        run: search::run,
    },
    Benchmark {
        name: "grid",
        help: "a tune beside a grid of 36 cells through llama-bench, on the demo model (10 minutes)",
        run: grid::run,
    },
    Benchmark {
        name: "false-alarms",
        help: "checks of the demo model against itself beside other work, as many as pairs (10 minutes)",
        run: false_alarms::run,
    },
    Benchmark {
        name: "gate",
        help: "error rates and runs of the sequential gate and comparison, 100 simulations for each pair",
        run: gate::run,
    },
    Benchmark {
        name: "bisect",
        help: "the first slow one of eight real builds of llama-bench (5 minutes, and a build of llama.cpp)",
        run: bisect::run,
    },
    Benchmark {
        name: "load",
        help: "the client for servers under load, beside a server that stamps its own sends (2 minutes); with --peers \
               beside AIPerf and GuideLLM too (1.2 GB from PyPI, 10 minutes)",
        run: load::run,
    },
    Benchmark {
        name: "evaluation",
        help: "KL divergence of 16 windows beside the real llama-perplexity, and memory at 8k (10 minutes)",
        run: evaluation::run,
    },
    Benchmark {
        name: "evaluation-gemma",
        help: "the same of Gemma-3-270m, fetched under the Gemma Terms of Use; not among all (5 minutes)",
        run: gemma::run,
    },
    Benchmark {
        name: "overlap",
        help: "1 GB of training text against an evaluation with planted near-duplicates (1 minute)",
        run: overlap::run,
    },
    Benchmark { name: "store", help: "storing 1,000 trials", run: store::run },
    Benchmark {
        name: "scoring",
        help: "CPU time of a divergence beside llama-perplexity's way, as many rounds as pairs",
        run: scoring::run,
    },
    Benchmark { name: "demo-time", help: "the demo, without the builds before it", run: demo_time::run },
];

/// `cargo xtask bench [list|all|NAME…] [--pairs N] [--peers] [--record]`.
pub fn verb(arguments: &[String]) -> Result<()> {
    let wish = Wish::parse(arguments)?;
    if wish.chosen.is_empty() {
        BENCHMARKS.iter().for_each(|benchmark| println!("{:<16} {}", benchmark.name, benchmark.help));
        return Ok(());
    }
    let request = Request { environment: setup::prepare()?, pairs: wish.pairs, peers: wish.peers };
    let mut text = figure::heading();
    for benchmark in wish.chosen {
        eprintln!("bench: {}", benchmark.name);
        let figures = (benchmark.run)(&request).with_context(|| format!("benchmark {}", benchmark.name))?;
        figures.iter().for_each(|figure| text.push_str(&figure::row(benchmark.name, figure)));
    }
    println!("{text}");
    if wish.record { figure::append(&text) } else { Ok(()) }
}

/// What the arguments ask for.
struct Wish {
    chosen: Vec<&'static Benchmark>,
    pairs: usize,
    peers: bool,
    record: bool,
}

impl Wish {
    fn parse(arguments: &[String]) -> Result<Wish> {
        let (mut names, mut pairs, mut peers, mut record) = (Vec::new(), PAIRS, false, false);
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--record" => record = true,
                "--peers" => peers = true,
                "--pairs" => pairs = number(words.next())?,
                name => names.push(name),
            }
        }
        Ok(Wish { chosen: choose(&names)?, pairs, peers, record })
    }
}

fn number(word: Option<&str>) -> Result<usize> {
    match word.and_then(|word| word.parse().ok()) {
        Some(number @ 1..) => Ok(number),
        _ => bail!("--pairs needs a whole number from 1 up, not `{}`", word.unwrap_or_default()),
    }
}

fn choose(names: &[&str]) -> Result<Vec<&'static Benchmark>> {
    match names {
        [] | ["list"] => return Ok(Vec::new()),
        ["all"] => {
            let is_for_all = |benchmark: &&Benchmark| !BY_NAME_ONLY.contains(&benchmark.name);
            return Ok(BENCHMARKS.iter().filter(is_for_all).collect());
        }
        _ => {}
    }
    let find = |name: &&str| match BENCHMARKS.iter().find(|benchmark| benchmark.name == *name) {
        Some(benchmark) => Ok(benchmark),
        None => bail!("there is no benchmark `{name}`: see `cargo xtask bench list`"),
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wish> {
        Wish::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn benchmarks_are_chosen_by_name() {
        let all = parse("all").expect("all").chosen;
        assert_eq!(all.len(), BENCHMARKS.len() - BY_NAME_ONLY.len());
        for name in BY_NAME_ONLY {
            assert!(all.iter().all(|benchmark| benchmark.name != *name), "{name}");
            assert_eq!(parse(name).expect("by its name").chosen.len(), 1);
        }
        assert!(
            parse("").expect("nothing").chosen.is_empty() && parse("list").expect("list").chosen.is_empty()
        );
        let Err(error) = parse("no-such") else { panic!("not a benchmark") };
        assert!(error.to_string().contains("`no-such`"), "{error}");
    }

    #[test]
    fn options_stand_anywhere() {
        let wish = parse("--pairs 3 store --record header --peers").expect("two benchmarks");
        assert_eq!((wish.chosen.len(), wish.pairs, wish.record, wish.peers), (2, 3, true, true));
        assert_eq!(parse("store").expect("one").pairs, PAIRS);
        for line in ["store --pairs", "store --pairs 0", "store --pairs many"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
