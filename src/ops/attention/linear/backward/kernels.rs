//! Lowering: the upstream gradients of numerators and denominators; then, as far as they are read, the gradients of queries from the states
//! of keys, and those of keys and values from the states of queries, which are computed from the last chunk to the first.

use super::super::kernels::{Finish, Frame, Own, Pass, RowVector, Rows, Sums, Vector};
use super::super::settings::Denominator;
use super::delta;
use super::{D_OUT, FORWARD_DENOMINATOR, FORWARD_OUT, LinearBackward, NAME, REQUIRED};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct UpstreamParams {
        addends: u32,
        eps: f32,
    }
}

pub(super) fn lower(op: &LinearBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let rule = &op.rule;
    let mut frame = Frame::new(NAME, rule, step, op.required(), rule.is_normalised(), caps)?;
    let (x, y, v) = (frame.features(0)?, frame.features(1)?, frame.values());
    let n = upstream(op, &mut frame)?;
    if rule.is_delta {
        delta::lower(op, step, &mut frame, [x, y, v, n])?;
        return Ok(frame.finish());
    }
    let steps = Steps::of(op, step);
    let mut gradients = Gradients { op, step, steps, frame, x, y, v, n };
    if step.wanted[0] || steps.wants(0) {
        gradients.queries()?;
    }
    gradients.keys_and_state()?;
    if step.wanted[2] {
        gradients.values()?;
    }
    Ok(gradients.frame.finish())
}

/// The gradients of queries, keys, values and the given state, without the delta rule.
struct Gradients<'a> {
    op: &'a LinearBackward,
    step: &'a StepDesc,
    steps: Steps,
    frame: Frame<'a>,
    /// Features of queries and of keys.
    x: Rows,
    y: Rows,
    v: Rows,
    /// The gradients of the rows' numerators.
    n: Rows,
}

impl Gradients<'_> {
    fn queries(&mut self) -> Result<()> {
        let Self { op, y, v, n, .. } = *self;
        let rule = &op.rule;
        let given = rule.state_at(op.required()).map(Operand::Input);
        let keys = Sums {
            of_keys: true,
            near: v,
            far: y,
            vector: self.vector(),
            is_weighted: false,
            transposed: true,
            given: given.map(|sums| (sums, rule.normalizer_at(op.required()).map(Operand::Input))),
            last: None,
        };
        let states = self.frame.states(&keys, false, true)?;
        let is_normalised = rule.is_normalised();
        let (result, finish) = self.ends(false);
        let pass = Pass {
            label: "attention/linear_backward/queries",
            rows_are_keys: false,
            is_strict: self.steps.first.is_some(),
            near_channels: false,
            near: n,
            far: v,
            summed: y,
            states,
            row_vector: if is_normalised { RowVector::Weighted } else { RowVector::None },
            has_denominator: false,
            row_addends: is_normalised,
            column_addends: false,
            result,
            finish,
            denominators: None,
        };
        self.frame.gather(&pass)?;
        self.own(false, result)
    }

    /// The gradients of keys and of the state before the first key: both follow from the states of queries.
    fn keys_and_state(&mut self) -> Result<()> {
        let Self { op, step, x, v, n, .. } = *self;
        let rule = &op.rule;
        let is_normalised = rule.is_normalised();
        let first = REQUIRED..REQUIRED + rule.state_parts();
        let wants_state = rule.has_state && first.clone().any(|output| step.wanted[output]);
        let wants_keys = step.wanted[1] || self.steps.wants(1);
        if !wants_keys && !wants_state {
            return Ok(());
        }
        let d_first =
            (Operand::Output(first.start), is_normalised.then_some(Operand::Output(first.start + 1)));
        let queries = Sums {
            of_keys: false,
            near: n,
            far: x,
            vector: self.vector(),
            is_weighted: true,
            transposed: true,
            given: self.d_state(),
            last: wants_state.then_some(d_first),
        };
        let states = self.frame.states(&queries, true, wants_keys)?;
        if !wants_keys {
            return Ok(());
        }
        let (result, finish) = self.ends(true);
        let pass = Pass {
            label: "attention/linear_backward/keys",
            rows_are_keys: true,
            is_strict: self.steps.first.is_some(),
            near_channels: false,
            near: v,
            far: n,
            summed: x,
            states,
            row_vector: if is_normalised { RowVector::Once } else { RowVector::None },
            has_denominator: false,
            row_addends: false,
            column_addends: is_normalised,
            result,
            finish,
            denominators: None,
        };
        self.frame.gather(&pass)?;
        self.own(true, result)
    }

    fn values(&mut self) -> Result<()> {
        let Self { x, y, n, .. } = *self;
        let queries = Sums {
            of_keys: false,
            near: x,
            far: n,
            vector: Vector::None,
            is_weighted: false,
            transposed: false,
            given: self.d_state().map(|(sums, _)| (sums, None)),
            last: None,
        };
        let states = self.frame.states(&queries, true, true)?;
        let pass = Pass {
            label: "attention/linear_backward/values",
            rows_are_keys: true,
            is_strict: false,
            near_channels: true,
            near: y,
            far: x,
            summed: n,
            states,
            row_vector: RowVector::None,
            has_denominator: false,
            row_addends: false,
            column_addends: false,
            result: self.result(2, self.frame.dims.value_size),
            finish: Finish::AsItIs,
            denominators: None,
        };
        self.frame.gather(&pass)
    }

    /// Where the gradients of queries or keys from the pairs go: through features to the output, or, where a row's own pair is added apart, to scratch.
    fn ends(&mut self, rows_are_keys: bool) -> (Rows, Finish) {
        let (side, size) = (usize::from(rows_are_keys), self.frame.dims.head_size);
        if self.steps.first.is_none() {
            return (self.result(side, size), Finish::ThroughFeatures(self.source(side)));
        }
        let scratch = match rows_are_keys {
            true => self.frame.scratch_rows(size),
            false => self.frame.scratch_query_rows(size),
        };
        (Rows::padded(scratch, size), Finish::AsItIs)
    }

    /// Adds what a row's own pair gives to `others`, where decays have a gradient.
    fn own(&mut self, rows_are_keys: bool, others: Rows) -> Result<()> {
        let Self { step, steps, x, y, v, n, .. } = *self;
        steps.put(&mut self.frame, step, rows_are_keys, [x, y, v, n], others)
    }

    fn vector(&self) -> Vector {
        if self.op.rule.is_normalised() { Vector::OfColumns } else { Vector::None }
    }

    /// The upstream gradient of the state behind the last key.
    fn d_state(&self) -> Option<(Operand, Option<Operand>)> {
        self.op.has_d_state.then(|| {
            let at = self.op.d_state_at();
            (Operand::Input(at), self.op.rule.is_normalised().then_some(Operand::Input(at + 1)))
        })
    }

    /// The rows of queries or keys, and the map that features are made of them by.
    fn source(&self, input: usize) -> Rows {
        let rule = &self.op.rule;
        Rows {
            map: rule.maps[input],
            scale: if input == 0 { rule.scale } else { 1.0 },
            ..Rows::plain(Operand::Input(input), self.frame.dtype, self.frame.dims.head_size)
        }
    }

    fn result(&self, output: usize, size: usize) -> Rows {
        Rows::plain(Operand::Output(output), self.step.inputs[0].dtype, size)
    }
}

/// The outputs of a step that gradients of decays are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// That of queries; that of keys follows. None where decays have no gradient.
    pub(super) first: Option<usize>,
    wanted: [bool; 2],
    has_addends: bool,
}

impl Steps {
    pub(super) fn of(op: &LinearBackward, step: &StepDesc) -> Self {
        let first = op.steps_at();
        let wanted = [0, 1].map(|side| first.is_some_and(|first| step.wanted[first + side]));
        Self { first, wanted, has_addends: op.rule.is_normalised() }
    }

    /// Of queries, or, where `side` is 1, of keys.
    pub(super) fn wants(&self, side: usize) -> bool {
        self.wanted[side]
    }

    /// The gradients of queries or keys from `others`, where these are what all pairs but a row's own give, and their products.
    pub(super) fn put(
        &self,
        frame: &mut Frame<'_>,
        step: &StepDesc,
        rows_are_keys: bool,
        [x, y, v, n]: [Rows; 4],
        others: Rows,
    ) -> Result<()> {
        let Some(first) = self.first else { return Ok(()) };
        let side = usize::from(rows_are_keys);
        let label = match rows_are_keys {
            true => "attention/linear_backward/own_keys",
            false => "attention/linear_backward/own_queries",
        };
        let rows = |output, dtype| Rows::plain(Operand::Output(output), dtype, others.size);
        frame.with_own(&Own {
            label,
            rows_are_keys,
            x,
            y,
            v,
            n,
            others,
            addends: self.has_addends,
            result: step.wanted[side].then(|| rows(side, step.inputs[side].dtype)),
            products: self.wanted[side].then(|| rows(first + side, DType::F32)),
        })
    }
}

/// The gradients of the rows' numerators; those of their denominators go to the auxiliary buffer.
fn upstream(op: &LinearBackward, frame: &mut Frame<'_>) -> Result<Rows> {
    let size = frame.dims.value_size;
    let d_out = Rows::plain(Operand::Input(D_OUT), frame.dtype, size);
    let (Some(denominator), Some(aux)) = (op.rule.denominator, frame.aux()) else { return Ok(d_out) };
    let (Denominator::Plus(eps) | Denominator::AtLeast(eps)) = denominator;
    let rows = frame.dims.batch * frame.dims.query_time * frame.dims.heads;
    let lanes = if size.is_multiple_of(4) { 4 } else { 1 };
    let numerators = frame.scratch((4 * rows * size) as u64);
    let dispatch =
        Kernel::new("attention/linear_backward/upstream", [wgsl!("attention/linear/upstream.wgsl")])
            .lanes(lanes)
            .read("d_out", Operand::Input(D_OUT), frame.dtype)
            .read("out", Operand::Input(FORWARD_OUT), frame.dtype)
            .read_elements("denominator", Operand::Input(FORWARD_DENOMINATOR), DType::F32)
            .write("d_numerator", numerators, DType::F32)
            .write_elements("aux", aux, DType::U32)
            .constant("ROW_PACKS", size as u32 / lanes)
            .constant("ADDS_EPS", matches!(denominator, Denominator::Plus(_)))
            .params(UpstreamParams { addends: frame.first_addend()?, eps })
            .turns(size as u64)
            .per_element(to_u32(NAME, "rows", rows)?, frame.caps);
    frame.push(dispatch);
    Ok(Rows::plain(numerators, DType::F32, size))
}
