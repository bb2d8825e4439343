//! The rules of masks as WGSL: a call for four pairs, and one for all pairs of a rectangle, to the functions of the file of each rule.

use super::{NodeExpressions, Writer};
use crate::Result;
use crate::kernel::wgsl;
use crate::ops::attention::UNLIMITED;
use crate::ops::attention::rules::mask::{Band, Blocks, Dilated};
use crate::ops::attention::rules::{Alignment, CustomMask, LogSparse};

/// Bounds that no distance reaches are all alike, so that shaders are.
fn bound(bound: Option<u32>) -> u32 {
    bound.unwrap_or(UNLIMITED).min(UNLIMITED)
}

impl Writer<'_, '_> {
    pub(super) fn band(&mut self, &Band { left, right, alignment }: &Band) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/band.wgsl"));
        let bounds = format!("{}, {}", bound(left), bound(right));
        NodeExpressions::new(
            format!("band_sees({}, {bounds})", self.distance(alignment)),
            format!("band_meets({}, {bounds})", self.distances(alignment)),
        )
    }

    pub(super) fn same_block(&mut self, size: u32, alignment: Alignment) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/same_block.wgsl"));
        let shift = self.positions.shift(alignment);
        let size = size.min(UNLIMITED);
        NodeExpressions::new(
            format!("same_block_sees(query + vec4({shift}), key, {size})"),
            format!("same_block_meets(at, {shift}, {size})"),
        )
    }

    pub(super) fn columns(&mut self, period: u32, from: u32) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/columns.wgsl"));
        let numbers = format!("{}, {}", period.min(UNLIMITED), from.min(UNLIMITED));
        NodeExpressions::new(format!("columns_sees(key, {numbers})"), format!("columns_meets(at, {numbers})"))
    }

    pub(super) fn log_sparse(&mut self, spec: LogSparse, alignment: Alignment) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/log_sparse.wgsl"));
        let numbers = format!("{}, {}", spec.local.min(UNLIMITED), bound(spec.restart));
        NodeExpressions::new(
            format!("log_sparse_sees({}, {numbers})", self.distance(alignment)),
            format!("log_sparse_meets({}, {numbers})", self.distances(alignment)),
        )
    }

    pub(super) fn prefix(&mut self, count: &str) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/prefix.wgsl"));
        NodeExpressions::new(format!("prefix_sees(key, {count})"), format!("prefix_meets(at, {count})"))
    }

    pub(super) fn lengths(&mut self, tensor: usize) -> Result<NodeExpressions> {
        self.composed.by_batch = true;
        let section = self.aux.copied(tensor)?;
        Ok(self.prefix(&format!("integer(section({section}u) + batch)")))
    }

    pub(super) fn segments(&mut self, tensor: usize) -> Result<NodeExpressions> {
        self.uses(wgsl!("attention/rules/segments.wgsl"));
        self.composed.by_batch = true;
        self.composed.packed = true;
        let section = self.aux.ends(tensor)?;
        let (queries, rect) = (self.positions.queries(), self.positions.rect());
        Ok(self.placed(
            format!("segments_sees(section({section}u), batch, {queries}, key)"),
            format!("segments_meets(section({section}u), batch, {rect})"),
        ))
    }

    pub(super) fn global_keys(&mut self, tensor: usize) -> Result<NodeExpressions> {
        let list = self.globals(tensor, "key_time")?;
        Ok(NodeExpressions::new(
            format!("globals_sees({list}, key)"),
            format!("globals_meets({list}, at.first_key, at.last_key)"),
        ))
    }

    pub(super) fn global_queries(&mut self, tensor: usize) -> Result<NodeExpressions> {
        let list = self.globals(tensor, self.positions.time())?;
        let (queries, rect) = (self.positions.queries(), self.positions.rect());
        Ok(self.placed(
            format!("globals_sees({list}, {queries})"),
            format!("globals_meets({list}, {rect}.first_query, {rect}.last_query)"),
        ))
    }

    /// The arguments of calls that name a list of positions along a time.
    fn globals(&mut self, tensor: usize, time: &str) -> Result<String> {
        self.uses(wgsl!("attention/rules/globals.wgsl"));
        self.composed.by_batch = true;
        let extent = if time == "key_time" { self.dims.key_time } else { self.dims.query_time };
        let section = self.aux.listed(tensor, extent)?;
        Ok(format!("section({section}u), params.{time}, batch"))
    }

    pub(super) fn dense(&mut self, tensor: usize) -> Result<NodeExpressions> {
        self.uses(wgsl!("attention/rules/dense.wgsl"));
        let section = self.aux.bits(tensor)?;
        let (batches, heads) = (self.aux.desc(tensor).shape.dims()[0], self.aux.desc(tensor).shape.dims()[1]);
        self.composed.by_batch |= batches > 1;
        self.composed.by_head |= heads > 1;
        let row = |head: &str| {
            let batch = if batches > 1 { "batch * params.heads" } else { "0u" };
            let batch = if heads > 1 || batches == 1 { batch } else { "batch" };
            let head = if heads > 1 { head } else { "0u" };
            format!("({batch} + {head}) * params.query_time * ((params.key_time + 31u) / 32u)")
        };
        Ok(NodeExpressions::new(
            format!("dense_sees(vec4(section({section}u)) + {}, query, key)", vector_rows(&row)),
            format!("dense_meets(section({section}u) + {}, at)", row("head")),
        ))
    }

    pub(super) fn custom(&mut self, rule: &CustomMask) -> NodeExpressions {
        // Nothing is known about what a user's rule depends on.
        (self.composed.by_batch, self.composed.by_head) = (true, true);
        // A rule may be in the mask several times.
        if !self.composed.generated.contains(&rule.part()) {
            self.composed.generated.push(rule.part());
        }
        let name = &rule.name;
        let (queries, rect) = (self.positions.queries(), self.positions.rect());
        let of = |lane: char| format!("{name}(batch, head.{lane}, {queries}.{lane}, key.{lane})");
        let meets = match rule.has_tiles {
            true => format!(
                "{name}_tile(batch, head, {rect}.first_query, {rect}.last_query, at.first_key, at.last_key)"
            ),
            false => "vec2(true, false)".into(),
        };
        NodeExpressions::new(
            format!("vec4({})", "xyzw".chars().map(of).collect::<Vec<_>>().join(", ")),
            meets,
        )
    }

    pub(super) fn dilated(&mut self, dilated: &Dilated) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/dilated.wgsl"));
        let Dilated { left, right, dilation, alignment } = dilated;
        let step = |step: &u32| step.min(&UNLIMITED).to_string();
        let same = dilation.windows(2).all(|pair| pair[0] == pair[1]);
        let (steps, own) = if same {
            let step = dilation.first().map_or("1".into(), step);
            (format!("vec4({step})"), step)
        } else {
            self.composed.by_head = true;
            let name = self.by_head("dilation", dilation.iter().map(step));
            let lanes: Vec<String> = "xyzw".chars().map(|lane| format!("{name}(head.{lane})")).collect();
            (format!("vec4({})", lanes.join(", ")), format!("{name}(head)"))
        };
        let bounds = format!("{}, {}", bound(*left), bound(*right));
        NodeExpressions::new(
            format!("dilated_sees({}, {steps}, {bounds})", self.distance(*alignment)),
            format!("dilated_meets({}, {own}, {bounds})", self.distances(*alignment)),
        )
    }

    /// Defines a function from a head to its number.
    fn by_head(&mut self, what: &str, numbers: impl Iterator<Item = String>) -> String {
        let name = format!("{what}_{}", self.helpers.len());
        let cases: String = numbers
            .enumerate()
            .map(|(head, number)| format!("        case {head}u: {{ return {number}; }}\n"))
            .collect();
        self.helpers += &format!(
            "fn {name}(head: u32) -> i32 {{\n    switch head {{\n{cases}        default: {{ return 1; }}\n    }}\n}}\n"
        );
        name
    }

    pub(super) fn blocks(&mut self, Blocks { layout, data }: &Blocks<usize>) -> Result<NodeExpressions> {
        self.uses(wgsl!("attention/rules/blocks.wgsl"));
        let section = match data {
            Some(tensor) => self.aux.copied(*tensor)?,
            None => 0,
        };
        let by_head = layout.shape()[0] > 1;
        self.composed.by_head |= by_head;
        let size = layout.block_size().min(UNLIMITED);
        // How many blocks there are depends on the times, which shaders should not.
        let blocks = |time: &str| format!("((params.{time} + {size}u - 1u) / {size}u)");
        let words = format!("(({} + 31u) / 32u)", blocks("key_time"));
        let (time, queries, rect) = (self.positions.time(), self.positions.queries(), self.positions.rect());
        let first = |head: &str| match by_head {
            true => format!("{head} * {} * {words}", blocks(time)),
            false => "0u".into(),
        };
        let group = self.dims.group();
        let in_one_block = size.is_multiple_of(4)
            && !self.askew
            && !self.positions.may_begin_anywhere()
            && group.is_power_of_two()
            && (!by_head || group == 1);
        let sees = match in_one_block {
            true => {
                let first = first("head.x");
                format!("blocks_see_all(section({section}u) + {first}, {words}, {size}u, query.x, key.x)")
            }
            false => {
                let first = vector_rows(&first);
                format!("blocks_sees(vec4(section({section}u)) + {first}, {words}, {size}u, {queries}, key)")
            }
        };
        let meets =
            format!("blocks_meets(section({section}u) + {}, {words}, {size}u, {rect})", first("head"));
        Ok(self.placed(sees, meets))
    }

    /// What an adaptive span hides.
    pub(super) fn ramp(&mut self, span: usize, ramp: f32, alignment: Alignment) -> Result<NodeExpressions> {
        self.uses(wgsl!("attention/rules/span.wgsl"));
        self.composed.by_head = true;
        let section = self.aux.copied(span)?;
        Ok(NodeExpressions::new(
            format!(
                "span_sees({}, reals(vec4(section({section}u)) + head), {ramp:e})",
                self.distance(alignment)
            ),
            format!("span_meets({}, real(section({section}u) + head), {ramp:e})", self.distances(alignment)),
        ))
    }
}

/// A number for each of four heads.
fn vector_rows(of: &dyn Fn(&str) -> String) -> String {
    format!("vec4({})", ["head.x", "head.y", "head.z", "head.w"].map(of).join(", "))
}
