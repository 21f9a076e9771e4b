//! Writes one page with every kind of block and chart, filled with made-up but lifelike numbers.
//!
//! `cargo run --release -p gguflab-report --example gallery -- page.html`: the ending chooses the format.

use gguflab_report::chart::{
    Axis, CellMark, ChartKind, Mark, ParallelAxis, ParallelLine, Point, Reference, Row, Series, Shape, Values,
};
use gguflab_report::{Cell, Chart, Column, Document, Style, Table, Tone, render};
use gguflab_types::Unit;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "gallery.html".to_string());
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let format = render::find_extension(extension)
        .ok_or_else(|| format!("{path}: no format is known for this ending; try .html, .md or .txt"))?;
    std::fs::write(&path, (format.render)(&gallery(), &Style { width: 100, color: false }))?;
    Ok(())
}

fn gallery() -> Document {
    let mut document = Document::new("Tuning SmolLM2-135M-Instruct Q4_1 on 2 × Xeon cores");
    document
        .paragraph("Fifteen configurations were compared with llama.cpp's defaults, interleaved, in 120 trials.")
        .information("The numbers on this page are made up; they only show what a report looks like.")
        .warning("The machine was busy during trials 31 to 34 (load 3.2 on 2 cores); they were repeated.")
        .heading(1, "The subject")
        .facts([
            ("model", Cell::text("SmolLM2-135M-Instruct, llama, 30 layers")),
            ("file", Cell::code("smollm2-135m-instruct-q4_1.gguf")),
            ("size", Cell::number(98_304_512.0, Unit::Bytes)),
            ("parameters", Cell::count(134_515_008)),
            ("bits per weight", Cell::number(5.84, Unit::BitsPerWeight)),
            ("decode of the winner", Cell::estimate(116.1, Some((114.8, 117.5)), Unit::TokensPerSecond)),
            ("against the defaults", Cell::change(0.147, Some((0.131, 0.162)), Unit::Fraction)),
            ("tied embeddings", Cell::flag(true)),
            ("GPU memory", Cell::missing("no GPU")),
        ])
        .heading(1, "The race")
        .table(race())
        .chart(intervals())
        .chart(bars())
        .heading(1, "The search")
        .chart(history())
        .chart(heatmap())
        .chart(parallel())
        .heading(1, "Latency")
        .chart(histogram())
        .chart(lines())
        .chart(scatter())
        .heading(1, "Quality")
        .chart(divergence_by_percentile())
        .chart(divergence_against_size())
        .chart(Chart::new(
            "A chart without numbers",
            "",
            ChartKind::Bars { axis: Axis::new("decode", Unit::TokensPerSecond), rows: Vec::new() },
        ))
        .heading(1, "What to run")
        .code(
            "sh",
            "llama-server --model smollm2-135m-instruct-q4_1.gguf --threads 2 --threads-batch 2 --batch-size 512 \
             --ubatch-size 128 --flash-attn on --cache-type-k q8_0 --cache-type-v q8_0",
            "The winner as a llama-server command line",
        );
    document
}

/// Numbers between 0 and 1 that look random and are the same in every run (a linear congruence, Knuth's MMIX).
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    })
}

fn configurations() -> Vec<(String, f64, f64, bool)> {
    let mut configurations = vec![("baseline: llama.cpp's defaults".to_string(), 101.2, 1.4, false)];
    let mut noise = noise(7);
    for threads in [1, 2] {
        for (batch, ubatch) in [(2048, 512), (512, 128), (256, 256)] {
            for flash in ["on", "off"] {
                let label = format!(
                    "threads={threads} threads-batch={threads} batch={batch} ubatch={ubatch} \
                     flash-attention={flash} cache-type-k=q8_0 cache-type-v=q8_0"
                );
                let value = 62.0 * f64::from(threads) * (0.82 + 0.12 * noise.next().unwrap_or(0.5));
                configurations.push((label, value, 0.8 + 2.2 * noise.next().unwrap_or(0.5), flash == "on"));
            }
        }
    }
    configurations.push(("mmap=off".to_string(), 101.9, 1.1, false));
    configurations.push((
        "a-knob-with-a-very-long-name-and-no-spaces=a-value-as-long-as-that".to_string(),
        99.0,
        6.0,
        true,
    ));
    configurations.sort_by(|left, right| right.1.total_cmp(&left.1));
    configurations
}

fn race() -> Table {
    let mut table = Table::new(
        "Every configuration, fastest first",
        [
            Column::new("configuration"),
            Column::with_unit("decode", Unit::TokensPerSecond).help("tokens generated per second"),
            Column::with_unit("against baseline", Unit::Fraction).help("paired difference of decode"),
            Column::with_unit("first token", Unit::Seconds),
            Column::with_unit("peak memory", Unit::Bytes),
            Column::new("trials"),
            Column::new("verdict"),
        ],
    );
    for (label, value, half, _) in configurations() {
        let change = value / 101.2 - 1.0;
        let (text, tone) = match change {
            change if change > 0.03 => ("better", Tone::Good),
            change if change < -0.03 => ("worse", Tone::Bad),
            _ => ("indistinguishable", Tone::Neutral),
        };
        let memory = if label == "mmap=off" {
            Cell::missing("not read")
        } else {
            Cell::number(2.1e8 + value * 1e5, Unit::Bytes)
        };
        table.push([
            Cell::text(label),
            Cell::estimate(value, Some((value - half, value + half)), Unit::TokensPerSecond),
            Cell::change(change, Some((change - half / 101.0, change + half / 101.0)), Unit::Fraction),
            Cell::estimate(0.9 / value, Some((0.88 / value, 0.93 / value)), Unit::Seconds),
            memory,
            Cell::count(8),
            Cell::status(text, tone),
        ]);
    }
    table
}

fn intervals() -> Chart {
    let rows = configurations().into_iter().map(|(label, value, half, flash)| {
        Row::new(label, value, Some((value - half, value + half))).group(if flash {
            "flash attention on"
        } else {
            "flash attention off"
        })
    });
    Chart::new(
        "Decode of every configuration",
        "Bars are 95 % intervals over the visits of a configuration; the dashed line is the baseline.",
        ChartKind::Intervals {
            axis: Axis::new("decode", Unit::TokensPerSecond),
            rows: rows.collect(),
            reference: Some(Reference { label: "baseline".to_string(), value: 101.2 }),
        },
    )
}

fn bars() -> Chart {
    let rows = [
        ("weights", 91.7e6, "shared"),
        ("KV cache at 2048 tokens, f16", 47.2e6, "per context"),
        ("KV cache at 2048 tokens, q8_0", 25.1e6, "per context"),
        ("compute buffers", 18.4e6, "per context"),
    ];
    let rows = rows.map(|(label, value, group)| Row::new(label, value, None).group(group)).to_vec();
    Chart::new("Where the memory goes", "", ChartKind::Bars { axis: Axis::new("memory", Unit::Bytes), rows })
}

fn history() -> Chart {
    let mut noise = noise(3);
    let (mut values, mut best, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    let mut most = 0.0_f64;
    for trial in 0..120 {
        let luck = noise.next().unwrap_or(0.5);
        let mark = |kind: &str, label: &str| Mark {
            x: f64::from(trial),
            kind: kind.to_string(),
            label: label.to_string(),
        };
        match trial {
            _ if luck < 0.05 => marks.push(mark("out of memory", "the kernel ended the worker at 3.9 GiB")),
            _ if luck < 0.08 => marks.push(mark("timed out", "no token within 60 s")),
            _ => {
                let value = 70.0 + 45.0 * (1.0 - (-f64::from(trial) / 30.0).exp()) * luck.sqrt();
                most = most.max(value);
                values.push((f64::from(trial), value));
                best.push((f64::from(trial), most));
            }
        }
    }
    Chart::new(
        "Decode of every trial",
        "Failed trials have no value; they stand below.",
        ChartKind::History {
            across: Axis::new("trial", Unit::Count),
            axis: Axis::new("decode", Unit::TokensPerSecond),
            series: vec![
                Series::new("trial", Shape::Points, values),
                Series::new("best so far", Shape::Steps, best),
            ],
            marks,
        },
    )
}

fn heatmap() -> Chart {
    let sizes = [64, 128, 256, 512, 1024, 2048];
    let mut noise = noise(11);
    let mut value = |row: usize, column: usize| {
        (column <= row)
            .then(|| 400.0 + 60.0 * (column as f64) + 25.0 * row as f64 + 40.0 * noise.next().unwrap_or(0.5))
    };
    let values =
        (0..sizes.len()).map(|row| (0..sizes.len()).map(|column| value(row, column)).collect()).collect();
    Chart::new(
        "Prefill by batch and ubatch",
        "Empty cells break the rule that ubatch is at most batch.",
        ChartKind::Heatmap {
            axis: Axis::new("prefill", Unit::TokensPerSecond),
            row_name: "batch".to_string(),
            rows: sizes.iter().map(ToString::to_string).collect(),
            column_name: "ubatch".to_string(),
            columns: sizes.iter().map(ToString::to_string).collect(),
            values,
            marks: vec![
                CellMark { row: 5, column: 3, label: "baseline".to_string() },
                CellMark { row: 5, column: 5, label: "best measured".to_string() },
            ],
        },
    )
}

fn parallel() -> Chart {
    let axes = [
        ("gpu-layers", vec!["0", "10", "20", "30", "auto"]),
        ("cpu-moe-layers", vec!["0", "8", "16", "24", "32"]),
        ("ubatch", vec!["32", "64", "128", "256", "512", "1024", "2048"]),
        ("flash-attention", vec!["auto", "off"]),
        ("threads", vec!["1", "2", "4", "6", "8"]),
        ("numa", vec!["auto", "distribute", "isolate"]),
    ]
    .map(|(label, ticks)| ParallelAxis {
        label: label.to_string(),
        ticks: ticks.into_iter().map(str::to_string).collect(),
    })
    .to_vec();
    let mut noise = noise(23);
    let mut line = |number: usize| {
        let places: Vec<usize> = axes
            .iter()
            .map(|axis| (noise.next().unwrap_or(0.5) * axis.ticks.len() as f64) as usize % axis.ticks.len())
            .collect();
        let value = 20.0 + 12.0 * places[0] as f64 - 2.0 * places[1] as f64 + places[2] as f64;
        let mark = if number == 7 { "baseline" } else { "" };
        ParallelLine { label: format!("number={number}"), places, value, mark: mark.to_string() }
    };
    let mut lines: Vec<ParallelLine> = (0..24).map(&mut line).collect();
    lines.sort_by(|one, other| other.value.total_cmp(&one.value));
    lines[0].mark = "best measured".to_string();
    let axis = Axis::new("decode", Unit::TokensPerSecond);
    let kind = ChartKind::Parallel { axis, axes, lines };
    Chart::new("All knobs at once", "A line is a configuration.", kind)
}

fn histogram() -> Chart {
    let mut draw = noise(5);
    let mut values = |middle: f64, spread: f64| -> Vec<f64> {
        let mut one = || {
            let sum: f64 = (0..6).map(|_| draw.next().unwrap_or(0.5)).sum::<f64>() - 3.0;
            let stall = if draw.next().unwrap_or(0.5) > 0.998 { 0.05 } else { 0.0 };
            middle + spread * sum + stall
        };
        (0..1200).map(|_| one()).collect()
    };
    let series = vec![
        Values { name: "baseline".to_string(), values: values(0.0099, 0.0006) },
        Values { name: "winner".to_string(), values: values(0.0086, 0.0003) },
    ];
    Chart::new(
        "Time between neighbouring tokens",
        "",
        ChartKind::Histogram { axis: Axis::new("inter-token", Unit::Seconds), series },
    )
}

fn lines() -> Chart {
    let series = ["f16", "q8_0", "q4_0"].into_iter().enumerate().map(|(index, name)| {
        let points = [0, 512, 1024, 2048, 4096, 8192].map(|depth| {
            let value = 118.0 / (1.0 + f64::from(depth) * (1.6e-4 - 4e-5 * index as f64));
            Point::new(f64::from(depth), value).y_interval(value * 0.97, value * 1.03)
        });
        Series { name: format!("cache {name}"), shape: Shape::Line, points: points.to_vec() }
    });
    Chart::new(
        "Decode over depth",
        "Bands are 95 % intervals.",
        ChartKind::Lines {
            across: Axis::new("tokens in the cache", Unit::Tokens),
            axis: Axis::new("decode", Unit::TokensPerSecond),
            series: series.collect(),
        },
    )
}

fn scatter() -> Chart {
    let mut noise = noise(13);
    let series = ["Q4_K_M", "Q5_K_M", "Q8_0"].into_iter().enumerate().map(|(index, name)| {
        let points = (0..6).map(|number| {
            let (x, y) = (
                120.0 - 22.0 * index as f64 + 8.0 * noise.next().unwrap_or(0.5),
                9e7 + 3e7 * index as f64 + 4e6 * f64::from(number),
            );
            Point::new(x, y).x_interval(x - 2.0, x + 2.0).label(format!("{name}, run {number}"))
        });
        Series { name: name.to_string(), shape: Shape::Points, points: points.collect() }
    });
    Chart::new(
        "Speed against memory",
        "",
        ChartKind::Scatter {
            across: Axis::new("decode", Unit::TokensPerSecond),
            axis: Axis::new("peak memory", Unit::Bytes),
            series: series.collect(),
        },
    )
}

/// Names, sizes in bytes and mean divergences in nats of quantised models.
const CANDIDATES: [(&str, f64, f64); 4] =
    [("Q8_0", 1.45e8, 0.0009), ("Q6_K", 1.38e8, 0.004), ("Q4_K_M", 1.05e8, 0.06), ("Q2_K", 0.88e8, 0.48)];

/// Three decades on a logarithmic axis; the least values of the best model are zero and cannot be drawn.
fn divergence_by_percentile() -> Chart {
    let shares = [0.01_f64, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];
    let series = CANDIDATES.map(|(name, _, mean)| {
        let points = shares.map(|share| {
            let value = if mean < 0.001 && share < 0.1 { 0.0 } else { mean * (6.0 * (share - 0.7)).exp() };
            Point::new(share, value).y_interval(value * 0.7, value * 1.4)
        });
        Series { name: name.to_string(), shape: Shape::Line, points: points.to_vec() }
    });
    Chart::new(
        "Divergence by percentile",
        "That share of the tokens is no further off.",
        ChartKind::Lines {
            across: Axis::new("share of tokens", Unit::Fraction),
            axis: Axis::new("KL divergence", Unit::Nats).logarithmic(),
            series: series.to_vec(),
        },
    )
}

fn divergence_against_size() -> Chart {
    let series = CANDIDATES.map(|(name, size, mean)| Series {
        name: name.to_string(),
        shape: Shape::Points,
        points: vec![Point::new(size, mean).y_interval(mean * 0.8 - 0.0008, mean * 1.2)],
    });
    Chart::new(
        "Divergence against size",
        "Down and to the left is better.",
        ChartKind::Scatter {
            across: Axis::new("size", Unit::Bytes),
            axis: Axis::new("KL divergence", Unit::Nats).logarithmic(),
            series: series.to_vec(),
        },
    )
}
