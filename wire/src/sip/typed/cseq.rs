//! `CSeq` (RFC 3261 §20.16).

use super::cursor::Cursor;
use super::{TypedHeader, ValueResult};
use crate::sip::text::digits;

/// Sequence number and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 where valid (RFC 3261 §8.1.1.5); the reader takes all of `u32`.
    pub number: u32,
    /// Method as written.
    pub method: String,
}

impl TypedHeader for CSeq {
    const NAME: &'static str = "CSeq";

    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_lws();
        let start = cursor.clone();
        let number = cursor.word(|o| o.is_ascii_digit(), "a sequence number")?;
        let Some(number) = digits(number.as_bytes()).and_then(|n| u32::try_from(n).ok()) else {
            return start.error("a sequence number below 2^32");
        };
        let before = cursor.at();
        cursor.skip_lws();
        if cursor.at() == before {
            return cursor.error("white space and a method");
        }
        let method = cursor.token("a method")?.to_owned();
        cursor.finish("the end of the value")?;
        Ok(Self { number, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_number_and_method() {
        let read = |v: &[u8]| {
            CSeq::parse_value(v)
                .map(|c| (c.number, c.method))
                .map_err(|error| error.offset)
        };
        assert_eq!(read(b"0009\r\n  INVITE"), Ok((9, "INVITE".to_owned())));
        assert_eq!(
            read(b"4294967295 !odd%~"),
            Ok((u32::MAX, "!odd%~".to_owned()))
        );
        assert_eq!(read(b"36893488147419103232 REGISTER"), Err(0));
        assert_eq!(read(b"INVITE"), Err(0));
        assert_eq!(read(b"1"), Err(1));
        assert_eq!(read(b"1INVITE"), Err(1));
        assert_eq!(read(b"1 IN VITE"), Err(5));
        assert_eq!(read(b"-1 INVITE"), Err(0));
    }
}
