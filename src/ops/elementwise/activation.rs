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
    /// The specification's derivative, for one element.
    pub(in crate::ops) fn slope_at<R: Real>(self, x: R) -> R {
        match self {
            Self::Identity => R::one(),
            Self::Gelu => gelu::slope_at(x),
            Self::GeluTanh => gelu_tanh::slope_at(x),
            Self::Relu => relu::slope_at(x),
            Self::Sigmoid => sigmoid::slope_at(x),
            Self::Silu => silu::slope_at(x),
            Self::Tanh => tanh::slope_at(x),
        }
    }

    /// The files of the WGSL function `slope`, its derivative.
    pub(in crate::ops) fn slope(self) -> &'static [Source] {
        match self {
            Self::Identity => &[wgsl!("elementwise/identity_slope.wgsl")],
            Self::Gelu => &gelu::SLOPE,
            Self::GeluTanh => &gelu_tanh::SLOPE,
            Self::Relu => &relu::SLOPE,
            Self::Sigmoid => &sigmoid::SLOPE,
            Self::Silu => &silu::SLOPE,
            Self::Tanh => &tanh::SLOPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_what_central_differences_tend_to() {
        let step = 1e-5;
        for activation in Activation::ALL {
            for x in [-30.0, -3.1, -1.0, -0.3, 1e-3, 0.4, 1.7, 2.5, 6.0, 19.99, 25.0] {
                let difference = (activation.at(x + step) - activation.at(x - step)) / (2.0 * step);
                let slope: f64 = activation.slope_at(x);
                assert!((slope - difference).abs() < 1e-8, "{activation:?} at {x}: {slope}, {difference}");
            }
        }
        assert_eq!(Activation::Relu.slope_at(0.0), 0.0);
    }

    #[test]
    fn slopes_are_finite_far_out_in_either_arithmetic() {
        for activation in Activation::ALL {
            for x in [-1e30_f64, -1e10, 1e10, 1e30] {
                let end = if x > 0.0 { activation.at(x) / x } else { 0.0 };
                let end = if activation == Activation::Identity { 1.0 } else { end };
                assert!((activation.slope_at(x) - end).abs() < 1e-9, "{activation:?} at {x}");
                assert!(
                    (activation.slope_at(x as f32) - end as f32).abs() < 1e-9,
                    "{activation:?} at {x} in f32"
                );
            }
        }
    }
}
