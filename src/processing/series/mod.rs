//! Time series: values at even intervals from a file, with what their timestamps tell, and how good forecasts of them are.
//!
//! ```text
//! Series::read("a.csv", &bytes)          timestamps and values, without gaps
//! Series::covariates()                   of each value the age from -1 to 1, and sine and cosine of the time of day, week and year
//! quantile_loss(&truth, &forecast, rho)  the normalised quantile loss R of rho
//! ```

mod calendar;

use std::f64::consts::TAU;

use calendar::{DAY, seconds_of, stamp_of};

use crate::{Error, ErrorKind, Result};

/// Numbers that stand for a timestamp: its age, and sine and cosine of the time of the day, the day of the week and the day of the year.
pub const COVARIATES: usize = 7;

/// Values at even intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Seconds from the beginning of 1970 to the first value.
    start: i64,
    /// Seconds from one value to the next.
    interval: i64,
    values: Vec<f32>,
}

impl Series {
    /// The series in a file of two columns, `timestamp,value`, whose first line names them; messages call it `source`. A timestamp is
    /// `YYYY-MM-DD`, also with `HH:MM` or `HH:MM:SS` behind a blank or a T. All are one interval apart. Either may be in quotes.
    ///
    /// Fails with [`ErrorKind::Config`], naming the line, where a line has other columns, a timestamp or a value is none, and where a timestamp is
    /// repeated, goes back or leaves a gap; and when there are fewer than two values.
    pub fn read(source: &str, bytes: &[u8]) -> Result<Self> {
        let refused = |line: usize, field: &str| {
            Error::new(ErrorKind::Config, format!("{source} line {line}"), field.to_owned())
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            refused(line, "text").expecting("UTF-8").but_found("other bytes")
        })?;
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        // Spreadsheets put a byte order mark before UTF-8.
        let header = lines.next().map_or("", |(_, line)| line.trim_start_matches('\u{feff}').trim());
        if header.split(',').map(unquoted).ne(["timestamp", "value"]) {
            let shown: String = header.chars().take(40).collect();
            return Err(refused(1, "columns").expecting("timestamp,value").but_found(format!("`{shown}`")));
        }
        let (mut stamps, mut values): (Vec<i64>, Vec<f32>) = (Vec::new(), Vec::new());
        for (line, text) in lines {
            let shown = |text: &str| format!("`{}`", text.chars().take(40).collect::<String>());
            let Some((stamp, value)) = text.split_once(',') else {
                return Err(refused(line, "columns")
                    .expecting("a timestamp and a value")
                    .but_found(shown(text)));
            };
            let seconds = seconds_of(unquoted(stamp)).ok_or_else(|| {
                refused(line, "timestamp").expecting("YYYY-MM-DD HH:MM:SS").but_found(shown(stamp))
            })?;
            let value: Option<f32> = unquoted(value).parse().ok().filter(|value: &f32| value.is_finite());
            let found = text.split_once(',').map_or("", |(_, value)| value);
            values.push(
                value.ok_or_else(|| refused(line, "value").expecting("a number").but_found(shown(found)))?,
            );
            stamps.push(seconds);
            check_interval(&stamps).map_err(|(expected, found)| {
                refused(line, "timestamp").expecting(expected).but_found(found)
            })?;
        }
        let [start, second, ..] = stamps[..] else {
            return Err(refused(1, "values").expecting("at least two").but_found(values.len()));
        };
        Ok(Self { start, interval: second - start, values })
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Seconds from one value to the next.
    pub fn interval(&self) -> i64 {
        self.interval
    }

    /// Values of a day; none where intervals do not add up to one.
    pub fn a_day(&self) -> Option<usize> {
        (DAY % self.interval == 0).then_some((DAY / self.interval) as usize)
    }

    /// Values of a week; none where intervals do not add up to one.
    pub fn a_week(&self) -> Option<usize> {
        (7 * DAY % self.interval == 0).then_some((7 * DAY / self.interval) as usize)
    }

    /// Seconds from the beginning of 1970 to the first value and to the last.
    pub fn span(&self) -> [i64; 2] {
        [self.start, self.seconds(self.values.len() - 1)]
    }

    /// When the value of this number is from, counted from 0, `YYYY-MM-DD HH:MM:SS`. There may be none of this number yet.
    pub fn timestamp(&self, at: usize) -> String {
        stamp_of(self.seconds(at))
    }

    /// So many seconds from the beginning of 1970, `YYYY-MM-DD HH:MM:SS`.
    pub fn timestamp_of(seconds: i64) -> String {
        stamp_of(seconds)
    }

    fn seconds(&self, at: usize) -> i64 {
        self.start + at as i64 * self.interval
    }

    /// What the timestamps tell, `[count, COVARIATES]`: the age of a value from -1 to 1 over the series, then sine and cosine of the time of the day,
    /// of the week and of the year.
    pub fn covariates(&self) -> Vec<f32> {
        self.covariates_within(self.span(), self.values.len())
    }

    /// The same of the first `count` timestamps, also of those that no values are there for, with ages that are -1 and 1 at both ends of `span`, in
    /// seconds from the beginning of 1970: what a model was trained on.
    pub fn covariates_within(&self, [first, last]: [i64; 2], count: usize) -> Vec<f32> {
        let of_value = |at: usize| {
            let seconds = self.seconds(at);
            // The first of January 1970 was a Thursday.
            let week = (seconds + 3 * DAY).rem_euclid(7 * DAY) as f64 / (7 * DAY) as f64;
            let day = seconds.rem_euclid(DAY) as f64 / DAY as f64;
            let year = seconds as f64 / (365.2425 * DAY as f64);
            let [day, week, year] = [day, week, year].map(|turns| [(turns * TAU).sin(), (turns * TAU).cos()]);
            let (first, last) = (first as f64, last as f64);
            let age = 2.0 * (seconds as f64 - first) / (last - first).max(1.0) - 1.0;
            [age, day[0], day[1], week[0], week[1], year[0], year[1]].map(|number| number as f32)
        };
        (0..count).flat_map(of_value).collect()
    }
}

/// Refuses a last timestamp that is not one interval behind the one before it: what was expected, and what was found.
fn check_interval(stamps: &[i64]) -> std::result::Result<(), (String, String)> {
    let [.., before, last] = *stamps else { return Ok(()) };
    let step = last - before;
    let interval = stamps[1] - stamps[0];
    match step {
        0 => Err(("one of its own".to_owned(), "that of the line before".to_owned())),
        _ if step < 0 => Err(("a later one than before".to_owned(), format!("{} s earlier", -step))),
        _ if step != interval => {
            Err((format!("{interval} s after the one before, as at first"), format!("{step} s after it")))
        }
        _ => Ok(()),
    }
}

/// A field of a file, without the blanks and the quotes around it.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field)
}

/// The `rho` quantile loss of forecasts, as it is reported (Li et al., arXiv 1907.00235, appendix): twice the sum of `rho (z - f)` where the truth `z`
/// is above the forecast `f` and `(1 - rho) (f - z)` where it is below, for each of the sum of all `|z|`.
pub fn quantile_loss(truth: &[f32], forecast: &[f32], rho: f64) -> f64 {
    let pairs = truth.iter().zip(forecast).map(|(&z, &f)| (f64::from(z), f64::from(f)));
    let losses = pairs.map(|(z, f)| if z > f { rho * (z - f) } else { (1.0 - rho) * (f - z) });
    let total: f64 = truth.iter().map(|&z| f64::from(z).abs()).sum();
    2.0 * losses.sum::<f64>() / total.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_read_with_its_covariates() {
        let text = "timestamp,value\n2000-06-05 00:00,3\n2000-06-05 06:00,4.5\n\n2000-06-05 12:00,-1\n";
        let series = Series::read("a.csv", text.as_bytes()).unwrap();
        assert_eq!((series.values(), series.interval()), (&[3.0, 4.5, -1.0][..], 21_600));
        assert_eq!((series.a_day(), series.a_week()), (Some(4), Some(28)));
        assert_eq!(series.timestamp(5), "2000-06-06 06:00:00");
        // Others read it with the ages that they know.
        let longer = series.covariates_within([series.span()[0], series.span()[1] + 2 * 21_600], 5);
        let ages: Vec<f32> = longer.chunks(COVARIATES).map(|of_value| of_value[0]).collect();
        assert_eq!(ages, [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(longer[1..COVARIATES], series.covariates()[1..COVARIATES]);
        let quoted = text.replace("2000", "\"2000").replace(",", "\",").replace("timestamp", "\"timestamp");
        let quoted = Series::read("a.csv", quoted.as_bytes());
        assert_eq!(quoted.unwrap(), series);
        let every = |hours: i64| Series { start: 0, interval: hours * 3600, values: vec![0.0; 2] };
        let cycles = |hours| (every(hours).a_day(), every(hours).a_week());
        // Seven hours add up to a week and to no day, nor do eleven to either.
        assert_eq!([7, 11, 48].map(cycles), [(None, Some(24)), (None, None), (None, None)]);
        let covariates = series.covariates();
        assert_eq!(covariates.len(), 3 * COVARIATES);
        // It was a Monday.
        let expected = [-1.0, 0.0, 1.0, 0.0, 1.0];
        assert!(
            covariates.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6),
            "{covariates:?}"
        );
        assert!((covariates[COVARIATES + 1] - 1.0).abs() < 1e-6 && covariates[COVARIATES].abs() < 1e-6);
    }

    #[test]
    fn gaps_repeated_stamps_and_what_is_no_number_are_refused_with_their_line() {
        for (rows, expected) in [
            (
                "2000-01-01,1\n2000-01-02,2\n2000-01-04,3",
                "a.csv line 4: timestamp: expected 86400 s after the one before, as at first, found 172800 s after it",
            ),
            (
                "2000-01-01,1\n2000-01-01,2",
                "a.csv line 3: timestamp: expected one of its own, found that of the line before",
            ),
            (
                "2000-01-02,1\n2000-01-01,2",
                "a.csv line 3: timestamp: expected a later one than before, found 86400 s earlier",
            ),
            ("2000-01-01,1\nx,2", "a.csv line 3: timestamp: expected YYYY-MM-DD HH:MM:SS, found `x`"),
            ("2000-01-01,1\n2000-01-02,NaN", "a.csv line 3: value: expected a number, found `NaN`"),
            ("2000-01-01;1", "a.csv line 2: columns: expected a timestamp and a value, found `2000-01-01;1`"),
            ("2000-01-01,1", "a.csv line 1: values: expected at least two, found 1"),
        ] {
            let error = Series::read("a.csv", format!("timestamp,value\n{rows}\n").as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Config, expected.to_owned()));
        }
        assert!(Series::read("a.csv", b"").unwrap_err().to_string().contains("expected timestamp,value"));
        assert!(
            Series::read("a.csv", b"timestamp,value\n\xff")
                .unwrap_err()
                .to_string()
                .starts_with("a.csv line 2")
        );
    }

    #[test]
    fn quantile_losses_are_those_by_hand() {
        assert!((quantile_loss(&[2.0, 4.0], &[1.0, 6.0], 0.9) - 2.0 * (0.9 + 0.2) / 6.0).abs() < 1e-6);
        assert!((quantile_loss(&[2.0, 4.0], &[1.0, 6.0], 0.5) - 0.5).abs() < 1e-6);
    }
}
