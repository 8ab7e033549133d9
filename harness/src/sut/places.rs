//! `${dir}`, `${port.sip}`, `${profile}`, `${self}` in a profile: known only when a server starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// The places of one server.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `${dir}`: a folder of the server's own; none when imspec does not start it.
    pub dir: Option<PathBuf>,
    /// `${port.NAME}`
    pub ports: BTreeMap<String, u16>,
    /// `${profile}`: the folder of the profile.
    pub profile: PathBuf,
    /// `${self}`: the imspec binary.
    pub program: PathBuf,
}

impl Places {
    /// Fills in all references of a text; `$${` writes `${`.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        self.fill_with(text, &[])
    }

    /// The same, with `${env.NAME}`: for what nobody writes into a profile, such as a password.
    pub fn fill_secret(&self, text: &str) -> Result<String, String> {
        let mut unset = None;
        let filled = fill(text, |name| match name.strip_prefix("env.") {
            Some(variable) => {
                let value = std::env::var(variable).ok();
                if value.is_none() {
                    unset.get_or_insert_with(|| {
                        format!("the variable {variable} of the environment is not set")
                    });
                }
                value
            }
            None => self.known(name),
        });
        // What else is wrong could repeat a part of the secret.
        filled.map_err(|_| unset.unwrap_or_else(|| "a reference in it has no value here".into()))
    }

    fn known(&self, name: &str) -> Option<String> {
        match name.split_once('.') {
            Some(("port", port)) => self.ports.get(port).map(ToString::to_string),
            None if name == "dir" => self.dir.as_deref().map(shown),
            None if name == "profile" => Some(shown(&self.profile)),
            None if name == "self" => Some(shown(&self.program)),
            _ => None,
        }
    }

    /// The same with further references, which are known only now.
    pub fn fill_with(&self, text: &str, more: &[(&str, &str)]) -> Result<String, String> {
        fill(text, |name| {
            self.known(name).or_else(|| {
                let found = more.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The references of a text, for checking before anything starts.
pub fn references(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let _ = fill(text, |name| {
        names.push(name.to_owned());
        Some(String::new())
    });
    names
}

fn fill(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at - 1]);
            filled.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after
            .find('}')
            .ok_or_else(|| format!("`${{` without `}}` in `{text}`"))?;
        let name = &after[..end];
        filled.push_str(&value(name).ok_or_else(|| format!("`${{{name}}}` has no value here"))?);
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Ports of one server, its own until this is dropped.
#[derive(Debug)]
pub struct Ports {
    /// By name.
    pub numbers: BTreeMap<String, u16>,
    claims: Vec<Claim>,
}

impl Ports {
    /// Port numbers at `address` that are free now, for UDP and TCP both. They are all different.
    pub fn claim(address: IpAddr, names: &[String]) -> Result<Self, String> {
        // Held until all are found, so that none is found twice.
        let mut held = Vec::new();
        let mut ports = Self {
            numbers: BTreeMap::new(),
            claims: Vec::new(),
        };
        for name in names {
            let (port, claim, sockets) =
                free_port(address).map_err(|e| format!("no free port at {address}: {e}"))?;
            held.push(sockets);
            ports.numbers.insert(name.clone(), port);
            ports.claims.push(claim);
        }
        Ok(ports)
    }
}

/// A port below those that systems give to clients: while a server is down for a restart, no client is given
/// its port.
fn free_port(address: IpAddr) -> std::io::Result<(u16, Claim, (TcpListener, UdpSocket))> {
    let mut last = None;
    for _ in 0..256 {
        let port = fastrand::u16(10_000..32_000);
        let at = SocketAddr::new(address, port);
        let free = Claim::of(port)
            .and_then(|claim| Ok((port, claim, (TcpListener::bind(at)?, UdpSocket::bind(at)?))));
        match free {
            Ok(free) => return Ok(free),
            Err(taken) => last = Some(taken),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

/// Says to every other run of imspec on this machine that a port is taken, also while its server is down for a
/// restart. The port itself cannot be held for a server that knows nothing of it.
#[derive(Debug)]
struct Claim {
    /// A name in the same network namespace as the port; the system takes it back when the process is gone.
    #[cfg(target_os = "linux")]
    _name: std::os::unix::net::UnixDatagram,
}

impl Claim {
    #[cfg(target_os = "linux")]
    fn of(port: u16) -> std::io::Result<Self> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let name = SocketAddr::from_abstract_name(format!("imspec-port-{port}"))?;
        Ok(Self {
            _name: UnixDatagram::bind_addr(&name)?,
        })
    }

    /// Other systems have no names that go with their process.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
    fn of(_port: u16) -> std::io::Result<Self> {
        Ok(Self {})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn references_are_filled_in() {
        let places = Places {
            dir: Some("/run/one".into()),
            ports: [("sip".to_owned(), 5070)].into(),
            profile: "/profiles/x".into(),
            program: "/bin/imspec".into(),
        };
        assert_eq!(
            places.fill("udp:127.0.0.1:${port.sip}").unwrap(),
            "udp:127.0.0.1:5070"
        );
        assert_eq!(
            places.fill("${self} ${profile}/a ${dir}/b").unwrap(),
            "/bin/imspec /profiles/x/a /run/one/b"
        );
        assert_eq!(places.fill("$${dir} $dir").unwrap(), "${dir} $dir");
        assert_eq!(
            places.fill("${port.msrp}").unwrap_err(),
            "`${port.msrp}` has no value here"
        );
        assert!(places.fill("${dir").is_err());
        assert_eq!(
            references("a ${dir} $${x} ${port.sip}"),
            ["dir", "port.sip"]
        );
    }

    #[test]
    fn a_secret_may_come_from_the_environment() {
        let places = Places::default();
        let path = std::env::var("PATH").unwrap();
        assert_eq!(
            places.fill_secret("a ${env.PATH} $${b}").unwrap(),
            format!("a {path} ${{b}}")
        );
        assert_eq!(
            places
                .fill_secret("s3cret ${env.IMSPEC_NEVER_SET}")
                .unwrap_err(),
            "the variable IMSPEC_NEVER_SET of the environment is not set"
        );
        let why = places.fill_secret("s3cret ${dir}").unwrap_err();
        assert!(!why.contains("s3cret"), "{why}");
        assert!(places.fill("${env.PATH}").is_err());
    }

    #[test]
    fn free_ports_differ() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let ports = Ports::claim(IpAddr::from([127, 0, 0, 1]), &names).unwrap();
        let distinct: std::collections::BTreeSet<_> = ports.numbers.values().collect();
        assert_eq!(distinct.len(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_is_claimed_while_its_server_is_down() {
        let names = ["a".to_owned()];
        let ports = Ports::claim(IpAddr::from([127, 0, 0, 1]), &names).unwrap();
        let port = ports.numbers["a"];
        // Nobody listens there, and still it is not to be had.
        let again = Claim::of(port).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AddrInUse);
        drop(ports);
        assert!(Claim::of(port).is_ok());
    }
}
