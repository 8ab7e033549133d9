//! `imspec init`: a first profile, from what is said and what the server shows.

use std::io::{BufRead as _, IsTerminal as _, Write};
use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;

use serde_json::Value;

use super::{ExitStatus, Stop};
use crate::catalogue::PicsKeys;
use crate::init::{self, Accounts, Given, Learnt, Store};
use crate::sut::profile::{Registration, Transport};

/// Write a profile for a server, with what it shows when it is asked
#[derive(clap::Args)]
pub struct Args {
    /// Where the server is, such as udp:192.0.2.7:5060 (udp, tcp, tls, ws, wss); without a transport UDP and TCP are tried
    #[arg(long, value_name = "[TRANSPORT:]HOST:PORT")]
    target: Vec<String>,
    /// The domain that it serves; default: the host of the target
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The same of an outbound proxy before the server, in the place of --target
    #[arg(long, value_name = "[TRANSPORT:]HOST:PORT", conflicts_with = "target")]
    outbound_proxy: Vec<String>,
    /// How users get online: register, third-party (the harness is the S-CSCF before an application server), third-party:URI (of that
    /// server), or command:PROGRAM, which hears `online` or `offline`, the account, the contact and the seconds
    #[arg(long, value_name = "HOW")]
    registration: Option<String>,
    /// Whether the agents are users, or belong to the operator and assert identities
    #[arg(long, value_name = "SIDE", value_parser = ["user", "trusted"])]
    side: Option<String>,
    /// How accounts come into being: any (every user part is one), control, command:PROGRAM, or those that there are:
    /// list:alice,bob,1003 or pattern:NAME:COUNT, where the number stands in NAME as $ and n in braces
    #[arg(long, value_name = "HOW")]
    accounts: Option<String>,
    /// The rule by which accounts have their passwords, such as 'secret-of-${user}'
    #[arg(long, value_name = "RULE")]
    password_rule: Option<String>,
    /// The rule by which they have their user names, where that is not the user part
    #[arg(long, value_name = "RULE", requires = "password_rule")]
    username_rule: Option<String>,
    /// Transport of the user agents; default: the first target's
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<String>,
    /// Address of the user agents; default: the one from which this machine reaches the target
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Certificates of those who vouch for the server under TLS, a PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What reads the store: none, control, or command:PROGRAM
    #[arg(long, value_name = "HOW")]
    store: Option<String>,
    /// URL of a control API (`imspec serve --print-openapi`): reads the store, moves the clock, makes accounts
    #[arg(long, value_name = "URL")]
    control: Option<String>,
    /// An answer to a PICS key, such as expire.marking=on
    #[arg(long, value_name = "KEY=VALUE")]
    pics: Vec<String>,
    /// Product and version; default: what the server calls itself
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,
    /// Name of the profile; default: that of the folder
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The folder of the profile
    #[arg(long, short, value_name = "DIR", default_value = "my-server")]
    out: PathBuf,
    /// Ask nothing: what is not given has its default
    #[arg(long, short)]
    yes: bool,
    /// Do not talk to the server
    #[arg(long)]
    no_probe: bool,
    /// Write over a profile that is there
    #[arg(long)]
    force: bool,
}

impl std::fmt::Debug for Args {
    /// Without the rule for passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("target", &self.target)
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

fn invalid(why: impl Into<String>) -> Stop {
    (ExitStatus::InvalidInput, why.into())
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    match perform(args, out) {
        Ok(()) => ExitStatus::Conforms,
        Err((status, why)) => {
            anstream::eprintln!("error: {}", why.trim_end());
            status
        }
    }
}

fn perform(args: &Args, out: &mut dyn Write) -> Result<(), Stop> {
    let keys = PicsKeys::bundled().map_err(|why| invalid(why.to_string()))?;
    let file = args.out.join("profile.yaml");
    if file.exists() && !args.force {
        return Err(invalid(format!(
            "{} is there already; --force writes over it, --out names another folder",
            file.display()
        )));
    }
    let mut given = given(args, &keys)?;
    let learnt = if args.no_probe {
        Learnt::default()
    } else {
        probed(&mut given, &keys)?
    };
    // A reader that went away has what it wanted, here and below.
    for seen in &learnt.seen {
        let _ = writeln!(out, "{:<22} {}", seen.what, seen.said);
    }
    // What keeps the profile from being of use, and has to be given.
    let wanted = learnt.remarks.iter();
    let wanted = wanted.filter(|(section, _)| *section == "accounts");
    for (number, (_, remark)) in wanted.enumerate() {
        let _ = writeln!(out, "{}note: {remark}", if number == 0 { "\n" } else { "" });
    }
    let text = init::profile(&given, &learnt, &keys);
    let broken = |why: std::io::Error| invalid(format!("{}: {why}", file.display()));
    std::fs::create_dir_all(&args.out).map_err(broken)?;
    write(&file, &text, args.force).map_err(broken)?;
    let folder = args.out.display();
    let _ = writeln!(
        out,
        "\n{} is written; {} of {} PICS keys are answered, the others stand there as comments.\n\nNext:\n  \
         imspec check --profile {folder}\n  imspec doctor {folder}\n  imspec run --profile {folder}",
        file.display(),
        init::answers(&given, &learnt, &keys),
        keys.iter().count()
    );
    Ok(())
}

/// A new file, unless another one may be replaced. It may hold a password: it is its owner's alone.
fn write(file: &std::path::Path, text: &str, force: bool) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).truncate(force);
    if force {
        options.create(true);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(file)?.write_all(text.as_bytes())
}

fn probed(given: &mut Given, keys: &PicsKeys) -> Result<Learnt, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| (ExitStatus::HarnessError, format!("no runtime: {why}")))?;
    runtime.block_on(async {
        tokio::select! {
            learnt = init::learn(given, keys) => learnt.map_err(|why| (ExitStatus::Unreachable, why)),
            () = super::interrupted() => Err((ExitStatus::HarnessError, "interrupted; nothing is written".into())),
        }
    })
}

fn given(args: &Args, keys: &PicsKeys) -> Result<Given, Stop> {
    let asks = !args.yes && std::io::stdin().is_terminal();
    let mut targets = [&args.target[..], &args.outbound_proxy].concat();
    if targets.is_empty() {
        let answer = asks
            .then(|| ask("Address of the server, [udp:|tcp:]host:port", ""))
            .flatten();
        targets.extend(answer);
    }
    if targets.is_empty() {
        return Err(invalid(
            "where is the server? Give --target HOST:PORT, or udp:HOST:PORT and tcp:HOST:PORT",
        ));
    }
    let mut parsed = Vec::new();
    for target in &targets {
        parsed.extend(target_of(target)?);
    }
    let host = parsed
        .first()
        .map(|(_, at)| host_of(at).to_owned())
        .unwrap_or_default();
    let domain = match &args.domain {
        Some(domain) => domain.clone(),
        None if asks => ask("Domain that it serves", &host).unwrap_or(host),
        None => host,
    };
    let password = match &args.password_rule {
        Some(rule) => Some(rule.clone()),
        None if asks => ask(
            "Rule for passwords, such as secret-of-${user}; nothing where none are asked for",
            "",
        ),
        None => None,
    };
    let transport = match &args.transport {
        Some(name) => Transport::parse(name).ok_or_else(|| {
            invalid(format!(
                "`{name}` is no transport: udp, tcp, tls, ws or wss"
            ))
        })?,
        None => parsed
            .first()
            .map_or(Transport::Udp, |(transport, _)| *transport),
    };
    if !parsed.iter().any(|(known, _)| *known == transport) {
        return Err(invalid(format!(
            "--transport {0}, and no {1} for it: give {1} {0}:HOST:PORT",
            transport.as_str(),
            if args.outbound_proxy.is_empty() {
                "--target"
            } else {
                "--outbound-proxy"
            }
        )));
    }
    let bind = match args.bind {
        Some(bind) => bind,
        None => parsed
            .iter()
            .find_map(|(_, at)| own_address(at))
            .unwrap_or(IpAddr::from([127, 0, 0, 1])),
    };
    let (accounts, store) = reached_into(args)?;
    let folder = args
        .out
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(Given {
        name: args
            .name
            .clone()
            .or(folder)
            .unwrap_or_else(|| "my-server".to_owned()),
        product: args.product.clone(),
        targets: parsed,
        domain,
        transport,
        bind,
        ca: args
            .ca
            .as_ref()
            .map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())),
        proxied: !args.outbound_proxy.is_empty(),
        registration: registration(args.registration.as_deref())?,
        trusted: args.side.as_deref().map(|side| side == "trusted"),
        accounts,
        password,
        username: args.username_rule.clone(),
        store,
        control: args.control.clone(),
        pics: args
            .pics
            .iter()
            .map(|text| answer(text, keys))
            .collect::<Result<_, _>>()?,
    })
}

/// How accounts are made, and what reads the store.
fn reached_into(args: &Args) -> Result<(Accounts, Store), Stop> {
    let needs_control = |what: &str| {
        if args.control.is_some() {
            Ok(())
        } else {
            Err(invalid(format!("{what} control: give --control URL")))
        }
    };
    let accounts = match args.accounts.as_deref() {
        None if args.control.is_some() => Accounts::Control,
        None | Some("any" | "none") => Accounts::Any,
        Some("control") => needs_control("--accounts").map(|()| Accounts::Control)?,
        Some(how) => match those_that_there_are(how)? {
            Some(few) => few,
            None => {
                let expected =
                    "any, control, command:PROGRAM, list:NAME,NAME… or pattern:NAME-${n}:COUNT";
                Accounts::Command(command(how, "--accounts", expected)?)
            }
        },
    };
    let store = match args.store.as_deref() {
        None if args.control.is_some() => Store::Control,
        None | Some("none") => Store::None,
        Some("control") => needs_control("--store").map(|()| Store::Control)?,
        Some(how) => Store::Command(command(how, "--store", "none, control or command:PROGRAM")?),
    };
    Ok((accounts, store))
}

/// `list:alice,bob` and `pattern:user-${n}:6`.
fn those_that_there_are(how: &str) -> Result<Option<Accounts>, Stop> {
    if let Some(names) = how.strip_prefix("list:") {
        let names: Vec<String> = names
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        return Ok(Some(Accounts::List(names)));
    }
    let Some(pattern) = how.strip_prefix("pattern:") else {
        return Ok(None);
    };
    let counted = pattern.rsplit_once(':');
    let counted = counted.and_then(|(pattern, count)| Some((pattern, count.parse().ok()?)));
    match counted {
        Some((pattern, count)) if pattern.contains("${n}") => {
            Ok(Some(Accounts::Pattern(pattern.to_owned(), count)))
        }
        _ => Err(invalid(format!(
            "--accounts `{how}`: expected pattern:NAME-${{n}}:COUNT, such as pattern:user-${{n}}:6"
        ))),
    }
}

/// How users get online.
fn registration(how: Option<&str>) -> Result<Registration, Stop> {
    Ok(match how {
        None | Some("register") => Registration::Register,
        Some("third-party") => Registration::ThirdParty {
            server: None,
            address: None,
        },
        Some(how) => {
            if let Some(uri) = how.strip_prefix("third-party:") {
                return Ok(Registration::ThirdParty {
                    server: Some(uri.to_owned()),
                    address: None,
                });
            }
            let words = how.strip_prefix("command:").unwrap_or_default();
            let program: Vec<&str> = words.split_whitespace().collect();
            if program.is_empty() {
                return Err(invalid(format!(
                    "--registration `{how}`: expected register, third-party, third-party:URI or command:PROGRAM"
                )));
            }
            let with = |more: &[&str]| {
                let words = program.iter().chain(more);
                words.map(ToString::to_string).collect()
            };
            Registration::Command {
                online: with(&["online", "${account}", "${contact}", "${expires}"]),
                offline: with(&["offline", "${account}", "${contact}", "0"]),
            }
        }
    })
}

/// One question; nothing where the answer is empty and there is no usual one.
fn ask(question: &str, usual: &str) -> Option<String> {
    if usual.is_empty() {
        anstream::eprint!("{question}: ");
    } else {
        anstream::eprint!("{question} [{usual}]: ");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    let answer = match line.trim() {
        "" => usual,
        answer => answer,
    };
    (!answer.is_empty()).then(|| answer.to_owned())
}

/// `udp:host:port`, or `host:port` for each transport.
fn target_of(text: &str) -> Result<Vec<(Transport, String)>, Stop> {
    let (transports, at) = match text.split_once(':') {
        Some((name, at)) if Transport::parse(name).is_some() => {
            (Transport::parse(name).into_iter().collect(), at)
        }
        _ => (vec![Transport::Udp, Transport::Tcp], text),
    };
    let (host, port) = plain(at).rsplit_once(':').unwrap_or((at, ""));
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(invalid(format!(
            "--target `{text}` is no address: udp:HOST:PORT, such as udp:192.0.2.7:5060 or tcp:[::1]:5060"
        )));
    }
    Ok(transports
        .into_iter()
        .map(|transport| (transport, at.to_owned()))
        .collect())
}

fn host_of(at: &str) -> &str {
    plain(at).rsplit_once(':').map_or(at, |(host, _)| host)
}

/// Without the resource of a WebSocket server.
fn plain(at: &str) -> &str {
    at.split('/').next().unwrap_or(at)
}

/// The address from which this machine would send to another one; nothing is sent.
fn own_address(target: &str) -> Option<IpAddr> {
    let to = plain(target).to_socket_addrs().ok()?.next()?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn command(how: &str, flag: &str, expected: &str) -> Result<Vec<String>, Stop> {
    let words = how.strip_prefix("command:").map(|line| {
        let words = line.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    match words {
        Some(mut words) if !words.is_empty() => {
            // A program that is told for whom to work is told by the address.
            if !words.iter().any(|word| word.contains("${")) {
                words.push("${account}".to_owned());
            }
            Ok(words)
        }
        _ => Err(invalid(format!("{flag} `{how}`: expected {expected}"))),
    }
}

fn answer(text: &str, keys: &PicsKeys) -> Result<(String, Value), Stop> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let key = keys.get(name).ok_or_else(|| {
        invalid(format!(
            "--pics `{name}`: no such key; `imspec list --pics` shows them"
        ))
    })?;
    let value = if value.contains(',') {
        Value::from(value.split(',').map(str::trim).collect::<Vec<_>>())
    } else {
        value
            .parse::<u32>()
            .map_or_else(|_| Value::from(value), Value::from)
    };
    key.accepts(&value)
        .map_err(|expected| invalid(format!("--pics `{text}`: expected {expected}")))?;
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn targets_are_read_with_and_without_transport() {
        let both = target_of("127.0.0.1:5060").unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(
            target_of("tcp:[::1]:5060").unwrap(),
            [(Transport::Tcp, "[::1]:5060".to_owned())]
        );
        for wrong in ["", "udp:host", "udp::5060", "host:sip"] {
            assert!(target_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_address_towards_loopback_is_loopback() {
        assert_eq!(own_address("127.0.0.1:5060"), Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn programs_hear_of_the_account() {
        let words = command("command:./add.sh -x", "--accounts", "").unwrap();
        assert_eq!(words, ["./add.sh", "-x", "${account}"]);
        assert!(command("program", "--accounts", "x").is_err());
    }
}
