//! TLS in the process: a certificate that is read at the start and again on SIGHUP, without a connection lost.
//!
//! The handshake asks [`CurrentCertificate`] for what is current; a reload puts another in its place. Files that cannot be used stop a
//! start, and leave a running server with what it had.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{ConfigError, TlsFiles};
use crate::start_error::StartError;

/// The certificate that new connections are shown.
pub(crate) struct CurrentCertificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl CurrentCertificate {
    /// Reads the files. Blocks.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, StartError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = RwLock::new(Arc::new(read(&files, &provider)?));
        Ok(Arc::new(Self { files, provider, current }))
    }

    /// Reads the files again; on failure what was current stays so. Blocks.
    pub(crate) fn reload(&self) -> Result<(), StartError> {
        let read = Arc::new(read(&self.files, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// What a listener needs: TLS 1.2 and 1.3, as rustls has them by default, and this certificate.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, StartError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| StartError::System(format!("TLS: {error}")))?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as _))
    }
}

impl std::fmt::Debug for CurrentCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CurrentCertificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, StartError> {
    let chain_of = |path: &Path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let chain = chain_of(&files.certificate_chain)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| refused("TLS_CERT_FILE", &files.certificate_chain, &pem_problem(error, "certificate")))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| refused("TLS_KEY_FILE", &files.private_key, &pem_problem(error, "private key")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => format!("is not the key of {}", files.certificate_chain.display()),
            other => format!("cannot be used: {other}"),
        };
        refused("TLS_KEY_FILE", &files.private_key, &problem)
    })
}

fn refused(variable: &str, path: &Path, problem: &str) -> StartError {
    ConfigError::new(variable, format!("{} {problem}", path.display())).into()
}

fn pem_problem(error: pem::Error, what: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("holds no {what} in PEM format"),
        pem::Error::Io(error) if error.kind() == ErrorKind::NotFound => "is not there".to_owned(),
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        other => format!("is not a PEM file: {other}"),
    }
}
