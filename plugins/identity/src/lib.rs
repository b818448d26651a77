//! Returns its input tensor: only the handle moves, and no byte is copied. It serves to measure the cost of a stage, and as
//! the smallest example of a plugin.

use bulkhead_guest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the datatype in the Open Inference Protocol.
    datatype: String,
    /// The shape; -1 is a dimension that varies.
    shape: Vec<i64>,
    input: String,
    output: String,
}

impl Default for Config {
    fn default() -> Self {
        Config { datatype: "FP32".into(), shape: vec![-1], input: "input".into(), output: "output".into() }
    }
}

pub struct Identity {
    config: Config,
    datatype: Datatype,
}

impl Plugin for Identity {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let datatype = config.datatype.parse()?;
        Ok(Identity { config, datatype })
    }

    fn signature(&self) -> Signature {
        let Config { input, output, shape, .. } = &self.config;
        Signature::new().input(input, self.datatype, shape.clone()).output(output, self.datatype, shape.clone())
    }

    fn process(&self, mut inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        Ok(Outputs::new().with(&self.config.output, inputs.take(&self.config.input)?))
    }
}

bulkhead_guest::plugin!(Identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_got() {
        let identity = Identity::init(Config::default()).unwrap();
        let inputs = Inputs::from([("input", Tensor::new(&[3], &[1.0f32, -2.0, f32::MAX]).unwrap())]);
        let outputs = identity.process(inputs, &Parameters::default()).unwrap();
        assert_eq!(&*outputs.get("output").unwrap().view::<f32>().unwrap(), &[1.0, -2.0, f32::MAX]);
    }

    #[test]
    fn refuses_a_datatype_that_is_none() {
        let config = Config { datatype: "FLOAT".into(), ..Config::default() };
        let error = Identity::init(config).err().unwrap().to_string();
        assert!(error.contains("FLOAT") && error.contains("FP32"), "{error}");
    }
}
