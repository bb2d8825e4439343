//! Running sums along an axis, whole or by segments.

#[cfg(feature = "check")]
mod cases;

use super::scan::{Scan, Segments};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand};
use crate::ops::contract::Contract;
use crate::ops::layout::check_axis;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "index/cumulative_sum";

/// How [`cumulative_sum`] sums. The default is inclusive, forward and over the whole axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CumulativeSum {
    exclusive: bool,
    reverse: bool,
    segments: Option<(Value, Boundaries)>,
}

/// What the elements of a value of segments say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boundaries {
    Ids,
    Flags,
}

impl CumulativeSum {
    /// Inclusive, forward, over the whole axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The element itself does not count: the first sum is 0.
    #[must_use]
    pub fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }

    /// From the last element to the first.
    #[must_use]
    pub fn reverse(self) -> Self {
        Self { reverse: true, ..self }
    }

    /// Sums start anew where `ids` change along the axis: neighbours of equal id are a segment. The same id further on is another segment.
    ///
    /// `ids`, i32 or u32, have the shape `[extent of the axis]`, or that of `x` up to and with the axis.
    #[must_use]
    pub fn by_ids(self, ids: Value) -> Self {
        Self { segments: Some((ids, Boundaries::Ids)), ..self }
    }

    /// A segment begins at each element of `flags` that is not 0; in either direction sums stay within segments. Shapes and types are
    /// those of [`CumulativeSum::by_ids`].
    #[must_use]
    pub fn by_flags(self, flags: Value) -> Self {
        Self { segments: Some((flags, Boundaries::Flags)), ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Scanned {
    axis: usize,
    exclusive: bool,
    reverse: bool,
    boundaries: Option<Boundaries>,
    /// The type of `x`, which integers wrap in.
    dtype: DType,
}

/// Running sums of `x: [.., length, ..]`, of any type, along `axis`: `y[i] = x[0] + .. + x[i]`, of the same shape and type.
///
/// Sums of floats are f32 whatever the storage; integers wrap. An axis of extent 0 gives an empty result. Fails when there is no such axis,
/// or the segments' shape or type does not fit.
pub fn cumulative_sum(graph: &mut Graph, x: Value, axis: usize, spec: &CumulativeSum) -> Result<Value> {
    let CumulativeSum { exclusive, reverse, segments } = *spec;
    let boundaries = segments.map(|(_, boundaries)| boundaries);
    let op = Scanned { axis, exclusive, reverse, boundaries, dtype: graph.desc(x)?.dtype };
    let inputs: Vec<Value> = [x].into_iter().chain(segments.map(|(value, _)| value)).collect();
    graph.push_builtin_one(op, &inputs)
}

impl Scanned {
    /// `x` as `[outer, length, inner]`.
    fn extents(&self, dims: &[usize]) -> [usize; 3] {
        let product = |dims: &[usize]| dims.iter().product();
        [product(&dims[..self.axis]), dims[self.axis], product(&dims[self.axis + 1..])]
    }

    fn wrapped(&self, sum: i64) -> i64 {
        if self.dtype == DType::U32 { (sum as u32).into() } else { (sum as i32).into() }
    }
}

impl Op for Scanned {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let names: &[&str] = if self.boundaries.is_some() { &["x", "segments"] } else { &["x"] };
        contract.count(inputs, names)?;
        let x = &inputs[0];
        check_axis(&contract, self.axis, x)?;
        if let Some(segments) = inputs.get(1) {
            contract.integer("segments", segments)?;
            let (found, until_axis) = (segments.shape.dims(), &x.shape.dims()[..=self.axis]);
            if found != until_axis && found != &until_axis[self.axis..] {
                let expected = format!("[{}] or {}", until_axis[self.axis], crate::Shape::from(until_axis));
                return Err(contract.shape_error("segments").expecting(expected).but_found(&segments.shape));
            }
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let [outer, length, inner] = self.extents(x.dims());
        let begins = |outer: usize, place: usize| {
            let Some(segments) = inputs.get(1).filter(|_| place > 0 && place < length) else { return false };
            let first = if segments.indices().len() == length { 0 } else { outer * length };
            let at = |place: usize| segments.indices()[first + place];
            match self.boundaries {
                Some(Boundaries::Flags) => at(place) != 0,
                _ => at(place) != at(place - 1),
            }
        };
        let (mut reals, mut indices) = (x.reals().to_vec(), x.indices().to_vec());
        for column in 0..outer * inner {
            let (outer, inner_place) = (column / inner, column % inner);
            let (mut sum, mut integer_sum) = (R::zero(), 0_i64);
            for step in 0..length {
                let place = if self.reverse { length - 1 - step } else { step };
                if begins(outer, if self.reverse { place + 1 } else { place }) {
                    (sum, integer_sum) = (R::zero(), 0);
                }
                let at = (outer * length + place) * inner + inner_place;
                if let Some(y) = reals.get_mut(at) {
                    let before = sum;
                    sum += *y;
                    *y = if self.exclusive { before } else { sum };
                }
                if let Some(y) = indices.get_mut(at) {
                    let before = integer_sum;
                    integer_sum = self.wrapped(integer_sum + *y);
                    *y = if self.exclusive { before } else { integer_sum };
                }
            }
        }
        let shape = x.shape().clone();
        vec![if indices.is_empty() { Array::real(shape, reals) } else { Array::index(shape, indices) }]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let extents = self.extents(x.shape.dims());
        let segments = self.boundaries.zip(step.inputs.get(1)).map(|(boundaries, desc)| Segments {
            operand: Operand::Input(1),
            dtype: desc.dtype,
            flags: boundaries == Boundaries::Flags,
            shared: desc.shape.rank() == 1,
        });
        let Self { exclusive, reverse, .. } = *self;
        let scan = Scan { dtype: x.dtype, extents, exclusive, reverse, segments };
        let (dispatches, scratch) =
            scan.dispatches(NAME, (Operand::Input(0), Operand::Output(0)), 0, caps)?;
        let [outer, length, inner] = extents;
        let kernel =
            if dispatches.len() > 1 { "chunks, each by an invocation" } else { "an invocation a column" };
        let reason = format!("{} columns of {length}", outer * inner);
        Ok(Lowered::streaming(kernel, reason, dispatches, scratch))
    }

    /// `dx[j]` sums the `dy[i]` whose sums `x[j]` is part of: those from `j` on, or up to `j` where the sum was reversed.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let segments = adjoint.inputs().get(1).copied();
        crate::ops::upstream::to_input(adjoint, |upstream| {
            let inputs: Vec<Value> = [upstream].into_iter().chain(segments).collect();
            graph.push_builtin_one(Self { reverse: !self.reverse, ..*self }, &inputs)
        })
    }
}
