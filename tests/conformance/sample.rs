//! Which tests a run takes: all of them take hours on a software rasterizer, a sample that changes from day to day minutes.

use std::time::{SystemTime, UNIX_EPOCH};

/// The environment variable that sets the sample.
const VARIABLE: &str = "FOVEATE_SAMPLE";

/// A choice of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Every test.
    All,
    /// Every n-th test of each kind, n being the kind's own; as many numbers in a row as the largest n take every test.
    Number(u64),
    /// Every n-th test of all, from the k-th on.
    Part(u64, u64),
}

impl Sample {
    /// `FOVEATE_SAMPLE`: `all`, a number, or `k/n` with `k` below `n`. Without it the number of days since 1970.
    pub(crate) fn from_environment() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                format!("{VARIABLE}: expected `all`, a number, or k/n with k below n, found `{text}`")
            }),
            Err(_) => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
                Ok(Self::Number(time.as_secs() / (24 * 60 * 60)))
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        match text.split_once('/') {
            None => text.parse().ok().map(Self::Number),
            Some((k, n)) => {
                let (k, n) = (k.parse().ok()?, n.parse().ok()?);
                (k < n).then_some(Self::Part(k, n))
            }
        }
    }

    /// Whether the sample has the test at `place` of a kind of which it has every `period`-th.
    pub(crate) fn takes(self, place: u64, period: u64) -> bool {
        match self {
            Self::All => true,
            Self::Number(number) => place % period == number % period,
            Self::Part(k, n) => place % n == k,
        }
    }

    /// How to get the same tests again.
    pub(crate) fn setting(self) -> String {
        match self {
            Self::All => format!("{VARIABLE}=all"),
            Self::Number(number) => format!("{VARIABLE}={number}"),
            Self::Part(k, n) => format!("{VARIABLE}={k}/{n}"),
        }
    }
}
