//! Finds a text among those of a table, by its hash.

use crate::words::{WORD, word_at};

/// An odd number whose bits look like chance, by which texts are spread over a table: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A text, with its first eight bytes as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The text.
    pub bytes: &'a [u8],
    first: u64,
}

impl<'a> Text<'a> {
    /// A text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, first: word_at(bytes, 0) }
    }

    /// The same, if its first word is known; the bytes of that after the text's end are 0.
    #[inline]
    pub fn with_first(bytes: &'a [u8], first: u64) -> Self {
        debug_assert_eq!(first, word_at(bytes, 0));
        Self { bytes, first }
    }

    /// What follows the first eight bytes.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(WORD..).unwrap_or_default()
    }

    #[inline]
    fn hash(&self) -> u64 {
        let hash = self.first.wrapping_mul(SPREAD);
        if self.bytes.len() <= WORD { hash } else { self.hash_rest(hash) }
    }

    fn hash_rest(&self, mut hash: u64) -> u64 {
        let mut add = |word: u64| hash = (hash.rotate_left(23) ^ word).wrapping_mul(SPREAD);
        self.rest().as_chunks().0.iter().for_each(|bytes| add(u64::from_le_bytes(*bytes)));
        add(word_at(self.bytes, self.bytes.len() - WORD));
        hash
    }
}

/// Texts, each with a value.
///
/// A text is in the slot that its hash gives, or in the next free one; at least half of the slots are free.
pub struct Texts<T> {
    slots: Vec<Option<Slot<T>>>,
    /// Bits of a hash that do not give the slot.
    shift: u32,
}

struct Slot<T> {
    first: u64,
    length: usize,
    rest: Box<[u8]>,
    value: T,
}

impl<T: Copy> Texts<T> {
    /// A table of these texts. If one is given twice, the first counts.
    pub fn new<'a>(texts: impl ExactSizeIterator<Item = (&'a [u8], T)>) -> Self {
        let count = texts.len();
        let bits = (2 * count).next_power_of_two().trailing_zeros().max(1);
        // Texts whose slots are taken may follow the last one.
        let slots = std::iter::repeat_with(|| None).take((1 << bits) + count).collect();
        let mut table = Self { slots, shift: u64::BITS - bits };
        for (bytes, value) in texts {
            let text = Text::new(bytes);
            let start = table.slot_of(&text);
            if let Some(slot) = table.slots[start..].iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(Slot { first: text.first, length: bytes.len(), rest: text.rest().into(), value });
            }
        }
        table
    }

    /// The value of a text; None if the table does not have it.
    #[inline]
    pub fn find(&self, text: Text) -> Option<T> {
        for slot in self.slots.get(self.slot_of(&text)..)? {
            let slot = slot.as_ref()?;
            let has_first = slot.first == text.first && slot.length == text.bytes.len();
            if has_first && (slot.length <= WORD || *slot.rest == *text.rest()) {
                return Some(slot.value);
            }
        }
        None
    }

    /// The values of all texts, in any order.
    pub fn values(&self) -> impl Iterator<Item = T> {
        self.slots.iter().flatten().map(|slot| slot.value)
    }

    #[inline]
    fn slot_of(&self, text: &Text) -> usize {
        (text.hash() >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(texts: &[Vec<u8>]) -> Texts<usize> {
        Texts::new(texts.iter().enumerate().map(|(number, text)| (&text[..], number)))
    }

    #[test]
    fn each_text_has_its_value_and_others_have_none() {
        for count in [0, 1, 2, 5, 1_000] {
            for suffix in ["", "-and-more", " and a text of more than three words"] {
                let texts: Vec<_> = (0..count).map(|number| format!("v{number}{suffix}").into_bytes()).collect();
                let table = table(&texts);
                for (number, text) in texts.iter().enumerate() {
                    assert_eq!(table.find(Text::new(text)), Some(number));
                    assert_eq!(table.find(Text::new(&[text, &b"."[..]].concat())), None);
                    assert_ne!(table.find(Text::new(&text[..text.len() - 1])), Some(number));
                }
                assert_eq!(table.find(Text::new(b"")), None);
                assert_eq!(table.values().sum::<usize>(), (0..count).sum::<usize>());
            }
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_or_in_length_are_different() {
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut texts: Vec<Vec<u8>> = (0..=text.len()).map(|length| text[..length].to_vec()).collect();
        texts.extend((0..text.len()).map(|at| [&text[..at], b"_", &text[at + 1..]].concat()));
        texts.push(b"a\0".to_vec());
        texts.push(b"a".to_vec());
        let table = table(&texts);
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(table.find(Text::new(text)), Some(number), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn of_a_text_that_is_given_twice_the_first_counts() {
        let texts = [b"a".to_vec(), b"b".to_vec(), b"a".to_vec()];
        assert_eq!(table(&texts).find(Text::new(b"a")), Some(0));
    }
}
