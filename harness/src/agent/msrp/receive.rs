//! What arrives over an MSRP connection: responses and REPORTs find the request or message that they speak
//! of, SENDs are put together and answered (RFC 4975 §7.2, §7.3). Bodies are never held whole.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use imspec_reports::record::EventKind;
use imspec_reports::record::trace::{Direction, Elided, Transfer};
use imspec_wire::msrp::{self, Builder, Chunk, Decoder, Head, Limits, Method, Piece, Status};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::Shared;
use super::super::desk::Desk;
use super::carrier::Reader;
use super::connection::{Connection, Ending};
use super::content::SHORT;
use super::session::{Arrived, Mischief, Session, answers};
use super::{Report, fresh, scheme};
use crate::link::Piece as Heard;

/// What is taken of a frame before its body; the body is not held.
const LIMITS: Limits = Limits {
    line: 128 * 1024,
    headers: 1024,
    head: 128 * 1024,
    chunk: 0,
    message: 0,
    fragments: 0,
};

/// An answer, or a REPORT, that is to go out between two chunks.
#[derive(Debug)]
pub(in super::super) struct Answer {
    octets: Bytes,
    after: Duration,
    /// The message that it belongs to, and the number of its frame there.
    of: Option<(Arc<Session>, String, u64)>,
    /// The delivery that is answered by it.
    transfer: Option<u32>,
}

/// A frame that is arriving.
struct Frame {
    head: Head,
    kind: Kind,
    /// Octets of the body so far.
    body: u64,
    /// They themselves, as long as they are few.
    captured: Option<BytesMut>,
}

enum Kind {
    Response,
    Report,
    /// A SEND of that session; with the chunk that its body is.
    Send(Arc<Session>, Option<Chunk>),
    /// To be answered so, and nothing else.
    Refused(u16, &'static str),
    /// Sent by somebody who is not the one whom the session's SDP announces: with the reason.
    Stranger(String),
}

/// Reads until the connection ends.
pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, shared: Weak<Shared>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut frame = None;
    let mut one_by_one = true;
    'read: loop {
        let heard = tokio::select! {
            heard = reader.next() => match heard {
                Ok(Some(heard)) => heard,
                Ok(None) => break,
                Err(why) => {
                    note(&shared, format!("the connection to {} broke: {why}", connection.remote));
                    break;
                }
            },
            () = connection.until_over() => break,
        };
        let (Heard::Octets(octets) | Heard::Message(octets)) = &heard;
        decoder.push(octets);
        let mut frames = 0;
        loop {
            let piece = match decoder.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(e) => {
                    garbage(&connection, &shared, octets.clone(), &e.to_string());
                    break 'read;
                }
            };
            let Some(shared) = shared.upgrade() else {
                break 'read;
            };
            frames += usize::from(matches!(piece, Piece::End(_)));
            if !taken(&shared, &connection, &mut frame, piece).await {
                break 'read;
            }
            shared.news.notify_waiters();
        }
        let is_one = frames == 1 && decoder.is_between_frames();
        if one_by_one && matches!(heard, Heard::Message(_)) && !is_one {
            one_by_one = false;
            let relay = connection.remote;
            let text = format!(
                "a WebSocket message of {relay} is not one MSRP frame, as RFC 7977 §5.1 wants it"
            );
            note(&shared, text);
        }
    }
    if let (Some(frame), Some(shared)) = (frame, shared.upgrade()) {
        cut_off(&shared, &connection, &frame);
    }
    connection.ended(&shared).await;
}

/// Writes answers between the chunks that go out.
pub(super) async fn answer(
    mut queue: mpsc::Receiver<Answer>,
    connection: Arc<Connection>,
    shared: Weak<Shared>,
) {
    while let Some(answer) = queue.recv().await {
        // Even a sleep of nothing lasts until the next millisecond.
        if !answer.after.is_zero() {
            sleep(answer.after).await;
        }
        let mut writer = connection.writing().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if connection.is_stalled() || !connection.is_open() {
            continue;
        }
        {
            let mut desk = shared.desk();
            let moment = desk.moment();
            let kind = EventKind::Sent(connection.packet(answer.octets.clone(), None));
            let now = match &answer.of {
                None => Some(kind),
                Some((session, id, number)) => session
                    .ledger(id, |ledger| ledger.answer(*number, moment, kind))
                    .flatten(),
            };
            if let Some(kind) = now {
                desk.note(None, kind);
            }
        }
        let written = connection.write(&mut writer, &answer.octets).await;
        drop(writer);
        let mut desk = shared.desk();
        if let (Err(why), true) = (written, connection.is_open()) {
            let text = format!("the answer could not be sent: {why}");
            desk.note(None, EventKind::Note { text });
        }
        if let Some(event) = answer.transfer {
            desk.transfer_answered(event);
        }
        drop(desk);
        shared.news.notify_waiters();
    }
}

/// Takes a piece of the stream; whether more may follow.
async fn taken(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    frame: &mut Option<Frame>,
    piece: Piece,
) -> bool {
    match piece {
        Piece::Head(head) => {
            let begun = begun(shared, connection, head);
            if let Kind::Stranger(why) = &begun.kind {
                turn_away(shared, connection, &begun, why).await;
                return false;
            }
            *frame = Some(begun);
            true
        }
        Piece::Body(octets) => {
            let Some(begun) = frame else { return true };
            let goes_on = body(shared, connection, begun, &octets).await;
            if !goes_on {
                // What came of it is noted.
                *frame = None;
            }
            goes_on
        }
        Piece::End(end) => match frame.take() {
            Some(frame) => ended(shared, connection, frame, &end).await,
            None => true,
        },
    }
}

fn begun(shared: &Shared, connection: &Arc<Connection>, head: Head) -> Frame {
    let kind = match head.method() {
        None => Kind::Response,
        Some(Method::Report) => Kind::Report,
        Some(Method::Send) => send_begun(shared, connection, &head),
        Some(Method::Auth | Method::Other(_)) => Kind::Refused(501, "Unknown method"),
    };
    let long = head
        .byte_range()
        .and_then(Result::ok)
        .and_then(|range| range.total)
        .is_some_and(|total| total > SHORT);
    Frame {
        kind,
        body: 0,
        captured: (head.has_body() && !long).then(BytesMut::new),
        head,
    }
}

/// Whose SEND it is, and whether he takes it (RFC 4975 §7.3).
fn send_begun(shared: &Shared, connection: &Arc<Connection>, head: &Head) -> Kind {
    let Ok(to) = head.to_path() else {
        return Kind::Refused(400, "To-Path cannot be read");
    };
    let session = to
        .first()
        .session_id()
        .and_then(|id| shared.msrp.session(connection.owner(), id));
    let takes = |session: &Arc<Session>| !session.is_over() && !session.conduct().never_connects;
    let Some(session) = session.filter(takes) else {
        return Kind::Refused(481, "No such session");
    };
    if let Err(why) = session.trusts(connection.certificate.as_deref()) {
        return Kind::Stranger(why);
    }
    if !session.bind(connection) {
        return Kind::Refused(506, "The session is bound to another connection");
    }
    if !head.has_body() {
        return Kind::Send(session, None);
    }
    match session.begin(head) {
        Ok(chunk) => Kind::Send(session, Some(chunk)),
        Err((status, comment)) => Kind::Refused(status, comment),
    }
}

/// The media session is torn down at once (RFC 4975 §14.4): nothing that a stranger sends is looked at.
async fn turn_away(shared: &Arc<Shared>, connection: &Connection, frame: &Frame, why: &str) {
    {
        let mut desk = shared.desk();
        note_received(&mut desk, connection, frame, &[]);
        let text = format!(
            "the connection of {} is not the one of this session and was closed: {why}",
            connection.remote
        );
        desk.note(None, EventKind::Note { text });
    }
    connection.end(shared, Ending::Close, None).await;
}

async fn body(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    frame: &mut Frame,
    octets: &Bytes,
) -> bool {
    frame.body += octets.len() as u64;
    if frame.body > SHORT {
        frame.captured = None;
    }
    if let Some(captured) = &mut frame.captured {
        captured.extend_from_slice(octets);
    }
    let Kind::Send(session, Some(chunk)) = &mut frame.kind else {
        return true;
    };
    let session = Arc::clone(session);
    let id = frame.head.message_id().unwrap_or_default();
    let (kept, mischief) = session.take(id, chunk, octets);
    if let Err((status, comment)) = kept {
        frame.kind = Kind::Refused(status, comment);
    }
    match mischief {
        None => true,
        Some(Mischief::Bye) => {
            shared.bye_of(session.invite());
            true
        }
        Some(Mischief::Reset) => {
            note_received(&mut shared.desk(), connection, frame, &[]);
            connection.end(shared, Ending::Reset, None).await;
            unfinished(shared, &session);
            false
        }
    }
}

/// A frame is complete.
async fn ended(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    frame: Frame,
    end: &msrp::End,
) -> bool {
    if !shared.desk().has_room(&frame.head, frame.body) {
        return false;
    }
    match &frame.kind {
        Kind::Response => {
            response(shared, connection, &frame, &end.octets);
            true
        }
        Kind::Report => {
            report(shared, connection, &frame, &end.octets);
            true
        }
        Kind::Stranger(_) => false,
        Kind::Refused(status, comment) => {
            note_received(&mut shared.desk(), connection, &frame, &end.octets);
            let is_send = frame.head.method() == Some(Method::Send);
            if !is_send || answers(&frame.head, *status) {
                let octets = respond(connection, &frame.head, *status, comment);
                return queue(connection, octets, Duration::ZERO, None, None).await;
            }
            true
        }
        Kind::Send(session, chunk) => {
            let (session, chunk) = (Arc::clone(session), chunk.as_ref());
            send(shared, connection, &session, &frame, chunk, end).await
        }
    }
}

fn response(shared: &Shared, connection: &Connection, frame: &Frame, end: &[u8]) {
    let status = frame.head.status().unwrap_or_default();
    if let Some(asking) = connection.asked(frame.head.transaction_id()) {
        note_received(&mut shared.desk(), connection, frame, end);
        // Who asked may have given up.
        let _ = asking.send(frame.head.clone());
        return;
    }
    let waiting = connection.answered(frame.head.transaction_id());
    let mut desk = shared.desk();
    let Some(waiting) = waiting else {
        note_received(&mut desk, connection, frame, end);
        return;
    };
    let kind = EventKind::Received(received(connection, frame, end));
    waiting.answered(&mut desk, kind, status);
}

fn report(shared: &Shared, connection: &Connection, frame: &Frame, end: &[u8]) {
    let head = &frame.head;
    let session = head
        .to_path()
        .ok()
        .and_then(|to| to.first().session_id().map(str::to_owned))
        .and_then(|id| shared.msrp.session(connection.owner(), &id));
    let parcel = head
        .message_id()
        .and_then(|id| session.as_ref()?.parcel(id));
    let kind = EventKind::Received(received(connection, frame, end));
    let mut desk = shared.desk();
    let event = match &parcel {
        Some(parcel) => desk.note(Some(&parcel.step()), kind),
        None => desk.note(None, kind),
    };
    if let Some(parcel) = parcel {
        parcel.reported(Report {
            event,
            range: head.byte_range().and_then(Result::ok),
            status: head
                .status_header()
                .and_then(Result::ok)
                .map_or(0, |status| status.code),
        });
    }
}

/// A SEND has ended: it is noted, answered, and reported on where that is asked for.
async fn send(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    session: &Arc<Session>,
    frame: &Frame,
    chunk: Option<&Chunk>,
    end: &msrp::End,
) -> bool {
    let head = &frame.head;
    let conduct = session.conduct();
    let Some(chunk) = chunk else {
        note_received(&mut shared.desk(), connection, frame, &end.octets);
        return match session.status(head, 200, "OK") {
            Some((status, comment)) => {
                let octets = respond(connection, head, status, comment);
                queue(connection, octets, conduct.pause, None, None).await
            }
            None => true,
        };
    };
    let id = head.message_id().unwrap_or_default();
    let ended = session.finish(head, chunk, end.flag);
    let arrived = ended.complete.then(|| session.arrived(id, true)).flatten();
    let kind = EventKind::Received(received(connection, frame, &end.octets));
    let (number, transfer) = {
        let mut desk = shared.desk();
        match arrived {
            Some(arrived) => {
                let transfer = note_arrived(&mut desk, session, arrived, Some(kind));
                (u64::MAX, Some(transfer))
            }
            None => (note_chunk(&mut desk, session, id, kind), None),
        }
    };
    let of = Some((Arc::clone(session), id.to_owned(), number));
    let answered = match ended.status {
        Some((status, comment)) => {
            let octets = respond(connection, head, status, comment);
            queue(connection, octets, conduct.pause, of.clone(), transfer).await
        }
        None => {
            if let Some(event) = transfer {
                shared.desk().transfer_answered(event);
            }
            true
        }
    };
    let Some(range) = ended.report else {
        return answered;
    };
    let own = own_uri(connection, head);
    let report = own.map(|own| {
        Builder::report(head, fresh(), range, &Status::new(200, Some("OK")), &own).octets()
    });
    match report {
        Some(octets) => answered && queue(connection, octets, Duration::ZERO, of, None).await,
        None => answered,
    }
}

/// Notes a chunk as its message's ledger wants it; gives its number there.
fn note_chunk(desk: &mut Desk, session: &Session, id: &str, kind: EventKind) -> u64 {
    let moment = desk.moment();
    match session.ledger(id, |ledger| ledger.frame(moment, kind)) {
        Some((number, Some(kind))) => {
            let event = desk.note(None, kind);
            session.noted(id, event);
            number
        }
        Some((number, None)) => number,
        None => 0,
    }
}

/// Notes a message as a whole, after its last frame; gives the event.
fn note_arrived(
    desk: &mut Desk,
    session: &Session,
    arrived: Arrived,
    last: Option<EventKind>,
) -> u32 {
    let mut sends = arrived.sends;
    let (held, left_out) = arrived.held;
    if left_out > 0 {
        let text = format!(
            "{left_out} chunks of this message, and what was answered to them, are left out here"
        );
        desk.note(None, EventKind::Note { text });
    }
    for held in held {
        let (moment, kind) = held.frame;
        sends.push(desk.note_at(moment, None, kind));
        if let Some((moment, kind)) = held.answer {
            desk.note_at(moment, None, kind);
        }
    }
    if let Some(kind) = last {
        sends.push(desk.note(None, kind));
    }
    let owner = session.owner();
    desk.transferred(Transfer {
        user: owner.user.clone(),
        device: owner.device.clone(),
        direction: Direction::Received,
        invite: session.invite(),
        sends,
        message_id: arrived.message_id,
        content: arrived.content.map(Into::into),
        digest: arrived.digest,
        complete: arrived.complete,
    })
}

/// Notes the messages of a session of which not all came.
pub(in super::super) fn unfinished(shared: &Shared, session: &Session) {
    for id in session.unfinished() {
        if let Some(arrived) = session.arrived(&id, false) {
            note_arrived(&mut shared.desk(), session, arrived, None);
        }
    }
    shared.news.notify_waiters();
}

/// The connection has ended within a frame.
fn cut_off(shared: &Shared, connection: &Connection, frame: &Frame) {
    let mut desk = shared.desk();
    let kind = EventKind::Received(received(connection, frame, &[]));
    match &frame.kind {
        Kind::Send(session, Some(_)) if !session.is_over() => {
            let id = frame.head.message_id().unwrap_or_default();
            note_chunk(&mut desk, session, id, kind);
        }
        _ => drop(desk.note(None, kind)),
    }
    let text = "the connection ended within this frame".to_owned();
    desk.note(None, EventKind::Note { text });
}

fn note(shared: &Weak<Shared>, text: String) {
    if let Some(shared) = shared.upgrade() {
        shared.desk().note(None, EventKind::Note { text });
        shared.news.notify_waiters();
    }
}

fn garbage(connection: &Connection, shared: &Weak<Shared>, octets: Bytes, why: &str) {
    let Some(shared) = shared.upgrade() else {
        return;
    };
    let mut desk = shared.desk();
    desk.note(None, EventKind::Received(connection.packet(octets, None)));
    let text = format!(
        "the stream from {} is no MSRP and was closed: {why}",
        connection.remote
    );
    desk.note(None, EventKind::Note { text });
}

fn note_received(desk: &mut Desk, connection: &Connection, frame: &Frame, end: &[u8]) -> u32 {
    desk.note(None, EventKind::Received(received(connection, frame, end)))
}

fn received(
    connection: &Connection,
    frame: &Frame,
    end: &[u8],
) -> imspec_reports::record::trace::Packet {
    let head = frame.head.as_bytes();
    let (body, elided): (&[u8], _) = match &frame.captured {
        Some(captured) => (captured, None),
        None if frame.body == 0 => (&[], None),
        None => {
            let elided = Elided {
                at: u32::try_from(head.len()).unwrap_or(u32::MAX),
                octets: frame.body,
            };
            (&[], Some(elided))
        }
    };
    connection.packet([head, body, end].concat().into(), elided)
}

/// Our URI, as the request has it.
fn own_uri(connection: &Connection, head: &Head) -> Option<msrp::Uri> {
    match head.to_path() {
        Ok(path) => Some(path.first().clone()),
        Err(_) => {
            let scheme = scheme(connection.transport.is_secure());
            msrp::Uri::parse(format!("{scheme}://{};tcp", connection.local).as_bytes()).ok()
        }
    }
}

fn respond(connection: &Connection, head: &Head, status: u16, comment: &str) -> Bytes {
    let comment = (!comment.is_empty()).then_some(comment);
    match own_uri(connection, head) {
        Some(own) => Builder::response_to(head, status, comment, &own).octets(),
        None => Builder::response(head.transaction_id(), status, comment).octets(),
    }
}

/// Puts an answer into the queue; whether somebody still empties it.
async fn queue(
    connection: &Connection,
    octets: Bytes,
    after: Duration,
    of: Option<(Arc<Session>, String, u64)>,
    transfer: Option<u32>,
) -> bool {
    let answer = Answer {
        octets,
        after,
        of,
        transfer,
    };
    tokio::select! {
        sent = connection.answers.send(answer) => sent.is_ok(),
        () = connection.until_over() => false,
    }
}
