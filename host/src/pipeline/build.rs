//! Construction of pipelines: connects the stages, and finds mismatches before any request. Every tensor that a stage wants
//! must come from an earlier stage or from the client, with the right datatype and shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConnectedStage, Pipeline, Source, Stage};
use crate::scheduler::Placement;
use crate::telemetry::Metrics;
use crate::tensor::{Signature, SpecMismatch, TensorSpec};

/// A stage of a pipeline to be built, and the pipeline's names for its tensors.
pub struct StageSource {
    pub name: Arc<str>,
    /// Shared by all stages that use the same plugin.
    pub stage: Arc<dyn Stage>,
    /// Map from an input's name in the stage's signature to the tensor of the pipeline that it takes.
    pub inputs: BTreeMap<String, String>,
    /// Map from an output's name in the stage's signature to its name in the pipeline.
    pub outputs: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the pipeline has no stage")]
    Empty,
    #[error("stage \"{stage}\": the manifest maps \"{name}\", and its signature has: {known}")]
    UnknownName { stage: Arc<str>, name: String, known: String },
    #[error(
        "stage \"{stage}\" wants {wanted}, and nothing before it gives \"{tensor}\"; there are: {available}. Rename with {{ stage = \"{stage}\", inputs = {{ {input} = \"…\" }} }}"
    )]
    Missing { stage: Arc<str>, wanted: String, input: Arc<str>, tensor: Arc<str>, available: String },
    #[error(
        "stages \"{first}\" and \"{second}\" are both generators, and a pipeline may have only one: the second would have to run for every answer of the first"
    )]
    TwoGenerators { first: Arc<str>, second: Arc<str> },
    #[error("stage \"{stage}\" does not fit what stage \"{giver}\" gives: {misfit}")]
    SpecMismatch { stage: Arc<str>, giver: Arc<str>, misfit: SpecMismatch },
}

/// A tensor that the next stage can take, while the pipeline is being built.
struct Available {
    spec: TensorSpec,
    giver: Arc<str>,
    slot: usize,
}

impl Pipeline {
    /// Builds the pipeline of a version of a model that `owner` has.
    pub fn build(
        owner: &str,
        model: Arc<str>,
        version: Arc<str>,
        sources: Vec<StageSource>,
        metrics: &Metrics,
    ) -> Result<Pipeline, BuildError> {
        let mut builder = Builder::default();
        let mut stages = Vec::with_capacity(sources.len());
        for source in sources {
            stages.push(builder.add(source)?);
        }
        if stages.is_empty() {
            return Err(BuildError::Empty);
        }
        let generator = find_generator(&stages)?;
        mark_last_uses(&mut stages);
        let names: Vec<&str> = stages.iter().map(|stage| &*stage.name).collect();
        let metrics = metrics.model(owner, &model, &version, &names);
        let signature = Signature { inputs: builder.model_inputs, outputs: builder.last_outputs };
        let labels = BTreeMap::new();
        let starts_inline = generator.is_none() && stages.iter().all(|stage| stage.stage.can_start_inline());
        let placement = if starts_inline { Placement::Inline } else { Placement::ComputeThread };
        let (slots, resident) = (builder.slots, None);
        let warnings = Vec::new();
        Ok(Pipeline {
            model,
            version,
            signature,
            labels,
            warnings,
            metrics,
            placement,
            stages,
            generator,
            slots,
            resident,
        })
    }
}

#[derive(Default)]
struct Builder {
    available: Vec<Available>,
    model_inputs: Vec<TensorSpec>,
    last_outputs: Vec<TensorSpec>,
    slots: usize,
    has_stage: bool,
}

impl Builder {
    fn add(&mut self, source: StageSource) -> Result<ConnectedStage, BuildError> {
        let signature = source.stage.signature();
        check_names(&source.name, &source.inputs, &signature.inputs)?;
        check_names(&source.name, &source.outputs, &signature.outputs)?;
        let wanted: Vec<TensorSpec> = signature.inputs.iter().map(|spec| renamed(spec, &source.inputs)).collect();
        let given: Vec<TensorSpec> = signature.outputs.iter().map(|spec| renamed(spec, &source.outputs)).collect();
        if !self.has_stage {
            self.take_model_inputs(&wanted);
        }
        let mut inputs = Vec::with_capacity(wanted.len());
        for (spec, declared) in wanted.iter().zip(&signature.inputs) {
            inputs.push(Source { slot: self.find(&source.name, spec, declared)?, last_use: false });
        }
        let outputs = given.iter().map(|spec| self.provide(spec.clone(), source.name.clone())).collect();
        self.last_outputs = given;
        self.has_stage = true;
        Ok(ConnectedStage { name: source.name, stage: source.stage, inputs, outputs })
    }

    /// Makes the inputs of the first stage the model's inputs, which come from the client.
    fn take_model_inputs(&mut self, wanted: &[TensorSpec]) {
        for spec in wanted {
            self.provide(spec.clone(), "the request".into());
        }
        self.model_inputs = wanted.to_vec();
    }

    /// Adds a tensor in a slot of its own. It replaces an earlier tensor of the same name for the stages that follow.
    fn provide(&mut self, spec: TensorSpec, giver: Arc<str>) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.available.retain(|available| available.spec.name != spec.name);
        self.available.push(Available { spec, giver, slot });
        slot
    }

    fn find(&self, stage: &Arc<str>, wanted: &TensorSpec, declared: &TensorSpec) -> Result<usize, BuildError> {
        let Some(found) = self.available.iter().find(|available| available.spec.name == wanted.name) else {
            let available: Vec<String> = self.available.iter().map(|available| available.spec.describe()).collect();
            return Err(BuildError::Missing {
                stage: stage.clone(),
                wanted: declared.describe(),
                input: declared.name.clone(),
                tensor: wanted.name.clone(),
                available: available.join(", "),
            });
        };
        let misfit = |misfit| BuildError::SpecMismatch { stage: stage.clone(), giver: found.giver.clone(), misfit };
        wanted.accepts(&found.spec).map_err(misfit)?;
        Ok(found.slot)
    }
}

fn renamed(spec: &TensorSpec, names: &BTreeMap<String, String>) -> TensorSpec {
    let name = names.get(&*spec.name).map_or_else(|| spec.name.clone(), |name| name.as_str().into());
    TensorSpec { name, ..spec.clone() }
}

fn check_names(stage: &Arc<str>, names: &BTreeMap<String, String>, specs: &[TensorSpec]) -> Result<(), BuildError> {
    match names.keys().find(|name| !specs.iter().any(|spec| *spec.name == **name)) {
        None => Ok(()),
        Some(name) => {
            let known = crate::tensor::names(specs);
            Err(BuildError::UnknownName { stage: stage.clone(), name: name.clone(), known })
        }
    }
}

/// The index of the generator, of which a pipeline has one at most: a call has room for two instances at once, the
/// generator's and that of a later stage.
fn find_generator(stages: &[ConnectedStage]) -> Result<Option<usize>, BuildError> {
    let mut generators = stages.iter().enumerate().filter(|(_, stage)| stage.stage.generator().is_some());
    let first = generators.next();
    if let (Some((_, first)), Some((_, second))) = (first, generators.next()) {
        return Err(BuildError::TwoGenerators { first: first.name.clone(), second: second.name.clone() });
    }
    Ok(first.map(|(at, _)| at))
}

/// Marks the last use of each slot. Walking backwards, the first use that is seen is the last one of a run, even if one
/// stage reads a slot twice. The outputs of the last stage are kept for the response.
fn mark_last_uses(stages: &mut [ConnectedStage]) {
    let mut seen = std::collections::HashSet::new();
    if let Some(last) = stages.last() {
        seen.extend(last.outputs.iter().copied());
    }
    for stage in stages.iter_mut().rev() {
        for source in stage.inputs.iter_mut().rev() {
            source.last_use = seen.insert(source.slot);
        }
    }
}
