//! A connection of a device, whoever opened it: framed by Content-Length (RFC 3261 §18.3), written whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use imspec_wire::sip::stream::{Frame, is_keep_alive};
use imspec_wire::sip::{Limits, StreamDecoder};
use tokio::sync::{Mutex, Notify};

use super::{Recipient, Way};
use crate::link::{Link, Piece, Reader, Transport, Writer};

/// What is taken of a message over a connection.
const LIMITS: Limits = Limits {
    head: 128 * 1024,
    headers: 2048,
    body: 16 * 1024 * 1024,
};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) transport: Transport,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    writer: Mutex<Option<Writer>>,
    /// Wakes the reader when the connection is to be reset.
    reset: Notify,
    open: AtomicBool,
}

impl Connection {
    pub(super) fn new(transport: Transport, link: Link) -> (Arc<Self>, Reader) {
        let connection = Self {
            transport,
            local: link.local,
            remote: link.remote,
            writer: Mutex::new(Some(link.writer)),
            reset: Notify::new(),
            open: true.into(),
        };
        (Arc::new(connection), link.reader)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Closes it with RST instead of FIN.
    pub(super) fn reset(&self) {
        self.shut();
        self.reset.notify_one();
    }

    pub(super) async fn send(&self, octets: &Bytes) -> Result<(), String> {
        let mut writer = self.writer.lock().await;
        let open = writer.as_mut().ok_or("the connection is closed")?;
        let sent = open.send(octets).await;
        if sent.is_err() {
            // Half a message may be out: the connection cannot be used any more.
            *writer = None;
            self.shut();
        }
        sent
    }

    fn shut(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}

/// Reads until the connection ends.
pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, to: impl Recipient) {
    let mut decoder = StreamDecoder::new(LIMITS);
    let way = Way::Connected(Arc::clone(&connection));
    'read: loop {
        let piece = tokio::select! {
            piece = reader.next() => match piece {
                Ok(Some(piece)) => piece,
                Ok(None) | Err(None) => {
                    if decoder.pending() > 0 {
                        to.remark(format!(
                            "{} closed the connection in the middle of a message, {} octets of which had come",
                            connection.remote,
                            decoder.pending()
                        ));
                    }
                    break;
                }
                Err(Some(why)) => {
                    to.remark(why);
                    break;
                }
            },
            () = connection.reset.notified() => {
                reader.reset();
                break;
            }
        };
        let octets = match piece {
            Piece::Octets(octets) => octets,
            // RFC 7118 §5: one WebSocket message is one SIP message.
            Piece::Message(octets) => {
                if !is_keep_alive(&octets) {
                    to.take(&way, &octets);
                }
                continue;
            }
        };
        decoder.push(&octets);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Message(message))) => {
                    to.take(&way, message.octets());
                }
                Ok(Some(Frame::KeepAlive)) => {}
                Ok(None) => break,
                Err(e) => {
                    // The stream is out of step; what it held last is kept for the reader of the trace.
                    to.remark(format!(
                        "the stream from {} is no SIP and was closed: {e}",
                        connection.remote
                    ));
                    to.take(&way, &octets);
                    break 'read;
                }
            }
        }
    }
    connection.shut();
    connection.writer.lock().await.take();
}
