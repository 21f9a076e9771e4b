//! A search for the first slow one among real builds of llama.cpp's llama-bench: most are built for this machine, the last
//! ones are what a packager ships who forgets to.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, fetch, peer, test};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How many builds there are, and the number of the first slow one.
const BUILDS: u32 = 8;
const FIRST_SLOW: u32 = 6;
/// What makes a build slow on x86, without the instructions of the last ten years. (AVX2 alone is not slower for every type.)
const SLOWER: &[&str] =
    &["-DGGML_NATIVE=OFF", "-DGGML_AVX2=OFF", "-DGGML_FMA=OFF", "-DGGML_F16C=OFF", "-DGGML_BMI2=OFF"];

/// One search.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    if !model.is_real {
        bail!("the builds are measured with the real demo model, which could not be fetched");
    }
    if !cfg!(target_arch = "x86_64") {
        bail!("the slow builds lack instructions of x86, which this machine is not");
    }
    test::build_programs(&request.environment)?;
    let good = peer::build(&request.environment, &["llama-bench"])?;
    let slow = peer::build_with(&request.environment, &["llama-bench"], SLOWER)?;
    let folder = command::release_folder().with_file_name("bench").join("builds");
    for number in 1..=BUILDS {
        let source = if number < FIRST_SLOW { &good } else { &slow };
        let place = folder.join(name(number));
        std::fs::create_dir_all(&place).with_context(|| format!("could not make {}", place.display()))?;
        let program = command::executable("llama-bench");
        std::fs::copy(source.join(&program), place.join(&program))?;
    }
    let start = Instant::now();
    let text = command::capture(&mut search(&model.path, &folder))?;
    figures(&text, start.elapsed().as_secs_f64() / 60.0)
}

fn name(number: u32) -> String {
    format!("b{number}")
}

fn search(model: &Path, builds: &Path) -> Command {
    let mut command = Command::new(process::gguflab());
    command
        .arg("bisect")
        .arg(model)
        .args(["--good", &name(1), "--bad", &name(BUILDS), "--builds"])
        .arg(builds);
    command.args(["--prompt", "128", "--generate", "32", "--metric", "decode", "--json", "--quiet"]);
    command
}

fn figures(json: &str, minutes: f64) -> Result<Vec<Figure>> {
    let told: Value = serde_json::from_str(json).context("the program's JSON")?;
    let blocks = told["document"]["blocks"].as_array().context("the program's JSON has no blocks")?;
    let verdict = format!("The first bad build is {},", name(FIRST_SLOW));
    let is_found =
        blocks.iter().any(|block| block["text"].as_str().is_some_and(|text| text.contains(&verdict)));
    let asked = blocks.iter().find_map(|block| block["rows"].as_array()).map(Vec::len);
    let asked = asked.context("the program's JSON has no table of questions")?;
    let wrong = format!("{BUILDS} builds, slow from {} on: wrong builds named", name(FIRST_SLOW));
    Ok(vec![
        Figure::new(wrong, if is_found { 0.0 } else { 1.0 }, "").limited(Limit::AtMost(0.0)),
        Figure::new("questions", asked as f64, ""),
        Figure::new("time", minutes, "min"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_read_from_the_document() {
        let json = r#"{"document":{"blocks":[{"block":"paragraph","text":"VERDICT"},{"block":"table","rows":[[],[],[]]}]}}"#;
        let of = |verdict: &str| -> Vec<f64> {
            let found = figures(&json.replace("VERDICT", verdict), 2.0).expect("figures");
            found.iter().map(|figure| figure.value).collect()
        };
        assert_eq!(of("The first bad build is b6, with a confidence of 97 %."), [0.0, 3.0, 2.0]);
        assert_eq!(of("The first bad build is b5, with a confidence of 97 %."), [1.0, 3.0, 2.0]);
        assert!(figures("{}", 1.0).is_err());
    }
}
