//! TLS for MSRP between peers that know each other's certificate by its fingerprint (RFC 4975 §14.4).
//!
//! The server's certificate is made when it starts, and signed by nobody. It is never written to disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use imspec_wire::sip::typed::Host;
use rcgen::CertifiedKey;
use ring::digest;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::peer::Peer;

/// The value of `a=fingerprint` (RFC 8122 §5): a hash, and what it gives for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    value: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Sha256, "SHA-256"),
        (Self::Sha384, "SHA-384"),
        (Self::Sha512, "SHA-512"),
    ];

    fn of(self, octets: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, octets).as_ref().to_vec()
    }
}

impl Fingerprint {
    /// Reads the value of the attribute. Hashes that are broken, or unknown here, are `None`.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, octets) = value.trim().split_once(' ')?;
        let (hash, _) = Hash::ALL
            .into_iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))?;
        let value = octets
            .trim()
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16).ok())
            .collect::<Option<Vec<u8>>>()?;
        Some(Self { hash, value })
    }

    fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == self.value
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Hash::ALL.iter().find(|(hash, _)| *hash == self.hash);
        f.write_str(name.map_or("", |(_, name)| name))?;
        for (index, octet) in self.value.iter().enumerate() {
            write!(f, "{}{octet:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// The server's own certificate, and what is made of it.
pub struct Tls {
    acceptor: TlsAcceptor,
    provider: Arc<CryptoProvider>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

impl Tls {
    /// Makes a certificate for these names.
    pub fn new(names: Vec<String>) -> io::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let fingerprint = Fingerprint {
            hash: Hash::Sha256,
            value: Hash::Sha256.of(cert.der()),
        };
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.clone_key())
            .map_err(io::Error::other)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            provider,
            certificate: cert.der().clone(),
            key,
            fingerprint,
        })
    }

    /// The certificate's.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
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
        host: &Host,
        fingerprints: Vec<Fingerprint>,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        // Not an authority but the session description vouches for the peer.
        let verifier = Peer {
            provider: Arc::clone(&self.provider),
            is_known: move |certificate: &[u8]| {
                fingerprints.iter().any(|wanted| wanted.is_of(certificate))
            },
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            // Our SDP announces a certificate, and whoever we connect to must see it (RFC 4975 §14.4).
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(io::Error::other)?;
        let name = match host {
            Host::Ip(ip) => ServerName::from(*ip),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn fingerprints_read_back_whatever_their_case() {
        let own = Tls::new(vec!["localhost".into()]).unwrap();
        let text = own.fingerprint().to_string();
        assert!(
            text.starts_with("SHA-256 ") && text.len() == 8 + 32 * 3 - 1,
            "{text}"
        );
        assert_eq!(
            Fingerprint::parse(&text.to_lowercase()).as_ref(),
            Some(own.fingerprint())
        );
        assert_eq!(Fingerprint::parse("md5 00:11"), None);
        assert_eq!(Fingerprint::parse("sha-256 0g"), None);
    }
}
