//! Stands in for the host in native tests: assets, graphs, the reader of a generator's answers, and the lines that were
//! logged. All of it belongs to the thread of the test.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::log::Level;
use crate::{Emitter, Inputs, Outputs};

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
