//! Loading of an ONNX file into a planned graph. Dimensions that the file leaves open stay open if tract can plan around
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_digest::Digest;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, ShapeFactoid};
use tract_onnx::tract_hir::internal::{GenericFactoid, TDim};

use super::cost::CostModel;
use super::{Graph, bodies, convert, correct, onnx, planning, resident, simplify};
use crate::runtime::{InputShapes, LoadError, digest};
use crate::tensor::{Signature, TensorSpec};

/// Stack of the loading thread in bytes, which is large because tract's analysis recurses over expressions of dimensions.
const LOADER_STACK: usize = 64 << 20;

/// The time of planning after which other sizes are not tried.
const TRIABLE: Duration = Duration::from_secs(2);

/// Loads an ONNX file on a thread of its own, which is not used again: a panic of the loader, or a nesting that is too deep,
/// is then only an error of the file.
pub(super) fn load_onnx(bytes: &[u8], shapes: &InputShapes) -> Result<Graph, LoadError> {
    std::thread::scope(|scope| {
        let loader = std::thread::Builder::new().name("load-graph".into()).stack_size(LOADER_STACK);
        let loader = loader.spawn_scoped(scope, || load(bytes, shapes));
        let loader = loader.map_err(|error| LoadError::Plan(format!("no thread could be started: {error}")))?;
        loader.join().unwrap_or(Err(LoadError::Panicked))
    })
}

fn load(mut bytes: &[u8], shapes: &InputShapes) -> Result<Graph, LoadError> {
    let digest = digest::digest_of(bytes, shapes);
    let proto = tract_onnx::onnx().proto_model_for_read(&mut bytes);
    let proto = proto.map_err(|error| LoadError::Unreadable(format!("{error:#}")))?;
    load_model(proto, shapes, digest)
}

/// Plans a parsed file, and computes the cost of its runs. If that fails for sizes that vary, known sizes are tried, and the
/// error says which ones the manifest can give.
pub(super) fn load_model(mut proto: ModelProto, shapes: &InputShapes, digest: Digest) -> Result<Graph, LoadError> {
    let names = Names::of(&proto)?;
    let before_clamping = onnx::prepare(&mut proto)?;
    let began = Instant::now();
    let mut result = plan_and_price(&proto, &names, shapes, digest);
    if let (Err(LoadError::Plan(_) | LoadError::DataDependent { .. }), Some(nodes), Some(graph)) =
        (&result, before_clamping, &mut proto.graph)
    {
        graph.node = nodes;
        result = plan_and_price(&proto, &names, shapes, digest);
    }
    let error = match result {
        Err(error @ (LoadError::Plan(_) | LoadError::DataDependent { .. })) if shapes.is_empty() => error,
        result => return result,
    };
    // The time of loading is limited, and the error must not be that of a trial.
    if began.elapsed() > TRIABLE {
        return Err(error);
    }
    let known = onnx::known_sizes(&proto, &names.inputs);
    match known.into_iter().find(|known| plan_and_price(&proto, &names, known, digest).is_ok()) {
        Some(known) => Err(LoadError::OnlyKnownSizes { error: error.to_string(), inputs: onnx::manifest_line(&known) }),
        None => Err(error),
    }
}

fn plan_and_price(proto: &ModelProto, names: &Names, shapes: &InputShapes, digest: Digest) -> Result<Graph, LoadError> {
    // The inner shapes that a file declares can contradict those that it computes; the declared ones are then ignored.
    let mut model = match plan(proto, names, shapes, shapes.is_empty()) {
        Err(LoadError::Plan(_)) if shapes.is_empty() => plan(proto, names, shapes, false)?,
        other => other?,
    };
    let symbols = input_symbols(&model).map_err(planning)?;
    let signature = Signature {
        inputs: specs("input", &names.inputs, model.input_outlets(), &model)?,
        outputs: specs("output", &names.outputs, model.output_outlets(), &model)?,
    };
    bodies::bound(&mut model).map_err(planning)?;
    // A run has a single thread, because requests run in parallel.
    let options = RunOptions { executor: Some(multithread::Executor::SingleThread), ..RunOptions::default() };
    let plan = model.into_runnable_with_options(&options).map_err(planning)?;
    let costs = CostModel::of(&plan, &symbols)?;
    let resident = resident::bytes(plan.model());
    Ok(Graph { signature, plan, symbols, costs, digest, resident })
}

/// The names that clients use, in the order of the graph's inputs and outputs.
struct Names {
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Names {
    fn of(proto: &ModelProto) -> Result<Names, LoadError> {
        let Some(graph) = &proto.graph else { return Err(LoadError::Unreadable("it contains no graph".into())) };
        let weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        let inputs = graph.input.iter().map(|input| input.name.clone()).filter(|name| !weight(name)).collect();
        Ok(Names { inputs, outputs: graph.output.iter().map(|output| output.name.clone()).collect() })
    }
}

fn plan(
    proto: &ModelProto,
    names: &Names,
    shapes: &InputShapes,
    trust_value_info: bool,
) -> Result<TypedModel, LoadError> {
    let onnx = correct::onnx().with_ignore_value_info(!trust_value_info);
    let mut model = onnx.model_for_proto_model(proto).map_err(|error| LoadError::Unreadable(format!("{error:#}")))?;
    refuse_unknown_operators(&model)?;
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
    let mut model = model.into_typed().map_err(planning)?;
    correct::typed(&mut model).map_err(planning)?;
    correct::concrete_outputs(&mut model).map_err(planning)?;
    correct::refuse(&mut model, correct::unsupported)?;
    let mut model = simplify::optimize(model).map_err(planning)?;
    correct::refuse(&mut model, correct::in_training)?;
    Ok(model)
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
        let name = node.op().name();
        let operator = name.strip_prefix("Unimplemented(").and_then(|name| name.strip_suffix(')'));
        unknown.extend(operator.filter(|operator| !unknown.iter().any(|known| known == operator)).map(str::to_owned));
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
