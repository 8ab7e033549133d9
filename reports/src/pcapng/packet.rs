//! Packets around messages: IP (RFC 791, RFC 8200), UDP (RFC 768), TCP (RFC 9293).

use std::net::{IpAddr, SocketAddr};

const TCP: u8 = 6;
const UDP: u8 = 17;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// What one segment may carry: less than a packet of IP can.
const SEGMENT: usize = 32_768;

/// A datagram, unless the octets do not fit into one.
pub(super) fn datagram(
    from: SocketAddr,
    to: SocketAddr,
    id: u16,
    octets: &[u8],
) -> Option<Vec<u8>> {
    let length = u16::try_from(octets.len() + 8).ok()?;
    let mut udp = Vec::with_capacity(octets.len() + 8);
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(octets);
    // None at all would be written as zero, so a sum of zero is written as its other form.
    let sum = match checksum(from.ip(), to.ip(), UDP, &udp)? {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(from.ip(), to.ip(), UDP, id, &udp)
}

/// One TCP connection, as far as it has come.
#[derive(Debug)]
pub(super) struct Stream {
    local: SocketAddr,
    remote: SocketAddr,
    /// What each side will send next.
    next: [u32; 2],
    id: u16,
}

impl Stream {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            // Any start will do; one that differs by side is easier to read.
            next: [1_000_000, 2_000_000],
            id: 0,
        }
    }

    /// SYN, SYN and ACK, ACK; opened by who speaks first, which is all that the record tells.
    pub(super) fn handshake(&mut self, by_local: bool) -> [Vec<u8>; 3] {
        let first = self.segment(by_local, SYN, &[]);
        self.advance(by_local, 1);
        let second = self.segment(!by_local, SYN | ACK, &[]);
        self.advance(!by_local, 1);
        [first, second, self.segment(by_local, ACK, &[])]
    }

    /// Octets, in as many segments as they need.
    pub(super) fn data(&mut self, by_local: bool, octets: &[u8]) -> Vec<Vec<u8>> {
        let mut segments = Vec::new();
        for part in octets.chunks(SEGMENT) {
            segments.push(self.segment(by_local, PSH | ACK, part));
            self.advance(by_local, u32::try_from(part.len()).unwrap_or(0));
        }
        segments
    }

    /// The end: FIN of both sides, or a reset.
    pub(super) fn end(mut self, by_local: bool, reset: bool) -> Vec<Vec<u8>> {
        if reset {
            return vec![self.segment(by_local, RST | ACK, &[])];
        }
        let first = self.segment(by_local, FIN | ACK, &[]);
        self.advance(by_local, 1);
        let second = self.segment(!by_local, FIN | ACK, &[]);
        self.advance(!by_local, 1);
        vec![first, second, self.segment(by_local, ACK, &[])]
    }

    fn advance(&mut self, by_local: bool, octets: u32) {
        let side = &mut self.next[usize::from(!by_local)];
        *side = side.wrapping_add(octets);
    }

    fn segment(&mut self, by_local: bool, flags: u8, octets: &[u8]) -> Vec<u8> {
        let (from, to) = if by_local {
            (self.local, self.remote)
        } else {
            (self.remote, self.local)
        };
        let own = self.next[usize::from(!by_local)];
        let other = if flags & ACK == 0 {
            0
        } else {
            self.next[usize::from(by_local)]
        };
        let mut tcp = Vec::with_capacity(octets.len() + 20);
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(own.to_be_bytes());
        tcp.extend(other.to_be_bytes());
        tcp.extend([5 << 4, flags]);
        tcp.extend(u16::MAX.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(octets);
        if let Some(sum) = checksum(from.ip(), to.ip(), TCP, &tcp) {
            tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        self.id = self.id.wrapping_add(1);
        // A segment is shorter than any packet may be.
        ip(from.ip(), to.ip(), TCP, self.id, &tcp).unwrap_or_default()
    }
}

/// A packet, unless the payload does not fit into one or the two addresses are of different kinds.
fn ip(from: IpAddr, to: IpAddr, protocol: u8, id: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(payload.len() + 40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(payload.len() + 20).ok()?;
            packet.extend([0x45, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend(id.to_be_bytes());
            // Not to be fragmented; 64 hops.
            packet.extend([0x40, 0, 64, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = finish(add(0, &packet));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(payload.len()).ok()?;
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => return None,
    }
    packet.extend(payload);
    Some(packet)
}

/// Over the pseudo header and the segment (RFC 9293 §3.1, RFC 8200 §8.1).
fn checksum(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> Option<u16> {
    let sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => add(add(0, &from.octets()), &to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => add(add(0, &from.octets()), &to.octets()),
        _ => return None,
    };
    let length = u32::try_from(segment.len()).ok()?;
    let sum = add(add(sum, &length.to_be_bytes()), &[0, protocol]);
    Some(finish(add(sum, segment)))
}

/// Sixteen-bit words in ones' complement (RFC 1071); 64 bits cannot overflow here.
fn add(sum: u64, octets: &[u8]) -> u64 {
    octets.chunks(2).fold(sum, |sum, word| {
        let low = word.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([word[0], low]))
    })
}

fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Folded above: nothing is cut.
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_sum_of_a_header_with_its_checksum_is_nothing() {
        let from = "192.0.2.1:5060".parse().unwrap();
        let to = "192.0.2.2:40000".parse().unwrap();
        let packet = datagram(from, to, 7, b"odd").unwrap();
        assert_eq!(finish(add(0, &packet[..20])), 0);
        let sum = checksum(from.ip(), to.ip(), UDP, &packet[20..]).unwrap();
        assert_eq!(sum, 0);
        let six: SocketAddr = "[::1]:5060".parse().unwrap();
        let packet = datagram(six, six, 7, b"odd").unwrap();
        assert_eq!(checksum(six.ip(), six.ip(), UDP, &packet[40..]).unwrap(), 0);
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_none() {
        let six: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        assert!(datagram(six, six, 1, &vec![0; 65_507]).is_some());
        assert!(datagram(six, six, 1, &vec![0; 65_508]).is_none());
    }

    #[test]
    fn numbers_go_on_from_segment_to_segment() {
        let local = "127.0.0.1:1".parse().unwrap();
        let remote = "127.0.0.1:2".parse().unwrap();
        let mut stream = Stream::new(local, remote);
        stream.handshake(true);
        let segments = stream.data(true, &vec![b'x'; SEGMENT + 1]);
        let at = |n: usize| u32::from_be_bytes(segments[n][24..28].try_into().unwrap());
        assert_eq!(segments.len(), 2);
        assert_eq!(at(1) - at(0), u32::try_from(SEGMENT).unwrap());
    }
}
