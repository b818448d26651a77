//! The recipe of an inference request over HTTP, the same for every protocol: find the model, read the body, run the model,
//! and reply.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::binary_header::json_length;
use super::client_port::ClientPort;
use super::compression::Coding;
use super::media_type::check_json;
use super::request_body::Received;
use super::response::Replying;
use super::{auth, sse};
use crate::codec::json::writer::Encoded;
use crate::codec::parameters::add_query;
use crate::error::{ApiError, ErrorResponse};
use crate::inference::call::{Call, Client};
use crate::inference::{Exchange, InferRequest};

/// A request whose body has arrived, and the form in which its client gets the reply.
pub(crate) struct ArrivedRequest {
    pub head: Parts,
    /// The tenant's bound on a request, in bytes.
    pub bound: u64,
    body: Option<Received>,
    replying: Replying,
}

impl ArrivedRequest {
    /// Takes the body of a request that can only be JSON, like [`Self::take_any_body`].
    pub(crate) fn take_body(&mut self) -> Result<Bytes, ApiError> {
        check_json(&self.head.headers)?;
        self.take_any_body()
    }

    /// Takes the body, decompressed; it is empty if it was taken before. Decompression of a large body takes CPU time: call
    /// this on a compute thread.
    pub(crate) fn take_any_body(&mut self) -> Result<Bytes, ApiError> {
        self.body.take().map_or(Ok(Bytes::new()), Received::unpack)
    }

    /// The request with the parameters in the query of its address, too. A name that is also in the body is refused.
    pub(crate) fn with_query(&self, mut request: InferRequest) -> Result<InferRequest, ApiError> {
        add_query(&mut request.parameters, self.head.uri.query().unwrap_or_default())?;
        Ok(request)
    }

    /// The only reply to the request.
    pub(crate) fn reply(&self, encoded: Encoded) -> Result<Response<Body>, ApiError> {
        self.replying.inference(encoded)
    }

    /// One of the events that answer the request. Fails if the buffer budget has no room for it.
    pub(crate) fn event(&self, json: &[u8]) -> Result<Bytes, ApiError> {
        self.replying.buffers.hold(sse::event(json))
    }
}

/// Length of a reply's body, in bytes.
pub(crate) fn body_length(reply: &Response<Body>) -> u64 {
    axum::body::HttpBody::size_hint(reply.body()).lower()
}

impl ClientPort {
    /// Answers an inference request of any protocol over HTTP. `exchange` makes the protocol's exchange from the request.
    pub(crate) async fn answer<E: Exchange<Reply = Response<Body>>>(
        &self,
        client: &Client,
        model: &str,
        version: Option<&str>,
        request: Request<Body>,
        exchange: impl FnOnce(ArrivedRequest) -> E + Send,
    ) -> Response<Body> {
        let answered = async {
            let (call, arrived) = self.begin_received(client, model, version, request).await?;
            let reply = self.data_plane.compute(&call, exchange(arrived)).await;
            self.data_plane.end(call, reply)
        };
        respond(client, answered.await)
    }

    /// Like [`Self::answer`], for any number of responses: each is sent as an event. An error before the first response is
    /// a reply of its own.
    pub(crate) async fn answer_in_events<E: Exchange<Reply = Bytes>>(
        &self,
        client: &Client,
        model: &str,
        version: Option<&str>,
        request: Request<Body>,
        exchange: impl FnOnce(ArrivedRequest) -> E + Send,
    ) -> Response<Body> {
        let answered = async {
            let (call, arrived) = self.begin_received(client, model, version, request).await?;
            let mut events = self.data_plane.stream(call, exchange(arrived)).await?;
            let first = events.next().await.transpose()?;
            Ok(sse::events(stream::iter(first.map(Ok)).chain(events.into_stream())))
        };
        respond(client, answered.await)
    }

    /// Finds the model, and reads the body within the tenant's bound.
    async fn begin_received(
        &self,
        client: &Client,
        model: &str,
        version: Option<&str>,
        request: Request<Body>,
    ) -> Result<(Call, ArrivedRequest), ErrorResponse> {
        let mut call = self.data_plane.begin(client, request.headers(), model, version)?;
        let (head, body) = request.into_parts();
        let bound = client.caller.tenant.limits().request_bytes;
        let buffers = self.bodies.buffers.of(&client.caller.tenant.buffered);
        match self.bodies.read_body(&head.headers, body, bound, &buffers).await {
            Ok(received) => {
                call.usage.request_bytes.fetch_add(received.len() as u64, Ordering::Relaxed);
                call.small = received.is_small(json_length(&head.headers, received.len()).unwrap_or_default());
                let replying = Replying { coding: Coding::accepted(&head.headers), buffers };
                Ok((call, ArrivedRequest { head, bound, body: Some(received), replying }))
            }
            Err(error) => self.data_plane.end(call, Err(error)),
        }
    }
}

fn respond(client: &Client, answered: Result<Response<Body>, ErrorResponse>) -> Response<Body> {
    let mut response = answered.unwrap_or_else(ErrorResponse::into_response);
    auth::add_rate_limit(&client.caller.tenant, response.headers_mut());
    response
}
