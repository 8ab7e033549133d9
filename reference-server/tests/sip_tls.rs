//! SIP over TLS, over real sockets: the certificate that the server makes, messages both ways over one
//! connection, contacts that listen themselves, and who is turned away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use imspec_reference_server::Server;
use support::{ALICE, Agent, BOB, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A server with TLS and the folder that holds the certificate of its authority.
async fn serve(extra: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let mut config = support::config(
        &folder.path().join("s.db"),
        &extra.replace("FOLDER", &folder.path().display().to_string()),
    );
    config.listen.tls = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls.write_ca = Some(ca);
    (Server::start(config).await.unwrap(), folder)
}

fn identity(folder: &Path, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(folder.join("agents.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (vec![made.cert.der().clone()], key)
}

async fn connect(
    server: &Server,
    folder: &Path,
    name: &'static str,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
    };
    let stream = TcpStream::connect(server.addresses().tls[0]).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name).unwrap(), stream)
        .await
}

fn agent(aor: &str, stream: TlsStream<TcpStream>) -> Agent {
    let local = stream.get_ref().0.local_addr().unwrap();
    Agent::tls(aor, local, stream)
}

#[tokio::test]
async fn messages_go_both_ways_over_the_connection_of_a_user_agent() {
    let (server, folder) = serve("more_domains: [second.example.org]\n").await;
    for name in [
        "example.org",
        "second.example.org",
        "127.0.0.1",
        "localhost",
    ] {
        connect(&server, folder.path(), name, None).await.unwrap();
    }
    assert!(
        connect(&server, folder.path(), "example.com", None)
            .await
            .is_err()
    );
    let stream = connect(&server, folder.path(), "example.org", None).await;
    let mut alice = agent(ALICE, stream.unwrap());
    let request = alice.message(BOB).header("Content-Type", "text/plain");
    let response = alice.ask(request.body("hello")).await;
    assert_eq!(response.status(), Some(202));
    let via = response.header("Via").unwrap().text();
    assert!(via.starts_with("SIP/2.0/TLS "), "{via}");
    // Nobody listens at Bob's contact: what was deferred comes over the connection of his REGISTER.
    let stream = connect(&server, folder.path(), "example.org", None).await;
    let mut bob = agent(BOB, stream.unwrap());
    let contact = bob.contact();
    let register = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", format!("<{contact}>"));
    assert_eq!(bob.ask(register).await.status(), Some(200));
    let delivered = bob.receive_and(200).await;
    assert_eq!(&delivered.body_bytes()[..], b"hello");
    let via = delivered.header("Via").unwrap().text();
    let own = server.addresses().tls[0];
    assert!(via.starts_with(&format!("SIP/2.0/TLS {own};")), "{via}");
    server.stop().await;
}

#[tokio::test]
async fn a_contact_that_listens_under_tls_is_connected_to() {
    let (server, folder) = serve("").await;
    let (chain, key) = identity(folder.path(), "127.0.0.1");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    // Registered over UDP, so that there is no other way.
    let mut bob = Agent::udp(BOB, server.addresses().udp[0]).await;
    let register = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", format!("<sips:bob@{at}>"));
    assert_eq!(bob.ask(register).await.status(), Some(200));
    let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
    let request = alice.message(BOB).body("hello").octets();
    alice.send(request).await;
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut stream = TlsAcceptor::from(Arc::new(config))
        .accept(stream)
        .await
        .unwrap();
    let mut came = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut came))
        .await
        .unwrap()
        .unwrap();
    assert!(came[..length].starts_with(format!("MESSAGE sips:bob@{at} SIP/2.0").as_bytes()));
    server.stop().await;
}

#[tokio::test]
async fn who_must_show_a_certificate_and_has_none_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let own = identity(folder.path(), "agent.example.org");
    let ca = folder.path().join("agents.pem").display().to_string();
    let extra = format!("tls: {{ clients: required, ca: '{ca}', write_ca: 'FOLDER/ca.pem' }}\n");
    let (server, server_folder) = serve(&extra).await;
    let refused = async {
        let mut stream = connect(&server, server_folder.path(), "example.org", None).await?;
        // With TLS 1.3 the refusal comes when the client thinks that all is well.
        stream.read_u8().await
    };
    assert!(timeout(PATIENCE, refused).await.unwrap().is_err());
    let stream = connect(&server, server_folder.path(), "example.org", Some(own)).await;
    let mut alice = agent(ALICE, stream.unwrap());
    let request = alice.message(BOB).body("hello");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_ends_its_connection_and_no_other() {
    let (server, folder) = serve("").await;
    let mut stranger = TcpStream::connect(server.addresses().tls[0]).await.unwrap();
    stranger
        .write_all(b"OPTIONS sip:example.org SIP/2.0\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stranger.read_to_end(&mut rest))
        .await
        .unwrap();
    connect(&server, folder.path(), "example.org", None)
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn files_that_are_wrong_keep_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let mut config = support::config(&folder.path().join("s.db"), "");
    config.listen.tls = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls.certificate = Some(empty.clone());
    config.tls.key = Some(empty);
    let why = Server::start(config).await.err().unwrap().to_string();
    assert!(
        why.contains("`tls.certificate`: ") && why.contains("no certificate in it"),
        "{why}"
    );
}
