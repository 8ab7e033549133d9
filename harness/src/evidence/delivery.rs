//! Is a request that a user received a delivery of that message?

use imspec_wire::sip::Message;

/// Whether `request` carries the body of `sent`. Text before or after it does not matter: a server that
/// writes into the body is to be caught by a check of the body, not by being overlooked here. Outer white
/// space does not matter either, for the same reason.
pub fn carries(request: &Message, sent: &Message) -> bool {
    let wanted = sent.body().trim_ascii();
    if wanted.is_empty() {
        return request.body().trim_ascii().is_empty();
    }
    contains(request.body(), wanted)
}

/// Whether `request` is a damaged copy of `sent`: at least half of the body stands at its beginning and end.
pub fn resembles(request: &Message, sent: &Message) -> bool {
    2 * likeness(request, sent) >= sent.body().len()
}

/// How alike two requests are, to choose the closest of several that do not fit: the length of the common
/// beginning and end of their bodies.
pub fn likeness(request: &Message, sent: &Message) -> usize {
    alike(request.body(), sent.body())
}

/// Length of the common beginning and end of two bodies.
pub(super) fn alike(a: &[u8], b: &[u8]) -> usize {
    let front = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[front..], &b[front..]);
    front
        + a.iter()
            .rev()
            .zip(b.iter().rev())
            .take_while(|(x, y)| x == y)
            .count()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.len() >= needle.len()
        && haystack
            .windows(needle.len())
            .any(|window| window == needle)
}
