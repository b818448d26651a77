//! The state that the handlers of the clients' ports share, over HTTP and gRPC and for all protocols.

use std::sync::Arc;

use super::request_body::BodyReader;
use crate::config::Auth;
use crate::inference::DataPlane;
use crate::tenant::Directory;

/// Authentication of callers, reading of bodies, and the data plane that takes the requests.
pub struct ClientPort {
    pub(crate) data_plane: Arc<DataPlane>,
    pub(crate) bodies: BodyReader,
    pub(super) directory: Arc<Directory>,
    pub(super) auth: Auth,
    /// Origins of web pages that may call, by `http.cors-origins`.
    pub(crate) origins: Vec<String>,
}

impl ClientPort {
    pub(crate) fn new(
        data_plane: Arc<DataPlane>,
        bodies: BodyReader,
        directory: Arc<Directory>,
        auth: Auth,
        origins: Vec<String>,
    ) -> ClientPort {
        ClientPort { data_plane, bodies, directory, auth, origins }
    }
}
