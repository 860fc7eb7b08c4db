//! The header that a load balancer puts in front of a connection to tell whose it is: HAProxy's PROXY protocol, versions
//! 1 and 2.
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Longest header of version 1.
const LONGEST_LINE: usize = 107;

/// Longest header of version 2 that is taken; what follows the addresses is skipped.
const LONGEST: usize = 4096;

/// Where a connection comes from and where its client meant it to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client.
    pub(crate) source: SocketAddr,
    /// What it connected to.
    pub(crate) destination: SocketAddr,
}

impl Ends {
    /// The header that tells an endpoint, version 1.
    pub(crate) fn line(&self) -> String {
        let (source, destination) = (self.source.ip().to_canonical(), self.destination.ip().to_canonical());
        let family = match (source, destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
            (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
            // There is no word for both.
            _ => return "PROXY UNKNOWN\r\n".to_owned(),
        };
        format!("PROXY {family} {source} {destination} {} {}\r\n", self.source.port(), self.destination.port())
    }
}

/// Reads the header, and nothing that follows it. `None` when it names nobody (a health check of the balancer).
///
/// # Errors
/// When there is no header or it is malformed: nobody can tell then what the bytes are.
pub(crate) async fn read(tcp: &mut TcpStream) -> io::Result<Option<Ends>> {
    let mut begin = [0; 12];
    tcp.read_exact(&mut begin).await?;
    if begin == SIGNATURE {
        return read_binary(tcp).await;
    }
    let mut line = Vec::with_capacity(LONGEST_LINE);
    line.extend_from_slice(&begin);
    while !line.ends_with(b"\r\n") {
        // What was peeked at stays to be read: of it only the rest of the line is taken.
        let mut ahead = [0; LONGEST_LINE];
        let room = ahead.get_mut(..LONGEST_LINE.saturating_sub(line.len())).unwrap_or_default();
        let seen = tcp.peek(room).await?;
        let ahead = ahead.get(..seen).filter(|ahead| !ahead.is_empty()).ok_or_else(malformed)?;
        let end = memchr::memchr(b'\n', ahead).map_or(seen, |at| at + 1);
        let begin = line.len();
        line.resize(begin + end, 0);
        tcp.read_exact(line.get_mut(begin..).unwrap_or_default()).await?;
    }
    parse_line(&line)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`.
fn parse_line(line: &[u8]) -> io::Result<Option<Ends>> {
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    let mut words = line.strip_suffix("\r\n").ok_or_else(malformed)?.split(' ');
    if words.next() != Some("PROXY") {
        return Err(malformed());
    }
    match words.next() {
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4" | "TCP6") => {}
        _ => return Err(malformed()),
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let addresses = address().zip(address());
    let mut port = || words.next()?.parse::<u16>().ok();
    let ports = port().zip(port());
    match (addresses, ports, words.next()) {
        (Some((source, destination)), Some((source_port, destination_port)), None) => Ok(Some(Ends {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        })),
        _ => Err(malformed()),
    }
}

/// Version 2, after its signature.
async fn read_binary(tcp: &mut TcpStream) -> io::Result<Option<Ends>> {
    let mut head = [0; 4];
    tcp.read_exact(&mut head).await?;
    let [version_and_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 || length > LONGEST {
        return Err(malformed());
    }
    let mut body = vec![0; length];
    tcp.read_exact(&mut body).await?;
    match version_and_command & 0xf {
        0 => Ok(None),
        1 => parse_binary(family, &body),
        _ => Err(malformed()),
    }
}

fn parse_binary(family: u8, body: &[u8]) -> io::Result<Option<Ends>> {
    match family >> 4 {
        1 => addresses::<4>(body, |octets| Ipv4Addr::from(octets).into()).map(Some).ok_or_else(malformed),
        2 => addresses::<16>(body, |octets| Ipv6Addr::from(octets).into()).map(Some).ok_or_else(malformed),
        // Unix sockets and what is unspecified name no address.
        _ => Ok(None),
    }
}

/// Source, destination and their ports, each in network order.
fn addresses<const N: usize>(body: &[u8], address: impl Fn([u8; N]) -> IpAddr) -> Option<Ends> {
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Ends {
        source: SocketAddr::new(address(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes(*destination_port)),
    })
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY protocol header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn a_line_names_both_ends() {
        let read = |line: &str| parse_line(line.as_bytes()).ok();
        let want = ends("192.0.2.1:4711", "192.0.2.2:443");
        assert_eq!(read("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n"), Some(Some(want)));
        let want = ends("[2001:db8::1]:1", "[::2]:80");
        assert_eq!(read("PROXY TCP6 2001:db8::1 ::2 1 80\r\n"), Some(Some(want)));
        assert_eq!(read("PROXY UNKNOWN\r\n"), Some(None));
        assert_eq!(read("PROXY UNKNOWN ff 00 whatever\r\n"), Some(None));
    }

    #[test]
    fn a_line_that_is_written_can_be_read() {
        for ends in [ends("192.0.2.1:4711", "192.0.2.2:443"), ends("[2001:db8::1]:1", "[::2]:80")] {
            assert_eq!(parse_line(ends.line().as_bytes()).ok(), Some(Some(ends)));
        }
        assert_eq!(ends("[::ffff:192.0.2.1]:1", "192.0.2.2:2").line(), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        assert_eq!(ends("[2001:db8::1]:1", "192.0.2.2:2").line(), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443 x\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 70000\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 4711 443\r\n",
            "PROXY TCP4 a b 1 2\r\n",
        ] {
            assert!(parse_line(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn version_2_names_both_ends_and_may_say_more() {
        let body = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 0xbb, 4, 0, 1, 9];
        assert_eq!(parse_binary(0x11, &body).unwrap(), Some(ends("192.0.2.1:4711", "192.0.2.2:443")));
        assert_eq!(parse_binary(0x00, &body).unwrap(), None);
        assert!(parse_binary(0x11, &body[..11]).is_err());
        assert!(parse_binary(0x21, &body).is_err());
    }
}
