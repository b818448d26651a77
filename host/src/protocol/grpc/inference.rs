//! The recipe of an inference call over gRPC, the same for every protocol: split the message, find the model, and run it
//! within the client's deadline.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tonic::Status;

use super::admission::GrpcCall;
use crate::codec::error::DecodeError;
use crate::codec::protobuf::fields::Malformed;
use crate::error::{ApiError, ErrorResponse};
use crate::http::request_body::SMALL_TEXT;
use crate::inference::Exchange;
use crate::inference::call::Call;

/// The model, version and size of a request.
pub(crate) struct Asked {
    pub model: String,
    pub version: Option<String>,
    /// Size in bytes of the whole message.
    pub bytes: u64,
}

/// Takes the message that was read last, and splits it into its parts.
pub(crate) fn open<T>(
    caller: &GrpcCall,
    message: Bytes,
    split: impl FnOnce(Bytes) -> Result<T, Malformed>,
) -> Result<T, Status> {
    let message = caller.inbox().take(message);
    let parts = message.and_then(|message| Ok(split(message).map_err(DecodeError::from)?));
    parts.map_err(|error| caller.refuse_call(error))
}

/// Answers a request that has one response.
pub(crate) async fn answer<E: Exchange>(caller: &GrpcCall, asked: &Asked, exchange: E) -> Result<E::Reply, Status> {
    let call = accept(caller, asked)?;
    run(caller, call, exchange).await
}

/// Begins the call: finds the model, and checks the message's size against the tenant's bound.
pub(crate) fn accept(caller: &GrpcCall, asked: &Asked) -> Result<Call, Status> {
    let data_plane = caller.data_plane();
    let client = caller.client().map_err(|error| caller.refuse_call(error))?;
    let bound = client.caller.tenant.limits().request_bytes;
    let call = data_plane.begin(&client, caller.headers(), &asked.model, asked.version.as_deref());
    let mut call = call.map_err(ErrorResponse::into_status)?;
    call.small = asked.bytes <= SMALL_TEXT as u64;
    if asked.bytes > bound {
        return data_plane.end(call, Err(ApiError::BodyTooLarge { bound })).map_err(ErrorResponse::into_status);
    }
    call.usage.request_bytes.fetch_add(asked.bytes, Ordering::Relaxed);
    Ok(call)
}

/// Runs the model of a call that was accepted, within the client's deadline.
pub(crate) async fn run<E: Exchange>(caller: &GrpcCall, call: Call, exchange: E) -> Result<E::Reply, Status> {
    let data_plane = caller.data_plane();
    let reply = caller.in_time(data_plane.compute(&call, exchange)).await;
    data_plane.end(call, reply).map_err(ErrorResponse::into_status)
}
