//! Access to the state that `init` left in an instance. Wizer reads it to make a component that starts in this state.

use wasmtime::Store;
use wasmtime::component::{Instance, Lift, TypedFunc, WasmList};
use wasmtime_wizer::ComponentInstanceState;

use super::host_state::HostState;

/// Gives Wizer the memories and globals of an instance, through the accessors that Wizer built into the component.
pub(crate) struct Accessors<'a> {
    store: &'a mut Store<HostState>,
    instance: Instance,
    failure: Option<wasmtime::Error>,
}

impl<'a> Accessors<'a> {
    pub(crate) fn new(store: &'a mut Store<HostState>, instance: Instance) -> Self {
        Accessors { store, instance, failure: None }
    }

    /// The first failure of an accessor. One is enough to make a snapshot useless: Wizer's trait cannot report errors, so
    /// that values which could not be read are zeros in it.
    pub(crate) fn failure(self) -> Option<wasmtime::Error> {
        self.failure
    }

    /// Fails if the plugin left a memory that cannot grow: an accessor writes its result behind the memory's end.
    async fn call<R: Lift + Send + Sync + 'static>(
        &mut self,
        instance: &str,
        function: &str,
    ) -> Result<R, wasmtime::Error> {
        let missing = || wasmtime::Error::msg(format!("{instance} has no {function}"));
        let (_, interface) = self.instance.get_export(&mut *self.store, None, instance).ok_or_else(missing)?;
        let found = self.instance.get_export(&mut *self.store, Some(&interface), function);
        let (_, export) = found.ok_or_else(missing)?;
        let function: TypedFunc<(), (R,)> = self.instance.get_typed_func(&mut *self.store, export)?;
        let (value,) = function.call_async(&mut *self.store, ()).await?;
        Ok(value)
    }

    async fn number<R: Lift + Default + Send + Sync + 'static>(&mut self, instance: &str, function: &str) -> R {
        let value = self.call(instance, function).await;
        value.unwrap_or_else(|error| {
            self.failure.get_or_insert(error);
            R::default()
        })
    }
}

impl ComponentInstanceState for Accessors<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, function: &str, then: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, function).await {
            Ok(list) => then(list.as_le_slice(&*self.store)),
            Err(error) => {
                self.failure.get_or_insert(error);
                then(&[]);
            }
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.number(instance, function).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.number(instance, function).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.number::<f32>(instance, function).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.number::<f64>(instance, function).await.to_bits()
    }
}
