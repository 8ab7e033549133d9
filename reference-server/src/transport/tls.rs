//! TLS for SIP (RFC 3261 §26): the server's certificate, and whom it believes.
//!
//! A certificate that is made at the start is signed by an authority made with it, so that whoever connects
//! can check it as he would any other. Keys are never written to disk.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::config::{ClientCertificates, Config};
use crate::peer::Peer;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the configuration cannot be used.
    #[error("`{key}`: {}: {why}", path.display())]
    File {
        /// Which one.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not fit, or none could be made.
    #[error("no certificate for TLS: {0}")]
    Certificate(String),
}

/// What the server needs for TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Tls {
    /// Reads the files, or makes what they would hold.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let unusable = |error: Error| TlsError::Certificate(error.to_string());
        let (chain, key) = match (&config.tls.certificate, &config.tls.key) {
            (Some(certificate), Some(key)) => (
                certificates("tls.certificate", certificate)?,
                PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("tls.key", key, &error))?,
            ),
            _ => made(config)?,
        };
        let roots = match &config.tls.ca {
            None => None,
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("tls.ca", path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| wrong("tls.ca", path, &error))?;
                }
                Some(Arc::new(roots))
            }
        };
        let clients = clients(config.tls.clients, roots.clone(), &provider)?;
        let accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        let connecting = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let connecting = match roots {
            Some(roots) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| TlsError::Certificate(error.to_string()))?;
                connecting.with_webpki_verifier(verifier)
            }
            // Where nobody vouches for user agents, the address of the contact must do.
            None => connecting
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Peer {
                    provider,
                    is_known: |_: &[u8]| true,
                })),
        };
        let connecting = connecting
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(accepting)),
            connector: TlsConnector::from(Arc::new(connecting)),
        })
    }

    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        self.connector.connect(ServerName::from(peer), stream).await
    }
}

/// A certificate for the domains and addresses of the server, signed by an authority made for it.
fn made(config: &Config) -> Result<Identity, TlsError> {
    let failed = |error: rcgen::Error| TlsError::Certificate(error.to_string());
    let mut authority = CertificateParams::new(Vec::new()).map_err(failed)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(
        DnType::CommonName,
        "imspec reference server: authority of one run",
    );
    let authority = KeyPair::generate()
        .and_then(|key| CertifiedIssuer::self_signed(authority, key))
        .map_err(failed)?;
    let mut names = vec![config.domain.clone()];
    names.extend(config.more_domains.iter().cloned());
    names.push("localhost".to_owned());
    let listeners = config.listen.tls.iter().chain(&config.listen.wss);
    names.extend(listeners.map(|at| at.ip().to_string()));
    let mut certificate = CertificateParams::new(names).map_err(failed)?;
    certificate
        .distinguished_name
        .push(DnType::CommonName, config.domain.clone());
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = certificate.signed_by(&key, &authority).map_err(failed)?;
    if let Some(path) = &config.tls.write_ca {
        std::fs::write(path, authority.pem())
            .map_err(|error| wrong("tls.write_ca", path, &error))?;
    }
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key)))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why: &dyn fmt::Display| wrong(key, path, why);
    let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;
    if found.is_empty() {
        return Err(failed(&"there is no certificate in it (PEM is wanted)"));
    }
    Ok(found)
}

fn wrong(key: &'static str, path: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError::File {
        key,
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn clients(
    wish: ClientCertificates,
    roots: Option<Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (ClientCertificates::Wanted | ClientCertificates::Required, Some(roots)) = (wish, roots)
    else {
        return Ok(Arc::new(NoClientAuth));
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let verifier = match wish {
        ClientCertificates::Required => verifier,
        _ => verifier.allow_unauthenticated(),
    };
    verifier
        .build()
        .map_err(|error| TlsError::Certificate(error.to_string()))
}
