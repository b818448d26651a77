//! The data plane: the path of a request of any protocol, from its model to its response.

pub mod call;
mod classification;
mod data_plane;
mod exchange;
mod request;
mod response;
mod shadow;
pub mod stream;

pub use data_plane::DataPlane;
pub use exchange::Exchange;
pub use request::{InferRequest, WantedOutput};
pub use response::InferResponse;
