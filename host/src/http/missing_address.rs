//! Refusals of addresses that a port does not have.

use crate::catalog::LookupError;
use crate::error::ApiError;

/// The refusal of an address, which names another port if that has it. `elsewhere` are the beginnings of that port's
/// addresses.
pub(crate) fn missing_address(path: &str, elsewhere: &[&'static str], port: &'static str) -> ApiError {
    let within = |place: &str| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match elsewhere.iter().find(|place| within(place)) {
        Some(address) => ApiError::OtherPort { address, port },
        None => ApiError::NoSuchAddress,
    }
}

/// The refusal of a model that is not served. A name like `echo/versions` is that of a list of versions which clients expect,
/// and a model's own address has it. `models` is the beginning of the addresses of models.
pub(crate) fn missing_list(error: LookupError, name: &str, models: &str) -> ApiError {
    match (&error, name.strip_suffix("/versions")) {
        (LookupError::UnknownModel { .. }, Some(model)) => {
            ApiError::ListElsewhere { instead: format!("GET {models}{model} lists the versions of the model") }
        }
        _ => error.into(),
    }
}
