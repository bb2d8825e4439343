//! The reductions: each as formulas, and beside them as WGSL.

use crate::tensor::Real;

/// What the terms of a result become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Kind {
    Sum,
    Mean,
    Max,
    Min,
}

/// WGSL of one reduction.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Formulas {
    /// What a fold starts from, given one of the terms, `term`, that it will also combine.
    pub(in crate::ops) start: &'static str,
    /// Of `a` and `b`.
    pub(in crate::ops) combine: &'static str,
    /// The packs `x` of all lanes of a workgroup, combined.
    pub(in crate::ops) over_lanes: &'static str,
    /// The result, of all terms combined, `x`, and their number, `elements`, which may be 0: then x is 0.
    pub(in crate::ops) finish: &'static str,
}

impl Kind {
    pub(in crate::ops) const fn wgsl(self) -> Formulas {
        let sum = Formulas {
            start: "Lanes(0.0)",
            combine: "a + b",
            over_lanes: "row_sum(0u, lanes_sum(x), lane)",
            finish: "x",
        };
        match self {
            Self::Sum => sum,
            Self::Mean => Formulas { finish: "x / f32(max(elements, 1u))", ..sum },
            Self::Max => Formulas {
                start: "term",
                combine: "max(a, b)",
                over_lanes: "row_max(0u, lanes_max(x), lane)",
                finish: "x",
            },
            Self::Min => Formulas {
                start: "term",
                combine: "min(a, b)",
                over_lanes: "-row_max(0u, lanes_max(-x), lane)",
                finish: "x",
            },
        }
    }

    /// The reduction of `terms`; 0 where there are none.
    pub(in crate::ops) fn of<R: Real>(self, terms: impl Iterator<Item = R>) -> R {
        let (mut reduced, mut count) = (None, 0);
        for term in terms {
            reduced = Some(reduced.map_or(term, |so_far| self.combine(so_far, term)));
            count += 1;
        }
        reduced.map_or(R::zero(), |reduced| self.finish(reduced, count))
    }

    /// Two terms, or what terms became so far and one more.
    pub(in crate::ops) fn combine<R: Real>(self, a: R, b: R) -> R {
        match self {
            Self::Sum | Self::Mean => a + b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }

    /// The result, of `count` terms combined.
    pub(in crate::ops) fn finish<R: Real>(self, reduced: R, count: usize) -> R {
        match self {
            Self::Mean => reduced / R::of(count.max(1) as f64),
            Self::Sum | Self::Max | Self::Min => reduced,
        }
    }
}
