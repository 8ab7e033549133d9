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
        fill(text, |name| match name.split_once('.') {
            Some(("port", port)) => self.ports.get(port).map(ToString::to_string),
            None if name == "dir" => self.dir.as_deref().map(shown),
            None if name == "profile" => Some(shown(&self.profile)),
            None if name == "self" => Some(shown(&self.program)),
            _ => None,
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

/// Port numbers at `address` that are free now, for UDP and TCP both. They are all different.
pub fn free_ports(address: IpAddr, names: &[String]) -> Result<BTreeMap<String, u16>, String> {
    // Held until all are found, so that none is found twice.
    let mut held = Vec::new();
    let mut ports = BTreeMap::new();
    for name in names {
        let (port, sockets) =
            free_port(address).map_err(|e| format!("no free port at {address}: {e}"))?;
        held.push(sockets);
        ports.insert(name.clone(), port);
    }
    Ok(ports)
}

/// A port below those that systems give to clients: while a server is down for a restart, nobody else is
/// given its port.
fn free_port(address: IpAddr) -> std::io::Result<(u16, (TcpListener, UdpSocket))> {
    let mut last = None;
    for _ in 0..256 {
        let port = fastrand::u16(10_000..32_000);
        let at = SocketAddr::new(address, port);
        match TcpListener::bind(at).and_then(|tcp| Ok((tcp, UdpSocket::bind(at)?))) {
            Ok(sockets) => return Ok((port, sockets)),
            Err(taken) => last = Some(taken),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
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
    fn free_ports_differ() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let ports = free_ports(IpAddr::from([127, 0, 0, 1]), &names).unwrap();
        let distinct: std::collections::BTreeSet<_> = ports.values().collect();
        assert_eq!(distinct.len(), 3);
    }
}
