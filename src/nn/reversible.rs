//! Reversible residual layers (Gomez et al., arXiv 1707.04585; in Transformers, Kitaev et al., arXiv 2001.04451, section 3).

use crate::graph::{Block, Branch, Graph, ReversibleBlock, Value};
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result, ops};

const NAME: &str = "reversible";

/// A layer `y1 = x1 + f(x2)`, `y2 = x2 + g(y1)`, whose inputs follow from its results: `x2 = y2 - g(y1)`, `x1 = y1 - f(x2)`.
///
/// [`Graph::gradients`] makes the inputs anew from the results, so that a stack of such layers takes the memory of one, for one more
/// evaluation of `f` and `g` each. The two streams are f32 whatever `f` and `g` compute in: rounding would add up from layer to layer.
///
/// ```
/// use foveate::{Graph, TensorDesc, nn::Reversible, ops};
///
/// # fn main() -> foveate::Result<()> {
/// let mut graph = Graph::new();
/// let x = graph.input("x", TensorDesc::f32([8, 16]))?;
/// let layer = Reversible::new(ops::gelu, ops::tanh);
/// let [y1, y2] = layer.record(&mut graph, [x, x])?;
/// let y = ops::add(&mut graph, y1, y2)?;
/// graph.output("y", y)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reversible<F, G> {
    f: F,
    g: G,
}

impl<F, G> Reversible<F, G>
where
    F: Fn(&mut Graph, Value) -> Result<Value>,
    G: Fn(&mut Graph, Value) -> Result<Value>,
{
    /// A layer of two functions, each of which records steps that depend on their argument and on parameters, and gives a value of the
    /// argument's shape.
    pub fn new(f: F, g: G) -> Self {
        Self { f, g }
    }

    /// The results `[y1, y2]` for `[x1, x2]`, all f32 and of one shape. Fails as `f` and `g` do, when shapes or types differ, and inside
    /// of a checkpointed segment.
    pub fn record(&self, graph: &mut Graph, [x1, x2]: [Value; 2]) -> Result<[Value; 2]> {
        check(graph, "x1", x1, x1)?;
        check(graph, "x2", x2, x1)?;
        let (start, blocks) = (graph.steps().len(), graph.blocks().len());
        let f = branch(graph, "f(x2)", x2, &self.f)?;
        let y1 = ops::add(graph, x1, f.result)?;
        let g = branch(graph, "g(y1)", y1, &self.g)?;
        let y2 = ops::add(graph, x2, g.result)?;
        let steps = start..graph.steps().len();
        let block = ReversibleBlock { steps, x: [x1, x2], y: [y1, y2], f, g };
        graph.append_block(blocks, Block::Reversible(Box::new(block)))?;
        Ok([y1, y2])
    }

    /// The inputs `[x1, x2]` that give `[y1, y2]`, up to rounding.
    pub fn reverse(&self, graph: &mut Graph, [y1, y2]: [Value; 2]) -> Result<[Value; 2]> {
        check(graph, "y1", y1, y1)?;
        check(graph, "y2", y2, y1)?;
        let g = branch(graph, "g(y1)", y1, &self.g)?;
        let x2 = ops::subtract(graph, y2, g.result)?;
        let f = branch(graph, "f(x2)", x2, &self.f)?;
        let x1 = ops::subtract(graph, y1, f.result)?;
        Ok([x1, x2])
    }
}

/// Records `function` of `x`.
fn branch(
    graph: &mut Graph,
    what: &str,
    x: Value,
    function: impl Fn(&mut Graph, Value) -> Result<Value>,
) -> Result<Branch> {
    let start = graph.steps().len();
    let result = function(graph, x)?;
    check(graph, what, result, x)?;
    Ok(Branch { steps: start..graph.steps().len(), result })
}

/// Refuses a value that is not f32 or not of the shape of `like`.
fn check(graph: &Graph, argument: &str, value: Value, like: Value) -> Result<()> {
    let (found, wanted) = (graph.desc(value)?, graph.desc(like)?);
    if found.dtype != DType::F32 {
        let expected = "f32, as the streams of reversible layers are";
        return Err(Error::new(ErrorKind::Dtype, NAME, argument).expecting(expected).but_found(found.dtype));
    }
    if found != wanted {
        return Err(Error::new(ErrorKind::Shape, NAME, argument).expecting(wanted).but_found(found));
    }
    Ok(())
}
