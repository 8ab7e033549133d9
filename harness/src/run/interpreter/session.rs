//! Steps of message sessions: `invite`, `msrp`, `bye`, `cancel`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::{EventKind, Outcome};
use tokio::time::Instant;

use super::request::{expected, fits};
use super::{Done, Flow, Interpreter, Trouble, statuses};
use crate::agent::msrp::{
    ChunkPlan, Content as Load, Cut, Cutting, Drawn, Frames, Load as Cargo, Parcel, Shipment,
    Shipped,
};
use crate::agent::{self, Awaited, Call, Described, Draft, End, Ending, InSession, Invitation, On};
use crate::scenario::model::{
    Bye, Cancel, Chunk, Chunks, Content, Cut as CutStep, Expect, Invite, InviteBody,
    MsrpConnection, MsrpExpect, MsrpStep, Override, ReportExpect, SessionSdp, StatusPattern,
};
use crate::scenario::{Template, octets};

impl Interpreter<'_> {
    pub(super) async fn invite(&self, path: &str, step: &Invite) -> Result<Done, Trouble> {
        let from = self.user(&step.from)?;
        let transport = self.transport(step.transport.as_ref(), path)?;
        let save = self.save(step.save.as_ref(), path)?;
        let within = self.patience(step.within.as_ref(), statuses(step.expect.as_ref()), path)?;
        let given = self.given(&step.headers, path)?;
        let described = match &step.body {
            InviteBody::Offer(offer) => self.described(offer, path)?,
            InviteBody::None | InviteBody::Literal(_) => Described::default(),
        };
        let (endpoint, call, hop, draft) = match &step.again {
            Some(name) => {
                let call = self.call(name, path)?;
                let within = self.agents.draft_within(&call, "INVITE").await;
                let (endpoint, hop, draft) = within.map_err(Trouble::Impossible)?;
                let contact = ("Contact", format!("<{}>", endpoint.contact()));
                (endpoint, call, hop, draft.own([contact]))
            }
            None => {
                let endpoint = self.endpoint(from, &step.device, transport).await?;
                self.through_the_relay(&described)?;
                let call = self.agents.open_session(&endpoint, described.clone()).await;
                let call = call.map_err(Trouble::Broken)?;
                let to = self.user(&step.to)?.uri();
                let uri = match &step.request_uri {
                    Some(template) => self.octets(template, path)?,
                    None => to.clone().into_bytes(),
                };
                let mut own = self.opening(&endpoint, from, &to, "INVITE");
                own.push(("Contact", format!("<{}>", endpoint.contact())));
                (endpoint, call, None, Draft::new("INVITE", uri, own))
            }
        };
        let (media_type, body) = match &step.body {
            InviteBody::None => (None, Bytes::new()),
            InviteBody::Literal(body) => {
                let media_type = body.media_type.as_ref();
                let media_type = media_type.map(|text| self.text(text, path)).transpose()?;
                (media_type, self.content(&body.content, path)?)
            }
            InviteBody::Offer(_) => {
                let changes = if step.again.is_some() {
                    described
                } else {
                    Described::default()
                };
                (Some("application/sdp".to_owned()), call.offer(&changes))
            }
        };
        let typed = media_type.map(|media_type| ("Content-Type", media_type));
        let out = Invitation {
            step: path.to_owned(),
            octets: draft.own(typed).given(given).body(body).octets(),
            copies: self.number(&step.copies, path)?,
            acknowledge: step.ack,
            again: step.again.is_some(),
            save,
            hop,
            credentials: self.showing(&step.credentials, path)?,
            guarded: self.guards("auth.sender"),
        };
        let begun = Instant::now();
        let awaited = self
            .agents
            .invite(&endpoint, &call, out, step.until, within)
            .await;
        let awaited = match awaited {
            Ok(awaited) => awaited,
            Err(why) => {
                self.agents.note(Some(path), EventKind::Note { text: why });
                return Ok(silent(begun, step.expect.as_ref()));
            }
        };
        match awaited {
            Awaited::Sent | Awaited::Provisional => Ok(Done::on()),
            Awaited::Final { status, .. } if fits(step.expect.as_ref(), status) => Ok(Done::on()),
            Awaited::Final { status, event } => {
                self.is_not_about_credentials(&step.credentials, &step.from, event)?;
                Ok(Done::end(format!(
                    "status {status} where {} was expected",
                    expected(step.expect.as_ref())
                )))
            }
            Awaited::Silence => {
                let done = silent(begun, step.expect.as_ref());
                if done.flow != Flow::On {
                    self.was_it_the_proxy()?;
                }
                Ok(done)
            }
        }
    }

    pub(super) async fn bye(&self, path: &str, step: &Bye) -> Result<Done, Trouble> {
        let call = self.call(&step.session, path)?;
        if call.ended() == Some(End::Remote) && step.expect.is_none() {
            let text = "the other end has ended this session already".to_owned();
            self.agents.note(Some(path), EventKind::Note { text });
            return Ok(Done::on());
        }
        let out = InSession {
            step: path.to_owned(),
            given: self.given(&step.headers, path)?,
            within: self.patience(step.within.as_ref(), statuses(step.expect.as_ref()), path)?,
            save: self.save(step.save.as_ref(), path)?,
        };
        let begun = Instant::now();
        let ending = self.agents.request_within(&call, "BYE", out).await;
        self.agents.hang_up(&call).await;
        // Both ends may end a session at the same time, and each finds that it is gone.
        let crossed = call.ended() == Some(End::Remote) && step.expect.is_none();
        Ok(self.concluded(path, step.expect.as_ref(), ending, begun, crossed))
    }

    pub(super) async fn cancel(&self, path: &str, step: &Cancel) -> Result<Done, Trouble> {
        let call = self.call(&step.session, path)?;
        let given = self.given(&step.headers, path)?;
        let within = self.patience(step.within.as_ref(), statuses(step.expect.as_ref()), path)?;
        let begun = Instant::now();
        let ending = self.agents.cancel(&call, path, &given, within).await;
        // Without an expectation whatever comes is right: the final response may have been faster.
        let any = step.expect.is_none();
        Ok(self.concluded(path, step.expect.as_ref(), ending, begun, any))
    }

    pub(super) async fn msrp(&self, path: &str, step: &MsrpStep) -> Result<Done, Trouble> {
        let call = self.call(&step.session, path)?;
        let within = match (&step.raw, &step.expect) {
            // Octets that nothing is expected of may rightly get no answer at all.
            (Some(_), None) => {
                self.length(step.within.as_ref(), self.profile.pixit.timers.quiet, path)?
            }
            (_, Some(expect)) if !expect.closed => {
                let right = [expect.status.as_slice(), &expect.last].concat();
                self.patience(step.within.as_ref(), &right, path)?
            }
            _ => self.patience(step.within.as_ref(), &[], path)?,
        };
        let save = self.save(step.save.as_ref(), path)?;
        let on = match &step.connection {
            MsrpConnection::Same => On::Same,
            MsrpConnection::New => On::New,
            MsrpConnection::Of(name) => On::Of(Arc::clone(self.call(name, path)?.session())),
        };
        let shipment = Shipment {
            step: path.to_owned(),
            session: Arc::clone(call.session()),
            load: self.cargo(path, step)?,
            writes: match &step.writes {
                Some(writes) => usize::try_from(self.size(writes, path)?).ok(),
                None => None,
            },
            cut: step
                .cut
                .as_ref()
                .map(|cut| self.cut(cut, path))
                .transpose()?,
        };
        let patience = self.profile.pixit.timers.answer;
        let shipped = match self.agents.ship(shipment, on, patience).await {
            Ok(shipped) => shipped,
            Err(why) => {
                self.agents
                    .note(Some(path), EventKind::Note { text: why.clone() });
                return Ok(Done::end(why));
            }
        };
        let waited = self.responses(step, &shipped, within).await;
        if let (Some(event), Some(parcel)) = (self.agents.shipped(&shipped, save), &shipped.parcel)
        {
            self.memory().parcels.insert(event, Arc::clone(parcel));
        }
        Ok(waited)
    }

    /// Whether the relay of the profile, where there is one, can carry such a session.
    fn through_the_relay(&self, described: &Described) -> Result<(), Trouble> {
        let wanted = described.connection.as_deref();
        match (&self.profile.pixit.msrp.relay, wanted) {
            (Some(relay), Some(wanted))
                if wanted.eq_ignore_ascii_case("tls") != relay.uri.is_secure() =>
            {
                Err(Trouble::Impossible(format!(
                    "a session over {wanted} cannot be had behind the relay {} of the profile",
                    relay.uri
                )))
            }
            _ => Ok(()),
        }
    }

    /// Waits for what must come back, and decides whether the case can go on with it.
    async fn responses(&self, step: &MsrpStep, shipped: &Shipped, within: Duration) -> Done {
        let begun = Instant::now();
        let deadline = begun + within;
        let quiet = begun + within.min(self.profile.pixit.timers.quiet);
        let tally = &shipped.tally;
        let expect = step.expect.as_ref();
        let mut late = None;
        let asked = expect.is_some_and(|expect| !expect.status.is_empty());
        let wants_last = expect.is_some_and(|expect| {
            let patterns = if expect.last.is_empty() {
                &expect.status
            } else {
                &expect.last
            };
            patterns.iter().any(|p| *p != StatusPattern::Silence)
        });
        let over = || shipped.is_over();
        if shipped.cut && !wants_last {
            // The scenario has ended the connection, or lets the other end wait.
            if !over() && tally.owed() > 0 {
                let wanted = |_: &mut agent::Desk| (tally.is_settled() || over()).then_some(());
                self.agents.until(deadline, wanted).await;
            }
        } else if step.raw.is_some() && expect.is_none() {
            let wanted = |_: &mut agent::Desk| (tally.is_settled() || over()).then_some(());
            self.agents.until(deadline, wanted).await;
        } else if tally.owed() > 0 || wants_last {
            let may_be_silent = expect.is_some_and(|expect| {
                let all = expect.status.iter().chain(&expect.last);
                all.into_iter().any(|p| *p == StatusPattern::Silence)
            });
            let done = || tally.is_settled() && (!wants_last || tally.has_last());
            // Where no response is right too, it is not waited for longer than others would take.
            let until = if may_be_silent && !wants_last {
                quiet
            } else {
                deadline
            };
            let wanted = |_: &mut agent::Desk| (done() || over()).then_some(());
            self.agents.until(until, wanted).await;
            if !done() && !may_be_silent {
                late = Some("no response to every chunk");
            }
        } else if !shipped.cut {
            // Nothing may come: RFC 4975 §7.2 for Failure-Report `no`, and `partial` where all is well.
            let wanted = |_: &mut agent::Desk| over().then_some(());
            self.agents.until(quiet, wanted).await;
        }
        if let (Some(expect), Some(parcel)) = (expect, &shipped.parcel) {
            late = late.or(self.reports(expect, parcel, deadline, within).await);
        }
        if expect.is_some_and(|expect| expect.closed) {
            let wanted = |_: &mut agent::Desk| over().then_some(());
            if self.agents.until(deadline, wanted).await.is_none() {
                late = late.or(Some("the connection was not closed"));
            }
        }
        let steers = step.raw.is_none() || asked;
        let wrong = if shipped.cut && !asked || !steers {
            None
        } else {
            unfit(expect, shipped)
        };
        let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match (wrong, late) {
            (Some(why), _) => Done::end(why),
            (None, None) => Done::on(),
            (None, Some(why)) => Done {
                outcome: Outcome::TimedOut { after_ms },
                flow: if why.starts_with("no response") && steers {
                    Flow::End(format!("{why} within {after_ms} ms"))
                } else {
                    Flow::On
                },
            },
        }
    }

    /// Waits for REPORTs; says what did not come.
    async fn reports(
        &self,
        expect: &MsrpExpect,
        parcel: &Arc<Parcel>,
        deadline: Instant,
        within: Duration,
    ) -> Option<&'static str> {
        let quiet = Instant::now() + within.min(self.profile.pixit.timers.quiet);
        match expect.report.as_ref()? {
            ReportExpect::None => {
                self.agents.until(quiet, |_| None::<()>).await;
                None
            }
            ReportExpect::Any => {
                let wanted = |_: &mut agent::Desk| (!parcel.reports().is_empty()).then_some(());
                self.agents.until(quiet, wanted).await;
                None
            }
            ReportExpect::Success => {
                let wanted = |_: &mut agent::Desk| {
                    let failed = parcel.reports().iter().any(|report| report.status != 200);
                    (failed || parcel.is_reported()).then_some(())
                };
                let came = self.agents.until(deadline, wanted).await;
                came.is_none().then_some("no REPORT of success")
            }
            ReportExpect::Like { status, .. } => {
                let wanted = |_: &mut agent::Desk| {
                    let reports = parcel.reports();
                    let found = reports.iter().any(|report| {
                        status.is_empty() || status.iter().any(|p| holds(*p, report.status))
                    });
                    found.then_some(())
                };
                let came = self.agents.until(deadline, wanted).await;
                came.is_none().then_some("no such REPORT")
            }
        }
    }

    /// What a step sends.
    fn cargo(&self, path: &str, step: &MsrpStep) -> Result<Cargo, Trouble> {
        if let Some(raw) = &step.raw {
            return Ok(Cargo::Raw(self.content(raw, path)?));
        }
        let nothing = step.cut.is_some()
            && step.body.is_none()
            && step.continues.is_none()
            && matches!(step.chunks, Chunks::Whole);
        if nothing {
            return Ok(Cargo::Raw(Bytes::new()));
        }
        let parcel = match &step.continues {
            Some(name) => self.parcel(name, path)?,
            None => {
                let (media_type, content) = match &step.body {
                    None => (None, None),
                    Some(body) => {
                        let media_type = body.media_type.as_ref();
                        let media_type = media_type.map(|text| self.text(text, path));
                        (
                            media_type.transpose()?,
                            Some(self.load(&body.content, path)?),
                        )
                    }
                };
                let id = step.message_id.as_ref();
                let id = id.map(|id| self.text(id, path)).transpose()?;
                Arc::new(Parcel::new(path, id, media_type, content))
            }
        };
        let chunks = match &step.chunks {
            Chunks::Whole => Cutting::Whole,
            Chunks::Size(size) => Cutting::Size(self.size(size, path)?),
            Chunks::List(list) => {
                let plans = list.iter().map(|chunk| self.chunk(chunk, path));
                Cutting::List(plans.collect::<Result<_, _>>()?)
            }
        };
        Ok(Cargo::Frames(Frames {
            method: self.text(&step.method, path)?,
            parcel,
            headers: self.given(&step.headers, path)?,
            chunks,
        }))
    }

    fn chunk(&self, chunk: &Chunk, path: &str) -> Result<ChunkPlan, Trouble> {
        let optional = |written: &Override<Template>| match written {
            Override::Usual => Ok(None),
            Override::Omitted => Ok(Some(None)),
            Override::Given(text) => self.text(text, path).map(|text| Some(Some(text))),
        };
        let slice = match &chunk.octets {
            Some(Some((first, last))) => {
                let (first, last) = (self.size(first, path)?, self.size(last, path)?);
                Some((first.saturating_sub(1), last))
            }
            Some(None) | None => None,
        };
        let body = chunk.body.as_ref();
        let flag = chunk.flag.as_ref();
        Ok(ChunkPlan {
            slice,
            none: chunk.octets == Some(None),
            range: optional(&chunk.range)?,
            flag: flag.map(|flag| self.text(flag, path)).transpose()?,
            headers: self.given(&chunk.headers, path)?,
            pause: self.length(chunk.pause.as_ref(), Duration::ZERO, path)?,
            body: body.map(|body| self.content(body, path)).transpose()?,
            end: optional(&chunk.end)?,
        })
    }

    fn load(&self, content: &Content, path: &str) -> Result<Load, Trouble> {
        match content {
            Content::Generated(length) => Ok(Load::Drawn(Drawn::new(*length))),
            other => self.content(other, path).map(Load::Octets),
        }
    }

    fn cut(&self, cut: &CutStep, path: &str) -> Result<Cut, Trouble> {
        let after = cut.after.as_ref();
        Ok(Cut {
            after: after.map(|after| self.size(after, path)).transpose()?,
            how: cut.how,
        })
    }

    /// The session that a name stands for.
    fn call(&self, name: &Template, path: &str) -> Result<Arc<Call>, Trouble> {
        let name = self.text(name, path)?;
        let call = self.agents.desk().call_named(&name);
        call.ok_or_else(|| Trouble::Impossible(format!("`{name}` is no session that was opened")))
    }

    /// The message that a name stands for.
    fn parcel(&self, name: &Template, path: &str) -> Result<Arc<Parcel>, Trouble> {
        let name = self.text(name, path)?;
        let event = self.agents.desk().event_named(&name);
        let parcel = event.and_then(|event| self.memory().parcels.get(&event).cloned());
        parcel.ok_or_else(|| {
            Trouble::Impossible(format!("`{name}` is no message that was sent by `msrp`"))
        })
    }

    fn described(&self, sdp: &SessionSdp, path: &str) -> Result<Described, Trouble> {
        let text = |template: &Template| {
            let text = self.agents.view(|view| view.text(template, path));
            text.map_err(|e| e.to_string())
        };
        agent::described(sdp, &text).map_err(Trouble::Impossible)
    }

    fn size(&self, template: &Template, path: &str) -> Result<u64, Trouble> {
        let text = self.text(template, path)?;
        octets::parse_size(&text)
            .ok_or_else(|| Trouble::Impossible(format!("`{text}` is no number of octets")))
    }

    /// What the response to a request within a session means for the case. `any`: whatever came is right.
    fn concluded(
        &self,
        path: &str,
        expect: Option<&Expect>,
        ending: Result<Ending, String>,
        begun: Instant,
        any: bool,
    ) -> Done {
        match ending {
            Ok(Ending::Final { status, event }) => {
                self.agents.note(Some(path), EventKind::Took { event });
                if any || fits(expect, status) {
                    Done::on()
                } else {
                    Done::end(format!(
                        "status {status} where {} was expected",
                        expected(expect)
                    ))
                }
            }
            Ok(Ending::Silence) => silent(begun, expect),
            Err(why) => {
                self.agents.note(Some(path), EventKind::Note { text: why });
                silent(begun, expect)
            }
        }
    }
}

/// No final response came.
fn silent(begun: Instant, expect: Option<&Expect>) -> Done {
    let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let may_be = expect.is_some_and(|expect| expect.status.contains(&StatusPattern::Silence));
    Done {
        outcome: Outcome::TimedOut { after_ms },
        flow: if may_be {
            Flow::On
        } else {
            Flow::End(format!("no final response within {after_ms} ms"))
        },
    }
}

/// Why the case cannot go on with the responses that came.
fn unfit(expect: Option<&MsrpExpect>, shipped: &Shipped) -> Option<String> {
    let usual = [StatusPattern::Code(200)];
    let of = |patterns: &'_ [StatusPattern]| -> Vec<StatusPattern> {
        if patterns.is_empty() {
            usual.to_vec()
        } else {
            patterns.to_vec()
        }
    };
    let wanted = of(expect.map_or(&[], |expect| expect.status.as_slice()));
    let last = match expect {
        Some(expect) if !expect.last.is_empty() => expect.last.clone(),
        _ => wanted.clone(),
    };
    let final_status = shipped.tally.last().map(|(_, status)| status);
    if let Some(status) = final_status
        && !last.iter().any(|pattern| holds(*pattern, status))
    {
        return Some(format!("status {status} for the last chunk"));
    }
    let mut statuses = shipped.tally.statuses();
    if let Some(status) = final_status
        && let Some(count) = statuses.get_mut(&status)
    {
        *count -= 1;
    }
    statuses
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .find(|(status, _)| !wanted.iter().any(|pattern| holds(*pattern, *status)))
        .map(|(status, _)| format!("status {status} for a chunk"))
}

fn holds(pattern: StatusPattern, status: u16) -> bool {
    match pattern {
        StatusPattern::Code(code) => code == status,
        StatusPattern::Class(class) => class == status / 100,
        StatusPattern::Silence => false,
    }
}
