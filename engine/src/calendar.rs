//! Dates and date-times as RFC 3339 writes them, as days since 1970-01-01 in UTC.

const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = DAY_S * SECOND_US;
/// Integers up to it are doubles, and so their quotient is correctly rounded.
const EXACT_INTEGERS: u64 = 1 << 53;

/// Reads a date, YYYY-MM-DD.
pub fn read_date(text: &[u8]) -> Option<f64> {
    days_of(text).map(|days| days as f64)
}

/// Reads a date-time with an offset; digits of a second after the sixth do not count.
pub fn read_date_time(text: &[u8]) -> Option<f64> {
    let days = days_of(text.get(..10)?)?;
    if !matches!(text.get(10)?, b'T' | b't') || *text.get(13)? != b':' || *text.get(16)? != b':' {
        return None;
    }
    let hour = two_digits(text, 11, 23)?;
    let minute = two_digits(text, 14, 59)?;
    let second = two_digits(text, 17, 59)?;
    let (micros, rest) = fraction(text.get(19..)?)?;
    let offset_s = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let seconds = two_digits(rest, 1, 23)? * 3600 + two_digits(rest, 4, 59)? * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
    Some(days_from_micros(seconds * SECOND_US + micros))
}

/// Takes the fraction of a second, if there is one: the microseconds, and the text after it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else {
        return Some((0, text));
    };
    let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let micros = (0..6).fold(0, |micros, i| micros * 10 + if i < count { i64::from(digits[i] - b'0') } else { 0 });
    Some((micros, &digits[count..]))
}

fn days_of(text: &[u8]) -> Option<i64> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two_digits(text, 0, 99)? * 100 + two_digits(text, 2, 99)?;
    let month = two_digits(text, 5, 12)?;
    let day = two_digits(text, 8, 31)?;
    if year < 1 || month < 1 || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

fn two_digits(text: &[u8], at: usize, max: i64) -> Option<i64> {
    let (tens, ones) = (*text.get(at)?, *text.get(at + 1)?);
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    let number = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    (number <= max).then_some(number)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years are counted from March, in eras of 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The double nearest to the quotient, as Python divides integers.
fn days_from_micros(micros: i64) -> f64 {
    let magnitude = micros.unsigned_abs();
    let days = if magnitude <= EXACT_INTEGERS {
        magnitude as f64 / DAY_US as f64
    } else {
        // 2^64 times the quotient has at least 80 bits. Its last bit is set if the division has a remainder, so the
        // conversion to a double rounds it as the exact quotient.
        let shifted = u128::from(magnitude) << 64;
        let divisor = u128::from(DAY_US.unsigned_abs());
        let quotient = (shifted / divisor) | u128::from(shifted % divisor != 0);
        quotient as f64 / 2f64.powi(64)
    };
    if micros < 0 { -days } else { days }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        for (text, days) in
            [("1970-01-01", 0.0), ("1969-12-31", -1.0), ("2000-02-29", 11_016.0), ("2024-12-31", 20_088.0)]
        {
            assert_eq!(read_date(text.as_bytes()), Some(days), "{text}");
        }
        assert_eq!(read_date(b"0001-01-01"), Some(-719_162.0));
        assert_eq!(read_date(b"9999-12-31"), Some(2_932_896.0));
    }

    #[test]
    fn days_that_the_calendar_lacks_are_not_dates() {
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-04-31",
            "0000-01-01",
            "2024-1-01",
            "2024-01-1x",
            "",
        ] {
            assert_eq!(read_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn date_times_are_instants() {
        for text in
            ["1970-01-02T00:00:00Z", "1970-01-02t02:00:00+02:00", "1970-01-01T12:30:00-11:30", "1970-01-02T00:00:00.0z"]
        {
            assert_eq!(read_date_time(text.as_bytes()), Some(1.0), "{text}");
        }
        assert_eq!(read_date_time(b"1970-01-01T00:00:00.1234567890Z"), Some(123_456.0 / 86_400_000_000.0));
        assert_eq!(read_date_time(b"1969-12-31T18:00:00Z"), Some(-0.25));
    }

    #[test]
    fn other_texts_are_not_date_times() {
        for text in [
            "2024-01-01",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00ZZ",
        ] {
            assert_eq!(read_date_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn far_instants_are_rounded_once() {
        // 9999-12-31T23:59:59.999999Z and 0001-01-01T00:00:00.000001Z: Python's quotients of the microseconds.
        assert_eq!(days_from_micros(253_402_300_799_999_999), 2_932_896.999_999_999_988_426);
        assert_eq!(days_from_micros(-62_135_596_799_999_999), -719_161.999_999_999_988_426);
        for days in [-719_162i64, 200_000, 2_932_896] {
            assert_eq!(days_from_micros(days * DAY_US), days as f64);
        }
    }
}
