//! One page for whoever has to believe the result: findings first, then requirements by clause, then every
//! case with its ladder and its messages. It loads nothing and opens from a file.
//!
//! Verdicts, findings with the octets that show them, and the ladders of failing cases are there without
//! script; with it, the page opens every case and filters. The templates (`templates/`) decide how things look,
//! `view` decides what is said, `body` writes what is inside a case, `pack` makes that small. Text reaches the
//! page only through one escaping function, after [`crate::escape`] made control characters visible; a content
//! security policy in the page forbids loading, and every script but the page's own.

mod body;
mod message;
mod pack;
mod view;

use std::borrow::Cow;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use crate::document::Document;
use crate::record::RunRecord;

/// A page that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mistake in a template.
    #[error("the HTML report cannot be written: {0:#}")]
    Template(#[from] minijinja::Error),
    /// Traces that cannot be packed, or a file that cannot be written.
    #[error("the HTML report cannot be written: {0}")]
    Pack(#[from] io::Error),
}

const TEMPLATES: [(&str, &str); 4] = [
    ("document.html", include_str!("../templates/document.html")),
    ("report.html", include_str!("../templates/report.html")),
    ("parts.html", include_str!("../templates/parts.html")),
    ("style.css", include_str!("../templates/style.css")),
];

/// The page's own script, and how the policy of the page knows it; a test holds the two together.
const SCRIPT: &str = include_str!("../templates/script.js");
const SCRIPT_HASH: &str = "sha256-p3+GNELVNYOr3isuG2PGywcQvCLuaRTKpM5/eMkBsjw=";

/// Where the packed traces go.
const PACKS: &str = "<!--packs-->";

/// The record as a page.
pub fn render(record: &RunRecord) -> Result<String, Error> {
    let mut page = Vec::new();
    write(record, &mut page)?;
    Ok(String::from_utf8(page).map_err(io::Error::other)?)
}

/// The same, written as it is made: the page of ten thousand cases is large enough not to stand in memory.
pub fn write(record: &RunRecord, out: &mut dyn Write) -> Result<(), Error> {
    let environment = environment()?;
    let links = view::Links::of(record);
    let page = environment.get_template("report.html")?;
    let page = page.render(Serde(view::Page::of(record, &links)))?;
    // The packs stand last, so that everything that can be read without them is there before they are.
    let (before, after) = page.rsplit_once(PACKS).unwrap_or((&page, ""));
    out.write_all(before.as_bytes())?;
    pack::all(&record.cases, &links, &mut |pack| {
        let first = pack.first;
        write!(
            out,
            "<script type=\"text/plain\" class=\"pack\" data-first=\"{first}\">"
        )?;
        out.write_all(pack.octets.as_bytes())?;
        out.write_all(b"</script>\n")
    })?;
    out.write_all(after.as_bytes())?;
    Ok(())
}

/// A document as a page. It has no script at all.
pub(crate) fn document(document: &Document) -> Result<String, Error> {
    let environment = environment()?;
    let page = environment.get_template("document.html")?;
    Ok(page.render(Serde(document))?)
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => Ok(escape(out, text)?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_global(
        "script",
        minijinja::Value::from_safe_string(SCRIPT.to_owned()),
    );
    environment.add_global("script_hash", SCRIPT_HASH);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    Ok(environment)
}

/// Text as it stands in an element as well as in an attribute in quotes.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    // Writing to a String cannot fail.
    let _ = escape_to(text, |part| {
        out.push_str(part);
        Ok(())
    });
    Cow::Owned(out)
}

/// The same for the templates. The engine's own way writes every slash in six characters, and paths and
/// addresses are full of them.
fn escape(out: &mut minijinja::Output<'_>, text: &str) -> std::fmt::Result {
    escape_to(text, |part| out.write_str(part))
}

fn escape_to(text: &str, mut write: impl FnMut(&str) -> std::fmt::Result) -> std::fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (before, special) = rest.split_at(at);
        write(before)?;
        write(match special.as_bytes()[0] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &special[1..];
    }
    write(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeSet, HashSet};
    use std::io::Read;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::record::{EventKind, Octets};
    use crate::sample;

    /// The packed bodies, as a browser would put them into the page.
    fn bodies(page: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        for pack in page.split("<script type=\"text/plain\"").skip(1) {
            let octets = pack.split(['>', '<']).nth(1).unwrap();
            let octets = STANDARD.decode(octets).unwrap();
            let mut json = String::new();
            flate2::read::DeflateDecoder::new(&octets[..])
                .read_to_string(&mut json)
                .unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            for case in json["c"].as_array().unwrap() {
                let pieces = case.as_array().unwrap().iter();
                let piece = |index: &serde_json::Value| {
                    let index = usize::try_from(index.as_u64().unwrap()).unwrap();
                    json["p"][index].as_str().unwrap()
                };
                bodies.push(pieces.map(piece).collect());
            }
        }
        bodies
    }

    /// The page as it is where a script ran and every case is open.
    fn opened(page: &str) -> String {
        let mut parts = page.split("<div class=\"body\">");
        let mut out = parts.next().unwrap().to_owned();
        for (part, body) in parts.zip(bodies(page)) {
            let (_, after) = part.split_once("</div></details>").unwrap();
            out.push_str(&body);
            out.push_str(after);
        }
        out.split("<script").next().unwrap().to_owned()
    }

    #[test]
    fn sample_run() {
        let page = render(&sample::record()).unwrap();
        // The style is not what this snapshot is about, nor are script and packs.
        let start = page.find("<style>").unwrap();
        let end = page.find("</style>").unwrap();
        let packs = page.find("<script").unwrap();
        insta::assert_snapshot!(format!("{}{}", &page[..start], &page[end..packs]));
    }

    #[test]
    fn inside_of_a_case() {
        let record = sample::record();
        let index = record
            .cases
            .iter()
            .position(|it| it.id == "PG-05[transport=tcp]");
        let body = &bodies(&render(&record).unwrap())[index.unwrap()];
        insta::assert_snapshot!(
            body.replace("<g", "\n<g")
                .replace("<a", "\n<a")
                .replace("<li", "\n<li")
        );
    }

    #[test]
    fn every_case_is_packed_in_its_order() {
        let record = sample::record();
        let bodies = bodies(&render(&record).unwrap());
        assert_eq!(bodies.len(), record.cases.len());
        for (case, body) in record.cases.iter().zip(bodies) {
            assert!(
                body.contains(&*text(&case.source.to_string())),
                "{}",
                case.id
            );
        }
    }

    #[test]
    fn the_policy_knows_the_script() {
        let digest = ring::digest::digest(&ring::digest::SHA256, SCRIPT.as_bytes());
        let hash = format!("sha256-{}", STANDARD.encode(digest));
        assert_eq!(
            SCRIPT_HASH, hash,
            "templates/script.js was changed: write its hash here"
        );
    }

    #[test]
    fn a_failing_case_shows_its_ladder_without_script() {
        let record = sample::record();
        let page = render(&record).unwrap();
        for case in &record.cases {
            if case.verdict != crate::record::Verdict::Fail || case.trace.events.is_empty() {
                continue;
            }
            let name = format!("Message ladder of {}", case.id);
            assert!(page.contains(&*text(&name)), "{}", case.id);
        }
    }

    #[test]
    fn interrupted_run_says_so() {
        let page = render(&sample::interrupted()).unwrap();
        assert!(page.contains("Interrupted by Ctrl-C"));
        assert!(page.contains("No findings"));
    }

    #[test]
    fn an_empty_record_is_a_page() {
        let mut record = sample::record();
        record.cases.clear();
        record.findings.clear();
        record.requirements.clear();
        record.readings.clear();
        let page = render(&record).unwrap();
        assert!(page.trim_end().ends_with("</html>"));
    }

    #[test]
    fn hostile_octets_and_words_are_only_text() {
        let hostile = "</pre></mark><script>alert(1)</script><img src=x onerror=alert(1)>\" onclick='x' {{ 7*7 }} \u{1b}[2J\u{202e}";
        let mut record = sample::record();
        record.profile.sut = hostile.to_owned();
        record.readings.insert(
            hostile.to_owned(),
            std::iter::once((hostile.to_owned(), vec![hostile.to_owned()])).collect(),
        );
        record
            .profile
            .pics
            .insert(hostile.to_owned(), hostile.into());
        for requirement in &mut record.requirements {
            requirement.statement.push_str(hostile);
            requirement.id.push_str(hostile);
        }
        for finding in &mut record.findings {
            finding.summary.push_str(hostile);
            finding.requirement.push_str(hostile);
            finding.case.push_str(hostile);
        }
        for case in &mut record.cases {
            case.id.push_str(hostile);
            case.title.push_str(hostile);
            case.source.file.push_str(hostile);
            case.matrix.push((hostile.to_owned(), hostile.into()));
            for check in &mut case.checks {
                check.observed.push_str(hostile);
                check.expected.push_str(hostile);
                check.note = Some(hostile.to_owned());
            }
            for event in &mut case.trace.events {
                if let EventKind::Received(packet) | EventKind::Sent(packet) = &mut event.kind {
                    packet.octets = Octets::from([&packet.octets, hostile.as_bytes()].concat());
                    packet.user.push_str(hostile);
                }
            }
        }
        let page = render(&record).unwrap();
        let page = format!("{}{}", page.split("<script").next().unwrap(), opened(&page));
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(page.contains("{{ 7*7 }}"));
        for forbidden in ["<script", "<img", "\" onclick", "\u{1b}", "\u{202e}"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        // Every tag is one of the templates' own.
        let tags: BTreeSet<&str> = page
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next())
            .collect();
        let own = [
            TEMPLATES.map(|(_, source)| source).join("\n"),
            include_str!("html/body.rs").to_owned(),
            include_str!("ladder/svg.rs").to_owned(),
        ]
        .concat();
        for tag in tags.into_iter().filter(|tag| !tag.is_empty()) {
            assert!(own.contains(&format!("<{tag}")), "{tag}");
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = render(&sample::record()).unwrap();
        for forbidden in [
            "src=",
            "@import",
            "url(",
            "<link",
            "href=\"http",
            "fetch(",
            "XMLHttp",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
            assert!(!opened(&page).contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn every_link_has_its_target() {
        let page = render(&sample::record()).unwrap();
        let markup = page.split("<script").next().unwrap();
        links_lead_somewhere(markup, &opened(&page));
        links_lead_somewhere(&opened(&page), "");
    }

    /// Each in the page itself, or where that is opened.
    fn links_lead_somewhere(page: &str, opened: &str) {
        let ids = |page: &str| -> Vec<String> {
            let ids = page.split(" id=\"").skip(1);
            ids.filter_map(|rest| rest.split('"').next())
                .map(str::to_owned)
                .collect()
        };
        let own = ids(page);
        let mut known: HashSet<String> = own.iter().cloned().collect();
        assert_eq!(known.len(), own.len(), "an id is used twice");
        known.extend(ids(opened));
        let links = page
            .split("href=\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for link in links {
            assert!(known.contains(link), "{link}");
        }
    }
}
