//! HTML becomes text with marks of Markdown: headings, bullets with their nesting, notes, verbatim parts. No layout is
//! attempted; what a browser would not show is left out.

use std::fmt::Write as _;

/// Nesting of lists beyond which nobody reads.
const DEEPEST: usize = 12;

/// Elements whose content is no text of the document.
const SKIPPED: [&str; 7] = ["script", "style", "head", "nav", "template", "svg", "del"];

/// Elements that begin and end a paragraph.
const BLOCKS: [&str; 21] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "table",
    "tr",
    "dl",
    "dt",
    "dd",
    "blockquote",
    "figure",
    "figcaption",
    "address",
    "body",
    "hr",
    "details",
    "summary",
];

/// The text of a page.
pub(super) fn to_text(html: &str) -> String {
    let mut writer = Writer::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        writer.text(&rest[..at]);
        rest = &rest[at..];
        let (tag, after) = next_tag(rest);
        match tag {
            Some(tag) => {
                if let (false, Some(name)) =
                    (tag.closes, SKIPPED.iter().find(|it| **it == tag.name))
                {
                    rest = after_element(after, name);
                    continue;
                }
                writer.tag(&tag);
            }
            None if after.len() == rest.len() => {
                // A lone `<` is text.
                writer.text("<");
                rest = &rest[1..];
                continue;
            }
            None => {}
        }
        rest = after;
    }
    writer.text(rest);
    writer.end_block();
    writer.out
}

struct Tag<'a> {
    name: String,
    closes: bool,
    attributes: &'a str,
}

/// A tag, or nothing where a comment or a declaration stands; and what follows.
fn next_tag(text: &str) -> (Option<Tag<'_>>, &str) {
    if let Some(comment) = text.strip_prefix("<!--") {
        return (None, comment.split_once("-->").map_or("", |(_, rest)| rest));
    }
    let inner = &text[1..];
    let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
    if !inner.starts_with(starts) {
        return (None, text);
    }
    let Some(end) = end_of_tag(inner) else {
        return (None, "");
    };
    let (body, after) = (&inner[..end], &inner[end + 1..]);
    let (closes, body) = match body.strip_prefix('/') {
        Some(body) => (true, body),
        None => (false, body),
    };
    let length = body
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(body.len());
    let (name, attributes) = body.split_at(length);
    let tag = Tag {
        name: name.to_ascii_lowercase(),
        closes,
        attributes,
    };
    ((!tag.name.is_empty()).then_some(tag), after)
}

/// The `>` that ends a tag, quoted ones apart.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some(at),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    text.find('>')
}

/// What follows the end tag of an element.
fn after_element<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        let found = rest.get(..name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return rest.split_once('>').map_or("", |(_, after)| after);
        }
    }
    ""
}

#[derive(Default)]
struct Writer {
    out: String,
    line: String,
    /// What stands before the line: `# `, `- `.
    prefix: String,
    /// Lists that are open: numbered ones with their count.
    lists: Vec<Option<usize>>,
    verbatim: bool,
}

impl Writer {
    fn text(&mut self, text: &str) {
        let text = entities(text);
        if self.verbatim {
            self.out.push_str(&text);
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() {
                if !self.line.is_empty() && !self.line.ends_with(' ') {
                    self.line.push(' ');
                }
            } else {
                self.line.push(c);
            }
        }
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        match tag.name.as_str() {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.end_block();
                if !tag.closes {
                    let level = usize::from(tag.name.as_bytes()[1] - b'0');
                    self.prefix = format!("{} ", "#".repeat(level));
                }
            }
            "ul" | "ol" => {
                self.end_block();
                if tag.closes {
                    self.lists.pop();
                } else {
                    self.lists.push((tag.name == "ol").then_some(0));
                }
            }
            "li" => {
                self.end_block();
                if !tag.closes {
                    self.bullet();
                }
            }
            "pre" => {
                self.end_block();
                self.out
                    .push_str(if tag.closes { "\n```\n\n" } else { "```\n" });
                self.verbatim = !tag.closes;
            }
            "br" if self.verbatim => self.out.push('\n'),
            "br" | "td" | "th" => self.text(" "),
            name if BLOCKS.contains(&name) => {
                self.end_block();
                if !tag.closes && is_note(tag.attributes) {
                    self.prefix.push_str("NOTE: ");
                }
            }
            _ => {}
        }
    }

    fn bullet(&mut self) {
        let depth = self.lists.len().clamp(1, DEEPEST);
        let indent = "    ".repeat(depth - 1);
        let mark = match self.lists.last_mut() {
            Some(Some(count)) => {
                *count += 1;
                format!("{count}. ")
            }
            _ => "- ".to_owned(),
        };
        self.prefix = format!("{indent}{mark}");
    }

    fn end_block(&mut self) {
        if self.verbatim {
            return;
        }
        let line = self.line.trim_end();
        if !line.is_empty() {
            // What follows a bullet's first paragraph belongs to the bullet still.
            if self.prefix.is_empty() && !self.lists.is_empty() {
                self.prefix = "    ".repeat(self.lists.len().min(DEEPEST));
            }
            let _ = write!(self.out, "{}{line}\n\n", self.prefix);
            self.prefix.clear();
        }
        self.line.clear();
    }
}

/// Notes of the usual tools have the class `note`, examples `example`.
fn is_note(attributes: &str) -> bool {
    let lower = attributes.to_ascii_lowercase();
    lower.split_once("class=").is_some_and(|(_, value)| {
        let value = value.trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next(),
            _ => value.split_whitespace().next(),
        };
        let mut classes = value.unwrap_or_default().split_whitespace();
        classes.any(|class| matches!(class, "note" | "example" | "informative" | "non-normative"))
    })
}

/// Character references: numeric ones, and the names that specifications use.
fn entities(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = rest[1..].char_indices().take(10).find(|(_, c)| *c == ';');
        let Some(c) = found.and_then(|(end, _)| entity(&rest[1..=end])) else {
            out.push('&');
            rest = &rest[1..];
            continue;
        };
        out.push(c);
        rest = rest.split_once(';').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let value = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(value.ok()?);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "middot" => '·',
        "bull" => '•',
        "sect" => '§',
        "copy" => '©',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        insta::assert_snapshot!(to_text(
            "<html><head><title>x</title><style>p { }</style></head><body>
             <h2>4.1 Parcels</h2><p>A locker   does the
             following &amp; nothing else:</p>
             <ul><li>SHALL open<ol><li>slowly<p>and only once</p></li><li>fully</li></ol></li><li>MAY &ldquo;sing&rdquo;</li></ul>
             <div class='advisement note'>It is &#x201c;open&#8221; &bogus; &.</div><!-- hidden -->
             <pre>a  b\n &lt;c&gt;</pre>1 < 2<script>1 </ 2</script></body></html>"
        ));
    }

    #[test]
    fn what_is_not_closed_ends_with_the_page() {
        for odd in [
            "<",
            "<p",
            "<!--",
            "<script>x",
            "<a href=\"x>y",
            "a<b>c",
            "</",
            "<>x",
        ] {
            let _ = to_text(odd);
        }
        assert_eq!(to_text("<ul><li>x").trim_end(), "- x");
    }
}
