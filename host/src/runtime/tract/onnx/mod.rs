//! What happens to a parsed ONNX file before tract sees it: everything whose meaning tract does not keep is refused, or
//! rewritten into operators whose meaning it keeps.

mod attributes;
mod build;
mod halves;
mod images;
mod recurrent;
mod rewrite;
mod rules;
mod sizes;
mod table;
mod values;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use crate::runtime::LoadError;
pub(super) use sizes::{known_sizes, manifest_line};

/// Prepares a parsed file for tract. Gives the nodes before the bounds of slices were made to end with their tensors, if some
/// were: a size that is the smaller of two cannot be planned around everywhere.
pub(super) fn prepare(model: &mut ModelProto) -> Result<Option<Vec<NodeProto>>, LoadError> {
    rules::check(model)?;
    let opset = opset(model);
    let Some(graph) = &mut model.graph else { return Ok(None) };
    values::check(graph)?;
    values::name_dimensions(graph);
    values::make_outputs(graph);
    halves::widen(graph);
    rewrite::graph(graph, opset);
    let before = graph.node.clone();
    Ok(rewrite::clamp_slices(graph, opset).then_some(before))
}

/// The version of ONNX's own operators that a file asks for.
fn opset(model: &ModelProto) -> i64 {
    let own = model.opset_import.iter().find(|import| rules::is_onnx(&import.domain));
    own.map_or(0, |import| import.version)
}

/// Visits a graph and all bodies inside it, the innermost first.
fn for_each_graph(graph: &mut GraphProto, visit: &mut impl FnMut(&mut GraphProto)) {
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| for_each_graph(body, visit));
    }
    visit(graph);
}
