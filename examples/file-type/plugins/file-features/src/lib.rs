//! Prepares the input of Magika's network: the first and last bytes of a file, without its leading and trailing white
//! space. Nothing else of the file is read, however large it is. A file that is too short for the network gets its result
//! here, as `verdict`.

mod ends;
mod model;

use bulkhead_guest::prelude::*;
use serde::Deserialize;

use ends::Ends;
use model::Model;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Path of the asset with the model's configuration, which says how many bytes are taken from each end.
    model: String,
    /// Number of files in a request if the graph was planned for a fixed number; -1 varies.
    batch: i64,
}

impl Default for Config {
    fn default() -> Self {
        Config { model: "config.min.json".into(), batch: -1 }
    }
}

pub struct FileFeatures {
    model: Model,
    batch: i64,
}

impl Plugin for FileFeatures {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let Config { model: asset, batch } = config;
        if batch == 0 || batch < -1 {
            return Err(
                format!("batch is {batch}, and must be the number of files in a request, or -1: it varies").into()
            );
        }
        let model = Model::parse(&bulkhead_guest::assets::read_text(&asset)?);
        let model = model.map_err(|error| format!("the asset {asset} is not for this plugin: {error}"))?;
        Ok(FileFeatures { model, batch })
    }

    fn signature(&self) -> Signature {
        Signature::new()
            .input("file", Datatype::Bytes, [self.batch])
            .output("features", Datatype::Int32, [self.batch, i64::try_from(self.model.width()).unwrap_or(i64::MAX)])
            .output("verdict", Datatype::Bytes, [self.batch])
    }

    fn process(&self, inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let files = inputs.get("file")?;
        let mut tokens = Vec::new();
        let mut verdicts = Vec::new();
        for file in files.byte_string_ranges()? {
            let ends = Ends::read(files, file, self.model.block_size)?;
            self.model.tokenize(&ends, &mut tokens);
            verdicts.push(self.model.verdict(&ends));
        }
        let count = verdicts.len() as u64;
        Ok(Outputs::new()
            .with("features", Tensor::new(&[count, self.model.width() as u64], &tokens)?)
            .with("verdict", Tensor::bytes(&[count], &verdicts)?))
    }
}

bulkhead_guest::plugin!(FileFeatures);

#[cfg(test)]
mod tests;
