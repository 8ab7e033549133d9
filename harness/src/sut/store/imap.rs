//! A store that is read by IMAP (RFC 3501), as a CPM message store is: a mailbox for each account, a message in it for
//! each deferred one. The mailbox is opened for reading only, and no flag is set.
//!
//! Of the protocol four commands are spoken here; responses are read by `imap-proto` (decision 12). What a message
//! gives has names, as the columns of a query have, and so the same table says which is which field.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use imap_proto::{AttributeValue, MessageSection, Response, ResponseCode, SectionPath, Status};
use imspec_reports::record::{StoredHeader, StoredMessage};
use imspec_wire::cpim;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::sql::{Cell, Columns, Source, lines_of, record};
use super::{Account, Store};
use crate::sut::Pending;
use crate::sut::places::Places;

/// How long a read may take, with the connection that it needs.
const PATIENCE: Duration = Duration::from_secs(15);
/// Connections at once.
const AT_ONCE: usize = 8;
/// Most octets of one read.
const LARGEST: usize = 256 * 1024 * 1024;
/// Fields that are instants.
const INSTANTS: [&str; 3] = ["received-at", "stored-at", "expire-at"];
/// Ends the name of a source of which an instant is read: the same header field may be kept as a header field, too.
const AS_INSTANT: &str = ", as an instant";
/// Deepest nesting of a response that is read; none of ours has more than a few.
const DEEPEST: usize = 32;

/// Where the messages of an account are, and what they hold.
#[derive(Debug, Clone, Default)]
pub struct Mailboxes {
    /// Who opens the mailbox of an account. `${account}`, `${user}` and `${domain}` stand for the account here and below.
    pub login: String,
    /// Its name.
    pub mailbox: String,
    /// Which part of a message is which field.
    pub columns: Columns,
    /// Flag → state of a message that has it; others wait.
    pub states: Vec<(String, String)>,
    /// A header that is not shown is absent rather than unknown.
    pub headers_complete: bool,
}

impl Mailboxes {
    /// Whether a message gives something by this name.
    pub fn gives(name: &str) -> bool {
        let parts = ["header.", "cpim.header.", "cpim.content."];
        let alone = [
            "uid",
            "internal-date",
            "flags",
            "headers",
            "body",
            "cpim.headers",
            "cpim.body",
        ];
        alone.contains(&name)
            || parts
                .iter()
                .any(|part| name.len() > part.len() && name.starts_with(part))
    }

    /// What a message gives, for a reader.
    pub const GIVES: &str = "`uid`, `internal-date`, `flags`, `headers`, `header.NAME`, `body`, `cpim.headers`, `cpim.header.NAME`, \
                             `cpim.content.NAME` or `cpim.body`";
}

/// A store that is read by IMAP.
pub struct Imap {
    server: String,
    password: String,
    boxes: Mailboxes,
    places: Places,
    open: Semaphore,
}

impl std::fmt::Debug for Imap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imap")
            .field("server", &self.server)
            .field("boxes", &self.boxes)
            .finish_non_exhaustive()
    }
}

impl Imap {
    pub(crate) fn new(
        server: &str,
        password: Option<String>,
        mut boxes: Mailboxes,
        places: &Places,
    ) -> Self {
        for field in INSTANTS {
            if let Some(Source::Column(name)) = boxes.columns.fields.get_mut(field) {
                name.push_str(AS_INSTANT);
            }
        }
        Self {
            server: server.to_owned(),
            password: password.unwrap_or_default(),
            boxes,
            places: places.clone(),
            open: Semaphore::new(AT_ONCE),
        }
    }

    async fn records(&self, account: &Account) -> Result<Vec<StoredMessage>, String> {
        let words = [
            ("account", account.uri.as_str()),
            ("user", account.user.as_str()),
            ("domain", account.domain.as_str()),
        ];
        let login = self.places.fill_with(&self.boxes.login, &words)?;
        let mailbox = self.places.fill_with(&self.boxes.mailbox, &words)?;
        let stream = TcpStream::connect(&self.server).await;
        let stream = stream.map_err(|e| {
            self.told(&format!(
                "{e}; check `adapters.store.imap.server`, and that it runs"
            ))
        })?;
        let mut session = Session {
            stream,
            octets: Vec::new(),
            taken: 0,
            number: 0,
        };
        let known = session.greeted().await.map_err(|why| self.told(&why))?;
        if known {
            self.opened_by_name()?;
        } else {
            self.let_in(&mut session, &login).await?;
        }
        let name = quoted(&mailbox_name(&mailbox))
            .ok_or_else(|| self.told("a mailbox that cannot be named"))?;
        let answer = session.ask(&format!("EXAMINE {name}"), |_| Ok(())).await;
        let answer = answer.map_err(|why| self.told(&why))?;
        if answer.missing {
            // It is made with the first message.
            return Ok(Vec::new());
        }
        if answer.status != Status::Ok {
            return Err(self.told(&format!(
                "mailbox {mailbox} cannot be opened: {}; check `adapters.store.imap.mailbox`",
                answer.said
            )));
        }
        let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
        let command = "UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[HEADER] BODY.PEEK[TEXT])";
        let answer = session.ask(command, |response| {
            if let Response::Fetch(number, attributes) = response {
                let mut row = Row::default();
                row.take(attributes);
                // A change of flags that somebody else makes is told by itself.
                if row.headers.is_some() {
                    rows.insert(number, row);
                }
            }
            Ok(())
        });
        let answer = answer.await.map_err(|why| self.told(&why))?;
        if answer.status != Status::Ok {
            return Err(self.told(&format!("FETCH: {}", answer.said)));
        }
        let _ = session.stream.write_all(b"z LOGOUT\r\n").await;
        rows.values().map(|row| self.record(row)).collect()
    }

    async fn let_in(&self, session: &mut Session, login: &str) -> Result<(), String> {
        let user = quoted(login).ok_or_else(|| self.told("a login that IMAP cannot write"))?;
        let password =
            quoted(&self.password).ok_or_else(|| self.told("a password that IMAP cannot write"))?;
        let answer = session
            .ask(&format!("LOGIN {user} {password}"), |_| Ok(()))
            .await;
        let answer = answer.map_err(|why| self.told(&why))?;
        if answer.status == Status::Ok {
            return Ok(());
        }
        Err(self.told(&format!(
            "{login} is not let in: {}; check `adapters.store.imap`: `login` and `password`, and that the server takes a LOGIN \
             without TLS from here",
            answer.said
        )))
    }

    /// Who was known to the server before he said his name (PREAUTH, RFC 3501 §7.1.4) cannot say it any more: then
    /// only the mailbox tells one account from another.
    fn opened_by_name(&self) -> Result<(), String> {
        if self.boxes.mailbox.contains("${") {
            return Ok(());
        }
        Err(self.told(
            "it knows who we are before any LOGIN (PREAUTH), and would show the same mailbox for all accounts; check \
             `adapters.store.imap`: let `mailbox` name the account, or use a port at which a LOGIN is wanted",
        ))
    }

    fn told(&self, why: &str) -> String {
        let why = if self.password.is_empty() {
            why.to_owned()
        } else {
            why.replace(&self.password, "***")
        };
        format!("IMAP {}: {why}", self.server)
    }

    /// One message as a record.
    fn record(&self, row: &Row) -> Result<StoredMessage, String> {
        let columns = &self.boxes.columns;
        let headers = row.headers.clone().unwrap_or_default();
        let body = row.body.clone().unwrap_or_default();
        let lines = lines_of(&headers);
        let inner = cpim::Message::parse(body.clone()).ok();
        let find = |name: &str| {
            let found = lines
                .iter()
                .find(|line| line.name.eq_ignore_ascii_case(name));
            found.map(|line| line.value.0.to_vec())
        };
        let mut cells: BTreeMap<&str, Cell> = BTreeMap::new();
        let sources = columns.fields.values();
        for source in sources.chain(columns.headers.iter().map(|(_, source)| source)) {
            let Source::Column(name) = source else {
                continue;
            };
            let source_of_instant = name.strip_suffix(AS_INSTANT);
            let cell: Cell = match source_of_instant.unwrap_or(name) {
                "uid" => row.uid.map(|uid| uid.to_string().into_bytes()),
                "internal-date" => row
                    .internal_date
                    .as_deref()
                    .map(|date| internal_date(date).into_bytes()),
                "flags" => Some(row.flags.join(" ").into_bytes()),
                "headers" => Some(block(&lines, &columns.headers)),
                "body" => Some(body.clone()),
                "cpim.body" => inner.as_ref().map(|inner| inner.body().to_vec()),
                "cpim.headers" => inner.as_ref().map(|inner| {
                    inner
                        .headers()
                        .flat_map(|header| [header.line(), b"\r\n"].concat())
                        .collect()
                }),
                other => match (
                    other.strip_prefix("cpim.header."),
                    other.strip_prefix("cpim.content."),
                ) {
                    (Some(name), _) => inner.as_ref().and_then(|inner| {
                        inner
                            .header(name)
                            .map(|header| header.value().into_owned().into_bytes())
                    }),
                    (_, Some(name)) => inner.as_ref().and_then(|inner| {
                        inner
                            .content_header(name)
                            .map(|header| header.value().into_owned())
                    }),
                    _ => find(other.strip_prefix("header.").unwrap_or(other)),
                },
            };
            let cell = if source_of_instant.is_some() {
                cell.map(|text| instant(&text))
            } else {
                cell
            };
            cells.insert(name, cell);
        }
        let mut record = record(columns, self.boxes.headers_complete, &cells)?;
        if !self.boxes.states.is_empty() {
            let state = self
                .boxes
                .states
                .iter()
                .find(|(flag, _)| row.flags.iter().any(|set| set.eq_ignore_ascii_case(flag)));
            let name = state.map_or("waiting", |(_, state)| state);
            record.state = super::sql::state_named(name)?;
        }
        Ok(record)
    }
}

impl Store for Imap {
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>> {
        Box::pin(async move {
            // A store that is asked by many cases at once keeps its connections for others, too.
            let _place = self.open.acquire().await.map_err(|e| e.to_string())?;
            tokio::time::timeout(PATIENCE, self.records(account))
                .await
                .map_err(|_| self.told(&format!("no answer within {} s", PATIENCE.as_secs())))?
        })
    }
}

/// What FETCH gives of one message.
#[derive(Debug, Default)]
struct Row {
    uid: Option<u32>,
    flags: Vec<String>,
    internal_date: Option<String>,
    headers: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
}

impl Row {
    fn take(&mut self, attributes: Vec<AttributeValue<'_>>) {
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => self.uid = Some(uid),
                AttributeValue::Flags(flags) => {
                    self.flags = flags.iter().map(ToString::to_string).collect();
                }
                AttributeValue::InternalDate(date) => self.internal_date = Some(date.into_owned()),
                AttributeValue::BodySection {
                    section: Some(SectionPath::Full(section)),
                    data,
                    ..
                } => {
                    let octets = data.map(std::borrow::Cow::into_owned);
                    match section {
                        MessageSection::Header => self.headers = octets,
                        MessageSection::Text => self.body = octets,
                        MessageSection::Mime => {}
                    }
                }
                _ => {}
            }
        }
    }
}

struct Answer {
    status: Status,
    /// What the server said, for a reader.
    said: String,
    /// There is no such mailbox.
    missing: bool,
}

struct Session {
    stream: TcpStream,
    /// What came and is not read yet.
    octets: Vec<u8>,
    taken: usize,
    number: u32,
}

impl Session {
    /// Reads the greeting: whether no LOGIN is wanted.
    async fn greeted(&mut self) -> Result<bool, String> {
        loop {
            let Some((length, status, said)) = self.first(|response| match response {
                Response::Data { status, outcome } => {
                    let said = outcome.information.unwrap_or_default().into_owned();
                    (status, said)
                }
                _ => (Status::Bad, "no greeting of IMAP".to_owned()),
            })?
            else {
                self.more().await?;
                continue;
            };
            self.octets.drain(..length);
            return match status {
                Status::Ok | Status::PreAuth => Ok(status == Status::PreAuth),
                _ => Err(format!("{said}; check `adapters.store.imap.server`")),
            };
        }
    }

    /// Reads the first response, if it is there.
    fn first(
        &self,
        read: impl FnOnce(Response<'_>) -> (Status, String),
    ) -> Result<Option<(usize, Status, String)>, String> {
        if self.octets.is_empty() {
            return Ok(None);
        }
        if nests_too_deep(&self.octets) {
            return Err(unreadable(&self.octets));
        }
        match Response::parse(&self.octets) {
            Ok((rest, response)) => {
                let length = self.octets.len() - rest.len();
                let (status, said) = read(response);
                Ok(Some((length, status, said)))
            }
            Err(why) if why.is_incomplete() => Ok(None),
            Err(_) => Err(unreadable(&self.octets)),
        }
    }

    /// Sends a command and reads up to its answer.
    async fn ask(
        &mut self,
        command: &str,
        mut each: impl FnMut(Response<'_>) -> Result<(), String>,
    ) -> Result<Answer, String> {
        self.number += 1;
        let tag = format!("a{}", self.number);
        let line = format!("{tag} {command}\r\n");
        self.stream
            .write_all(line.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        loop {
            let mut length = 0;
            let mut answer = None;
            while length < self.octets.len() {
                let rest = &self.octets[length..];
                if nests_too_deep(rest) {
                    return Err(unreadable(rest));
                }
                match Response::parse(rest) {
                    Ok((
                        left,
                        Response::Done {
                            tag: of,
                            status,
                            outcome,
                        },
                    )) if of.0 == tag => {
                        let line = &rest[..rest.len() - left.len()];
                        answer = Some(Answer {
                            missing: matches!(outcome.code, Some(ResponseCode::TryCreate))
                                || line.windows(13).any(|part| part == b"[NONEXISTENT]"),
                            status,
                            said: outcome.information.unwrap_or_default().into_owned(),
                        });
                        length += line.len();
                        break;
                    }
                    Ok((left, response)) => {
                        length += rest.len() - left.len();
                        each(response)?;
                    }
                    Err(why) if why.is_incomplete() => break,
                    Err(_) => return Err(unreadable(rest)),
                }
            }
            self.octets.drain(..length);
            match answer {
                Some(answer) => return Ok(answer),
                None => self.more().await?,
            }
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        let mut piece = vec![0; 64 * 1024];
        let length = self
            .stream
            .read(&mut piece)
            .await
            .map_err(|e| e.to_string())?;
        if length == 0 {
            return Err("it closed the connection".to_owned());
        }
        self.taken += length;
        if self.taken > LARGEST {
            return Err(format!("more than {LARGEST} octets for one account"));
        }
        self.octets.extend_from_slice(&piece[..length]);
        Ok(())
    }
}

/// Whether lists stand deeper in each other than the parser, which calls itself for each, can be trusted with.
fn nests_too_deep(octets: &[u8]) -> bool {
    let (mut at, mut depth, mut line, mut is_quoted) = (0, 0_usize, 0, false);
    while let Some(octet) = octets.get(at) {
        match octet {
            b'\\' if is_quoted => at += 1,
            b'"' => is_quoted = !is_quoted,
            b'(' if !is_quoted => depth += 1,
            b')' if !is_quoted => depth = depth.saturating_sub(1),
            b'\n' => {
                match literal(&octets[line..at]) {
                    // What is in it is no syntax, and the line goes on behind it.
                    Some(length) => at = at.saturating_add(length),
                    None => depth = 0,
                }
                is_quoted = false;
                line = at.saturating_add(1);
            }
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
        at = at.saturating_add(1);
    }
    false
}

/// The length of the literal that a line announces at its end (RFC 3501 §4.3).
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\r")?.strip_suffix(b"}")?;
    let digits = &line[line.iter().rposition(|octet| *octet == b'{')? + 1..];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The name of a mailbox as it goes over the wire (RFC 3501 §5.1.3).
fn mailbox_name(name: &str) -> String {
    const MODIFIED: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
        &base64::alphabet::IMAP_MUTF7,
        base64::engine::general_purpose::NO_PAD,
    );
    let is_plain = |c: &char| (' '..='~').contains(c);
    let mut written = String::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let length = |wanted: bool| {
            let end = rest.char_indices().find(|(_, c)| is_plain(c) != wanted);
            end.map_or(rest.len(), |(at, _)| at)
        };
        let end = length(is_plain(&first));
        if is_plain(&first) {
            written.push_str(&rest[..end].replace('&', "&-"));
        } else {
            let units = rest[..end].encode_utf16().flat_map(u16::to_be_bytes);
            written.push('&');
            written.push_str(&MODIFIED.encode(units.collect::<Vec<_>>()));
            written.push('-');
        }
        rest = &rest[end..];
    }
    written
}

fn unreadable(octets: &[u8]) -> String {
    let line = octets
        .split(|octet| *octet == b'\r')
        .next()
        .unwrap_or(octets);
    let line = &line[..line.len().min(80)];
    format!(
        "no response of IMAP: {}; check `adapters.store.imap.server`",
        line.escape_ascii()
    )
}

/// A quoted string of RFC 3501 §9; nothing where it cannot be one.
fn quoted(text: &str) -> Option<String> {
    let writable = text.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
    writable.then(|| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// The header of an object but for fields that are mapped by themselves: what describes an object in
/// `message/cpim` is not what describes the message in it.
fn block(lines: &[StoredHeader], mapped: &[(String, Source)]) -> Vec<u8> {
    let others = lines.iter().filter(|line| {
        !mapped
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(&line.name))
    });
    others
        .flat_map(|line| [line.name.as_bytes(), b": ", &line.value.0, b"\r\n"].concat())
        .collect()
}

/// `23-Nov-2026 10:00:00 +0100` in RFC 3339; as it is, where it is none.
fn internal_date(text: &str) -> String {
    let parsed = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim())
        .and_then(|it| it.to_timestamp());
    parsed.map_or_else(|_| text.to_owned(), |at| at.to_string())
}

/// A date of a header field in RFC 3339; as it is, where it is none.
fn instant(text: &[u8]) -> Vec<u8> {
    let date = std::str::from_utf8(text).ok().map(str::trim);
    let at = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    at.map_or_else(
        || text.trim_ascii().to_vec(),
        |at| at.timestamp().to_string().into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use imspec_reports::record::{Field, State};
    use tokio::io::AsyncBufReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const MESSAGE: &str = "From: <sip:alice@example.org>\r\nX-Expires: 600\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\
        Content-Type: message/cpim\r\n\r\nFrom: <sip:alice@example.org>\r\nTo: <sip:bob@example.org>\r\n\r\n\
        Content-Type: text/plain\r\n\r\nEight o'clock";

    fn column(name: &str) -> Source {
        assert!(Mailboxes::gives(name), "{name}");
        Source::Column(name.into())
    }

    fn boxes() -> Mailboxes {
        let fields = [
            ("message-id", column("uid")),
            ("received-at", column("internal-date")),
            ("stored-at", column("header.Date")),
            ("expire-seconds", column("header.X-Expires")),
            ("headers", column("headers")),
            ("body", column("cpim.body")),
        ];
        Mailboxes {
            login: "${user}".into(),
            mailbox: "im/${user}".into(),
            columns: Columns {
                fields: fields
                    .map(|(name, source)| (name.to_owned(), source))
                    .into(),
                headers: vec![
                    ("Content-Type".into(), column("cpim.content.Content-Type")),
                    // The same field of which an instant is read.
                    ("Date".into(), column("header.Date")),
                ],
            },
            states: vec![("\\Seen".into(), "delivered".into())],
            headers_complete: false,
        }
    }

    #[test]
    fn names_of_mailboxes_are_written_as_imap_wants_them() {
        for (name, written) in [
            ("im/bob", "im/bob"),
            ("a_b&c", "a_b&-c"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("é&é", "&AOk-&-&AOk-"),
        ] {
            assert_eq!(mailbox_name(name), written);
        }
    }

    #[test]
    fn lists_nest_only_so_deep_and_literals_are_no_lists() {
        let deep = "(".repeat(1000);
        assert!(nests_too_deep(
            format!("* 1 FETCH (BODYSTRUCTURE {deep}").as_bytes()
        ));
        let kept = format!("* 1 FETCH (BODY[] {{1000}}\r\n{deep} FLAGS (\\Seen))\r\n");
        assert!(!nests_too_deep(kept.as_bytes()));
        assert!(!nests_too_deep(format!("* OK \"{deep}\"\r\n").as_bytes()));
        assert!(nests_too_deep(format!("* X {{1}}\r\n({deep}").as_bytes()));
        assert!(!nests_too_deep(
            "* 1 FETCH (FLAGS ())\r\n".repeat(100).as_bytes()
        ));
    }

    async fn asked(answers: Vec<String>) -> (Result<Vec<StoredMessage>, String>, Vec<String>) {
        greeted("OK ready", boxes(), answers).await
    }

    /// A server that says these lines, one block a command, and gives what it was asked.
    async fn greeted(
        greeting: &'static str,
        boxes: Mailboxes,
        answers: Vec<String>,
    ) -> (Result<Vec<StoredMessage>, String>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = tokio::io::BufReader::new(reader).lines();
            let mut heard = Vec::new();
            let greeting = format!("* {greeting}\r\n");
            writer.write_all(greeting.as_bytes()).await.unwrap();
            for answer in answers {
                let Ok(Some(line)) = lines.next_line().await else {
                    break;
                };
                heard.push(line);
                // In pieces, as a network has it.
                for piece in answer.as_bytes().chunks(7) {
                    writer.write_all(piece).await.unwrap();
                    writer.flush().await.unwrap();
                }
            }
            heard
        });
        let store = Imap::new(
            &at.to_string(),
            Some("s3\"cret".into()),
            boxes,
            &Places::default(),
        );
        let account = Account {
            uri: "sip:bob@example.org".into(),
            user: "bob".into(),
            domain: "example.org".into(),
        };
        let read = store.read(&account).await;
        let read = read.map_err(|why| why.replace(&at.to_string(), "AT"));
        drop(store);
        (read, server.await.unwrap())
    }

    fn fetched(number: u32, flags: &str) -> String {
        let (head, body) = MESSAGE.split_once("\r\n\r\n").unwrap();
        format!(
            "* {number} FETCH (UID {} FLAGS ({flags}) INTERNALDATE \"23-Nov-2026 10:00:01 +0100\" BODY[HEADER] {{{}}}\r\n{head}\r\n\r\n \
             BODY[TEXT] {{{}}}\r\n{body})\r\n",
            number + 40,
            head.len() + 4,
            body.len()
        )
    }

    #[tokio::test]
    async fn messages_of_a_mailbox_become_records() {
        let (read, heard) = asked(vec![
            "* CAPABILITY IMAP4rev1\r\na1 OK logged in\r\n".into(),
            "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\na2 OK [READ-ONLY] opened\r\n".into(),
            format!(
                "{}* 3 EXISTS\r\n{}a3 OK done\r\n",
                fetched(2, "\\Seen"),
                fetched(1, "\\Recent")
            ),
        ])
        .await;
        let records = read.unwrap();
        assert_eq!(heard[0], r#"a1 LOGIN "bob" "s3\"cret""#);
        assert_eq!(heard[1], r#"a2 EXAMINE "im/bob""#);
        let [first, second] = records.as_slice() else {
            panic!("two records")
        };
        assert_eq!(first.message_id, Field::Known("41".into()));
        assert_eq!(first.body.known().unwrap()[..], *b"Eight o'clock");
        assert_eq!(
            first.received_at.known().unwrap().to_string(),
            "2026-11-23T09:00:01.000000Z"
        );
        assert_eq!(
            first.stored_at.known().unwrap().to_string(),
            "2026-11-23T09:00:00.000000Z"
        );
        assert_eq!(first.expire.known().unwrap().seconds, Some(600));
        assert_eq!(first.headers[0].value[..], *b"text/plain");
        let names: Vec<_> = first.headers.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["Content-Type", "Date", "From", "X-Expires"]);
        assert_eq!(
            (&first.state, &second.state),
            (
                &Field::Known(State::Waiting),
                &Field::Known(State::Delivered)
            )
        );
    }

    #[tokio::test]
    async fn who_is_known_already_says_no_name_and_names_the_mailbox() {
        let answers = vec![
            "a1 OK [READ-ONLY] opened\r\n".to_owned(),
            "a2 OK done\r\n".to_owned(),
        ];
        let (read, heard) = greeted("PREAUTH as tester", boxes(), answers).await;
        assert_eq!(read, Ok(Vec::new()));
        assert_eq!(heard[0], r#"a1 EXAMINE "im/bob""#);
        let inbox = Mailboxes {
            mailbox: "INBOX".into(),
            ..boxes()
        };
        let (read, heard) = greeted("PREAUTH as tester", inbox, Vec::new()).await;
        insta::assert_snapshot!(read.unwrap_err());
        assert!(heard.is_empty(), "{heard:?}");
    }

    #[tokio::test]
    async fn a_mailbox_that_is_not_there_is_empty() {
        let no = [
            "NO [TRYCREATE] none",
            "NO [NONEXISTENT] Mailbox doesn't exist: im/bob",
        ];
        for no in no {
            let (read, _) = asked(vec!["a1 OK in\r\n".into(), format!("a2 {no}\r\n")]).await;
            assert_eq!(read, Ok(Vec::new()));
        }
    }

    #[tokio::test]
    async fn what_fails_is_said_without_the_password() {
        let cases = [
            vec!["a1 NO [AUTHENTICATIONFAILED] not with s3\"cret\r\n".into()],
            vec!["a1 OK in\r\n".into(), "a2 NO permission denied\r\n".into()],
            vec!["HTTP/1.1 400 Bad Request\r\n\r\n".into()],
            vec!["a1 OK in\r\n".into()],
        ];
        let mut said = Vec::new();
        for answers in cases {
            said.push(asked(answers).await.0.unwrap_err());
        }
        insta::assert_snapshot!(said.join("\n"));
    }
}
