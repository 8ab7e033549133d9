//! TLS of MSRP connections (RFC 4975 §14): the certificate of the harness, made anew in every run, and how
//! that of the other end is looked at: by the fingerprint in its SDP, else by the authority that the profile
//! names.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use ring::digest::{self, digest};
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::link::tls::peer;

/// The certificate of all agents of this run.
static IDENTITY: LazyLock<Result<Identity, String>> = LazyLock::new(Identity::draw);

struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    provider: Arc<CryptoProvider>,
    fingerprint: String,
}

impl Identity {
    fn draw() -> Result<Self, String> {
        let names = vec!["imspec.invalid".to_owned(), "localhost".to_owned()];
        let drawn = rcgen::generate_simple_self_signed(names)
            .map_err(|e| format!("no certificate could be made: {e}"))?;
        let certificate = drawn.cert.der().clone();
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            key: drawn.signing_key.serialize_der(),
            certificate,
            provider: Arc::new(crypto::ring::default_provider()),
        })
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

fn identity() -> Result<&'static Identity, String> {
    IDENTITY.as_ref().map_err(Clone::clone)
}

/// The value of `a=fingerprint` for the certificate of the harness (RFC 8122 §5).
pub(super) fn own_fingerprint() -> Result<String, String> {
    identity().map(|identity| identity.fingerprint.clone())
}

/// The fingerprint of a certificate as an SDP would have it.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    let hash = digest(&digest::SHA256, certificate);
    written(&[("sha-256".to_owned(), hash.as_ref().to_vec())])
}

/// Fingerprints as an SDP has them.
pub(super) fn written(fingerprints: &[(String, Vec<u8>)]) -> String {
    let written = fingerprints.iter().map(|(hash, octets)| {
        let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
        format!("{} {}", hash.to_ascii_uppercase(), pairs.join(":"))
    });
    written.collect::<Vec<_>>().join(", ")
}

/// Whether a certificate is one of those that an SDP announces.
pub(super) fn is_announced(certificate: &[u8], fingerprints: &[(String, Vec<u8>)]) -> bool {
    fingerprints.iter().any(|(hash, wanted)| {
        let hash = match hash.as_str() {
            "sha-1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha-256" => &digest::SHA256,
            "sha-384" => &digest::SHA384,
            "sha-512" => &digest::SHA512,
            _ => return false,
        };
        digest(hash, certificate).as_ref() == wanted.as_slice()
    })
}

/// Makes the client's part of a handshake.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    fingerprints: Vec<(String, Vec<u8>)>,
    authority: Option<&Path>,
) -> Result<TlsStream<TcpStream>, String> {
    let identity = identity()?;
    let verifier = peer::Server {
        provider: Arc::clone(&identity.provider),
        question: Voucher {
            authority: match authority {
                Some(path) if fingerprints.is_empty() => Some(authorities(path, identity)?),
                _ => None,
            },
            fingerprints,
        },
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(&identity.provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key())
        .map_err(|e| e.to_string())?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| format!("`{host}` is no name of a server"))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| format!("TLS: {e}"))?;
    Ok(stream.into())
}

/// Makes the server's part of a handshake. Whose certificate the client shows is looked at once it says
/// which session it comes for.
pub(super) async fn accept(stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let identity = identity()?;
    let clients = Arc::new(peer::AnyClient::new(Arc::clone(&identity.provider)));
    let config = ServerConfig::builder_with_provider(Arc::clone(&identity.provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![identity.certificate.clone()], identity.key())
        .map_err(|e| e.to_string())?;
    let stream = TlsAcceptor::from(Arc::new(config))
        .accept(stream)
        .await
        .map_err(|e| format!("TLS: {e}"))?;
    Ok(stream.into())
}

/// The certificate that the other end showed.
pub(super) fn certificate(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates()?.first()?.to_vec())
}

fn authorities(path: &Path, identity: &Identity) -> Result<Arc<WebPkiServerVerifier>, String> {
    let failed =
        |why: &dyn std::fmt::Display| format!("`pixit.msrp.ca`: {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
        let certificate = certificate.map_err(|e| failed(&e))?;
        roots.add(certificate).map_err(|e| failed(&e))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&identity.provider))
        .build()
        .map_err(|e| failed(&e))
}

/// Who vouches for a certificate: the SDP by its fingerprint, else an authority.
#[derive(Debug)]
struct Voucher {
    fingerprints: Vec<(String, Vec<u8>)>,
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl peer::Question for Voucher {
    fn answer(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !self.fingerprints.is_empty() {
            return if is_announced(certificate, &self.fingerprints) {
                Ok(())
            } else {
                Err(Error::General(
                    "the certificate is not the one of `a=fingerprint` in the SDP".into(),
                ))
            };
        }
        match &self.authority {
            Some(authority) => authority
                .verify_server_cert(certificate, intermediates, name, &[], now)
                .map(|_| ()),
            None => Err(Error::General(
                "no SDP announces the certificate by `a=fingerprint`, and the profile names no authority (`pixit.msrp.ca`)"
                    .into(),
            )),
        }
    }
}
