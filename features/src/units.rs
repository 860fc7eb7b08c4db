//! nginx's times (`75`, `5s`, `1h30m`, `500ms`) and sizes (`8k`, `1m`).
use std::time::Duration;

/// Longest time that makes sense, in milliseconds: a year.
const YEAR: u64 = 365 * 24 * 3600 * 1000;

/// A time; without a unit it is in seconds.
///
/// # Errors
/// What is wrong; completes "the value ...".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a time such as 75, 5s or 500ms".to_owned();
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = tail.find(|byte: char| byte.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit).ok_or_else(wrong)?;
        let scale = match unit.trim() {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number.checked_mul(scale).and_then(|time| total.checked_add(time)).ok_or_else(wrong)?;
        rest = tail;
    }
    match total {
        _ if text.is_empty() => Err(wrong()),
        0..=YEAR => Ok(Duration::from_millis(total)),
        _ => Err("is longer than a year".to_owned()),
    }
}

/// A number of bytes, with `k`, `m` or `g` for powers of 1024.
///
/// # Errors
/// What is wrong; completes "the value ...".
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "is not a size such as 8k or 1m".to_owned();
    let (number, scale) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1024),
        Some((at, 'm' | 'M')) => (text.get(..at), 1024 * 1024),
        Some((at, 'g' | 'G')) => (text.get(..at), 1024 * 1024 * 1024),
        _ => (Some(text), 1),
    };
    let number = number.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = number.and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(scale).ok_or_else(wrong)
}

/// A whole number from 0.
///
/// # Errors
/// What is wrong; completes "the value ...".
pub(crate) fn number(text: &str) -> Result<u32, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if plain { text.parse().ok() } else { None };
    number.ok_or_else(|| "is not a whole number from 0".to_owned())
}

/// A time in seconds since the Unix epoch as HTTP writes it (RFC 9110 section 5.6.7), from the year 1970 to 9999.
pub(crate) fn http_date(unix: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let unix = u64::try_from(unix).unwrap_or(0).min(253_402_300_799);
    let (days, second) = (unix / 86_400, unix % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    while rest >= 365 + u64::from(leap(year)) {
        rest -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    for length in lengths {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    let name = |names: &[&'static str], index: u64| usize::try_from(index).ok().and_then(|i| names.get(i)).copied();
    let (day, month) = (name(&DAYS, days % 7).unwrap_or_default(), name(&MONTHS, month).unwrap_or_default());
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{day}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_https() {
        for (unix, want) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(unix), want);
        }
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        for (text, want) in [("75", 75_000), ("5s", 5_000), ("1h30m", 5_400_000), ("500ms", 500), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(want)), "{text}");
        }
        for text in ["", "s", "-1", "1x", "1.5s", "99999999999999999999", "9999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, want) in [("0", 0), ("8k", 8192), ("1M", 1 << 20), ("2g", 2 << 30)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in ["", "k", "8b", "-1", "1.5m", "+1", "99999999999999999999g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_digits_only() {
        assert_eq!(number("10"), Ok(10));
        for text in ["", "+1", "-1", "1.0", "4294967296"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
