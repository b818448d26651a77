//! Access to the state that `init` left in an instance. Wizer reads it to make a component that starts in this state.

use wasmtime::Store;
use wasmtime::component::{Instance, Lift, TypedFunc, WasmList};
use wasmtime_wizer::ComponentInstanceState;

use super::host_state::HostState;

/// Gives Wizer the memories and globals of an instance, through the accessors that Wizer built into the component.
pub(crate) struct Accessors<'a> {
    pub store: &'a mut Store<HostState>,
    pub instance: Instance,
}

impl Accessors<'_> {
    async fn call<R: Lift + Send + Sync + 'static, T>(
        &mut self,
        instance: &str,
        function: &str,
        then: impl FnOnce(&mut Store<HostState>, R) -> T,
    ) -> T {
        // The caller of `snapshot_component` has instrumented this very component, so its accessors exist and do not trap.
        // Wizer's trait has no way to report an error. Activation runs in a task of its own, so even a panic would end only
        // this activation.
        const PROOF: &str = "wizer calls only accessors that it built in";
        let (_, interface) = self.instance.get_export(&mut *self.store, None, instance).expect(PROOF);
        let (_, function) = self.instance.get_export(&mut *self.store, Some(&interface), function).expect(PROOF);
        let function: TypedFunc<(), (R,)> = self.instance.get_typed_func(&mut *self.store, function).expect(PROOF);
        let (value,) = function.call_async(&mut *self.store, ()).await.expect(PROOF);
        then(self.store, value)
    }
}

impl ComponentInstanceState for Accessors<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, function: &str, then: impl FnOnce(&[u8]) + Send) {
        self.call(instance, function, |store, list: WasmList<u8>| then(list.as_le_slice(&store))).await
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.call(instance, function, |_, value| value).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.call(instance, function, |_, value| value).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.call(instance, function, |_, value: f32| value.to_bits()).await
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.call(instance, function, |_, value: f64| value.to_bits()).await
    }
}
