//! The `assets` import: files of the plugin's own bundle.

use crate::sandbox::host_state::HostState;
use crate::sandbox::wire::v0_1::assets;

impl assets::Host for HostState {
    fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let assets = &self.shared.assets;
        let Some(content) = assets.get(&path) else {
            let listed = assets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Ok(Err(format!("no asset \"{path}\"; the manifest lists: {listed}")));
        };
        let _copy = self.budget.charge_memory(content.len() as u64)?;
        Ok(Ok(content.to_vec()))
    }
}
