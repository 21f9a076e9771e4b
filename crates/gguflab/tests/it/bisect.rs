//! `bisect`: a folder of builds, or a command that makes each of them, and the one that made it slower.

use crate::support::Place;

/// Measures as llama-bench does, in no time: a generated token takes the nanoseconds in `token`, and a little noise.
const BUILD: &str = r#"#!/bin/sh
prompt=512 generate=128 repetitions=5
while [ $# -gt 0 ]; do
  case "$1" in
    --help)
      echo "usage: llama-bench [options]"
      for flag in "-m, --model <filename>" "-p, --n-prompt <n>" "-n, --n-gen <n>" "-d, --n-depth <n>" \
        "-t, --threads <n>" "-r, --repetitions <n>" "-o, --output <csv|json|jsonl|md|sql>"; do echo "  $flag"; done
      exit 0;;
    -*=*|--version|--list-devices) exit 1;;
    -p) prompt=$2; shift;;
    -n) generate=$2; shift;;
    -r) repetitions=$2; shift;;
    *) shift;;
  esac
  shift
done
row() {
  samples="" i=0
  while [ $i -lt "$repetitions" ]; do
    samples="$samples${samples:+, }$((($1 + $2) * (token + ($$ * 7919 + i * 104729) % 20000)))"
    i=$((i + 1))
  done
  echo "{\"n_prompt\": $1, \"n_gen\": $2, \"n_depth\": 0, \"avg_ns\": 1, \"avg_ts\": 1.0, \"stddev_ts\": 1.0, \"samples_ns\": [ $samples ]}"
}
[ "$prompt" -gt 0 ] && row "$prompt" 0
[ "$generate" -gt 0 ] && row 0 "$generate"
exit 0
"#;

/// Builds b1 to b12 in the folder `builds`, slower by a fifth from b8 on. b5 does not run.
fn builds() -> Place {
    let place = Place::with_model();
    std::fs::create_dir(place.path("builds")).unwrap();
    std::fs::create_dir(place.path("texts")).unwrap();
    for number in 1..=12 {
        let token = if number >= 8 { 1_200_000 } else { 1_000_000 };
        let text = BUILD.replacen("prompt=512", &format!("token={token} prompt=512"), 1);
        let text = if number == 5 { "#!/bin/sh\nexit 1\n".to_string() } else { text };
        let name = format!("texts/llama-bench-b{number}");
        place.write_program(&name, &text);
        std::fs::rename(place.path(&name), place.path(&format!("builds/llama-bench-b{number}"))).unwrap();
    }
    place
}

const HOW: &str = "--prompt 16 --generate 8 --metric decode";

#[test]
fn the_first_slow_build_of_a_folder_is_found() {
    let place = builds();
    let line = format!(
        "bisect tiny.gguf --good llama-bench-b1 --bad llama-bench-b12 --builds {{}}/builds {HOW} --report {{}}/r.md"
    );
    let ended = place.check(&line, 0, "The first bad build is llama-bench-b8, with a confidence of");
    assert!(ended.talk.contains("12 builds from llama-bench-b1 to llama-bench-b12"), "{ended}");
    assert!(ended.talk.contains("llama-bench-b12: worse"), "the bad end is asked first: {ended}");
    assert!(place.read("r.md").contains("llama-bench-b7 is the last good one"));
}

#[test]
fn a_command_makes_builds_and_what_does_not_run_is_left_out() {
    let place = builds();
    place.write_program(
        "make",
        "#!/bin/sh\necho building\necho \"$(dirname \"$0\")/builds/llama-bench-$1\"\n",
    );
    let line = format!("bisect tiny.gguf --good b4 --bad b6 --command {{}}/make --threshold 0.1 {HOW}");
    place.check(&line, 0, "There is nothing to find: b6 is not worse than b4");
    let line = format!("bisect tiny.gguf --good b1 --bad b5 --command {{}}/make {HOW}");
    place.check(&line, 1, "the bad end cannot be measured");
    let line = format!("bisect tiny.gguf --good b5 --bad b9 --command {{}}/make {HOW}");
    place.check(&line, 1, "the good end cannot be measured");
    let line = format!("bisect tiny.gguf --good b7 --bad b9 --names b1,b7,b9,b8 --command {{}}/make {HOW}");
    place.check(&line, 0, "The first bad build is b9");
}

#[test]
fn what_no_build_tells_ends_it_at_once() {
    let place = builds();
    let line = "bisect tiny.gguf --good llama-bench-b1 --bad llama-bench-b4 --builds {}/builds --prompt 16 --generate 8";
    let ended = place.check(
        &format!("{line} --metric inter-token-p95"),
        1,
        "the good end cannot be measured: no inter-token-p95 is told of it; take another --metric",
    );
    assert!(!ended.talk.contains("visit 9"), "{ended}");
    let sides = "llama-bench={}/builds/llama-bench-b1 llama-bench={}/builds/llama-bench-b4 --model tiny.gguf";
    let line = format!("compare {sides} --prompt 16 --generate 8 --metric inter-token-p95 --budget-runs 32");
    let ended = place.check(&line, 0, "inter-token-p95");
    assert!(!ended.talk.contains("visit 20"), "{ended}");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let place = builds();
    place.write("cut.gguf", &std::fs::read(place.path("tiny.gguf")).unwrap()[..2000]);
    let ends = "--good llama-bench-b1 --bad llama-bench-b2 --builds {}/builds";
    place.check(&format!("bisect cut.gguf {ends}"), 3, "the file is cut off");
    for (line, words) in [
        ("--good b1 --bad b2", "give --builds DIR, or --command COMMAND"),
        ("--good b1 --bad b99 --builds {}/builds", "no build `b1`"),
        ("--good one --bad two --command true", "--names"),
        ("--good b1 --bad b2 --command true --confidence 1.5", "--confidence 1.5"),
        ("--good b1 --bad b2 --command true --threshold 0", "--threshold 0"),
        ("--good b1 --bad b1 --command {}/make", "--good and --bad are both `b1`"),
    ] {
        place.check(&format!("bisect tiny.gguf {line}"), 2, words);
    }
}
