//! For a meeting: the editor's text on the left, the evidence on the right. One file that loads nothing.

use std::fmt::Write as _;

use super::{Evidence, Row};
use crate::draft::link::Standing;
use crate::draft::{Block, BlockKind};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 100rem; padding: 1rem 2rem; }
main { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); column-gap: 2rem; }
main > * { padding: .35rem 0; }
main > h2, main > .wide { grid-column: 1 / -1; border-bottom: 1px solid #8886; }
.informative { opacity: .6; }
mark { background: #fd08; color: inherit; border-radius: .2em; }
mark.reworded { background: #f808; }
mark.new { background: #8883; }
.evidence { font-size: .87em; border-left: 3px solid #8886; padding-left: .8rem; }
.evidence p { margin: 0 0 .3rem; }
code { font: .95em ui-monospace, monospace; }
.pass { color: #187a2f; } .fail, .error { color: #c1121f; font-weight: 600; } .inconclusive { color: #9a6700; }
@media (prefers-color-scheme: dark) { .pass { color: #5fd37a; } .fail, .error { color: #ff7b72; } .inconclusive { color: #e3b341; } }
@media (max-width: 60rem) { main { display: block; } }
";

/// The page.
pub fn render(evidence: &Evidence<'_>) -> String {
    let (with, all) = evidence.covered();
    let name = escape(evidence.draft.source.name());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{name}: what shows it</title><style>{STYLE}</style></head>\n<body><h1>{name}</h1>\n\
         <p>{with} of {all} statements that bind have a scenario.{}</p>\n<main>\n",
        servers(evidence)
    );
    let mut clause = 0;
    for (index, block) in evidence.draft.blocks.iter().enumerate() {
        if block.clause != clause {
            clause = block.clause;
            let it = evidence.draft.clause_of(block);
            let class = if it.informative.is_some() {
                " class=\"informative\""
            } else {
                ""
            };
            let _ = writeln!(
                page,
                "<h2{class}>{} {}</h2>",
                escape(&it.number),
                escape(&it.title)
            );
        }
        let rows: Vec<&Row<'_>> = evidence
            .rows
            .iter()
            .filter(|row| row.statement.block == index)
            .collect();
        left(&mut page, evidence, block, &rows);
        right(&mut page, evidence, &rows);
    }
    page.push_str("</main>\n");
    for assumption in &evidence.draft.assumptions {
        let _ = writeln!(page, "<p class=\"informative\">{}</p>", escape(assumption));
    }
    page.push_str("</body></html>\n");
    page
}

fn servers(evidence: &Evidence<'_>) -> String {
    if evidence.servers.is_empty() {
        return String::new();
    }
    format!(" Servers: {}.", escape(&evidence.servers.join(", ")))
}

/// The text of a block, its statements marked.
fn left(page: &mut String, evidence: &Evidence<'_>, block: &Block, rows: &[&Row<'_>]) {
    let depth = match block.kind {
        BlockKind::Bullet { depth } => depth,
        _ => 0,
    };
    let informs = !block.kind.can_bind() || evidence.draft.clause_of(block).informative.is_some();
    let class = if informs {
        " class=\"informative\""
    } else {
        ""
    };
    let bullet = if depth > 0 { "• " } else { "" };
    let mut text = String::new();
    let mut rest = block.text();
    for row in rows {
        // Statements of a block stand in it one behind the other.
        if let Some((before, after)) = rest.split_once(row.statement.text.as_str()) {
            let _ = write!(
                text,
                "{}<mark class=\"{}\" title=\"{}\">{}</mark>",
                escape(before),
                row.standing.name(),
                escape(&row.statement.id),
                escape(&row.statement.text)
            );
            rest = after;
        }
    }
    text.push_str(&escape(rest));
    let _ = writeln!(
        page,
        "<div{class} style=\"margin-left:{}rem\">{bullet}{text}</div>",
        depth.saturating_sub(1) * 2
    );
}

fn right(page: &mut String, evidence: &Evidence<'_>, rows: &[&Row<'_>]) {
    if rows.is_empty() {
        page.push_str("<div></div>\n");
        return;
    }
    page.push_str("<div class=\"evidence\">");
    for row in rows {
        let _ = write!(
            page,
            "<p><code>{}</code> {}",
            escape(&row.statement.clause),
            escape(&row.statement.key_word)
        );
        if row.standing == Standing::Reworded {
            page.push_str(" · reworded since its requirements were written");
        }
        page.push_str("</p>");
        for requirement in &row.requirements {
            let _ = write!(
                page,
                "<p><code>{}</code> {} {}</p>",
                escape(&requirement.id),
                escape(&requirement.condition),
                escape(&requirement.statement)
            );
        }
        match row.obstacle() {
            Some(why) => {
                let _ = write!(page, "<p class=\"inconclusive\">{}</p>", escape(&why));
            }
            None => {
                let _ = write!(
                    page,
                    "<details><summary>{} scenarios, proven by {} seeded faults</summary><p><code>{}</code></p>",
                    row.scenarios.len(),
                    row.faults.len(),
                    escape(&row.scenarios.join(" "))
                );
                for fault in &row.faults {
                    let _ = write!(
                        page,
                        "<p><code>{}</code> {}</p>",
                        fault.id,
                        escape(fault.about)
                    );
                }
                page.push_str("</details>");
            }
        }
        let wording: Vec<&str> = row.wording().into_iter().collect();
        if !wording.is_empty() {
            let _ = write!(page, "<p>wording: {}</p>", escape(&wording.join(", ")));
        }
        for (server, outcome) in evidence.servers.iter().zip(&row.outcomes) {
            let word = outcome.word();
            let _ = write!(
                page,
                "<p>{}: <span class=\"{word}\">{word}</span>",
                escape(server)
            );
            if !outcome.failed.is_empty() {
                let _ = write!(page, " {}", escape(&outcome.failed.join(", ")));
            }
            for (defect, readings) in &outcome.readings {
                let _ = write!(
                    page,
                    " · {} read as {}",
                    escape(defect),
                    escape(&readings.join(", "))
                );
            }
            page.push_str("</p>");
        }
    }
    page.push_str("</div>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
