//! The data plane: the path of a request of any protocol, from its model to its response.

mod app;
pub mod call;
mod classification;
mod exchange;
mod request;
mod response;
mod shadow;
pub mod stream;

pub use app::App;
pub use exchange::Exchange;
pub use request::{InferRequest, WantedOutput};
pub use response::InferResponse;
