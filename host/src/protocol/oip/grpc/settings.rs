//! The settings of the log and of traces over gRPC: the same as over HTTP, converted to and from the types of its messages.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::protocol::oip::extensions::settings;
use crate::protocol::pb::inference as pb;
use crate::protocol::pb::inference::log_settings_request::setting_value::ParameterChoice as Given;
use crate::protocol::pb::inference::log_settings_response::setting_value::ParameterChoice as Reported;

pub(super) fn log(
    changes: &HashMap<String, pb::log_settings_request::SettingValue>,
) -> Result<pb::LogSettingsResponse, ApiError> {
    let change = |(name, value): (&String, &pb::log_settings_request::SettingValue)| {
        let value = match &value.parameter_choice {
            None => Value::Null,
            Some(Given::BoolParam(value)) => (*value).into(),
            Some(Given::Uint32Param(value)) => (*value).into(),
            Some(Given::StringParam(value)) => value.as_str().into(),
        };
        (name.clone(), value)
    };
    let changes = Value::Object(changes.iter().map(change).collect());
    let changes = serde_json::from_value(changes).map_err(ApiError::NotJson)?;
    let reported = |(name, value): (String, Value)| {
        let choice = match value {
            Value::Bool(value) => Reported::BoolParam(value),
            Value::Number(value) => {
                Reported::Uint32Param(u32::try_from(value.as_u64().unwrap_or_default()).unwrap_or(u32::MAX))
            }
            other => Reported::StringParam(text(&other)),
        };
        (name, pb::log_settings_response::SettingValue { parameter_choice: Some(choice) })
    };
    let settings = object(settings::change_log(changes)?).into_iter().map(reported).collect();
    Ok(pb::LogSettingsResponse { settings })
}

pub(super) fn trace(
    changes: &HashMap<String, pb::trace_setting_request::SettingValue>,
) -> Result<pb::TraceSettingResponse, ApiError> {
    let change = |(name, value): (&String, &pb::trace_setting_request::SettingValue)| {
        let value = match &value.value[..] {
            [] => Value::Null,
            [only] => only.as_str().into(),
            several => several.into(),
        };
        (name.clone(), value)
    };
    let changes: BTreeMap<String, Value> = changes.iter().map(change).collect();
    let reported = |(name, value): (String, Value)| {
        let value = match value {
            Value::Array(list) => list.iter().map(text).collect(),
            other => vec![text(&other)],
        };
        (name, pb::trace_setting_response::SettingValue { value })
    };
    let settings = object(settings::change_trace(&changes)?).into_iter().map(reported).collect();
    Ok(pb::TraceSettingResponse { settings })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The fields of a reply, under the names that they have over HTTP.
fn object(answer: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
