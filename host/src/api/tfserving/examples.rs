//! Requests to classify and to regress: lists of examples, each an object of features. They fit models whose inputs have
//! one or two dimensions, the first of which is the example.

use super::rows::{Columns, Row, each, each_entry, open, wrong};
use crate::api::wire::{DecodeError, InferRequest};
use crate::tensor::TensorSpec;

/// `signature` is what a signature for this call is usually called.
pub fn decode(json: &[u8], specs: &[TensorSpec], signature: &str, bound: u64) -> Result<InferRequest, DecodeError> {
    // The context holds features of all examples.
    let (name, [context, examples]) = open(json, ["context", "examples"])?;
    super::check_signature(&name, signature)?;
    let Some(examples) = examples else {
        return Err(wrong("key 'examples' is expected and was not found".into()));
    };
    let context = context.unwrap_or("{}");
    let mut features = Vec::new();
    each_entry(context, |name, value| {
        if features.len() == specs.len() {
            return Err(wrong("'context' has more features than the model has inputs".into()));
        }
        features.push((name.to_owned(), value.to_owned()));
        Ok(())
    })?;
    let features: Vec<(String, &str)> = features.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
    let mut columns = Columns::new(specs, bound);
    let mut empty = true;
    each(examples, |example| {
        empty = false;
        columns.add_row(example, Row::Features, &features)
    })?;
    if empty {
        return Err(wrong("'examples' value is an empty array".into()));
    }
    Ok(InferRequest { inputs: columns.finish()?, ..InferRequest::default() })
}
