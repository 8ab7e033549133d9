//! The messages that both parsers read: plain ones, which every parser must take.

/// A pager-mode message as user agents send it.
pub(crate) const MESSAGE: &str = "MESSAGE sip:bob@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK-524287-1---a1b2c3d4e5f60718;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.org>;tag=9fxced76sl\r\n\
    To: <sip:bob@example.org>\r\n\
    Call-ID: 3848276298220188511@client.example.org\r\n\
    CSeq: 1 MESSAGE\r\n\
    Subject: Dinner\r\n\
    Date: Mon, 23 Nov 2026 02:10:33 GMT\r\n\
    Expires: 600\r\n\
    User-Agent: imspec\r\n\
    Content-Type: text/plain;charset=UTF-8\r\n\
    Content-Length: 62\r\n\
    \r\n\
    Shall we meet at eight, at the place by the river, as always?\n";

/// The answer to a registration.
pub(crate) const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK-524287-2;rport=5062\r\n\
    From: <sip:alice@example.org>;tag=456248\r\n\
    To: <sip:alice@example.org>;tag=37GkEhwl6\r\n\
    Call-ID: 843817637684230@998sdasdh09\r\n\
    CSeq: 1826 REGISTER\r\n\
    Server: imspec\r\n\
    Content-Length: 0\r\n\
    \r\n";

/// A session offer with a description.
pub(crate) const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0\r\n\
    Via: SIP/2.0/TCP client.example.org:5060;branch=z9hG4bK74bf9\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.org>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@example.org>\r\n\
    Call-ID: 2xTb9vxSit55XU7p8@example.org\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@client.example.org;transport=tcp>\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, MESSAGE\r\n\
    User-Agent: imspec\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 229\r\n\
    \r\n\
    v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 client.example.org\r\n\
    s=-\r\n\
    c=IN IP4 client.example.org\r\n\
    t=0 0\r\n\
    m=message 7394 TCP/MSRP *\r\n\
    a=accept-types:message/cpim text/plain\r\n\
    a=path:msrp://client.example.org:7394/2s93i93idj;tcp\r\n";

/// All of them, with the names that reports show.
pub(crate) const ALL: [(&str, &str); 3] = [("MESSAGE", MESSAGE), ("200", OK), ("INVITE", INVITE)];
