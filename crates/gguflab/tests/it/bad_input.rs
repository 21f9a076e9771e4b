//! What a user gets wrong: an exit code that says whose fault it is, words that name the thing, nothing lost.

use crate::support::Place;
use gguflab_format::TinyArchitecture;

/// A header that asks for more of everything than there can be.
const HOSTILE: &[u8] = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80";

#[test]
fn model_files() {
    let place = Place::with_model();
    let tiny = std::fs::read(place.path("tiny.gguf")).unwrap();
    place.write("empty.gguf", "");
    place.write("header.gguf", &tiny[..2000]);
    place.write("cut.gguf", &tiny[..tiny.len() - 1000]);
    place.write("random.gguf", "this is not the model that you are looking for");
    place.write("hostile.gguf", HOSTILE);
    place.write("adapter.gguf", with_type(&tiny, "adapter"));
    std::fs::create_dir(place.path("nothing")).unwrap();
    std::fs::create_dir(place.path("one")).unwrap();
    place.write_model("one/only.gguf", TinyArchitecture::Llama);
    for (name, words) in [
        ("missing.gguf", "missing.gguf"),
        ("empty.gguf", "empty.gguf: the file is empty; download or copy it again"),
        ("header.gguf", "the file is cut off"),
        ("cut.gguf", "bytes are missing"),
        ("random.gguf", "not a GGUF file"),
        ("hostile.gguf", "above the limit"),
        ("adapter.gguf", "adapter"),
        ("nothing", "has no .gguf file"),
        (".", "several models; say which"),
        ("hf:owner/model", "hf:owner/model"),
        ("no-such-name:latest", "no model `no-such-name:latest` on this machine"),
    ] {
        for verb in ["bench", "tune --store {}/bad.db"] {
            place.check(&format!("{verb} {name} --set-nothing"), 2, "--set-nothing");
            let ended = place.check(&format!("{verb} {name}"), 3, words);
            assert!(ended.talk.starts_with("error: ") && ended.output.is_empty(), "{ended}");
        }
    }
    assert!(!place.path("bad.db").exists(), "a model that cannot be read leaves no study behind");
    place.check("inspect hostile.gguf", 3, "above the limit");
    place.check("inspect cut.gguf", 0, "bytes are missing");
    place.check("inspect one", 0, "tiny-llama");
}

/// The same model with another `general.type`, which is its first string of five letters `model`.
fn with_type(tiny: &[u8], word: &str) -> Vec<u8> {
    let key = b"general.type";
    let at = tiny.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4;
    let old = usize::try_from(u64::from_le_bytes(tiny[at..at + 8].try_into().unwrap())).unwrap();
    let length = (word.len() as u64).to_le_bytes();
    [&tiny[..at], &length, word.as_bytes(), &tiny[at + 8 + old..]].concat()
}

/// Command lines that cannot be meant, and what is said of them.
const WRONG: &[(&str, &str)] = &[
    ("", "Usage: gguflab"),
    ("frobnicate", "unrecognized subcommand 'frobnicate'"),
    ("bench", "engine `embedded` needs a model"),
    ("bench tiny.gguf --set thread=4", "unknown knob `thread`: did you mean `threads`?"),
    ("bench tiny.gguf --set threads", "write KNOB=VALUE"),
    ("bench tiny.gguf --set threads=0", "takes a whole number from 1 to 1024"),
    ("bench tiny.gguf --set threads=many", "threads cannot be `many`"),
    ("bench tiny.gguf --set cache-type-k=q3", "one of f32, f16"),
    ("bench tiny.gguf --set ubatch=4096", "ubatch may not be larger than batch"),
    ("bench tiny.gguf --set batch=64 --set ubatch=128", "ubatch may not be larger than batch"),
    ("bench tiny.gguf --set cache-type-v=q8_0 --set flash-attention=off", "needs flash attention"),
    ("bench --engine simulated --set gpu-layers=3", "gpu-layers needs a GPU"),
    ("bench --engine simulated=gpu --set cpu-moe-layers=3", "a GPU and a model with experts"),
    ("bench --engine simulated=gpu --set main-gpu=1", "two or more GPUs"),
    ("bench --engine simulated --set numa=isolate", "two or more NUMA nodes"),
    ("bench tiny.gguf --engine nope", "unknown engine `nope`: the engines are embedded"),
    ("bench tiny.gguf --engine llama-bench", "needs a path: write llama-bench=PATH"),
    ("bench --engine simulated=desktop", "the presets are laptop"),
    ("bench --engine simulated --workload nope", "no workload `nope`: there are chat"),
    ("bench --engine simulated --workload chat --prompt 3", "cannot be used with"),
    ("bench --engine simulated --text empty.txt", "empty.txt is empty"),
    ("bench --engine simulated --prompt 0 --generate 0", "workload pp0+tg0: a request needs prompt tokens"),
    ("bench --engine simulated --concurrency 0", "concurrency 0 runs nothing"),
    ("bench --engine simulated --depth 4000000000", "over 2,147,483,647 tokens"),
    ("bench --engine simulated --prompt 4294967295 --concurrency 4294967295", "over 2,147,483,647 tokens"),
    ("bench --engine simulated --repetitions 0", "0 repetitions measure nothing"),
    ("bench --engine simulated --visits 0", "0 visits measure nothing"),
    ("bench --engine simulated --report x.pdf", "the ending says no format; use one of"),
    ("bench --engine simulated --report x", "the ending says no format; use one of"),
    ("bench --engine simulated --env FOO", "write NAME=VALUE"),
    ("bench --engine simulated --timeout-per-trial soon", "write 90s, 10m or 2h"),
    ("bench --engine simulated --json --format csv", "cannot be used with"),
    ("tune --engine simulated --objective nope", "no objective `nope`: there are time, decode"),
    ("tune --engine simulated --sampler nope", "unknown sampler `nope`: there are auto"),
    ("tune --engine simulated --budget-runs 0", "the budget is 0 runs"),
    ("tune --engine simulated --budget-time 0s", "is not a time"),
    ("tune --engine simulated --margin 2", "--margin 2: write a fraction"),
    ("tune --engine simulated --knob nope=1..2", "unknown knob `nope`"),
    ("tune --engine simulated --knob threads=8..1", "the range runs down"),
    ("tune --engine simulated --only threads,nope", "unknown knob `nope`"),
    ("tune --engine simulated --baseline threads=0", "--baseline: knob threads cannot be `0`"),
    ("tune --engine simulated --report x.pdf", "the ending says no format"),
    ("tune --engine simulated --generate 0 --objective decode", "objective decode means nothing"),
];

#[test]
fn wrong_arguments_are_refused_before_anything_runs() {
    let place = Place::with_model();
    place.write("empty.txt", " \n");
    for (line, words) in WRONG {
        let store = if line.starts_with("tune") { " --store {}/studies.db" } else { "" };
        let ended = place.check(&format!("{line}{store}"), 2, words);
        assert!(ended.output.is_empty() && !ended.talk.contains("visit 1"), "gguflab {line}\n{ended}");
    }
    assert!(!place.path("studies.db").exists(), "wrong arguments leave no file behind");
}

#[test]
fn files_beside_the_model() {
    let place = Place::new();
    for (line, words) in [
        ("bench --engine simulated --text none.txt", "cannot read none.txt"),
        ("bench --engine simulated --record none/x.json", "cannot write none/x.json"),
        ("bench --engine simulated --report none/x.html", "cannot write none/x.html"),
        ("tune --engine simulated --report none/x.html --store {}/s.db", "cannot write none/x.html"),
    ] {
        let ended = place.check(line, 3, words);
        assert!(ended.output.is_empty() && !ended.talk.contains("visit 1"), "nothing ran yet: {ended}");
        assert_eq!(ended.talk.matches("os error").count(), 1, "said once: {ended}");
    }
    std::fs::create_dir(place.path("taken.html")).unwrap();
    let ended = place.check("bench --engine simulated --report taken.html", 3, "cannot write taken.html");
    assert!(ended.output.contains("decode"), "what was measured is shown all the same: {ended}");
    let left: Vec<_> =
        std::fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");
}

#[test]
fn contexts_that_do_not_fit_are_refused_before_they_run() {
    let place = Place::with_model();
    for depth in [2_000_000_000, 100_000_000] {
        let record = format!("{{}}/{depth}.json");
        let line =
            format!("bench tiny.gguf --set threads=1 --depth {depth} --record {record} --format csv -q");
        let ended = place.check(&line, 1, "out of memory: not tried: cache and buffers need about");
        assert!(ended.talk.contains("take a shorter context"), "{ended}");
        let record = place.read(&format!("{depth}.json"));
        let record: gguflab_lab::bench::Record = serde_json::from_str(&record).unwrap();
        let ending = record.trials[0].ending.as_ref().unwrap();
        assert_eq!((record.trials.len(), ending.outcome), (1, gguflab_types::Outcome::OutOfMemory));
    }
}

#[test]
fn engines_that_cannot_be_used() {
    let place = Place::with_model();
    place.write("text", "not a program");
    for (line, words) in [
        ("bench tiny.gguf --engine worker={}/none", "cannot start"),
        ("bench tiny.gguf --engine worker={}/text", "cannot start"),
        ("bench tiny.gguf --engine llama-bench={}/none", "give its path, as in --engine llama-bench="),
        ("bench tiny.gguf --engine llama-bench={}", "is a directory; give the program in it"),
        #[cfg(unix)]
        ("bench tiny.gguf --engine llama-bench={}/text", "make it executable: chmod +x"),
        #[cfg(unix)]
        ("bench tiny.gguf --engine worker=/bin/true", "/bin/true ended before it said hello"),
        ("bench tiny.gguf --wrapper no-such-wrapper", "cannot start"),
    ] {
        let ended = place.check(line, 4, words);
        assert!(ended.output.is_empty(), "{ended}");
    }
    let ended = place.run_with_worker("bench tiny.gguf", "{}/none");
    assert_eq!(ended.status.code(), Some(4), "{ended}");
    assert!(ended.talk.contains("cargo build --release -p gguflab-worker"), "{ended}");
    let ended = place.run_with_worker("devices", "{}/none");
    assert_eq!(ended.status.code(), Some(0), "the machine can be shown without an engine: {ended}");
}

impl Place {
    fn run_with_worker(&self, line: &str, worker: &str) -> crate::support::Ended {
        let worker = worker.replace("{}", &self.folder().display().to_string());
        let mut command = self.command(line);
        command.env("GGUFLAB_WORKER", worker);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        crate::support::finish(command.spawn().unwrap())
    }
}

#[test]
fn stores_that_cannot_be_used_are_left_as_they_are() {
    let place = Place::new();
    place.write("text", "not a database");
    let good = "tune --engine simulated --study s --budget-runs 6 -q --store {}/good.db";
    place.check(good, 0, "default");
    let bytes = std::fs::read(place.path("good.db")).unwrap();
    place.write("cut.db", &bytes[..bytes.len() / 2]);
    place.write("newer.db", with_version(&bytes, b'9'));
    let mut damaged = bytes.clone();
    damaged[4096..].iter_mut().for_each(|byte| *byte = 0xa5);
    place.write("damaged.db", damaged);
    // What tuning says, and what reading says where that is something else.
    for (name, words, reading) in [
        ("none/studies.db", "create it first", "does not exist"),
        ("text/studies.db", "text", ""),
        (".", "it is a folder", "it is a folder"),
        ("text", "not a study file", ""),
        ("cut.db", "is damaged", ""),
        ("damaged.db", "is damaged", ""),
        ("newer.db", "was written by a newer gguflab", ""),
        #[cfg(target_os = "linux")]
        ("/proc/studies.db", "cannot be opened", "does not exist"),
    ] {
        let before = std::fs::read(place.path(name)).ok();
        place.check(&format!("tune --engine simulated --study s --store {name}"), 5, words);
        place.check(
            &format!("study list --store {name}"),
            5,
            if reading.is_empty() { words } else { reading },
        );
        assert_eq!(std::fs::read(place.path(name)).ok(), before, "{name}");
    }
    place.check("study show nope --store good.db", 2, "no study `nope` in good.db: it holds `s`");
    place.check("report nope --store good.db", 2, "no study `nope`");
    place.check("export nope --store good.db", 2, "no study `nope`");
    place.check("study show s 99 --store good.db", 2, "study `s` has no trial 99");
    assert_eq!(std::fs::read(place.path("good.db")).unwrap(), bytes, "reading changes nothing");
}

/// A study file that says it has another version of the tables.
fn with_version(bytes: &[u8], version: u8) -> Vec<u8> {
    let key = b"schema_version1";
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at + key.len() - 1] = version;
    bytes
}

#[test]
fn settings_come_from_the_project_before_the_user() {
    let place = Place::new();
    let user = place.path("home/gguflab");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::write(user.join("gguflab.toml"), "engine = 'simulated=gpu'\nbaselines = 'kept'\n").unwrap();
    place.check("bench --visits 1", 0, "simulated gpu");
    place.write("gguflab.toml", "engine = 'simulated=moe'\n");
    place.check("bench --visits 1", 0, "simulated moe");
    place.check("bench --visits 1 --engine simulated", 0, "simulated laptop");
    place.check("gate accept x --visits 2", 0, "accepted");
    assert!(user.join("kept/x/baseline-0001.json").exists(), "seen from the file's folder");
    place.write("gguflab.toml", "margin = 0.1\nengin = 'simulated'\n");
    place.check("bench --visits 1", 3, "line 2");
    place.check("--help", 0, "compare");
}
