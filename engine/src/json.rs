//! Reads JSON strictly. `None` is not an error: it means that the value is left to the reference.
//!
//! The bytes are UTF-8: that is checked once per record, not per string.

mod numbers;

use crate::texts::Text;
use crate::words::{WORD, bytes_before, first_bytes, mark_special, word_at};

/// Objects and arrays within a property that the contract does not have; the reference rejects 200.
const NESTING_MAX: usize = 100;
/// Words of a string that are looked at one by one, before its blocks.
const SHORT_WORDS: usize = 4;
/// Bytes of a block: the compiler looks at all of them at once.
const BLOCK: usize = 32;
const TRUE: u64 = u64::from_le_bytes(*b"true\0\0\0\0");
const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");

/// A position in a value.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of a value, which is UTF-8.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// A position in a value, which is UTF-8.
    #[inline]
    pub fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The position in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next byte; None at the end.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next eight bytes; 0 after the end.
    #[inline]
    fn word(&self) -> u64 {
        word_at(self.bytes, self.at)
    }

    /// The next bytes, if there are so many.
    #[inline]
    pub fn chunk<const LENGTH: usize>(&self) -> Option<&'a [u8; LENGTH]> {
        self.bytes.get(self.at..self.at + LENGTH)?.first_chunk()
    }

    /// Whether this text comes so many bytes after the position.
    #[inline]
    pub fn has_after(&self, skipped: usize, text: &[u8]) -> bool {
        self.bytes.get(self.at + skipped..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Takes bytes that were looked at.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.at += count;
    }

    /// Takes the bytes up to a position.
    #[inline]
    pub fn advance_to(&mut self, position: usize) {
        self.at = position;
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes the next byte if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        if self.peek() != Some(byte) {
            return false;
        }
        self.at += 1;
        true
    }

    /// Takes this byte, which must be the next.
    #[inline]
    pub fn require(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    /// Takes this text, which must be next.
    #[inline]
    pub fn require_text(&mut self, text: &[u8]) -> Option<()> {
        let end = self.at.checked_add(text.len())?;
        let is_next = self.bytes.get(self.at..end)? == text;
        self.at = if is_next { end } else { self.at };
        is_next.then_some(())
    }

    /// Skips white space.
    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes the colon after a name, with the white space around it.
    #[inline]
    pub fn colon(&mut self) -> Option<()> {
        self.skip_space();
        self.require(b':')?;
        self.skip_space();
        Some(())
    }

    /// Reads a string without escapes: what is between its quotation marks.
    #[inline]
    pub fn plain_string(&mut self) -> Option<Text<'a>> {
        self.require(b'"')?;
        let start = self.at;
        let word = self.word();
        let count = bytes_before(mark_special(word));
        self.at += count;
        if count == WORD {
            self.at = find_special(self.bytes, self.at);
        }
        let bytes = self.bytes.get(start..self.at)?;
        self.require(b'"')?;
        Some(Text::with_first(bytes, first_bytes(word, count)))
    }

    /// Reads `true` or `false`.
    #[inline]
    pub fn boolean(&mut self) -> Option<bool> {
        let word = self.word();
        let (is_true, is_false) = (first_bytes(word, 4) == TRUE, first_bytes(word, 5) == FALSE);
        if is_true == is_false {
            return None;
        }
        self.at += 5 - usize::from(is_true);
        Some(is_true)
    }

    /// Skips any value.
    #[inline]
    pub fn skip_value(&mut self) -> Option<()> {
        // By value: so the caller's position stays in a register.
        *self = self.after_value()?;
        Some(())
    }

    fn after_value(mut self) -> Option<Self> {
        self.skip_nested(1)?;
        Some(self)
    }

    fn skip_nested(&mut self, nesting: usize) -> Option<()> {
        if nesting > NESTING_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.skip_members(nesting, b'}'),
            b'[' => self.skip_members(nesting, b']'),
            b't' => self.require_text(b"true"),
            b'f' => self.require_text(b"false"),
            b'n' => self.require_text(b"null"),
            _ => self.skip_number(),
        }
    }

    /// Skips an object or an array.
    fn skip_members(&mut self, nesting: usize, close: u8) -> Option<()> {
        self.at += 1;
        self.skip_space();
        if self.take(close) {
            return Some(());
        }
        loop {
            if close == b'}' {
                self.skip_string()?;
                self.colon()?;
            }
            self.skip_nested(nesting + 1)?;
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                end if end == close => return Some(()),
                _ => return None,
            }
        }
    }

    /// Skips a string, with its escapes.
    fn skip_string(&mut self) -> Option<()> {
        self.require(b'"')?;
        loop {
            self.at = find_special(self.bytes, self.at);
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.skip_escape()?,
                _ => return None,
            }
        }
    }

    /// Skips what follows a backslash. Half of a surrogate pair is left to the reference.
    fn skip_escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hexadecimal()? {
                0xD800..0xDC00 => {
                    self.require_text(b"\\u")?;
                    matches!(self.hexadecimal()?, 0xDC00..0xE000).then_some(())
                }
                0xDC00..0xE000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    /// Takes four hexadecimal digits.
    fn hexadecimal(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(value)
    }
}

/// The position of the next quotation mark, backslash or control character; the text's end without one.
fn find_special(text: &[u8], mut at: usize) -> usize {
    loop {
        for _ in 0..SHORT_WORDS {
            let count = bytes_before(mark_special(word_at(text, at)));
            at += count; // never beyond the end, where the word has zeros
            if count < WORD {
                return at;
            }
        }
        while let Some(block) = text[at..].first_chunk()
            && !has_special(block)
        {
            at += BLOCK;
        }
    }
}

fn has_special(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |has, byte| has | (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_skipped(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_value().is_some() && cursor.position() == text.len()
    }

    fn read_string(text: &str) -> Option<String> {
        let mut cursor = Cursor::new(text.as_bytes());
        let string = cursor.plain_string()?;
        assert_eq!(string, Text::new(string.bytes));
        assert_eq!(cursor.position(), string.bytes.len() + 2);
        Some(String::from_utf8(string.bytes.to_vec()).unwrap())
    }

    #[test]
    fn any_json_is_skipped() {
        for text in [
            "null",
            "true",
            "false",
            "-1.5E-7",
            r#""""#,
            r#""é\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#,
            "[]",
            "{}",
            "[1, [2,{}] ,null\t]",
            r#"{"a" : {"a":1,"a":2}, "":[]}"#,
        ] {
            assert!(is_skipped(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_left() {
        for text in [
            "nul",
            "True",
            r#"""#,
            r#""\q""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "\"\n\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            "[1}",
            "'a'",
            "\u{a0}1",
        ] {
            assert!(!is_skipped(text), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_skipped(&nested(NESTING_MAX)));
        assert!(!is_skipped(&nested(NESTING_MAX + 1)));
        assert!(!is_skipped(&"[".repeat(100_000)));
    }

    #[test]
    fn strings_of_the_contract_have_no_escapes() {
        assert_eq!(read_string("\"é: {\"rest"), Some("é: {".into()));
        for text in [r#""a\n""#, "\"a\u{1f}\"", r#""a"#, "a", ""] {
            assert_eq!(read_string(text), None, "{text}");
        }
    }

    #[test]
    fn strings_of_any_length_end_at_their_quotation_mark() {
        for length in 0..200 {
            let content = "é".repeat(length % 3) + &"x".repeat(length);
            for rest in ["", "}", ",\"a\":\"01234567890123456789012345678901234567890123456789\"}"] {
                let text = format!("\"{content}\"{rest}");
                assert_eq!(read_string(&text).as_ref(), Some(&content), "{text}");
                assert!(is_skipped(&text[..text.len() - rest.len()]), "{text}");
                for end in ["\n", "\\n"] {
                    let text = format!("\"{content}{end}\"{rest}");
                    assert_eq!(read_string(&text), None, "{text}");
                    assert_eq!(Cursor::new(text.as_bytes()).skip_value().is_some(), end != "\n", "{text}");
                }
            }
            assert_eq!(read_string(&format!("\"{content}")), None);
            assert!(!is_skipped(&format!("\"{content}")));
        }
    }

    #[test]
    fn booleans_are_two_words() {
        let read = |text: &str| Cursor::new(text.as_bytes()).boolean();
        assert_eq!([read("true"), read("true,\"a\":1"), read("truex")], [Some(true); 3]);
        assert_eq!([read("false"), read("false}"), read("false ,")], [Some(false); 3]);
        for text in ["", "t", "tru", "fals", "fals\"", "TRUE", "1", "null", "\"true\"", " true"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
