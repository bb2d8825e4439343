//! The table of elementwise functions of two numbers, with broadcasting, and of comparisons.
//!
//! **To add a function**: add a row. The op, its row of the catalogue, its cases and its benches follow.

use super::super::contract::Contract;
use super::broadcast::{self, sum_to};
use super::{cast, scale};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Generated, Kernel, Lowered, Operand, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

/// What a function's gradients are made of.
struct Adjoints {
    a: Value,
    b: Value,
    /// The function's result.
    result: Value,
    upstream: Value,
}

macro_rules! functions {
    ($(
        #[doc = $summary:literal]
        $(#[doc = $doc:literal])*
        $name:ident $variant:ident {
            at: |$a:ident, $b:ident| $at:expr,
            wgsl: $wgsl:literal,
            da: |$ga:ident, $va:ident| $da:expr,
            db: |$gb:ident, $vb:ident| $db:expr,
            ulps: $ulps:expr,
            divisors: $divisors:expr $(,)?
        }
    )+) => {
        #[derive(Clone, Copy, Debug)]
        pub(in crate::ops) enum Function {
            $($variant),+
        }

        $(
            #[doc = $summary]
            $(#[doc = $doc])*
            ///
            /// `a` and `b` share one float type and broadcast: axes are matched from the last one, and an axis that is missing or of extent
            /// 1 repeats. Fails when the types differ or the shapes do not broadcast.
            pub fn $name(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
                graph.push_builtin_one(Binary { function: Function::$variant }, &[a, b])
            }
        )+

        impl Function {
            fn op_name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("elementwise/", stringify!($name)),)+
                }
            }

            /// The specification, for one element.
            fn at<R: Real>(self, a: R, b: R) -> R {
                match self {
                    $(Self::$variant => { let ($a, $b) = (a, b); $at })+
                }
            }

            /// WGSL of `a` and `b`, both `Lanes`.
            fn wgsl(self) -> &'static str {
                match self {
                    $(Self::$variant => $wgsl,)+
                }
            }

            /// The gradient of the first or the second operand, broadcast.
            fn gradient(self, graph: &mut Graph, operand: usize, values: &Adjoints) -> Result<Value> {
                match (self, operand) {
                    $(
                        (Self::$variant, 0) => { let ($ga, $va) = (graph, values); $da }
                        (Self::$variant, _) => { let ($gb, $vb) = (graph, values); $db }
                    )+
                }
            }

            /// What WGSL lets the function lose, in units of the last place, and whether `b` must keep away from 0.
            #[cfg(feature = "check")]
            fn trials(self) -> (f64, bool) {
                match self {
                    $(Self::$variant => ($ulps, $divisors),)+
                }
            }
        }

        /// The functions' rows of the catalogue.
        pub(in crate::ops) const ENTRIES: &[crate::ops::Entry] = &[$(crate::ops::Entry {
            name: concat!("elementwise/", stringify!($name)),
            summary: $summary.trim_ascii(),
            #[cfg(feature = "check")]
            cases: || cases(Function::$variant),
            #[cfg(feature = "check")]
            benches: || benches(concat!("elementwise/", stringify!($name)), $name),
        }),+];
    };
}

functions! {
    /// `a + b`.
    add Add {
        at: |a, b| a + b,
        wgsl: "a + b",
        da: |_graph, values| Ok(values.upstream),
        db: |_graph, values| Ok(values.upstream),
        ulps: 0.0,
        divisors: false,
    }
    /// `a / b`, where no `b` is 0.
    divide Divide {
        at: |a, b| a / b,
        wgsl: "a / b",
        da: |graph, values| divide(graph, values.upstream, values.b),
        db: |graph, values| {
            let of_result = divide(graph, values.result, values.b)?;
            let product = multiply(graph, values.upstream, of_result)?;
            scale(graph, product, -1.0)
        },
        ulps: crate::check::DIVISION_ULPS,
        divisors: true,
    }
    /// `exp(a + b)`, which leaves f32 where the sum is above 88.7.
    exp_of_sum ExpOfSum {
        at: |a, b| (a + b).exp(),
        wgsl: "exp(max(a + b, Lanes(-1e3)))",
        da: |graph, values| multiply(graph, values.upstream, values.result),
        db: |graph, values| multiply(graph, values.upstream, values.result),
        ulps: crate::check::exp_ulps(8.0),
        divisors: false,
    }
    /// The larger of `a` and `b`. Where they are equal each has half of the gradient.
    maximum Maximum {
        at: |a, b| a.max(b),
        wgsl: "max(a, b)",
        da: |graph, values| share(graph, values.a, values.b, values.upstream),
        db: |graph, values| share(graph, values.b, values.a, values.upstream),
        ulps: 0.0,
        divisors: false,
    }
    /// The smaller of `a` and `b`. Where they are equal each has half of the gradient.
    minimum Minimum {
        at: |a, b| a.min(b),
        wgsl: "min(a, b)",
        da: |graph, values| share(graph, values.b, values.a, values.upstream),
        db: |graph, values| share(graph, values.a, values.b, values.upstream),
        ulps: 0.0,
        divisors: false,
    }
    /// `a * b`.
    multiply Multiply {
        at: |a, b| a * b,
        wgsl: "a * b",
        da: |graph, values| multiply(graph, values.upstream, values.b),
        db: |graph, values| multiply(graph, values.upstream, values.a),
        ulps: 0.0,
        divisors: false,
    }
    /// `a - b`.
    subtract Subtract {
        at: |a, b| a - b,
        wgsl: "a - b",
        da: |_graph, values| Ok(values.upstream),
        db: |graph, values| scale(graph, values.upstream, -1.0),
        ulps: 0.0,
        divisors: false,
    }
}

/// `upstream` where `a` is larger than `b`, half of it where they are equal, else 0.
fn share(graph: &mut Graph, a: Value, b: Value, upstream: Value) -> Result<Value> {
    let dtype = graph.desc(upstream)?.dtype;
    let (above, not_below) = (greater(graph, a, b)?, greater_equal(graph, a, b)?);
    let (above, not_below) = (cast(graph, above, dtype)?, cast(graph, not_below, dtype)?);
    let twice = add(graph, above, not_below)?;
    let weight = scale(graph, twice, 0.5)?;
    multiply(graph, weight, upstream)
}

#[derive(Clone, Copy, Debug)]
struct Binary {
    function: Function,
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        self.function.op_name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &["a", "b"])?;
        let (a, b) = (&inputs[0], &inputs[1]);
        contract.float("a", a)?;
        contract.dtype("b", b, a.dtype)?;
        Ok(vec![TensorDesc::new(a.dtype, broadcast::shape(&contract, &[("a", a), ("b", b)])?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0], inputs[1]);
        let shape = reference_shape(a, b);
        let places = broadcast::places(&[a.shape(), b.shape()], &shape);
        let pairs = places[0].iter().zip(&places[1]);
        let reals = pairs.map(|(&i, &j)| self.function.at(a.reals()[i], b.reals()[j])).collect();
        vec![Array::real(shape, reals)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (a, b, result) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
        let repeated = broadcast::repeated(&[a, b], result);
        let (lanes, count, params) = broadcast::walk_repeated(self.name(), &[a, b], result, &repeated)?;
        let text =
            format!("fn apply(a: Lanes, b: Lanes) -> Lanes {{\n    return {};\n}}\n", self.function.wgsl());
        let sources = [wgsl!("elementwise/binary.wgsl"), wgsl!("elementwise/broadcast.wgsl")];
        let mut kernel = Kernel::new(self.name(), sources).lanes(lanes);
        for ((name, input), repeated) in [("a", 0), ("b", 1)].into_iter().zip(repeated) {
            kernel = match repeated {
                true => kernel.read_elements(name, Operand::Input(input), a.dtype),
                false => kernel.read(name, Operand::Input(input), a.dtype),
            };
        }
        let kernel = kernel
            .write("result", Operand::Output(0), a.dtype)
            .params(params)
            .generated([Generated { label: self.name().into(), text, by_user: false }]);
        Ok(Lowered::elementwise(kernel.turns(broadcast::MOST_TURNS).per_element(count, caps), lanes))
    }

    /// What the table says, summed over the axes along which the operand repeats.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; 2];
        let (&[a, b], &[result], Some(upstream)) = (adjoint.inputs(), adjoint.outputs(), adjoint.upstream(0))
        else {
            return Ok(gradients);
        };
        let values = Adjoints { a, b, result, upstream };
        for (i, operand) in [a, b].into_iter().enumerate().filter(|(i, _)| adjoint.wants(*i)) {
            let broadcast = self.function.gradient(graph, i, &values)?;
            gradients[i] = Gradient::Whole(sum_to(graph, broadcast, operand)?);
        }
        Ok(gradients)
    }
}

/// The shape that two operands, which have passed the contract, have in common.
fn reference_shape<R: Real>(a: &Array<R>, b: &Array<R>) -> crate::Shape {
    let descs = [a, b].map(|array| TensorDesc::f32(array.dims()));
    let named: Vec<_> = descs.iter().map(|desc| ("operand", desc)).collect();
    broadcast::shape(&Contract::new("reference"), &named).unwrap_or_else(|_| a.shape().clone())
}

macro_rules! comparisons {
    ($(
        #[doc = $summary:literal]
        $name:ident $variant:ident $operator:tt
    )+) => {
        #[derive(Clone, Copy, Debug)]
        enum Comparison {
            $($variant),+
        }

        $(
            #[doc = $summary]
            ///
            /// `a` and `b` share one type, float or integer, and broadcast: axes are matched from the last one, and an axis that is missing
            /// or of extent 1 repeats. The result is u32, for [`select()`](super::select()) and, through [`cast()`], for sums. No gradient passes. Fails when
            /// the types differ or the shapes do not broadcast.
            pub fn $name(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
                graph.push_builtin_one(Compare { comparison: Comparison::$variant }, &[a, b])
            }
        )+

        impl Comparison {
            fn op_name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("elementwise/", stringify!($name)),)+
                }
            }

            fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
                match self {
                    $(Self::$variant => a $operator b,)+
                }
            }

            fn operator(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($operator),)+
                }
            }
        }

        /// The comparisons' rows of the catalogue.
        pub(in crate::ops) const COMPARISONS: &[crate::ops::Entry] = &[$(crate::ops::Entry {
            name: concat!("elementwise/", stringify!($name)),
            summary: $summary.trim_ascii(),
            #[cfg(feature = "check")]
            cases: || comparison_cases($name, Comparison::$variant),
            #[cfg(feature = "check")]
            benches: || benches(concat!("elementwise/", stringify!($name)), $name),
        }),+];
    };
}

comparisons! {
    /// 1 where `a == b`, else 0.
    equal Equal ==
    /// 1 where `a > b`, else 0.
    greater Greater >
    /// 1 where `a >= b`, else 0.
    greater_equal GreaterEqual >=
    /// 1 where `a < b`, else 0.
    less Less <
    /// 1 where `a <= b`, else 0.
    less_equal LessEqual <=
    /// 1 where `a != b`, else 0.
    not_equal NotEqual !=
}

#[derive(Clone, Copy, Debug)]
struct Compare {
    comparison: Comparison,
}

impl Op for Compare {
    fn name(&self) -> &'static str {
        self.comparison.op_name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &["a", "b"])?;
        let (a, b) = (&inputs[0], &inputs[1]);
        contract.dtype("b", b, a.dtype)?;
        Ok(vec![TensorDesc::u32(broadcast::shape(&contract, &[("a", a), ("b", b)])?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0], inputs[1]);
        let shape = reference_shape(a, b);
        let places = broadcast::places(&[a.shape(), b.shape()], &shape);
        let holds = |(&i, &j): (&usize, &usize)| match a.reals().is_empty() {
            true => self.comparison.holds(a.indices()[i], b.indices()[j]),
            false => self.comparison.holds(a.reals()[i], b.reals()[j]),
        };
        let indices = places[0].iter().zip(&places[1]).map(|pair| i64::from(holds(pair))).collect();
        vec![Array::index(shape, indices)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (a, b, result) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
        let (lanes, count, params) = broadcast::walk(self.name(), &[a, b], result)?;
        let (value, outcome) = match (a.dtype.is_float(), lanes) {
            (true, _) => ("Lanes".to_owned(), if lanes == 4 { "vec4<bool>" } else { "bool" }),
            (false, 4) => (format!("vec4<{}>", a.dtype), "vec4<bool>"),
            (false, _) => (a.dtype.to_string(), "bool"),
        };
        let text = format!(
            "fn compare(a: {value}, b: {value}) -> {outcome} {{\n    return a {} b;\n}}\n",
            self.comparison.operator()
        );
        let sources = [wgsl!("elementwise/compare.wgsl"), wgsl!("elementwise/broadcast.wgsl")];
        let kernel = Kernel::new(self.name(), sources)
            .lanes(lanes)
            .alias("Result", DType::U32)
            .read("a", Operand::Input(0), a.dtype)
            .read("b", Operand::Input(1), a.dtype)
            .write("result", Operand::Output(0), DType::U32)
            .params(params)
            .generated([Generated { label: self.name().into(), text, by_user: false }]);
        Ok(Lowered::elementwise(kernel.turns(broadcast::MOST_TURNS).per_element(count, caps), lanes))
    }

    fn backward(&self, _: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(vec![Gradient::None; adjoint.inputs().len()])
    }
}

/// Equal shapes, every kind of broadcasting, vector and scalar widths, empty values.
#[cfg(feature = "check")]
pub(super) const SHAPES: [(&[usize], &[usize]); 14] = [
    (&[1], &[1]),
    (&[], &[3]),
    (&[2, 63], &[2, 63]),
    (&[64, 65], &[64, 65]),
    (&[4, 1000], &[1000]),
    (&[3, 97], &[3, 1]),
    (&[3, 96], &[3, 1]),
    (&[2, 1, 5, 1], &[2, 3, 1, 8]),
    (&[3, 2, 1], &[2, 6]),
    (&[2, 1, 4, 8], &[2, 5, 1, 8]),
    (&[7, 1, 3], &[1, 5, 3]),
    (&[2, 1, 2, 1, 2, 1, 2, 1], &[1, 3, 1, 3, 1, 3, 1, 3]),
    (&[0, 4], &[1, 4]),
    (&[300, 301], &[300, 301]),
];

#[cfg(feature = "check")]
fn cases(function: Function) -> Vec<crate::check::Case> {
    use crate::check::Case;
    use crate::tensor::{HostTensor, Shape};

    let (ulps, divisors) = function.trials();
    let name = function.op_name();
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (a_shape, b_shape) in SHAPES {
            let label = format!("{dtype} {} and {}", Shape::from(a_shape), Shape::from(b_shape));
            let case = Case::new(name, label, move |problem| {
                let a = problem.random("a", dtype, a_shape, 2.0)?;
                let range = if divisors { 0.25..2.0 } else { -2.0..2.0 };
                let b = problem.random_within("b", dtype, b_shape, range)?;
                problem.graph.push_builtin(Binary { function }, &[a, b])
            });
            // Of thousands of pairs some are so close that a step changes which of them is larger.
            let close = matches!(function, Function::Maximum | Function::Minimum) && a_shape == [64, 65];
            cases.push(if close { case.kinked() } else { case });
        }
        let label = format!("{dtype} equal and opposite numbers");
        // An exponential of twice 99 is no f32.
        let far = if matches!(function, Function::ExpOfSum) { 3.5 } else { 99.0 };
        let numbers = Case::new(name, label, move |problem| {
            let a = HostTensor::from_f32(dtype, [8], &[1.0, -1.0, 2.0, -3.0, 0.5, -0.5, 4.0, far])?;
            let b = HostTensor::from_f32(dtype, [8], &[1.0, 1.0, 2.0, -3.0, -0.5, -0.5, -4.0, far])?;
            let (a, b) = (problem.input("a", a)?, problem.input("b", b)?);
            problem.graph.push_builtin(Binary { function }, &[a, b])
        });
        cases.push(numbers.kinked());
    }
    // The gradient of a divisor is divided twice.
    cases.into_iter().map(|case| case.builtin_ulps(1.5 * ulps)).collect()
}

#[cfg(feature = "check")]
fn comparison_cases(
    op: fn(&mut Graph, Value, Value) -> Result<Value>,
    comparison: Comparison,
) -> Vec<crate::check::Case> {
    use crate::check::{Case, Random};
    use crate::tensor::{HostTensor, Shape};

    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I32, DType::U32] {
        for (a_shape, b_shape) in SHAPES.into_iter().skip(2).step_by(2).chain([SHAPES[9]]) {
            let label = format!("{dtype} {} and {}", Shape::from(a_shape), Shape::from(b_shape));
            cases.push(Case::new(comparison.op_name(), label, move |problem| {
                let mut random = Random::new(5);
                // Few numbers, so that many are equal.
                let mut some = |shape: &[usize]| {
                    let lowest = if dtype == DType::U32 { 0.0 } else { -2.0 };
                    let elements: Vec<f32> = (0..shape.iter().product::<usize>())
                        .map(|_| lowest + random.next_below(4) as f32)
                        .collect();
                    HostTensor::from_f32(dtype, shape, &elements)
                };
                let (a, b) = (some(a_shape)?, some(b_shape)?);
                let (a, b) = (problem.input("a", a)?, problem.input("b", b)?);
                Ok(vec![op(&mut problem.graph, a, b)?])
            }));
        }
    }
    cases
}

/// Bytes are one read of every operand's element and one write. What is added up beyond all caches tells the rate of memory.
#[cfg(feature = "check")]
fn benches(
    name: &'static str,
    op: fn(&mut Graph, Value, Value) -> Result<Value>,
) -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    let bench = |label: &str, a_shape: [usize; 2], b_shape: &'static [usize]| {
        let elements = 2 * a_shape.iter().product::<usize>() + b_shape.iter().product::<usize>();
        Bench::new(name, label, Work::Bytes(4 * elements as u64), move |problem| {
            let a = problem.random("a", DType::F32, a_shape, 1.0)?;
            let b = problem.random("b", DType::F32, b_shape, 1.0)?;
            Ok(vec![op(&mut problem.graph, a, b)?])
        })
    };
    let mut benches = vec![
        bench("1M f32", [1024, 1024], &[1024, 1024]),
        bench("1M f32, a row repeated", [1024, 1024], &[1024]),
    ];
    if name == "elementwise/add" {
        benches.push(bench("16M f32", [4096, 4096], &[4096, 4096]));
    }
    benches
}
