//! Looks at eight bytes of a text at once: a word is an integer whose lowest byte is the first one.
//!
//! A mark is the highest bit of a byte.

/// Bytes of a word.
pub const WORD: usize = 8;
/// The digit 0 in each byte: with it, `^` makes digits numbers.
pub const ZEROS: u64 = repeat(b'0');
const ONES: u64 = repeat(1);
const MARKS: u64 = repeat(0x80);

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

/// The word at a position; the bytes after the text's end are 0.
#[inline]
pub fn word_at(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + WORD).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last_word(text, at),
    }
}

#[cold]
fn last_word(text: &[u8], at: usize) -> u64 {
    text.iter().skip(at).rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// The first bytes of a word, at most eight; the others become 0.
#[inline]
pub fn first_bytes(word: u64, count: usize) -> u64 {
    if count < WORD { word & ((1 << (8 * count)) - 1) } else { word }
}

/// Marks the bytes that are not digits.
#[inline]
pub fn mark_non_digits(word: u64) -> u64 {
    let numbers = word ^ ZEROS;
    // From 10 to 127 the sum reaches the highest bit; it never reaches the next byte.
    (((numbers & !MARKS) + repeat(0x80 - 10)) | numbers) & MARKS
}

/// Marks the first quotation mark, backslash or control character; the marks of later bytes mean nothing.
#[inline]
pub fn mark_special(word: u64) -> u64 {
    // A byte is marked if it borrows, which also the bytes after such a one may do.
    let (quote, backslash) = (word ^ repeat(b'"'), word ^ repeat(b'\\'));
    let special = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(repeat(0x20)) & !word);
    special & MARKS
}

/// The number of bytes that are 0 before the first other one: of marks, the bytes before the first mark.
#[inline]
pub fn bytes_before(word: u64) -> usize {
    word.trailing_zeros() as usize / 8
}

/// The integer of eight digits, whose bytes are numbers from 0 to 9.
#[inline]
pub fn integer_of(digits: u64) -> u64 {
    const TWO_PAIRS: u64 = 0x0000_00FF_0000_00FF;
    // Pairs, in every second byte; then both halves at once, in the upper half.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first = (pairs & TWO_PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & TWO_PAIRS).wrapping_mul(1 + (10_000 << 32));
    first.wrapping_add(second) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_bytes_from_a_position_on() {
        let text = b"0123456789";
        assert_eq!(word_at(text, 1), u64::from_le_bytes(*b"12345678"));
        assert_eq!(word_at(text, 7), u64::from_le_bytes(*b"789\0\0\0\0\0"));
        assert_eq!([word_at(text, 10), word_at(text, 99), word_at(b"", 0)], [0; 3]);
    }

    #[test]
    fn the_first_bytes_of_a_word_are_kept() {
        let word = u64::from_le_bytes(*b"12345678");
        assert_eq!(first_bytes(word, 3), u64::from_le_bytes(*b"123\0\0\0\0\0"));
        assert_eq!([first_bytes(word, 0), first_bytes(word, 8)], [0, word]);
    }

    /// Checks words with each byte in each position, between bytes that may disturb it.
    fn each_byte(check: impl Fn(u64)) {
        for byte in 0..=u8::MAX {
            for at in 0..WORD {
                for (before, after) in [(b'0', b'0'), (b'9', b'"'), (b'5', 0), (b'0', 0xFF), (b'9', b'/'), (b'1', b'!')]
                {
                    let mut bytes = [after; WORD];
                    bytes[..at].fill(before);
                    bytes[at] = byte;
                    check(u64::from_le_bytes(bytes));
                }
            }
        }
    }

    #[test]
    fn exactly_the_bytes_that_are_not_digits_are_marked() {
        each_byte(|word| {
            let marks = word.to_le_bytes().map(|byte| if byte.is_ascii_digit() { 0 } else { 0x80 });
            assert_eq!(mark_non_digits(word).to_le_bytes(), marks, "{word:x}");
        });
    }

    #[test]
    fn the_first_byte_that_ends_a_string_or_begins_an_escape_is_marked() {
        each_byte(|word| {
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let first = word.to_le_bytes().iter().position(is_special).unwrap_or(WORD);
            assert_eq!(bytes_before(mark_special(word)), first, "{word:x}");
        });
    }

    #[test]
    fn eight_digits_are_an_integer() {
        for integer in [0, 1, 10, 90_000_000, 12_345_678, 99_999_999, 10_203_040] {
            let text = format!("{integer:08}");
            assert_eq!(integer_of(word_at(text.as_bytes(), 0) ^ ZEROS), integer);
        }
    }
}
