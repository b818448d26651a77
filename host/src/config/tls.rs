//! TLS of the listeners: certificates, keys, and the authorities of clients' certificates.

use std::path::{Path, PathBuf};

use super::reader::Section;

/// TLS files of each listener; `None` is a listener without TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    pub http: Option<TlsFiles>,
    pub grpc: Option<TlsFiles>,
    pub admin: Option<TlsFiles>,
}

/// Paths of files in PEM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsFiles {
    /// The host's own certificate first, then the chain to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities of clients' certificates. If set, only clients with a certificate of one of them are accepted.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    pub(super) fn read(&mut self, section: &mut Section) {
        section.section("http", |s| read_files(s, &mut self.http));
        section.section("grpc", |s| read_files(s, &mut self.grpc));
        section.section("admin", |s| read_files(s, &mut self.admin));
    }

    /// Makes relative paths start at `folder`.
    pub(super) fn in_folder(&mut self, folder: &Path) {
        for files in [&mut self.http, &mut self.grpc, &mut self.admin].into_iter().flatten() {
            files.certificate = folder.join(&files.certificate);
            files.key = folder.join(&files.key);
            files.client_ca = files.client_ca.take().map(|path| folder.join(path));
        }
    }
}

fn read_files(section: &mut Section, place: &mut Option<TlsFiles>) {
    let (mut certificate, mut key, mut client_ca) = (None, None, None);
    section.path("certificate", &mut certificate);
    section.path("key", &mut key);
    section.path("client-ca", &mut client_ca);
    match (certificate, key) {
        (Some(certificate), Some(key)) => *place = Some(TlsFiles { certificate, key, client_ca }),
        (Some(_), None) => section.missing("key", "a certificate is of no use without it"),
        (None, Some(_)) => section.missing("certificate", "a key is of no use without it"),
        // Ignoring `client-ca` would leave a listener without TLS that the operator wanted to restrict.
        (None, None) if client_ca.is_some() => section.missing("certificate", "client-ca needs a listener with TLS"),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn tls_needs_both_certificate_and_key() {
        let text = "[tls.http]\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
        let tls = Config::from_toml(text).unwrap().tls;
        assert_eq!(tls.http.unwrap().certificate, Path::new("c.pem"));
        assert_eq!(tls.admin, None);
        for (half, wanted) in [
            ("certificate = 'c.pem'", "tls.admin.key is missing"),
            ("key = 'k.pem'", "tls.admin.certificate is missing"),
            ("client-ca = 'ca.pem'", "tls.admin.certificate is missing"),
            ("certificate = ''\nkey = ''\nclient-ca = 'ca.pem'", "tls.admin.certificate must be a path"),
        ] {
            let mistakes = Config::from_toml(&format!("[tls.admin]\n{half}\n")).unwrap_err().to_string();
            assert!(mistakes.contains(wanted), "{half}: {mistakes}");
        }
    }
}
