//! Comparing URIs is an equivalence relation, and depends on what the RFC names.

use imspec_wire::msrp::Uri;
use proptest::prelude::*;

/// URIs out of few parts, so that many are equivalent.
fn uri() -> impl Strategy<Value = Uri> {
    (
        prop::sample::select(vec!["msrp", "MSRP", "msrps", "mSRPs"]),
        prop::sample::select(vec!["", "a@", "b%41@"]),
        prop::sample::select(vec![
            "h.example",
            "H.Example",
            "%48.example",
            "127.0.0.1",
            "%3127.0.0.1",
            "[::1]",
            "[0:0::1]",
        ]),
        prop::sample::select(vec!["", ":1", ":01", ":2"]),
        prop::sample::select(vec!["", "/s", "/S", "/%73"]),
        prop::sample::select(vec!["", ";tcp", ";TCP", ";ws"]),
        prop::sample::select(vec!["", ";x=1", ";X"]),
    )
        .prop_map(|(scheme, user, host, port, session, transport, params)| {
            // Without a transport the first parameter would be one.
            let params = if transport.is_empty() { "" } else { params };
            format!("{scheme}://{user}{host}{port}{session}{transport}{params}")
                .parse()
                .unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn comparison_is_an_equivalence_relation(a in uri(), b in uri(), c in uri()) {
        prop_assert!(a.equivalent(&a));
        prop_assert_eq!(a.equivalent(&b), b.equivalent(&a));
        if a.equivalent(&b) && b.equivalent(&c) {
            prop_assert!(a.equivalent(&c));
        }
        if a == b {
            prop_assert!(a.equivalent(&b));
        }
    }

    #[test]
    fn account_and_parameters_do_not_count(a in uri(), b in uri()) {
        let bare = |uri: &Uri| {
            let text = uri.to_string();
            let text = match text.split_once('@') {
                Some((front, rest)) => {
                    let (scheme, _) = front.split_once("://").unwrap();
                    format!("{scheme}://{rest}")
                }
                None => text,
            };
            let params: usize = uri.params().map(|(n, v)| 1 + n.len() + v.map_or(0, |v| v.len() + 1)).sum();
            text[..text.len() - params].parse::<Uri>().unwrap()
        };
        prop_assert!(bare(&a).equivalent(&a));
        prop_assert_eq!(bare(&a).equivalent(&bare(&b)), a.equivalent(&b));
    }
}
