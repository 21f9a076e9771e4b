//! Lays out a file of `generate_logits.py`, all but the logits themselves.
//!
//! Superblock of version 2, object headers of version 2, every data set in one piece (HDF5 File Format Specification
//! 3.0, sections II.A, III.E, IV.A). The logits are the last data set, so that chunks have a place each before they
//! are there.

/// What the predecessor writes into the attribute `format`; its programs refuse any other.
pub(super) const FORMAT: &str = "generate_logits_v0.6.2";

/// An address that is none.
const NOWHERE: u64 = u64::MAX;
/// Bytes of the smallest heap that HDF5 allows.
const HEAP_BYTES: usize = 4096;
/// Bytes of the superblock.
const SUPERBLOCK_BYTES: usize = 48;

/// Bits of a stored logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As the engine gives it.
    Single,
    /// Rounded to 11 significant bits.
    Half,
}

impl Precision {
    /// Bytes of a logit.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Precision::Single => 4,
            Precision::Half => 2,
        }
    }
}

/// The sizes of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) chunks: u32,
    pub(super) context: u32,
    pub(super) vocabulary: u32,
    pub(super) precision: Precision,
}

impl Sizes {
    /// Bytes of a row of logits.
    pub(super) fn row_bytes(&self) -> u64 {
        u64::from(self.vocabulary) * self.precision.bytes()
    }

    /// Bytes of the logits of a chunk.
    pub(super) fn chunk_bytes(&self) -> u64 {
        u64::from(self.context) * self.row_bytes()
    }

    fn logits_bytes(&self) -> Option<u64> {
        self.chunk_bytes().checked_mul(u64::from(self.chunks))
    }
}

/// The bytes before the logits; `None` where no file can be that large.
pub(super) fn start(sizes: &Sizes) -> Option<Vec<u8>> {
    // The addresses in it have a fixed width, so its length does not depend on them.
    let length = build(sizes, 0, sizes.logits_bytes()?).len() as u64;
    length.checked_add(sizes.logits_bytes()?)?;
    Some(build(sizes, length, sizes.logits_bytes()?))
}

fn build(sizes: &Sizes, logits: u64, logits_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; SUPERBLOCK_BYTES];
    let heap = place(&mut bytes, heap(FORMAT.as_bytes()));
    let count = u64::from(sizes.chunks);
    let index: Vec<u8> = (0..i64::from(sizes.chunks)).flat_map(i64::to_le_bytes).collect();
    let index = place(&mut bytes, index);
    let processed = place(&mut bytes, vec![1; sizes.chunks as usize]);
    let dimensions = [count, u64::from(sizes.context), u64::from(sizes.vocabulary)];
    let sets = [
        ("chunk_index", data_set(&integer(8), &[count], index, 8 * count)),
        ("freed_chunks", data_set(&integer(8), &[0], NOWHERE, 0)),
        ("logits", data_set(&float(sizes.precision), &dimensions, logits, logits_bytes)),
        ("processed_chunks", data_set(&boolean(), &[count], processed, count)),
    ];
    let mut messages = vec![message(0x02, &link_info()), message(0x0a, &[0, 0])];
    for (name, header) in sets {
        let address = place(&mut bytes, header);
        messages.push(message(0x06, &link(name, address)));
    }
    messages.push(message(0x0c, &format_attribute(heap)));
    let counts = [("n_ctx", sizes.context), ("n_vocab", sizes.vocabulary), ("total_chunks", sizes.chunks)];
    for (name, count) in counts {
        messages.push(message(0x0c, &attribute(name, &integer(8), &i64::from(count).to_le_bytes())));
    }
    let root = place(&mut bytes, object_header(&messages));
    let end = bytes.len().next_multiple_of(8);
    bytes.resize(end, 0);
    let superblock = superblock(end as u64 + logits_bytes, root);
    bytes.splice(..SUPERBLOCK_BYTES, superblock);
    bytes
}

/// Puts a block at the next multiple of 8 bytes, and gives its address.
fn place(bytes: &mut Vec<u8>, block: Vec<u8>) -> u64 {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let address = bytes.len() as u64;
    bytes.extend(block);
    address
}

fn superblock(end: u64, root: u64) -> Vec<u8> {
    // Version 2, addresses and lengths of 8 bytes, no flags.
    let mut bytes = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00".to_vec();
    [0, NOWHERE, end, root].iter().for_each(|address| bytes.extend(address.to_le_bytes()));
    sealed(bytes)
}

fn object_header(messages: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = messages.iter().map(Vec::len).sum();
    // Version 2; the flag says that the length takes four bytes.
    let mut bytes = b"OHDR\x02\x02".to_vec();
    bytes.extend((length as u32).to_le_bytes());
    messages.iter().for_each(|message| bytes.extend(message));
    sealed(bytes)
}

fn message(kind: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_le_bytes();
    [&[kind], length.as_slice(), &[0], data].concat()
}

fn data_set(datatype: &[u8], dimensions: &[u64], address: u64, bytes: u64) -> Vec<u8> {
    // Version 3, in one piece.
    let layout = [&[3, 1], address.to_le_bytes().as_slice(), &bytes.to_le_bytes()].concat();
    object_header(&[
        message(0x01, &dataspace(dimensions)),
        message(0x03, datatype),
        // Version 3: allocated when first written, filled where a value is set, which it is not.
        message(0x05, &[3, 0x0a]),
        message(0x08, &layout),
    ])
}

fn dataspace(dimensions: &[u64]) -> Vec<u8> {
    // Version 2; no dimension is a single value.
    let kind = u8::from(!dimensions.is_empty());
    let mut bytes = vec![2, dimensions.len() as u8, 0, kind];
    dimensions.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes
}

fn integer(size: u8) -> Vec<u8> {
    // Class 0 with a sign.
    vec![0x10, 0x08, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]
}

fn float(precision: Precision) -> Vec<u8> {
    // Class 1, IEEE 754: size, bits, then place and width of exponent and mantissa, and bias.
    let (size, exponent, mantissa, bias) = match precision {
        Precision::Single => (4, 8, 23, 127),
        Precision::Half => (2, 5, 10, 15),
    };
    let bits = 8 * size;
    vec![
        0x11,
        0x20,
        bits - 1,
        0,
        size,
        0,
        0,
        0,
        0,
        0,
        bits,
        0,
        mantissa,
        exponent,
        0,
        mantissa,
        bias,
        0,
        0,
        0,
    ]
}

/// As h5py writes booleans: an enumeration of FALSE and TRUE.
fn boolean() -> Vec<u8> {
    [&[0x38, 2, 0, 0, 1, 0, 0, 0], integer(1).as_slice(), b"FALSE\0TRUE\0", &[0, 1]].concat()
}

/// Text of any length (class 9) of characters in UTF-8.
fn text() -> Vec<u8> {
    vec![0x19, 1, 1, 0, 16, 0, 0, 0, 0x13, 0x10, 0, 0, 1, 0, 0, 0]
}

fn format_attribute(heap: u64) -> Vec<u8> {
    let length = (FORMAT.len() as u32).to_le_bytes();
    // The first object of the heap.
    attribute("format", &text(), &[length.as_slice(), &heap.to_le_bytes(), &1_u32.to_le_bytes()].concat())
}

fn attribute(name: &str, datatype: &[u8], data: &[u8]) -> Vec<u8> {
    let space = dataspace(&[]);
    let mut bytes = vec![3, 0];
    [name.len() + 1, datatype.len(), space.len()]
        .iter()
        .for_each(|size| bytes.extend((*size as u16).to_le_bytes()));
    [&[0], name.as_bytes(), &[0], datatype, &space, data].iter().for_each(|part| bytes.extend(*part));
    bytes
}

fn link_info() -> Vec<u8> {
    // Version 0; links are in the header itself.
    [&[0, 0], NOWHERE.to_le_bytes().as_slice(), &NOWHERE.to_le_bytes()].concat()
}

fn link(name: &str, address: u64) -> Vec<u8> {
    [&[1, 0, name.len() as u8], name.as_bytes(), &address.to_le_bytes()].concat()
}

/// A heap with one object.
fn heap(object: &[u8]) -> Vec<u8> {
    let mut bytes = b"GCOL\x01\0\0\0".to_vec();
    bytes.extend((HEAP_BYTES as u64).to_le_bytes());
    bytes.extend([1, 0, 1, 0, 0, 0, 0, 0]);
    bytes.extend((object.len() as u64).to_le_bytes());
    bytes.extend(object);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    // What is free, its own head included.
    let free = (HEAP_BYTES - bytes.len()) as u64;
    bytes.extend([0; 8]);
    bytes.extend(free.to_le_bytes());
    bytes.resize(HEAP_BYTES, 0);
    bytes
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

/// Bob Jenkins' hash `lookup3` with the seed 0, which HDF5 seals its metadata with.
fn checksum(bytes: &[u8]) -> u32 {
    let begin = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let mut state = [begin; 3];
    let whole = bytes.len().saturating_sub(1) / 12 * 12;
    let (blocks, last) = bytes.split_at(whole);
    for block in blocks.chunks_exact(12) {
        add(&mut state, block);
        mix(&mut state);
    }
    if last.is_empty() {
        return state[2];
    }
    let mut padded = [0; 12];
    padded.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    add(&mut state, &padded);
    finish(&mut state);
    state[2]
}

fn add(state: &mut [u32; 3], block: &[u8]) {
    for (word, four) in state.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = word.wrapping_add(u32::from_le_bytes(*four));
    }
}

fn mix(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    for turns in [[4, 6, 8], [16, 19, 4]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(turns[0]);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(turns[1]);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(turns[2]);
        b = b.wrapping_add(a);
    }
    *state = [a, b, c];
}

fn finish(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    *state = [a, b, c];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the hash's author gives in its source (lookup3.c, `driver5`).
    #[test]
    fn the_checksum_is_lookup3() {
        assert_eq!(checksum(b""), 0xdead_beef);
        assert_eq!(checksum(b"Four score and seven years ago"), 0x1777_0551);
    }
}
