//! The cost of a plan as sums of products of dimensions, including the bodies of `Scan` and `If`. Dimensions are numbered,
//! so that each expression is evaluated only once for new sizes of the inputs.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::order::build_flush_list;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::scan::{InputMapping, OptScan};

use super::Cost;
use super::memory;
use super::operators::{self, Product};
use crate::runtime::LoadError;
use crate::runtime::tract::bodies::Branches;
use crate::runtime::tract::{Plan, planning};

/// Fuel for evaluating any operator, however small its tensors: finding its inputs, allocating, freeing.
const OPERATOR: u64 = 8_000;

/// Fuel for starting a body: each iteration binds its inputs and takes its outputs.
const BODY: u64 = 16_000;

/// The names that a body has for its dimensions, with the dimensions of the outer graph that they stand for.
type Renamed = HashMap<Symbol, TDim>;

/// A coefficient and the numbers of the dimensions that it is multiplied by.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    coefficient: u64,
    factors: Vec<usize>,
}

/// The value that a dimension of zero counts as.
#[derive(Clone, Copy, PartialEq)]
enum Zero {
    /// Memory: an empty tensor takes no bytes.
    Counts,
    /// Fuel: an operator may loop over the other dimensions of an empty tensor.
    CountsAsOne,
}

/// The cost of a plan, or of a body in it.
pub(super) struct Region {
    fuel: Vec<Term>,
    steps: Vec<Step>,
    bodies: Vec<Body>,
}

/// One step of the plan, with the bytes that are alive while it is evaluated.
#[derive(PartialEq)]
struct Step {
    bytes: Vec<Term>,
    body: Option<usize>,
}

/// The plans of an operator's bodies. Each iteration evaluates one of them.
struct Body {
    iterations: Term,
    regions: Vec<Region>,
}

/// The dimensions that costs depend on.
pub(super) struct Expressions {
    /// The symbols of the inputs' shapes. A size that depends on any other is not known before a run.
    known: Vec<Symbol>,
    numbers: HashMap<String, usize>,
    dimensions: Vec<TDim>,
}

impl Expressions {
    pub(super) fn new<'a>(known: impl Iterator<Item = &'a Symbol>) -> Expressions {
        Expressions { known: known.cloned().collect(), numbers: HashMap::new(), dimensions: Vec::new() }
    }

    pub(super) fn into_dimensions(self) -> Vec<TDim> {
        self.dimensions
    }

    /// A product with numbered dimensions; dimensions of a fixed size go into the coefficient.
    fn term(&mut self, product: &Product, renamed: &Renamed, operator: &str, zero: Zero) -> Result<Term, LoadError> {
        let mut term = Term { coefficient: product.coefficient, factors: Vec::new() };
        for factor in &product.factors {
            let factor = factor.substitute_all(renamed).map_err(planning)?.simplify();
            match factor.to_i64() {
                Ok(size) => {
                    let least = if zero == Zero::CountsAsOne { 1 } else { 0 };
                    let negative = |_| LoadError::Plan(format!("operator {operator} has a dimension of {size}"));
                    let size = u64::try_from(size).map_err(negative)?.max(least);
                    term.coefficient = term.coefficient.saturating_mul(size);
                }
                Err(_) => term.factors.push(self.number(factor, operator)?),
            }
        }
        term.factors.sort_unstable();
        Ok(term)
    }

    fn number(&mut self, dimension: TDim, operator: &str) -> Result<usize, LoadError> {
        if !dimension.symbols().iter().all(|symbol| self.known.contains(symbol)) {
            return Err(LoadError::DataDependent { operator: operator.into() });
        }
        let next = self.dimensions.len();
        let number = *self.numbers.entry(dimension.to_string()).or_insert(next);
        if number == next {
            self.dimensions.push(dimension);
        }
        Ok(number)
    }
}

impl Region {
    pub(super) fn of(plan: &Plan, renamed: &Renamed, expressions: &mut Expressions) -> Result<Region, LoadError> {
        let mut region = Region { fuel: Vec::new(), steps: Vec::new(), bodies: Vec::new() };
        let mut bodies = HashMap::new();
        let (order, inputs) = (plan.order_without_consts(), inputs(plan.model())?);
        // An input that nothing reads is copied as the others are.
        let unread = inputs.iter().filter(|input| !order.contains(input));
        for node in order.iter().chain(unread) {
            let node = plan.model().node(*node);
            region.add_operator(plan.model(), node, renamed, expressions)?;
            if let Some(body) = Body::of(plan.model(), node, renamed, expressions)? {
                bodies.insert(node.id, region.bodies.len());
                region.bodies.push(body);
            }
        }
        region.add_steps(plan, &bodies, renamed, expressions)?;
        Ok(region)
    }

    fn add_operator(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
        renamed: &Renamed,
        expressions: &mut Expressions,
    ) -> Result<(), LoadError> {
        let operator = node.op().name();
        let fuel = operators::fuel(model, node).map_err(planning)?;
        let Some(fuel) = fuel else {
            // If the sizes of its outputs depend on values, that is the reason that the publisher can act on.
            for fact in model.node_output_facts(node.id).map_err(planning)? {
                let size = Product { coefficient: 1, factors: fact.shape.iter().cloned().collect() };
                expressions.term(&size, renamed, &operator, Zero::Counts)?;
            }
            return Err(LoadError::NoCost { operator: operator.to_string(), node: node.name.clone() });
        };
        add(&mut self.fuel, Term { coefficient: OPERATOR, factors: Vec::new() });
        for product in &fuel {
            add(&mut self.fuel, expressions.term(product, renamed, &operator, Zero::CountsAsOne)?);
        }
        Ok(())
    }

    /// An input is alive from the start, and any other tensor from the step that makes it, to the last step that reads it,
    /// where the plan frees it.
    fn add_steps(
        &mut self,
        plan: &Plan,
        bodies: &HashMap<usize, usize>,
        renamed: &Renamed,
        expressions: &mut Expressions,
    ) -> Result<(), LoadError> {
        let (model, order) = (plan.model(), plan.order_without_consts());
        let freed = build_flush_list(model, order, model.output_outlets().map_err(planning)?, is_counted);
        let mut alive = inputs(model)?;
        self.add_step(Step { bytes: bytes_of(model, &alive, renamed, expressions)?, body: None });
        for (step, node) in order.iter().enumerate() {
            let node = model.node(*node);
            alive.retain(|other| !freed[step].contains(other));
            let mut present: Vec<usize> = node.inputs.iter().map(|outlet| outlet.node).chain([node.id]).collect();
            present.extend(&alive);
            present.sort_unstable();
            present.dedup();
            let mut bytes = bytes_of(model, &present, renamed, expressions)?;
            for product in memory::scratch(model, node).map_err(planning)? {
                add(&mut bytes, expressions.term(&product, renamed, &node.op().name(), Zero::Counts)?);
            }
            alive.push(node.id);
            self.add_step(Step { bytes, body: bodies.get(&node.id).copied() });
        }
        Ok(())
    }

    /// Adds a step. Among the steps that depend on no size, only the largest is kept, because no other can be the peak.
    fn add_step(&mut self, step: Step) {
        let fixed = |step: &Step| step.body.is_none() && step.bytes.iter().all(|term| term.factors.is_empty());
        if !fixed(&step) {
            if !self.steps.contains(&step) {
                self.steps.push(step);
            }
            return;
        }
        match self.steps.iter_mut().find(|other| fixed(other)) {
            Some(other) if sum(&other.bytes, &[], Zero::Counts) < sum(&step.bytes, &[], Zero::Counts) => *other = step,
            Some(_) => {}
            None => self.steps.push(step),
        }
    }

    /// The cost for these sizes of the numbered dimensions.
    pub(super) fn cost(&self, sizes: &[u64]) -> Cost {
        let bodies: Vec<Cost> = self.bodies.iter().map(|body| body.cost(sizes)).collect();
        let fuel =
            bodies.iter().fold(sum(&self.fuel, sizes, Zero::CountsAsOne), |sum, body| sum.saturating_add(body.fuel));
        let memory = |step: &Step| {
            let body = step.body.map_or(0, |body| bodies[body].memory);
            sum(&step.bytes, sizes, Zero::Counts).saturating_add(body)
        };
        Cost { fuel, memory: self.steps.iter().map(memory).max().unwrap_or(0) }
    }
}

fn inputs(model: &TypedModel) -> Result<Vec<usize>, LoadError> {
    Ok(model.input_outlets().map_err(planning)?.iter().map(|outlet| outlet.node).collect())
}

/// Constants are not counted for a run: they are there as long as the graph is.
fn is_counted(node: &TypedNode) -> bool {
    !node.op_is::<Const>()
}

/// The bytes of what these nodes made.
fn bytes_of(
    model: &TypedModel,
    nodes: &[usize],
    renamed: &Renamed,
    expressions: &mut Expressions,
) -> Result<Vec<Term>, LoadError> {
    let mut bytes = Vec::new();
    for node in nodes.iter().map(|id| model.node(*id)).filter(|node| is_counted(node)) {
        for fact in model.node_output_facts(node.id).map_err(planning)? {
            for product in memory::of_tensor(1, fact) {
                add(&mut bytes, expressions.term(&product, renamed, &node.op().name(), Zero::Counts)?);
            }
        }
    }
    Ok(bytes)
}

impl Body {
    fn of(
        model: &TypedModel,
        node: &TypedNode,
        renamed: &Renamed,
        expressions: &mut Expressions,
    ) -> Result<Option<Body>, LoadError> {
        let inputs = model.node_input_facts(node.id).map_err(planning)?;
        if let Some(scan) = node.op_as::<OptScan>() {
            let count = scan.iteration_count(&inputs).unwrap_or_else(|| 1.into());
            let iterations = Product { coefficient: 1, factors: vec![count] };
            let iterations = expressions.term(&iterations, renamed, "Scan", Zero::CountsAsOne)?;
            let inner = of_body(scan.plan.model(), scan_inputs(&scan.input_mapping, &inputs), renamed)?;
            return Ok(Some(Body { iterations, regions: vec![Region::of(&scan.plan, &inner, expressions)?] }));
        }
        if let Some(branches) = node.op_as::<Branches>() {
            let mut regions = Vec::with_capacity(2);
            for branch in branches.both() {
                let given = branch.inputs.iter().map(|at| (inputs[*at], None));
                let inner = of_body(branch.plan.model(), given, renamed)?;
                regions.push(Region::of(&branch.plan, &inner, expressions)?);
            }
            return Ok(Some(Body { iterations: Term { coefficient: 1, factors: Vec::new() }, regions }));
        }
        Ok(None)
    }

    fn cost(&self, sizes: &[u64]) -> Cost {
        let costs = self.regions.iter().map(|region| region.cost(sizes));
        let dearest = costs.fold(Cost { fuel: 0, memory: 0 }, |dearest, cost| Cost {
            fuel: dearest.fuel.max(cost.fuel),
            memory: dearest.memory.max(cost.memory),
        });
        let iterations = self.iterations.value(sizes, Zero::CountsAsOne);
        Cost { fuel: dearest.fuel.saturating_add(BODY).saturating_mul(iterations), memory: dearest.memory }
    }
}

/// The inputs of a `Scan`'s body, each with the axis along which it is cut into chunks.
fn scan_inputs<'a>(
    mapping: &'a [InputMapping],
    inputs: &'a [&'a TypedFact],
) -> impl Iterator<Item = (&'a TypedFact, Option<usize>)> {
    mapping.iter().zip(inputs).map(|(mapping, fact)| (*fact, mapping.as_scan().map(|scan| scan.axis)))
}

/// The names that a body gives to the dimensions of its inputs, with the dimensions of the outer graph that they stand for.
fn of_body<'a>(
    body: &TypedModel,
    inputs: impl Iterator<Item = (&'a TypedFact, Option<usize>)>,
    renamed: &Renamed,
) -> Result<Renamed, LoadError> {
    let mut inner = renamed.clone();
    for (outlet, (given, cut)) in body.input_outlets().map_err(planning)?.iter().zip(inputs) {
        let wanted = body.outlet_fact(*outlet).map_err(planning)?;
        for (axis, (name, size)) in wanted.shape.iter().zip(given.shape.iter()).enumerate() {
            if let TDim::Sym(symbol) = name
                && Some(axis) != cut
                && size != name
            {
                inner.insert(symbol.clone(), size.substitute_all(renamed).map_err(planning)?);
            }
        }
    }
    Ok(inner)
}

impl Term {
    fn value(&self, sizes: &[u64], zero: Zero) -> u64 {
        self.factors.iter().fold(self.coefficient, |product, factor| {
            let size = if zero == Zero::CountsAsOne { sizes[*factor].max(1) } else { sizes[*factor] };
            product.saturating_mul(size)
        })
    }
}

fn add(terms: &mut Vec<Term>, term: Term) {
    match terms.iter_mut().find(|other| other.factors == term.factors) {
        Some(other) => other.coefficient = other.coefficient.saturating_add(term.coefficient),
        None => terms.push(term),
    }
}

fn sum(terms: &[Term], sizes: &[u64], zero: Zero) -> u64 {
    terms.iter().fold(0, |sum: u64, term| sum.saturating_add(term.value(sizes, zero)))
}
