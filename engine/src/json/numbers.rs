//! Reads and skips numbers.

use super::Cursor;
use crate::words::{WORD, ZEROS, bytes_before, integer_of, mark_non_digits};

/// Digits of a number of the contract. 17 are enough to write any double exactly.
const DIGITS_MAX: usize = 17;
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

impl Cursor<'_> {
    /// Reads a number as the nearest double.
    #[inline]
    pub fn number(&mut self) -> Option<f64> {
        if let Some((number, length)) = short_number(self.word()) {
            self.at += length;
            return Some(number);
        }
        // By value: so the callers' position stays in a register.
        let (number, rest) = self.any_number()?;
        *self = rest;
        Some(number)
    }

    /// Reads a number of any length: the number, and what follows it.
    fn any_number(mut self) -> Option<(f64, Self)> {
        let start = self.at;
        let is_negative = self.take(b'-');
        let mut number = Digits::default();
        self.whole(&mut number)?;
        let is_integer = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
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
            _ if is_integer => number.value as f64,
            // Both are exact, so the result of the one operation is the nearest double.
            Some(ten) if number.value < EXACT_INTEGERS && power < 0 => number.value as f64 / ten,
            Some(ten) if number.value < EXACT_INTEGERS => number.value as f64 * ten,
            _ => {
                let text = std::str::from_utf8(&self.bytes[start + usize::from(is_negative)..self.at]).ok()?;
                text.parse().ok().filter(|value: &f64| value.is_finite())?
            }
        };
        // An integer has no negative zero.
        let is_negative = is_negative && !(is_integer && number.value == 0);
        Some((if is_negative { -magnitude } else { magnitude }, self))
    }

    /// Takes the digits before the fraction: at least one, and no 0 before others.
    #[inline]
    fn whole(&mut self, number: &mut Digits) -> Option<()> {
        let start = self.at;
        self.digits(number)?;
        (self.at == start + 1 || self.bytes[start] != b'0').then_some(())
    }

    /// Takes digits, at least one.
    #[inline]
    fn digits(&mut self, number: &mut Digits) -> Option<()> {
        let start = self.at;
        loop {
            let word = self.word();
            let count = bytes_before(mark_non_digits(word));
            number.push(word, count);
            self.at += count;
            if count < WORD {
                return (self.at > start).then_some(());
            }
        }
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

    /// Skips a number.
    pub(super) fn skip_number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(b'-');
        self.whole(&mut Digits::default())?;
        if self.take(b'.') {
            self.digits(&mut Digits::default())?;
        }
        self.exponent()?;
        (self.at - start <= SKIPPED_NUMBER_MAX).then_some(())
    }
}

/// The number at the start of a word, and its length: one of at most seven bytes, without a sign or an exponent.
///
/// It does not branch on whether a number is a fraction, or on its number of digits: processors cannot predict these.
#[inline]
fn short_number(word: u64) -> Option<(f64, usize)> {
    let marks = mark_non_digits(word);
    let whole = bytes_before(marks);
    if whole == 0 || whole == WORD || (whole > 1 && word as u8 == b'0') {
        return None;
    }
    let dot = usize::from((word >> (8 * whole)) as u8 == b'.');
    let end = bytes_before(marks & (marks - dot as u64)); // without the lowest mark if that is a dot
    if end == WORD || end == whole + 1 || matches!((word >> (8 * end)) as u8, b'e' | b'E') {
        return None;
    }
    // The digits of the fraction move to the place of the dot; then the last digit moves to the last byte.
    let before_dot = (1 << (8 * whole)) - 1;
    let numbers = word ^ ZEROS;
    let digits = (numbers & before_dot) | ((numbers >> (8 * dot)) & !before_dot);
    let count = end - dot;
    let integer = integer_of(digits << (8 * (WORD - count)));
    // Both are exact, so the quotient is the nearest double.
    Some((integer as u32 as f64 / POWERS_OF_TEN[(count - whole) % WORD], end))
}

/// The digits of a number as an integer, as long as there are not too many.
#[derive(Default)]
struct Digits {
    value: u64,
    /// Digits from the first one that is not 0.
    count: usize,
}

impl Digits {
    /// Appends the first `count` bytes of a word, which are digits.
    #[inline]
    fn push(&mut self, word: u64, count: usize) {
        const POWERS: [u64; WORD + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
        if count == 0 {
            return;
        }
        let digits = (word ^ ZEROS) << (8 * (WORD - count));
        self.value = self.value.wrapping_mul(POWERS[count]).wrapping_add(integer_of(digits));
        self.count += if self.count == 0 { WORD - bytes_before(digits) } else { count };
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

    /// The same with other text after it.
    fn number_before(text: &str, rest: &str) -> Option<f64> {
        let whole = format!("{text}{rest}");
        let mut cursor = Cursor::new(whole.as_bytes());
        let number = cursor.number()?;
        (cursor.position() == text.len()).then_some(number)
    }

    fn is_skipped(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_value().is_some() && cursor.position() == text.len()
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
            assert_eq!(number_before(text, ",\"a\":12345678"), Some(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn numbers_of_any_length_are_the_nearest_doubles() {
        let digits = "9876543210123456";
        for whole in 1..=digits.len() {
            for fraction in 0..=digits.len() - whole {
                let dot = if fraction > 0 { "." } else { "" };
                let text = format!("{}{dot}{}", &digits[..whole], &digits[whole..whole + fraction]);
                for text in [text.clone(), format!("-{text}"), format!("0.000{}", &digits[..whole])] {
                    for rest in ["", ",", "}", " }", "\n", "]12345678", ",\"a\":1.5}", "\u{e9}"] {
                        assert_eq!(number_before(&text, rest), Some(text.parse().unwrap()), "{text}{rest}");
                    }
                }
            }
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
            "",
            "-",
            "01",
            "-01",
            "00",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "NaN",
            "Infinity",
            "0x1",
            "1_0",
            "1,0",
            "--1",
            "1e5.0",
            "01.5",
            "-.5",
            "1.e5",
            "123456.",
            "1234567.",
            "12345678.",
            "1.2.3",
        ] {
            assert_eq!(number(text), None, "{text}");
            assert_eq!(number_before(text, ","), None, "{text}");
            assert!(!is_skipped(text), "{text}");
        }
    }

    #[test]
    fn unusual_numbers_are_left() {
        for text in ["123456789012345678", "0.123456789012345678", "1e100", "1e-320", "1e0001"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("0.00000000012345678901234567"), Some(0.00000000012345678901234567));
        assert!(is_skipped("123456789012345678901234567890"));
        assert!(is_skipped(&"9".repeat(100)));
        assert!(!is_skipped(&"9".repeat(101)));
    }
}
