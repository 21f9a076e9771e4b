//! How long the demo takes when everything is built and fetched.

use super::Request;
use super::figure::{Figure, Limit};
use crate::{demo, fetch, test};
use anyhow::Result;
use std::time::Instant;

/// The most that it may take, in minutes.
const MOST: f64 = 5.0;

/// The whole demo: inspect, devices and the tune with its report.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    test::build_programs(&request.environment)?;
    let start = Instant::now();
    demo::play(&model)?;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let model = if model.is_real { "the demo model" } else { "a tiny model" };
    Ok(vec![Figure::new(format!("demo on {model}"), minutes, "min").limited(Limit::AtMost(MOST))])
}
