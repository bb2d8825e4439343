//! Lowering: an invocation for each position and pack of channels finds its sine and cosine once, and turns the pack in every head.
//!
//! Angles are products of integers: a position times the part of a turn that a pair turns from one position to the next, in units of 2^-64 of
//! a turn, of which the lower 64 bits are what is left beyond whole turns. f32 could not even hold the angle: at position 1e6 its neighbours
//! are 0.06 radians apart.

use std::f64::consts::TAU;

use super::{NAME, Pairing, Rotary};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Generated, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    /// Widths in packs.
    struct RotaryParams {
        time: u32,
        heads: u32,
        /// Of a head.
        width: u32,
        /// Of the turning channels.
        rotated: u32,
        /// From a pack to the other of its pairs; 0 within a pack.
        reach: u32,
        offset: i32,
    }
}

/// The part of a turn from one position to the next, of each turning channel, in units of 2^-64 of a turn: all upper words, then all lower ones.
/// A channel becomes `channel * cos + partner * sin`, so the first of a pair turns the other way than the second.
pub(super) fn turns(spec: &Rotary, channels: usize, inverse: bool) -> Vec<u32> {
    let turns = |channel: usize| {
        let (pair, is_first) = match spec.pairing {
            Pairing::Halves => (channel % (channels / 2), channel < channels / 2),
            Pairing::Interleaved => (channel / 2, channel.is_multiple_of(2)),
        };
        let exponent = -2.0 * pair as f64 / channels as f64;
        let turns = spec.base.powf(exponent) / spec.scale / TAU;
        // Whole turns change nothing.
        let turns = (turns.fract() * (u64::MAX as f64 + 1.0)) as u64;
        if is_first == inverse { turns } else { turns.wrapping_neg() }
    };
    let turns: Vec<u64> = (0..channels).map(turns).collect();
    let words = |shift: u32| turns.iter().map(move |turns| (turns >> shift) as u32);
    words(32).chain(words(0)).collect()
}

pub(super) fn lower(spec: &Rotary, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let x = &step.inputs[0];
    let [batch, time, heads, channels] = [0, 1, 2, 3].map(|axis| x.shape.dims()[axis]);
    let turning = spec.turning(channels);
    let reach = match spec.pairing {
        Pairing::Halves => turning / 2,
        Pairing::Interleaved => 1,
    };
    let within_packs = spec.pairing == Pairing::Interleaved;
    let whole = |channels: usize| channels.is_multiple_of(4);
    let lanes = if whole(channels) && whole(turning) && (within_packs || whole(reach)) { 4 } else { 1 };
    let packs = |what, channels: usize| to_u32(NAME, what, channels / lanes);
    let params = RotaryParams {
        time: to_u32(NAME, "time", time)?,
        heads: to_u32(NAME, "heads", heads)?,
        width: packs("channels", channels)?,
        rotated: packs("channels", turning)?,
        // Within a pack there is no way to the partner.
        reach: packs("channels", reach)?,
        offset: spec.offset,
    };
    // A head's channels once for all heads.
    let count = if heads == 0 { 0 } else { batch * time * channels };
    let positions = (step.inputs.len() > 2).then_some(Operand::Input(2));
    let lanes = lanes as u32;
    let dispatch = Kernel::new(NAME, [wgsl!("rotary/rotary.wgsl"), wgsl!("rotary/turns.wgsl")])
        .read_if("positions", positions, DType::I32)
        .constant("HAS_POSITIONS", positions.is_some())
        .lanes(lanes)
        .read("x", Operand::Input(0), x.dtype)
        .read("turns", Operand::Input(1), DType::U32)
        .write("result", Operand::Output(0), x.dtype)
        .alias("Words", DType::U32)
        .alias("SignedWords", DType::I32)
        .generated([swapped(lanes)])
        .params(params)
        .turns(u64::from(params.heads.max(1)))
        .per_element(packs("elements", count)?, caps);
    Ok(Lowered::elementwise(dispatch, lanes))
}

/// Pairs of neighbours in a pack, swapped.
fn swapped(lanes: u32) -> Generated {
    let swapped = if lanes == 4 { "x.yxwz" } else { "x" };
    let text = format!("fn swapped(x: Lanes) -> Lanes {{\n    return {swapped};\n}}\n");
    Generated { label: "(pairs within packs)".into(), text, by_user: false }
}
