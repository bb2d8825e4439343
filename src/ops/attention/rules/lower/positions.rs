//! Where queries stand, as WGSL: under an alignment, or where a tensor says that they begin.

use crate::kernel::{Generated, Source, wgsl};
use crate::ops::attention::rules::{Alignment, Rule};

/// How rules find where queries stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryPositions {
    /// Whether a tensor says where the queries of each batch item begin, whatever the alignment.
    is_moved: bool,
}

impl QueryPositions {
    pub(super) fn of(rule: &Rule) -> Self {
        Self { is_moved: rule.query_start.is_some() }
    }

    /// The key opposite query 0.
    pub(super) fn shift(self, alignment: Alignment) -> &'static str {
        match (self.is_moved, alignment) {
            (true, _) => "query_start(batch)",
            (false, Alignment::BottomRight) => "bottom_right()",
            (false, Alignment::TopLeft) => "0",
        }
    }

    /// The least distance that there may be.
    pub(super) fn least_distance(self, alignment: Alignment) -> &'static str {
        match (self.is_moved, alignment) {
            (true, _) => "(1 - i32(params.query_time + params.key_time))",
            (false, Alignment::BottomRight) => "(1 - i32(params.query_time))",
            (false, Alignment::TopLeft) => "(1 - i32(params.key_time))",
        }
    }

    /// How many distances there may be, as a u32.
    pub(super) fn distance_count(self) -> &'static str {
        match self.is_moved {
            true => "(2u * (params.query_time + params.key_time) - 1u)",
            false => "(params.query_time + params.key_time - 1u)",
        }
    }

    /// The file whose functions [`Self::queries`], [`Self::rect`] and [`Self::placed`] call, if they do.
    pub(super) fn source(self) -> Option<Source> {
        self.is_moved.then_some(wgsl!("attention/rules/own_keys.wgsl"))
    }

    /// The positions of four queries among what rules hold by position: those of the nearest keys, where that is keys'.
    pub(super) fn queries(self) -> &'static str {
        if self.is_moved { "own_key(batch, query)" } else { "query" }
    }

    /// A rectangle with these positions in place of queries.
    pub(super) fn rect(self) -> &'static str {
        if self.is_moved { "own_keys(batch, at)" } else { "at" }
    }

    /// The parameter that holds how many positions there are among what rules hold by the position of a query.
    pub(super) fn time(self) -> &'static str {
        if self.is_moved { "key_time" } else { "query_time" }
    }

    /// Whether four queries from a multiple of four on may stand anywhere.
    pub(super) fn may_begin_anywhere(self) -> bool {
        self.is_moved
    }

    /// What `sees` and `meets` say of queries that have a position.
    pub(super) fn placed(self, sees: String, meets: String) -> (String, String) {
        match self.is_moved {
            true => (
                format!("({sees} & has_own_key(batch, query))"),
                format!("({meets} & have_own_keys(batch, at))"),
            ),
            false => (sees, meets),
        }
    }
}

/// `query_start`, the key opposite query 0 where the mask is a range of keys or a tensor says it; of a tensor, no number farther from the
/// keys than that all queries lie before them or behind.
pub(super) fn query_start(starts: Option<u32>) -> Generated {
    let start = match starts {
        Some(section) => format!(
            "clamp(integer(section({section}u) + batch), -i32(params.query_time), i32(params.key_time))"
        ),
        None => "params.shift".into(),
    };
    Generated {
        label: "(where queries begin)".into(),
        by_user: false,
        text: format!("fn query_start(batch: u32) -> i32 {{\n    return {start};\n}}\n"),
    }
}
