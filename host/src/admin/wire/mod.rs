//! Types of the operator's API as they go over the wire: the bodies of its requests and replies. They are apart from what
//! is stored, so that neither format binds the other; the conversions stand here. Field names and comments are part of the
//! port's OpenAPI document. Requests can be written, too, because the commands send them.

pub(crate) mod audit;
pub(crate) mod bundles;
pub(crate) mod models;
pub(crate) mod publishers;
pub(crate) mod tenants;
