//! The activations by name, for ops that apply one to their result before they store it.

use super::{gelu, gelu_tanh, relu, sigmoid, silu, tanh};
use crate::kernel::{Source, wgsl};
use crate::tensor::Real;

/// An elementwise function that other ops apply on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`
    #[default]
    Identity,
    /// [`super::gelu()`], the exact form.
    Gelu,
    /// [`super::gelu_tanh()`].
    GeluTanh,
    /// [`super::relu()`].
    Relu,
    /// [`super::sigmoid()`].
    Sigmoid,
    /// [`super::silu()`], also called swish.
    Silu,
    /// [`super::tanh()`].
    Tanh,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 7] =
        [Self::Identity, Self::Gelu, Self::GeluTanh, Self::Relu, Self::Sigmoid, Self::Silu, Self::Tanh];

    /// The specification, for one element.
    pub(in crate::ops) fn at<R: Real>(self, x: R) -> R {
        match self {
            Self::Identity => x,
            Self::Gelu => gelu::at(x),
            Self::GeluTanh => gelu_tanh::at(x),
            Self::Relu => relu::at(x),
            Self::Sigmoid => sigmoid::at(x),
            Self::Silu => silu::at(x),
            Self::Tanh => tanh::at(x),
        }
    }

    /// The files of the WGSL function `apply`.
    pub(in crate::ops) fn apply(self) -> &'static [Source] {
        match self {
            Self::Identity => &[wgsl!("elementwise/identity.wgsl")],
            Self::Gelu => &gelu::APPLY,
            Self::GeluTanh => &gelu_tanh::APPLY,
            Self::Relu => &relu::APPLY,
            Self::Sigmoid => &sigmoid::APPLY,
            Self::Silu => &silu::APPLY,
            Self::Tanh => &tanh::APPLY,
        }
    }
}
