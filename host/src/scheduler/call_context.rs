//! The context of a call's work: how the work leaves an I/O thread, defers a drop, and gets help from idle cores. It is
//! passed to everything that computes for the call.

use std::any::Any;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::fair_queue::FairQueue;
use super::watchdog::Watch;
use crate::tenant::ModelUsage;

/// A handle to the context; clones share it.
#[derive(Clone)]
pub struct CallContext(Arc<State>);

pub(super) struct State {
    /// The cores that may help; `None` if the work runs outside of the compute threads.
    pub cores: Option<Cores>,
    pub tenant: Arc<str>,
    /// Counter of the time on cores.
    pub usage: Arc<ModelUsage>,
    /// True while an I/O thread executes the work inline.
    pub inline: AtomicBool,
    /// Values that are dropped after the reply is on its way.
    pub deferred_drops: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// The queue for cores, and the runtime whose threads use them.
#[derive(Clone)]
pub(super) struct Cores {
    pub queue: Arc<FairQueue>,
    pub runtime: Handle,
    pub watch: Arc<Watch>,
}

impl CallContext {
    /// The context of work that no compute thread executes, such as a test of a decoder: no core helps it.
    pub fn without_cores() -> CallContext {
        CallContext::make(None, "".into(), Arc::default())
    }

    pub(super) fn new(cores: Cores, tenant: Arc<str>, usage: Arc<ModelUsage>) -> CallContext {
        CallContext::make(Some(cores), tenant, usage)
    }

    fn make(cores: Option<Cores>, tenant: Arc<str>, usage: Arc<ModelUsage>) -> CallContext {
        let (inline, deferred_drops) = (AtomicBool::new(false), Mutex::default());
        CallContext(Arc::new(State { cores, tenant, usage, inline, deferred_drops }))
    }

    pub(super) fn state(&self) -> &State {
        &self.0
    }
}
