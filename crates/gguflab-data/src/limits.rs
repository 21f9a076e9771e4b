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
