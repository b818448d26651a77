//! From the bytes of an ONNX file to a planned graph. Dimensions that the file leaves open stay open where tract can plan
//! around them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, ShapeFactoid};
use tract_onnx::tract_hir::internal::{GenericFactoid, TDim};

use super::convert;
use super::price::PriceList;
use super::{Graph, InputShapes, LoadError};
use crate::tensor::{Signature, TensorSpec};

impl Graph {
    /// Loads an ONNX file. Takes long and needs memory for a large one: not for the request path.
    pub fn load_onnx(bytes: &[u8], shapes: &InputShapes) -> Result<Graph, LoadError> {
        // A strange file can make the loader panic; that is an error of the file, and nothing else has seen the state.
        catch_unwind(AssertUnwindSafe(|| load(bytes, shapes))).unwrap_or(Err(LoadError::Panicked))
    }
}

fn load(mut bytes: &[u8], shapes: &InputShapes) -> Result<Graph, LoadError> {
    let proto = tract_onnx::onnx().proto_model_for_read(&mut bytes);
    let proto = proto.map_err(|error| LoadError::Unreadable(format!("{error:#}")))?;
    // What a file says of inner shapes can contradict what it computes; then its word for them is not taken.
    let model = match plan(&proto, shapes, shapes.is_empty()) {
        Err(LoadError::Plan(_)) if shapes.is_empty() => plan(&proto, shapes, false)?,
        other => other?,
    };
    let names = Names::of(&proto);
    let symbols = input_symbols(&model).map_err(planning)?;
    let signature = Signature {
        inputs: specs("input", &names.inputs, model.input_outlets(), &model)?,
        outputs: specs("output", &names.outputs, model.output_outlets(), &model)?,
    };
    let plan = model.into_runnable().map_err(planning)?;
    let prices = PriceList::of(&plan, &symbols).map_err(planning)?;
    Ok(Graph { signature, plan, symbols, prices })
}

fn planning(error: TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}

/// The names that clients know, in the order of the graph's inputs and outputs.
struct Names {
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Names {
    fn of(proto: &ModelProto) -> Names {
        let Some(graph) = &proto.graph else { return Names { inputs: Vec::new(), outputs: Vec::new() } };
        let weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        let inputs = graph.input.iter().map(|input| input.name.clone()).filter(|name| !weight(name)).collect();
        Names { inputs, outputs: graph.output.iter().map(|output| output.name.clone()).collect() }
    }
}

fn plan(proto: &ModelProto, shapes: &InputShapes, trust_value_info: bool) -> Result<TypedModel, LoadError> {
    let onnx = tract_onnx::onnx().with_ignore_value_info(!trust_value_info);
    let mut model = onnx
        .model_for_proto_model(proto)
        .map_err(|error| LoadError::Unreadable(format!("{error:#}")))?;
    refuse_unknown_operators(&model)?;
    let names = Names::of(proto);
    if let Some(name) = shapes.keys().find(|name| !names.inputs.contains(name)) {
        return Err(LoadError::UnknownInput { name: name.clone(), known: names.inputs.join(", ") });
    }
    for (at, name) in names.inputs.iter().enumerate() {
        let fact = model.input_fact(at).map_err(planning)?.clone();
        let shape = open_shape(&mut model, name, &fact, shapes.get(name))?;
        model.set_input_fact(at, fact.with_shape(shape)).map_err(planning)?;
    }
    if !shapes.is_empty() {
        for at in 0..names.outputs.len() {
            model.set_output_fact(at, InferenceFact::default()).map_err(planning)?;
        }
    }
    model.into_optimized().map_err(planning)
}

/// The shape of an input, with a symbol for every dimension that may vary.
fn open_shape(
    model: &mut InferenceModel,
    name: &str,
    fact: &InferenceFact,
    given: Option<&Vec<i64>>,
) -> Result<ShapeFactoid, LoadError> {
    let fresh = |model: &mut InferenceModel| TDim::from(model.symbols.new_with_prefix("n"));
    let dims: Vec<TDim> = match given {
        Some(given) => given.iter().map(|dim| if *dim < 0 { fresh(model) } else { TDim::Val(*dim) }).collect(),
        None if fact.shape.is_open() => return Err(LoadError::UnknownRank { name: name.into() }),
        None => {
            let dims: Vec<GenericFactoid<TDim>> = fact.shape.dims().cloned().collect();
            dims.into_iter().map(|dim| dim.concretize().unwrap_or_else(|| fresh(model))).collect()
        }
    };
    Ok(ShapeFactoid::from(dims))
}

fn refuse_unknown_operators(model: &InferenceModel) -> Result<(), LoadError> {
    let mut unknown: Vec<String> = Vec::new();
    for node in model.nodes() {
        if let Some(operator) = node.op().name().strip_prefix("Unimplemented(").and_then(|n| n.strip_suffix(')')) {
            if !unknown.iter().any(|known| known == operator) {
                unknown.push(operator.into());
            }
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(LoadError::UnknownOperators(unknown.join(", "))) }
}

fn specs(
    what: &'static str,
    names: &[String],
    outlets: TractResult<&[OutletId]>,
    model: &TypedModel,
) -> Result<Vec<TensorSpec>, LoadError> {
    let mut specs = Vec::with_capacity(names.len());
    for (name, outlet) in names.iter().zip(outlets.map_err(planning)?) {
        let fact = model.outlet_fact(*outlet).map_err(planning)?;
        let datatype = convert::datatype(fact.datum_type).ok_or_else(|| LoadError::ElementType {
            what,
            name: name.clone(),
            element: format!("{:?}", fact.datum_type),
        })?;
        let shape = fact.shape.iter().map(|dim| dim.to_i64().unwrap_or(-1)).collect();
        specs.push(TensorSpec { name: Arc::from(name.as_str()), datatype, shape });
    }
    Ok(specs)
}

fn input_symbols(model: &TypedModel) -> TractResult<Vec<Vec<Option<Symbol>>>> {
    let symbol = |dim: &TDim| if let TDim::Sym(symbol) = dim { Some(symbol.clone()) } else { None };
    let of_input = |outlet: &OutletId| Ok(model.outlet_fact(*outlet)?.shape.iter().map(symbol).collect());
    model.input_outlets()?.iter().map(of_input).collect()
}
