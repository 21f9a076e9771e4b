//! The result file of `compare_logits.py`: divergences by chunk and over all.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use hdf5_pure::{AttrValue, File, FileBuilder};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::logits::{beside, broken, unusable};

/// What is said of the divergences (nats for each position) of a chunk or of all; the names are the file's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Divergences {
    pub average: f64,
    /// Of the positions as a population: divided by their number.
    pub std_dev: f64,
    pub minimum: f64,
    pub maximum: f64,
    #[serde(rename = "KLD_99")]
    pub percentile_99: f64,
    #[serde(rename = "KLD_95")]
    pub percentile_95: f64,
    #[serde(rename = "KLD_90")]
    pub percentile_90: f64,
    pub median: f64,
    #[serde(rename = "KLD_10")]
    pub percentile_10: f64,
    #[serde(rename = "KLD_05")]
    pub percentile_5: f64,
    #[serde(rename = "KLD_01")]
    pub percentile_1: f64,
}

/// The divergences of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkDivergence {
    /// Number of the chunk.
    pub chunk: u32,
    /// What is said of them.
    pub divergences: Divergences,
}

/// What is said of all chunks together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// Positions.
    pub values: u64,
    /// Sum of the divergences.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Over all positions, where it was asked for.
    pub overall: Option<Divergences>,
}

/// A result file. The predecessor's digests and the state of its early stopping are not kept: their percentiles are
/// wrong in the tails, and its stopping bounds no error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComparisonFile {
    /// By chunk, in the order of their numbers.
    pub chunks: Vec<ChunkDivergence>,
    /// Of all together, where the comparison came to its end.
    pub totals: Option<Totals>,
}

impl ComparisonFile {
    /// Reads a result file.
    ///
    /// # Errors
    /// When it cannot be read, or lacks what such a file has.
    pub fn read(path: &Path) -> Result<ComparisonFile, DataError> {
        // A system error names the cause better than the format's reader does.
        std::fs::File::open(path).map_err(|cause| broken("read", path, cause))?;
        read(path).map_err(|reason| unusable(path, reason))
    }

    /// Whether an HDF5 file is a result file, whole or not.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        let has_parts = |file: File| {
            let root = file.root();
            let is_chunk = |name: &String| name.starts_with("chunk_");
            root.groups().is_ok_and(|names| names.iter().any(is_chunk))
                || root.attrs().is_ok_and(|attributes| attributes.contains_key("overall_sum"))
        };
        File::open_streaming(path).is_ok_and(has_parts)
    }

    /// Writes a result file, beside its place first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let place = beside(path, "writing");
        let bytes = self.bytes().map_err(|reason| unusable(path, reason))?;
        let written = std::fs::write(&place, bytes).and_then(|()| std::fs::rename(&place, path));
        written.map_err(|cause| {
            // Half a file is of no use.
            let _ = std::fs::remove_file(&place);
            broken("write", path, cause)
        })
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut builder = FileBuilder::new();
        if let Some(totals) = &self.totals {
            for (name, value) in totals.attributes()? {
                builder.set_attr(name, value);
            }
        }
        for ChunkDivergence { chunk, divergences } in &self.chunks {
            let mut group = builder.create_group(&format!("chunk_{chunk}"));
            group.set_attr("ChunkNumber", AttrValue::I64(i64::from(*chunk)));
            for (name, value) in named(divergences)? {
                group.set_attr(&name, AttrValue::F64(value));
            }
            builder.add_group(group.finish());
        }
        builder.finish().map_err(|error| error.to_string())
    }
}

impl Totals {
    fn attributes(&self) -> Result<Vec<(&'static str, AttrValue)>, String> {
        let mut attributes = vec![
            ("overall_sum", AttrValue::F64(self.sum)),
            ("overall_sumsq", AttrValue::F64(self.sum_of_squares)),
            ("overall_min", AttrValue::F64(self.minimum)),
            ("overall_max", AttrValue::F64(self.maximum)),
            ("total_values", AttrValue::I64(i64::try_from(self.values).map_err(|error| error.to_string())?)),
        ];
        if let Some(overall) = &self.overall {
            let mut all = serde_json::to_value(overall).map_err(|error| error.to_string())?;
            all["total_values"] = self.values.into();
            attributes.push(("overall", AttrValue::VarLenString(all.to_string())));
        }
        Ok(attributes)
    }

    fn of(attributes: &HashMap<String, AttrValue>) -> Result<Option<Totals>, String> {
        if !attributes.contains_key("overall_sum") {
            return Ok(None);
        }
        let number = |name: &str| number(attributes, name);
        let overall = attributes.get("overall").and_then(AttrValue::as_str).map(serde_json::from_str);
        Ok(Some(Totals {
            values: number("total_values")? as u64,
            sum: number("overall_sum")?,
            sum_of_squares: number("overall_sumsq")?,
            minimum: number("overall_min")?,
            maximum: number("overall_max")?,
            overall: overall
                .transpose()
                .map_err(|error| format!("its attribute `overall` is damaged: {error}"))?,
        }))
    }
}

/// The names of the file and the values.
fn named(divergences: &Divergences) -> Result<BTreeMap<String, f64>, String> {
    let value = serde_json::to_value(divergences).and_then(serde_json::from_value);
    value.map_err(|_| "a divergence is no number; it has no place in such a file".to_owned())
}

fn number(attributes: &HashMap<String, AttrValue>, name: &str) -> Result<f64, String> {
    let value = attributes.get(name);
    let value = value.and_then(|value| value.as_f64().or_else(|| value.as_i64().map(|count| count as f64)));
    value.ok_or_else(|| {
        format!("its attribute `{name}` is missing: it is no file of compare_logits.py, or not whole")
    })
}

fn read(path: &Path) -> Result<ComparisonFile, String> {
    let failed = |error: hdf5_pure::Error| format!("is no HDF5 file that can be read ({error})");
    let root = File::open_streaming(path).map_err(failed)?.root();
    let names = named(&Divergences::default())?;
    let mut chunks = Vec::new();
    for (name, group) in root.iter_groups().map_err(failed)? {
        let Some(chunk) = name.strip_prefix("chunk_").and_then(|number| number.parse().ok()) else {
            continue;
        };
        let attributes = group.attrs().map_err(failed)?;
        let values = names.keys().map(|name| Ok((name.clone(), number(&attributes, name)?)));
        let values: BTreeMap<String, f64> = values.collect::<Result<_, String>>()?;
        let divergences = serde_json::to_value(values).and_then(serde_json::from_value);
        chunks.push(ChunkDivergence { chunk, divergences: divergences.map_err(|error| error.to_string())? });
    }
    let totals = Totals::of(&root.attrs().map_err(failed)?)?;
    if chunks.is_empty() && totals.is_none() {
        return Err("has no chunks: it is no file of compare_logits.py".to_owned());
    }
    chunks.sort_by_key(|chunk| chunk.chunk);
    Ok(ComparisonFile { chunks, totals })
}
