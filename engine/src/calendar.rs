//! Dates and date-times as RFC 3339 writes them, as days since 1970-01-01 in UTC.

const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = DAY_S * SECOND_US;
/// Integers up to it are doubles, and so their quotient is correctly rounded.
const EXACT_INTEGERS: u64 = 1 << 53;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i32 = 719_468;

/// Reads a date, YYYY-MM-DD.
#[inline]
pub fn read_date(text: &[u8; 10]) -> Option<f64> {
    days_of(text).map(f64::from)
}

/// Reads a date-time in UTC without a fraction of a second, YYYY-MM-DDTHH:MM:SS; its Z is not in the text.
#[inline]
pub fn read_usual_date_time(text: &[u8; 19]) -> Option<f64> {
    // Both are exact, so the quotient is the nearest double.
    seconds_of(text).map(|seconds| seconds as f64 / DAY_S as f64)
}

/// Reads a date-time with an offset; digits of a second after the sixth do not count.
pub fn read_date_time(text: &[u8]) -> Option<f64> {
    let (date_time, rest) = text.split_first_chunk()?;
    let seconds = seconds_of(date_time)?;
    let (micros, rest) = fraction(rest)?;
    let offset_s = match *rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h, hh, b':', m, mm] => {
            let seconds = two_digits(h, hh, 23)? * 3600 + two_digits(m, mm, 59)? * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    Some(days_from_micros((seconds - i64::from(offset_s)) * SECOND_US + micros))
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

/// Seconds since 1970, as if the time were in UTC.
#[inline]
fn seconds_of(text: &[u8; 19]) -> Option<i64> {
    let [date @ .., b'T' | b't', h, hh, b':', m, mm, b':', s, ss] = text else { return None };
    let time = (two_digits(*h, *hh, 23)? * 60 + two_digits(*m, *mm, 59)?) * 60 + two_digits(*s, *ss, 59)?;
    Some(i64::from(days_of(date)?) * DAY_S + i64::from(time))
}

#[inline]
fn days_of(text: &[u8; 10]) -> Option<i32> {
    let [c, cc, y, yy, b'-', m, mm, b'-', d, dd] = *text else { return None };
    let year = two_digits(c, cc, 99)? * 100 + two_digits(y, yy, 99)?;
    let (month, day) = (two_digits(m, mm, 12)?, two_digits(d, dd, 31)?);
    let is_valid = year >= 1 && month >= 1 && day >= 1 && (day <= 28 || day <= days_in_month(year, month));
    is_valid.then(|| days_from_civil(year, month, day))
}

#[inline]
fn two_digits(tens: u8, ones: u8, max: i32) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    let number = i32::from(tens) * 10 + i32::from(ones);
    ((tens <= 9) & (ones <= 9) & (number <= max)).then_some(number)
}

fn days_in_month(year: i32, month: i32) -> i32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, of a year from 1 on: years are counted from March.
#[inline]
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_BEFORE_1970
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
            assert_eq!(read_date(text.as_bytes().try_into().unwrap()), Some(days), "{text}");
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
            "2024-1-001",
            "2024-01-1x",
            "2024/01/01",
            "2024-01-00",
        ] {
            assert_eq!(read_date(text.as_bytes().try_into().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut days = -719_162.0;
        for year in 1..=2_001 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    assert_eq!(read_date(text.as_bytes().try_into().unwrap()), Some(days), "{text}");
                    days += 1.0;
                }
            }
        }
        assert_eq!(days, 11_688.0);
    }

    #[test]
    fn date_times_are_instants() {
        let usual = |text: &[u8; 19]| read_usual_date_time(text);
        assert_eq!([usual(b"1970-01-02T00:00:00"), usual(b"1969-12-31T18:00:00")], [Some(1.0), Some(-0.25)]);
        for text in ["2024-02-29T10:15:30", "0001-01-01T00:00:00", "9999-12-31t23:59:59", "1969-12-31T23:59:01"] {
            let with_offset = read_date_time(format!("{text}Z").as_bytes());
            assert_eq!(usual(text.as_bytes().try_into().unwrap()), with_offset, "{text}");
            assert!(with_offset.is_some());
        }
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
            "2024-01-01T00-00:00Z",
            "2024-01-01T00:0a:00Z",
            "2024-02-30T00:00:00Z",
            "",
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
