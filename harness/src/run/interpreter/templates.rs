//! Every template of a step, wherever it stands; those of steps within it are visited when they run.

use crate::scenario::Template;
use crate::scenario::model::{
    Answer, Body, Chunk, Chunks, ContactChoice, Content, CredentialsChoice, Expect, HeaderMatcher,
    HeaderValue, Invite, InviteBody, Matcher, MatcherKind, MsrpConnection, MsrpExpect, MsrpStep,
    Override, PolicyValue, Receive, ReportExpect, SessionSdp, Stored, Verb,
};

/// Shows each template of a step to `see`.
pub(super) fn visit<'s>(verb: &'s Verb, see: &mut dyn FnMut(&'s Template)) {
    match verb {
        Verb::Register(step) => {
            see(&step.expires);
            options([&step.transport, &step.save], see);
            if let ContactChoice::Literal(contact) = &step.contact {
                see(contact);
            }
            fields(&step.headers, see);
            credentials(&step.credentials, see);
            expectation(step.expect.as_ref(), see);
        }
        Verb::Message(step) => {
            see(&step.copies);
            options(
                [
                    &step.transport,
                    &step.request_uri,
                    &step.same_but_branch,
                    &step.within,
                    &step.save,
                ],
                see,
            );
            fields(&step.headers, see);
            body(step.body.as_ref(), see);
            credentials(&step.credentials, see);
            expectation(step.expect.as_ref(), see);
        }
        Verb::Invite(step) => invite(step, see),
        Verb::Msrp(step) => msrp(step, see),
        Verb::Bye(step) => {
            see(&step.session);
            options([&step.within, &step.save], see);
            fields(&step.headers, see);
            expectation(step.expect.as_ref(), see);
        }
        Verb::Cancel(step) => {
            see(&step.session);
            options([&step.within], see);
            fields(&step.headers, see);
            expectation(step.expect.as_ref(), see);
        }
        Verb::Receive(step) => receive(step, see),
        Verb::Silence(step) => options([&step.of, &step.length], see),
        Verb::Stored(step) => stored(step, see),
        Verb::Wait(step) => {
            see(&step.length);
            options([&step.after], see);
        }
        Verb::Restart(step) => options([&step.down], see),
        Verb::Policy(values) => {
            for (_, value) in values {
                match value {
                    PolicyValue::One(value) => see(value),
                    PolicyValue::List(values) => values.iter().for_each(&mut *see),
                }
            }
        }
        Verb::Raw(step) => {
            options([&step.transport, &step.within, &step.save], see);
            content(&step.content, see);
            expectation(step.expect.as_ref(), see);
        }
        Verb::Check(step) => {
            step.values.iter().for_each(&mut *see);
            matcher(&step.is, see);
        }
        Verb::When(step) => {
            see(&step.that);
            matcher(&step.is, see);
        }
        Verb::Reading(_) | Verb::Parallel(_) | Verb::Repeat(_) => {}
    }
}

fn credentials<'s>(choice: &'s CredentialsChoice, see: &mut dyn FnMut(&'s Template)) {
    if let CredentialsChoice::Shaped(shape) = choice {
        options(
            [
                &shape.password,
                &shape.nonce,
                &shape.uri,
                &shape.algorithm,
                &shape.replay,
                &shape.nonce_of,
            ],
            see,
        );
    }
}

fn invite<'s>(step: &'s Invite, see: &mut dyn FnMut(&'s Template)) {
    see(&step.copies);
    options(
        [
            &step.transport,
            &step.request_uri,
            &step.again,
            &step.within,
            &step.save,
        ],
        see,
    );
    fields(&step.headers, see);
    credentials(&step.credentials, see);
    match &step.body {
        InviteBody::Offer(offer) => session_sdp(offer, see),
        InviteBody::None => {}
        InviteBody::Literal(literal) => body(Some(literal), see),
    }
    expectation(step.expect.as_ref(), see);
    matchers(step.expect_sdp.iter().map(|(_, matcher)| matcher), see);
}

fn msrp<'s>(step: &'s MsrpStep, see: &mut dyn FnMut(&'s Template)) {
    see(&step.session);
    see(&step.method);
    options(
        [
            &step.message_id,
            &step.continues,
            &step.writes,
            &step.within,
            &step.save,
        ],
        see,
    );
    body(step.body.as_ref(), see);
    fields(&step.headers, see);
    match &step.chunks {
        Chunks::Whole => {}
        Chunks::Size(size) => see(size),
        Chunks::List(chunks) => chunks.iter().for_each(|one| chunk(one, see)),
    }
    if let Some(raw) = &step.raw {
        content(raw, see);
    }
    if let MsrpConnection::Of(session) = &step.connection {
        see(session);
    }
    if let Some(cut) = &step.cut {
        options([&cut.after], see);
    }
    if let Some(expect) = &step.expect {
        msrp_expectation(expect, see);
    }
}

fn chunk<'s>(chunk: &'s Chunk, see: &mut dyn FnMut(&'s Template)) {
    if let Some(Some((first, last))) = &chunk.octets {
        see(first);
        see(last);
    }
    for written in [&chunk.range, &chunk.end] {
        if let Override::Given(text) = written {
            see(text);
        }
    }
    options([&chunk.flag, &chunk.pause], see);
    fields(&chunk.headers, see);
    if let Some(own) = &chunk.body {
        content(own, see);
    }
}

fn msrp_expectation<'s>(expect: &'s MsrpExpect, see: &mut dyn FnMut(&'s Template)) {
    header_matchers(&expect.headers, see);
    if let Some(ReportExpect::Like { range, headers, .. }) = &expect.report {
        matchers(range, see);
        header_matchers(headers, see);
    }
}

fn session_sdp<'s>(sdp: &'s SessionSdp, see: &mut dyn FnMut(&'s Template)) {
    options(
        [
            &sdp.accept_types,
            &sdp.accept_wrapped_types,
            &sdp.max_size,
            &sdp.setup,
            &sdp.direction,
            &sdp.connection,
            &sdp.subject,
            &sdp.path,
            &sdp.address,
            &sdp.port,
        ],
        see,
    );
    sdp.attributes.iter().for_each(see);
}

fn receive<'s>(step: &'s Receive, see: &mut dyn FnMut(&'s Template)) {
    options([&step.of, &step.within, &step.save], see);
    if let Answer::Status { headers, .. } = &step.answer {
        fields(headers, see);
    }
    session_sdp(&step.answer_sdp, see);
    let conduct = &step.answer_msrp;
    options(
        [&conduct.pause, &conduct.reset_after, &conduct.bye_after],
        see,
    );
    matchers(step.request_uri.iter().chain(&step.body), see);
    matchers(step.sdp.iter().map(|(_, matcher)| matcher), see);
    header_matchers(&step.headers, see);
    header_matchers(&step.send, see);
}

fn stored<'s>(step: &'s Stored, see: &mut dyn FnMut(&'s Template)) {
    options([&step.within, &step.save], see);
    matchers(&step.count, see);
    for record in &step.messages {
        options([&record.of, &record.save], see);
        let fields = record.fields.iter().map(|(_, matcher)| matcher);
        matchers(fields.chain(&record.body), see);
        header_matchers(&record.headers, see);
        for part in &record.parts {
            header_matchers(&part.headers, see);
        }
    }
}

fn body<'s>(body: Option<&'s Body>, see: &mut dyn FnMut(&'s Template)) {
    if let Some(body) = body {
        options([&body.media_type], see);
        content(&body.content, see);
    }
}

fn options<'s, const N: usize>(
    templates: [&'s Option<Template>; N],
    see: &mut dyn FnMut(&'s Template),
) {
    templates.into_iter().flatten().for_each(see);
}

fn fields<'s>(headers: &'s [(Template, HeaderValue)], see: &mut dyn FnMut(&'s Template)) {
    for (name, value) in headers {
        see(name);
        if let HeaderValue::Values(values) = value {
            values.iter().for_each(&mut *see);
        }
    }
}

fn content<'s>(content: &'s Content, see: &mut dyn FnMut(&'s Template)) {
    if let Content::Text(text) = content {
        see(text);
    }
}

fn expectation<'s>(expect: Option<&'s Expect>, see: &mut dyn FnMut(&'s Template)) {
    if let Some(expect) = expect {
        header_matchers(&expect.headers, see);
        matchers(&expect.body, see);
    }
}

fn header_matchers<'s>(headers: &'s [HeaderMatcher], see: &mut dyn FnMut(&'s Template)) {
    for header in headers {
        match header {
            HeaderMatcher::Named {
                name,
                matcher: wanted,
                ..
            } => {
                see(name);
                matcher(wanted, see);
            }
            HeaderMatcher::SameAs { of, .. } => see(of),
        }
    }
}

fn matchers<'s>(all: impl IntoIterator<Item = &'s Matcher>, see: &mut dyn FnMut(&'s Template)) {
    for one in all {
        matcher(one, see);
    }
}

fn matcher<'s>(wanted: &'s Matcher, see: &mut dyn FnMut(&'s Template)) {
    match &wanted.kind {
        MatcherKind::Equal(template)
        | MatcherKind::Matches(template)
        | MatcherKind::Contains(template)
        | MatcherKind::SameAs(template)
        | MatcherKind::IdenticalTo(template)
        | MatcherKind::AtLeast(template)
        | MatcherKind::AtMost(template)
        | MatcherKind::Within { of: template, .. } => see(template),
        MatcherKind::List(all) | MatcherKind::OneOf(all) | MatcherKind::AllOf(all) => {
            matchers(all, see);
        }
        MatcherKind::Not(inner) | MatcherKind::Count(inner) => matcher(inner, see),
        MatcherKind::Present | MatcherKind::Absent | MatcherKind::Unique | MatcherKind::Is(_) => {}
    }
}
