//! Lowering of the delta rule: what the forward pass has added, again, then its gradients from behind, then the gradients of all that reads it or
//! is written with it, as of linear attention.

use super::super::kernels::{Finish, Frame, Pass, RowVector, Rows, Stands, Sums, Vector};
use super::kernels::Steps;
use super::{LinearBackward, REQUIRED};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::Operand;

/// `x` and `y` are features, `v` the values and `n` the upstream gradients of rows.
pub(super) fn lower(
    op: &LinearBackward,
    step: &StepDesc,
    frame: &mut Frame<'_>,
    [x, y, v, n]: [Rows; 4],
) -> Result<()> {
    let (rule, dims, first) = (&op.rule, frame.dims, op.required());
    let Some(erase) = rule.erase_at(first) else { return Ok(()) };
    let of_keys = Sums {
        of_keys: true,
        near: y,
        far: v,
        vector: Vector::None,
        is_weighted: false,
        transposed: false,
        given: rule.state_at(first).map(|sums| (Operand::Input(sums), None)),
        last: None,
    };
    let forward = frame.added(erase, &of_keys)?;
    let r = forward.added;
    let states = frame.turned(forward.states, dims.head_size, dims.value_size)?;
    let d_first = rule.has_state && step.wanted[REQUIRED];
    let of_queries = Sums {
        of_keys: false,
        near: x,
        far: n,
        given: op.has_d_state.then(|| (Operand::Input(op.d_state_at()), None)),
        last: d_first.then_some((Operand::Output(REQUIRED), None)),
        ..of_keys
    };
    let read_within = Rows::padded(frame.scratch_rows(dims.value_size), dims.value_size);
    frame.gather(&Pass {
        rows_are_keys: true,
        near_channels: true,
        ..pass("attention/linear_backward/added", [y, x, n], read_within)
    })?;
    let (dr, d_states) = frame.added_back(&forward, read_within, &of_queries)?;
    let d_states = frame.turned(d_states, dims.head_size, dims.value_size)?;
    let result = |output: usize| {
        let size = if output == 2 { dims.value_size } else { dims.head_size };
        Rows::plain(Operand::Output(output), step.inputs[0].dtype, size)
    };
    let steps = Steps::of(op, step);
    if step.wanted[0] || steps.wants(0) {
        let scaled =
            Rows { scale: rule.scale, ..Rows::plain(Operand::Input(0), frame.dtype, dims.head_size) };
        let (rows, finish) = match steps.first {
            None => (result(0), Finish::ThroughFeatures(scaled)),
            Some(_) => {
                (Rows::padded(frame.scratch_query_rows(dims.head_size), dims.head_size), Finish::AsItIs)
            }
        };
        frame.gather(&Pass {
            is_strict: steps.first.is_some(),
            states: Stands::before(states),
            finish,
            ..pass("attention/linear_backward/queries", [n, r, y], rows)
        })?;
        steps.put(frame, step, false, [x, y, r, n], rows)?;
    }
    let e = Rows::plain(Operand::Input(erase), frame.dtype, dims.head_size);
    if step.wanted[1] || steps.wants(1) {
        let of_later_keys = Rows::padded(frame.scratch_rows(dims.head_size), dims.head_size);
        frame.with_keys_as_queries(|frame| {
            frame.gather(&Pass {
                rows_are_keys: true,
                is_strict: true,
                ..pass("attention/linear_backward/later_keys", [r, dr, e], of_later_keys)
            })
        })?;
        let rows = match steps.first {
            None => result(1),
            Some(_) => Rows::padded(frame.scratch_rows(dims.head_size), dims.head_size),
        };
        frame.gather(&Pass {
            rows_are_keys: true,
            is_strict: steps.first.is_some(),
            states: Stands::behind(d_states),
            finish: Finish::Less(of_later_keys),
            ..pass("attention/linear_backward/keys", [r, n, x], rows)
        })?;
        steps.put(frame, step, true, [x, y, r, n], rows)?;
    }
    if step.wanted[2] {
        frame.put_rows(dr, result(2))?;
    }
    let of_erase = op.erase_at();
    if step.wanted[of_erase] {
        frame.with_keys_as_queries(|frame| {
            frame.gather(&Pass {
                is_strict: true,
                states: Stands::before(states),
                finish: Finish::Negated,
                ..pass("attention/linear_backward/reads", [dr, r, y], result(of_erase))
            })
        })?;
    }
    Ok(())
}

/// Rows of queries that gather from other rows of their chunk alone.
fn pass(label: &'static str, [near, far, summed]: [Rows; 3], result: Rows) -> Pass {
    Pass {
        label,
        rows_are_keys: false,
        is_strict: false,
        near_channels: false,
        near,
        far,
        summed,
        states: Stands::default(),
        row_vector: RowVector::None,
        has_denominator: false,
        row_addends: false,
        column_addends: false,
        result,
        finish: Finish::AsItIs,
        denominators: None,
    }
}
