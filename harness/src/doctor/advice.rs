//! From what went wrong to what to look at: the sentences for whoever runs the server.

use super::Complaint;
use super::visit::Heard;
use crate::sut::Profile;
use crate::sut::profile::Registration;

/// Why a request has not succeeded. `method` as on the wire, `user` as it shows itself.
pub(super) fn of_request(profile: &Profile, method: &str, user: &str, heard: &Heard) -> Complaint {
    let Some(status) = heard.status() else {
        return unanswered(profile, method, heard);
    };
    let line = heard.line().unwrap_or_default();
    let domain = &profile.pixit.domain;
    let server = heard.header("Server").or_else(|| heard.header("Warning"));
    let said = match server {
        Some(server) => format!("{method} is answered with {line} ({server})"),
        None => format!("{method} is answered with {line}"),
    };
    let by_core = matches!(
        profile.pixit.standing.registration,
        Registration::ThirdParty { .. }
    );
    match status {
        401 | 403 | 407 if by_core && method == "REGISTER" => {
            let bind = profile.pixit.bind;
            let from = format!(
                "that the server takes third-party REGISTERs from {bind}: its list of trusted addresses, or of S-CSCFs"
            );
            Complaint::new(said, &[&from])
        }
        401 | 407 => refused_credentials(profile, &line, user, heard),
        403 | 404 | 410 | 604 => {
            let domain = format!("`pixit.domain` is `{domain}`: does the server serve it?");
            let account = format!(
                "whether the server knows the user `{user}`: `pixit.accounts` says how accounts come into being"
            );
            Complaint {
                said,
                check: vec![domain, account],
            }
        }
        405 | 501 => Complaint::new(
            said,
            &[&format!(
                "that the server, and not something else at that port, handles {method} there"
            )],
        ),
        480 | 486 | 600 | 603 if method == "MESSAGE" => Complaint::new(
            said,
            &[
                "that the server defers messages for users who are offline: its store has to be switched on, and \
               the user must be one whom it stores for",
            ],
        ),
        300..=399 => Complaint::new(
            said,
            &[
                "`pixit.target`: this address sends its clients elsewhere (see Contact of the answer)",
            ],
        ),
        500..=599 => Complaint::new(
            said,
            &[
                "the server's own log: the request has come, and the server could not do what it asks",
            ],
        ),
        _ => Complaint::new(
            said,
            &[&format!(
                "the server's own log, and what its configuration says about {method} from `{user}`"
            )],
        ),
    }
}

fn unanswered(profile: &Profile, method: &str, heard: &Heard) -> Complaint {
    let answer = profile.pixit.timers.answer;
    let within = format!("{} s", answer.as_secs_f64());
    if let Some(why) = &heard.no_way {
        return Complaint::new(
            format!("{method} could not be sent: {why}"),
            &["`pixit.target`, and that the server takes connections there"],
        );
    }
    let patience = format!(
        "if the server is just slow: `pixit.timers.answer` ({within}) says how long it is waited for"
    );
    if let Some(provisional) = &heard.provisional {
        return Complaint::new(
            format!(
                "{method} is answered with {provisional}, and with nothing else within {within}"
            ),
            &[
                "what the server waits for: it has taken the request and does not finish it (a database, a server \
                 behind it, a name to resolve)",
                &patience,
            ],
        );
    }
    let mut said = format!("{method} is not answered within {within}");
    for note in &heard.notes {
        said.push_str("; ");
        said.push_str(note);
    }
    Complaint::new(
        said,
        &[
            "the server's own log: it answers OPTIONS and drops this, or closes the connection on it",
            &patience,
        ],
    )
}

fn refused_credentials(profile: &Profile, line: &str, user: &str, heard: &Heard) -> Complaint {
    let domain = &profile.pixit.domain;
    let foreign = heard.realm().filter(|realm| realm != domain).map(|realm| {
        format!("the realm is `{realm}`, and `pixit.domain` is `{domain}`: is it the right server, the right domain?")
    });
    let complaint = |said: String, mut check: Vec<String>| {
        check.extend(foreign.clone());
        Complaint { said, check }
    };
    if profile.pixit.logins.is_none() {
        return complaint(
            format!("{line}: the server asks who it is, and the profile has no credentials"),
            vec![
                "give `pixit.accounts.password`, a rule such as `\"secret-of-${user}\"` (and `username`, if it is not \
                 the user part)"
                    .into(),
            ],
        );
    }
    if heard.challenges.iter().flatten().next().is_none() {
        return complaint(
            format!("{line}, without a challenge that can be answered"),
            vec![
                "that WWW-Authenticate or Proxy-Authenticate asks for Digest with MD5, SHA-256 or SHA-512-256"
                    .into(),
            ],
        );
    }
    let algorithm = heard.algorithm().unwrap_or_default();
    let times = heard.challenges.len();
    let stale = heard
        .challenges
        .iter()
        .flatten()
        .filter(|it| it.stale)
        .count();
    if stale > 1 {
        return complaint(
            format!("{line}: challenged {times} times, {stale} times because the nonce is too old by now"),
            vec![
                "that nonces live longer than a round trip, and that all processes behind this address know them"
                    .into(),
            ],
        );
    }
    complaint(
        format!(
            "{line} again, with credentials: challenged {times} times, user name `{user}`, algorithm {algorithm}"
        ),
        vec![
            "`pixit.accounts.password` and `username`: the rules must give what the server has for this account".into(),
            "that the account is there: `pixit.accounts.provision`".into(),
            "a server that asks for ever whatever it is shown: the user name and the realm in its log".into(),
        ],
    )
}

/// Why a store could not be read.
pub(super) fn of_store(why: &str) -> (String, Vec<String>) {
    // A database says itself what to check, because a report needs it, too.
    let (said, check) = match why.split_once("; check ") {
        Some((said, check)) => (said, Some(check)),
        None => (why, None),
    };
    let has = |words: &str| said.contains(words);
    let advice = if has("unable to open database file") {
        "`adapters.store.sql.sqlite`: that the file is there, and may be read; the server makes it when it starts"
    } else if has("no such table") || has("no such column") || has("syntax error") {
        "`adapters.store.sql.query`: try it in the database's own shell, as the tables of this version are"
    } else if has("gives no column") {
        "`adapters.store.sql.columns`: each names a column of the query, as `AS` has it"
    } else if has("database is locked") {
        "that the server keeps its database in WAL mode, so that a reader does not wait"
    } else if has("not a database") {
        "`adapters.store.sql.sqlite`: the file is no SQLite database"
    } else if let Some(check) = check {
        check
    } else {
        return (said.into(), of_program_or_url(said, "adapters.store"));
    };
    (said.into(), vec![advice.into()])
}

/// Why a program or the control API has not done what was asked.
pub(super) fn of_program_or_url(why: &str, key: &str) -> Vec<String> {
    let has = |words: &str| why.contains(words);
    let advice = if has("No such file or directory") || has("cannot be started") {
        format!(
            "`{key}`: that the program is there, and has its path written from the folder of the profile"
        )
    } else if has("Permission denied") {
        format!("`{key}`: that the program may be executed, and the file written (`chmod`)")
    } else if has("exit status") || has("it said:") {
        format!(
            "`{key}`: run the command by hand, in the folder of the profile; it must end with status 0"
        )
    } else if has("did not end within") {
        format!("`{key}`: run the command by hand; it waits for something")
    } else if has("control API") {
        format!(
            "`{key}`: that the URL is that of the control API (`imspec serve --print-openapi`), and that it is up"
        )
    } else {
        format!("`{key}`: what it gives is not as docs/profile.md says")
    };
    vec![advice]
}
