//! The mask as WGSL: `sees` for four pairs, `meets` for all pairs of a rectangle.

use super::aux_buffer::AuxBuffer;
use super::positions::QueryPositions;
use crate::Result;
use crate::kernel::{Generated, Source, wgsl};
use crate::ops::attention::rules::mask::{Band, Blocks, Dilated, Node};
use crate::ops::attention::rules::{Alignment, Rule, Term};
use crate::ops::attention::{Dims, UNLIMITED};

/// A mask in WGSL.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) sources: Vec<Source>,
    pub(super) generated: Vec<Generated>,
    /// Whether tiles meet other keys in other batch items, or heads.
    pub(super) by_batch: bool,
    pub(super) by_head: bool,
    /// Whether sequences are packed in it.
    pub(super) packed: bool,
}

pub(super) fn compose(rule: &Rule, dims: &Dims, aux: &mut AuxBuffer<'_>) -> Result<Composed> {
    let askew = rule.relative_keys().is_some();
    let positions = QueryPositions::of(rule);
    let composed = Composed { by_batch: rule.query_start.is_some(), ..Composed::default() };
    let mut writer = Writer { dims, aux, askew, positions, composed, helpers: String::new() };
    positions.source().into_iter().for_each(|source| writer.uses(source));
    let mut expressions = writer.write(&rule.mask.0)?;
    for term in &rule.terms {
        if let Term::Ramp { span, ramp, alignment } = *term {
            let ramp = writer.ramp(span, ramp, alignment)?;
            expressions = NodeExpressions::new(
                format!("{} & {}", expressions.sees, ramp.sees),
                format!("{} & {}", expressions.meets, ramp.meets),
            );
        }
    }
    let Writer { mut composed, helpers, .. } = writer;
    let NodeExpressions { sees, meets } = expressions;
    composed.generated.push(Generated {
        label: "(the mask)".into(),
        by_user: false,
        text: format!(
            "{helpers}
fn sees(batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>) -> vec4<bool> {{
    return {sees};
}}

fn meets(batch: u32, head: u32, at: Rect) -> vec2<bool> {{
    return {meets};
}}
"
        ),
    });
    Ok(composed)
}

/// The WGSL of one mask node: an expression for four pairs, and one for all pairs of a rectangle.
struct NodeExpressions {
    sees: String,
    meets: String,
}

impl NodeExpressions {
    fn new(sees: String, meets: String) -> Self {
        Self { sees, meets }
    }
}

struct Writer<'w, 'a> {
    dims: &'w Dims,
    aux: &'w mut AuxBuffer<'a>,
    /// Whether some pass evaluates four pairs of one distance. Others evaluate four columns of one row; where their number in a group is a
    /// power of two, from a multiple of four on.
    askew: bool,
    positions: QueryPositions,
    composed: Composed,
    helpers: String,
}

/// Bounds that no distance reaches are all alike, so that shaders are.
fn bound(bound: Option<u32>) -> u32 {
    bound.unwrap_or(UNLIMITED).min(UNLIMITED)
}

impl Writer<'_, '_> {
    fn uses(&mut self, source: Source) {
        if !self.composed.sources.contains(&source) {
            self.composed.sources.push(source);
        }
    }

    /// The distance of four pairs.
    fn distance(&self, alignment: Alignment) -> String {
        format!("(query + vec4({}) - key)", self.positions.shift(alignment))
    }

    /// The least and the greatest distance in a rectangle.
    fn distances(&self, alignment: Alignment) -> String {
        format!("distances(at, {})", self.positions.shift(alignment))
    }

    /// The expressions of a rule that holds something by the position of a query.
    fn placed(&self, sees: String, meets: String) -> NodeExpressions {
        let (sees, meets) = self.positions.placed(sees, meets);
        NodeExpressions::new(sees, meets)
    }

    fn write(&mut self, node: &Node<usize>) -> Result<NodeExpressions> {
        Ok(match node {
            &Node::Band(Band { left, right, alignment }) => {
                self.uses(wgsl!("attention/rules/band.wgsl"));
                let bounds = format!("{}, {}", bound(left), bound(right));
                NodeExpressions::new(
                    format!("band_sees({}, {bounds})", self.distance(alignment)),
                    format!("band_meets({}, {bounds})", self.distances(alignment)),
                )
            }
            Node::Dilated(dilated) => self.dilated(dilated),
            &Node::SameBlock { size, alignment } => {
                self.uses(wgsl!("attention/rules/same_block.wgsl"));
                let shift = self.positions.shift(alignment);
                let size = size.min(UNLIMITED);
                NodeExpressions::new(
                    format!("same_block_sees(query + vec4({shift}), key, {size})"),
                    format!("same_block_meets(at, {shift}, {size})"),
                )
            }
            &Node::Columns { period, from } => {
                self.uses(wgsl!("attention/rules/columns.wgsl"));
                let numbers = format!("{}, {}", period.min(UNLIMITED), from.min(UNLIMITED));
                NodeExpressions::new(
                    format!("columns_sees(key, {numbers})"),
                    format!("columns_meets(at, {numbers})"),
                )
            }
            &Node::LogSparse { spec, alignment } => {
                self.uses(wgsl!("attention/rules/log_sparse.wgsl"));
                let numbers = format!("{}, {}", spec.local.min(UNLIMITED), bound(spec.restart));
                NodeExpressions::new(
                    format!("log_sparse_sees({}, {numbers})", self.distance(alignment)),
                    format!("log_sparse_meets({}, {numbers})", self.distances(alignment)),
                )
            }
            &Node::Prefix(count) => self.prefix(&count.min(UNLIMITED).to_string()),
            &Node::Lengths(tensor) => {
                self.composed.by_batch = true;
                let section = self.aux.copied(tensor)?;
                self.prefix(&format!("integer(section({section}u) + batch)"))
            }
            &Node::Segments(tensor) => {
                self.uses(wgsl!("attention/rules/segments.wgsl"));
                self.composed.by_batch = true;
                self.composed.packed = true;
                let section = self.aux.ends(tensor)?;
                let (queries, rect) = (self.positions.queries(), self.positions.rect());
                self.placed(
                    format!("segments_sees(section({section}u), batch, {queries}, key)"),
                    format!("segments_meets(section({section}u), batch, {rect})"),
                )
            }
            &Node::GlobalKeys(tensor) => {
                let list = self.globals(tensor, "key_time")?;
                NodeExpressions::new(
                    format!("globals_sees({list}, key)"),
                    format!("globals_meets({list}, at.first_key, at.last_key)"),
                )
            }
            &Node::GlobalQueries(tensor) => {
                let list = self.globals(tensor, self.positions.time())?;
                let (queries, rect) = (self.positions.queries(), self.positions.rect());
                self.placed(
                    format!("globals_sees({list}, {queries})"),
                    format!("globals_meets({list}, {rect}.first_query, {rect}.last_query)"),
                )
            }
            Node::Blocks(blocks) => self.blocks(blocks)?,
            &Node::Dense(tensor) => {
                self.uses(wgsl!("attention/rules/dense.wgsl"));
                let section = self.aux.bits(tensor)?;
                let (batches, heads) =
                    (self.aux.desc(tensor).shape.dims()[0], self.aux.desc(tensor).shape.dims()[1]);
                self.composed.by_batch |= batches > 1;
                self.composed.by_head |= heads > 1;
                let row = |head: &str| {
                    let batch = if batches > 1 { "batch * params.heads" } else { "0u" };
                    let batch = if heads > 1 || batches == 1 { batch } else { "batch" };
                    let head = if heads > 1 { head } else { "0u" };
                    format!("({batch} + {head}) * params.query_time * ((params.key_time + 31u) / 32u)")
                };
                NodeExpressions::new(
                    format!("dense_sees(vec4(section({section}u)) + {}, query, key)", vector_rows(&row)),
                    format!("dense_meets(section({section}u) + {}, at)", row("head")),
                )
            }
            Node::Custom(rule) => {
                // Of what a rule of users depends on, nothing is known.
                (self.composed.by_batch, self.composed.by_head) = (true, true);
                // A rule may stand in several places.
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
            // Made a layout by prepare, and refused by the contract.
            Node::BigBird(_) | Node::TooMany(_) => {
                NodeExpressions::new("vec4(false)".into(), "vec2(false)".into())
            }
            Node::All(parts) => self.combined(parts, '&')?,
            Node::Any(parts) => self.combined(parts, '|')?,
            Node::Not(part) => {
                let NodeExpressions { sees, meets } = self.write(part)?;
                NodeExpressions::new(format!("!{sees}"), format!("opposite({meets})"))
            }
        })
    }

    /// Side by side in one pair of parentheses: parsers allow only so many within each other.
    fn combined(&mut self, parts: &[Node<usize>], operator: char) -> Result<NodeExpressions> {
        let parts = parts.iter().map(|part| self.write(part)).collect::<Result<Vec<_>>>()?;
        let join = |of: fn(&NodeExpressions) -> &str| {
            format!("({})", parts.iter().map(of).collect::<Vec<_>>().join(&format!(" {operator} ")))
        };
        Ok(NodeExpressions::new(join(|part| &part.sees), join(|part| &part.meets)))
    }

    fn prefix(&mut self, count: &str) -> NodeExpressions {
        self.uses(wgsl!("attention/rules/prefix.wgsl"));
        NodeExpressions::new(format!("prefix_sees(key, {count})"), format!("prefix_meets(at, {count})"))
    }

    /// What names a list of positions along a time in calls.
    fn globals(&mut self, tensor: usize, time: &str) -> Result<String> {
        self.uses(wgsl!("attention/rules/globals.wgsl"));
        self.composed.by_batch = true;
        let extent = if time == "key_time" { self.dims.key_time } else { self.dims.query_time };
        let section = self.aux.listed(tensor, extent)?;
        Ok(format!("section({section}u), params.{time}, batch"))
    }

    fn dilated(&mut self, dilated: &Dilated) -> NodeExpressions {
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

    fn blocks(&mut self, Blocks { layout, data }: &Blocks<usize>) -> Result<NodeExpressions> {
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
    fn ramp(&mut self, span: usize, ramp: f32, alignment: Alignment) -> Result<NodeExpressions> {
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
