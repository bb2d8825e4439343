//! Conformance: every op's cases, on any device, against the f64 reference.
//!
//! A case is a small graph with seeded inputs. [`conform`] runs it and demands that
//!
//! - every element lies within a budget *derived* from the problem: twice the error that the same reference makes in f32
//!   arithmetic with every step rounded to its storage type, plus the rounding of the result itself, plus what WGSL's
//!   built-in functions may lose;
//! - the outcome does not depend on what buffers held before: outputs and working memory are filled with NaN first;
//! - nothing behind the end of any buffer is touched;
//! - a second run gives the same bits.

mod bench;
mod budget;
mod case;
mod conform;
mod custom_rule;
mod gradient;
mod plans;

pub use bench::{Bench, Work};
pub use budget::{DIVISION_ULPS, Deviation, Expectation, INVERSE_SQRT_ULPS, SQRT_ULPS, exp_ulps};
pub use case::{Case, Problem};
pub use conform::{Outcome, conform};
pub use custom_rule::{Extents, compare_custom_feature, compare_custom_rule};
pub use gradient::{Differences, central_differences, gradient_case, has_central_differences};
pub use plans::{Tensors, compare_plans};

pub use crate::ops::attention::blocked::attention_backward;
pub use crate::random::Random;
