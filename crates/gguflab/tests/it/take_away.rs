//! What the user takes away, tried with the programs that it is for.

use crate::support::{Place, given};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TUNE: &str = "tune tiny.gguf --study s --store {}/s.db --only flash-attention,repack --baseline threads=1 \
                    --prompt 16 --generate 8 --budget-runs 6 -q --take-away {}/away";

#[test]
fn a_tune_of_a_real_model_leaves_files_that_measure_it_again() {
    let place = Place::with_model();
    place.check(TUNE, 0, "llama-server");
    for name in ["llama-server.sh", "models.ini", "llama-swap.yaml", "Modelfile", "llama-cpp-python.yaml"] {
        assert!(place.read(&format!("away/{name}")).contains("tiny.gguf"), "{name}");
    }
    let again = "bench --profile {}/away/profile.toml --visits 1 -r 1 --json";
    let json = place.check(again, 0, "decode").json().to_string();
    assert!(json.contains("pp16+tg8"), "the workload comes from the profile: {json}");
    let other = place.check(&format!("{again} --prompt 5 --generate 3"), 0, "decode").json().to_string();
    assert!(other.contains("pp5+tg3"), "the command line goes first: {other}");
    place.check("report s --store {}/s.db --take-away {}/again -q", 0, "");
    assert!(place.read("again/llama-bench.sh").starts_with("#!/bin/sh\n"));
}

#[test]
fn a_profile_of_a_simulated_engine_is_complete() {
    let place = Place::new();
    place.check(
        "tune --engine simulated=gpu,seed=3 --budget-runs 9 --store {}/s.db -q --take-away {}/a",
        0,
        "",
    );
    place.check("bench --profile {}/a/profile.toml --visits 1", 0, "simulated gpu seed=3");
    place.check("bench --profile {}/a/profile.toml --visits 1 --engine simulated=cpu", 2, "preset");
}

#[test]
fn profiles_that_cannot_be_read_are_refused_with_file_line_and_key() {
    let place = Place::new();
    place.write("bad.toml", "version = 1\nengine = \"simulated\"\n\n[settings]\nthreds = 4\n");
    place.check("bench --profile {}/bad.toml", 3, "bad.toml, line 5: unknown knob `threds`");
    place.write("worse.toml", "version = 1\nengin = \"simulated\"\n");
    place.check("bench --profile {}/worse.toml", 3, "worse.toml, line 2: unknown field `engin`");
    place.check("bench --profile {}/none.toml", 3, "none.toml");
}

#[test]
fn the_snippet_runs_the_real_llama_bench() {
    let (Some(program), Some(model)) = (given("GGUFLAB_LLAMA_BENCH"), given("GGUFLAB_TEST_MODEL")) else {
        return;
    };
    let place = tuned(&model);
    let output = snippet(&place, "llama-bench.sh", &program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("tg4"), "{said}\n{problem}");
}

#[test]
fn the_snippet_and_the_preset_run_the_real_llama_server() {
    let (Some(program), Some(model)) =
        (std::env::var_os("GGUFLAB_LLAMA_SERVER"), given("GGUFLAB_TEST_MODEL"))
    else {
        return;
    };
    let (program, place) = (PathBuf::from(program), tuned(&model));
    let answer = ask(snippet(&place, "llama-server.sh", &program), "/health");
    assert!(answer.contains("\"ok\""), "{answer}");
    let mut router = Command::new(&program);
    router.arg("--models-preset").arg(place.path("away/models.ini"));
    let answer = ask(router, "/v1/models");
    let name = model.file_stem().unwrap().to_string_lossy().into_owned();
    assert!(answer.contains(&name), "{answer}");
}

/// A place with the files of a tune of the real model.
fn tuned(model: &Path) -> Place {
    let place = Place::new();
    let line = format!(
        "tune {} --study s --store {{}}/s.db --only flash-attention --baseline threads=1 --prompt 8 --generate 4 \
         --budget-runs 3 -q --take-away {{}}/away",
        model.display()
    );
    place.check(&line, 0, "llama-bench");
    place
}

/// A snippet as its reader would run it, with the program on the search path.
fn snippet(place: &Place, name: &str, program: &Path) -> Command {
    let folder = program.parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg(place.path(&format!("away/{name}"))).env("PATH", format!("{}:{path}", folder.display()));
    command
}

/// Starts a server on a free port and gives what it says to a question as soon as it is ready.
fn ask(mut command: Command, question: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    command.env("LLAMA_ARG_PORT", port.to_string()).env("LLAMA_ARG_HOST", "127.0.0.1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    use std::os::unix::process::CommandExt;
    let mut child = Killed(command.process_group(0).spawn().unwrap());
    let started = Instant::now();
    loop {
        let answer = request(port, question).unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") {
            return answer;
        }
        assert!(child.0.try_wait().unwrap().is_none(), "the server ended");
        assert!(started.elapsed() < Duration::from_secs(60), "no answer: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn request(port: u16, question: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {question} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process that does not outlive its test, and neither does what it started.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}
