//! Reads JSON strictly. `None` is not an error: it means that the value is left to the reference.
//!
//! The bytes are UTF-8: that is checked once per record, not per string.

/// Objects and arrays within a property that the contract does not have; the reference rejects 200.
const NESTING_MAX: usize = 100;
/// Digits of a number of the contract. 17 are enough to write any double exactly.
const DIGITS_MAX: u32 = 17;
/// Characters of a number that is skipped: it is far below the greatest double, and below the reference's 4,300 digits.
const SKIPPED_NUMBER_MAX: usize = 100;
/// Digits of an exponent: two of them cannot leave the range of a double, with numbers of this length.
const EXPONENT_DIGITS_MAX: usize = 2;
/// Powers of ten that a double holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Integers below it are doubles.
const EXACT_INTEGERS: u64 = 1 << 53;

/// A position in a value.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of a value, which is UTF-8.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
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

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes the next byte if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
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

    /// Reads a string without escapes: the bytes between its quotation marks.
    #[inline]
    pub fn plain_string(&mut self) -> Option<&'a [u8]> {
        self.require(b'"')?;
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.bytes.get(start..self.at - 1),
                b'\\' | 0..0x20 => return None,
                _ => {}
            }
        }
    }

    /// Reads a number as the nearest double.
    pub fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let is_negative = self.take(b'-');
        let mut number = Digits::default();
        let digits_start = self.at;
        self.digits(&mut number)?;
        if self.bytes[digits_start] == b'0' && self.at - digits_start > 1 {
            return None;
        }
        let is_integer = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if is_integer {
            let value = if number.count <= DIGITS_MAX {
                number.value as f64
            } else {
                return None;
            };
            return Some(if is_negative && number.value != 0 { -value } else { value });
        }
        let mut power = 0i32;
        if self.take(b'.') {
            let fraction_start = self.at;
            self.digits(&mut number)?;
            power = -i32::try_from(self.at - fraction_start).ok()?;
        }
        power += self.exponent()?;
        if number.count > DIGITS_MAX {
            return None;
        }
        let magnitude = match POWERS_OF_TEN.get(power.unsigned_abs() as usize) {
            // Both are exact, so the result of the one operation is the nearest double.
            Some(ten) if number.value < EXACT_INTEGERS && power < 0 => number.value as f64 / ten,
            Some(ten) if number.value < EXACT_INTEGERS => number.value as f64 * ten,
            _ => {
                let text = std::str::from_utf8(&self.bytes[start + usize::from(is_negative)..self.at]).ok()?;
                text.parse().ok().filter(|value: &f64| value.is_finite())?
            }
        };
        Some(if is_negative { -magnitude } else { magnitude })
    }

    /// Takes digits, at least one.
    #[inline]
    fn digits(&mut self, number: &mut Digits) -> Option<()> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number.push(digit - b'0');
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Takes an exponent if there is one; 0 without.
    fn exponent(&mut self) -> Option<i32> {
        if !(self.take(b'e') || self.take(b'E')) {
            return Some(0);
        }
        let is_negative = self.take(b'-');
        if !is_negative {
            self.take(b'+');
        }
        let start = self.at;
        let mut number = Digits::default();
        self.digits(&mut number)?;
        if self.at - start > EXPONENT_DIGITS_MAX {
            return None;
        }
        let exponent = i32::try_from(number.value).ok()?;
        Some(if is_negative { -exponent } else { exponent })
    }

    /// Skips any value.
    pub fn skip_value(&mut self, nesting: usize) -> Option<()> {
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
            self.skip_value(nesting + 1)?;
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
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.skip_escape()?,
                0..0x20 => return None,
                _ => {}
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

    /// Skips a number.
    fn skip_number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(b'-');
        let digits_start = self.at;
        self.digits(&mut Digits::default())?;
        if self.bytes[digits_start] == b'0' && self.at - digits_start > 1 {
            return None;
        }
        if self.take(b'.') {
            self.digits(&mut Digits::default())?;
        }
        self.exponent()?;
        (self.at - start <= SKIPPED_NUMBER_MAX).then_some(())
    }
}

/// The digits of a number as an integer, as long as there are not too many.
#[derive(Default)]
struct Digits {
    value: u64,
    /// Digits from the first one that is not 0.
    count: u32,
}

impl Digits {
    #[inline]
    fn push(&mut self, digit: u8) {
        self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit));
        self.count += u32::from(self.value != 0 || self.count != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<f64> {
        let mut cursor = Cursor::new(text.as_bytes());
        let number = cursor.number()?;
        (cursor.position() == text.len()).then_some(number)
    }

    fn is_skipped(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_value(1).is_some() && cursor.position() == text.len()
    }

    #[test]
    fn numbers_are_the_nearest_doubles() {
        for text in [
            "0",
            "7",
            "-7",
            "0.5",
            "-0.25",
            "1e5",
            "1E+5",
            "25e-1",
            "0.1",
            "123456789012345",
            "12345678901234567",
            "0.30000000000000004",
            "9007199254740993",
            "9007199254740993.0",
            "1.7976931348623157e99",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
            "0.000000000000000000000000000001",
            "8.41e-99",
            "2.2250738585072014",
        ] {
            assert_eq!(number(text), Some(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_integer_has_no_negative_zero() {
        assert_eq!(number("-0").map(f64::to_bits), Some(0));
        assert_eq!(number("-0.0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(number("-0e5").map(f64::to_bits), Some((-0.0f64).to_bits()));
    }

    #[test]
    fn what_is_not_a_json_number_is_left() {
        for text in [
            "", "-", "01", "-01", "00", "1.", ".5", "+1", "1e", "1e+", "NaN", "Infinity", "0x1", "1_0", "1,0", "--1",
            "1e5.0",
        ] {
            assert_eq!(number(text), None, "{text}");
            assert!(!is_skipped(text), "{text}");
        }
    }

    #[test]
    fn unusual_numbers_are_left() {
        for text in ["123456789012345678", "0.123456789012345678", "1e100", "1e-320", "1e0001"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert!(is_skipped("123456789012345678901234567890"));
        assert!(!is_skipped(&"9".repeat(101)));
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
        assert_eq!(Cursor::new("\"é: {\"rest".as_bytes()).plain_string(), Some("é: {".as_bytes()));
        for text in [r#""a\n""#, "\"a\u{1f}\"", r#""a"#, "a", ""] {
            assert_eq!(Cursor::new(text.as_bytes()).plain_string(), None, "{text}");
        }
    }
}
