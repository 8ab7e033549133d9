//! What a session description says about its message session, as written.
//!
//! This reads lines and no grammar: evidence must also show what a server wrote wrongly.

/// The value that the first message line, or else the session, has under `name`: `port`, `protocol`,
/// `connection`, `authority` (connection and port as a URI writes them), or the name of an attribute. An
/// attribute without a value gives an empty one.
pub fn value(description: &[u8], name: &str) -> Option<String> {
    let lines: Vec<&[u8]> = description
        .split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    let is_media = |line: &&[u8]| line.starts_with(b"m=");
    let first = lines.iter().position(is_media).unwrap_or(lines.len());
    let own = lines
        .iter()
        .position(|line| line.starts_with(b"m=message "))?;
    let end = lines[own + 1..].iter().position(is_media);
    let section = &lines[own..end.map_or(lines.len(), |end| own + 1 + end)];
    let session = &lines[..first];
    let word = |line: &[u8], at: usize| {
        let text = String::from_utf8_lossy(line).into_owned();
        text.split_ascii_whitespace().nth(at).map(str::to_owned)
    };
    match name {
        "port" => word(lines[own], 1),
        "protocol" => word(lines[own], 2),
        "connection" => [section, session]
            .into_iter()
            .flatten()
            .find(|line| line.starts_with(b"c="))
            .and_then(|line| word(line, 2)),
        "authority" => {
            let host = value(description, "connection")?;
            let port = value(description, "port")?;
            // RFC 3986 §3.2.2: a colon within the host would be read as the one before the port.
            Some(if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            })
        }
        "direction" => direction(section).or_else(|| direction(session)),
        _ => [section, session]
            .into_iter()
            .flatten()
            .find_map(|line| attribute(line, name)),
    }
}

/// Whether there is a message line at all.
pub fn is_there(description: &[u8]) -> bool {
    value(description, "port").is_some()
}

fn attribute(line: &[u8], name: &str) -> Option<String> {
    let rest = line.strip_prefix(b"a=")?.strip_prefix(name.as_bytes())?;
    match rest.split_first() {
        None => Some(String::new()),
        Some((b':', value)) => Some(String::from_utf8_lossy(value).trim().to_owned()),
        Some(_) => None,
    }
}

fn direction(lines: &[&[u8]]) -> Option<String> {
    let names = ["sendrecv", "sendonly", "recvonly", "inactive"];
    lines.iter().find_map(|line| {
        names
            .into_iter()
            .find(|name| attribute(line, name).is_some())
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=recvonly\r\nm=audio 0 RTP/AVP 0\r\na=path:no\r\nm=message 2855 TCP/MSRP *\r\nc=IN IP6 2001:db8::1\r\na=path:msrp://192.0.2.1:2855/s;tcp\r\na=accept-types:message/cpim *\r\na=msrp-cema\r\nm=message 1 TCP/MSRP *\r\na=path:second\r\n";

    #[test]
    fn the_first_message_line_counts_and_its_section_before_the_session() {
        let of = |name| value(ANSWER, name);
        assert_eq!(of("port").as_deref(), Some("2855"));
        assert_eq!(of("protocol").as_deref(), Some("TCP/MSRP"));
        assert_eq!(of("path").as_deref(), Some("msrp://192.0.2.1:2855/s;tcp"));
        assert_eq!(of("accept-types").as_deref(), Some("message/cpim *"));
        assert_eq!(of("connection").as_deref(), Some("2001:db8::1"));
        assert_eq!(of("authority").as_deref(), Some("[2001:db8::1]:2855"));
        assert_eq!(of("direction").as_deref(), Some("recvonly"));
        assert_eq!(of("msrp-cema").as_deref(), Some(""));
        assert_eq!(of("max-size"), None);
        assert_eq!(of("accept"), None);
    }

    #[test]
    fn without_a_message_line_there_is_nothing() {
        assert!(!is_there(b"v=0\r\nm=audio 9 RTP/AVP 0\r\na=path:x\r\n"));
        assert!(!is_there(b""));
    }
}
