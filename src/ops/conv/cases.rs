//! What cases of both kinds of convolutions share: problems by extents and settings.

use super::{Conv1d, Conv2d, conv1d, conv2d};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::ops::elementwise::Activation;
use crate::tensor::{DType, HostTensor};

/// A convolution along time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) channels: [usize; 2],
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) padding: [usize; 2],
    pub(super) groups: usize,
    pub(super) activation: Activation,
}

/// One of a kernel of 3 in the middle of its place.
pub(super) const SAME: Along = Along {
    batch: 2,
    time: 19,
    channels: [8, 12],
    kernel: 3,
    stride: 1,
    dilation: 1,
    padding: [1, 1],
    groups: 1,
    activation: Activation::Identity,
};

impl Along {
    fn label(&self) -> String {
        let Self {
            batch,
            time,
            channels: [inner, out],
            kernel,
            stride,
            dilation,
            padding: [before, behind],
            groups,
            activation,
        } = self;
        let activation = match activation {
            Activation::Identity => String::new(),
            activation => format!(", {activation:?}"),
        };
        format!(
            "{batch} x {time}, {inner} to {out} in {groups}, {kernel} taps, stride {stride}, dilation {dilation}, padding {before} and {behind}{activation}"
        )
    }

    /// With or without bias; in segments of one to many places, where asked for.
    fn record(&self, problem: &mut Problem, dtype: DType, bias: bool, segments: bool) -> Result<Value> {
        let Self {
            batch,
            time,
            channels: [inner, out],
            kernel,
            stride,
            dilation,
            padding: [before, behind],
            groups,
            activation,
        } = *self;
        let x = problem.random("x", dtype, [batch, time, inner], 1.0)?;
        let weight = problem.random("weight", dtype, [out, inner / groups, kernel], 1.0)?;
        let mut spec = Conv1d::new()
            .stride(stride)
            .dilation(dilation)
            .padding(before, behind)
            .groups(groups)
            .activation(activation);
        if bias {
            spec = spec.bias(problem.random("bias", dtype, [out], 1.0)?);
        }
        if segments {
            let ids = (0..batch * time).map(|at| ((at % time) as f32).sqrt() as i32).collect();
            spec = spec.segments(problem.input("segments", HostTensor::i32([batch, time], ids)?)?);
        }
        conv1d(&mut problem.graph, x, weight, &spec)
    }

    /// Of both float types, with a bias where the kernel is odd.
    pub(super) fn cases(self, op: &'static str) -> Vec<Case> {
        let case = |dtype| {
            let has_bias = self.kernel % 2 == 1;
            Case::new(op, format!("{dtype} {}", self.label()), move |problem| {
                Ok(vec![self.record(problem, dtype, has_bias, false)?])
            })
        };
        [DType::F32, DType::F16].map(case).into()
    }

    pub(super) fn in_segments(self, op: &'static str) -> Case {
        Case::new(op, format!("f32 {}, in segments", self.label()), move |problem| {
            Ok(vec![self.record(problem, DType::F32, true, true)?])
        })
    }

    /// The rate of its products.
    pub(super) fn bench(self, op: &'static str, label: &'static str) -> Bench {
        let Self { batch, time, channels: [inner, out], kernel, groups, .. } = self;
        let flops = 2 * batch * time * out * inner / groups * kernel;
        Bench::new(op, label, Work::Flops(flops as u64), move |problem| {
            Ok(vec![self.record(problem, DType::F32, false, false)?])
        })
    }
}

/// A convolution in a plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct InPlane {
    /// Batch, height, width.
    pub(super) x: [usize; 3],
    pub(super) channels: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) padding: [[usize; 2]; 2],
    pub(super) groups: usize,
}

impl InPlane {
    pub(super) fn case(self, op: &'static str, label: &'static str) -> Case {
        let Self {
            x: [batch, height, width],
            channels: [inner, out],
            kernel,
            stride,
            dilation,
            padding,
            groups,
        } = self;
        Case::new(op, label, move |problem| {
            let x = problem.random("x", DType::F32, [batch, height, width, inner], 1.0)?;
            let shape = [out, inner / groups, kernel[0], kernel[1]];
            let weight = problem.random("weight", DType::F32, shape, 1.0)?;
            let bias = problem.random("bias", DType::F32, [out], 1.0)?;
            let [down, across] = padding;
            let spec = Conv2d::new()
                .stride(stride)
                .dilation(dilation)
                .padding(down, across)
                .groups(groups)
                .activation(Activation::Silu)
                .bias(bias);
            Ok(vec![conv2d(&mut problem.graph, x, weight, &spec)?])
        })
    }
}
