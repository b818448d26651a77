//! TLS for a listener, and mutual TLS if authorities for clients are configured. The files are checked every two seconds,
//! so that a renewed certificate is used without a restart. If new files cannot be used, the old ones stay in use.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;

/// Interval between two checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Bound on the size of a file, in bytes. Chains and authorities have a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// TLS settings of a listener, replaced when its files change.
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    loaded: Vec<Stamp>,
}

/// A TLS file of a listener cannot be used. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{} has more than {MAX_FILE} bytes, which is too large for a certificate or key", file.display())]
    TooLarge { file: PathBuf },
    #[error("{} holds no {wanted} in PEM", file.display())]
    Empty { file: PathBuf, wanted: &'static str },
    #[error("{} is not usable PEM: {error}", file.display())]
    Pem { file: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("{} is not usable: {error}", file.display())]
    Authority { file: PathBuf, error: String },
    #[error("{} and {} are not usable together: {error}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, error: rustls::Error },
}

impl Tls {
    pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        // The stamps are taken first, so that a change during the reading is noticed later.
        let loaded = stamps(files);
        let current = ArcSwap::from_pointee(server_config(files)?);
        Ok(Tls { files: files.clone(), current, loaded })
    }

    /// Performs the handshake. `None` if it failed; the log has the reason at level debug, because it concerns only the
    /// client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let client = stream.peer_addr().ok();
        let accepted = TlsAcceptor::from(self.current.load_full()).accept(stream).await;
        accepted.inspect_err(|error| tracing::debug!(?client, %error, "a TLS handshake failed")).ok()
    }

    /// Reloads the files whenever they change, until the task is aborted.
    pub(crate) async fn stay_fresh(self: Arc<Self>) {
        let mut seen = self.loaded.clone();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = stamps(&self.files);
            // Files that cannot be used are tried again when they change again.
            if now != seen {
                self.reload();
                seen = now;
            }
        }
    }

    /// Reads the files anew. If they cannot be used, the old ones stay in use.
    pub fn reload(&self) {
        let certificate = self.files.certificate.display();
        match server_config(&self.files) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(%certificate, "new certificate files are in use");
            }
            Err(error) => {
                tracing::error!(%certificate, %error, "new certificate files cannot be used; the old ones stay in use");
            }
        }
    }
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    warn_of_open_key(&files.key);
    let (chain, key) = (certificates(&files.certificate)?, private_key(&files.key)?);
    let unusable = |error| TlsError::Pair { certificate: files.certificate.clone(), key: files.key.clone(), error };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?;
    let builder = match &files.client_ca {
        Some(file) => builder.with_client_cert_verifier(verifier(file)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |error: String| TlsError::Authority { file: file.into(), error };
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(file)? {
        authorities.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
    verifier.map(|verifier| verifier as _).map_err(|error| unusable(error.to_string()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let certificates = certificates.map_err(|error| TlsError::Pem { file: file.into(), error })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { file: file.into(), wanted: "certificate" });
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::Empty { file: file.into(), wanted: "private key" },
        error => TlsError::Pem { file: file.into(), error },
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: file.into(), error };
    let mut content = Vec::new();
    fs::File::open(file).map_err(unreadable)?.take(MAX_FILE + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_FILE {
        return Err(TlsError::TooLarge { file: file.into() });
    }
    Ok(content)
}

/// Permission bits for users who are neither the owner nor in the group.
const EVERYBODY: u32 = 0o007;

fn warn_of_open_key(key: &Path) {
    if fs::metadata(key).is_ok_and(|metadata| metadata.mode() & EVERYBODY != 0) {
        tracing::warn!(key = %key.display(), "this private key is open to everybody on this machine: chmod o= it");
    }
}

/// Modification time, length and inode of a file, by which a change is noticed without reading it; `None` if there is no
/// file.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    let stamp = |metadata: fs::Metadata| (metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino());
    let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    paths.into_iter().flatten().map(|path| fs::metadata(path).ok().map(stamp)).collect()
}
