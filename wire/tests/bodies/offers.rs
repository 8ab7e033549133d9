//! Offers and answers in the shapes that clients send, and what a server makes of each.

use imspec_wire::sdp::{AddressMatch, Description, Role, cema, setup};

const SESSION: &str = "v=0\r\no=- 3 4 IN IP4 192.0.2.4\r\ns= \r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\n";

/// What each shape is, and its media lines.
const SHAPES: [(&str, &str); 14] = [
    (
        "RFC 4975 alone: no setup, one URI",
        "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\n\
         a=path:msrp://192.0.2.4:7394/s1;tcp\r\n",
    ),
    (
        "behind NAT: active, discard port, CPIM first, everything inside",
        "m=message 9 TCP/TLS/MSRP *\r\na=accept-types:message/cpim text/* image/*\r\n\
         a=accept-wrapped-types:*\r\na=setup:active\r\n\
         a=path:msrps://10.0.0.5:2855/s2;tcp\r\n",
    ),
    (
        "behind a relay, which stands in c= and m=",
        "m=message 2855 TCP/TLS/MSRP *\r\na=accept-types:*\r\na=setup:actpass\r\na=msrp-cema\r\n\
         a=path:msrps://192.0.2.4:2855/r;tcp msrps://10.0.0.5:49152/s3;tcp\r\n",
    ),
    (
        "through a middlebox that put itself into c=, with CEMA",
        "m=message 30000 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:actpass\r\n\
         a=msrp-cema\r\na=path:msrp://10.0.0.5:7394/s4;tcp\r\n",
    ),
    (
        "through a middlebox, without CEMA: to be refused",
        "m=message 30000 TCP/MSRP *\r\na=accept-types:text/plain\r\n\
         a=path:msrp://10.0.0.5:7394/s5;tcp\r\n",
    ),
    (
        "a name in c= of the section, an address in the path",
        "m=message 7394 TCP/MSRP *\r\nc=IN IP4 im.example.org\r\na=accept-types:text/plain\r\n\
         a=path:msrp://192.0.2.4:7394/s6;tcp\r\n",
    ),
    (
        "IPv6 written in two ways",
        "m=message 7394 TCP/MSRP *\r\nc=IN IP6 2001:DB8:0:0::1\r\na=accept-types:text/plain\r\n\
         a=setup:actpass\r\na=path:msrp://[2001:db8::1]:7394/s7;tcp\r\n",
    ),
    (
        "holdconn counts as nothing",
        "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:holdconn\r\n\
         a=path:msrp://192.0.2.4:7394/s8;tcp\r\n",
    ),
    (
        "passive in an offer, which RFC 6135 forbids",
        "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:passive\r\n\
         a=path:msrp://192.0.2.4:7394/s9;tcp\r\n",
    ),
    (
        "no accept-types",
        "m=message 7394 TCP/MSRP *\r\na=path:msrp://192.0.2.4:7394/s10;tcp\r\n",
    ),
    (
        "no path",
        "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\n",
    ),
    ("refused", "m=message 0 TCP/MSRP *\r\n"),
    (
        "two sessions on one port, the first refused, and a call",
        "m=audio 4000 RTP/AVP 0\r\nm=message 0 TCP/MSRP *\r\nm=message 7394 TCP/MSRP *\r\n\
         a=accept-types:text/plain\r\na=path:msrp://192.0.2.4:7394/s11;tcp\r\n\
         m=message 7394 TCP/MSRP *\r\na=accept-types:text/html\r\na=recvonly\r\n\
         a=path:msrp://192.0.2.4:7394/s12;tcp\r\n",
    ),
    (
        "a file",
        "m=message 7394 TCP/MSRP *\r\na=sendonly\r\na=accept-types:message/cpim\r\n\
         a=accept-wrapped-types:*\r\na=file-selector:name:\"a b.jpg\" type:image/jpeg size:4092\r\n\
         a=file-transfer-id:x7\r\na=file-disposition:attachment\r\n\
         a=path:msrp://192.0.2.4:7394/s13;tcp\r\n",
    ),
];

#[test]
fn what_a_server_makes_of_each_shape() {
    let mut shown = Vec::new();
    for (name, media) in SHAPES {
        shown.push(format!("{name}\n"));
        let offer = Description::parse(format!("{SESSION}{media}")).unwrap();
        for message in offer.messages().map(Result::unwrap) {
            let place = message.line_matches_path();
            let offered = cema::Offered {
                cema: message.cema,
                line_matches_path: place == AddressMatch::Same,
                relay: message.has_relay(),
                setup: message.setup,
            };
            shown.push(format!(
                "    m= {}: port {} {}, {}, place {place:?}, we become {:?}, CEMA {:?}\n",
                message.index,
                message.port,
                message.protocol.name(),
                message.direction.name(),
                setup::answerer_role(message.setup, Role::Passive),
                cema::answerer(offered, false),
            ));
            let plain = message.accepts("text/plain");
            let wrapped = message.accepts_wrapped("message/cpim", "text/plain");
            shown.push(format!(
                "        text/plain {plain:?}, in CPIM {wrapped:?}\n"
            ));
        }
        for defect in offer.defects() {
            shown.push(format!("    {defect}\n"));
        }
    }
    insta::assert_snapshot!(shown.concat());
}
