//! MSRP (RFC 4975, with the header fields of RFC 4976) as octets with an index.
//!
//! The sister of [`crate::sip`]. [`Frame`] is one whole request or response, [`Head`] its start
//! line and header fields; both keep their octets and show parts of them. [`FrameDecoder`] cuts a
//! byte stream into whole frames, [`Decoder`] into pieces that need no more memory than a head,
//! however long the chunk. [`Reassembly`] puts chunks together, [`Chunker`] takes messages apart.
//!
//! # What is taken, and what is told
//!
//! Reading is liberal: whatever can be framed without doubt is taken, and [`Frame::defects`] says
//! what a strict reader objects to. Two oddities of the grammar (RFC 4975 §9) are passed over in
//! silence: it wants a third header field, which the responses of its own examples do not have, and
//! it ends an `ext-header` with a CRLF of its own beside the one that ends every header field. Who
//! followed the second to the letter would write an empty line into the head, and everything after
//! it would be body: nobody does.
//!
//! Nothing in the RFC stands between two frames. Empty lines there are taken all the same, as in
//! SIP (some peers send them to keep a connection alive), belong to the frame that follows, count
//! towards the limit of its head, and are a defect.
//!
//! # Over WebSocket
//!
//! RFC 7977 §5 puts exactly one frame into one WebSocket message, text or binary: nothing is
//! searched in a stream, [`Frame::parse`] reads the message, and octets after the end line are an
//! error. The frame itself, its end line included, is that of RFC 4975. An URI has the transport
//! `ws`, whether or not TLS is below, and keep-alives are SEND requests without a body.

pub mod build;
pub mod byte_range;
pub mod chunker;
pub mod compare;
pub mod coverage;
mod defects;
pub mod end;
pub mod frame;
pub mod head;
mod index;
pub mod limits;
pub mod message;
pub mod path;
pub mod reassembly;
pub mod report;
pub mod stream;
pub mod uri;

pub use crate::sip::defects::{Defect, Obligation};
pub use crate::sip::error::{ParseError, ValueError};
pub use build::{Builder, ident, transaction_id, usual_comment};
pub use byte_range::ByteRange;
pub use chunker::{Chunker, Plan};
pub use coverage::{Coverage, TooManyFragments};
pub use end::{End, Flag, end_line};
pub use frame::Frame;
pub use head::{FailureReport, Head, Header, Method, StartLine, Status};
pub use limits::Limits;
pub use message::Message;
pub use path::Path;
pub use reassembly::{Chunk, Conflict, Outcome, Placed, Reassembly, Refusal};
pub use report::Reporting;
pub use stream::{Decoder, FrameDecoder, Piece};
pub use uri::Uri;
