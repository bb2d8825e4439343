//! Fewer keys than there are: the rows of the table of `mechanisms.rs` about Linformer and Nyström attention.

use foveate::Value;
use foveate::ops::attention::{
    InverseStart, Linformer, Nystrom, PaddedLandmarks, Segments, linformer, nystrom,
};

use crate::Result;
use crate::case::Case;
use crate::compare::Rows;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("Linformer (2006.04768)", projected),
    row("Nystrom attention (2102.03902)", through_landmarks),
    row("Nystrom attention with landmarks >= T", through_landmarks),
];

/// Which heads, keys and values share a projection, their shapes say, too.
fn projected(case: &mut Case<'_>) -> Result<()> {
    case.file.spec.pass_over(&["sharing", "N"]);
    let mut spec = Linformer::new().scale(case.file.spec.number("scale")?);
    let [query, key, value] = case.inputs(["q", "k", "v"])?;
    if case.file.tensors.find("length").is_some() {
        spec = spec.lengths(case.input("length")?);
    }
    let of_keys = case.input("e")?;
    let of_values = if case.file.spec.texts("inputs")?.contains(&"f") { case.input("f")? } else { of_keys };
    let projections = [of_keys, of_values];
    let out = linformer(&mut case.recording.graph, query, key, value, projections, &spec)?;
    case.output("out", out)
}

/// What a text of the spec begins with, and what it means; `other` where the spec has none.
fn meaning<T: Copy>(case: &Case<'_>, key: &str, known: &[(&str, T)], other: T) -> Result<T> {
    if case.file.spec.find(key).is_none() {
        return Ok(other);
    }
    let text = case.file.spec.text(key)?;
    let found = known.iter().find(|(begin, _)| text.starts_with(begin));
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| format!("this test does not know `{key}`: {text}").into())
}

fn through_landmarks(case: &mut Case<'_>) -> Result<()> {
    let counts = ["landmarks", "iterations"].map(|key| case.file.spec.count(key).map(|count| count as usize));
    let [landmarks, iterations] = counts;
    let (landmarks, scale) = (landmarks?, case.file.spec.number("scale")?);
    let mut spec = Nystrom::new(landmarks).scale(scale);
    // Exact attention has none.
    if case.file.spec.find("iterations").is_some() {
        spec = spec.iterations(iterations?);
    }
    case.file.spec.pass_over(&["sensitivity", "residual"]);
    spec = spec.start(meaning(
        case,
        "init",
        &[("per ", InverseStart::OfHead), ("batch", InverseStart::OfBatch)],
        InverseStart::OfHead,
    )?);
    let time = case.file.tensors.get("q")?.shape().dims()[1];
    let in_front = time.next_multiple_of(landmarks) - time;
    let in_front = format!(
        "{in_front} zero rows are put in FRONT of q, k and v so that landmarks divide the length, and are "
    );
    let segments = meaning(
        case,
        "padding",
        &[
            (&format!("{in_front}NOT masked"), Segments::FrontPadded),
            (&format!("{in_front}masked"), Segments::FrontPaddedMasked),
        ],
        Segments::OfTime,
    )?;
    spec = spec.segments(meaning(case, "segments", &[("official T2T rule", Segments::OfTime)], segments)?);
    let [query, key, value] = case.inputs(["q", "k", "v"])?;
    let mut rows = Rows::All;
    if case.file.tensors.find("length").is_some() {
        let time = case.dims(query)?[1];
        let padded = meaning(
            case,
            "mask",
            &[
                ("tokens t >= length[b] are padding: out of the landmark means", PaddedLandmarks::Dropped),
                ("as nystrom_attention 0.0.14", PaddedLandmarks::Uniform),
                ("as the authors' LRA code", PaddedLandmarks::Zeroed),
            ],
            PaddedLandmarks::Averaged,
        )?;
        if padded != PaddedLandmarks::Dropped {
            rows = Rows::below(case.file.tensors.get("length")?, time, 1);
        }
        spec = spec.padded(padded).lengths(case.input("length")?);
    }
    let names = case.file.spec.texts("inputs")?;
    if names.contains(&"conv") {
        let kernels: Value = case.input("conv")?;
        spec = spec.convolution(kernels);
    }
    let out = nystrom(&mut case.recording.graph, query, key, value, &spec)?;
    case.output_rows("out", out, rows)
}
