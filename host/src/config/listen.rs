//! The addresses to listen on.

use std::net::SocketAddr;

use super::reader::Section;

/// Addresses to listen on; port 0 stands for a free one.
#[derive(Clone, Debug)]
pub struct Listen {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub plain_admin: PlainAdmin,
}

/// What follows if other machines can reach the operator's port, and it has no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainAdmin {
    /// The host starts with a warning.
    Warn,
    /// The host does not start.
    Refuse,
}

impl Listen {
    pub(super) fn read(&mut self, section: &mut Section) {
        section.address("http", &mut self.http);
        section.address("grpc", &mut self.grpc);
        section.address("admin", &mut self.admin);
        let choices = [("warn", PlainAdmin::Warn), ("refuse", PlainAdmin::Refuse)];
        section.choice("plain-admin", &choices, &mut self.plain_admin);
    }

    /// Every address, with the key that sets it.
    pub fn all(&self) -> [(&'static str, SocketAddr); 3] {
        [("listen.http", self.http), ("listen.grpc", self.grpc), ("listen.admin", self.admin)]
    }
}
