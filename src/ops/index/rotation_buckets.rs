//! Buckets of rotated rows: what locality-sensitive hashing by angles gives (Andoni et al., arXiv 1509.02897; Kitaev et al., 2001.04451).

use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "index/rotation_buckets";

/// More factors than anybody needs: 2^8 buckets at least.
const MOST_FACTORS: usize = 8;

#[derive(Clone, Debug)]
struct RotationBuckets {
    factors: Vec<usize>,
}

/// The bucket of each row of `rotated: [.., width]`, f32 or f16: i32 `[..]`.
///
/// Of one factor, an even number, the bucket is the place of the largest among the row's `factor / 2` elements and their negatives behind them,
/// the first of several. Of several, each has its own part of the row, `width` in all, and the bucket is `b_0 + f_0 (b_1 + f_1 (b_2 + ..))`: so
/// many rotations find as many buckets as the factors' product. No gradient passes. Fails when there is no factor or more than 8, when one is odd
/// or 0, when their product leaves i32, or when they do not fit the rows.
pub fn rotation_buckets(graph: &mut Graph, rotated: Value, factors: &[usize]) -> Result<Value> {
    graph.push_builtin_one(RotationBuckets { factors: factors.to_vec() }, &[rotated])
}

impl RotationBuckets {
    fn width(&self) -> usize {
        self.factors.iter().map(|factor| factor / 2).sum()
    }

    fn check_factors(&self) -> Result<()> {
        let refused = |expected: &str, found: String| {
            Err(Error::new(ErrorKind::Argument, NAME, "factors").expecting(expected).but_found(found))
        };
        if self.factors.is_empty() || self.factors.len() > MOST_FACTORS {
            return refused("1 to 8 factors", self.factors.len().to_string());
        }
        if let Some(factor) = self.factors.iter().find(|factor| **factor == 0 || **factor % 2 == 1) {
            return refused("even numbers of buckets, at least 2", factor.to_string());
        }
        let product = self.factors.iter().try_fold(1_usize, |product, factor| product.checked_mul(*factor));
        if product.is_none_or(|product| product > i32::MAX as usize) {
            return refused("a product that fits i32", format!("{:?}", self.factors));
        }
        Ok(())
    }
}

impl Op for RotationBuckets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["rotated"])?;
        contract.float("rotated", &inputs[0])?;
        self.check_factors()?;
        match inputs[0].shape.dims() {
            [leading @ .., width] if *width == self.width() => Ok(vec![TensorDesc::i32(leading)]),
            _ => Err(contract
                .shape_error("rotated")
                .expecting(format!("[.., {}], half of the factors together", self.width()))
                .but_found(&inputs[0].shape)),
        }
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let rotated = inputs[0];
        let (leading, width) = (&rotated.dims()[..rotated.dims().len() - 1], self.width());
        let bucket = |row: &[R]| {
            let (mut bucket, mut unit, mut rest) = (0, 1, row);
            for &factor in &self.factors {
                let (own, behind) = rest.split_at(factor / 2);
                let all = own.iter().copied().chain(own.iter().map(|&x| -x)).enumerate();
                let largest = all.reduce(|best, next| if next.1 > best.1 { next } else { best });
                bucket += unit * largest.map_or(0, |(place, _)| place as i64);
                unit *= factor as i64;
                rest = behind;
            }
            bucket
        };
        vec![Array::index(leading, rotated.reals().chunks(width).map(bucket).collect())]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let mut kernel = Kernel::new(NAME, [wgsl!("index/rotation_buckets.wgsl")])
            .read("rotated", Operand::Input(0), step.inputs[0].dtype)
            .write("result", Operand::Output(0), step.outputs[0].dtype)
            .param("width", to_u32(NAME, "width", self.width())?)
            .param("factors", self.factors.len() as u32)
            .turns(self.width() as u64 + 2 * MOST_FACTORS as u64);
        let names = ["half0", "half1", "half2", "half3", "half4", "half5", "half6", "half7"];
        for (place, name) in names.into_iter().enumerate() {
            let half = self.factors.get(place).map_or(0, |factor| factor / 2);
            kernel = kernel.param(name, to_u32(NAME, "factors", half)?);
        }
        let dispatch = kernel.per_element(to_u32(NAME, "rows", step.outputs[0].elements())?, caps);
        Ok(Lowered::elementwise(dispatch, 1))
    }

    fn is_choice(&self) -> bool {
        true
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(vec![Gradient::None])
    }
}

/// One factor and several, two buckets and many, ties, rows of zeros, no rows.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::check::Case;
    use crate::{DType, HostTensor};

    let problems: [(&'static [usize], &'static [usize]); 7] = [
        (&[5], &[2]),
        (&[0], &[4]),
        (&[3, 65], &[8]),
        (&[2, 3, 17], &[4, 2]),
        (&[97], &[64, 32]),
        (&[11], &[2, 6, 4]),
        (&[2], &[2, 2, 2, 2, 2, 2, 2, 2]),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (leading, factors) in problems {
            let label = format!("{dtype} {} rows, factors {factors:?}", crate::Shape::from(leading));
            cases.push(Case::new(NAME, label, move |problem| {
                let width: usize = factors.iter().map(|factor| factor / 2).sum();
                let rotated = problem.random("rotated", dtype, [leading, &[width]].concat(), 1.0)?;
                Ok(vec![rotation_buckets(&mut problem.graph, rotated, factors)?])
            }));
        }
    }
    cases.push(Case::new(NAME, "equal elements and zeros", |problem| {
        let rows = vec![0.5, 0.5, -0.5, 0.0, 0.0, 0.0, -0.5, 0.25, -0.5];
        let rotated = problem.input("rotated", HostTensor::f32([3, 3], rows)?)?;
        Ok(vec![rotation_buckets(&mut problem.graph, rotated, &[6])?])
    }));
    cases
}

/// One read of every element, and one write of every bucket.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    vec![Bench::new(NAME, "65536 rows, factors 16 and 16", Work::Bytes(65_536 * (16 + 1) * 4), |problem| {
        let rotated = problem.random("rotated", crate::DType::F32, [65_536, 16], 1.0)?;
        Ok(vec![rotation_buckets(&mut problem.graph, rotated, &[16, 16])?])
    })]
}
