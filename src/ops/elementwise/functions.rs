//! The table of elementwise functions of one number. A row has everything that is known of its function: its formula and its derivative,
//! in the CPU reference's arithmetic `R` and in WGSL; what WGSL's built-in functions may lose on the way; and where the conformance cases
//! look. The op, its gradient, its row of the catalogue, its cases and its benches follow.
//!
//! The file is long because it is one table, a row of about 15 lines for each function, and the macro that reads it.
//!
//! **To add a function**: add a row. `shaders/elementwise/math.wgsl` has what WGSL lacks.

use std::f64::consts::SQRT_2;

use crate::Result;
#[cfg(feature = "check")]
use std::f32::consts::{FRAC_PI_4, PI};

#[cfg(feature = "check")]
use crate::check::{DIVISION_ULPS, INVERSE_SQRT_ULPS, SQRT_ULPS, exp_ulps};
use crate::graph::{Graph, Value};
use crate::tensor::Real;

/// Where [`laplace`](super::laplace()) is one half, and how steep it is there.
#[expect(clippy::approx_constant, reason = "six digits are what the paper has")]
const LAPLACE_MEAN: f64 = 0.707107;
const LAPLACE_DEVIATION: f64 = 0.282095;

/// What the conformance cases of a function need to know.
#[cfg(feature = "check")]
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Trials {
    /// Units of the last place that WGSL lets built-in functions lose, of a result and of a slope.
    pub(in crate::ops) ulps: [f64; 2],
    /// Where random numbers are taken from.
    pub(in crate::ops) within: [f32; 2],
    /// The largest magnitude at which the result is promised.
    pub(in crate::ops) reach: f32,
    /// Where the formula changes.
    pub(in crate::ops) turns: &'static [f32],
    /// Whether the derivative jumps where it changes, or at 0.
    pub(in crate::ops) kinked: bool,
    /// Arguments and results from elsewhere.
    #[cfg(test)]
    pub(in crate::ops) known: &'static [(f32, f64)],
}

macro_rules! functions {
    ($(
        #[doc = $summary:literal]
        $(#[doc = $doc:literal])*
        $name:ident $variant:ident $(( $($(#[$arg_doc:meta])* $arg:ident = $sample:literal),+ ))? {
            at: |$x:ident| $at:expr,
            slope: |$s:ident| $slope:expr,
            wgsl: $wgsl:literal,
            wgsl_slope: $wgsl_slope:literal,
            ulps: $ulps:expr,
            within: $within:expr,
            reach: $reach:expr,
            turns: $turns:expr,
            kinked: $kinked:expr,
            known: $known:expr $(,)?
        }
    )+) => {
        /// An elementwise function of one number that other ops apply to their result, such as [`linear`](crate::ops::linear()).
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub enum Activation {
            /// `x`
            #[default]
            Identity,
            $(
                #[doc = $summary]
$(#[doc = $doc])*
                $variant $({ $($(#[$arg_doc])* $arg: f32),+ })?,
            )+
        }

        $(
            #[doc = $summary]
$(#[doc = $doc])*
            ///
            /// Of every element of a float value of any shape. Fails when `x` is no float, or a setting is not finite.
            pub fn $name(graph: &mut Graph, x: Value $($(, $arg: f32)+)?) -> Result<Value> {
                super::unary::apply(graph, x, Activation::$variant $({ $($arg),+ })?)
            }
        )+

        impl Activation {
            /// Every function, with some settings where it has such.
            pub const ALL: &'static [Self] = &[Self::Identity, $(Self::$variant $({ $($arg: $sample),+ })?),+];

            /// The op's name.
            pub(in crate::ops) fn op_name(self) -> &'static str {
                match self {
                    Self::Identity => "elementwise/identity",
                    $(Self::$variant $({ $($arg: _),+ })? => concat!("elementwise/", stringify!($name)),)+
                }
            }

            /// The settings, named.
            pub(in crate::ops) fn settings(self) -> Vec<(&'static str, f32)> {
                match self {
                    Self::Identity => Vec::new(),
                    $(Self::$variant $({ $($arg),+ })? => vec![$($((stringify!($arg), $arg)),+)?],)+
                }
            }

            /// The specification, for one element.
            pub(in crate::ops) fn at<R: Real>(self, x: R) -> R {
                match self {
                    Self::Identity => x,
                    $(Self::$variant $({ $($arg),+ })? => {
                        $($(let $arg = R::of($arg.into());)+)?
                        let $x = x;
                        $at
                    })+
                }
            }

            /// The specification's derivative, for one element.
            #[allow(unused_variables, reason = "not every derivative depends on every setting, or on the element")]
            pub(in crate::ops) fn slope_at<R: Real>(self, x: R) -> R {
                match self {
                    Self::Identity => R::one(),
                    $(Self::$variant $({ $($arg),+ })? => {
                        $($(let $arg = R::of($arg.into());)+)?
                        let $s = x;
                        $slope
                    })+
                }
            }

            /// WGSL of `x: Lanes` and, where there are settings, `args: vec2<f32>`: the result, and the derivative.
            pub(in crate::ops) fn wgsl(self) -> [&'static str; 2] {
                match self {
                    Self::Identity => ["x", "Lanes(1.0)"],
                    $(Self::$variant $({ $($arg: _),+ })? => [$wgsl, $wgsl_slope],)+
                }
            }

            /// What the cases need to know.
            #[cfg(feature = "check")]
            pub(in crate::ops) fn trials(self) -> Trials {
                match self {
                    Self::Identity => Trials {
                        ulps: [0.0; 2], within: [-4.0, 4.0], reach: f32::MAX, turns: &[], kinked: false,
                        #[cfg(test)]
                        known: &[],
                    },
                    $(Self::$variant $({ $($arg: _),+ })? => Trials {
                        ulps: $ulps, within: $within, reach: $reach, turns: $turns, kinked: $kinked,
                        #[cfg(test)]
                        known: $known,
                    },)+
                }
            }
        }

        /// The functions' rows of the catalogue.
        pub(in crate::ops) const ENTRIES: &[crate::ops::Entry] = &[$(crate::ops::Entry {
            name: concat!("elementwise/", stringify!($name)),
            summary: $summary.trim_ascii(),
            #[cfg(feature = "check")]
            cases: || super::unary::cases(Activation::$variant $({ $($arg: $sample),+ })?),
            #[cfg(feature = "check")]
            benches: || super::unary::benches(Activation::$variant $({ $($arg: $sample),+ })?),
        }),+];
    };
}

functions! {
    /// `|x|`, with a derivative of 0 at 0.
    abs Abs {
        at: |x| x.abs(),
        slope: |x| sign_at(x),
        wgsl: "abs(x)",
        wgsl_slope: "sign(x)",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: true,
        known: &[(-2.5, 2.5)],
    }
    /// The nearest number from `low` to `high`; the derivative is 1 between them, ends included, else 0.
    clamp Clamp (
        /// The least result.
        low = -1.5,
        /// The largest.
        high = 0.75
    ) {
        at: |x| x.max(low).min(high),
        slope: |x| if x >= low && x <= high { R::one() } else { R::zero() },
        wgsl: "clamp(x, Lanes(args.x), Lanes(args.y))",
        wgsl_slope: "select(Lanes(0.0), Lanes(1.0), (x >= Lanes(args.x)) & (x <= Lanes(args.y)))",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-1.5, 0.75, 0.74, -1.6],
        kinked: true,
        known: &[(-2.0, -1.5), (0.5, 0.5), (3.0, 0.75)],
    }
    /// The cosine of an angle in radians, of magnitude up to 8192.
    cos Cos {
        at: |x| x.cos(),
        slope: |x| -x.sin(),
        wgsl: "cos_reduced(x)",
        wgsl_slope: "-sin_reduced(x)",
        ulps: [1.0, 1.0],
        within: [-20.0, 20.0],
        reach: 8192.0,
        turns: &[-FRAC_PI_4, FRAC_PI_4, 3.0 * FRAC_PI_4, PI, -PI, 8190.0, -8191.5, 1000.0],
        kinked: false,
        known: &[(0.0, 1.0), (1.0, 0.540_302_305_868_139_8)],
    }
    /// Exponential linear unit, `x` where that is positive, else `alpha (exp(x) - 1)` (Clevert, Unterthiner and Hochreiter, arXiv
    /// 1511.07289, equation 15).
    elu Elu (
        /// What far negative numbers tend to, negated.
        alpha = 1.25
    ) {
        at: |x| if x > R::zero() { x } else { alpha * x.exp_m1() },
        slope: |x| if x > R::zero() { R::one() } else { alpha * x.exp() },
        wgsl: "select(args.x * exp_minus_one(min(x, Lanes(0.0))), x, x > Lanes(0.0))",
        wgsl_slope: "select(args.x * exp_down(x), Lanes(1.0), x > Lanes(0.0))",
        ulps: [3.0 * exp_ulps(1.0), exp_ulps(4.0)],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-0.36, -0.35, -0.34, -0.01, 0.01],
        kinked: true,
        known: &[(-1.0, -0.790_150_698_535_697_2), (2.0, 2.0)],
    }
    /// `elu(x) + 1`, which is `x + 1` where `x` is positive, else `exp(x)`: features of linear attention (Katharopoulos et al., arXiv
    /// 2006.16236, equation 7).
    elu_plus_one EluPlusOne {
        at: |x| if x > R::zero() { x + R::one() } else { x.exp() },
        slope: |x| if x > R::zero() { R::one() } else { x.exp() },
        wgsl: "select(exp_down(x), x + 1.0, x > Lanes(0.0))",
        wgsl_slope: "select(exp_down(x), Lanes(1.0), x > Lanes(0.0))",
        ulps: [exp_ulps(4.0), exp_ulps(4.0)],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-0.36, -0.01, 0.01],
        kinked: true,
        known: &[(-1.0, 0.367_879_441_171_442_33), (2.0, 3.0)],
    }
    /// `exp(x)`, which leaves f32 above 88.7.
    exp Exp {
        at: |x| x.exp(),
        slope: |x| x.exp(),
        wgsl: "exp(max(x, Lanes(-FAR)))",
        wgsl_slope: "exp(max(x, Lanes(-FAR)))",
        ulps: [exp_ulps(4.0), exp_ulps(4.0)],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(1.0, std::f64::consts::E), (0.0, 1.0)],
    }
    /// The largest whole number of at most `x`. Its derivative is 0.
    floor Floor {
        at: |x| x.floor(),
        slope: |x| R::zero(),
        wgsl: "floor(x)",
        wgsl_slope: "Lanes(0.0)",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-1.5, -1.0, 0.5, 2.0],
        kinked: true,
        known: &[(-1.5, -2.0), (2.0, 2.0), (2.75, 2.0)],
    }
    /// Gaussian error linear unit, `x Phi(x) = x (1 + erf(x / sqrt 2)) / 2` (Hendrycks and Gimpel, arXiv 1606.08415, section 2).
    gelu Gelu {
        at: |x| R::of(0.5) * x * (R::one() + (x * R::of(0.5).sqrt()).erf()),
        slope: |x| {
            let (half, density) = (R::of(0.5), R::of((0.5 * std::f64::consts::FRAC_1_PI).sqrt()));
            half * (R::one() + (x * half.sqrt()).erf()) + x * density * (-half * x * x).exp()
        },
        wgsl: "0.5 * x * (1.0 + erf(x * SQRT_HALF))",
        wgsl_slope: "gelu_slope(x)",
        // The exponent is at most 1 where the exponential is more than half of the result, and weighs less elsewhere. In the slope twice:
        // in the error function and in the density, whose exponent at its largest weight is 1/2.
        ulps: [exp_ulps(1.0), 2.0 * exp_ulps(1.0)],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-6.0, -5.6, -1.3, -1.27, -0.5, 0.5, 1.27, 1.28],
        kinked: false,
        known: &[(-2.0, -0.045_500_263_896_358_42), (-0.5, -0.154_268_769_362_993_44), (1.0, 0.841_344_746_068_542_9)],
    }
    /// [`gelu`](super::gelu()) with its results bounded by `low` and `high` (Wu et al., arXiv 2004.09602); beyond the bounds the derivative is 0.
    gelu_clipped GeluClipped (
        /// The least result.
        low = -0.125,
        /// The largest.
        high = 1.5
    ) {
        at: |x| Activation::Gelu.at(x).max(low).min(high),
        slope: |x| {
            let y = Activation::Gelu.at(x);
            if y >= low && y <= high { Activation::Gelu.slope_at(x) } else { R::zero() }
        },
        wgsl: "clamp(0.5 * x * (1.0 + erf(x * SQRT_HALF)), Lanes(args.x), Lanes(args.y))",
        wgsl_slope: "gelu_clipped_slope(x, args)",
        // As gelu's.
        ulps: [exp_ulps(1.0), 2.0 * exp_ulps(1.0)],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-6.0, -1.5, -1.25, -0.75, -0.375, -0.25, 1.5, 1.75],
        kinked: true,
        known: &[(-2.0, -0.045_500_263_896_358_42), (-0.5, -0.125), (1.0, 0.841_344_746_068_542_9), (2.0, 1.5)],
    }
    /// Gaussian error linear unit in its tanh form, `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` (Hendrycks and Gimpel, arXiv
    /// 1606.08415, section 2): what GPT-2 calls gelu. It is within 5e-4 of [`gelu`](super::gelu()).
    gelu_tanh GeluTanh {
        at: |x| {
            let (slope, cubic) = (R::of(std::f64::consts::FRAC_2_PI.sqrt()), R::of(0.044715));
            R::of(0.5) * x * (R::one() + (slope * (x + cubic * x * x * x)).tanh())
        },
        slope: |x| {
            // The slope is 0 or 1 to rounding long before, and the cube may overflow.
            if x.abs() > R::of(20.0) {
                return if x > R::zero() { R::one() } else { R::zero() };
            }
            let (slope, cubic) = (R::of(std::f64::consts::FRAC_2_PI.sqrt()), R::of(0.044715));
            let tanh = (slope * (x + cubic * x * x * x)).tanh();
            let du = slope * (R::one() + R::of(3.0) * cubic * x * x);
            R::of(0.5) * (R::one() + tanh + x * (R::one() - tanh * tanh) * du)
        },
        wgsl: "x * sigmoid(gelu_tanh_argument(x))",
        wgsl_slope: "gelu_tanh_slope(x)",
        // The largest result of each case is that of a positive x, where the exponential is more than a quarter of the divisor only
        // for exponents of at most 1. In the slope it stands above and below the fraction bar, with a divisor squared.
        ulps: [exp_ulps(1.0) + DIVISION_ULPS, 2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-21.0, -20.0, -19.9, -5.0, 5.0, 19.9, 20.0, 21.0],
        kinked: false,
        // torch.nn.functional.gelu with approximate="tanh", in f64.
        known: &[(0.0, 0.0), (1.0, 0.841_191_990_608_276_8), (-2.0, -0.045_402_305_912_224_94)],
    }
    /// `x clamp(x + 3, 0, 6) / 6` (Howard et al., arXiv 1905.02244, section 5.2), also called hard silu.
    hard_swish HardSwish {
        at: |x| x * (x + R::of(3.0)).max(R::zero()).min(R::of(6.0)) / R::of(6.0),
        slope: |x| {
            if x < R::of(-3.0) {
                R::zero()
            } else if x > R::of(3.0) {
                R::one()
            } else {
                x / R::of(3.0) + R::of(0.5)
            }
        },
        wgsl: "x * (clamp(x + 3.0, Lanes(0.0), Lanes(6.0)) * 0.16666667)",
        wgsl_slope: "select(select(x * 0.33333333 + 0.5, Lanes(1.0), x > Lanes(3.0)), Lanes(0.0), x < Lanes(-3.0))",
        ulps: [DIVISION_ULPS, DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-3.1, -2.9, 2.9, 3.1],
        kinked: true,
        known: &[(-4.0, 0.0), (0.0, 0.0), (1.0, 0.666_666_666_666_666_6), (5.0, 5.0)],
    }
    /// `(1 + erf((x - mean) / (deviation sqrt(2)))) / 2` for a mean of 0.707107 and a deviation of 0.282095: near
    /// [`squared_relu`](super::squared_relu()) up to 1, and bounded (Ma et al., arXiv 2209.10655, section 3.4).
    laplace Laplace {
        at: |x| R::of(0.5) * (R::one() + ((x - R::of(LAPLACE_MEAN)) / R::of(LAPLACE_DEVIATION * SQRT_2)).erf()),
        slope: |x| {
            let z = (x - R::of(LAPLACE_MEAN)) / R::of(LAPLACE_DEVIATION * SQRT_2);
            (-z * z).exp() / R::of(LAPLACE_DEVIATION * (2.0 * std::f64::consts::PI).sqrt())
        },
        wgsl: "0.5 * (1.0 + erf(laplace_argument(x)))",
        wgsl_slope: "laplace_slope(x)",
        // gelu's, and the rounding of the argument, which is 1 where the result and its slope change most by it.
        ulps: [exp_ulps(1.0) + 2.0, 2.0 * exp_ulps(1.0) + 4.0],
        within: [-1.0, 2.5],
        reach: f32::MAX,
        turns: &[-0.9, -0.88, 0.34, 0.35, 1.06, 1.07, 2.3, 2.31],
        kinked: false,
        known: &[
            (LAPLACE_MEAN as f32, 0.5),
            ((LAPLACE_MEAN + LAPLACE_DEVIATION) as f32, 0.841_344_746_068_542_9),
        ],
    }
    /// `x` where that is positive, else `slope x`.
    leaky_relu LeakyRelu (
        /// The derivative at negative numbers, and at 0.
        slope = 0.01
    ) {
        at: |x| if x > R::zero() { x } else { slope * x },
        slope: |x| if x > R::zero() { R::one() } else { slope },
        wgsl: "select(args.x * x, x, x > Lanes(0.0))",
        wgsl_slope: "select(Lanes(args.x), Lanes(1.0), x > Lanes(0.0))",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: true,
        known: &[(-2.0, -0.02), (3.0, 3.0)],
    }
    /// The natural logarithm, of numbers above 0.
    log Log {
        at: |x| x.ln(),
        slope: |x| R::one() / x,
        wgsl: "log(x)",
        wgsl_slope: "1.0 / x",
        // Within 2^-21 from 0.5 to 2, and 3 units of the last place elsewhere.
        ulps: [8.0, DIVISION_ULPS],
        within: [0.2, 4.0],
        reach: f32::MAX,
        turns: &[0.5, 0.9, 1.1, 2.0, 3.0],
        kinked: false,
        known: &[(1.0, 0.0), (2.0, std::f64::consts::LN_2)],
    }
    /// `x tanh(log(1 + exp(x)))` (Misra, arXiv 1908.08681, equation 1).
    mish Mish {
        at: |x| x * softplus_at(x).tanh(),
        slope: |x| {
            let tanh = softplus_at(x).tanh();
            tanh + x * (R::one() - tanh * tanh) / (R::one() + (-x).exp())
        },
        wgsl: "mish_of(x)",
        wgsl_slope: "mish_slope(x)",
        ulps: [2.0 * exp_ulps(1.0) + DIVISION_ULPS, 4.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-20.0, -1.0, 1.0, 20.0],
        kinked: false,
        // torch.nn.functional.mish, in f64.
        known: &[(0.0, 0.0), (1.0, 0.865_098_388_095_463_6), (-2.0, -0.252_501_482_661_411_3)],
    }
    /// `x^exponent`. Whole exponents of magnitude up to 16 take any `x`; others only `x` of at least 0, and give no number below.
    power Power (
        /// The power.
        exponent = 1.5
    ) {
        at: |x| power_at(x, exponent),
        slope: |x| if exponent == R::zero() { R::zero() } else { exponent * power_at(x, exponent - R::one()) },
        wgsl: "power_of(x, args.x)",
        wgsl_slope: "power_slope(x, args.x)",
        // exp2(e log2(x)), whose argument is at most 3 in magnitude here.
        ulps: [exp_ulps(3.0) + 12.0, exp_ulps(3.0) + 12.0],
        within: [0.2, 4.0],
        reach: 100.0,
        turns: &[0.5, 1.0, 2.0],
        kinked: false,
        known: &[(4.0, 8.0), (1.0, 1.0)],
    }
    /// `x / (1 + exp(-1.702 x))`, an approximation of gelu (Hendrycks and Gimpel, arXiv 1606.08415, section 2) that CLIP uses.
    quick_gelu QuickGelu {
        at: |x| x / (R::one() + (-R::of(1.702) * x).exp()),
        slope: |x| {
            let (a, t) = (R::of(1.702), R::of(1.702) * x);
            let sigmoid = R::one() / (R::one() + (-t).exp());
            sigmoid + a * x * sigmoid * (R::one() - sigmoid)
        },
        wgsl: "x * sigmoid(1.702 * x)",
        wgsl_slope: "silu_slope(1.702 * x)",
        ulps: [exp_ulps(1.0) + DIVISION_ULPS, 2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(0.0, 0.0), (1.0, 0.845_795_765_954_427_3)],
    }
    /// `1 / x`, of numbers other than 0.
    reciprocal Reciprocal {
        at: |x| R::one() / x,
        slope: |x| -R::one() / (x * x),
        wgsl: "1.0 / x",
        wgsl_slope: "-(1.0 / x) * (1.0 / x)",
        ulps: [DIVISION_ULPS, 2.0 * DIVISION_ULPS],
        within: [0.2, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(4.0, 0.25), (-0.5, -2.0)],
    }
    /// Rectified linear unit, `max(x, 0)`, with a derivative of 0 at 0 (Nair and Hinton, "Rectified Linear Units Improve Restricted
    /// Boltzmann Machines", ICML 2010, section 2).
    relu Relu {
        at: |x| x.max(R::zero()),
        slope: |x| if x > R::zero() { R::one() } else { R::zero() },
        wgsl: "max(x, Lanes(0.0))",
        wgsl_slope: "select(Lanes(0.0), Lanes(1.0), x > Lanes(0.0))",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: true,
        known: &[(-2.0, 0.0), (0.0, 0.0), (3.5, 3.5)],
    }
    /// `min(max(x, 0), 6)`, with a derivative of 0 at both ends.
    relu6 Relu6 {
        at: |x| x.max(R::zero()).min(R::of(6.0)),
        slope: |x| if x > R::zero() && x < R::of(6.0) { R::one() } else { R::zero() },
        wgsl: "clamp(x, Lanes(0.0), Lanes(6.0))",
        wgsl_slope: "select(Lanes(0.0), Lanes(1.0), (x > Lanes(0.0)) & (x < Lanes(6.0)))",
        ulps: [0.0, 0.0],
        within: [-9.0, 9.0],
        reach: f32::MAX,
        turns: &[5.9, 6.0, 6.1],
        kinked: true,
        known: &[(-1.0, 0.0), (2.5, 2.5), (7.0, 6.0)],
    }
    /// The nearest whole number, of two the even one. Its derivative is 0.
    round Round {
        at: |x| round_even(x),
        slope: |x| R::zero(),
        wgsl: "round(x)",
        wgsl_slope: "Lanes(0.0)",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5],
        kinked: true,
        known: &[(-1.5, -2.0), (0.5, 0.0), (2.5, 2.0), (2.6, 3.0)],
    }
    /// `1 / sqrt(x)`, of numbers above 0.
    rsqrt Rsqrt {
        at: |x| R::one() / x.sqrt(),
        slope: |x| -R::of(0.5) / (x * x.sqrt()),
        wgsl: "inverseSqrt(x)",
        wgsl_slope: "-0.5 * inverseSqrt(x) / x",
        ulps: [INVERSE_SQRT_ULPS, INVERSE_SQRT_ULPS + DIVISION_ULPS],
        within: [0.2, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(4.0, 0.5), (0.25, 2.0)],
    }
    /// `factor * x`.
    scale Scale (
        /// What elements are multiplied by.
        factor = -0.3
    ) {
        at: |x| factor * x,
        slope: |x| factor,
        wgsl: "x * args.x",
        wgsl_slope: "Lanes(args.x)",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(2.0, -0.6)],
    }
    /// Logistic function, `1 / (1 + exp(-x))`.
    sigmoid Sigmoid {
        at: |x| R::one() / (R::one() + (-x).exp()),
        slope: |x| {
            let sigmoid = R::one() / (R::one() + (-x).exp());
            sigmoid * (R::one() - sigmoid)
        },
        wgsl: "sigmoid(x)",
        wgsl_slope: "sigmoid_slope(x)",
        ulps: [exp_ulps(1.0) + DIVISION_ULPS, 2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(0.0, 0.5), (1.0, 0.731_058_578_630_004_9), (-2.0, 0.119_202_922_022_117_56)],
    }
    /// -1, 0 or 1 as `x` lies below, at or above 0. Its derivative is 0.
    sign Sign {
        at: |x| sign_at(x),
        slope: |x| R::zero(),
        wgsl: "sign(x)",
        wgsl_slope: "Lanes(0.0)",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: true,
        known: &[(-0.5, -1.0), (0.0, 0.0), (3.0, 1.0)],
    }
    /// Sigmoid linear unit, `x / (1 + exp(-x))`, also called swish (Elfwing, Uchibe and Doya, arXiv 1702.03118, equation 2).
    silu Silu {
        at: |x| x / (R::one() + (-x).exp()),
        slope: |x| {
            let sigmoid = R::one() / (R::one() + (-x).exp());
            sigmoid + x * sigmoid * (R::one() - sigmoid)
        },
        wgsl: "x * sigmoid(x)",
        wgsl_slope: "silu_slope(x)",
        ulps: [exp_ulps(1.0) + DIVISION_ULPS, 2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(0.0, 0.0), (1.0, 0.731_058_578_630_004_9), (-2.0, -0.238_405_844_044_235_1)],
    }
    /// The sine of an angle in radians, of magnitude up to 8192.
    sin Sin {
        at: |x| x.sin(),
        slope: |x| x.cos(),
        wgsl: "sin_reduced(x)",
        wgsl_slope: "cos_reduced(x)",
        ulps: [1.0, 1.0],
        within: [-20.0, 20.0],
        reach: 8192.0,
        turns: &[-FRAC_PI_4, FRAC_PI_4, 3.0 * FRAC_PI_4, PI, -PI, 8190.0, -8191.5, 1000.0],
        kinked: false,
        known: &[(0.0, 0.0), (1.0, 0.841_470_984_807_896_5)],
    }
    /// `log(1 + exp(x))`.
    softplus Softplus {
        at: |x| softplus_at(x),
        slope: |x| R::one() / (R::one() + (-x).exp()),
        wgsl: "softplus_of(x)",
        wgsl_slope: "sigmoid(x)",
        ulps: [exp_ulps(1.0) + DIVISION_ULPS, exp_ulps(1.0) + DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-20.0, -1.0, 1.0, 20.0],
        kinked: false,
        known: &[(0.0, std::f64::consts::LN_2), (1.0, 1.313_261_687_518_222_7)],
    }
    /// `sqrt(x)`, of numbers of at least 0.
    sqrt Sqrt {
        at: |x| x.sqrt(),
        slope: |x| R::of(0.5) / x.sqrt(),
        wgsl: "sqrt(x)",
        wgsl_slope: "0.5 * inverseSqrt(x)",
        ulps: [SQRT_ULPS, INVERSE_SQRT_ULPS],
        within: [0.2, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(4.0, 2.0), (0.25, 0.5)],
    }
    /// `x^2`.
    square Square {
        at: |x| x * x,
        slope: |x| R::of(2.0) * x,
        wgsl: "x * x",
        wgsl_slope: "2.0 * x",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        kinked: false,
        known: &[(-1.5, 2.25)],
    }
    /// `max(x, 0)^2` (So et al., arXiv 2109.08668, section 4.1).
    squared_relu SquaredRelu {
        at: |x| x.max(R::zero()) * x.max(R::zero()),
        slope: |x| R::of(2.0) * x.max(R::zero()),
        wgsl: "max(x, Lanes(0.0)) * max(x, Lanes(0.0))",
        wgsl_slope: "2.0 * max(x, Lanes(0.0))",
        ulps: [0.0, 0.0],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[],
        // The slope's own slope jumps at 0.
        kinked: true,
        known: &[(-1.5, 0.0), (1.5, 2.25)],
    }
    /// Hyperbolic tangent.
    tanh Tanh {
        at: |x| x.tanh(),
        slope: |x| R::one() - x.tanh() * x.tanh(),
        wgsl: "tanh_bounded(x)",
        wgsl_slope: "tanh_slope(x)",
        // The exponential, of -1.2 at most, is less than half of the result it is above and below the fraction bar of.
        ulps: [exp_ulps(1.2) + DIVISION_ULPS, 2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS],
        within: [-4.0, 4.0],
        reach: f32::MAX,
        turns: &[-11.0, -10.0, -9.9, -0.61, -0.59, 0.59, 0.61, 10.0],
        kinked: false,
        known: &[(0.0, 0.0), (0.5, 0.462_117_157_260_009_75), (-2.0, -0.964_027_580_075_816_9)],
    }
}

fn sign_at<R: Real>(x: R) -> R {
    // Of 0 and -0 `signum` knows a sign.
    if x == R::zero() { R::zero() } else { x.signum() }
}

fn softplus_at<R: Real>(x: R) -> R {
    x.max(R::zero()) + (-x.abs()).exp().ln_1p()
}

fn round_even<R: Real>(x: R) -> R {
    let rounded = x.round();
    let is_tie = (x - x.trunc()).abs() == R::of(0.5);
    if is_tie && rounded % R::of(2.0) != R::zero() { rounded - x.signum() } else { rounded }
}

fn power_at<R: Real>(x: R, exponent: R) -> R {
    match exponent.to_i32().filter(|&whole| R::of(whole.into()) == exponent && whole.abs() <= 16) {
        Some(whole) => x.powi(whole),
        None => x.powf(exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        for &function in Activation::ALL {
            for &(x, expected) in function.trials().known {
                let found: f64 = function.at(x.into());
                let allowed = f64::from(f32::EPSILON) * expected.abs().max(1.0);
                assert!((found - expected).abs() < allowed, "{function:?} of {x}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn slopes_are_what_central_differences_tend_to() {
        let step = 1e-5;
        for &function in Activation::ALL {
            for x in [-30.1, -3.1, -1.1, -0.3, 1e-3, 0.4, 1.7, 2.45, 6.2, 19.99, 25.1] {
                let (above, below): (f64, f64) = (function.at(x + step), function.at(x - step));
                let difference = (above - below) / (2.0 * step);
                let slope: f64 = function.slope_at(x);
                if difference.is_nan() {
                    continue;
                }
                let allowed =
                    1e-8 * (1.0 + slope.abs() + above.abs() / step * 1e-7) + 1e-5 * slope.abs() / (x * x);
                assert!((slope - difference).abs() < allowed, "{function:?} at {x}: {slope}, {difference}");
            }
        }
        assert_eq!(Activation::Relu.slope_at(0.0), 0.0);
    }

    #[test]
    fn bounded_slopes_are_finite_far_out_in_either_arithmetic() {
        use Activation::{
            Gelu, GeluTanh, HardSwish, Mish, QuickGelu, Relu, Relu6, Sigmoid, Silu, Softplus, Tanh,
        };
        for function in
            [Gelu, GeluTanh, HardSwish, Mish, QuickGelu, Relu, Relu6, Sigmoid, Silu, Softplus, Tanh]
        {
            for x in [-1e30_f64, -1e10, 1e10, 1e30] {
                let end = if x > 0.0 { function.at(x) / x } else { 0.0 };
                assert!((function.slope_at(x) - end).abs() < 1e-9, "{function:?} at {x}");
                assert!(
                    (function.slope_at(x as f32) - end as f32).abs() < 1e-9,
                    "{function:?} at {x} in f32"
                );
            }
        }
    }
}
