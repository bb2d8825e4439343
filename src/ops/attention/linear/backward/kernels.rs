//! Lowering: what each row of queries adds to its scores, then, as far as anybody reads them, the gradients of queries from the states of
//! keys, and those of keys and values from the states of queries, which are walked from behind.

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
    let dims = frame.dims;
    let is_normalised = rule.is_normalised();
    let vector = if is_normalised { Vector::OfColumns } else { Vector::None };
    let source = |input: usize| Rows {
        map: rule.maps[input],
        scale: if input == 0 { rule.scale } else { 1.0 },
        ..Rows::plain(Operand::Input(input), frame.dtype, dims.head_size)
    };
    let (query, key) = (source(0), source(1));
    let result = |output: usize, size| Rows::plain(Operand::Output(output), step.inputs[0].dtype, size);
    if rule.is_delta {
        delta::lower(op, step, &mut frame, [x, y, v, n])?;
        return Ok(frame.finish());
    }

    let steps = Steps::of(op, step);
    if step.wanted[0] || steps.wants(0) {
        let given = rule.state_at(op.required()).map(Operand::Input);
        let keys = Sums {
            of_keys: true,
            near: v,
            far: y,
            vector,
            is_weighted: false,
            transposed: true,
            given: given.map(|sums| (sums, rule.normalizer_at(op.required()).map(Operand::Input))),
            last: None,
        };
        let states = frame.states(&keys, false, true)?;
        let ends = match steps.first {
            None => (result(0, dims.head_size), Finish::ThroughFeatures(query)),
            Some(_) => {
                (Rows::padded(frame.scratch_query_rows(dims.head_size), dims.head_size), Finish::AsItIs)
            }
        };
        frame.gather(&Pass {
            label: "attention/linear_backward/queries",
            rows_are_keys: false,
            is_strict: steps.first.is_some(),
            near_channels: false,
            near: n,
            far: v,
            summed: y,
            states,
            row_vector: if is_normalised { RowVector::Weighted } else { RowVector::None },
            has_denominator: false,
            row_addends: is_normalised,
            column_addends: false,
            result: ends.0,
            finish: ends.1,
            denominators: None,
        })?;
        steps.put(&mut frame, step, false, [x, y, v, n], ends.0)?;
    }
    let d_state = op.has_d_state.then(|| {
        let at = op.d_state_at();
        (Operand::Input(at), is_normalised.then_some(Operand::Input(at + 1)))
    });
    let first = REQUIRED..REQUIRED + rule.state_parts();
    let first = (rule.has_state && first.clone().any(|output| step.wanted[output]))
        .then(|| (Operand::Output(first.start), is_normalised.then_some(Operand::Output(first.start + 1))));
    let wants_keys = step.wanted[1] || steps.wants(1);
    if wants_keys || first.is_some() {
        let queries = Sums {
            of_keys: false,
            near: n,
            far: x,
            vector,
            is_weighted: true,
            transposed: true,
            given: d_state,
            last: first,
        };
        let states = frame.states(&queries, true, wants_keys)?;
        if wants_keys {
            let ends = match steps.first {
                None => (result(1, dims.head_size), Finish::ThroughFeatures(key)),
                Some(_) => (Rows::padded(frame.scratch_rows(dims.head_size), dims.head_size), Finish::AsItIs),
            };
            frame.gather(&Pass {
                label: "attention/linear_backward/keys",
                rows_are_keys: true,
                is_strict: steps.first.is_some(),
                near_channels: false,
                near: v,
                far: n,
                summed: x,
                states,
                row_vector: if is_normalised { RowVector::Once } else { RowVector::None },
                has_denominator: false,
                row_addends: false,
                column_addends: is_normalised,
                result: ends.0,
                finish: ends.1,
                denominators: None,
            })?;
            steps.put(&mut frame, step, true, [x, y, v, n], ends.0)?;
        }
    }
    if step.wanted[2] {
        let queries = Sums {
            of_keys: false,
            near: x,
            far: n,
            vector: Vector::None,
            is_weighted: false,
            transposed: false,
            given: d_state.map(|(sums, _)| (sums, None)),
            last: None,
        };
        let states = frame.states(&queries, true, true)?;
        frame.gather(&Pass {
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
            result: result(2, dims.value_size),
            finish: Finish::AsItIs,
            denominators: None,
        })?;
    }
    Ok(frame.finish())
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
