//! A publisher within the test process: makes a key, and builds, signs and packs bundles in memory.

use std::collections::BTreeMap;

use anyhow::Result;
use bulkhead_bundle::{Bounds, Compression, Curve, Files, MANIFEST, SigningKey, sign};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Host, Reply, component};

/// The files of a bundle that is not signed yet.
#[derive(Clone)]
pub struct Draft(BTreeMap<String, Bytes>);

impl Draft {
    pub fn new(manifest: &str) -> Draft {
        Draft(BTreeMap::from([(MANIFEST.to_owned(), Bytes::from(manifest.to_owned()))]))
    }

    /// A bundle of one identity stage of FP32, from `input` to `output`.
    pub fn identity(name: &str, version: &str) -> Draft {
        Draft::stage(name, version, "identity", "")
    }

    /// A bundle with one stage of a plugin of this workspace; `config` is the inside of the plugin's `config` table.
    pub fn stage(name: &str, version: &str, plugin: &str, config: &str) -> Draft {
        let manifest = format!(
            "[bundle]\nname = \"{name}\"\nversion = \"{version}\"\n\
             [[plugin]]\nname = \"stage\"\ncomponent = \"stage.wasm\"\nconfig = {{ {config} }}\n\
             [pipeline]\nstages = [\"stage\"]\n"
        );
        Draft::new(&manifest).file("stage.wasm", std::fs::read(component(plugin)).unwrap())
    }

    /// A bundle with one stage of the hostile guest, configured for this misdeed.
    pub fn hostile(name: &str, version: &str, misdeed: &str) -> Draft {
        Draft::stage(name, version, "hostile_guest", &format!("misdeed = \"{misdeed}\""))
    }

    pub fn file(mut self, path: &str, content: impl Into<Bytes>) -> Draft {
        self.0.insert(path.to_owned(), content.into());
        self
    }

    pub fn without(mut self, path: &str) -> Draft {
        self.0.remove(path).unwrap();
        self
    }

    /// Appends lines to the manifest.
    pub fn more(self, toml: &str) -> Draft {
        self.mend(|manifest| format!("{manifest}\n{toml}\n"))
    }

    /// Replaces a text of the manifest, which must occur.
    pub fn replace(self, from: &str, to: &str) -> Draft {
        self.mend(|manifest| {
            assert!(manifest.contains(from), "{from} is not in:\n{manifest}");
            manifest.replace(from, to)
        })
    }

    fn mend(mut self, mend: impl FnOnce(&str) -> String) -> Draft {
        let manifest = self.0[MANIFEST].clone();
        let mended = mend(std::str::from_utf8(&manifest).unwrap());
        self.0.insert(MANIFEST.to_owned(), mended.into());
        self
    }

    pub fn files(&self) -> Files {
        Files::from_parts(self.0.clone(), &Bounds::default()).unwrap()
    }

    pub fn digest(&self) -> String {
        self.files().digest().to_string()
    }

    /// Packs the bundle as an unsigned archive.
    pub fn pack(&self) -> Vec<u8> {
        pack(&self.files())
    }
}

pub fn pack(files: &Files) -> Vec<u8> {
    let mut archive = Vec::new();
    files.pack(&mut archive, Compression::None).unwrap();
    archive
}

pub struct Publisher {
    pub name: String,
    key: SigningKey,
}

impl Publisher {
    pub fn new(name: &str) -> Publisher {
        Publisher { name: name.to_owned(), key: SigningKey::generate(Curve::P256).unwrap() }
    }

    /// A new publisher that the host trusts for all bundles under its name.
    pub fn trusted(name: &str, host: &Host) -> Result<Publisher> {
        let publisher = Publisher::new(name);
        publisher.trust(host, &json!({}))?.ok()?;
        Ok(publisher)
    }

    pub fn pem(&self) -> &str {
        self.key.public_key().to_pem()
    }

    pub fn hint(&self) -> String {
        self.key.public_key().hint().to_string()
    }

    /// Asks the host to trust this publisher; `more` holds further fields of the request.
    pub fn trust(&self, host: &Host, more: &Value) -> Result<Reply> {
        let mut request = more.clone();
        request["key"] = self.pem().into();
        host.admin("PUT", &format!("/v1/publishers/{}", self.name), &request)
    }

    pub fn revoke_key(&self, host: &Host) -> Result<Reply> {
        host.admin("POST", &format!("/v1/publishers/{}/keys/{}/revoke", self.name, self.hint()), &Value::Null)
    }

    /// Signs the bundle and packs it as an archive.
    pub fn sign(&self, draft: &Draft) -> Vec<u8> {
        let files = draft.files();
        let signature = sign(&files, &self.name, &self.key).unwrap();
        pack(&files.with_signature(signature))
    }

    /// Signs the bundle and uploads it for the tenant `default`.
    pub fn push(&self, host: &Host, draft: &Draft) -> Result<Reply> {
        self.push_to(host, "default", draft)
    }

    pub fn push_to(&self, host: &Host, tenant: &str, draft: &Draft) -> Result<Reply> {
        host.upload(&host.token, tenant, &self.sign(draft))
    }
}
