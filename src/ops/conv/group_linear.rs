//! The dense layer of channels in groups, as a convolution of one tap.

use super::dense;
use super::reach::{Plane, Reach};
use crate::graph::{Graph, Value};
use crate::ops::contract::Contract;
use crate::ops::elementwise::Activation;
use crate::ops::reshape;
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

/// A grouped dense layer: channels are divided into consecutive groups, and each result reads the channels of its own group (Mehta et al., arXiv
/// 2008.00623, section 3.1): `x: [.., in]` by `weight: [groups, in / groups, out / groups]` and `bias: [out]`: `[.., out]`. The tiles read each group
/// in place.
///
/// Fails when shapes or types differ.
pub fn group_linear(graph: &mut Graph, x: Value, weight: Value, bias: Option<Value>) -> Result<Value> {
    const OP: &str = "group_linear";
    let (desc, weights) = (graph.desc(x)?.clone(), graph.desc(weight)?.clone());
    let contract = Contract::new(OP);
    contract.float("x", &desc)?;
    contract.dtype("weight", &weights, desc.dtype)?;
    let [groups, inner, out] = *weights.shape.dims() else {
        let error = Error::new(ErrorKind::Shape, OP, "weight");
        return Err(error.expecting("[groups, in / groups, out / groups]").but_found(weights));
    };
    let Some((&width, leading)) =
        desc.shape.dims().split_last().filter(|(width, _)| **width == groups * inner)
    else {
        let error = Error::new(ErrorKind::Shape, OP, "x");
        return Err(error.expecting(format!("[.., {}]", groups * inner)).but_found(desc));
    };
    if let Some(bias) = bias {
        let expected = TensorDesc::new(desc.dtype, [groups * out]);
        contract.same("bias", graph.desc(bias)?, "the result's channels", &expected)?;
    }
    let rows = leading.iter().product();
    let plane = Plane { down: Reach::ONE, across: Reach::pointwise(rows) };
    let flat = reshape(graph, x, [1, 1, rows, width])?;
    let weight = reshape(graph, weight, [groups, 1, inner, out])?;
    let y = dense::dense(
        graph,
        flat,
        weight,
        &dense::Spec { plane, activation: Activation::Identity, bias, segments: None },
    )?;
    reshape(graph, y, leading.iter().copied().chain([groups * out]).collect::<Vec<_>>())
}
