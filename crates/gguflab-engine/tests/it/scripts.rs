//! Programs that behave, or misbehave, as llama-bench might.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// What `--help` and `--version` say; the rest of a script follows. `$prompt`, `$generate`, `$depth` and
/// `$repetitions` are those of its arguments.
const HEAD: &str = r#"#!/bin/sh
prompt=512 generate=128 depth=0 repetitions=5 attention=on values=f16
while [ $# -gt 0 ]; do
  case "$1" in
    --help)
      echo "usage: llama-bench [options]"
      echo "  --version   show version and build info"
      echo "  --list-devices   list available devices and exit"
      echo "  -m, --model <filename>"
      echo "  -p, --n-prompt <n>"
      echo "  -n, --n-gen <n>"
      echo "  -d, --n-depth <n>"
      echo "  -t, --threads <n>"
      echo "  -fa, --flash-attn <on|off|auto>"
      echo "  -ctv, --cache-type-v <t>"
      echo "  -r, --repetitions <n>"
      echo "  -o, --output <FORMATS>"
      exit 0;;
    --version) echo "version: 1.0 (build 1, commit abc)" >&2; echo "built with sh for tests" >&2; exit 0;;
    --list-devices) echo "Available devices:"; echo "  (none)"; exit 0;;
    -p) prompt=$2; shift;;
    -n) generate=$2; shift;;
    -d) depth=$2; shift;;
    -r) repetitions=$2; shift;;
    -fa) attention=$2; shift;;
    -ctv) values=$2; shift;;
    -m|-o|-t) shift;;
    *) echo "error: invalid parameter for argument: $1" >&2; exit 1;;
  esac
  shift
done
"#;

/// A row of JSON for each test, with every repetition; talks a little on both streams.
pub(crate) const GOOD: &str = r#"
echo "llama_model_load: loading" >&2
echo "some backend says hello, and more"
if [ "$values" = q8_0 ] && [ "$attention" = off ]; then
  echo "llama_init_from_model: quantized V cache requires flash_attn to be enabled" >&2
  echo "llama_bench: error: failed to create context with model 'm.gguf'" >&2
  exit 1
fi
[ "$prompt" -gt 128 ] && exec sleep 600
row() {
  samples=""
  i=0
  while [ $i -lt "$repetitions" ]; do samples="$samples${samples:+, }$((4000000 + i * 10000))"; i=$((i + 1)); done
  echo "{\"n_prompt\": $1, \"n_gen\": $2, \"n_depth\": $depth, \"avg_ns\": 4000000, \"avg_ts\": 100.0, \"stddev_ts\": 1.0, \"samples_ns\": [ $samples ]}"
}
[ "$prompt" -gt 0 ] && row "$prompt" 0
[ "$generate" -gt 0 ] && row 0 "$generate"
exit 0
"#;

/// Only means and deviations, as CSV.
pub(crate) const OLD: &str = r#"
echo "build_commit,n_prompt,n_gen,avg_ns,stddev_ns,avg_ts,stddev_ts"
echo "\"a,b\",\"$prompt\",\"0\",\"1\",\"1\",\"120.5\",\"2.5\""
echo "\"a,b\",\"0\",\"$generate\",\"1\",\"1\",\"20.25\",\"0.5\""
"#;

/// Talks, but measures nothing.
pub(crate) const GARBAGE: &str = r#"
echo "Segmentation successful"; echo "1, 2, 3"; echo "{ not json"
"#;

/// Never ends, with a grandchild that never ends either; writes the numbers of both beside itself.
pub(crate) const HANG: &str = r#"
sleep 600 &
echo "$$ $!" > "$(dirname "$0")/processes"
wait
"#;

/// Dies half-way.
pub(crate) const CRASH: &str = r#"
echo "{\"n_prompt\": $prompt, \"n_gen\": 0, \"avg_ts\": 100.0}"
echo "ggml.c:123: GGML_ASSERT(tensor) failed" >&2
kill -ABRT $$
"#;

/// Runs out of memory on a card.
pub(crate) const MEMORY: &str = r#"
echo "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory" >&2
echo "llama_bench: error: failed to load model 'm.gguf'" >&2
exit 1
"#;

/// Writes such a program into a folder.
pub(crate) fn write(folder: &tempfile::TempDir, body: &str) -> PathBuf {
    let formats = if body == OLD { "csv|md|sql" } else { "csv|json|jsonl|md|sql" };
    write_plain(folder, &format!("{}{body}", HEAD.replace("FORMATS", formats)))
}

/// Writes any script in the place of llama-bench.
pub(crate) fn write_plain(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    write_named(folder, "llama-bench", text)
}

/// Writes any script.
pub(crate) fn write_named(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    // Written under another name first: a file that some forked process still holds open for writing cannot be run.
    let beside = folder.path().join(format!("{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    path
}
