//! SIP over TLS: whom the agents believe to be the server, who they are themselves, and what a handshake that
//! failed means for the reader.
//!
//! The server's certificate is checked as RFC 5922 has it: signed by an authority that the profile names,
//! valid today, and of a name that the profile expects. The agents show a certificate only where the profile
//! has one for them; that of their listeners is made for the run where it has not.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, ServerConfig,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use webpki::EndEntityCert;

pub mod peer;

/// Where systems keep the authorities that everybody believes.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Whom the agents believe, and who they are.
#[derive(Debug, Default)]
pub struct Trust {
    /// File of the authorities.
    pub ca: Option<PathBuf>,
    /// Files of the agents' certificate and key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Names one of which the server's certificate must have; the address of the server does, too, where
    /// `strict` is not set.
    pub names: Vec<String>,
    /// Only `names` will do.
    pub strict: bool,
    /// What was made of the files when they were last read. A server that imspec starts may write them anew.
    kept: Mutex<Option<(Vec<Stamp>, Arc<Ready>)>>,
}

/// What tells that a file is another one than before.
type Stamp = Option<(SystemTime, u64)>;

/// What is made of the files.
#[derive(Debug)]
struct Ready {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// A stream after its handshake, and who can say what an error on it means.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) explain: Explain,
}

/// Says what an error of TLS means.
#[derive(Debug, Clone)]
pub(super) struct Explain {
    /// The other end, for the reader.
    peer: String,
    /// The file of authorities.
    ca: String,
    /// Whether the agents show a certificate.
    shows: bool,
}

impl Trust {
    /// Believes the authorities of that file, about one of these names.
    pub fn new(
        ca: Option<PathBuf>,
        own: Option<(PathBuf, PathBuf)>,
        names: Vec<String>,
        strict: bool,
    ) -> Self {
        Self {
            ca,
            own,
            names,
            strict,
            kept: Mutex::default(),
        }
    }

    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        target: SocketAddr,
    ) -> Result<Secured, String> {
        let (ready, explain) = (
            self.ready(target.ip())?,
            self.explain(format!("the server at {target}")),
        );
        let name = match self
            .names
            .first()
            .map(|name| ServerName::try_from(name.clone()))
        {
            Some(Ok(name)) => name,
            Some(Err(_)) => {
                return Err(format!(
                    "`{}` is no name that a certificate could have: check `pixit.tls.name`",
                    self.names.first().map_or("", String::as_str)
                ));
            }
            None => ServerName::from(target.ip()),
        };
        let mut config = ClientConfig::clone(&ready.client);
        let verifier = peer::Server {
            provider: Arc::clone(&ready.provider),
            question: Expected {
                provider: Arc::clone(&ready.provider),
                roots: Arc::clone(&ready.roots),
                names: self.names.clone(),
                address: (!self.strict).then_some(target.ip()),
            },
        };
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match connecting.await {
            Ok(stream) => Ok(Secured {
                stream: stream.into(),
                explain,
            }),
            Err(error) => Err(explain.handshake(&error)),
        }
    }

    pub(super) async fn accept(&self, stream: TcpStream, own: IpAddr) -> Result<Secured, String> {
        let remote = stream
            .peer_addr()
            .map_or_else(|_| "somebody".to_owned(), |remote| remote.to_string());
        let ready = self.ready(own)?;
        let accepting = TlsAcceptor::from(Arc::clone(&ready.server)).accept(stream);
        let stream = accepting.await.map_err(|error| {
            let mut why = format!("the TLS connection from {remote} to an agent failed: {error}");
            if refusal(&error).is_some() {
                why.push_str(match self.own {
                    Some(_) => {
                        "; the server does not take the agents' certificate: check `pixit.tls.certificate`"
                    }
                    None => {
                        "; the server does not take the certificate that was made for this run: give the agents one \
                         that it believes (`pixit.tls.certificate` and `key`), or let it send over the connection \
                         that they have opened"
                    }
                });
            }
            why
        })?;
        Ok(Secured {
            stream: stream.into(),
            explain: self.explain(format!("the peer at {remote}")),
        })
    }

    fn explain(&self, peer: String) -> Explain {
        Explain {
            peer,
            ca: self.authorities().map_or_else(
                || "(none)".to_owned(),
                |(path, _)| path.display().to_string(),
            ),
            shows: self.own.is_some(),
        }
    }

    /// The file of authorities, and whether the profile names it.
    fn authorities(&self) -> Option<(PathBuf, bool)> {
        match &self.ca {
            Some(path) => Some((path.clone(), true)),
            None => SYSTEM
                .iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
                .map(|path| (path, false)),
        }
    }

    /// What is made of the files, read again where they are other ones now.
    fn ready(&self, own: IpAddr) -> Result<Arc<Ready>, String> {
        let Some((ca, _)) = self.authorities() else {
            return Err(
                "this system has no list of authorities: name the one of the server by `pixit.tls.ca`"
                    .to_owned(),
            );
        };
        let mut stamps = vec![stamp(&ca)];
        if let Some((certificate, key)) = &self.own {
            stamps.extend([stamp(certificate), stamp(key)]);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, ready)) = &*kept
            && *of == stamps
        {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(self.read(&ca, own)?);
        *kept = Some((stamps, Arc::clone(&ready)));
        Ok(ready)
    }

    fn read(&self, ca: &Path, own: IpAddr) -> Result<Ready, String> {
        let provider = Arc::new(crypto::ring::default_provider());
        let roots = Arc::new(roots(ca)?);
        let (chain, key) = match &self.own {
            Some((certificate, key)) => (chain(certificate)?, private_key(key)?),
            None => drawn(own)?,
        };
        let versions = "no version of TLS is usable";
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("{versions}: {e}"))?
            .with_root_certificates(Arc::clone(&roots));
        let unusable =
            |e: Error| format!("`pixit.tls.certificate` and `pixit.tls.key` do not fit: {e}");
        let client = if self.own.is_some() {
            client
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(unusable)?
        } else {
            client.with_no_client_auth()
        };
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("{versions}: {e}"))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        Ok(Ready {
            provider,
            roots,
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

impl Explain {
    /// Of an error in the handshake.
    fn handshake(&self, error: &io::Error) -> String {
        let peer = &self.peer;
        if let Some(alert) = refusal(error) {
            return self.refused(alert);
        }
        let meant = match inner(error) {
            Some(Error::InvalidCertificate(why)) => return self.certificate(why),
            Some(Error::InvalidMessage(_)) => {
                "what answers is not TLS: check that this is the server's port for TLS, not for TCP"
                    .to_owned()
            }
            Some(Error::AlertReceived(alert)) => format!(
                "the server ended the handshake with the alert {alert:?}: look into its log; its versions of TLS, its \
                 cipher suites or the name that it is asked for (`pixit.tls.name`) may not fit"
            ),
            Some(other) => other.to_string(),
            None if closed(error) => {
                "it was closed in the middle: check that the server speaks TLS at this port, and whether it wants a \
                 certificate of its clients (`pixit.tls.certificate`)"
                    .to_owned()
            }
            None => error.to_string(),
        };
        format!("no TLS with {peer}: {meant}")
    }

    /// Of an error on a stream whose handshake was fine as seen from here: with TLS 1.3 the server looks at our
    /// certificate only then.
    pub(super) fn later(&self, error: &io::Error) -> Option<String> {
        refusal(error).map(|alert| self.refused(alert))
    }

    fn refused(&self, alert: AlertDescription) -> String {
        let peer = &self.peer;
        let check = if self.shows {
            "check that `pixit.tls.certificate` has not expired, and that the server knows the authority that signed it"
        } else {
            "it wants one of its clients: name it in the profile (`pixit.tls.certificate` and `key`)"
        };
        let what = if self.shows {
            "does not take the agents' certificate"
        } else {
            "does not talk to agents without a certificate"
        };
        format!("{peer} {what} (alert {alert:?}): {check}")
    }

    fn certificate(&self, why: &CertificateError) -> String {
        let (peer, ca) = (&self.peer, &self.ca);
        let (what, check) = match why {
            CertificateError::Expired => ("has expired".to_owned(), OUTDATED),
            CertificateError::ExpiredContext { not_after, .. } => {
                (format!("has expired on {}", day(*not_after)), OUTDATED)
            }
            CertificateError::NotValidYet => ("is not valid yet".to_owned(), EARLY),
            CertificateError::NotValidYetContext { not_before, .. } => {
                (format!("is not valid before {}", day(*not_before)), EARLY)
            }
            CertificateError::UnknownIssuer => (
                format!("is signed by no authority of {ca}"),
                "name the PEM file of the authority that signed it (`pixit.tls.ca`)",
            ),
            CertificateError::BadSignature => (
                format!("is not signed with the key of the authority in {ca} whose name it tells"),
                "the file may be an older one: name the present one of the authority (`pixit.tls.ca`)",
            ),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => {
                let mut what = "is for ".to_owned();
                for (index, name) in presented.iter().enumerate() {
                    let _ = write!(what, "{}{}", if index == 0 { "" } else { ", " }, bare(name));
                }
                if presented.is_empty() {
                    what.push_str("nobody (it has no subjectAltName)");
                }
                let _ = write!(what, ", not for {}", expected.to_str());
                (what, MISNAMED)
            }
            CertificateError::NotValidForName => ("is for somebody else".to_owned(), MISNAMED),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
                "is not one for servers".to_owned(),
                "its extended key usage must have serverAuth",
            ),
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
                "is that of an authority (CA:TRUE), not of a server".to_owned(),
                "have the server show one that the authority signed, or make a self-signed one with CA:FALSE",
            ),
            other => (
                format!("is not taken: {other}"),
                "check it with `openssl x509 -text`",
            ),
        };
        format!("the certificate of {peer} {what}: {check}")
    }
}

const OUTDATED: &str = "have it renewed, and check the clock of this machine";
const EARLY: &str = "check the clock of this machine, and that of whoever signed it";
const MISNAMED: &str = "check `pixit.target` and `pixit.domain`, or name whom to expect (`pixit.tls.name`); \
                        RFC 5922 §7.1 wants the name of the domain in subjectAltName";

/// Takes a certificate that a known authority signed, that is valid now, and of which one name is expected.
#[derive(Debug)]
struct Expected {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    names: Vec<String>,
    address: Option<IpAddr>,
}

impl peer::Question for Expected {
    fn answer(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        // RFC 5922 §7.1: where the certificate names SIP domains by URI, those are its names, else those of DNS.
        let domains = sip_domains(certificate);
        let is_domain = |name: &String| {
            domains
                .iter()
                .any(|domain| domain.eq_ignore_ascii_case(name))
        };
        if self.names.iter().any(is_domain) {
            return Ok(());
        }
        let expected = self
            .names
            .iter()
            .filter_map(|name| ServerName::try_from(name.as_str()).ok())
            .chain(self.address.map(ServerName::from));
        for expected in expected {
            let is_dns = matches!(expected, ServerName::DnsName(_));
            if (domains.is_empty() || !is_dns) && verify_server_name(&parsed, &expected).is_ok() {
                return Ok(());
            }
        }
        if !domains.is_empty() {
            return Err(Error::InvalidCertificate(
                CertificateError::NotValidForNameContext {
                    expected: name.to_owned(),
                    presented: domains,
                },
            ));
        }
        verify_server_name(&parsed, name)
    }
}

/// The SIP domains of a certificate: URIs with the scheme `sip` and without a user (RFC 5922 §7.1).
fn sip_domains(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    certificate
        .valid_uri_names()
        .filter_map(|uri| {
            let (scheme, rest) = uri.split_once(':')?;
            (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@')).then(|| rest.to_owned())
        })
        .collect()
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain_of(path, "pixit.tls.ca")? {
        roots
            .add(certificate)
            .map_err(|e| format!("`pixit.tls.ca`: {}: {e}", path.display()))?;
    }
    Ok(roots)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    chain_of(path, "pixit.tls.certificate")
}

fn chain_of(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("`{key}`: {}: {why}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|e| failed(&e))?;
    if found.is_empty() {
        return Err(failed(&"there is no certificate in it (PEM is wanted)"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| format!("`pixit.tls.key`: {}: {e}", path.display()))
}

/// A certificate for listeners at that address, which nobody vouches for.
fn drawn(own: IpAddr) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let drawn = rcgen::generate_simple_self_signed(vec![own.to_string(), "localhost".to_owned()])
        .map_err(|e| format!("no certificate could be made: {e}"))?;
    let key = PrivatePkcs8KeyDer::from(drawn.signing_key.serialize_der());
    Ok((vec![drawn.cert.der().clone()], PrivateKeyDer::Pkcs8(key)))
}

fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// The alert by which the other end says that it does not like our certificate.
fn refusal(error: &io::Error) -> Option<AlertDescription> {
    use AlertDescription as A;
    match inner(error)? {
        Error::AlertReceived(
            alert @ (A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
            | A::CertificateRequired),
        ) => Some(*alert),
        _ => None,
    }
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe
    )
}

/// `DnsName("a.example")` as rustls shows it, and `a.example` as a reader knows it.
fn bare(name: &str) -> &str {
    match name.split_once("(\"") {
        Some((_, rest)) => rest.trim_end_matches("\")"),
        None => name,
    }
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "an odd day".to_owned(),
        |at| at.strftime("%F").to_string(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::net::Ipv4Addr;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
        date_time_ymd,
    };
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::link::{Dialer, Link, Piece, Transport};

    /// An authority, and files in which the harness finds what it signed.
    struct Authority {
        folder: TempDir,
        issuer: CertifiedIssuer<'static, KeyPair>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer =
                CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
            Self { folder, issuer }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn sign(&self, params: &CertificateParams) -> (CertificateDer<'static>, KeyPair) {
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            (certificate.der().clone(), key)
        }

        /// Files for the agents.
        fn client(&self) -> (PathBuf, PathBuf) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["agent.example.org".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            let files = (self.path("agent.pem"), self.path("agent.key"));
            std::fs::write(&files.0, certificate.pem()).unwrap();
            std::fs::write(&files.1, key.serialize_pem()).unwrap();
            files
        }

        fn dialer(&self, own: Option<(PathBuf, PathBuf)>, name: Option<&str>) -> Dialer {
            let names = vec![name.unwrap_or("example.org").to_owned()];
            let trust = Trust::new(Some(self.path("ca.pem")), own, names, name.is_some());
            Dialer::new(Ipv4Addr::LOCALHOST.into(), trust)
        }

        /// A server that says back what it hears; `clients` may want a certificate of who connects.
        async fn serve(&self, params: &CertificateParams, clients: Option<&Self>) -> SocketAddr {
            let (certificate, key) = self.sign(params);
            let provider = Arc::new(crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .unwrap();
            let config = match clients {
                None => config.with_no_client_auth(),
                Some(authority) => {
                    let mut roots = RootCertStore::empty();
                    roots.add(authority.issuer.der().clone()).unwrap();
                    config.with_client_cert_verifier(
                        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                            .build()
                            .unwrap(),
                    )
                }
            };
            let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            let config = config.with_single_cert(vec![certificate], key).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let local = listener.local_addr().unwrap();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let mut buffer = [0; 64];
                        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                            if stream.write_all(&buffer[..length]).await.is_err() {
                                return;
                            }
                            let _ = stream.flush().await;
                        }
                    });
                }
            });
            local
        }
    }

    fn named(name: &str) -> CertificateParams {
        CertificateParams::new(vec![name.to_owned()]).unwrap()
    }

    async fn echo(mut link: Link) -> Result<(), String> {
        link.writer.send(&"hello".into()).await?;
        match link.reader.next().await {
            Ok(Some(Piece::Octets(octets) | Piece::Message(octets))) => {
                assert_eq!(&octets[..], b"hello");
                Ok(())
            }
            Ok(None) => Err("closed".into()),
            Err(why) => Err(why.unwrap_or_else(|| "broken".into())),
        }
    }

    async fn tried(dialer: &Dialer, at: SocketAddr) -> Result<(), String> {
        echo(dialer.connect(Transport::Tls, at).await?).await
    }

    /// A sentence without what differs from run to run.
    fn plain(authority: &Authority, why: &str) -> String {
        let folder = authority.folder.path().display().to_string();
        let port = regex::Regex::new(r"127\.0\.0\.1:\d+").unwrap();
        port.replace_all(&why.replace(&folder, "DIR"), "127.0.0.1:PORT")
            .into_owned()
    }

    #[tokio::test]
    async fn a_server_is_known_by_its_domain_by_its_address_and_by_its_sip_uri() {
        let authority = Authority::new("authority");
        let dialer = authority.dialer(None, None);
        let mut uri = named("other.example");
        uri.subject_alt_names
            .push(SanType::URI("sip:example.org".try_into().unwrap()));
        for params in [named("example.org"), named("127.0.0.1"), uri] {
            let at = authority.serve(&params, None).await;
            tried(&dialer, at).await.unwrap();
        }
        // The name that the profile wants is the only one that will do.
        let at = authority.serve(&named("127.0.0.1"), None).await;
        let strict = authority.dialer(None, Some("sip.example.org"));
        assert!(tried(&strict, at).await.is_err());
        // Where there are SIP URIs, a name of DNS is none of the domain's.
        let mut uri = named("example.org");
        uri.subject_alt_names
            .push(SanType::URI("sip:other.example".try_into().unwrap()));
        let at = authority.serve(&uri, None).await;
        let why = tried(&dialer, at).await.unwrap_err();
        assert!(
            why.contains("is for other.example, not for example.org"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn what_keeps_a_connection_from_coming_about_is_said_with_what_to_check() {
        let authority = Authority::new("authority");
        let (stranger, older) = (Authority::new("stranger"), Authority::new("authority"));
        let dialer = authority.dialer(None, None);
        let mut said = Vec::new();
        let mut expired = named("example.org");
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 2, 3);
        let mut early = named("example.org");
        early.not_before = date_time_ymd(2900, 1, 1);
        early.not_after = date_time_ymd(2901, 1, 1);
        for params in [expired, early, named("other.example")] {
            let at = authority.serve(&params, None).await;
            said.push(tried(&dialer, at).await.unwrap_err());
        }
        for signer in [&stranger, &older] {
            let at = signer.serve(&named("example.org"), None).await;
            said.push(tried(&dialer, at).await.unwrap_err());
        }
        // It wants a certificate: none is there, one of a stranger, the right one.
        let at = authority
            .serve(&named("example.org"), Some(&authority))
            .await;
        said.push(tried(&dialer, at).await.unwrap_err());
        let wrong = authority.dialer(Some(stranger.client()), None);
        said.push(tried(&wrong, at).await.unwrap_err());
        let right = authority.dialer(Some(authority.client()), None);
        tried(&right, at).await.unwrap();
        // No TLS at all: it says something else, and it closes.
        for words in [Some("SIP/2.0 400 Bad Request\r\n\r\n"), None] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                if let Some(words) = words {
                    let _ = stream.write_all(words.as_bytes()).await;
                }
            });
            said.push(tried(&dialer, at).await.unwrap_err());
        }
        // Files that are not there, or hold something else.
        let missing = Trust::new(Some(authority.path("no.pem")), None, Vec::new(), false);
        let missing = Dialer::new(Ipv4Addr::LOCALHOST.into(), missing);
        said.push(tried(&missing, at).await.unwrap_err());
        let files = authority.client();
        let swapped = authority.dialer(Some((files.1, files.0)), None);
        said.push(tried(&swapped, at).await.unwrap_err());
        let said: Vec<_> = said.iter().map(|why| plain(&authority, why)).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[tokio::test]
    async fn agents_take_connections_under_tls_and_files_are_read_anew() {
        let authority = Authority::new("authority");
        let dialer = authority.dialer(Some(authority.client()), Some("agent.example.org"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let accepting = dialer.clone();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut link = accepting.accept(Transport::Tls, stream).await.unwrap();
            let Ok(Some(Piece::Octets(octets))) = link.reader.next().await else {
                panic!("nothing came");
            };
            link.writer.send(&octets).await.unwrap();
        });
        tried(&dialer, at).await.unwrap();
        served.await.unwrap();
        // The server comes back with another authority, in the same file.
        let other = Authority::new("authority");
        let at = other.serve(&named("agent.example.org"), None).await;
        assert!(tried(&dialer, at).await.is_err());
        std::fs::copy(other.path("ca.pem"), authority.path("ca.pem")).unwrap();
        tried(&dialer, at).await.unwrap();
    }
}
