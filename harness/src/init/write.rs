//! The text of a first profile: what is known as values, how it was learnt beside them, and everything else as
//! comments that say what to write there.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Accounts, Given, Learnt, Store};
use crate::catalogue::{PicsKey, PicsKeys, PicsType};
use crate::sut::profile::Registration;

/// What stands before accounts that cases share.
const SHARED: &str = "    # All accounts that there are; cases share them. What lies in them is lost: they are cleaned before each case.\n";
/// Columns of a comment.
const WIDTH: usize = 110;

/// Writes the profile.
pub fn profile(given: &Given, learnt: &Learnt, keys: &PicsKeys) -> String {
    let mut text = String::new();
    let product = given
        .product
        .as_deref()
        .or(learnt.server.as_deref())
        .unwrap_or(&given.name);
    text.push_str("# The profile of a server under test, begun by `imspec init`. docs/profile.md tells what may stand here;\n");
    text.push_str("# `imspec check` finds contradictions, `imspec doctor` tries each thing that it promises.\n");
    let _ = writeln!(text, "name: {}", quoted(&given.name));
    let _ = writeln!(text, "sut: {{ product: {} }}", quoted(product));
    text.push_str("\n# What a tester must know (PIXIT).\n");
    pixit(&mut text, given, learnt);
    pics(&mut text, given, learnt, keys);
    adapters(&mut text, given);
    text
}

fn pixit(text: &mut String, given: &Given, learnt: &Learnt) {
    text.push_str("pixit:\n");
    remarks(text, learnt, "target");
    text.push_str(if given.proxied {
        "  # A proxy before the server; everything goes there, with a Route that names it.\n  outbound-proxy:\n"
    } else {
        "  target:\n"
    });
    for (transport, target) in &given.targets {
        let _ = writeln!(text, "    {}: {}", transport.as_str(), quoted(target));
    }
    let _ = writeln!(text, "  domain: {}", quoted(&given.domain));
    standing(text, given);
    remarks(text, learnt, "registration");
    remarks(text, learnt, "accounts");
    text.push_str("  accounts:\n");
    match &given.accounts {
        Accounts::Any => {
            text.push_str("    # Every user part is an account. Else a program makes one: { command: [./add.sh, \"${account}\"] }\n");
            text.push_str("    provision: none\n");
        }
        Accounts::Control => text.push_str("    provision: control\n"),
        Accounts::Command(words) => {
            let _ = writeln!(text, "    provision: {{ command: {} }}", list(words));
        }
        Accounts::List(names) => {
            text.push_str(SHARED);
            let _ = writeln!(text, "    list: {}", list(names));
        }
        Accounts::Pattern(pattern, count) => {
            text.push_str(SHARED);
            let _ = writeln!(text, "    pattern: {}\n    count: {count}", quoted(pattern));
        }
    }
    match &given.password {
        Some(rule) => {
            if let Some(name) = &given.username {
                let _ = writeln!(text, "    username: {}", quoted(name));
            }
            let _ = writeln!(text, "    password: {}", quoted(rule));
        }
        None => {
            text.push_str("    # Where the server asks who it is; both are rules, because user parts are made up for each case.\n");
            text.push_str("    # username: \"${user}\"\n");
            text.push_str("    # password: \"secret-of-${user}\"\n");
        }
    }
    text.push_str("  # Transport of the user agents where a scenario names none.\n");
    let _ = writeln!(text, "  transport: {}", given.transport.as_str());
    text.push_str("  # Address of the user agents; the server must find its way there.\n");
    let _ = writeln!(text, "  bind: {}", quoted(&given.bind.to_string()));
    if let Some(ca) = &given.ca {
        text.push_str("  # Who vouches for the server under TLS.\n");
        let _ = writeln!(
            text,
            "  tls: {{ ca: {} }}",
            quoted(&ca.display().to_string())
        );
    }
    text.push_str("  # Real time. Small ones make a run quick and a slow server look broken.\n");
    text.push_str(
        "  # timers: { t1: 500ms, answer: 32s, delivery: 5s, quiet: 500ms, store: 2s }\n",
    );
}

/// How users get online, and where the tester stands.
fn standing(text: &mut String, given: &Given) {
    match &given.registration {
        Registration::Register => {
            text.push_str("  # How users get online: register, third-party (the harness is an S-CSCF before an application server), or programs.\n");
            text.push_str("  registration: register\n");
        }
        Registration::ThirdParty { server, .. } => {
            text.push_str("  # The harness is the S-CSCF of an IMS core, the server an application server behind it (3GPP TS 24.229 §5.4.1.7).\n");
            let how = server.as_deref().map_or("third-party".to_owned(), |uri| {
                format!("{{ third-party: {{ server: {} }} }}", quoted(uri))
            });
            let _ = writeln!(text, "  registration: {how}");
        }
        Registration::Command { online, offline } => {
            text.push_str("  # A program brings users online and offline.\n");
            let _ = writeln!(
                text,
                "  registration:\n    command:\n      online: {}\n      offline: {}",
                list(online),
                list(offline)
            );
        }
    }
    if let Some(trusted) = given.trusted {
        text.push_str(
            "  # Whether the agents are users, or belong to the operator and assert identities.\n",
        );
        let side = if trusted { "trusted" } else { "user" };
        let _ = writeln!(text, "  side: {side}");
    }
}

fn pics(text: &mut String, given: &Given, learnt: &Learnt, keys: &PicsKeys) {
    text.push_str("\n# What its maker declares (PICS). A key that is not answered makes the scenarios inconclusive that depend on it;\n");
    text.push_str("# they name it. `imspec explain KEY` tells more.\n");
    let answer = |key: &PicsKey| answer(given, learnt, key);
    let answered = keys.iter().any(|key| answer(key).is_some());
    text.push_str(if answered {
        "pics:\n"
    } else {
        "pics: {}\n# pics:\n"
    });
    for key in keys {
        if let Some((value, how)) = answer(key) {
            let _ = writeln!(text, "  {}: {}  # {how}", key.key, plain(&value));
        }
    }
    text.push_str("\n  # Not answered yet: take away the `# ` before a key, and choose.\n");
    for key in keys.iter().filter(|key| answer(key).is_none()) {
        text.push('\n');
        comment(text, "  # ", &key.about);
        comment(text, "  # ", &format!("Values: {}.", values(key)));
        let usual = match (&key.default, key.kind) {
            (Some(usual), PicsType::Set | PicsType::List) => format!("[{usual}]"),
            (Some(usual), _) => plain(&Value::from(usual.clone())),
            (None, PicsType::List) => "[From, To]".to_owned(),
            (None, _) => "…".to_owned(),
        };
        let _ = writeln!(text, "  # {}: {usual}", key.key);
    }
}

/// The answer to a PICS key, and where it comes from.
fn answer(given: &Given, learnt: &Learnt, key: &PicsKey) -> Option<(Value, String)> {
    let said = given.pics.iter().find(|(name, _)| *name == key.key);
    let seen = learnt.pics.iter().find(|(name, ..)| *name == key.key);
    said.map(|(_, value)| (value.clone(), "as you said".to_owned()))
        .or_else(|| seen.map(|(_, value, how)| (value.clone(), how.clone())))
        .or_else(|| of_adapters(given, &key.key))
}

/// How many PICS keys are answered.
pub fn answers(given: &Given, learnt: &Learnt, keys: &PicsKeys) -> usize {
    let answered = |key: &&PicsKey| answer(given, learnt, key).is_some();
    keys.iter().filter(answered).count()
}

/// What the adapters that were given say by themselves.
fn of_adapters(given: &Given, key: &str) -> Option<(Value, String)> {
    given.control.as_ref()?;
    let value = match key {
        "inspect.kind" if given.store == Store::Control => "http",
        "clock.control" => "virtual",
        _ => return None,
    };
    Some((value.into(), "through the control API".to_owned()))
}

fn adapters(text: &mut String, given: &Given) {
    let control = given
        .control
        .as_deref()
        .map(|url| format!("{{ control: {{ url: {} }} }}", quoted(url)));
    text.push_str("\n# What reaches into the server. Each one that is not there makes a part of the suite inconclusive.\n");
    text.push_str("adapters:\n");
    text.push_str("  # Reads what is stored: none (a black box), a control API, a SQLite file, or a program that prints records.\n");
    let store = match (&given.store, &control) {
        (Store::Control, Some(control)) => control.clone(),
        (Store::Command(words), _) => format!("{{ command: {} }}", list(words)),
        _ => "none".to_owned(),
    };
    let _ = writeln!(text, "  store: {store}");
    text.push_str(
        "  # store: { command: [./store.sh, \"${account}\"] }\n\
         \u{20} # store:\n\
         \u{20} #   sql:\n\
         \u{20} #     sqlite: /var/lib/server/im.db\n\
         \u{20} #     query: SELECT id, body, received FROM inbox WHERE user = :user AND domain = :domain ORDER BY id\n\
         \u{20} #     columns: { message-id: id, body: body, received-at: received, state: { value: waiting } }\n",
    );
    text.push_str("  # Moves the time by which messages and registrations age; with real time waits are waited out.\n");
    let _ = writeln!(text, "  clock: {}", control.as_deref().unwrap_or("real"));
    text.push_str(
        "  # clock: { command: { read: [./clock.sh], advance: [./advance.sh, \"${by_ms}\"] } }\n\
         \u{20} # clock: { faketime: { file: \"${dir}/faketime\" } }    # only with a process that imspec starts\n",
    );
    text.push_str("  # Sets what the provider may choose, by PICS key.\n  policy: fixed\n");
    text.push_str("  # policy: { command: { set: [./set.sh, \"${key}\", \"${value}\"], settable: [policy.expired] } }\n");
    text.push_str(
        "  # Starts, stops and kills the server; or it runs already.\n  process: attach\n",
    );
    text.push_str(
        "  # process:\n\
         \u{20} #   command: [./start.sh, \"${dir}\", \"${port.sip}\"]      # and in `target`: \"127.0.0.1:${port.sip}\"\n\
         \u{20} #   ports: [sip]\n\
         \u{20} #   ready: options\n",
    );
}

fn remarks(text: &mut String, learnt: &Learnt, section: &str) {
    for (_, remark) in learnt.remarks.iter().filter(|(of, _)| *of == section) {
        comment(text, "  # ", remark);
    }
}

/// A comment in lines that fit.
fn comment(text: &mut String, lead: &str, words: &str) {
    let mut line = lead.to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() > WIDTH && line != lead {
            text.push_str(line.trim_end());
            text.push('\n');
            lead.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn values(key: &PicsKey) -> String {
    let listed = key.values.join(", ");
    match key.kind {
        PicsType::Choice => listed,
        PicsType::Set => format!("some of {listed}"),
        PicsType::Seconds if listed.is_empty() => "a number of seconds".to_owned(),
        PicsType::Seconds => format!("a number of seconds, {listed}"),
        PicsType::Integer | PicsType::List | PicsType::Regex => key.expected(),
    }
}

/// A text that no reader of YAML takes for anything else.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A PICS value as a person would write it: quoted only where another reader would misread it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let simple = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && text.starts_with(|c: char| c.is_ascii_alphabetic());
            let number = text
                .parse::<u32>()
                .is_ok_and(|number| number.to_string() == *text);
            let ambiguous = ["on", "off", "yes", "no", "true", "false", "null", "y", "n"];
            if number || simple && !ambiguous.contains(&text.to_lowercase().as_str()) {
                text.clone()
            } else {
                quoted(text)
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::document::Source;
    use crate::sut::Profile;
    use crate::sut::profile::Transport;

    fn given() -> Given {
        Given {
            name: "my-server".into(),
            product: None,
            targets: vec![(Transport::Udp, "127.0.0.1:5060".into())],
            domain: "example.org".into(),
            transport: Transport::Udp,
            bind: [127, 0, 0, 1].into(),
            ca: None,
            proxied: false,
            registration: Registration::Register,
            trusted: None,
            accounts: Accounts::Any,
            password: None,
            username: None,
            store: Store::None,
            control: None,
            pics: Vec::new(),
        }
    }

    #[test]
    fn every_key_is_answered_or_listed() {
        let keys = PicsKeys::bundled().unwrap();
        let learnt = Learnt {
            server: Some("Server: x \"1\"".into()),
            pics: vec![("accept.status".into(), 202.into(), "the answer".into())],
            ..Learnt::default()
        };
        let text = profile(&given(), &learnt, &keys);
        for key in &keys {
            let lines = text
                .lines()
                .map(|line| line.trim_start().trim_start_matches("# "));
            let times = lines
                .filter(|line| line.starts_with(&format!("{}: ", key.key)))
                .count();
            assert_eq!(times, 1, "{}", key.key);
        }
        insta::assert_snapshot!(text);
        let read = Profile::read(Source::new("profile.yaml", text), Path::new(".")).unwrap();
        assert_eq!(read.product, "Server: x \"1\"");
        assert_eq!(read.pics.len(), 1);
    }

    #[test]
    fn wherever_the_tester_stands_it_is_a_profile() {
        let keys = PicsKeys::bundled().unwrap();
        let command = Registration::Command {
            online: vec!["./presence.sh".into(), "online".into()],
            offline: vec!["./presence.sh".into(), "offline".into()],
        };
        let server = Some("sip:as.example.org".to_owned());
        let core = Registration::ThirdParty {
            server,
            address: None,
        };
        for (registration, trusted, accounts) in [
            (
                core.clone(),
                None,
                Accounts::List(vec!["one".into(), "1002".into()]),
            ),
            (
                command.clone(),
                Some(false),
                Accounts::Pattern("u-${n}".into(), 6),
            ),
        ] {
            let given = Given {
                proxied: registration == command,
                registration: registration.clone(),
                trusted,
                accounts,
                ..given()
            };
            let text = profile(&given, &Learnt::default(), &keys);
            let read = Profile::read(Source::new("profile.yaml", text), Path::new(".")).unwrap();
            let standing = &read.pixit.standing;
            assert_eq!(standing.registration, registration);
            assert_eq!(standing.proxied, registration == command);
            assert_eq!(standing.trusted, registration == core);
            let few = if registration == core { 2 } else { 6 };
            assert_eq!(read.few().unwrap().len(), few);
        }
    }

    #[test]
    fn whatever_is_taken_up_is_still_a_profile() {
        let keys = PicsKeys::bundled().unwrap();
        let text = profile(&given(), &Learnt::default(), &keys);
        // All that is offered, as if nobody had thought about it; a key without a usual value is no answer.
        let taken: String = text
            .replace("pics: {}\n# pics:\n", "pics:\n")
            .lines()
            .map(|line| match line.strip_prefix("  # ") {
                Some(rest)
                    if keys
                        .iter()
                        .any(|key| rest.starts_with(&format!("{}: ", key.key)))
                        && !rest.ends_with('…') =>
                {
                    format!("  {rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let read = Profile::read(Source::new("profile.yaml", taken), Path::new("."));
        let read = read.unwrap();
        for (name, value) in &read.pics {
            assert_eq!(keys.get(name).unwrap().accepts(value), Ok(()), "{name}");
        }
        assert!(read.pics.len() > 35);
    }
}
