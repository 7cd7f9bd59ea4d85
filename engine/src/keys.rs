//! Recognizes the name of the member that is expected next.

use crate::json::Cursor;

/// Bytes that are compared at once.
const START: usize = 16;

/// A name as JSON has it, with the colon after it.
pub struct Key {
    /// Its first bytes; 0 after its end.
    start: u128,
    /// The bits of these bytes.
    mask: u128,
    length: usize,
    rest: Box<[u8]>,
}

impl Key {
    /// The key of a name; None if it cannot be written without escapes.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            return None;
        }
        let text = [b"\"", name, b"\":"].concat();
        let (mut start, mut mask) = ([0; START], [0; START]);
        for (at, byte) in text.iter().take(START).enumerate() {
            (start[at], mask[at]) = (*byte, u8::MAX);
        }
        let rest = text.get(START..).unwrap_or_default().into();
        Some(Self { start: u128::from_le_bytes(start), mask: u128::from_le_bytes(mask), length: text.len(), rest })
    }

    /// Takes the key if it is next. Within the last bytes of a value it is not recognized.
    #[inline]
    pub fn take(&self, cursor: &mut Cursor) -> bool {
        let Some(next) = cursor.chunk::<START>() else { return false };
        let is_next = (u128::from_le_bytes(*next) ^ self.start) & self.mask == 0
            && (self.rest.is_empty() || cursor.has_after(START, &self.rest));
        if is_next {
            cursor.advance(self.length);
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_are_compared_whole() {
        let name = "0123456789abcdefghijklmnopqrstuvwxyz";
        for length in 0..=name.len() {
            let key = Key::new(&name.as_bytes()[..length]).unwrap();
            let text = format!("\"{}\":", &name[..length]);
            let is_taken = |text: &str| {
                let text = format!("{text}1,\"and-much-more\":2");
                let mut cursor = Cursor::new(text.as_bytes());
                let is_taken = key.take(&mut cursor);
                assert_eq!(cursor.position(), if is_taken { length + 3 } else { 0 });
                is_taken
            };
            assert!(is_taken(&text));
            for at in 0..text.len() {
                assert!(!is_taken(&format!("{}_{}", &text[..at], &text[at + 1..])), "{at} of {text}");
                assert!(!is_taken(&format!("{}{}", &text[..at], &text[at + 1..])), "{text} without {at}");
            }
            assert!(!key.take(&mut Cursor::new(&text.as_bytes()[..text.len() - 1])));
        }
    }

    #[test]
    fn names_with_escapes_have_no_key() {
        assert!(["a\"", "\\", "\n", "\u{1f}"].into_iter().all(|name| Key::new(name.as_bytes()).is_none()));
        assert!(Key::new("\u{7f}é".as_bytes()).is_some());
    }
}
