//! Where the servers of a domain are (RFC 3263): which transports they speak, by NAPTR or else by SRV, and at
//! which addresses, in the order in which they want to be tried.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::Transport;

/// How long one name server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where systems name their name servers.
const SYSTEM: &str = "/etc/resolv.conf";
/// Addresses that are tried of one transport.
const MOST: usize = 16;

/// The services of SIP in NAPTR records (RFC 3263 §4.1, RFC 7118 §5.5).
const SERVICES: [(&str, Transport); 5] = [
    ("SIP+D2U", Transport::Udp),
    ("SIP+D2T", Transport::Tcp),
    ("SIPS+D2T", Transport::Tls),
    ("SIP+D2W", Transport::Ws),
    ("SIPS+D2W", Transport::Wss),
];

/// What is asked for by SRV where there is no NAPTR.
const LABELS: [(&str, Transport); 3] = [
    ("_sip._udp", Transport::Udp),
    ("_sip._tcp", Transport::Tcp),
    ("_sips._tcp", Transport::Tls),
];

/// The addresses of a domain, by transport, each in the order in which they are to be tried.
pub type Found = BTreeMap<Transport, Vec<SocketAddr>>;

/// Asks the Domain Name System.
pub struct Locator {
    resolver: TokioResolver,
    /// The agents' own address: only those of its family can be reached.
    bind: IpAddr,
    /// Whom it asks, for the reader.
    asked: String,
}

impl std::fmt::Debug for Locator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locator")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Locator {
    /// Asks that name server, or those of the system.
    pub fn new(server: Option<SocketAddr>, bind: IpAddr) -> Result<Self, String> {
        let servers = match server {
            Some(server) => vec![server],
            None => of_the_system(&std::fs::read_to_string(SYSTEM).unwrap_or_default()),
        };
        if servers.is_empty() {
            return Err(format!(
                "{SYSTEM} names no name server: name one by `pixit.resolver`"
            ));
        }
        let asked: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let servers = servers.into_iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            config
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = PATIENCE;
        builder.options_mut().attempts = 1;
        let resolver = builder
            .build()
            .map_err(|e| format!("no resolver of names: {e}"))?;
        Ok(Self {
            resolver,
            bind,
            asked: asked.join(", "),
        })
    }

    /// Where the servers of a domain are.
    pub async fn locate(&self, domain: &str) -> Result<Found, String> {
        let mut services = self.by_naptr(domain).await?;
        if services.is_empty() {
            let label = |(label, transport)| (transport, format!("{label}.{domain}"));
            services = LABELS.into_iter().map(label).collect();
        }
        let mut found = Found::new();
        for (transport, name) in services {
            let addresses = self.by_srv(&name).await?;
            let known: &mut Vec<_> = found.entry(transport).or_default();
            known.extend(addresses);
            known.truncate(MOST);
        }
        found.retain(|_, addresses| !addresses.is_empty());
        if found.is_empty() {
            // RFC 3263 §4.1, §4.2: the domain is the name of a host, and its port is the usual one.
            let addresses = self.addresses(domain, 5060).await?;
            if !addresses.is_empty() {
                found.insert(Transport::Udp, addresses.clone());
                found.insert(Transport::Tcp, addresses);
            }
        }
        if found.is_empty() {
            let family = if self.bind.is_ipv4() { "A" } else { "AAAA" };
            return Err(format!(
                "{} knows no server of `{domain}`: no NAPTR and no SRV record of SIP leads to an address, and the name \
                 itself has no {family} record; check `pixit.target.domain`, `pixit.resolver` and the family of \
                 `pixit.bind`",
                self.asked
            ));
        }
        Ok(found)
    }

    /// The addresses of a host that the agents can reach.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let kind = if self.bind.is_ipv4() {
            RecordType::A
        } else {
            RecordType::AAAA
        };
        let found = self.records(host, kind).await?;
        let address = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        };
        Ok(found
            .iter()
            .filter_map(address)
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }

    /// Transports in the order that the domain prefers, and the names under which SRV tells their servers.
    async fn by_naptr(&self, domain: &str) -> Result<Vec<(Transport, String)>, String> {
        let found = self.records(domain, RecordType::NAPTR).await?;
        let mut found: Vec<&NAPTR> = found
            .iter()
            .filter_map(|data| match data {
                RData::NAPTR(naptr) if naptr.flags.eq_ignore_ascii_case(b"s") => Some(naptr),
                _ => None,
            })
            .collect();
        found.sort_by_key(|naptr| (naptr.order, naptr.preference));
        let of_sip = |naptr: &NAPTR| {
            let (_, transport) = SERVICES
                .iter()
                .find(|(name, _)| naptr.services.eq_ignore_ascii_case(name.as_bytes()))?;
            Some((*transport, naptr.replacement.to_string()))
        };
        Ok(found.into_iter().filter_map(of_sip).collect())
    }

    async fn by_srv(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let found = self.records(name, RecordType::SRV).await?;
        let servers: Vec<SRV> = found
            .into_iter()
            .filter_map(|data| match data {
                RData::SRV(srv) if !srv.target.is_root() => Some(srv),
                _ => None,
            })
            .collect();
        let mut addresses = Vec::new();
        for srv in in_order(servers, |most| fastrand::u32(0..=most)) {
            addresses.extend(self.addresses(&srv.target.to_string(), srv.port).await?);
            if addresses.len() >= MOST {
                break;
            }
        }
        Ok(addresses)
    }

    /// The records of that kind; none is no error.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        // Fully qualified: no name is tried with the system's own domain behind it.
        let name = format!("{}.", name.trim_end_matches('.'));
        match self.resolver.lookup(name.as_str(), kind).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter(|record| record.record_type() == kind)
                .map(|record| record.data.clone())
                .collect()),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(format!(
                "the name server {} does not tell the {kind} records of `{name}`: {error}; check `pixit.resolver`",
                self.asked
            )),
        }
    }
}

/// Servers in the order in which they are to be tried: by priority, and among equals by lot, weighted
/// (RFC 2782). `draw` gives a number up to and including its argument.
fn in_order(mut left: Vec<SRV>, mut draw: impl FnMut(u32) -> u32) -> Vec<SRV> {
    // Those without weight stand first, so that they have a small chance of their own.
    left.sort_by_key(|srv| (srv.priority, srv.weight));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(first) = left.first() {
        let priority = first.priority;
        let equals = left.iter().take_while(|srv| srv.priority == priority);
        let sum = equals.clone().map(|srv| u32::from(srv.weight)).sum();
        let drawn = draw(sum);
        let mut running = 0;
        let chosen = equals
            .map(|srv| {
                running += u32::from(srv.weight);
                running
            })
            .position(|running| running >= drawn)
            .unwrap_or(0);
        ordered.push(left.remove(chosen));
    }
    ordered
}

/// The name servers of a `resolv.conf`.
fn of_the_system(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA};
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server on loopback that knows these records, and no others.
    pub(crate) async fn serve(zone: Vec<(&'static str, RData)>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let Some(query) = question.queries.first().cloned() else {
                    continue;
                };
                let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
                answer.add_query(query.clone());
                let asked = query.name.to_string();
                let asked = asked.trim_end_matches('.').to_ascii_lowercase();
                answer.metadata.response_code = ResponseCode::NXDomain;
                for (name, data) in &zone {
                    if *name == asked {
                        answer.metadata.response_code = ResponseCode::NoError;
                        if data.record_type() == query.query_type {
                            let record = Record::from_rdata(query.name.clone(), 60, data.clone());
                            answer.add_answer(record);
                        }
                    }
                }
                let octets = answer.to_vec().unwrap();
                socket.send_to(&octets, from).await.unwrap();
            }
        });
        at
    }

    pub(crate) fn naptr(order: u16, preference: u16, service: &str, to: &str) -> RData {
        RData::NAPTR(NAPTR::new(
            order,
            preference,
            Box::from(&b"s"[..]),
            Box::from(service.as_bytes()),
            Box::from(&b""[..]),
            Name::from_ascii(to).unwrap(),
        ))
    }

    pub(crate) fn srv(priority: u16, weight: u16, port: u16, to: &str) -> RData {
        RData::SRV(SRV::new(
            priority,
            weight,
            port,
            Name::from_ascii(to).unwrap(),
        ))
    }

    fn a(text: &str) -> RData {
        RData::A(A(text.parse().unwrap()))
    }

    fn aaaa(text: &str) -> RData {
        RData::AAAA(AAAA(text.parse().unwrap()))
    }

    fn shown(found: &Found) -> Vec<String> {
        found
            .iter()
            .map(|(transport, at)| {
                let at: Vec<_> = at.iter().map(ToString::to_string).collect();
                format!("{} {}", transport.as_str(), at.join(" "))
            })
            .collect()
    }

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn naptr_tells_the_transports_and_srv_the_servers() {
        let server = serve(vec![
            (
                "example.org",
                naptr(20, 1, "SIP+D2U", "_sip._udp.pool.example.org."),
            ),
            (
                "example.org",
                naptr(10, 1, "SIPS+D2T", "_sips._tcp.example.org."),
            ),
            (
                "example.org",
                naptr(10, 2, "SIP+D2W", "_sip._ws.example.org."),
            ),
            (
                "example.org",
                naptr(1, 1, "E2U+web", "elsewhere.example.org."),
            ),
            (
                "_sip._udp.pool.example.org",
                srv(2, 0, 5062, "b.example.org."),
            ),
            (
                "_sip._udp.pool.example.org",
                srv(1, 0, 5061, "a.example.org."),
            ),
            ("_sips._tcp.example.org", srv(1, 0, 5071, "a.example.org.")),
            ("_sip._ws.example.org", srv(1, 0, 8080, "b.example.org.")),
            // NAPTR was there, so this is not asked for.
            ("_sip._tcp.example.org", srv(1, 0, 1, "a.example.org.")),
            ("a.example.org", a("127.0.0.1")),
            ("a.example.org", aaaa("::1")),
            ("b.example.org", a("127.0.0.2")),
        ])
        .await;
        let found = Locator::new(Some(server), LOOPBACK).unwrap();
        let found = found.locate("example.org").await.unwrap();
        assert_eq!(
            shown(&found),
            [
                "udp 127.0.0.1:5061 127.0.0.2:5062",
                "tls 127.0.0.1:5071",
                "ws 127.0.0.2:8080"
            ]
        );
        // Over IPv6 only what has an address there.
        let found = Locator::new(Some(server), "::1".parse().unwrap()).unwrap();
        let found = found.locate("example.org").await.unwrap();
        assert_eq!(shown(&found), ["udp [::1]:5061", "tls [::1]:5071"]);
    }

    #[tokio::test]
    async fn without_naptr_srv_is_asked_and_without_that_the_name_is_a_host() {
        let server = serve(vec![
            ("_sip._tcp.two.example", srv(1, 0, 5080, "a.example.org.")),
            ("_sip._udp.two.example", srv(0, 0, 0, ".")),
            ("a.example.org", a("127.0.0.1")),
            ("host.example", a("127.0.0.3")),
        ])
        .await;
        let locator = Locator::new(Some(server), LOOPBACK).unwrap();
        let found = locator.locate("two.example").await.unwrap();
        assert_eq!(shown(&found), ["tcp 127.0.0.1:5080"]);
        let found = locator.locate("host.example").await.unwrap();
        assert_eq!(shown(&found), ["udp 127.0.0.3:5060", "tcp 127.0.0.3:5060"]);
        let why = locator.locate("nobody.example").await.unwrap_err();
        insta::assert_snapshot!(why.replace(&server.to_string(), "127.0.0.1:PORT"));
    }

    #[tokio::test]
    async fn a_name_server_that_says_nothing_is_named() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = silent.local_addr().unwrap();
        let locator = Locator::new(Some(at), LOOPBACK).unwrap();
        let why = locator.locate("example.org").await.unwrap_err();
        assert!(
            why.contains(&at.to_string()) && why.contains("`pixit.resolver`"),
            "{why}"
        );
    }

    #[test]
    fn the_weight_decides_among_equals() {
        let servers = || {
            let server = |priority, weight, port| {
                SRV::new(priority, weight, port, Name::from_ascii("x.").unwrap())
            };
            vec![
                server(2, 0, 1),
                server(1, 10, 2),
                server(1, 90, 3),
                server(1, 0, 4),
            ]
        };
        let ports = |drawn: &[u32]| {
            let mut drawn = drawn.iter().copied();
            in_order(servers(), |most| drawn.next().unwrap().min(most))
                .iter()
                .map(|srv| srv.port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(&[0, 1, 1, 0]), [4, 2, 3, 1]);
        assert_eq!(ports(&[50, 5, 0, 0]), [3, 2, 4, 1]);
        assert_eq!(ports(&[10, 0, 9, 0]), [2, 4, 3, 1]);
    }

    #[test]
    fn name_servers_of_the_system_are_read() {
        let text =
            "# comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver ::1\nnameserver x\n";
        let servers: Vec<_> = of_the_system(text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53"]);
    }
}
