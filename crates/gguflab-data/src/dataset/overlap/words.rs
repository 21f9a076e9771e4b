//! Words of a text, for comparison: letters and digits without regard to case, and nothing else.

/// What a word's hash begins with and is multiplied by: FNV-1a (Fowler, Noll, Vo), with 64 bits.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The lower-case letter or digit of each ASCII byte, 0 for all others.
const FOLDED: [u8; 128] = folded();

const fn folded() -> [u8; 128] {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
}

/// Calls `sink` with the hash of each word and with where it begins and ends in the text. In scripts that are written
/// without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each letter is a word.
pub(super) fn each_word(text: &str, mut sink: impl FnMut(u64, usize, usize)) {
    let bytes = text.as_bytes();
    let (mut at, mut start, mut hash) = (0, 0, None);
    while let Some(byte) = bytes.get(at).copied() {
        let (letter, length) = match FOLDED.get(usize::from(byte)) {
            Some(0) => (Letter::None, 1),
            Some(folded) => (Letter::Of(u64::from(*folded)), 1),
            None => letter_at(text, at),
        };
        match letter {
            Letter::Of(value) => {
                if hash.is_none() {
                    start = at;
                }
                hash = Some((hash.unwrap_or(BASIS) ^ value).wrapping_mul(PRIME));
            }
            Letter::None | Letter::Alone(_) => {
                if let Some(hash) = hash.take() {
                    sink(mixed(hash), start, at);
                }
            }
        }
        if let Letter::Alone(value) = letter {
            sink(mixed((BASIS ^ value).wrapping_mul(PRIME)), at, at + length);
        }
        at += length;
    }
    if let Some(hash) = hash {
        sink(mixed(hash), start, at);
    }
}

enum Letter {
    /// Part of a word.
    Of(u64),
    /// A word by itself.
    Alone(u64),
    /// Between words.
    None,
}

/// The letter that begins at a byte, and its length in bytes.
fn letter_at(text: &str, at: usize) -> (Letter, usize) {
    let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
        return (Letter::None, 1);
    };
    let length = character.len_utf8();
    if !character.is_alphanumeric() {
        return (Letter::None, length);
    }
    if is_written_without_spaces(character) {
        return (Letter::Alone(u64::from(u32::from(character))), length);
    }
    // A lower-case form may be several letters.
    let folded = character.to_lowercase().fold(0_u64, |all, one| (all << 21) ^ u64::from(u32::from(one)));
    (Letter::Of(folded), length)
}

fn is_written_without_spaces(character: char) -> bool {
    matches!(u32::from(character),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Spreads what a hash knows over all its bits (the finaliser of SplitMix64: Steele, Lea and Flood, 2014).
pub(super) fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        each_word(text, |_, start, end| words.push(&text[start..end]));
        words
    }

    fn hashes(text: &str) -> Vec<u64> {
        let mut hashes = Vec::new();
        each_word(text, |hash, _, _| hashes.push(hash));
        hashes
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(words("  The cat's 3 hats—no, 4!"), ["The", "cat", "s", "3", "hats", "no", "4"]);
        assert_eq!(words("Übergröße naïve"), ["Übergröße", "naïve"]);
        assert_eq!(words("我们在 here"), ["我", "们", "在", "here"]);
        assert_eq!(words("日本go語"), ["日", "本", "go", "語"]);
        assert_eq!(words(" … \n"), [""; 0]);
    }

    #[test]
    fn case_and_signs_make_no_difference() {
        assert_eq!(hashes("The CAT, sat: ÜBER"), hashes("the cat sat über"));
        assert_ne!(hashes("ab c"), hashes("a bc"));
        assert_ne!(hashes("a b"), hashes("b a"));
    }
}
