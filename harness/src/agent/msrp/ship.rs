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
use super::carrier::Writer;
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

    /// How much of head, body and end goes out where so many octets of the whole do.
    fn portion(&self, going: u64) -> (u64, u64, u64) {
        let head = going.min(self.head.len() as u64);
        let body = (going - head).min(self.body());
        (head, body, (going - head - body).min(self.end.len() as u64))
    }

    /// Octets of its body, by offsets from its beginning.
    fn piece(&self, content: Option<&Content>, from: u64, to: u64) -> Bytes {
        match (&self.own, self.slice, content) {
            (Some(own), ..) => own.slice(
                usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(own.len()),
            ),
            (None, Some((start, _)), Some(content)) => content.slice(start + from, start + to),
            _ => Bytes::new(),
        }
    }
}

impl Cutting {
    /// In how many chunks content of that length goes out.
    fn count(&self, length: u64) -> u64 {
        match self {
            Self::Whole => 1,
            Self::Size(size) => length.div_ceil((*size).max(1)).max(1),
            Self::List(list) => list.len() as u64,
        }
    }

    /// The chunk of that number, from 0.
    fn plan(&self, index: u64, length: u64) -> ChunkPlan {
        match self {
            Self::Whole => ChunkPlan::default(),
            Self::Size(size) => {
                let size = (*size).max(1);
                ChunkPlan {
                    slice: Some((index * size, ((index + 1) * size).min(length))),
                    ..ChunkPlan::default()
                }
            }
            Self::List(list) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                list.get(index).cloned().unwrap_or_default()
            }
        }
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
        let mut written = self.write(&mut writer, &octets).await;
        if written.is_ok() {
            written = self.connection.finish(&mut writer).await;
        }
        drop(writer);
        self.complain(written);
    }

    /// Sends the chunks of a message; gives the events that hold them.
    async fn frames(&mut self, session: &Session, frames: &Frames) -> Vec<u32> {
        let parcel = &frames.parcel;
        let length = parcel.content.as_ref().map_or(0, Content::len);
        let count = frames.chunks.count(length);
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
            let plan = frames.chunks.plan(index, length);
            let planned = planned(frames, plan, &to, &from);
            // Even a sleep of nothing lasts until the next millisecond.
            if !planned.pause.is_zero() {
                sleep(planned.pause).await;
            }
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
        let (head_going, body_going, end_going) = planned.portion(going);
        let part = |octets: &Bytes, going: u64| {
            octets.slice(..usize::try_from(going).unwrap_or(octets.len()))
        };
        let (head, end) = (
            part(&planned.head, head_going),
            part(&planned.end, end_going),
        );
        let content = parcel.content.as_ref();
        let total = content.map_or(0, Content::len).max(planned.body());
        let piece = |from, to| planned.piece(content, from, to);
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
        self.connection.finish(&mut writer).await?;
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
        going(&mut self.left, length)
    }

    /// Writes octets of a frame, in the pieces that the scenario wants.
    async fn write(&self, writer: &mut Option<Writer>, octets: &[u8]) -> Result<(), String> {
        if self.connection.is_stalled() {
            return Err("the scenario has stopped this connection".into());
        }
        let size = self.writes.unwrap_or(octets.len()).max(1);
        for piece in octets.chunks(size) {
            self.connection.write_part(writer, piece).await?;
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

/// How much of so many octets goes out where `left` may still do.
fn going(left: &mut Option<u64>, length: u64) -> u64 {
    match left {
        None => length,
        Some(left) => {
            let going = length.min(*left);
            *left -= going;
            going
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const TO: &str = "msrp://127.0.0.1:9001/theirs;tcp";
    const FROM: &str = "msrp://127.0.0.1:9002/ours;tcp";

    fn frames(content: Option<&[u8]>, chunks: Cutting) -> Frames {
        let content = content.map(|octets| Content::Octets(Bytes::copy_from_slice(octets)));
        let media_type = content.is_some().then(|| "text/plain".to_owned());
        let parcel = Parcel::new("steps[0]", Some("m1".into()), media_type, content);
        Frames {
            method: "SEND".into(),
            parcel: Arc::new(parcel),
            headers: Vec::new(),
            chunks,
        }
    }

    fn listed(content: &[u8], plan: ChunkPlan) -> Frames {
        frames(Some(content), Cutting::List(vec![plan]))
    }

    /// All that goes out, frame by frame.
    fn sent(frames: &Frames) -> Vec<Bytes> {
        let content = frames.parcel.content.as_ref();
        let length = content.map_or(0, Content::len);
        let mut all = Vec::new();
        for index in 0..frames.chunks.count(length) {
            let planned = planned(frames, frames.chunks.plan(index, length), TO, FROM);
            let body = planned.piece(content, 0, planned.body());
            let octets: Bytes = [&planned.head[..], &body, &planned.end].concat().into();
            assert_eq!(octets.len() as u64, planned.length());
            Out::gone(&frames.parcel, &planned, planned.whole);
            all.push(octets);
        }
        all
    }

    fn text(frames: &Frames) -> String {
        let all = sent(frames);
        assert_eq!(all.len(), 1);
        let text = String::from_utf8(all[0].to_vec()).unwrap();
        let id = text.split(' ').nth(1).unwrap().to_owned();
        text.replace(&id, "ID")
    }

    fn parsed(frames: &Frames) -> Vec<Frame> {
        let parse = |octets| Frame::parse(octets, &Limits::default()).unwrap();
        sent(frames).into_iter().map(parse).collect()
    }

    fn range(frame: &Frame) -> String {
        let field = frame.head().header("Byte-Range").unwrap();
        field.text().into_owned()
    }

    proptest! {
        #[test]
        fn chunks_of_a_size_cover_the_body_once_and_in_order(
            content in proptest::collection::vec(any::<u8>(), 0..3000),
            size in 1_u64..700,
        ) {
            let frames = frames(Some(&content), Cutting::Size(size));
            let all = parsed(&frames);
            let mut at = 0;
            let mut receiver = msrp::Message::new(&Limits::default());
            for (index, frame) in all.iter().enumerate() {
                let body = frame.body().unwrap();
                prop_assert_eq!(&body[..], &content[at..at + body.len()]);
                let wanted = format!("{}-{}/{}", at + 1, at + body.len(), content.len());
                prop_assert_eq!(range(frame), wanted);
                at += body.len();
                let last = index + 1 == all.len();
                prop_assert_eq!(frame.flag() == Flag::Complete, last);
                prop_assert!(last || body.len() as u64 == size);
                receiver.frame(frame).unwrap();
            }
            prop_assert_eq!(at, content.len());
            prop_assert_eq!(&receiver.into_content().unwrap()[..], &content[..]);
            prop_assert!(frames.parcel.content().1);
        }

        #[test]
        fn listed_chunks_carry_the_octets_that_the_scenario_names(
            content in proptest::collection::vec(any::<u8>(), 1..60),
            picks in proptest::collection::vec((0_usize..60, 0_usize..60), 1..12),
        ) {
            let length = content.len();
            let slices: Vec<(usize, usize)> = picks
                .iter()
                .map(|(a, b)| (a % length, b % length))
                .map(|(a, b)| (a.min(b), a.max(b) + 1))
                .collect();
            let list = slices.iter().map(|(from, to)| ChunkPlan {
                slice: Some((*from as u64, *to as u64)),
                ..ChunkPlan::default()
            });
            let frames = frames(Some(&content), Cutting::List(list.collect()));
            let all = parsed(&frames);
            prop_assert_eq!(all.len(), slices.len());
            let mut covered = vec![false; length];
            for (frame, (from, to)) in all.iter().zip(slices) {
                prop_assert_eq!(&frame.body().unwrap()[..], &content[from..to]);
                prop_assert_eq!(range(frame), format!("{}-{to}/{length}", from + 1));
                prop_assert_eq!(frame.flag() == Flag::Complete, to == length);
                covered[from..to].fill(true);
            }
            let whole = covered.into_iter().all(|octet| octet);
            prop_assert_eq!(frames.parcel.content().1, whole, "gaps are no whole message");
        }

        #[test]
        fn a_cut_lets_so_many_octets_out_and_no_more(
            lengths in proptest::collection::vec(0_u64..500, 0..8),
            after in proptest::option::of(0_u64..3000),
        ) {
            let mut left = after;
            let gone: u64 = lengths.iter().map(|length| going(&mut left, *length)).sum();
            let all: u64 = lengths.iter().sum();
            prop_assert_eq!(gone, after.map_or(all, |after| after.min(all)));
        }

        #[test]
        fn what_goes_of_a_chunk_is_its_beginning(cut in 0_u64..400) {
            let frames = frames(Some(b"Meet at eight"), Cutting::Whole);
            let planned = planned(&frames, ChunkPlan::default(), TO, FROM);
            let going = cut.min(planned.length());
            let (head, body, end) = planned.portion(going);
            prop_assert_eq!(head + body + end, going);
            prop_assert!(body == 0 || head == planned.head.len() as u64);
            prop_assert!(end == 0 || body == planned.body());
        }
    }

    #[test]
    fn a_message_goes_out_as_rfc_4975_has_it() {
        assert_eq!(
            text(&frames(Some(b"hello"), Cutting::Whole)),
            "MSRP ID SEND\r\nTo-Path: msrp://127.0.0.1:9001/theirs;tcp\r\n\
             From-Path: msrp://127.0.0.1:9002/ours;tcp\r\nMessage-ID: m1\r\nByte-Range: 1-5/5\r\n\
             Content-Type: text/plain\r\n\r\nhello\r\n-------ID$\r\n"
        );
        assert_eq!(
            text(&frames(None, Cutting::Whole)),
            "MSRP ID SEND\r\nTo-Path: msrp://127.0.0.1:9001/theirs;tcp\r\n\
             From-Path: msrp://127.0.0.1:9002/ours;tcp\r\nMessage-ID: m1\r\n-------ID$\r\n",
            "no body, no Byte-Range and no type"
        );
    }

    #[test]
    fn a_long_chunk_does_not_say_where_it_ends() {
        let content = vec![b'x'; 2049];
        let of = |size| range(&parsed(&frames(Some(&content), Cutting::Size(size)))[0]);
        assert_eq!(of(2048), "1-2048/2049");
        assert_eq!(of(2049), "1-*/2049", "RFC 4975 §7.1.1");
    }

    #[test]
    fn a_chunk_lies_as_it_is_told() {
        let plan = ChunkPlan {
            slice: Some((0, 4)),
            range: Some(Some("5-8/999".into())),
            flag: Some("$".into()),
            ..ChunkPlan::default()
        };
        let frame = &parsed(&listed(b"Meet at eight", plan))[0];
        assert_eq!(
            (range(frame).as_str(), frame.flag()),
            ("5-8/999", Flag::Complete)
        );
        let plan = ChunkPlan {
            range: Some(None),
            flag: Some("#".into()),
            ..ChunkPlan::default()
        };
        let frame = &parsed(&listed(b"Meet at eight", plan))[0];
        assert!(frame.head().header("Byte-Range").is_none());
        assert_eq!(frame.flag(), Flag::Abort);
        let plan = ChunkPlan {
            body: Some(Bytes::from_static(b"other")),
            ..ChunkPlan::default()
        };
        let frame = &parsed(&listed(b"Meet at eight", plan))[0];
        assert_eq!(&frame.body().unwrap()[..], b"other");
        assert_eq!(
            (range(frame).as_str(), frame.flag()),
            ("1-5/13", Flag::More)
        );
    }

    #[test]
    fn an_end_line_may_be_missing_or_anothers() {
        let plan = ChunkPlan {
            end: Some(None),
            ..ChunkPlan::default()
        };
        let missing = listed(b"hello", plan);
        assert!(text(&missing).ends_with("\r\n\r\nhello\r\n"));
        let plan = ChunkPlan {
            end: Some(Some("other1".into())),
            ..ChunkPlan::default()
        };
        let other = listed(b"hello", plan);
        assert!(text(&other).ends_with("hello\r\n-------other1$\r\n"));
        for frames in [missing, other] {
            assert!(
                !frames.parcel.content().1,
                "nobody can take that for a whole message"
            );
        }
    }

    #[test]
    fn a_chunk_of_no_octets_stands_where_the_last_one_ended() {
        let first = ChunkPlan {
            slice: Some((0, 4)),
            ..ChunkPlan::default()
        };
        let empty = ChunkPlan {
            none: true,
            ..ChunkPlan::default()
        };
        let frames = frames(Some(b"Meet at eight"), Cutting::List(vec![first, empty]));
        let all = parsed(&frames);
        assert_eq!(range(&all[1]), "5-4/13");
        assert_eq!(&all[1].body().unwrap()[..], b"");
        assert_eq!(all[1].flag(), Flag::More);
    }

    #[test]
    fn header_fields_of_a_chunk_stand_over_those_of_the_message_and_those_over_the_agents() {
        let given = |name: &str, values: &[&str]| Given {
            name: name.to_owned(),
            values: values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
        };
        let plan = ChunkPlan {
            headers: vec![given("success-report", &["no"])],
            ..ChunkPlan::default()
        };
        let mut frames = listed(b"hello", plan);
        frames.headers = vec![
            given("Success-Report", &["yes"]),
            given("Message-ID", &["other"]),
            given("Content-Disposition", &["inline"]),
            given("Expires", &["60", "70"]),
            given("From-Path", &[]),
        ];
        let text = text(&frames);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "To-Path: msrp://127.0.0.1:9001/theirs;tcp",
                "Message-ID: other",
                "Byte-Range: 1-5/5",
                "Expires: 60",
                "Expires: 70",
                "success-report: no",
                "Content-Disposition: inline",
                "Content-Type: text/plain",
            ]
        );
    }

    #[test]
    fn who_wants_no_answer_is_owed_none() {
        let owed = |value: &str| {
            let mut frames = frames(Some(b"hello"), Cutting::Whole);
            frames.headers = vec![Given {
                name: "failure-report".into(),
                values: vec![value.as_bytes().to_vec()],
            }];
            planned(&frames, ChunkPlan::default(), TO, FROM).owed
        };
        assert!(owed("yes"));
        assert!(!owed(" No ") && !owed("partial"));
        let mut report = frames(None, Cutting::Whole);
        report.method = "REPORT".into();
        assert!(!planned(&report, ChunkPlan::default(), TO, FROM).owed);
    }

    #[test]
    fn transactions_of_octets_are_found_as_far_as_they_can_be_read() {
        let of = |text: &str| transactions(&Bytes::copy_from_slice(text.as_bytes()));
        let two = "MSRP a1b2 SEND\r\nTo-Path: x\r\n-------a1b2$\r\nMSRP c3d4 200 OK\r\n-------c3d4$\r\n\
                   MSRP e5f6 SEND\r\nTo-Path: x\r\n-------e5f6$\r\n";
        assert_eq!(of(two), ["a1b2", "e5f6"], "a response waits for nothing");
        assert_eq!(of("MSRP a1b2 SEND\r\nTo-Pa"), ["a1b2"]);
        assert!(of("GET / HTTP/1.1\r\n\r\n").is_empty());
    }

    #[test]
    fn reports_cover_a_message_together() {
        let parcel = Parcel::new(
            "steps[0]",
            None,
            None,
            Some(Content::Octets(vec![0; 10].into())),
        );
        let report = |first, last, status| Report {
            event: 0,
            range: Some(msrp::ByteRange {
                start: first,
                end: Some(last),
                total: Some(10),
            }),
            status,
        };
        parcel.reported(report(1, 6, 200));
        parcel.reported(report(7, 10, 413));
        assert!(!parcel.is_reported());
        parcel.reported(report(5, 10, 200));
        assert!(parcel.is_reported());
    }
}
