//! The host's side of an instance while it lives: the call's budget, its handles and its log.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Engine, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use super::ResponseSink;
use super::cost::Cost;
use super::plugin_log::PluginLog;
use super::shared::Shared;
use crate::tenant::{Budget, Charge, Exceeded, Limit};
use crate::tensor::TensorBuilder;

/// Bound on the handles that one call holds at once. A request has a handful of tensors; a million handles would cost the
/// host memory.
const MAX_HANDLES: usize = 10_000;

/// Bytes of a function reference in a table, as wasmtime stores it.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// A tensor that a guest is writing. Its full size is charged from the start.
#[expect(unreachable_pub, reason = "wasmtime's bindgen re-exports it with `pub`")]
pub struct Building {
    /// `None` only while bytes are being appended.
    pub builder: Option<TensorBuilder>,
    pub charge: Charge,
}

/// The state behind one instance.
pub(crate) struct HostState {
    pub shared: Arc<Shared>,
    pub budget: Budget,
    /// Tensors and graphs.
    pub handles: ResourceTable,
    /// Streams of the closed WASI.
    pub wasi_handles: ResourceTable,
    /// Takes the responses that a generator emits; `None` if the call may not emit any.
    pub sink: Option<Box<dyn ResponseSink>>,
    request: Arc<str>,
    /// The charge for memories and tables; it is released with the instance.
    growth: Option<Charge>,
    // Made on first use, because most calls neither log nor use WASI.
    log: Option<PluginLog>,
    pub wasi: Option<WasiCtx>,
}

impl HostState {
    /// Charges work of the host to the call's fuel. An import calls this before it does the work. If the fuel does not
    /// suffice, the call ends with all of it used, as when a loop runs out of fuel.
    pub(crate) fn charge(&mut self, cost: Cost, units: u64) -> Result<(), Exceeded> {
        self.burn(cost.of(units))
    }

    /// What the plugin printed last, as far as it explains why the call ended.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.log.as_ref().and_then(PluginLog::last_words)
    }

    fn burn(&mut self, fuel: u64) -> Result<(), Exceeded> {
        if self.budget.charge_fuel(fuel).is_err() {
            self.budget.set_fuel_left(0);
            return Err(self.budget.exceeded(Limit::Fuel));
        }
        Ok(())
    }

    pub(crate) fn log(&mut self) -> &PluginLog {
        self.log.get_or_insert_with(|| {
            let bound = self.budget.exceeded(Limit::Log).bound;
            let rate = self.budget.log_rate().cloned();
            PluginLog::new(self.shared.clone(), self.request.clone(), self.budget.log_left(), bound, rate)
        })
    }
}

/// A store for one instance, which holds the budget of its call. Dropping the guard returns the budget to the caller, less
/// what was used. This also holds for a call that is dropped, so a client that disconnects pays for the work done until
/// then.
pub(crate) struct StoreGuard<'a> {
    pub store: &'a mut Store<HostState>,
    caller_budget: &'a mut Budget,
}

/// The store is built in `home`, which outlives the guard, so that the caller can drop the store after the reply was sent.
pub(crate) fn enter<'a>(
    home: &'a mut Option<Store<HostState>>,
    engine: &Engine,
    shared: &Arc<Shared>,
    request: &Arc<str>,
    caller_budget: &'a mut Budget,
) -> StoreGuard<'a> {
    let budget = std::mem::replace(caller_budget, Budget::empty());
    let (fuel, memory) = (budget.fuel_left(), budget.memory_limit());
    let (mut handles, mut wasi_handles) = (ResourceTable::new(), ResourceTable::new());
    handles.set_max_capacity(MAX_HANDLES);
    wasi_handles.set_max_capacity(MAX_HANDLES);
    let (shared, request) = (shared.clone(), request.clone());
    let state =
        HostState { shared, budget, handles, wasi_handles, sink: None, request, growth: None, log: None, wasi: None };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(usize::try_from(memory).unwrap_or(usize::MAX));
    refuel(&mut store, fuel);
    // Compiled code keeps its fuel in a register and writes it back only at fuel yields; without this interval, a call that
    // is dropped at an epoch yield would be charged nothing.
    let _ = store.fuel_async_yield_interval(Some(FUEL_STEP));
    store.call_hook(follow_fuel);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        context.data().budget.check_time()?;
        Ok(UpdateDeadline::Yield(1))
    });
    StoreGuard { store: home.insert(store), caller_budget }
}

/// Moves the fuel that is left between the instance and its budget, at each change between plugin and host. While the host
/// works, the budget counts, so that imports and graphs charge it; while the plugin runs, the instance counts.
fn follow_fuel(mut store: StoreContextMut<'_, HostState>, change: CallHook) -> wasmtime::Result<()> {
    let fuel = store.get_fuel()?;
    let state = store.data_mut();
    if change.entering_host() {
        state.budget.set_fuel_left(fuel);
        return Ok(());
    }
    let owed = state.log.as_ref().map_or(0, PluginLog::take_owed);
    state.burn(owed)?;
    let left = state.budget.fuel_left();
    // A fuel yield comes a whole interval after the fuel was set, so it is set only if it has changed.
    if left != fuel { store.set_fuel(left) } else { Ok(()) }
}

/// The most fuel that a call burns between two fuel yields: a few milliseconds' worth.
const FUEL_STEP: u64 = 5_000_000;

/// Sets the fuel that the instance has left.
fn refuel(store: &mut Store<HostState>, fuel: u64) {
    // This fails only if the engine does not count fuel, and this engine does.
    let _ = store.set_fuel(fuel);
}

/// Lifts the limits for the accessors through which a snapshot reads the state: they are the host's code, and must not stop
/// half-way.
pub(crate) fn lift_limits(store: &mut Store<HostState>) {
    refuel(store, u64::MAX >> 1);
    store.set_hostcall_fuel(usize::MAX);
    store.call_hook(|_, _| Ok(()));
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
}

impl Drop for StoreGuard<'_> {
    fn drop(&mut self) {
        let fuel = self.store.get_fuel().unwrap_or(0);
        let state = self.store.data_mut();
        *self.caller_budget = std::mem::replace(&mut state.budget, Budget::empty());
        self.caller_budget.set_fuel_left(fuel);
        if let Some(log) = &state.log {
            self.caller_budget.set_log_left(log.finish());
        }
    }
}

impl HostState {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: u64) -> wasmtime::Result<bool> {
        // This growth will fail, and failed growth is not charged.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = (desired - current) as u64 * unit;
        let charge = self.budget.charge_memory(bytes)?;
        match &mut self.growth {
            Some(growth) => growth.merge(charge),
            None => self.growth = Some(charge),
        }
        Ok(true)
    }
}

/// Charges the growth of all memories and tables of a call to one budget; wasmtime's own limits count each of them
/// separately.
impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, 1)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, TABLE_ELEMENT_BYTES)
    }
}
