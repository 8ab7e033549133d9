//! Every template of a step, wherever it stands; those of steps within it are visited when they run.

use crate::scenario::Template;
use crate::scenario::model::{
    Answer, ContactChoice, Content, Expect, HeaderMatcher, HeaderValue, Matcher, MatcherKind, Verb,
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
            if let Some(body) = &step.body {
                options([&body.media_type], see);
                content(&body.content, see);
            }
            expectation(step.expect.as_ref(), see);
        }
        Verb::Receive(step) => {
            options([&step.of, &step.within, &step.save], see);
            if let Answer::Status { headers, .. } = &step.answer {
                fields(headers, see);
            }
            matchers(step.request_uri.iter().chain(&step.body), see);
            header_matchers(&step.headers, see);
        }
        Verb::Silence(step) => options([&step.of, &step.length], see),
        Verb::Stored(step) => {
            options([&step.within, &step.save], see);
            matchers(&step.count, see);
            for record in &step.messages {
                options([&record.of, &record.save], see);
                matchers(
                    record
                        .fields
                        .iter()
                        .map(|(_, matcher)| matcher)
                        .chain(&record.body),
                    see,
                );
                header_matchers(&record.headers, see);
            }
        }
        Verb::Wait(step) => {
            see(&step.length);
            options([&step.after], see);
        }
        Verb::Restart(step) => options([&step.down], see),
        Verb::Policy(values) => values.iter().for_each(|(_, value)| see(value)),
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
        Verb::Invite(_)
        | Verb::Msrp(_)
        | Verb::Bye(_)
        | Verb::Cancel(_)
        | Verb::Reading(_)
        | Verb::Parallel(_)
        | Verb::Repeat(_) => {}
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
