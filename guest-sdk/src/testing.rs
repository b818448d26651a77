//! Stands in for the host in native tests: assets, graphs, the reader of a generator's answers, and the lines that were
//! logged. All of it belongs to the thread of the test.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::log::Level;
use crate::{Emitter, Failure, Generator, Inputs, Outputs, Parameters, Plugin, Tensor, TensorSpec};

type Run = Rc<dyn Fn(Inputs) -> Result<Outputs, String>>;

thread_local! {
    static ASSETS: RefCell<HashMap<String, Vec<u8>>> = RefCell::default();
    static GRAPHS: RefCell<HashMap<String, Run>> = RefCell::default();
    static ANSWERS: RefCell<Answers> = const { RefCell::new(Answers { given: Vec::new(), wanted: usize::MAX }) };
    static LOG: RefCell<Vec<(Level, String)>> = RefCell::default();
}

/// Puts a file into the bundle that the plugin under test sees.
pub fn asset(path: impl Into<String>, content: impl Into<Vec<u8>>) {
    ASSETS.with_borrow_mut(|assets| assets.insert(path.into(), content.into()));
}

/// Puts a graph into the bundle that the plugin under test sees: `run` stands for the network.
pub fn graph(name: impl Into<String>, run: impl Fn(Inputs) -> Result<Outputs, String> + 'static) {
    GRAPHS.with_borrow_mut(|graphs| graphs.insert(name.into(), Rc::new(run)));
}

struct Answers {
    given: Vec<Outputs>,
    wanted: usize,
}

/// An emitter for testing a generator's `generate`.
pub fn emitter() -> Emitter {
    ANSWERS.set(Answers { given: Vec::new(), wanted: usize::MAX });
    Emitter::new()
}

/// An emitter whose client leaves after this many answers.
pub fn emitter_that_wants(answers: usize) -> Emitter {
    ANSWERS.set(Answers { given: Vec::new(), wanted: answers });
    Emitter::new()
}

/// The answers since the emitter was made; taking them removes them.
pub fn take_answers() -> Vec<Outputs> {
    ANSWERS.with_borrow_mut(|answers| std::mem::take(&mut answers.given))
}

pub(crate) fn push_answer(outputs: Outputs) -> bool {
    ANSWERS.with_borrow_mut(|answers| {
        let wanted = answers.given.len() < answers.wanted;
        if wanted {
            answers.given.push(outputs);
        }
        wanted
    })
}

/// Calls a plugin as the host does: inputs that do not fit the signature are refused before `process`, and outputs that do not
/// fit it are a failure of the plugin.
pub fn process<P: Plugin>(plugin: &P, inputs: Inputs, parameters: &Parameters) -> Result<Outputs, Failure> {
    let signature = plugin.signature();
    compare(&signature.inputs, &inputs.0).map_err(Failure::InvalidInput)?;
    let outputs = plugin.process(inputs, parameters)?;
    compare(&signature.outputs, &outputs.0).map_err(wrong_result)?;
    Ok(outputs)
}

/// Calls a generator as the host does, and returns its answers. Inputs and each answer are compared with the signature.
pub fn generate<G: Generator>(generator: &G, inputs: Inputs, parameters: &Parameters) -> Result<Vec<Outputs>, Failure> {
    let signature = generator.signature();
    compare(&signature.inputs, &inputs.0).map_err(Failure::InvalidInput)?;
    generator.generate(inputs, parameters, &emitter())?;
    let answers = take_answers();
    answers.iter().try_for_each(|answer| compare(&signature.outputs, &answer.0)).map_err(wrong_result)?;
    Ok(answers)
}

fn wrong_result(why: String) -> Failure {
    Failure::Internal(format!("gave a wrong result: {why}"))
}

/// Compares tensors with their declarations, with the texts of the host.
fn compare(specs: &[TensorSpec], tensors: &[(String, Tensor)]) -> Result<(), String> {
    for spec in specs {
        let mut named = tensors.iter().filter(|(name, _)| *name == spec.name);
        let Some((name, tensor)) = named.next() else {
            return Err(format!("tensor \"{}\" is missing", spec.name));
        };
        if named.next().is_some() {
            return Err(format!("tensor \"{name}\" is given twice"));
        }
        let (got, wanted) = (tensor.datatype(), spec.datatype);
        if got != wanted {
            return Err(format!("tensor \"{name}\" has datatype {got}, and {wanted} is wanted"));
        }
        let (got, wanted) = (tensor.shape(), &spec.shape);
        let fits = |(got, wanted): (&u64, &i64)| *wanted < 0 || *got == wanted.cast_unsigned();
        if got.len() != wanted.len() || !got.iter().zip(wanted).all(fits) {
            return Err(format!("tensor \"{name}\" has shape {got:?}, and {wanted:?} is wanted (-1 is any size)"));
        }
    }
    let unknown = tensors.iter().find(|(name, _)| specs.iter().all(|spec| spec.name != *name));
    let known = || specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    unknown
        .map_or(Ok(()), |(name, _)| Err(format!("there is no tensor \"{name}\"; the known tensors are: {}", known())))
}

/// The lines that the plugin has logged so far; taking them removes them.
pub fn take_log() -> Vec<(Level, String)> {
    LOG.with_borrow_mut(std::mem::take)
}

pub(crate) fn find_asset(path: &str) -> Option<Vec<u8>> {
    ASSETS.with_borrow(|assets| assets.get(path).cloned())
}

pub(crate) fn find_graph(name: &str) -> Option<Run> {
    GRAPHS.with_borrow(|graphs| graphs.get(name).cloned())
}

pub(crate) fn push_log(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// Gives an output of this name and shape.
    struct Gives(&'static str, &'static [u64]);

    impl Plugin for Gives {
        type Config = NoConfig;

        fn init(_: NoConfig) -> Result<Self, InitError> {
            Ok(Gives("y", &[1]))
        }

        fn signature(&self) -> Signature {
            Signature::new().input("x", Datatype::Fp32, [-1]).output("y", Datatype::Uint8, [1])
        }

        fn process(&self, _: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
            let bytes = vec![0u8; usize::try_from(self.1.iter().product::<u64>()).unwrap()];
            Ok(Outputs::new().with(self.0, Tensor::new(self.1, &bytes)?))
        }
    }

    impl Generator for Gives {
        type Config = NoConfig;

        fn init(_: NoConfig) -> Result<Self, InitError> {
            Ok(Gives("y", &[1]))
        }

        fn signature(&self) -> Signature {
            Plugin::signature(self)
        }

        fn generate(&self, inputs: Inputs, parameters: &Parameters, emitter: &Emitter) -> Result<(), Failure> {
            Ok(emitter.emit(self.process(inputs, parameters)?)?)
        }
    }

    #[test]
    fn tensors_are_compared_with_the_signature_as_in_the_host() {
        let x = |name: &str| Inputs::from([(name, Tensor::new(&[2], &[1.0f32, 2.0]).unwrap())]);
        let told = |failure: Failure| match failure {
            Failure::InvalidInput(text) | Failure::Internal(text) | Failure::Unavailable(text) => text,
        };
        assert!(process(&Gives("y", &[1]), x("x"), &Parameters::default()).is_ok());
        assert_eq!(generate(&Gives("y", &[1]), x("x"), &Parameters::default()).unwrap().len(), 1);
        for (plugin, input, wanted) in [
            (Gives("z", &[1]), "x", "gave a wrong result: tensor \"y\" is missing"),
            (Gives("y", &[2]), "x", "tensor \"y\" has shape [2], and [1] is wanted"),
            (Gives("y", &[1, 1]), "x", "has shape [1, 1]"),
            (Gives("y", &[1]), "X", "tensor \"x\" is missing"),
        ] {
            let one = told(process(&plugin, x(input), &Parameters::default()).unwrap_err());
            let each = told(generate(&plugin, x(input), &Parameters::default()).unwrap_err());
            assert!(one.contains(wanted) && one == each, "{one}");
        }
    }
}
