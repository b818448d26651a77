//! Admission of gRPC calls: identifies the caller before any of its request is read, counts the bodies, and makes the error
//! statuses. It wraps tonic, which knows neither the host's bounds nor its error texts, and replaces tonic's own errors.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, header};
use axum::middleware::Next;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::request_body::{Bounds, CountedBody, Extent, Inbox, SMALL};
use super::response_body::Outgoing;
use crate::codec::error::DecodeError;
use crate::error::{ApiError, ErrorResponse};
use crate::http::buffer_budget::BufferBudget;
use crate::http::client_port::ClientPort;
use crate::http::request_body::BodyReader;
use crate::http::request_id::RequestId;
use crate::inference::DataPlane;
use crate::inference::call::Client;
use crate::tenant::AuthError;

#[derive(Clone)]
pub struct GrpcCall(Arc<Admitted>);

struct Admitted {
    port: Arc<ClientPort>,
    request_id: Arc<str>,
    caller: Result<crate::tenant::Caller, AuthError>,
    headers: HeaderMap,
    deadline: Option<Instant>,
    /// The caller's buffer budget, for both its requests and its replies.
    budget: BufferBudget,
    inbox: Arc<Inbox>,
}

/// The metadata key of the error code, which is `code` over HTTP.
const CODE: &str = "bulkhead-code";

const ENCODING: &str = "grpc-encoding";

/// The middleware around all calls: it counts every body, and replaces every error of tonic by one of the host's.
pub(crate) async fn admit(State(port): State<Arc<ClientPort>>, request: Request<Body>, next: Next) -> Response<Body> {
    let caller = GrpcCall::new(port, &request);
    if let Err(error) = check_form(request.headers()) {
        return caller.answer(error);
    }
    let extent = extent(request.uri().path());
    let (mut head, body) = request.into_parts();
    if !head.headers.contains_key(ENCODING) {
        // Nearly every client announces that it could decompress a reply; only a client that compresses its requests gets
        // compressed replies.
        head.headers.remove("grpc-accept-encoding");
    }
    head.extensions.insert(caller.clone());
    let body = Body::new(CountedBody::new(body, caller.0.inbox.clone(), caller.bounds(extent), caller.refuse_with()));
    let response = next.run(Request::from_parts(head, body)).await;
    let response = caller.in_our_words(response, extent);
    response.map(|body| Body::new(Outgoing::new(body, caller.0.budget.clone(), caller.refuse_with())))
}

fn extent(path: &str) -> Extent {
    match path.rsplit('/').next().unwrap_or_default() {
        "ModelInfer" | "Predict" => Extent::Tensors,
        "ModelStreamInfer" | "ServerReflectionInfo" => Extent::Stream,
        _ => Extent::Small,
    }
}

/// True if the client speaks gRPC, and can read only its replies.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    text(headers, header::CONTENT_TYPE.as_str()).starts_with("application/grpc")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn check_form(headers: &HeaderMap) -> Result<(), ApiError> {
    if !is_grpc(headers) {
        return Err(ApiError::NotGrpc);
    }
    match text(headers, ENCODING) {
        "" | "identity" | "gzip" | "deflate" => Ok(()),
        encoding => Err(ApiError::Encoding { encoding: encoding.to_owned() }),
    }
}

impl GrpcCall {
    fn new(port: Arc<ClientPort>, request: &Request<Body>) -> GrpcCall {
        let (headers, extensions) = (request.headers(), request.extensions());
        let request_id = RequestId::of(extensions).0;
        let caller = port.caller(headers, extensions.get().copied());
        let timeout = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse_timeout);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let budget = match &caller {
            Ok(caller) => port.bodies.buffers.of(&caller.tenant.buffered),
            Err(_) => port.bodies.buffers.clone(),
        };
        let (inbox, headers) = (Arc::new(Inbox::new(budget.clone())), headers.clone());
        GrpcCall(Arc::new(Admitted { budget, inbox, port, request_id, caller, headers, deadline }))
    }

    /// The call that [`admit`] put into the request; an internal error if the request did not pass it.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<GrpcCall, Status> {
        let caller = request.extensions().get::<GrpcCall>().cloned();
        caller.ok_or_else(|| Status::internal("the request did not pass admission"))
    }

    pub fn data_plane(&self) -> &Arc<DataPlane> {
        &self.0.port.data_plane
    }

    pub fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    /// The caller; an error if authentication failed, or if the caller's rights have ended since the call began.
    pub fn client(&self) -> Result<Client, ApiError> {
        let caller = self.0.caller.clone()?;
        self.0.port.check_again(&caller)?;
        Ok(Client { request_id: self.0.request_id.clone(), caller })
    }

    /// The headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The bounds on the body of the request.
    fn bounds(&self, extent: Extent) -> Bounds {
        let Admitted { port, deadline, .. } = &*self.0;
        let BodyReader { request_bytes, body_time, .. } = port.bodies;
        Bounds { extent, request_bytes, body_time, deadline: *deadline }
    }

    /// [`Self::refuse_call`] as a function, for the bodies of the call.
    fn refuse_with(&self) -> impl Fn(ApiError) -> Status + Send + Unpin + use<> {
        let caller = self.clone();
        move |error| caller.refuse_call(error)
    }

    pub fn is_late(&self) -> bool {
        self.0.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Waits for `work` until the client's own deadline; then the work is dropped, and the result is
    /// [`ApiError::Deadline`].
    pub async fn in_time<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        match self.0.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(ApiError::Deadline)),
        }
    }

    /// The status of a failed call that is not an inference call. It is logged.
    pub fn refuse(&self, error: ApiError) -> Status {
        let response = error.refuse(&self.0.request_id);
        response.log();
        response.into_status()
    }

    /// The status of an inference call that failed before its model was found. It is logged and counted.
    pub fn refuse_call(&self, error: ApiError) -> Status {
        self.data_plane().refuse(&self.0.request_id, error).into_status()
    }

    /// The reply to a request that is refused before it reaches tonic.
    fn answer(&self, error: ApiError) -> Response<Body> {
        match error {
            // A client that does not speak gRPC cannot read a gRPC status.
            ApiError::NotGrpc => self.data_plane().refuse(&self.0.request_id, error).into_response(),
            _ => self.refuse_call(error).into_http(),
        }
    }

    /// Replaces an error status that tonic made by one of the host's.
    fn in_our_words(&self, response: Response<Body>, extent: Extent) -> Response<Body> {
        let status = Status::from_header_map(response.headers());
        let Some(status) = status.filter(|status| status.code() != Code::Ok) else { return response };
        self.translate(status, extent).into_http()
    }

    /// Converts an error status of tonic's to one of the host's; a status of the host's stays as it is. Streams call this
    /// for errors that tonic finds within them.
    pub fn translate(&self, status: Status, extent: Extent) -> Status {
        if status.metadata().contains_key(CODE) {
            return status;
        }
        let bound = self.0.port.bodies.request_bytes;
        let error = match status.code() {
            Code::OutOfRange | Code::ResourceExhausted if extent == Extent::Small => {
                ApiError::BodyNotSmall { bound: SMALL }
            }
            Code::OutOfRange | Code::ResourceExhausted => ApiError::BodyTooLarge { bound },
            Code::Unimplemented => ApiError::NoSuchCall,
            Code::Internal => DecodeError::Message(status.message().to_owned()).into(),
            _ => return status,
        };
        self.refuse_call(error)
    }
}

impl ErrorResponse {
    /// The gRPC status of the error, with the same text and code as over HTTP.
    pub fn into_status(self) -> Status {
        let code = self.error.code();
        let mut refused = Status::new(code.grpc(), self.text());
        let metadata = refused.metadata_mut();
        metadata.insert(CODE, MetadataValue::from_static(code.name()));
        if let Ok(id) = self.request.parse() {
            metadata.insert("x-request-id", id);
        }
        if let Some(seconds) = self.error.retry_after() {
            metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(seconds * 1000));
        }
        refused
    }
}

/// Reads a `grpc-timeout`: at most eight digits and a unit. Anything else is ignored, as if no deadline was sent.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse_timeout("0n"), Some(Duration::ZERO));
        for text in ["", "m", "1", "-1S", "123456789S", "1ß", "1.5S"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }
}
