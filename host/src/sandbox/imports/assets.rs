//! The `assets` import: files of the plugin's own bundle.

use crate::sandbox::cost;
use crate::sandbox::host_state::HostState;
use crate::sandbox::wire::v0_1::assets;

impl assets::Host for HostState {
    fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let shared = self.shared.clone();
        let content = shared.assets.get(&path);
        let listed = || shared.assets.keys().map(|path| path.len() as u64 + 2).sum();
        let bytes = content.map_or_else(listed, |content| content.len() as u64);
        self.charge(cost::ASSET_READ, path.len() as u64 + bytes)?;
        let _copy = self.budget.charge_memory(bytes)?;
        Ok(content.map(|content| content.to_vec()).ok_or_else(|| {
            let listed = shared.assets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            match listed.is_empty() {
                true => format!("no asset \"{path}\": the plugin's `assets` in bundle.toml lists no file"),
                false => format!("no asset \"{path}\": the plugin's `assets` in bundle.toml lists {listed}"),
            }
        }))
    }
}
