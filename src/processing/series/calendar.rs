//! Timestamps as seconds from the beginning of 1970, in the Gregorian calendar.

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// Seconds from the beginning of 1970 to a timestamp; none where it is none.
pub(super) fn seconds_of(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, time.trim_end_matches('Z')),
        None => (text, "00:00"),
    };
    let number = |text: &str, digits: usize| {
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten()
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let mut clock = time.split(':');
    let (hour, minute) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let second = clock.next().map_or(Some(0), |second| number(second, 2))?;
    let of_month = months(year);
    let days = *of_month.get(usize::try_from(month - 1).ok()?)?;
    let is_real = (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !is_real || parts.next().is_some() || clock.next().is_some() {
        return None;
    }
    let in_year: i64 = of_month[..month as usize - 1].iter().sum::<i64>() + day - 1;
    Some((days_before(year) + in_year) * DAY + hour * 3600 + minute * 60 + second)
}

/// The timestamp of so many seconds from the beginning of 1970.
pub(super) fn stamp_of(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // At most the year; the loop below goes on to it.
    let mut year = 1970 + if days < 0 { days.div_euclid(365) } else { days / 366 };
    while days_before(year + 1) <= days {
        year += 1;
    }
    let (mut month, mut day) = (1, days - days_before(year) + 1);
    for length in months(year) {
        if day <= length {
            break;
        }
        (month, day) = (month + 1, day - length);
    }
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

/// Days of the months of a year.
fn months(year: i64) -> [i64; 12] {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Days from the beginning of 1970 to that of a year, of the calendar that is in force since 1582, carried on backwards.
fn days_before(year: i64) -> i64 {
    let of_all = |year: i64| {
        365 * year + (year + 3).div_euclid(4) - (year + 99).div_euclid(100) + (year + 399).div_euclid(400)
    };
    of_all(year) - of_all(1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_counted_from_1970() {
        assert_eq!(seconds_of("1970-01-01"), Some(0));
        assert_eq!(seconds_of("2000-06-05 00:30"), Some(960_165_000));
        assert_eq!(seconds_of("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds_of("1969-12-31 23:59"), Some(-60));
        for stamp in [
            "1969-12-31 23:59:00",
            "1600-02-29 00:00:01",
            "2000-12-31 00:00:00",
            "2001-01-01 00:00:00",
            "9999-12-31 23:59:59",
        ] {
            assert_eq!(stamp_of(seconds_of(stamp).unwrap()), stamp);
        }
        for text in [
            "2023-02-29",
            "2000-13-01",
            "2000-6-5",
            "2000-06-05 24:00",
            "today",
            "",
            "2000-06-05 1:2",
            "2000-06",
        ] {
            assert_eq!(seconds_of(text), None, "{text}");
        }
    }
}
