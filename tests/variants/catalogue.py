"""Choices that the specification leaves to a server, each as settings of the reference server.

Each is a call of `variant`: what it does, settings of `policy:`, further settings of the server, PICS values that are
declared besides or in place of those of `policy:`, and requirements on which a finding is right. The numbers L-… are
those of the research catalogue of legal variants.
"""


def variant(about, policy=None, server="", pics=None, reported=()):
    return about, policy or {}, server, {**(policy or {}), **(pics or {})}, set(reported)


VARIANTS = {
    # Message-IDs
    "id-counter": variant("L-02, L-03: one counter for all accounts, with gaps", {"mid.sequence": "increasing"}),
    "id-consecutive": variant("a counter for each account", {"mid.sequence": "consecutive"}),
    "id-sip-uri": variant("L-04: Message-IDs as sip:String@host", {"mid.form": "sip-uri"}),
    "id-sip-uri-param": variant("Message-IDs as sip:Message-ID=String@host", {"mid.form": "sip-uri-param"}),
    "id-angle": variant("L-07: Message-IDs in angle brackets", {"mid.form": "angle"}),
    "id-other-host": variant("the host of Message-IDs is none of the server's names", {"mid.host": "store-7.im.example.net"},
                             pics={"mid.host": r"store-7\\.im\\.example\\.net"}),
    # Lifetimes
    "default-pm": variant("L-11: a default lifetime for pager mode alone", {"expire.default.pm": 3600}),
    "default-lm": variant("a default lifetime for session mode alone", {"expire.default.lm": 86400}),
    "defaults-minute": variant("nothing lives longer than a minute that does not say so",
                               {"expire.default.pm": 60, "expire.default.lm": 60}),
    "defaults-differ": variant("L-12: a default lifetime for each mode", {"expire.default.pm": 600, "expire.default.lm": 7200}),
    "clamp-hour": variant("no message lives longer than an hour", {"expire.clamp": 3600}),
    "clamp-minute": variant("none lives longer than a minute", {"expire.clamp": 60}),
    "not-marked": variant("messages are not marked with an Expire value", {"expire.marking": "off"}),
    "clock-date": variant("L-22: life counts from Date where there is one", {"expire.base": "date"}),
    "clock-stored": variant("life counts from the moment of storing", {"expire.base": "stored"}),
    "zero-never": variant("Expires 0 means no end", {"expire.zero": "never"}),
    "zero-reject": variant("Expires 0 is refused", {"expire.zero": "reject"}),
    "zero-default": variant("Expires 0 means the default", {"expire.zero": "default"}),
    "malformed-ignore": variant("L-26: an unreadable Expires is no Expires", {"expire.malformed": "ignore"}),
    "malformed-reject": variant("an unreadable Expires is refused", {"expire.malformed": "reject"}),
    "malformed-hour": variant("an unreadable Expires means an hour", {"expire.malformed": "3600"}),
    # Expired messages
    "deliver": variant("L-14: expired messages are delivered like any other", {"policy.expired": "deliver"}),
    "deliver-header": variant("L-15: a header field tells that a message had expired",
                              {"policy.expired": "deliver", "policy.indication": "header:X-Expired"}),
    "deliver-notify": variant("L-16: a message of its own tells that one had expired",
                              {"policy.expired": "deliver", "policy.indication": "notify"}),
    "hold": variant("L-17: expired messages stay in the list and are not pushed", {"policy.expired": "other:hold"}),
    "sweep-30": variant("expired messages are swept up every 30 seconds", {"policy.granularity_s": 30}),
    # What the sender sees
    "accept-200": variant("L-27: 200 in the place of 202, which only should be", {"accept.status": 200},
                          reported=["DM-DRV-02"]),
    "unreachable": variant("who cannot be reached is offline, whatever his device says", {"offline.trigger": "unreachable"}),
    "quota": variant("L-44: an account holds 200 messages", server="limits: { messages_per_account: 200 }"),
    "small-messages": variant("no MESSAGE above 70,000 octets", server="limits: { message_octets: 70000 }"),
    "small-sessions": variant("no message of a session above 200,000 octets", server="session: { max_octets: 200000 }"),
    "plain-only": variant("sessions take text and CPIM alone",
                          server="session: { accept_types: [text/plain, message/cpim] }"),
    # Authentication
    "auth-register": variant("who registers shows by digest who he is", {"auth.register": "digest"}),
    "auth-all": variant("who registers and who sends shows by digest who he is",
                        {"auth.register": "digest", "auth.sender": "digest"}),
    "auth-sha256-only": variant("L-47: by digest with SHA-256 alone",
                                {"auth.register": "digest", "auth.sender": "digest", "auth.algorithms": ["SHA-256"]}),
    # What is kept
    "hop-dropped": variant("L-29: what concerns one hop is not stored", {"store.hop_headers": "drop"}),
    "classes-im": variant("only text and the like is deferred", {"store.classes": ["im"]}),
    "classes-im-file": variant("neither notifications nor typing is deferred", {"store.classes": ["im", "file"]}),
    "pager-only": variant("message sessions are not deferred", {"store.modes": ["pager"]}),
    "session-only": variant("pager mode is not deferred", {"store.modes": ["session"]}),
    "untrusting": variant("P-Asserted-Identity of senders is not believed", {"identity.trust": "none"}),
    # Delivery
    "expires-remaining": variant("L-36: the rest of the life goes out", {"delivery.expires": "remaining"}),
    "expires-dropped": variant("no Expires goes out", {"delivery.expires": "dropped"}),
    "by-session": variant("L-31: everything is delivered by a session", {"delivery.form": "session"}),
    "by-tls-session": variant("the same under TLS", {"delivery.form": "session"}, "delivery: { msrps: true }"),
    "by-message": variant("L-31: what came by a session goes out by MESSAGE where UDP could carry it",
                          server="delivery: { message_octets: 60000 }"),
    "session-by-session": variant("what came by a session goes out by one, however small",
                                  server="delivery: { message_octets: 0 }"),
    "no-retries": variant("who did not take a message gets it at his next REGISTER", server="delivery: { retry_s: 0 }"),
    # Registration
    "short-registrations": variant("no registration above an hour", server="registrar: { max_expires_s: 3600 }"),
    "min-registration": variant("none below 30 seconds", server="registrar: { min_expires_s: 30 }"),
    # Sessions
    "lm-expires-ignored": variant("Expires of a SEND means nothing: right by RFC 4975 §12, wrong by the draft",
                                  {"lm.expires.honoured": "no"}, reported=["DM-EXP-20", "DM-DEF-01"]),
    "lm-chunk-last": variant("the last chunk says how long", {"lm.expires.chunk": "last"}),
    "lm-chunk-any": variant("any chunk says how long", {"lm.expires.chunk": "any"}),
    "lm-chunk-min": variant("the chunk that says least counts", {"lm.expires.chunk": "min"}),
    "lm-first-chunk": variant("life counts from the first chunk", {"lm.base": "first-chunk"}),
    "lm-bye": variant("life counts from the BYE", {"lm.base": "bye"}),
    "lm-one-record": variant("L-40: the messages of a session are one record", {"lm.multi": "one-per-session"}),
    "lm-no-bye-drop": variant("without a BYE nothing is stored", {"lm.no_bye": "drop"}),
    "lm-report-store": variant("L-41: success is reported when a message is stored", {"lm.success_report": "on-store"}),
    "lm-report-delivery": variant("L-41: success is reported when a message was delivered",
                                  {"lm.success_report": "on-delivery"}),
    "lm-all-headers": variant("every header field of a session's requests is kept",
                              {"lm.invite_headers": ["all"], "lm.ok_headers": ["all"], "lm.bye_headers": ["all"]}),
    "lm-few-headers": variant("of a session's requests only what must be is kept",
                              {"lm.invite_headers": ["From", "To"], "lm.ok_headers": ["To"], "lm.bye_headers": ["From"]},
                              pics={"lm.invite_headers": ["From", "To", "P-Asserted-Identity", "Subject", "Date"]}),
    "no-resumption": variant("a new session never goes on with a message of a broken one", server="session: { resume_s: 0 }"),
    "patient": variant("octets and BYEs may be two seconds late", server="session: { linger_ms: 2000 }"),
    "refresh-late": variant("no session interval below ten minutes", server="session: { min_se_s: 600 }"),
}

# Choices that go together, so that all of them are tried in a few runs. What would hide another choice stands in
# another bundle: who defers no session says nothing about sessions.
BUNDLES = [
    ["id-counter", "default-pm", "clock-date", "deliver-header", "hop-dropped", "by-session", "lm-chunk-last", "lm-bye",
     "short-registrations"],
    ["id-sip-uri", "defaults-differ", "zero-never", "deliver-notify", "expires-remaining", "by-message", "lm-one-record",
     "lm-first-chunk", "no-retries", "small-messages"],
    ["id-angle", "clamp-minute", "clock-stored", "hold", "unreachable", "lm-no-bye-drop", "lm-report-store", "lm-all-headers",
     "session-by-session", "classes-im-file"],
    ["id-consecutive", "default-lm", "malformed-ignore", "deliver", "expires-dropped", "by-tls-session", "lm-chunk-any",
     "lm-report-delivery", "no-resumption", "untrusting"],
    ["id-sip-uri-param", "clamp-hour", "zero-reject", "malformed-reject", "sweep-30", "lm-chunk-min", "lm-few-headers",
     "min-registration", "plain-only", "quota"],
    ["id-other-host", "defaults-minute", "zero-default", "malformed-hour", "lm-expires-ignored", "accept-200", "small-sessions",
     "patient", "refresh-late", "classes-im"],
    ["pager-only", "not-marked"],
    ["session-only"],
    ["auth-register"],
    ["auth-all", "id-counter", "deliver-header", "lm-one-record"],
    ["auth-sha256-only", "by-session", "untrusting"],
]
