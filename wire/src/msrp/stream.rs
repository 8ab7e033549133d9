//! Framing over a byte stream (RFC 4975 §5.1, §7.1).
//!
//! No length says where a frame ends: its end line does, and that line may arrive in any number of
//! reads. Both decoders here take octets as they come and may stop at every one of them.
//!
//! An error means that no next frame can be found: the connection must be closed, and every further
//! call gives the same error. Offsets in errors count from the first octet after the frame before.

use bytes::{Bytes, BytesMut};

use super::end::scan;
use super::frame::END_LIMIT;
use super::index::{HeadEnd, HeadReader};
use super::{End, Flag, Frame, Head, Limits, ParseError};

/// Cuts a byte stream into pieces, without holding bodies: for chunks of any length.
///
/// Call [`Self::next_piece`] until it gives `None` after each [`Self::push`]: then no more is held
/// than a head that [`Limits`] allow, or the front of what may be an end line. Of a body nothing is
/// held and nothing limited; who stores it counts.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    held: BytesMut,
    state: State,
}

/// What a stream holds next. The octets of all pieces in order are the octets of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The start line and all header fields of the next frame. To be kept for long it should be
    /// [detached](Head::detached) from the read that brought it.
    Head(Head),
    /// Some more octets of its body, never none. They share the memory of the read that brought
    /// them.
    Body(Bytes),
    /// Its end. A frame without a body has this right after its head.
    End(End),
}

#[derive(Debug)]
enum State {
    /// A head is not complete.
    Head(HeadReader),
    /// In the body of the frame of that id. `first`: nothing of it was given yet.
    Body { id: Bytes, first: bool },
    /// A frame without a body has only its end line left, of that length.
    End(Flag, usize),
    /// There is no frame any more.
    Broken(ParseError),
}

impl State {
    fn start() -> Self {
        Self::Head(HeadReader::default())
    }
}

impl Decoder {
    /// A decoder under `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: BytesMut::new(),
            state: State::start(),
        }
    }

    /// Takes octets as they arrived. After an error they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Broken(_)) {
            self.held.extend_from_slice(octets);
        }
    }

    /// Where a socket may append what it reads, so that nothing is copied: [`Self::push`] without
    /// the copy. What is there already must stay as it is.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// The next piece; `Ok(None)` when more octets are needed.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, ParseError> {
        let result = self.advance();
        if let Err(error) = &result {
            self.state = State::Broken(error.clone());
            self.held = BytesMut::new();
        }
        result
    }

    /// Octets held that are not yet given as a piece.
    pub fn buffered(&self) -> usize {
        self.held.len()
    }

    /// Whether the stream may end here without cutting a frame: [`Self::next_piece`] has nothing
    /// more to give, and nothing but empty lines is held.
    pub fn is_between_frames(&self) -> bool {
        match &self.state {
            State::Head(reader) => reader.is_before_start(&self.held),
            _ => false,
        }
    }

    fn advance(&mut self) -> Result<Option<Piece>, ParseError> {
        match std::mem::replace(&mut self.state, State::start()) {
            State::Head(reader) => self.head(reader),
            State::Body { id, first } => Ok(self.body(id, first)),
            State::End(flag, length) => Ok(Some(self.end(flag, length))),
            State::Broken(error) => Err(error),
        }
    }

    fn head(&mut self, mut reader: HeadReader) -> Result<Option<Piece>, ParseError> {
        let Some(head_end) = reader.advance(&self.held, &self.limits)? else {
            self.state = State::Head(reader);
            return Ok(None);
        };
        let id = reader.transaction_id_range();
        let (length, has_body) = match &head_end {
            HeadEnd::Body(start) => (*start, true),
            HeadEnd::Frame(found) => (found.line.start, false),
        };
        let octets = self.held.split_to(length).freeze();
        self.state = match head_end {
            HeadEnd::Body(_) => State::Body {
                id: octets.slice(id),
                first: true,
            },
            HeadEnd::Frame(found) => State::End(found.flag, found.line.len()),
        };
        let head = Head::new(octets, reader.into_index(), has_body);
        Ok(Some(Piece::Head(head)))
    }

    fn body(&mut self, id: Bytes, first: bool) -> Option<Piece> {
        let scan = scan(&self.held, &id, first);
        if scan.body > 0 {
            self.state = State::Body { id, first: false };
            return Some(Piece::Body(self.held.split_to(scan.body).freeze()));
        }
        if let Some(found) = scan.end {
            return Some(self.end(found.flag, found.line.end));
        }
        self.state = State::Body { id, first };
        None
    }

    fn end(&mut self, flag: Flag, length: usize) -> Piece {
        let octets = self.held.split_to(length).freeze();
        Piece::End(End { flag, octets })
    }
}

/// Cuts a byte stream into whole frames, each held until it is complete: for frames whose bodies
/// are small ([`Limits::chunk`]).
///
/// Call [`Self::next_frame`] until it gives `None` after each [`Self::push`].
#[derive(Debug)]
pub struct FrameDecoder {
    limits: Limits,
    held: BytesMut,
    state: FrameState,
}

#[derive(Debug)]
enum FrameState {
    Head(HeadReader),
    /// The body starts at `start`; the end line does not start before `searched`.
    Body {
        reader: HeadReader,
        start: usize,
        searched: usize,
    },
    Broken(ParseError),
}

impl FrameState {
    fn start() -> Self {
        Self::Head(HeadReader::default())
    }
}

impl FrameDecoder {
    /// A decoder under `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: BytesMut::new(),
            state: FrameState::start(),
        }
    }

    /// Takes octets as they arrived. After an error they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.state, FrameState::Broken(_)) {
            self.held.extend_from_slice(octets);
        }
    }

    /// The next whole frame; `Ok(None)` when more octets are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ParseError> {
        let result = self.advance();
        if let Err(error) = &result {
            self.state = FrameState::Broken(error.clone());
            self.held = BytesMut::new();
        }
        result
    }

    /// Octets held that are not yet a frame.
    pub fn buffered(&self) -> usize {
        self.held.len()
    }

    /// Whether the stream may end here without cutting a frame: [`Self::next_frame`] has nothing
    /// more to give, and nothing but empty lines is held.
    pub fn is_between_frames(&self) -> bool {
        match &self.state {
            FrameState::Head(reader) => reader.is_before_start(&self.held),
            _ => false,
        }
    }

    fn advance(&mut self) -> Result<Option<Frame>, ParseError> {
        let (reader, start, searched) =
            match std::mem::replace(&mut self.state, FrameState::start()) {
                FrameState::Head(mut reader) => match reader.advance(&self.held, &self.limits)? {
                    None => {
                        self.state = FrameState::Head(reader);
                        return Ok(None);
                    }
                    Some(HeadEnd::Frame(found)) => {
                        let octets = self.held.split_to(found.line.end).freeze();
                        let index = reader.into_index();
                        return Ok(Some(Frame::assemble(octets, index, None, &found)));
                    }
                    Some(HeadEnd::Body(start)) => (reader, start, start),
                },
                FrameState::Body {
                    reader,
                    start,
                    searched,
                } => (reader, start, searched),
                FrameState::Broken(error) => return Err(error),
            };
        let id = reader.transaction_id(&self.held);
        let scan = scan(&self.held[searched..], id, searched == start);
        let body_end = searched + scan.body;
        if body_end - start > self.limits.chunk {
            let limit = start + self.limits.chunk;
            return Err(ParseError::at(&self.held, limit, END_LIMIT));
        }
        let Some(found) = scan.end else {
            self.state = FrameState::Body {
                reader,
                start,
                searched: body_end,
            };
            return Ok(None);
        };
        let found = found.shifted(searched);
        let octets = self.held.split_to(found.line.end).freeze();
        let (index, body) = (reader.into_index(), Some(start..body_end));
        Ok(Some(Frame::assemble(octets, index, body, &found)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    /// With and without a body, with an empty line before, and one that ends its lines in LF.
    const FRAMES: [&str; 4] = [
        "MSRP abcd SEND\r\nA: b\r\n\r\none\r\n-------abce$\r\n--\r\n-------abcd+\r\n",
        "MSRP efgh SEND\r\n-------efgh$\r\n",
        "\r\nMSRP ijkl 200 OK\r\n-------ijkl$\r\n",
        "MSRP mnop SEND\nContent-Type: a/b\n\n\n-------mnop#\n",
    ];

    /// The frames, and an empty line after them.
    fn stream() -> String {
        FRAMES.concat() + "\r\n"
    }

    fn frames(decoder: &mut FrameDecoder, seen: &mut Vec<String>) {
        while let Some(frame) = decoder.next_frame().unwrap() {
            seen.push(String::from_utf8(frame.as_bytes().to_vec()).unwrap());
        }
    }

    /// Pieces with the bodies joined, as they may be cut anywhere.
    fn pieces(decoder: &mut Decoder, seen: &mut Vec<(char, String)>) {
        while let Some(piece) = decoder.next_piece().unwrap() {
            let (kind, octets) = match piece {
                Piece::Head(head) => ('h', head.as_bytes().clone()),
                Piece::Body(octets) => ('b', octets),
                Piece::End(end) => ('e', end.octets),
            };
            assert!(!octets.is_empty());
            let text = String::from_utf8(octets.to_vec()).unwrap();
            match seen.last_mut() {
                Some(('b', body)) if kind == 'b' => body.push_str(&text),
                _ => seen.push((kind, text)),
            }
        }
    }

    #[test]
    fn cuts_at_any_split() {
        let stream = stream();
        for at in 0..=stream.len() {
            let (first, second) = stream.as_bytes().split_at(at);
            let mut whole = FrameDecoder::new(Limits::default());
            let mut streaming = Decoder::new(Limits::default());
            let (mut seen, mut in_pieces) = (Vec::new(), Vec::new());
            for part in [first, second] {
                whole.push(part);
                frames(&mut whole, &mut seen);
                streaming.buffer_mut().extend_from_slice(part);
                pieces(&mut streaming, &mut in_pieces);
            }
            assert_eq!(seen, FRAMES, "split at {at}");
            let kinds: String = in_pieces.iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, "hbehehehe", "split at {at}");
            let joined: String = in_pieces.into_iter().map(|(_, text)| text).collect();
            assert_eq!(joined, FRAMES.concat(), "split at {at}");
            assert_eq!((whole.buffered(), streaming.buffered()), (2, 2));
            assert!(whole.is_between_frames() && streaming.is_between_frames());
        }
    }

    #[test]
    fn says_whether_a_frame_is_cut() {
        let mut whole = FrameDecoder::new(Limits::default());
        let mut streaming = Decoder::new(Limits::default());
        let (mut seen, mut in_pieces) = (Vec::new(), Vec::new());
        for (at, octet) in stream().bytes().enumerate() {
            let starts = FRAMES.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some((*end - frame.len(), frame))
            });
            let between = starts
                .chain([(FRAMES.concat().len(), &"\r\n")])
                .any(|(start, frame)| {
                    let empty = frame.len() - frame.trim_start_matches("\r\n").len();
                    (start..=start + empty).contains(&at)
                });
            assert_eq!(whole.is_between_frames(), between, "{at}");
            assert_eq!(streaming.is_between_frames(), between, "{at}");
            whole.push(&[octet]);
            frames(&mut whole, &mut seen);
            streaming.push(&[octet]);
            pieces(&mut streaming, &mut in_pieces);
        }
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn bodies_are_given_as_they_come() {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(b"MSRP abcd SEND\r\nContent-Type: a/b\r\n\r\n");
        assert!(matches!(decoder.next_piece(), Ok(Some(Piece::Head(_)))));
        for _ in 0..1000 {
            decoder.push(&[b'-'; 1000]);
            let Ok(Some(Piece::Body(octets))) = decoder.next_piece() else {
                panic!("no body");
            };
            assert!(octets.len() >= 990);
            assert_eq!(decoder.next_piece(), Ok(None));
            assert!(decoder.buffered() <= 8);
        }
    }

    fn broken(octets: &str, limits: Limits) -> ParseError {
        let mut whole = FrameDecoder::new(limits);
        whole.push(octets.as_bytes());
        let error = whole.next_frame().unwrap_err();
        whole.push(stream().as_bytes());
        assert_eq!(whole.next_frame().unwrap_err(), error, "stays broken");
        assert_eq!(whole.buffered(), 0);
        error
    }

    fn broken_for_both(octets: &str, limits: Limits) -> usize {
        let error = broken(octets, limits);
        let mut streaming = Decoder::new(limits);
        streaming.push(octets.as_bytes());
        assert_eq!(streaming.next_piece(), Err(error.clone()));
        streaming.push(stream().as_bytes());
        assert_eq!(streaming.buffered(), 0);
        streaming
            .buffer_mut()
            .extend_from_slice(FRAMES[0].as_bytes());
        assert_eq!(streaming.next_piece(), Err(error.clone()), "stays broken");
        assert_eq!(streaming.buffered(), 0);
        assert!(!streaming.is_between_frames());
        error.offset
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits {
            line: 32,
            headers: 2,
            head: 64,
            chunk: 4,
            ..Limits::default()
        };
        assert_eq!(broken_for_both(&"x".repeat(33), limits), 32);
        assert_eq!(broken_for_both(&"\r\n".repeat(33), limits), 64);
        assert_eq!(
            broken_for_both(&format!("MSRP a B\r\nX: {}", "y".repeat(30)), limits),
            42
        );
        assert_eq!(
            broken_for_both("MSRP a B\r\nX:\r\nY:\r\nZ:\r\n", limits),
            18
        );
        let limits = Limits {
            headers: 100,
            ..limits
        };
        assert_eq!(
            broken_for_both(&format!("MSRP a B\r\n{}", "X: \r\n".repeat(11)), limits),
            64
        );
        // The limit of a chunk holds where it is held.
        let long = "MSRP a B\r\n\r\n12345";
        assert_eq!(broken(long, limits).offset, 16);
        let mut streaming = Decoder::new(limits);
        streaming.push(long.as_bytes());
        assert!(matches!(streaming.next_piece(), Ok(Some(Piece::Head(_)))));
        assert!(matches!(streaming.next_piece(), Ok(Some(Piece::Body(_)))));
    }
}
