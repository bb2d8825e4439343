//! The mask as WGSL: `sees` for four pairs of query and key, `meets` for all pairs of a rectangle. The rules that a mask combines are in
//! [`rules`].

mod rules;

use super::aux_buffer::AuxBuffer;
use super::positions::QueryPositions;
use crate::Result;
use crate::kernel::{Generated, Source};
use crate::ops::attention::rules::mask::Node;
use crate::ops::attention::rules::{Alignment, Rule, Term};
use crate::ops::attention::{Dims, UNLIMITED};

/// A mask in WGSL.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) sources: Vec<Source>,
    pub(super) generated: Vec<Generated>,
    /// Whether the keys that a tile sees depend on the batch item, or the head.
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
    /// Whether some pass evaluates four pairs of one distance. Other passes evaluate four columns of one row, and where groups of heads are
    /// a power of two, the first of the four columns is a multiple of four.
    askew: bool,
    positions: QueryPositions,
    composed: Composed,
    helpers: String,
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
            Node::Band(band) => self.band(band),
            Node::Dilated(dilated) => self.dilated(dilated),
            &Node::SameBlock { size, alignment } => self.same_block(size, alignment),
            &Node::Columns { period, from } => self.columns(period, from),
            &Node::LogSparse { spec, alignment } => self.log_sparse(spec, alignment),
            &Node::Prefix(count) => self.prefix(&count.min(UNLIMITED).to_string()),
            &Node::Lengths(tensor) => self.lengths(tensor)?,
            &Node::Segments(tensor) => self.segments(tensor)?,
            &Node::GlobalKeys(tensor) => self.global_keys(tensor)?,
            &Node::GlobalQueries(tensor) => self.global_queries(tensor)?,
            Node::Blocks(blocks) => self.blocks(blocks)?,
            &Node::Dense(tensor) => self.dense(tensor)?,
            Node::Custom(rule) => self.custom(rule),
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
}
