//! Named limits, so that neither a huge folder nor a crafted file can hold the program up.

/// Levels of folders that a walk goes down; the folder itself is the first.
pub const WALK_DEPTH: usize = 4;

/// Entries that one walk looks at, folders and files together.
pub const WALK_ENTRIES: usize = 10_000;

/// Bytes of a manifest or settings file of another program. Real manifests have about 1 kB.
pub const MANIFEST_BYTES: u64 = 1 << 20;

/// Names that an error message lists before it only counts the rest.
pub const LISTED_NAMES: usize = 20;

/// Near names that an error message suggests.
pub const NEAR_NAMES: usize = 5;

/// Characters of a name that are compared when near names are sought.
pub const COMPARED_CHARACTERS: usize = 128;

/// Tokens of a vocabulary that a logit store may have. The largest real ones have about 300,000.
pub const STORE_VOCABULARY: u32 = 1 << 24;

/// Tokens of a window that a logit store may have.
pub const STORE_CONTEXT: u32 = 1 << 24;

/// Entries of a row of a sketch, likeliest and drawn tokens together.
pub const SKETCH_ENTRIES: u32 = 1 << 16;

/// Rows of a sketch store that are held in memory at a time: about 6 MB with 320 entries each.
pub const SKETCH_BLOCK_ROWS: usize = 2048;

/// Bytes of one record of a recording's journal.
pub const JOURNAL_FRAME_BYTES: u32 = 1 << 30;

/// Bytes of what describes a logit store, its tokens included: some 80 million tokens.
pub const STORE_HEAD_BYTES: u64 = 1 << 29;
/// Levels of folders of a dataset that a walk goes down; the folder itself is the first.
pub const DATASET_DEPTH: usize = 8;

/// Bytes of one record of a dataset.
pub const RECORD_BYTES: u64 = 64 << 20;

/// Different texts that are remembered while duplicates are looked for; each takes some 16 bytes.
pub const REMEMBERED_RECORDS: usize = 20_000_000;

/// Fields that are counted one by one.
pub const COUNTED_FIELDS: usize = 200;

/// Languages that are counted one by one: the Declaration of Human Rights is there in more than 500.
pub const COUNTED_LANGUAGES: usize = 1000;

/// Characters of a record's text that are shown.
pub const SHOWN_CHARACTERS: usize = 100;

/// N-grams of an evaluation that are indexed at once; each takes about 50 bytes.
pub const INDEXED_GRAMS: usize = 8_000_000;

/// Records of an evaluation that are compared by an n-gram that they all have.
pub const RECORDS_OF_A_GRAM: usize = 1000;

/// Pairs of nearly equal records that are kept; more are only counted.
pub const LISTED_PAIRS: usize = 10_000;

/// Passages that are listed.
pub const LISTED_PASSAGES: usize = 20;

/// Texts whose tokens are counted at once.
pub const COUNTED_AT_ONCE: usize = 256;

/// Languages of a sample; more are not languages but another field.
pub const SAMPLED_LANGUAGES: usize = 1000;

/// Bytes of the logits of one chunk that is compressed in an HDF5 file, which is unpacked whole.
#[cfg(feature = "hdf5")]
pub const HDF5_CHUNK_BYTES: u64 = 1 << 31;
