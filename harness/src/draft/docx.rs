//! DOCX becomes text with marks of Markdown: headings by their styles and numbered as Word numbers them, bullets with their nesting.
//! Insertions of a change that is not accepted yet are read as accepted, deletions are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Read as _};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::decode::LIMIT;

/// Levels of headings and lists in the format (ECMA-376 §17.9.3: `ilvl` 0 to 8).
const LEVELS: usize = 9;

/// The text of a document.
pub(super) fn to_text(octets: &[u8]) -> Result<String, String> {
    let mut archive =
        ZipArchive::new(Cursor::new(octets)).map_err(|why| format!("a broken archive: {why}"))?;
    let document = part(&mut archive, "word/document.xml")?
        .ok_or("an archive without word/document.xml: no DOCX")?;
    let styles = part(&mut archive, "word/styles.xml")?.unwrap_or_default();
    let numbering = part(&mut archive, "word/numbering.xml")?.unwrap_or_default();
    let mut writer = Writer {
        styles: styles_of(&styles)?,
        numbered: numbered_lists(&numbering)?,
        out: String::new(),
        headings: [0; LEVELS],
        lists: BTreeMap::new(),
    };
    for paragraph in paragraphs(&document)? {
        writer.paragraph(&paragraph);
    }
    Ok(writer.out)
}

/// A part of the archive; a part that unpacks to more than the limit is an error.
fn part(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Option<String>, String> {
    let Ok(file) = archive.by_name(name) else {
        return Ok(None);
    };
    let limit = u64::try_from(LIMIT).unwrap_or(u64::MAX);
    let mut octets = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut octets)
        .map_err(|why| format!("{name}: {why}"))?;
    if octets.len() > LIMIT {
        return Err(format!(
            "{name} unpacks to more than {} MiB",
            LIMIT / 1024 / 1024
        ));
    }
    String::from_utf8(octets)
        .map(Some)
        .map_err(|why| format!("{name}: {why}"))
}

#[derive(Debug, Clone, Default)]
struct Style {
    name: String,
    based_on: String,
    outline: Option<usize>,
    list: Option<List>,
}

/// Place in a list: which, and how deep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct List {
    id: String,
    level: usize,
}

#[derive(Debug, Default)]
struct Paragraph {
    style: String,
    outline: Option<usize>,
    list: Option<List>,
    text: String,
}

/// Calls `see` with each event of a part, until its end.
fn each(xml: &str, mut see: impl FnMut(&Event<'_>)) -> Result<(), String> {
    let mut reader = Reader::from_str(xml);
    loop {
        let event = reader
            .read_event()
            .map_err(|why| format!("broken XML at octet {}: {why}", reader.buffer_position()))?;
        if matches!(event, Event::Eof) {
            return Ok(());
        }
        see(&event);
    }
}

/// An attribute, whatever its prefix.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    element
        .attributes()
        .flatten()
        .find(|it| it.key.local_name().as_ref() == name.as_bytes())
        .map(|it| String::from_utf8_lossy(&it.value).into_owned())
}

/// The value (`w:val`) of an element.
fn value(element: &BytesStart<'_>) -> String {
    attribute(element, "val").unwrap_or_default()
}

fn level(element: &BytesStart<'_>) -> usize {
    value(element).parse().unwrap_or(0).min(LEVELS - 1)
}

fn styles_of(xml: &str) -> Result<BTreeMap<String, Style>, String> {
    let mut styles = BTreeMap::new();
    let mut current: Option<(String, Style)> = None;
    each(xml, |event| match event {
        Event::Start(e) | Event::Empty(e) => {
            if e.local_name().as_ref() == b"style" {
                current = Some((
                    attribute(e, "styleId").unwrap_or_default(),
                    Style::default(),
                ));
            }
            if let Some((_, style)) = &mut current {
                match e.local_name().as_ref() {
                    b"name" => style.name = value(e).to_ascii_lowercase(),
                    b"basedOn" => style.based_on = value(e),
                    b"outlineLvl" => style.outline = Some(level(e)),
                    b"numId" => style.list.get_or_insert_default().id = value(e),
                    b"ilvl" => style.list.get_or_insert_default().level = level(e),
                    _ => {}
                }
            }
        }
        Event::End(e) if e.local_name().as_ref() == b"style" => {
            styles.extend(current.take());
        }
        _ => {}
    })?;
    Ok(styles)
}

/// Which levels of which lists count instead of having a sign.
fn numbered_lists(xml: &str) -> Result<BTreeMap<String, [bool; LEVELS]>, String> {
    let mut abstracts: BTreeMap<String, [bool; LEVELS]> = BTreeMap::new();
    let mut lists = BTreeMap::new();
    let (mut pattern, mut list, mut at) = (String::new(), String::new(), 0);
    each(xml, |event| {
        let (Event::Start(e) | Event::Empty(e)) = event else {
            return;
        };
        match e.local_name().as_ref() {
            b"abstractNum" => pattern = attribute(e, "abstractNumId").unwrap_or_default(),
            b"lvl" => {
                let level = attribute(e, "ilvl").and_then(|level| level.parse().ok());
                at = level.unwrap_or(0).min(LEVELS - 1);
            }
            b"numFmt" => {
                let counts = !matches!(value(e).as_str(), "bullet" | "none");
                abstracts.entry(pattern.clone()).or_default()[at] = counts;
            }
            b"num" => list = attribute(e, "numId").unwrap_or_default(),
            b"abstractNumId" => {
                let levels = abstracts.get(&value(e)).copied().unwrap_or_default();
                lists.insert(list.clone(), levels);
            }
            _ => {}
        }
    })?;
    Ok(lists)
}

fn paragraphs(xml: &str) -> Result<Vec<Paragraph>, String> {
    let mut all = Vec::new();
    // Paragraphs stand in paragraphs where there is a text box; the older copy of one is left out.
    let mut open: Vec<Paragraph> = Vec::new();
    let (mut skipping, mut in_text) = (0_usize, false);
    each(xml, |event| {
        match event {
            Event::Start(e) => match e.local_name().as_ref() {
                b"Fallback" | b"del" | b"moveFrom" => skipping += 1,
                b"p" => open.push(Paragraph::default()),
                b"t" => in_text = true,
                _ => {}
            },
            Event::End(e) => match e.local_name().as_ref() {
                b"Fallback" | b"del" | b"moveFrom" => skipping = skipping.saturating_sub(1),
                b"p" => all.extend(open.pop()),
                b"t" => in_text = false,
                _ => {}
            },
            _ => {}
        }
        let Some(paragraph) = open.last_mut().filter(|_| skipping == 0) else {
            return;
        };
        match event {
            Event::Text(text) if in_text => {
                paragraph.text.push_str(&String::from_utf8_lossy(text));
            }
            Event::GeneralRef(name) if in_text => {
                let name = String::from_utf8_lossy(name);
                paragraph.text.push_str(&reference(&name));
            }
            Event::Start(e) | Event::Empty(e) => match e.local_name().as_ref() {
                b"pStyle" => paragraph.style = value(e),
                b"outlineLvl" => paragraph.outline = Some(level(e)),
                b"numId" => paragraph.list.get_or_insert_default().id = value(e),
                b"ilvl" => paragraph.list.get_or_insert_default().level = level(e),
                b"tab" | b"br" | b"cr" => paragraph.text.push(' '),
                b"noBreakHyphen" => paragraph.text.push('-'),
                _ => {}
            },
            _ => {}
        }
    })?;
    Ok(all)
}

/// `amp`, `#8217`, `#x2019`: XML knows five names.
fn reference(name: &str) -> String {
    match name {
        "amp" => "&".to_owned(),
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "quot" => "\"".to_owned(),
        "apos" => "'".to_owned(),
        _ => {
            let number = name.trim_start_matches('#');
            let value = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            let c = value.ok().and_then(char::from_u32);
            c.map_or_else(String::new, String::from)
        }
    }
}

struct Writer {
    styles: BTreeMap<String, Style>,
    numbered: BTreeMap<String, [bool; LEVELS]>,
    out: String,
    headings: [usize; LEVELS],
    lists: BTreeMap<String, [usize; LEVELS]>,
}

impl Writer {
    fn paragraph(&mut self, paragraph: &Paragraph) {
        let text = paragraph
            .text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if text.is_empty() {
            return;
        }
        let style = self.style(&paragraph.style);
        let of_name = style
            .name
            .strip_prefix("heading ")
            .and_then(|level| level.parse::<usize>().ok())
            .and_then(|level| level.checked_sub(1));
        let heading = paragraph.outline.or(of_name).or(style.outline);
        // A list with the id 0 takes a paragraph out of the list of its style (ECMA-376 §17.9.18).
        let list = paragraph.list.clone().or(style.list);
        let list = list.filter(|list| list.id != "0");
        let prefix = match (heading, list) {
            (Some(level), list) => self.heading(level.min(LEVELS - 1), list.is_some(), &text),
            (None, Some(list)) => self.bullet(&list),
            (None, None) => String::new(),
        };
        let _ = write!(self.out, "{prefix}{text}\n\n");
    }

    /// A style, with what it has from those that it is based on.
    fn style(&self, id: &str) -> Style {
        let mut whole = self.styles.get(id).cloned().unwrap_or_default();
        let mut base = whole.based_on.clone();
        for _ in 0..self.styles.len().min(10) {
            let Some(style) = self.styles.get(&base) else {
                break;
            };
            whole.outline = whole.outline.or(style.outline);
            whole.list = whole.list.or_else(|| style.list.clone());
            if !whole.name.starts_with("heading ") {
                whole.name.clone_from(&style.name);
            }
            base.clone_from(&style.based_on);
        }
        whole
    }

    fn heading(&mut self, level: usize, counts: bool, text: &str) -> String {
        let marks = "#".repeat(level.min(5) + 1);
        if !counts || text.starts_with(|c: char| c.is_ascii_digit()) {
            return format!("{marks} ");
        }
        self.headings[level] += 1;
        self.headings[level + 1..].fill(0);
        let number: Vec<String> = self.headings[..=level]
            .iter()
            .map(ToString::to_string)
            .collect();
        format!("{marks} {} ", number.join("."))
    }

    fn bullet(&mut self, list: &List) -> String {
        let indent = "    ".repeat(list.level);
        let counts = self
            .numbered
            .get(&list.id)
            .is_some_and(|levels| levels[list.level]);
        if !counts {
            return format!("{indent}- ");
        }
        let count = self.lists.entry(list.id.clone()).or_default();
        count[list.level] += 1;
        count[list.level + 1..].fill(0);
        format!("{indent}{}. ", count[list.level])
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write as _;

    use super::*;

    const STYLES: &str = "<w:styles>
      <w:style w:styleId='H1'><w:name w:val='heading 1'/><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:style>
      <w:style w:styleId='H2'><w:name w:val='heading 2'/><w:basedOn w:val='H1'/></w:style>
      <w:style w:styleId='Loop'><w:name w:val='loop'/><w:basedOn w:val='Loop'/></w:style>
    </w:styles>";
    const NUMBERING: &str = "<w:numbering>
      <w:abstractNum w:abstractNumId='7'><w:lvl w:ilvl='0'><w:numFmt w:val='bullet'/></w:lvl><w:lvl w:ilvl='1'><w:numFmt w:val='decimal'/></w:lvl></w:abstractNum>
      <w:num w:numId='2'><w:abstractNumId w:val='7'/></w:num>
    </w:numbering>";

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    fn style(id: &str, text: &str) -> String {
        paragraph(&format!("<w:pStyle w:val='{id}'/>"), text)
    }

    fn bullet(level: usize, text: &str) -> String {
        let list = format!("<w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='2'/></w:numPr>");
        paragraph(&list, text)
    }

    /// A document with these paragraphs.
    fn archive(body: &str) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let document = format!("<w:document><w:body>{body}</w:body></w:document>");
        for (name, text) in [
            ("word/document.xml", document.as_str()),
            ("word/styles.xml", STYLES),
            ("word/numbering.xml", NUMBERING),
        ] {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// A small specification, for tests of all that comes after.
    pub(in super::super) fn sample() -> Vec<u8> {
        archive(
            &[
                style("H1", "Lockers"),
                style("H2", "Opening"),
                style("Loop", "When a parcel arrives, the locker:"),
                bullet(0, "SHALL open &amp; ring,"),
                bullet(1, "loudly"),
                bullet(1, "once"),
                "<w:p><w:r><w:t>It </w:t></w:r><w:del><w:r><w:t>never </w:t></w:r></w:del><w:ins><w:r><w:t>MAY close.</w:t></w:r></w:ins></w:p>".to_owned(),
                style("H2", "Closing"),
                style("H1", "2 Payment"),
            ]
            .concat(),
        )
    }

    #[test]
    fn headings_lists_and_changes() {
        insta::assert_snapshot!(to_text(&sample()).unwrap());
    }

    #[test]
    fn what_is_broken_is_told() {
        let whole = sample();
        assert!(to_text(&whole[..whole.len() / 2]).is_err());
        assert!(
            to_text(&archive("<w:p></w:x>"))
                .unwrap_err()
                .starts_with("broken XML")
        );
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("a", zip::write::SimpleFileOptions::default())
            .unwrap();
        let other = zip.finish().unwrap().into_inner();
        insta::assert_snapshot!(to_text(&other).unwrap_err(), @"an archive without word/document.xml: no DOCX");
    }
}
