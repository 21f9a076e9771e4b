//! The training set streams past the index: one thread reads, others look up.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::grams::Grams;
use super::index::Index;
use super::words::each_word;
use super::{OverlapOptions, Pair, Place, SideCount};
use crate::dataset::error::DatasetError;
use crate::dataset::open::Dataset;
use crate::limits::LISTED_PAIRS;

/// Bytes of text that a thread gets at once.
const BATCH_BYTES: usize = 1 << 20;

type Batch = Vec<(Place, String)>;

/// What one pass through the training set found.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) count: SideCount,
    pub(super) pairs: Vec<Pair>,
    pub(super) all_pairs: u64,
}

/// Reads the training set once.
pub(super) fn read(
    index: &Index,
    training: &[Dataset],
    options: &OverlapOptions,
) -> Result<Seen, DatasetError> {
    let threads = options.threads.max(1);
    // Two batches for each thread: one at work, one waiting.
    let (sender, receiver) = sync_channel::<Batch>(threads);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let work = || look_up(index, &receiver, options);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let sent = send(training, sender);
        let mut seen = Seen::default();
        for worker in workers {
            // A thread that fails is a fault of the program; going on would hide it.
            let found = worker.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault));
            seen.merge(found);
        }
        sent.map(|()| seen)
    })
}

/// Sends all records in batches; dropping the sender tells the threads that it is over.
fn send(training: &[Dataset], sender: SyncSender<Batch>) -> Result<(), DatasetError> {
    let (mut batch, mut bytes) = (Batch::new(), 0);
    for (source, dataset) in training.iter().enumerate() {
        for record in dataset.records() {
            let record = record?;
            let text = record.text.unwrap_or_default();
            bytes += text.len();
            batch.push((Place { source, row: record.row }, text));
            if bytes >= BATCH_BYTES {
                bytes = 0;
                // Nobody listens only when a thread has failed, which joining it tells.
                let _ = sender.send(std::mem::take(&mut batch));
            }
        }
    }
    let _ = sender.send(batch);
    Ok(())
}

fn look_up(index: &Index, receiver: &Mutex<Receiver<Batch>>, options: &OverlapOptions) -> Seen {
    let mut reader = TrainingReader::new(index, options);
    loop {
        let next = receiver.lock().map(|receiver| receiver.recv());
        let Ok(Ok(batch)) = next else { return reader.seen };
        for (place, text) in batch {
            reader.read(place, &text);
        }
    }
}

/// Looks the n-grams of records up.
struct TrainingReader<'a> {
    index: &'a Index,
    options: &'a OverlapOptions,
    seen: Seen,
    window: Grams,
    /// Of the present record: its n-grams, and the numbers of those that the evaluation has.
    grams: Vec<u64>,
    matched: Vec<u32>,
    shared: HashMap<u32, u64>,
}

impl<'a> TrainingReader<'a> {
    fn new(index: &'a Index, options: &'a OverlapOptions) -> TrainingReader<'a> {
        TrainingReader {
            index,
            options,
            seen: Seen::default(),
            window: Grams::new(options.words),
            grams: Vec::new(),
            matched: Vec::new(),
            shared: HashMap::new(),
        }
    }

    fn read(&mut self, place: Place, text: &str) {
        self.window.restart();
        self.grams.clear();
        self.matched.clear();
        let (window, grams, matched, index) =
            (&mut self.window, &mut self.grams, &mut self.matched, self.index);
        each_word(text, |word, _, _| {
            let Some(gram) = window.push(word) else { return };
            grams.push(gram);
            matched.extend(index.number(gram));
        });
        self.seen.count.add(self.window.words(), text.len(), self.options.words);
        if let Some(short) = self.window.short() {
            self.index.note_short(short);
        }
        if !self.matched.is_empty() {
            self.compare(place);
        }
    }

    /// Counts for each record of the evaluation the n-grams that both have, and keeps what is nearly the same.
    fn compare(&mut self, place: Place) {
        self.matched.sort_unstable();
        self.matched.dedup();
        self.shared.clear();
        for number in &self.matched {
            self.index.note(*number, place);
            for holder in self.index.holders(*number) {
                *self.shared.entry(*holder).or_default() += 1;
            }
        }
        self.grams.sort_unstable();
        self.grams.dedup();
        let own = self.grams.len() as u64;
        for (record, shared) in &self.shared {
            let other = *record as usize;
            let all = own + self.index.sizes[other] - shared;
            if *shared as f64 >= self.options.similarity * all as f64 {
                let evaluation = self.index.records[other].place;
                self.index.is_near[other].store(true, Relaxed);
                self.seen.add(Pair { evaluation, training: place, shared: *shared, all });
            }
        }
    }
}

impl Seen {
    fn add(&mut self, pair: Pair) {
        self.all_pairs += 1;
        self.pairs.push(pair);
        if self.pairs.len() >= 2 * LISTED_PAIRS {
            keep_best(&mut self.pairs, LISTED_PAIRS);
        }
    }

    fn merge(&mut self, other: Seen) {
        let (count, more) = (&mut self.count, other.count);
        count.records += more.records;
        count.without_words += more.without_words;
        count.short += more.short;
        count.bytes += more.bytes;
        self.all_pairs += other.all_pairs;
        self.pairs.extend(other.pairs);
        keep_best(&mut self.pairs, LISTED_PAIRS);
    }
}

/// Keeps the most similar pairs; of equal ones those that come first.
pub(super) fn keep_best(pairs: &mut Vec<Pair>, most: usize) {
    pairs.sort_by(|one, other| {
        let by_similarity = other.similarity().total_cmp(&one.similarity());
        by_similarity.then((one.evaluation, one.training).cmp(&(other.evaluation, other.training)))
    });
    pairs.truncate(most);
}
