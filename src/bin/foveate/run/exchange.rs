//! `--attention` and `--sweep`: how far results of a model with another mechanism are from its own, and the time of both.

use std::fmt;

use foveate::models::Usage;
use foveate::nn::Mechanism;
use foveate::{HostTensor, Result};
use serde::Serialize;

use crate::args::{MECHANISM_FILE, RunArgs};
use crate::chart::{Axis, Chart, Line};
use crate::cosine::cosine;
use crate::output;

/// Characters of a family that a chart shows.
const SHOWN: usize = 80;

/// A mechanism that is tried, and which of the `--sweep` flags it is a member of, if it is of one.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) mechanism: Mechanism,
    family: Option<usize>,
}

/// What one mechanism costs and gains. Distances are those of rows: embeddings, states of tokens, scores.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    mechanism: Mechanism,
    /// The number of its `--sweep`, from 0 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<usize>,
    rows: usize,
    cosine_mean: f64,
    cosine_least: f64,
    /// The mean length of the difference, in units of the exact row's length.
    distance_mean: f64,
    running_s: f64,
    exact_running_s: f64,
    preparing_s: f64,
}

impl Comparison {
    /// The results of `mechanism` beside the exact ones, in the same order, with what both took.
    pub(super) fn of(
        Tried { mechanism, family }: Tried,
        [exact, found]: [&[HostTensor]; 2],
        [exact_usage, usage]: [Usage; 2],
    ) -> Self {
        let (mut rows, mut cosines, mut least, mut distances) = (0, 0.0, 1.0, 0.0);
        for (exact, found) in exact.iter().zip(found) {
            let width = exact.shape().dims().last().copied().unwrap_or(1).max(1);
            let (exact, found) = (exact.to_f32(), found.to_f32());
            for (exact, found) in exact.chunks(width).zip(found.chunks(width)) {
                let cosine = cosine(exact, found);
                (rows, cosines, least) = (rows + 1, cosines + cosine, f64::min(least, cosine));
                distances += distance(exact, found);
            }
        }
        let count = f64::from(u32::try_from(rows.max(1)).unwrap_or(u32::MAX));
        Self {
            mechanism,
            family,
            rows,
            cosine_mean: cosines / count,
            cosine_least: least,
            distance_mean: distances / count,
            running_s: usage.running.as_secs_f64(),
            exact_running_s: exact_usage.running.as_secs_f64(),
            preparing_s: usage.preparing.as_secs_f64(),
        }
    }
}

/// The length of the difference over that of `exact`; 0 where both are 0.
fn distance(exact: &[f32], found: &[f32]) -> f64 {
    let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let length = squares(&mut exact.iter().map(|&x| x.into()));
    let apart = squares(&mut exact.iter().zip(found).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    if apart == 0.0 { 0.0 } else { (apart / length).sqrt() }
}

/// The documents that the flags hold, or name with `@FILE`: those of `--attention`, and all members of the families of `--sweep`.
pub(super) fn tried(args: &RunArgs) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for text in &args.attention {
        let mechanism = match text.strip_prefix(MECHANISM_FILE) {
            Some(path) => Mechanism::open(path),
            None => Mechanism::parse("--attention", text.as_bytes()),
        };
        tried.push(Tried { mechanism: mechanism?, family: None });
    }
    for (number, text) in args.sweep.iter().enumerate() {
        let members = match text.strip_prefix(MECHANISM_FILE) {
            Some(path) => Mechanism::open_family(path),
            None => Mechanism::family("--sweep", text.as_bytes()),
        };
        tried.extend(members?.into_iter().map(|mechanism| Tried { mechanism, family: Some(number) }));
    }
    Ok(tried)
}

/// The mean distance of each member of a family against its time, a line for each of `families`, and the time of exact attention. What is at no
/// distance, or took no time, has no place on logarithmic axes.
pub(super) fn chart(comparisons: &[Comparison], families: &[String]) -> Result<String> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, family) in families.iter().enumerate() {
        let members = comparisons.iter().filter(|comparison| comparison.family == Some(number));
        let points = members.map(|member| (member.running_s, member.distance_mean));
        lines.push((output::one_line(family, SHOWN), points.filter(|(x, y)| *x > 0.0 && *y > 0.0).collect()));
    }
    let distances = || lines.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let (least, most) = (distances().fold(f64::INFINITY, f64::min), distances().fold(0.0, f64::max));
    let exact = comparisons.first().map_or(0.0, |comparison| comparison.exact_running_s);
    if exact > 0.0 && least <= most {
        lines.push(("time of exact attention".into(), vec![(exact, least), (exact, most)]));
    }
    let axes =
        [Axis { name: "seconds", base: 10.0 }, Axis { name: "mean distance, of exact rows", base: 10.0 }];
    let caption = "Mechanisms in the place of the model's attention".into();
    Chart { caption, axes, lines }.svg("run")
}

/// Lines of a table with a row for each mechanism.
pub(super) fn write(comparisons: &[Comparison], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(Comparison { rows, exact_running_s, .. }) = comparisons.first() else { return Ok(()) };
    let plural = if *rows == 1 { "" } else { "s" };
    writeln!(
        f,
        "other mechanisms in place of the model's attention: {rows} result{plural} compared with exact ones, which took {exact_running_s:.3} s"
    )?;
    writeln!(f, "cosine    least  distance      time  mechanism")?;
    for Comparison { mechanism, cosine_mean, cosine_least, distance_mean, running_s, .. } in comparisons {
        let shown = mechanism.to_json().map_err(|_| fmt::Error)?;
        writeln!(
            f,
            "{cosine_mean:>6.4}  {cosine_least:>7.4}  {distance_mean:>8.4}  {running_s:>6.3} s  {shown}"
        )?;
    }
    Ok(())
}
