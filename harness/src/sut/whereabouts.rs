//! From what a profile says of the server's addresses to sockets: names are looked up, a domain is asked for its
//! servers (RFC 3263), and who answers to one of several is kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::instance::SetUpError;
use super::places::Places;
use super::probe;
use super::profile::{Profile, Transport};
use crate::link::Dialer;
use crate::link::locate::Locator;
use crate::link::tls::Trust;

/// How long one of several servers of a domain may take before the next is asked.
const NEXT: Duration = Duration::from_secs(1);

/// Where a server is, and how it is reached.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// Its addresses, by transport.
    pub(super) targets: BTreeMap<Transport, SocketAddr>,
    /// Makes connections to it.
    pub(super) dialer: Dialer,
}

/// Finds a server.
pub(super) async fn find(profile: &Profile, places: &Places) -> Result<Whereabouts, SetUpError> {
    let failed = |what: String| SetUpError {
        what: format!("the addresses of the profile could not be read: {what}"),
        tried: "`pixit.target` and `pixit.tls`".into(),
        check: "the profile".into(),
    };
    let mut targets = BTreeMap::new();
    let mut resources = BTreeMap::new();
    let locator = locator(profile)?;
    for (transport, address) in &profile.pixit.targets {
        let host = address.split('/').next().unwrap_or(address);
        let resolved = resolve(host, places, locator.as_ref()).await?;
        targets.insert(*transport, resolved);
        resources.insert(*transport, places.fill(address).map_err(failed)?);
    }
    let trust = trust(profile, places).map_err(failed)?;
    let dialer = Dialer::new(profile.pixit.bind, trust).with_places(resources);
    if let (Some(domain), Some(locator)) = (&profile.pixit.located, &locator) {
        let domain = places.fill(domain).map_err(failed)?;
        for (transport, address) in choose(locator, &dialer, &domain, profile).await? {
            targets.entry(transport).or_insert(address);
        }
    }
    Ok(Whereabouts { targets, dialer })
}

/// The first address of `host:port` that the system knows.
pub(super) async fn look_up(address: &str) -> Result<SocketAddr, String> {
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|e| format!("`{address}`: {e}"))?;
    found
        .next()
        .ok_or_else(|| format!("`{address}` has no address"))
}

async fn resolve(
    address: &str,
    places: &Places,
    locator: Option<&Locator>,
) -> Result<SocketAddr, SetUpError> {
    let resolved = match places.fill(address) {
        Ok(address) => match locator {
            Some(locator) => ask(locator, &address).await,
            None => look_up(&address).await,
        },
        Err(why) => Err(why),
    };
    resolved.map_err(|what| SetUpError {
        what: format!("the address of the server cannot be resolved: {what}"),
        tried: format!("`{address}`"),
        check: "`pixit.target` of the profile".into(),
    })
}

/// The address of a host by the name server of the profile.
async fn ask(locator: &Locator, address: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let (host, port) = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| format!("`{address}` is no `host:port`"))?;
    let found = locator.addresses(host, port).await?;
    let first = found.first().copied();
    first.ok_or_else(|| format!("`{host}` has no address of the family of `pixit.bind`"))
}

/// Who asks the Domain Name System, where the profile wants it asked.
fn locator(profile: &Profile) -> Result<Option<Locator>, SetUpError> {
    let pixit = &profile.pixit;
    if pixit.located.is_none() && pixit.resolver.is_none() {
        return Ok(None);
    }
    let locator = Locator::new(pixit.resolver, pixit.bind).map_err(|what| SetUpError {
        what,
        tried: "`pixit.target.domain`, `pixit.resolver`".into(),
        check: "the profile".into(),
    })?;
    Ok(Some(locator))
}

/// The servers of a domain, one for each transport: the first that answers, in the order that the domain wants
/// (RFC 3263 §4.3). Where none does the first is kept, and is asked with more patience afterwards.
async fn choose(
    locator: &Locator,
    dialer: &Dialer,
    domain: &str,
    profile: &Profile,
) -> Result<BTreeMap<Transport, SocketAddr>, SetUpError> {
    let found = locator.locate(domain).await.map_err(|what| SetUpError {
        what: format!("no server can be found: {what}"),
        tried: format!("NAPTR, SRV and address records of `{domain}` (RFC 3263)"),
        check: "`pixit.target.domain` and `pixit.resolver` of the profile".into(),
    })?;
    let mut chosen = BTreeMap::new();
    for (transport, addresses) in found {
        let Some(first) = addresses.first().copied() else {
            continue;
        };
        chosen.insert(transport, first);
        if addresses.len() == 1 {
            continue;
        }
        for address in addresses {
            let domain = &profile.pixit.domain;
            let asked = probe::reach(dialer, transport, address, domain, NEXT).await;
            if asked.is_ok() {
                chosen.insert(transport, address);
                break;
            }
        }
    }
    Ok(chosen)
}

/// Whom the agents believe under TLS. The server is asked for by the host of its target and by its domain, of
/// which its certificate must name one, where the profile does not say whom to expect.
fn trust(profile: &Profile, places: &Places) -> Result<Trust, String> {
    let pixit = &profile.pixit;
    let file = |text: &String| places.fill(text).map(|path| profile.folder.join(path));
    let ca = pixit.tls.ca.as_ref().map(file).transpose()?;
    let own = match &pixit.tls.own {
        Some((certificate, key)) => Some((file(certificate)?, file(key)?)),
        None => None,
    };
    let names = match &pixit.tls.name {
        Some(name) => vec![places.fill(name)?],
        None => {
            let secure = [Transport::Tls, Transport::Wss];
            let target = secure.iter().find_map(|of| pixit.targets.get(of));
            let host = target.and_then(|target| target.rsplit_once(':'));
            let is_name = |host: &&str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
            // RFC 5922 §7.3: where the servers of a domain were looked up, that domain is meant, not its host.
            host.map(|(host, _)| host)
                .filter(is_name)
                .into_iter()
                .chain(pixit.located.as_deref())
                .chain([pixit.domain.as_str()])
                .map(|name| places.fill(name))
                .collect::<Result<_, _>>()?
        }
    };
    Ok(Trust::new(ca, own, names, pixit.tls.name.is_some()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use hickory_resolver::proto::rr::RData;
    use hickory_resolver::proto::rr::rdata::A;
    use imspec_wire::sip::{Builder, Message};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::document::Source;
    use crate::link::locate::tests::{serve, srv};

    #[tokio::test]
    async fn the_next_server_of_a_domain_is_asked_where_the_first_says_nothing() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (first, second) = (silent.local_addr().unwrap(), server.local_addr().unwrap());
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                let request = Message::parse(buffer[..length].to_vec()).unwrap();
                let answer = Builder::response_to(&request, 200, "OK", Some("x")).octets();
                server.send_to(&answer, from).await.unwrap();
            }
        });
        let names = serve(vec![
            (
                "_sip._udp.example.org",
                srv(1, 0, first.port(), "sip.example.org."),
            ),
            (
                "_sip._udp.example.org",
                srv(2, 0, second.port(), "sip.example.org."),
            ),
            ("sip.example.org", RData::A(A([127, 0, 0, 1].into()))),
        ])
        .await;
        let text = format!(
            "name: x\nsut: {{ product: x }}\npixit:\n  target: {{ domain: example.org }}\n  \
             resolver: \"{names}\"\n  domain: example.org\n"
        );
        let folder = std::path::Path::new(".");
        let profile = Profile::read(Source::new("x.yaml", text), folder).unwrap();
        let found = find(&profile, &Places::default()).await.unwrap();
        assert_eq!(found.targets, [(Transport::Udp, second)].into());
        // A name in an address is asked for there, too.
        let text = format!(
            "name: x\nsut: {{ product: x }}\npixit:\n  target: {{ udp: \"sip.example.org:5062\" }}\n  \
             resolver: \"{names}\"\n  domain: example.org\n"
        );
        let profile = Profile::read(Source::new("x.yaml", text), folder).unwrap();
        let found = find(&profile, &Places::default()).await.unwrap();
        let at = "127.0.0.1:5062".parse().unwrap();
        assert_eq!(found.targets, [(Transport::Udp, at)].into());
    }
}
