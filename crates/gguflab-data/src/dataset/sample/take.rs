//! Which records are taken.

use std::collections::{BTreeMap, BinaryHeap, HashSet};

use twox_hash::XxHash3_64;

use super::chunks::Piece;
use super::manifest::Manifest;
use super::tokens::CountTokens;
use super::{Amount, LanguageSample, LeftOut, Sample, SampleRequest};
use crate::dataset::error::DatasetError;
use crate::dataset::open::TextRecord;
use crate::limits::{COUNTED_AT_ONCE, REMEMBERED_RECORDS, SAMPLED_LANGUAGES};

/// Takes the records of the lowest ranks of each language while all of them pass by.
pub(super) struct Taking<'a> {
    request: &'a SampleRequest,
    before: Option<&'a Manifest>,
    languages: BTreeMap<String, Language>,
    /// Hashes of the texts so far.
    seen: HashSet<u64>,
    left_out: BTreeMap<LeftOut, u64>,
    /// Records whose tokens are counted next.
    waiting: Vec<Piece>,
}

/// What there is of one language.
#[derive(Default)]
struct Language {
    passed: u64,
    available: u64,
    taken: BinaryHeap<Piece>,
    tokens: u64,
}

impl<'a> Taking<'a> {
    pub(super) fn new(request: &'a SampleRequest, before: Option<&'a Manifest>) -> Taking<'a> {
        Taking {
            request,
            before,
            languages: BTreeMap::new(),
            seen: HashSet::new(),
            left_out: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes the record or leaves it.
    pub(super) fn look_at(
        &mut self,
        source: usize,
        record: TextRecord,
        counter: &mut dyn CountTokens,
    ) -> Result<(), DatasetError> {
        let candidate = self.candidate(source, record);
        if self.languages.len() > SAMPLED_LANGUAGES {
            let reason = format!(
                "there are more than {SAMPLED_LANGUAGES} languages: is the field of the language right?"
            );
            return Err(DatasetError::Request(reason));
        }
        match candidate {
            Err(reason) => self.leave(reason),
            Ok(piece) => {
                self.waiting.push(piece);
                if self.waiting.len() == COUNTED_AT_ONCE {
                    return self.settle(counter);
                }
            }
        }
        Ok(())
    }

    /// The record as a piece that may be taken, or why not.
    fn candidate(&mut self, source: usize, record: TextRecord) -> Result<Piece, LeftOut> {
        let text = record.text.ok_or(LeftOut::WithoutText)?;
        let text = text.trim();
        if text.is_empty() {
            return Err(LeftOut::Empty);
        }
        let language = self.language(record.language)?;
        let is_new = self.is_new(XxHash3_64::oneshot(text.as_bytes()));
        let known = self.languages.entry(language.clone()).or_default();
        known.passed += 1;
        if known.passed <= self.request.skip {
            return Err(LeftOut::Skipped);
        }
        if self.before.is_some_and(|before| before.has(source, record.row)) {
            return Err(LeftOut::TakenBefore);
        }
        if !is_new {
            return Err(LeftOut::Duplicate);
        }
        known.available += 1;
        let rank = XxHash3_64::oneshot_with_seed(self.request.seed, text.as_bytes());
        if known.is_full(self.request.amount) && known.taken.peek().is_some_and(|last| last.rank <= rank) {
            return Err(LeftOut::NotNeeded);
        }
        Ok(Piece { rank, part: 0, language, source, row: record.row, text: text.to_owned(), tokens: 0 })
    }

    /// The language as it was asked for.
    fn language(&self, own: Option<String>) -> Result<String, LeftOut> {
        let wanted = &self.request.languages;
        if wanted.is_empty() {
            return Ok(own.unwrap_or_default());
        }
        let own = own.ok_or(LeftOut::WithoutLanguage)?;
        let found = wanted.iter().find(|language| language.eq_ignore_ascii_case(&own));
        found.cloned().ok_or(LeftOut::OtherLanguage)
    }

    fn is_new(&mut self, hash: u64) -> bool {
        let is_new = !self.seen.contains(&hash);
        if is_new && self.seen.len() < REMEMBERED_RECORDS {
            self.seen.insert(hash);
        }
        is_new
    }

    fn leave(&mut self, reason: LeftOut) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Counts the tokens of those that wait, and keeps of each language what is needed.
    fn settle(&mut self, counter: &mut dyn CountTokens) -> Result<(), DatasetError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        count(&mut waiting, counter)?;
        for piece in waiting {
            let language = self.languages.entry(piece.language.clone()).or_default();
            language.tokens += piece.tokens;
            language.taken.push(piece);
            while language.has_enough_without_last(self.request.amount) {
                let last = language.taken.pop().map_or(0, |last| last.tokens);
                language.tokens -= last;
                *self.left_out.entry(LeftOut::NotNeeded).or_default() += 1;
            }
        }
        Ok(())
    }

    /// All that was taken, by rank, and a sample without parts.
    pub(super) fn finish(
        mut self,
        counter: &mut dyn CountTokens,
    ) -> Result<(Vec<Piece>, Sample), DatasetError> {
        self.settle(counter)?;
        let mut sample = Sample { left_out: self.left_out, ..Sample::default() };
        let mut taken = Vec::new();
        for (name, language) in self.languages {
            let bytes = language.taken.iter().map(|piece| piece.text.len() as u64).sum();
            let (available, count) = (language.available, language.taken.len() as u64);
            let count = LanguageSample { available, taken: count, bytes, tokens: language.tokens };
            sample.languages.insert(name, count);
            taken.extend(language.taken);
        }
        for wanted in &self.request.languages {
            sample.languages.entry(wanted.clone()).or_default();
        }
        taken.sort();
        Ok((taken, sample))
    }
}

impl Language {
    fn is_full(&self, amount: Amount) -> bool {
        match amount {
            Amount::Records(records) => self.taken.len() as u64 >= records,
            Amount::Tokens(tokens) => self.tokens >= tokens,
        }
    }

    fn has_enough_without_last(&self, amount: Amount) -> bool {
        let Some(last) = self.taken.peek() else { return false };
        match amount {
            Amount::Records(records) => self.taken.len() as u64 > records,
            Amount::Tokens(tokens) => self.tokens - last.tokens >= tokens,
        }
    }
}

/// Fills in the tokens of pieces, each with the line end that follows it.
pub(super) fn count(pieces: &mut [Piece], counter: &mut dyn CountTokens) -> Result<(), DatasetError> {
    let texts: Vec<String> = pieces.iter().map(|piece| format!("{}\n", piece.text)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let counts = tokens_of(&texts, counter)?;
    pieces.iter_mut().zip(counts).for_each(|(piece, count)| piece.tokens = count);
    Ok(())
}

/// Tokens of texts.
pub(super) fn tokens_of(texts: &[&str], counter: &mut dyn CountTokens) -> Result<Vec<u64>, DatasetError> {
    let failed = |reason| DatasetError::Request(format!("the tokens cannot be counted: {reason}"));
    let counts = counter.count(texts).map_err(failed)?;
    if counts.len() != texts.len() {
        return Err(failed(format!("{} counts came for {} texts", counts.len(), texts.len())));
    }
    Ok(counts)
}
