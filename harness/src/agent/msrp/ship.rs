//! Sending a message, or chunks of one, exactly as a scenario wants it: its cuts, its lies, its pauses, and
//! where the connection ends in the middle of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::EventKind;
use imspec_reports::record::trace::{Direction, Elided, Transfer};
use imspec_wire::msrp::{self, Builder, Coverage, Flag, Frame, Limits, Piece};
use tokio::time::sleep;

use super::super::Shared;
use super::super::desk::{Desk, Moment};
use super::super::message::Given;
use super::connection::{Connection, Ending};
use super::content::{Content, PIECE, SHORT};
use super::ledger::NOTED;
use super::{Report, Session, fresh};
use crate::scenario::model::CutHow;

/// The largest chunk whose end is promised; a longer one must be open to interruption (RFC 4975 §7.1.1).
const INTERRUPTIBLE_ABOVE: u64 = msrp::chunker::INTERRUPTIBLE_ABOVE;
/// Frames beyond those that are noted anyway which are noted because their response is not 200.
const ODD: usize = 16;
/// Octets of content up to which chunks of a scenario's own making are put together again here.
const ASSEMBLED: u64 = 4 * 1024 * 1024;

/// A message that goes out, perhaps in several steps.
#[derive(Debug)]
pub struct Parcel {
    /// Message-ID of MSRP.
    pub message_id: String,
    /// Content-Type.
    pub media_type: Option<String>,
    /// What it says; `None`: it has no body.
    pub content: Option<Content>,
    state: Mutex<ParcelState>,
}

#[derive(Debug)]
struct ParcelState {
    /// The step that sent chunks of it last.
    step: String,
    /// Where the next chunk begins that does not say so.
    position: u64,
    gone: Coverage,
    ended: bool,
    /// What a receiver makes of chunks that are not as they should be.
    assembly: Option<msrp::Message>,
    reports: Vec<Report>,
}

/// What one step sends.
#[derive(Debug)]
pub struct Shipment {
    /// Path of the step.
    pub step: String,
    /// Through this session.
    pub session: Arc<Session>,
    /// What.
    pub load: Load,
    /// Octets of one write to the socket.
    pub writes: Option<usize>,
    /// Where the connection ends.
    pub cut: Option<Cut>,
}

/// What goes out.
#[derive(Debug)]
pub enum Load {
    /// Frames.
    Frames(Frames),
    /// Octets as they are.
    Raw(Bytes),
}

/// Frames that go out.
#[derive(Debug)]
pub struct Frames {
    /// SEND, or another method.
    pub method: String,
    /// The message.
    pub parcel: Arc<Parcel>,
    /// Header fields of every chunk.
    pub headers: Vec<Given>,
    /// Its chunks.
    pub chunks: Cutting,
}

/// How a message is cut.
#[derive(Debug)]
pub enum Cutting {
    /// One chunk.
    Whole,
    /// Chunks of so many octets.
    Size(u64),
    /// As listed.
    List(Vec<ChunkPlan>),
}

/// One chunk.
#[derive(Debug, Clone, Default)]
pub struct ChunkPlan {
    /// Offsets in the content, from 0; `None`: the whole of it.
    pub slice: Option<(u64, u64)>,
    /// No octet of the content.
    pub none: bool,
    /// Byte-Range as it is to stand; `Some(None)`: not at all.
    pub range: Option<Option<String>>,
    /// What stands in place of the flag.
    pub flag: Option<String>,
    /// Header fields over those of the message.
    pub headers: Vec<Given>,
    /// Real time before it.
    pub pause: Duration,
    /// Octets in place of the content's.
    pub body: Option<Bytes>,
    /// What stands in the end-line in place of the transaction id; `Some(None)`: no end-line.
    pub end: Option<Option<String>>,
}

/// Where and how the connection ends.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Octets that still go out; `None`: all.
    pub after: Option<u64>,
    /// How.
    pub how: CutHow,
}

/// A request of ours that waits for its response.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) step: String,
    /// Which frame of the step it is.
    pub(super) index: u64,
    /// The request and when it went out, where the trace does not have it.
    left_out: Option<(Moment, EventKind)>,
    tally: Arc<Tally>,
}

/// What has come back for the frames of one step.
#[derive(Debug, Default)]
pub struct Tally {
    state: Mutex<TallyState>,
}

#[derive(Debug, Default, Clone)]
struct TallyState {
    frames: u64,
    /// How many of them ask for a response and went out whole.
    owed: u64,
    owed_last: bool,
    answered: u64,
    statuses: BTreeMap<u16, u64>,
    last: Option<(u32, u16)>,
    odd: usize,
}

/// What went out.
#[derive(Debug)]
pub struct Shipped {
    /// What comes back.
    pub tally: Arc<Tally>,
    pub(in super::super) connection: Arc<Connection>,
    /// The message, where it was one.
    pub parcel: Option<Arc<Parcel>>,
    /// The first event that holds something that was sent.
    pub first: Option<u32>,
    sends: Vec<u32>,
    session: Arc<Session>,
    step: String,
    /// Whether the scenario ended the connection.
    pub cut: bool,
}

impl Parcel {
    /// A message.
    pub fn new(
        step: &str,
        message_id: Option<String>,
        media_type: Option<String>,
        content: Option<Content>,
    ) -> Self {
        Self {
            message_id: message_id.unwrap_or_else(fresh),
            media_type,
            content,
            state: Mutex::new(ParcelState {
                step: step.to_owned(),
                position: 0,
                gone: Coverage::new(1024),
                ended: false,
                assembly: None,
                reports: Vec::new(),
            }),
        }
    }

    /// The step that sent chunks of it last.
    pub(super) fn step(&self) -> String {
        self.state().step.clone()
    }

    /// A REPORT on it came.
    pub(super) fn reported(&self, report: Report) {
        self.state().reports.push(report);
    }

    /// The REPORTs on it so far.
    pub fn reports(&self) -> Vec<Report> {
        self.state().reports.clone()
    }

    /// Whether REPORTs say 200 for every octet.
    pub fn is_reported(&self) -> bool {
        let mut coverage = Coverage::new(4096);
        let total = self.content.as_ref().map_or(0, Content::len);
        let mut any = false;
        for report in self.reports().iter().filter(|report| report.status == 200) {
            any = true;
            if let Some(range) = report.range {
                let end = range.end.unwrap_or(total);
                let _ = coverage.insert(range.offset()..end.max(range.offset()));
            }
        }
        any && coverage.is_complete(total)
    }

    /// What the trace keeps of it.
    fn content(&self) -> (Content, bool) {
        let state = self.state();
        let own = self
            .content
            .clone()
            .unwrap_or_else(|| Content::Octets(Bytes::new()));
        let assembled = state
            .assembly
            .as_ref()
            .and_then(|assembly| assembly.clone().into_content());
        match assembled {
            Some(content) => (Content::Octets(content), true),
            // Where ranges lie, what really went counts.
            None => {
                let complete = state.ended && state.gone.is_complete(own.len());
                (own, complete)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, ParcelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Whether every response that is owed is there.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.answered >= state.owed
    }

    /// Whether the response to the last frame is there.
    pub fn has_last(&self) -> bool {
        self.state().last.is_some()
    }

    /// How many responses are owed.
    pub fn owed(&self) -> u64 {
        self.state().owed
    }

    /// The response to the last frame: event and status.
    pub fn last(&self) -> Option<(u32, u16)> {
        self.state().last
    }

    /// Status → how many responses, the last one's included.
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        self.state().statuses.clone()
    }

    fn state(&self) -> MutexGuard<'_, TallyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Its response came: notes it, unless neither of the two is worth it.
    pub(super) fn answered(self, desk: &mut Desk, kind: EventKind, status: u16) {
        let mut tally = self.tally.state();
        let odd = status != 200 && tally.odd < ODD;
        let noted = match self.left_out {
            None => Some(desk.note(Some(&self.step), kind)),
            Some((moment, request)) if odd => {
                tally.odd += 1;
                desk.note_at(moment, Some(&self.step), request);
                Some(desk.note(Some(&self.step), kind))
            }
            Some(_) => None,
        };
        tally.answered += 1;
        *tally.statuses.entry(status).or_default() += 1;
        if let (Some(event), true) = (noted, self.index + 1 >= tally.frames) {
            tally.last = Some((event, status));
        }
    }
}

impl Shipped {
    /// Path of the step.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// No step is at work on the connection any more.
    pub(in super::super) fn rest(&self) {
        self.connection.at_work(None);
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        !self.connection.is_open()
    }

    /// Notes the message as a whole; gives the event that the step's name stands for.
    pub(in super::super) fn close(&self, desk: &mut Desk) -> Option<u32> {
        if let Some((event, _)) = self.tally.last() {
            desk.note(Some(&self.step), EventKind::Took { event });
        }
        let mut quiet: Vec<Waiting> = self
            .connection
            .unanswered(&self.step)
            .into_iter()
            .filter(|waiting| waiting.left_out.is_some())
            .collect();
        if quiet.len() > ODD {
            let text = format!(
                "{} more chunks that are left out here got no response",
                quiet.len() - ODD
            );
            desk.note(Some(&self.step), EventKind::Note { text });
            quiet.truncate(ODD);
        }
        for (moment, request) in quiet.into_iter().filter_map(|waiting| waiting.left_out) {
            desk.note_at(moment, Some(&self.step), request);
        }
        let parcel = match &self.parcel {
            Some(parcel) if parcel.content.is_some() && !self.sends.is_empty() => parcel,
            _ => return self.first,
        };
        let (content, complete) = parcel.content();
        let owner = self.session.owner();
        let transfer = Transfer {
            user: owner.user.clone(),
            device: owner.device.clone(),
            direction: Direction::Sent,
            invite: self.session.invite(),
            sends: self.sends.clone(),
            message_id: parcel.message_id.clone(),
            content: content.short().map(Into::into),
            digest: content.digest(),
            complete,
        };
        Some(desk.note(Some(&self.step), EventKind::Transfer(transfer)))
    }
}

/// Sends it over `connection`.
pub(in super::super) async fn ship(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    shipment: Shipment,
) -> Shipped {
    let Shipment {
        step,
        session,
        load,
        writes,
        cut,
    } = shipment;
    let tally = Arc::new(Tally::default());
    let mut shipped = Shipped {
        tally: Arc::clone(&tally),
        connection: Arc::clone(connection),
        parcel: None,
        first: None,
        sends: Vec::new(),
        session: Arc::clone(&session),
        step: step.clone(),
        cut: false,
    };
    connection.at_work(Some(&step));
    let mut out = Out {
        shared,
        connection,
        step: &step,
        tally: &tally,
        writes,
        left: cut.and_then(|cut| cut.after),
        first: None,
    };
    match load {
        Load::Raw(octets) => out.raw(&octets).await,
        Load::Frames(frames) => {
            session.sent(&frames.parcel);
            shipped.sends = out.frames(&session, &frames).await;
            shipped.parcel = Some(frames.parcel);
        }
    }
    shipped.first = out.first;
    if let Some(cut) = cut {
        shipped.cut = true;
        match cut.how {
            CutHow::Stall => connection.stall(),
            CutHow::Close => connection.end(shared, Ending::Close, Some(&step)).await,
            CutHow::Reset => connection.end(shared, Ending::Reset, Some(&step)).await,
        }
    }
    shipped
}

/// What goes out in one step.
struct Out<'s> {
    shared: &'s Arc<Shared>,
    connection: &'s Arc<Connection>,
    step: &'s str,
    tally: &'s Arc<Tally>,
    writes: Option<usize>,
    /// Octets that may still go out before the cut.
    left: Option<u64>,
    first: Option<u32>,
}

/// A chunk, worked out.
struct Planned {
    head: Bytes,
    end: Bytes,
    /// Part of the content, by offsets from 0.
    slice: Option<(u64, u64)>,
    own: Option<Bytes>,
    transaction: String,
    pause: Duration,
    /// Whether its end-line is its own, so that it is a request that can be answered.
    whole: bool,
    /// Whether a response is owed to it.
    owed: bool,
    flag: Option<Flag>,
}

impl Planned {
    fn body(&self) -> u64 {
        match (&self.own, self.slice) {
            (Some(own), _) => own.len() as u64,
            (None, Some((from, to))) => to - from,
            (None, None) => 0,
        }
    }

    fn length(&self) -> u64 {
        self.head.len() as u64 + self.body() + self.end.len() as u64
    }
}

impl Out<'_> {
    async fn raw(&mut self, octets: &Bytes) {
        let ids = transactions(octets);
        let frames = ids.len() as u64;
        {
            let mut tally = self.tally.state();
            tally.frames = frames.max(1);
            tally.owed = 1;
        }
        let waiting = |index| Waiting {
            step: self.step.to_owned(),
            index,
            left_out: None,
            tally: Arc::clone(self.tally),
        };
        for (index, id) in (0..).zip(ids) {
            self.connection.expect(Some(id), waiting(index));
        }
        self.connection.expect(None, waiting(frames));
        let going = self.going(octets.len() as u64);
        let octets = octets.slice(..usize::try_from(going).unwrap_or(octets.len()));
        let packet = self.connection.packet(octets.clone(), None);
        let mut writer = self.connection.writing().await;
        self.note(EventKind::Sent(packet));
        let written = self.write(&mut writer, &octets).await;
        drop(writer);
        self.complain(written);
    }

    /// Sends the chunks of a message; gives the events that hold them.
    async fn frames(&mut self, session: &Session, frames: &Frames) -> Vec<u32> {
        let parcel = &frames.parcel;
        let length = parcel.content.as_ref().map_or(0, Content::len);
        let count = match &frames.chunks {
            Cutting::Whole => 1,
            Cutting::Size(size) => length.div_ceil((*size).max(1)).max(1),
            Cutting::List(list) => list.len() as u64,
        };
        if let (Cutting::List(_), Some(Content::Octets(_)), true) =
            (&frames.chunks, &parcel.content, length <= ASSEMBLED)
        {
            let limits = Limits {
                message: ASSEMBLED,
                ..Limits::default()
            };
            let mut state = parcel.state();
            // What earlier steps sent of it as it should be is not lost.
            if state.assembly.is_none() {
                let mut assembly = msrp::Message::new(&limits);
                let gone: Vec<_> = state.gone.parts().collect();
                for part in gone {
                    let range = msrp::ByteRange {
                        start: part.start + 1,
                        end: None,
                        total: None,
                    };
                    if let (Ok(mut chunk), Some(content)) =
                        (assembly.begin(Some(range)), &parcel.content)
                    {
                        let _ = assembly.take(&mut chunk, &content.slice(part.start, part.end));
                        assembly.end(&chunk, Flag::More);
                    }
                }
                state.assembly = Some(assembly);
            }
        }
        self.step.clone_into(&mut parcel.state().step);
        self.tally.state().frames = count;
        let (to, from) = session.paths();
        let mut sends = Vec::new();
        for index in 0..count {
            let plan = match &frames.chunks {
                Cutting::Whole => ChunkPlan::default(),
                Cutting::Size(size) => ChunkPlan {
                    slice: Some((index * size, ((index + 1) * size).min(length))),
                    ..ChunkPlan::default()
                },
                Cutting::List(list) => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    list.get(index).cloned().unwrap_or_default()
                }
            };
            let planned = planned(frames, plan, &to, &from);
            sleep(planned.pause).await;
            let noted = index < NOTED || index + NOTED >= count;
            if index == NOTED && count > 2 * NOTED {
                let text = format!(
                    "{} chunks of this message, and the responses to them that are 200, are left out here",
                    count - 2 * NOTED
                );
                let kind = EventKind::Note { text };
                self.shared.desk().note(Some(self.step), kind);
            }
            match self.chunk(parcel, &planned, index, noted).await {
                Ok(event) => sends.extend(event),
                Err(why) => {
                    self.complain(Err(why));
                    break;
                }
            }
            if self.left == Some(0) {
                break;
            }
        }
        sends
    }

    /// Sends one chunk, as far as the cut allows; gives the event that holds it.
    async fn chunk(
        &mut self,
        parcel: &Parcel,
        planned: &Planned,
        index: u64,
        noted: bool,
    ) -> Result<Option<u32>, String> {
        let going = self.going(planned.length());
        let whole = going == planned.length() && planned.whole;
        let (head, body, end) = (
            planned.head.len() as u64,
            planned.body(),
            planned.end.len() as u64,
        );
        let head_going = going.min(head);
        let body_going = (going - head_going).min(body);
        let end_going = (going - head_going - body_going).min(end);
        let part = |octets: &Bytes, going: u64| {
            octets.slice(..usize::try_from(going).unwrap_or(octets.len()))
        };
        let (head, end) = (
            part(&planned.head, head_going),
            part(&planned.end, end_going),
        );
        let content = parcel.content.as_ref();
        let total = content.map_or(0, Content::len).max(body);
        let piece = |from: u64, to: u64| match (&planned.own, planned.slice, content) {
            (Some(own), ..) => own.slice(
                usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(own.len()),
            ),
            (None, Some((start, _)), Some(content)) => content.slice(start + from, start + to),
            _ => Bytes::new(),
        };
        let kind = {
            let (middle, elided) = if total > SHORT && body_going > 0 {
                let elided = Elided {
                    at: u32::try_from(head.len()).unwrap_or(u32::MAX),
                    octets: body_going,
                };
                (Bytes::new(), Some(elided))
            } else {
                (piece(0, body_going), None)
            };
            let octets = [&head[..], &middle, &end].concat();
            EventKind::Sent(self.connection.packet(octets.into(), elided))
        };
        let mut writer = self.connection.writing().await;
        let left_out = (!noted).then(|| (self.shared.desk().moment(), kind.clone()));
        let event = if noted {
            let event = self.note(kind);
            Some(event)
        } else {
            None
        };
        {
            let mut tally = self.tally.state();
            let owed = whole && planned.owed;
            tally.owed += u64::from(owed);
            tally.owed_last = owed;
        }
        self.connection.expect(
            Some(planned.transaction.clone()),
            Waiting {
                step: self.step.to_owned(),
                index,
                left_out,
                tally: Arc::clone(self.tally),
            },
        );
        // Small frames go out in one write, as anybody would send them.
        if body_going <= PIECE as u64 {
            let octets = [&head[..], &piece(0, body_going), &end].concat();
            self.write(&mut writer, &octets).await?;
        } else {
            self.write(&mut writer, &head).await?;
            let mut at = 0;
            while at < body_going {
                let to = (at + PIECE as u64).min(body_going);
                self.write(&mut writer, &piece(at, to)).await?;
                at = to;
            }
            self.write(&mut writer, &end).await?;
        }
        drop(writer);
        Self::gone(parcel, planned, whole);
        Ok(event)
    }

    /// Remembers what of the message is out.
    fn gone(parcel: &Parcel, planned: &Planned, whole: bool) {
        let mut state = parcel.state();
        if let Some((from, to)) = planned.slice {
            state.position = to;
            if whole && planned.own.is_none() {
                let _ = state.gone.insert(from..to);
            }
        }
        if whole && planned.flag == Some(Flag::Complete) {
            state.ended = true;
        }
        if let (true, Some(assembly), Some(content)) = (whole, &mut state.assembly, &parcel.content)
        {
            let body = match (&planned.own, planned.slice) {
                (Some(own), _) => own.clone(),
                (None, Some((from, to))) => content.slice(from, to),
                (None, None) => return,
            };
            let octets = [&planned.head[..], &body, &planned.end].concat();
            if let Ok(frame) = Frame::parse(octets, &Limits::default()) {
                let _ = assembly.frame(&frame);
            }
        }
    }

    /// How much of so many octets goes out before the cut.
    fn going(&mut self, length: u64) -> u64 {
        match &mut self.left {
            None => length,
            Some(left) => {
                let going = length.min(*left);
                *left -= going;
                going
            }
        }
    }

    async fn write(
        &self,
        writer: &mut Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>,
        octets: &[u8],
    ) -> Result<(), String> {
        if self.connection.is_stalled() {
            return Err("the scenario has stopped this connection".into());
        }
        let size = self.writes.unwrap_or(octets.len()).max(1);
        for piece in octets.chunks(size) {
            self.connection.write(writer, piece).await?;
            if self.writes.is_some() {
                // Each write is to be a segment of its own, not one of many that the kernel puts together.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn note(&mut self, kind: EventKind) -> u32 {
        let event = self.shared.desk().note(Some(self.step), kind);
        self.first.get_or_insert(event);
        event
    }

    fn complain(&self, written: Result<(), String>) {
        if let Err(why) = written {
            let text = format!("could not be sent: {why}");
            self.shared
                .desk()
                .note(Some(self.step), EventKind::Note { text });
        }
    }
}

/// Works a chunk out: its head, its end, and which octets stand between.
fn planned(frames: &Frames, plan: ChunkPlan, to: &str, from: &str) -> Planned {
    let parcel = &frames.parcel;
    let length = parcel.content.as_ref().map_or(0, Content::len);
    let position = parcel.state().position;
    let has_body = parcel.content.is_some() || plan.body.is_some();
    let slice = match (&plan.body, plan.none, plan.slice) {
        (_, true, _) => Some((position, position)),
        (Some(own), false, None) => Some((position, position + own.len() as u64)),
        (_, false, Some((from, to))) => {
            Some((from.min(length), to.min(length).max(from.min(length))))
        }
        (None, false, None) => Some((0, length)),
    }
    .filter(|_| has_body);
    let octets = match (&plan.body, slice) {
        (Some(own), _) => own.len() as u64,
        (None, Some((from, to))) => to - from,
        (None, None) => 0,
    };
    let range = slice.map(|(from, _)| msrp::ByteRange {
        start: from + 1,
        end: (octets <= INTERRUPTIBLE_ABOVE).then_some(from + octets),
        total: Some(length),
    });
    let reaches_end = slice.is_none_or(|(_, to)| to >= length && (octets > 0 || length == 0));
    let flag = plan
        .flag
        .unwrap_or_else(|| if reaches_end { "$" } else { "+" }.to_owned());
    let beginning = plan.body.clone().unwrap_or_else(|| {
        match (slice, &parcel.content) {
            // A body that is drawn or long is not searched: nobody can have put the id into it.
            (Some((from, to)), Some(Content::Octets(content))) if to - from <= SHORT => content
                .slice(
                    usize::try_from(from).unwrap_or(0)
                        ..usize::try_from(to).unwrap_or(content.len()),
                ),
            _ => Bytes::new(),
        }
    });
    let transaction = msrp::transaction_id(super::random(), &beginning);
    let mut own: Vec<(&str, String)> = vec![
        ("To-Path", to.to_owned()),
        ("From-Path", from.to_owned()),
        ("Message-ID", parcel.message_id.clone()),
    ];
    match (&plan.range, range) {
        (None, Some(range)) => own.push(("Byte-Range", range.to_string())),
        (Some(Some(range)), _) => own.push(("Byte-Range", range.clone())),
        (Some(None), _) | (None, None) => {}
    }
    let mut given = frames.headers.clone();
    for field in plan.headers {
        given.retain(|other| !other.name.trim().eq_ignore_ascii_case(field.name.trim()));
        given.push(field);
    }
    let wants_no_answer = given
        .iter()
        .filter(|field| field.name.trim().eq_ignore_ascii_case("Failure-Report"))
        .flat_map(|field| &field.values)
        .any(|value| {
            let value = value.trim_ascii();
            value.eq_ignore_ascii_case(b"no") || value.eq_ignore_ascii_case(b"partial")
        });
    let mut builder = Builder::request(&frames.method, &transaction);
    let last = [("Content-Type", parcel.media_type.clone())];
    let last = last
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|_| has_body);
    builder = fields(builder, own, last.collect(), &given);
    let whole = match plan.end {
        None => true,
        Some(None) => {
            builder = builder.end_line(Bytes::new());
            false
        }
        Some(Some(text)) => {
            let same = text == transaction;
            builder = builder.end_id(text);
            same
        }
    };
    builder = builder.flag_octets(&flag);
    if has_body {
        builder = builder.body(Bytes::new());
    }
    Planned {
        head: builder.head_octets(),
        end: builder.end_octets(),
        slice,
        own: plan.body,
        transaction,
        pause: plan.pause,
        whole,
        owed: !wants_no_answer && frames.method != "REPORT",
        flag: flag
            .bytes()
            .next()
            .filter(|_| flag.len() == 1)
            .and_then(Flag::from_octet),
    }
}

/// The header fields: where the scenario gives one that the agent would write, it stands there; all others
/// come before those of the body, which end the head (RFC 4975 §7.1).
fn fields(
    mut builder: Builder,
    own: Vec<(&str, String)>,
    last: Vec<(&str, String)>,
    given: &[Given],
) -> Builder {
    let mut written = vec![false; given.len()];
    let write = |mut builder: Builder, name: &str, value: &str, written: &mut Vec<bool>| {
        let mut overridden = false;
        for (field, written) in given.iter().zip(written.iter_mut()) {
            if field.name.trim().eq_ignore_ascii_case(name) {
                overridden = true;
                if !std::mem::replace(written, true) {
                    builder = values(builder, field);
                }
            }
        }
        if overridden {
            builder
        } else {
            builder.header(name, value)
        }
    };
    for (name, value) in own {
        builder = write(builder, name, &value, &mut written);
    }
    for (index, field) in given.iter().enumerate() {
        let content = field
            .name
            .trim()
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
        if !written[index] && !content {
            written[index] = true;
            builder = values(builder, field);
        }
    }
    for (index, field) in given.iter().enumerate() {
        let ends = last
            .iter()
            .any(|(name, _)| field.name.trim().eq_ignore_ascii_case(name));
        if !written[index] && !ends {
            written[index] = true;
            builder = values(builder, field);
        }
    }
    for (name, value) in last {
        builder = write(builder, name, &value, &mut written);
    }
    builder
}

fn values(builder: Builder, field: &Given) -> Builder {
    field
        .values
        .iter()
        .fold(builder, |builder, value| builder.header(&field.name, value))
}

/// The transaction ids of the requests in octets that a scenario wrote.
fn transactions(octets: &Bytes) -> Vec<String> {
    let mut decoder = msrp::Decoder::new(Limits::default());
    decoder.push(octets);
    let mut ids = Vec::new();
    while let Ok(Some(piece)) = decoder.next_piece() {
        if let Piece::Head(head) = piece
            && head.method().is_some()
        {
            ids.push(head.transaction_id().to_owned());
        }
    }
    if ids.is_empty() {
        // Half a frame has an id as well.
        let line = octets
            .split(|octet| *octet == b'\n')
            .next()
            .unwrap_or_default();
        let id = String::from_utf8_lossy(line);
        let mut words = id.split_ascii_whitespace();
        if words.next() == Some("MSRP")
            && let Some(id) = words.next()
        {
            ids.push(id.to_owned());
        }
    }
    ids
}
