//! `PRESET[,seed=N][,noise=F][,speed=F][,thermal=F][,pace=F]`.

use super::preset::{self, PRESETS, Preset};

/// What the engine was asked to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub(super) preset: &'static Preset,
    /// Seed of all noise.
    pub(super) seed: u64,
    /// Factor on all noise; 0 makes every repetition exact.
    pub(super) noise: f64,
    /// Factor on all speeds.
    pub(super) speed: f64,
    /// Share of the speed that is lost to heat in the long run.
    pub(super) thermal: f64,
    /// Real seconds for each virtual second.
    pub(super) pace: f64,
}

impl Parameters {
    pub(super) fn parse(text: &str) -> Result<Parameters, String> {
        let mut made =
            Parameters { preset: &PRESETS[0], seed: 42, noise: 1.0, speed: 1.0, thermal: 0.0, pace: 0.0 };
        for (index, part) in text.split(',').filter(|part| !part.is_empty()).enumerate() {
            match part.split_once('=') {
                None if index == 0 => made.preset = preset::find(part).ok_or_else(|| unknown_preset(part))?,
                None => return Err(format!("has no parameter `{part}`: write NAME=VALUE, {PARAMETERS}")),
                Some((name, value)) => made.set(name, value)?,
            }
        }
        Ok(made)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = |low: f64, high: f64| {
            let parsed = value.parse::<f64>().ok().filter(|number| (low..=high).contains(number));
            parsed.ok_or_else(|| format!("takes {name} from {low} to {high}, not `{value}`"))
        };
        match name {
            "seed" => {
                let parsed = value.parse().ok();
                self.seed = parsed.ok_or_else(|| format!("takes a whole number as seed, not `{value}`"))?;
            }
            "noise" => self.noise = number(0.0, 100.0)?,
            "speed" => self.speed = number(1e-6, 1e6)?,
            "thermal" => self.thermal = number(0.0, 0.9)?,
            "pace" => self.pace = number(0.0, 1000.0)?,
            _ => return Err(format!("has no parameter `{name}`: {PARAMETERS}")),
        }
        Ok(())
    }

    /// All that the numbers depend on (the pace does not change them).
    pub(super) fn text(&self) -> String {
        format!(
            "{} seed={} noise={} speed={} thermal={}",
            self.preset.name, self.seed, self.noise, self.speed, self.thermal
        )
    }
}

const PARAMETERS: &str = "the parameters are seed, noise, speed, thermal and pace";

fn unknown_preset(name: &str) -> String {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    format!("has no preset `{name}`: the presets are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let text = |target: &str| Parameters::parse(target).unwrap().text();
        assert_eq!(text(""), "laptop seed=42 noise=1 speed=1 thermal=0");
        assert_eq!(text("gpu,seed=7,noise=0"), "gpu seed=7 noise=0 speed=1 thermal=0");
        assert_eq!(text("speed=2,thermal=0.1"), "laptop seed=42 noise=1 speed=2 thermal=0.1");
    }

    #[test]
    fn mistakes_are_named() {
        for (target, words) in [
            ("desktop", "presets are laptop"),
            ("gpu,fast", "NAME=VALUE"),
            ("gpu,seed=x", "not `x`"),
            ("noise=-1", "noise from 0"),
            ("speed=nan", "not `nan`"),
            ("colour=1", "no parameter `colour`"),
        ] {
            let problem = Parameters::parse(target).unwrap_err();
            assert!(problem.contains(words), "{target}: {problem}");
        }
    }
}
