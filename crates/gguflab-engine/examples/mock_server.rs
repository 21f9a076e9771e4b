//! The mock server of the tests as a program: `mock_server FIRST_LEAST FIRST_MOST GAP_LEAST GAP_MOST [SLOTS [FAULT]]`
//! (seconds; requests that it works on at once; what it does wrong). Prints its port, answers until its standard input is closed, and tells at `/stamps` when it sent each token.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/it/mock.rs"]
#[allow(dead_code)] // Each user of the mock server takes a part of it.
mod mock;

use mock::{Manner, Mock};
use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Result<Vec<f64>, _> = words.iter().take(4).map(|word| word.parse()).collect();
    let [first_least, first_most, gap_least, gap_most] = numbers?[..] else {
        return Err("usage: mock_server FIRST_LEAST FIRST_MOST GAP_LEAST GAP_MOST [SLOTS [FAULT]]".into());
    };
    let manner = Manner {
        first: (first_least, first_most),
        gap: (gap_least, gap_most),
        slots: words.get(4).map_or(Ok(0), |word| word.parse())?,
        fault: words.get(5).cloned().unwrap_or_default(),
        ..Manner::default()
    };
    let mock = Mock::start(manner)?;
    println!("{}", mock.address.port());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    eprintln!("{} requests came, {} were answered to their end", mock.asked(), mock.stamps().len());
    Ok(())
}
