//! Reads the values of a contract's fields.

use crate::calendar::{read_date, read_date_time, read_usual_date_time};
use crate::json::Cursor;
use crate::tables::FieldTable;
use crate::texts::Texts;

/// From here on doubles are integers.
const INTEGERS_ONLY: f64 = (1u64 << 53) as f64;

/// What a field's values are.
pub enum Field {
    /// A number within limits, or one that means unknown.
    Number {
        /// The least valid value.
        low: f64,
        /// The greatest valid value.
        high: f64,
        /// Values that mean unknown, whatever the limits.
        unknown: Vec<f64>,
        /// Whether a fraction is invalid.
        is_integer: bool,
    },
    /// `true` or `false`.
    Boolean,
    /// One of several texts, with their codes.
    Category(Texts<f64>),
    /// A text with so many characters.
    Text {
        /// The least number.
        min: usize,
        /// The greatest number.
        max: usize,
    },
    /// A day.
    Date,
    /// An instant.
    DateTime,
}

impl Field {
    /// Checks the table.
    pub fn new(table: &FieldTable) -> Result<Self, String> {
        Ok(match table.kind.as_str() {
            kind @ ("number" | "integer") => {
                let unknown = table.unknown.clone();
                Self::Number { low: table.low, high: table.high, unknown, is_integer: kind == "integer" }
            }
            "boolean" => Self::Boolean,
            "category" => {
                Self::Category(Texts::new(table.categories.iter().map(|(value, code)| (&value[..], f64::from(*code)))))
            }
            "text" => Self::Text { min: table.length_min, max: table.length_max },
            "date" => Self::Date,
            "date-time" => Self::DateTime,
            other => return Err(format!("{other} is not a kind of field")),
        })
    }

    /// Null as a value.
    pub fn unknown(&self) -> f64 {
        if matches!(self, Self::Category(_)) { -1.0 } else { f64::NAN }
    }

    /// Reads a value; a text's is NaN.
    #[inline]
    pub fn read(&self, cursor: &mut Cursor) -> Option<f64> {
        match self {
            Self::Number { low, high, unknown, is_integer } => {
                let number = cursor.number()?;
                if !unknown.is_empty() && unknown.contains(&number) {
                    return Some(f64::NAN);
                }
                let is_valid = number >= *low && number <= *high && (!is_integer || is_whole(number));
                is_valid.then_some(number)
            }
            Self::Boolean => cursor.boolean().map(f64::from),
            Self::Category(codes) => codes.find(cursor.plain_string()?),
            Self::Text { min, max } => {
                // Characters: bytes that do not continue one.
                let text = cursor.plain_string()?;
                let length = text.bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
                (*min..=*max).contains(&length).then_some(f64::NAN)
            }
            Self::Date => {
                let [b'"', text @ .., b'"'] = cursor.chunk::<12>()? else { return None };
                cursor.advance(12);
                read_date(text)
            }
            Self::DateTime => {
                if let Some([b'"', text @ .., b'Z', b'"']) = cursor.chunk::<22>() {
                    cursor.advance(22);
                    return read_usual_date_time(text);
                }
                read_date_time(cursor.plain_string()?.bytes)
            }
        }
    }
}

/// Whether a finite number has no fraction.
#[inline]
fn is_whole(number: f64) -> bool {
    number.abs() >= INTEGERS_ONLY || number as i64 as f64 == number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &FieldTable, text: &str) -> Option<f64> {
        let mut cursor = Cursor::new(text.as_bytes());
        let value = Field::new(table).unwrap().read(&mut cursor)?;
        (cursor.position() == text.len()).then_some(value)
    }

    fn table(kind: &str) -> FieldTable {
        FieldTable { kind: kind.into(), ..FieldTable::default() }
    }

    #[test]
    fn integers_have_no_fraction() {
        let integer = FieldTable { low: -1e300, high: 1e300, ..table("integer") };
        for text in ["0", "-0.0", "5.0", "-3e2", "9007199254740991.0", "1e22", "-12345678901234567"] {
            assert_eq!(read(&integer, text), Some(text.parse().unwrap()), "{text}");
        }
        for text in ["0.5", "-0.25", "1e-9", "4503599627370495.5", "-1.0000001"] {
            assert_eq!(read(&integer, text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_within_their_limits_unless_they_mean_unknown() {
        let number = FieldTable { low: -1.5, high: 2.0, unknown: vec![-9.0, 99.5], ..table("number") };
        assert_eq!(["-1.5", "2", "1.25"].map(|text| read(&number, text)), [Some(-1.5), Some(2.0), Some(1.25)]);
        assert_eq!(["-1.6", "2.0001", "99"].map(|text| read(&number, text)), [None; 3]);
        assert!(["-9", "99.50", "-9.0"].into_iter().all(|text| read(&number, text).is_some_and(f64::is_nan)));
    }

    #[test]
    fn dates_and_date_times_are_strings_without_escapes() {
        let read_both = |text: &str| [read(&table("date"), text), read(&table("date-time"), text)];
        assert_eq!(read_both("\"1970-01-03\""), [Some(2.0), None]);
        for text in ["\"1970-01-03T00:00:00Z\"", "\"1970-01-03t00:00:00.000z\"", "\"1970-01-03T01:00:00+01:00\""] {
            assert_eq!(read_both(text), [None, Some(2.0)], "{text}");
        }
        for text in [
            "",
            "\"\"",
            "\"1970-01-03",
            "1970-01-03\"",
            "\"1970-01-3\"",
            "\"1970-01-032\"",
            "\"1970-01-03T00:00:00Z",
            "\"1970-01-03T00:00:00\"\"",
            "\"1970-01-03T00:00:00ZZ\"",
            "\"1970-01-03T00:00:0\\u005a\"",
        ] {
            assert_eq!(read_both(text), [None; 2], "{text}");
        }
    }

    #[test]
    fn the_length_of_a_text_is_counted_in_characters() {
        let text = FieldTable { length_min: 2, length_max: 3, ..table("text") };
        assert!(
            ["\"ab\"", "\"né\"", "\"收入收\""].into_iter().all(|value| read(&text, value).is_some_and(f64::is_nan))
        );
        assert_eq!(["\"a\"", "\"é\"", "\"abcd\"", "\"\""].map(|value| read(&text, value)), [None; 4]);
    }

    #[test]
    fn many_categories_are_found_too() {
        let categories: Vec<_> = (0..1_000).map(|code| (format!("v{code}").into_bytes(), code)).collect();
        let category = FieldTable { categories, ..table("category") };
        for code in 0..1_000 {
            assert_eq!(read(&category, &format!("\"v{code}\"")), Some(f64::from(code)));
        }
        assert_eq!(["\"v1000\"", "\"v\"", "\"\"", "5"].map(|text| read(&category, text)), [None; 4]);
    }
}
