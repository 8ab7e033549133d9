//! What carries MSRP: a stream of octets (TCP, TLS), in which frames follow one another, or WebSocket, where each
//! frame is a message by itself (RFC 7977 §5.1).

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::content::PIECE;
use crate::link::{Piece, websocket};

/// The half that is read.
pub(super) enum Reader {
    /// Octets.
    Stream(Box<dyn AsyncRead + Send + Unpin>, BytesMut),
    /// Messages.
    Messages(websocket::Incoming),
}

/// The half that is written to.
pub(super) enum Writer {
    /// Octets.
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
    /// Messages, and what is there of the next one.
    Messages(websocket::Outgoing, BytesMut),
}

impl Reader {
    pub(super) fn stream(half: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::new(half), BytesMut::new())
    }

    /// What comes next; `None` at the end, and where a stream breaks. Nothing is lost where the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, String> {
        match self {
            Self::Stream(half, buffer) => {
                buffer.reserve(PIECE);
                match half.read_buf(buffer).await {
                    Ok(0) | Err(_) => Ok(None),
                    Ok(_) => Ok(Some(Piece::Octets(buffer.split().freeze()))),
                }
            }
            Self::Messages(incoming) => Ok(incoming.next().await?.map(Piece::Message)),
        }
    }
}

impl Writer {
    pub(super) fn stream(half: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::new(half))
    }

    pub(super) fn messages(outgoing: websocket::Outgoing) -> Self {
        Self::Messages(outgoing, BytesMut::new())
    }

    /// Writes some of these octets of a frame; gives how many. Of none it sees to it that those before are out.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<usize, String> {
        let written = match self {
            Self::Stream(half) if octets.is_empty() => half.flush().await.map(|()| 0),
            Self::Stream(half) => half.write(octets).await,
            Self::Messages(_, frame) => {
                frame.extend_from_slice(octets);
                Ok(octets.len())
            }
        };
        match written {
            Ok(0) if !octets.is_empty() => Err("the connection is closed".to_owned()),
            written => written.map_err(|e| e.to_string()),
        }
    }

    /// The frame ends here.
    pub(super) async fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Messages(outgoing, frame) if !frame.is_empty() => {
                let frame: Bytes = frame.split().freeze();
                outgoing.send(&frame).await
            }
            _ => Ok(()),
        }
    }

    /// Nothing more is written.
    pub(super) async fn close(&mut self) {
        match self {
            // Who has gone already need not be told.
            Self::Stream(half) => drop(half.shutdown().await),
            Self::Messages(outgoing, _) => outgoing.close().await,
        }
    }
}
