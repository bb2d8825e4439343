//! Rotary position embedding (Su et al., "RoFormer", arXiv 2104.09864, equation 34): pairs of channels of queries and keys are turned by
//! angles proportional to their position, so that their products depend on distances alone.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::constant::constant;
use super::contract::Contract;
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, HostTensor, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "rotary";

/// Which channels of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pairing {
    /// Channels `i` and `i + n / 2` of the `n` that turn, as in GPT-NeoX and LLaMA.
    Halves,
    /// Channels `2 i` and `2 i + 1`, as in RoFormer and GPT-J.
    Interleaved,
}

/// Settings of [`rotary`].
///
/// Pair `i` of a head's `n` turning channels at position `p` turns by `p / scale * base^(-2 i / n)` radians.
#[derive(Clone, Copy, Debug)]
pub struct Rotary {
    pairing: Pairing,
    channels: Option<usize>,
    base: f64,
    scale: f64,
    offset: i32,
    positions: Option<Value>,
}

impl Rotary {
    /// All channels of a head, base 10,000, positions from 0 on.
    pub fn new(pairing: Pairing) -> Self {
        Self { pairing, channels: None, base: 10_000.0, scale: 1.0, offset: 0, positions: None }
    }

    /// Only the first `channels` of each head turn, an even number; the others stay as they are.
    #[must_use]
    pub fn channels(self, channels: usize) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// The base of the angles, above 0. To stretch positions by a factor `s` "NTK-aware", multiply it by `s^(n / (n - 2))`: the slowest pair then
    /// turns `s` times slower, and the fastest as before.
    #[must_use]
    pub fn base(self, base: f64) -> Self {
        Self { base, ..self }
    }

    /// What positions are divided by, above 0 (linear scaling; Chen et al., "Extending Context Window of Large Language Models via Positional
    /// Interpolation", arXiv 2306.15595).
    #[must_use]
    pub fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// The position of the first of `time`, where no positions are given.
    #[must_use]
    pub fn offset(self, offset: i32) -> Self {
        Self { offset, ..self }
    }

    /// The positions themselves: `i32 [batch, time]`, in any order, of any sign.
    #[must_use]
    pub fn positions(self, positions: Value) -> Self {
        Self { positions: Some(positions), ..self }
    }

    /// How many of a head's channels turn.
    fn turning(&self, channels: usize) -> usize {
        self.channels.unwrap_or(channels)
    }
}

/// Turns the channels of `x: [batch, time, heads, channels]`, f32 or f16, by the angles of their positions, as `spec` says. The result
/// has the shape and type of `x`.
///
/// Angles are exact to 1e-8 of a radian for positions up to a million, and sines and cosines to f32 rounding. Batch, time and heads may be empty.
/// The gradient is the inverse rotation. Fails when shapes or types do not fit, when the number of turning channels is odd, 0 or more than there are,
/// when base or scale are not finite and above 0, when an offset is given beside positions, or when a position would exceed i32.
pub fn rotary(graph: &mut Graph, x: Value, spec: &Rotary) -> Result<Value> {
    append(graph, x, *spec, false)
}

fn append(graph: &mut Graph, x: Value, spec: Rotary, inverse: bool) -> Result<Value> {
    let op = RotaryOp { spec, inverse };
    let channels = op.check_channels(graph.desc(x)?)?;
    // The steps of the angles are an input, so that kernels find them in memory.
    let turns = HostTensor::u32([2, channels], kernels::turns(&spec, channels, inverse))?;
    let turns = constant(graph, turns)?;
    let inputs: Vec<Value> = [x, turns].into_iter().chain(spec.positions).collect();
    graph.push_builtin_one(op, &inputs)
}

#[derive(Clone, Copy, Debug)]
struct RotaryOp {
    spec: Rotary,
    /// Whether angles are negative.
    inverse: bool,
}

impl RotaryOp {
    /// How many channels turn, after checking `x` and the settings that they depend on.
    fn check_channels(&self, x: &TensorDesc) -> Result<usize> {
        let mut contract = Contract::new(NAME).may_be_empty(&["batch", "time", "heads"]);
        contract.float("x", x)?;
        contract.bind("x", x, &["batch", "time", "heads", "channels"])?;
        let channels = contract.extent("channels");
        let turning = self.spec.turning(channels);
        if !turning.is_multiple_of(2) || !(2..=channels).contains(&turning) {
            return Err(contract
                .argument_error("channels")
                .expecting(format!("an even number, at least 2 and at most the {channels} of {}", x.shape))
                .but_found(turning));
        }
        for (argument, value) in [("base", self.spec.base), ("scale", self.spec.scale)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(contract
                    .argument_error(argument)
                    .expecting("a finite number above 0")
                    .but_found(value));
            }
        }
        Ok(turning)
    }
}

impl Op for RotaryOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let x = &inputs[0];
        let turning = self.check_channels(x)?;
        let mut contract = Contract::new(NAME).may_be_empty(&["batch", "time", "heads"]);
        contract.bind("x", x, &["batch", "time", "heads", "channels"])?;
        contract.dtype("turns", &inputs[1], DType::U32)?;
        if inputs[1].shape.dims() != [2, turning] {
            return Err(contract
                .shape_error("turns")
                .expecting(format!("[2, {turning}]"))
                .but_found(&inputs[1].shape));
        }
        match inputs.get(2) {
            Some(positions) => {
                contract.dtype("positions", positions, DType::I32)?;
                contract.bind("positions", positions, &["batch", "time"])?;
                if self.spec.offset != 0 {
                    return Err(contract
                        .argument_error("offset")
                        .expecting("positions or an offset")
                        .but_found("both"));
                }
            }
            None => {
                let time = contract.extent("time");
                let fits = i32::try_from(time).is_ok_and(|time| self.spec.offset.checked_add(time).is_some());
                if !fits {
                    return Err(contract
                        .argument_error("offset")
                        .expecting(format!("at most {} behind {time} positions", i32::MAX))
                        .but_found(self.spec.offset));
                }
            }
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs[0], inputs.get(2).copied(), &self.spec, self.inverse)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.spec, step, caps)
    }

    /// `dx` is `dy` turned back.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        // The spec's values are those of the graph it was recorded in, and this one may be a replay.
        let spec = Rotary { positions: adjoint.inputs().get(2).copied(), ..self.spec };
        upstream::to_input(adjoint, |upstream| append(graph, upstream, spec, !self.inverse))
    }
}
