//! One page for whoever has to believe the result: findings first, then requirements by clause, then every
//! case with its whole trace. It loads nothing, needs no script, and opens from a file.
//!
//! The templates (`templates/`) decide how things look, `view` decides what is said. Text reaches the page
//! only through one escaping formatter, after [`crate::escape`] made control characters visible;
//! a content security policy in the page forbids scripts and loading, in case both should fail.

mod message;
mod view;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use crate::record::RunRecord;

/// A page that cannot be made: a mistake in a template.
#[derive(Debug, thiserror::Error)]
#[error("the HTML report cannot be written: {0:#}")]
pub struct Error(#[from] minijinja::Error);

const TEMPLATES: [(&str, &str); 4] = [
    ("report.html", include_str!("../templates/report.html")),
    ("case.html", include_str!("../templates/case.html")),
    ("parts.html", include_str!("../templates/parts.html")),
    ("style.css", include_str!("../templates/style.css")),
];

/// The record as a page.
pub fn render(record: &RunRecord) -> Result<String, Error> {
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
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    let page = environment.get_template("report.html")?;
    Ok(page.render(Serde(view::Page::of(record)))?)
}

/// Writes text so that it is text in an element as well as in an attribute in quotes. The engine's own way
/// writes every slash in six characters, and paths and addresses are full of them.
fn escape(out: &mut minijinja::Output<'_>, text: &str) -> std::fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (before, special) = rest.split_at(at);
        out.write_str(before)?;
        out.write_str(match special.as_bytes()[0] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &special[1..];
    }
    out.write_str(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::{EventKind, Octets};
    use crate::sample;

    #[test]
    fn sample_run() {
        let page = render(&sample::record()).unwrap();
        // The style is not what this snapshot is about.
        let start = page.find("<style>").unwrap();
        let end = page.find("</style>").unwrap();
        insta::assert_snapshot!(format!("{}{}", &page[..start], &page[end..]));
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
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(page.contains("{{ 7*7 }}"));
        for forbidden in ["<script", "<img", "\" onclick", "\u{1b}", "\u{202e}"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        // Every tag is one of the templates' own.
        let tags: std::collections::BTreeSet<&str> = page
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next())
            .collect();
        let own = TEMPLATES.map(|(_, source)| source).join("\n");
        for tag in tags.into_iter().filter(|tag| !tag.is_empty()) {
            assert!(own.contains(&format!("<{tag}")), "{tag}");
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = render(&sample::record()).unwrap();
        for forbidden in ["src=", "@import", "url(", "<link", "href=\"http"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn every_link_has_its_target() {
        let page = render(&sample::record()).unwrap();
        let ids: std::collections::HashSet<&str> = page
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let count = page.matches(" id=\"").count();
        assert_eq!(ids.len(), count, "an id is used twice");
        let links = page
            .split("href=\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for link in links {
            assert!(ids.contains(link), "{link}");
        }
    }
}
