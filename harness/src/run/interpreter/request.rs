//! Steps that send a request and wait for its answer: `register`, `message`, `raw`.

use std::sync::Arc;

use bytes::Bytes;
use imspec_reports::record::{EventKind, Outcome};
use tokio::time::Instant;

use super::{Done, Flow, Interpreter, Trouble, statuses};
use crate::agent::{self, Draft, Ending, Endpoint, Given, Outgoing, Shape, Showing};
use crate::evidence::packet_of;
use crate::link::Transport;
use crate::scenario::model::{
    Content, CredentialsChoice, Expect, HeaderValue, MessageStep, Raw, StatusPattern,
};
use crate::scenario::{CaseUser, Template};

/// Where Route stands among the header fields that the harness writes: behind Via and Max-Forwards.
pub(super) const BEHIND_MAX_FORWARDS: usize = 2;

impl Interpreter<'_> {
    pub(super) async fn message(&self, path: &str, step: &MessageStep) -> Result<Done, Trouble> {
        let (from, to) = (self.user(&step.from)?, self.user(&step.to)?);
        let transport = self.transport(step.transport.as_ref(), path)?;
        let endpoint = self.endpoint(from, &step.device, transport).await?;
        let octets = if let Some(name) = &step.same_but_branch {
            self.same_but_branch(&self.text(name, path)?)?
        } else {
            let uri = match &step.request_uri {
                Some(template) => self.octets(template, path)?,
                None => to.uri().into_bytes(),
            };
            let mut own = self.opening(&endpoint, from, &to.uri(), "MESSAGE");
            let mut body = Bytes::new();
            if let Some(content) = &step.body {
                if let Some(media_type) = &content.media_type {
                    own.push(("Content-Type", self.text(media_type, path)?));
                }
                body = self.content(&content.content, path)?;
            }
            Draft::new("MESSAGE", uri, own)
                .given(self.given(&step.headers, path)?)
                .body(body)
                .octets()
        };
        let out = Outgoing {
            step: path.to_owned(),
            octets,
            copies: self.number(&step.copies, path)?,
            retransmit: true,
            within: self.patience(step.within.as_ref(), statuses(step.expect.as_ref()), path)?,
            save: self.save(step.save.as_ref(), path)?,
            hop: None,
            credentials: self.showing(&step.credentials, path)?,
            guarded: self.guards("auth.sender"),
            call: None,
        };
        self.exchange(&endpoint, out, step.expect.as_ref(), true)
            .await
    }

    pub(super) async fn raw(&self, path: &str, step: &Raw) -> Result<Done, Trouble> {
        if self.agents.standing().proxied {
            return Err(Trouble::Impossible(
                "what a proxy makes of octets that are sent as they are says nothing about the server \
                 (`pixit.outbound-proxy`): a profile that reaches the server itself shows it"
                    .into(),
            ));
        }
        let user = self.user(&step.user)?;
        let transport = self.transport(step.transport.as_ref(), path)?;
        let endpoint = self.endpoint(user, &step.device, transport).await?;
        let own = endpoint.place().transport;
        if transport == Some(Transport::Tcp) && own.is_websocket() {
            return Err(Trouble::Impossible(format!(
                "these are octets of a stream, and over {} a message is a message: give `pixit.target.tcp` or `tls`, too, if \
                 the server has it",
                own.as_str()
            )));
        }
        let timers = &self.profile.pixit.timers;
        // Octets that nothing is expected of may rightly get no answer at all.
        let within = match &step.expect {
            Some(expect) => self.patience(step.within.as_ref(), &expect.status, path)?,
            None => self.length(step.within.as_ref(), timers.quiet, path)?,
        };
        let out = Outgoing {
            step: path.to_owned(),
            octets: self.content(&step.content, path)?,
            copies: 1,
            retransmit: false,
            within,
            save: self.save(step.save.as_ref(), path)?,
            hop: None,
            credentials: Showing::Own,
            guarded: self.guards("auth.sender"),
            call: None,
        };
        self.exchange(&endpoint, out, step.expect.as_ref(), step.expect.is_some())
            .await
    }

    /// Sends a request, waits for its final response, and decides whether the case can go on with that.
    pub(super) async fn exchange(
        &self,
        endpoint: &Arc<Endpoint>,
        out: Outgoing,
        expect: Option<&Expect>,
        steers: bool,
    ) -> Result<Done, Trouble> {
        let (path, begun) = (out.step.clone(), Instant::now());
        let is_own = out.credentials == Showing::Own;
        let ending = match self.agents.transact(endpoint, out).await {
            Ok(ending) => ending,
            Err(why) => {
                self.agents.note(Some(&path), EventKind::Note { text: why });
                Ending::Silence
            }
        };
        match ending {
            Ending::Final { status, event } => {
                self.agents.note(Some(&path), EventKind::Took { event });
                if !steers || fits(expect, status) {
                    return Ok(Done::on());
                }
                if is_own {
                    self.takes_credentials(&endpoint.place().user, event)?;
                }
                Ok(Done::end(format!(
                    "status {status} where {} was expected",
                    expected(expect)
                )))
            }
            Ending::Silence => {
                let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let may_be_silent =
                    expect.is_some_and(|expect| expect.status.contains(&StatusPattern::Silence));
                let flow = if !steers || may_be_silent {
                    Flow::On
                } else {
                    self.was_it_the_proxy()?;
                    let only = self.provisional(&path);
                    let only = only.map_or_else(String::new, |status| {
                        format!(", and {status} is all that came: the server has it and does not finish it")
                    });
                    let broke = self.broke(&path);
                    let broke = broke.map_or_else(String::new, |what| format!(": {what}"));
                    Flow::End(format!(
                        "no final response within {after_ms} ms{only}{broke}"
                    ))
                };
                Ok(Done {
                    outcome: Outcome::TimedOut { after_ms },
                    flow,
                })
            }
        }
    }

    /// Behind a proxy nobody can tell who kept silent: a proxy that does not like a request may drop it, and for one
    /// that is not INVITE it says nothing where the server says nothing (RFC 4320 §4.2).
    pub(super) fn was_it_the_proxy(&self) -> Result<(), Trouble> {
        if self.agents.standing().proxied {
            return Err(Trouble::Impossible(
                "no final response came, and behind an outbound proxy nobody can tell whether the server or the proxy \
                 kept silent"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The last provisional response to a step.
    fn provisional(&self, path: &str) -> Option<u16> {
        let desk = self.agents.desk();
        let events = desk.trace().events.iter().rev();
        events
            .filter(|event| event.step.as_deref() == Some(path))
            .filter_map(crate::evidence::message_of)
            .find_map(|message| message.status().filter(|status| *status < 200))
    }

    /// What is noted of a connection since a step last sent something: that the server closed it, or that what came is
    /// no SIP.
    fn broke(&self, path: &str) -> Option<String> {
        let desk = self.agents.desk();
        let events = desk.trace().events.iter().rev();
        let since = events.take_while(|event| {
            let sent = matches!(event.kind, EventKind::Sent(_));
            !(sent && event.step.as_deref() == Some(path))
        });
        let mut notes = since.filter(|event| event.step.is_none());
        notes.find_map(|event| match &event.kind {
            EventKind::Note { text } if text.contains("closed") => Some(text.clone()),
            _ => None,
        })
    }

    /// Whether the server is known to want credentials, by a PICS key that says so.
    pub(super) fn guards(&self, key: &str) -> bool {
        let memory = self.memory();
        let value = memory
            .policy
            .get(key)
            .or_else(|| self.profile.pics.get(key));
        value.and_then(serde_json::Value::as_str) == Some("digest")
    }

    /// The credentials that a step shows.
    pub(super) fn showing(
        &self,
        choice: &CredentialsChoice,
        path: &str,
    ) -> Result<Showing, Trouble> {
        let shape = match choice {
            CredentialsChoice::Own => return Ok(Showing::Own),
            CredentialsChoice::None => return Ok(Showing::None),
            CredentialsChoice::Shaped(shape) => shape,
        };
        if self.profile.pixit.logins.is_none() {
            return Err(Trouble::Impossible(
                "this step shows credentials, and the profile has none: give `pixit.accounts.password`"
                    .into(),
            ));
        }
        let text = |template: &Option<Template>| {
            let text = template.as_ref().map(|template| self.text(template, path));
            text.transpose()
        };
        let event = |template: &Option<Template>| -> Result<Option<u32>, Trouble> {
            let Some(name) = text(template)? else {
                return Ok(None);
            };
            let event = self.agents.desk().event_named(&name);
            let event = event.filter(|event| self.agents.has_shown(*event));
            event.map(Some).ok_or_else(|| {
                Trouble::Impossible(format!(
                    "`{name}` went out without credentials: the server did not ask for any"
                ))
            })
        };
        Ok(Showing::Shaped(Box::new(Shape {
            of: shape.of.clone(),
            password: text(&shape.password)?,
            nonce: text(&shape.nonce)?,
            uri: text(&shape.uri)?,
            algorithm: text(&shape.algorithm)?,
            basic: shape.basic,
            replay: event(&shape.replay)?,
            nonce_of: event(&shape.nonce_of)?,
        })))
    }

    /// As [`Self::takes_credentials`], where a step shows the right ones.
    pub(super) fn is_not_about_credentials(
        &self,
        choice: &CredentialsChoice,
        role: &str,
        event: u32,
    ) -> Result<(), Trouble> {
        match choice {
            CredentialsChoice::Own => self.takes_credentials(role, event),
            CredentialsChoice::None | CredentialsChoice::Shaped(_) => Ok(()),
        }
    }

    /// Where a user is refused because he cannot show who he is, nothing is learnt about the server but what
    /// the profile lacks.
    fn takes_credentials(&self, role: &str, event: u32) -> Result<(), Trouble> {
        let Some(response) = self.agents.response(event) else {
            return Ok(());
        };
        let asks = |name: &str| response.header(name).is_some();
        let status = response.status().unwrap_or_default();
        if !matches!(status, 401 | 407) || !(asks("WWW-Authenticate") || asks("Proxy-Authenticate"))
        {
            return Ok(());
        }
        let user = self.user(role)?;
        Err(Trouble::Impossible(match &self.profile.pixit.logins {
            None => format!(
                "the server asks `{role}` for credentials ({status}), and the profile has none: give \
                 `pixit.accounts.password`, such as `\"secret-of-${{user}}\"`"
            ),
            Some(logins) => format!(
                "the server does not take the credentials of `{role}` ({status}): user name `{}` with the \
                 password that `pixit.accounts.password` of the profile gives",
                logins.of(user).0
            ),
        }))
    }

    pub(super) fn number(&self, template: &Template, path: &str) -> Result<u32, Trouble> {
        let text = self.text(template, path)?;
        text.parse()
            .map_err(|_| Trouble::Impossible(format!("`{text}` is no number")))
    }

    /// The header fields that the harness writes into a request that begins something.
    pub(super) fn opening(
        &self,
        endpoint: &Endpoint,
        from: &CaseUser,
        to: &str,
        method: &str,
    ) -> Vec<(&'static str, String)> {
        let mut own = own_headers(endpoint, from, to, &agent::call_id(), 1, method);
        let place = self.agents.opening(endpoint, from, self.asserts());
        own.splice(BEHIND_MAX_FORWARDS..BEHIND_MAX_FORWARDS, place);
        own
    }

    /// Whether an identity that the agents assert is wanted: where the server believes nobody it says nothing.
    fn asserts(&self) -> bool {
        let memory = self.memory();
        let key = "identity.trust";
        let value = memory
            .policy
            .get(key)
            .or_else(|| self.profile.pics.get(key));
        value.and_then(serde_json::Value::as_str) != Some("none")
    }

    /// The octets of an earlier request with a new branch in the top Via.
    fn same_but_branch(&self, name: &str) -> Result<Bytes, Trouble> {
        let octets = self.agents.view(|view| {
            let (event, _) = view.message(name)?;
            packet_of(event).map(|packet| packet.octets.0.clone())
        });
        let octets = octets
            .ok_or_else(|| Trouble::Impossible(format!("`{name}` is no message that was sent")))?;
        agent::with_branch(&agent::without_own(&octets), &agent::branch())
            .ok_or_else(|| Trouble::Impossible(format!("`{name}` has no Via with a branch")))
    }

    pub(super) fn given(
        &self,
        headers: &[(Template, HeaderValue)],
        path: &str,
    ) -> Result<Vec<Given>, Trouble> {
        let given = headers.iter().map(|(name, value)| {
            let values = match value {
                HeaderValue::Omitted => Vec::new(),
                HeaderValue::Values(values) => values
                    .iter()
                    .map(|value| self.octets(value, path))
                    .collect::<Result<_, _>>()?,
            };
            Ok(Given {
                name: self.text(name, path)?,
                values,
            })
        });
        given.collect()
    }

    pub(super) fn content(&self, content: &Content, path: &str) -> Result<Bytes, Trouble> {
        match content {
            Content::Text(template) => self.octets(template, path).map(Bytes::from),
            Content::Octets(octets) => Ok(Bytes::copy_from_slice(octets)),
            Content::Generated(_) => Err(Trouble::Impossible(
                "a generated body goes through a message session only".into(),
            )),
        }
    }
}

/// The header fields that the harness writes, in order.
pub(super) fn own_headers(
    endpoint: &Endpoint,
    from: &CaseUser,
    to: &str,
    call_id: &str,
    number: u32,
    method: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("Via", endpoint.via()),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<{}>;tag={}", from.uri(), agent::tag())),
        ("To", format!("<{to}>")),
        ("Call-ID", call_id.to_owned()),
        ("CSeq", format!("{number} {method}")),
    ]
}

/// Whether the case can go on with a status.
pub(super) fn fits(expect: Option<&Expect>, status: u16) -> bool {
    let usual = [StatusPattern::Class(2)];
    let patterns = expect
        .map(|expect| expect.status.as_slice())
        .filter(|patterns| !patterns.is_empty());
    patterns
        .unwrap_or(&usual)
        .iter()
        .any(|pattern| match pattern {
            StatusPattern::Code(code) => *code == status,
            StatusPattern::Class(class) => *class == status / 100,
            StatusPattern::Silence => false,
        })
}

pub(super) fn expected(expect: Option<&Expect>) -> String {
    let words: Vec<String> = expect
        .map(|expect| expect.status.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|pattern| match pattern {
            StatusPattern::Code(code) => code.to_string(),
            StatusPattern::Class(class) => format!("{class}xx"),
            StatusPattern::Silence => "none".to_owned(),
        })
        .collect();
    if words.is_empty() {
        "2xx".into()
    } else {
        words.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn without_expectation_any_2xx_will_do() {
        assert!(fits(None, 200) && fits(None, 202));
        assert!(!fits(None, 404));
        assert_eq!(expected(None), "2xx");
    }
}
