//! Session descriptions: nothing panics, nothing is lost, what is built is read.

use imspec_wire::sdp::{
    Address, Builder, Description, Direction, Limits, LineEnd, MediaBuilder, Protocol, Role, Setup,
    setup,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const OFFER: &str = "v=0\r\no=ann 1 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n\
    r=7d 1h 0 25h\r\nz=2882844526 -1h\r\na=recvonly\r\nm=audio 4000/2 RTP/AVP 0\r\ni=x\r\n\
    b=AS:64\r\nm=message 2855 TCP/TLS/MSRP *\r\nc=IN IP4 im.example.org\r\n\
    a=accept-types:message/cpim text/* text/plain;a=\"b c\"\r\na=accept-wrapped-types:*\r\n\
    a=max-size:65536\r\na=setup:actpass\r\na=msrp-cema\r\na=file-selector:name:\"a b\"\r\n\
    a=path:msrps://relay.example.org:2855/r;tcp msrps://[::1]:2855/s;tcp\r\n";

/// Asks everything of what was accepted.
fn ask(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(it) = Description::parse(octets.to_vec()) else {
        return Ok(());
    };
    prop_assert_eq!(it.as_bytes(), octets);
    let mut joined = Vec::new();
    for line in it.lines() {
        prop_assert_eq!(line.offset(), joined.len());
        joined.extend_from_slice(line.text());
        joined.extend_from_slice(match line.line_end() {
            LineEnd::CrLf => b"\r\n",
            LineEnd::Lf => b"\n",
            LineEnd::Missing => b"",
        });
    }
    prop_assert_eq!(joined, octets);
    let lines_of = |kind| it.lines().filter(|line| line.kind() == Some(kind)).count();
    prop_assert_eq!(it.media().len(), lines_of(b'm'));
    let in_media: usize = it.media().map(|media| media.attributes().count()).sum();
    prop_assert_eq!(it.attributes().count() + in_media, lines_of(b'a'));
    for attribute in it
        .attributes()
        .chain(it.media().flat_map(|it| it.attributes()))
    {
        let line = &octets[attribute.range()];
        prop_assert!(line.starts_with(b"a=") && line[2..].starts_with(attribute.name.as_bytes()));
        let value = attribute.value.unwrap_or_default();
        prop_assert_eq!(&octets[attribute.value_range()], value.as_bytes());
    }
    for message in it.messages() {
        match message {
            Ok(message) => {
                let _ = message.line_matches_path();
                let _ = message.line_matches_path_with(|_| Vec::new());
                let _ = message.accepts_wrapped("message/cpim", "text/plain");
            }
            Err(error) => prop_assert!(error.offset <= octets.len()),
        }
    }
    let _ = (
        it.origin(),
        it.session_name(),
        it.connection(),
        it.message(),
    );
    let _ = it.revision_of(&it);
    for defect in it.defects() {
        prop_assert!(defect.range.start <= defect.range.end && defect.range.end <= octets.len());
    }
    Ok(())
}

fn line() -> impl Strategy<Value = String> {
    let kinds = select("voscitrzkbamiuepq".chars().collect::<Vec<_>>());
    let values = select(vec![
        "0",
        "- 1 1 IN IP4 h",
        "IN IP6 ::1",
        "0 0",
        "message 5 TCP/MSRP *",
        "message 0 TCP/TLS/MSRP *",
        "audio 1 RTP/AVP 0",
        "path:msrp://h:5/s;tcp",
        "path:msrp://h/s",
        "accept-types:*",
        "setup:holdconn",
        "sendonly",
        "max-size:",
        "",
    ]);
    let ends = select(vec!["\r\n", "\n", "\r\n\r\n", ""]);
    (kinds, values, ends).prop_map(|(kind, value, end)| format!("{kind}={value}{end}"))
}

/// One octet changed, taken out or put in, a few times.
fn damage(octets: &[u8], changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for (at, how, octet) in changes {
        let at = at % octets.len().max(1);
        match how % 3 {
            0 if at < octets.len() => octets[at] = *octet,
            1 if at < octets.len() => drop(octets.remove(at)),
            _ => octets.insert(at, *octet),
        }
    }
    octets
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    let octet = prop_oneof![any::<u8>(), select(b"\r\n =:/;*\"0aIP[]".to_vec())];
    vec((any::<usize>(), any::<u8>(), octet), 0..6)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(Address::from),
        any::<std::net::Ipv6Addr>().prop_map(Address::from),
        ("[a-z]{1,9}(\\.[a-z]{2,5}){0,2}", any::<bool>())
            .prop_map(|(name, ipv6)| Address::name(name, ipv6)),
    ]
}

proptest! {
    #[test]
    fn any_octets(octets in vec(any::<u8>(), 0..400)) {
        ask(&octets)?;
    }

    #[test]
    fn any_lines(lines in vec(line(), 0..20)) {
        ask(format!("v=0\r\n{}", lines.concat()).as_bytes())?;
    }

    #[test]
    fn damaged_offers(changes in changes()) {
        ask(&damage(OFFER.as_bytes(), &changes))?;
    }

    #[test]
    fn limits_are_kept(lines in vec(line(), 0..40), total in 0_usize..300, count in 0_usize..20) {
        let text = format!("v=0\r\n{}", lines.concat());
        let limits = Limits { total, lines: count, line: 24, media: 2 };
        if let Ok(it) = Description::parse_with(text.clone(), &limits) {
            prop_assert!(text.len() <= total && it.lines().count() <= count);
            prop_assert!(it.media().len() <= 2);
            prop_assert!(it.lines().all(|line| line.text().len() <= 24));
        }
    }

    #[test]
    fn what_is_built_is_read(
        (session, version) in (0..=i64::MAX as u64, 0..=i64::MAX as u64),
        place in address(),
        port in 1_u16..,
        tls in any::<bool>(),
        hops in vec("msrps?://[a-z]{1,9}:[1-9][0-9]{0,3}/[A-Za-z0-9]{1,20};tcp", 1..4),
        types in vec("[a-z]{1,9}/[a-z]{1,9}", 1..5),
        wrapped in vec("[a-z]{1,9}/\\*|\\*", 0..3),
        max_size in any::<Option<u64>>(),
        setup in select(vec![None, Some(Setup::Active), Some(Setup::Passive), Some(Setup::ActPass)]),
        direction in select(vec![
            Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive,
        ]),
        cema in any::<bool>(),
    ) {
        let protocol = if tls { Protocol::Tls } else { Protocol::Tcp };
        let mut media = MediaBuilder::message(port, protocol)
            .accept_types(&types)
            .path(&hops)
            .direction(direction);
        if !wrapped.is_empty() {
            media = media.accept_wrapped_types(&wrapped);
        }
        if let Some(octets) = max_size {
            media = media.max_size(octets);
        }
        if let Some(setup) = setup {
            media = media.setup(setup);
        }
        if cema {
            media = media.cema();
        }
        let it = Builder::new(session, version, place.clone()).media(media).build().unwrap();
        let origin = it.origin().unwrap();
        prop_assert_eq!((origin.session_id, origin.version), (session.to_string(), version));
        prop_assert_eq!(&origin.address, &place);
        let message = it.message().unwrap().unwrap();
        prop_assert_eq!((message.port, message.protocol), (port, protocol));
        prop_assert_eq!(message.path.unwrap().to_string(), hops.join(" "));
        for listed in &types {
            prop_assert!(message.accept_types.as_ref().unwrap().fit(listed).is_some());
        }
        let entries = message.accept_wrapped_types.map_or(0, |list| list.entries.len());
        prop_assert_eq!(entries, wrapped.len());
        prop_assert_eq!((message.max_size, message.setup), (max_size, setup));
        prop_assert_eq!((message.direction, message.cema), (direction, cema));
        prop_assert_eq!(message.connection, Some(place));
    }

    #[test]
    fn an_answer_has_a_section_for_each_of_the_offer(
        offered in vec(select(vec![
            "audio 4000 RTP/AVP 0 8", "message 5 TCP/MSRP *", "message 0 TCP/TLS/MSRP *",
        ]), 0..8),
        accepted in any::<[bool; 8]>(),
        wish in select(vec![Role::Active, Role::Passive]),
    ) {
        let builder = offered.iter().fold(Builder::new(1, 1, "h"), |builder, line| {
            builder.media(MediaBuilder::raw(line))
        });
        let offer = builder.build().unwrap();
        let role = setup::answerer_role(Some(Setup::ActPass), wish);
        let answer = Builder::answer(&offer, 2, 1, "h", |media| {
            let wanted = media.message_protocol().filter(|_| accepted[media.index()])?;
            Some(MediaBuilder::message(2855, wanted).setup(role.setup()))
        });
        let answer = answer.build().unwrap();
        prop_assert_eq!(answer.media().len(), offer.media().len());
        for (mine, theirs) in answer.media().zip(offer.media()) {
            prop_assert_eq!(mine.kind(), theirs.kind());
            prop_assert_eq!(mine.protocol(), theirs.protocol());
            prop_assert_eq!(mine.formats(), theirs.formats());
            let taken = theirs.message_protocol().is_some() && accepted[theirs.index()];
            prop_assert_eq!(mine.port() != 0, taken);
        }
    }
}
