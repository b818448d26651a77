//! Requests to classify and to regress: lists of examples, each an object of features. They fit models whose inputs have
//! one or two dimensions, the first of which is the example.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::rows::{Columns, Row, each, each_entry, wrong};
use crate::api::wire::{DecodeError, InferRequest};
use crate::tensor::TensorSpec;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    signature_name: Option<Cow<'a, str>>,
    /// Features of all examples.
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    examples: Option<&'a RawValue>,
}

/// `signature` is what a signature for this call is usually called.
pub fn decode(json: &[u8], specs: &[TensorSpec], signature: &str, bound: u64) -> Result<InferRequest, DecodeError> {
    let body: Body = serde_json::from_slice(json).map_err(|error| wrong(format!("JSON Parse error: {error}")))?;
    super::check_signature(body.signature_name.as_deref().unwrap_or_default(), signature)?;
    let Some(examples) = body.examples else {
        return Err(wrong("key 'examples' is expected and was not found".into()));
    };
    let context = body.context.map_or("{}", RawValue::get);
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
    each(examples.get(), |example| {
        empty = false;
        columns.add_row(example.get(), Row::Features, &features)
    })?;
    if empty {
        return Err(wrong("'examples' value is an empty array".into()));
    }
    Ok(InferRequest { inputs: columns.finish()?, ..InferRequest::default() })
}
