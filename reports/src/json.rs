//! The record as JSON: `run.json`, the one file from which everything else can be rendered again; `run.json.zst`
//! where it shall be small. Records of older formats are brought up to today's when they are read.

mod older;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use crate::record::{FORMAT, RunRecord};

/// Why a file is not a record that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not an object with a `format`.
    #[error(
        "this is not the record of an imspec run: {0}; a record is the run.json that `imspec run` writes"
    )]
    NotARecord(#[source] serde_json::Error),
    /// Written by a newer imspec.
    #[error(
        "the record has format {found}, and this imspec reads format {FORMAT}: read it with imspec {tool} or newer"
    )]
    Newer {
        /// Its format.
        found: u64,
        /// Version that wrote it.
        tool: String,
    },
    /// Written by an older imspec.
    #[error(
        "the record has format {found}, as imspec {tool} wrote it, and this imspec reads format {FORMAT}: run again with this imspec"
    )]
    Older {
        /// Its format.
        found: u64,
        /// Version that wrote it.
        tool: String,
    },
    /// The format is known, but something in it is not as it must be.
    #[error(
        "the record says format {FORMAT}, but it is damaged or was changed by hand: {0}; docs/schema/run.schema.json tells what it must look like"
    )]
    Damaged(#[source] serde_json::Error),
    /// A record that cannot be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Write(#[source] serde_json::Error),
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Compressed, but not as it must be.
    #[error("it is not compressed by zstd, or damaged: {0}")]
    Compressed(String),
}

/// Just enough to tell which reader is needed.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    tool: String,
}

/// The record as pretty JSON, its members in the order of the types, with a line end at the end.
pub fn to_string(record: &RunRecord) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(record).map_err(Error::Write)?;
    text.push('\n');
    Ok(text)
}

/// Reads a record.
pub fn from_str(text: &str) -> Result<RunRecord, Error> {
    let head: Head = serde_json::from_str(text).map_err(Error::NotARecord)?;
    let found = head.format;
    let tool = crate::escape::line(&head.tool);
    if found > u64::from(FORMAT) {
        return Err(Error::Newer { found, tool });
    }
    if found < u64::from(FORMAT) {
        return Err(Error::Older { found, tool });
    }
    serde_json::from_str(text).map_err(Error::Damaged)
}

/// The record as compact JSON, compressed by zstd.
pub fn to_zst(record: &RunRecord) -> Result<Vec<u8>, Error> {
    let text = serde_json::to_vec(record).map_err(Error::Write)?;
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    Ok(ruzstd::encoding::compress_to_vec(&text[..], level))
}

/// Octets at the beginning that tell which format a record has; imspec writes that first.
const BEGINNING: usize = 256;

/// Reads a record of any format that there was, as `run.json` or `run.json.zst`.
///
/// A record may be hundreds of megabytes: it is read as it comes, and never stands in memory as text.
pub fn read(path: &Path) -> Result<RunRecord, Error> {
    let mut file = open(path)?;
    let mut beginning = Vec::new();
    file.by_ref()
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)?;
    let current = String::from_utf8_lossy(&beginning).replace(char::is_whitespace, "");
    let whole = (&beginning[..]).chain(file);
    if current.starts_with(&format!("{{\"format\":{FORMAT},")) {
        return serde_json::from_reader(BufReader::with_capacity(1 << 16, whole))
            .map_err(Error::Damaged);
    }
    let mut text = String::new();
    let mut whole = whole;
    whole.read_to_string(&mut text)?;
    match from_str(&text) {
        Err(Error::Older { found, tool }) => older::read(&text, found, tool),
        read => read,
    }
}

/// The text of a record's file, whether it is compressed or not.
pub fn text(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    let file = BufReader::with_capacity(1 << 16, File::open(path)?);
    if path.extension().is_some_and(|it| it == "zst") {
        let decoder = ruzstd::decoding::StreamingDecoder::new(file);
        let decoder = decoder.map_err(|why| Error::Compressed(why.to_string()))?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(file))
}

/// The JSON Schema of a record, as published in `docs/schema/run.schema.json`.
pub fn schema() -> Result<String, Error> {
    let mut schema = schemars::schema_for!(RunRecord);
    schema.insert("title".to_owned(), "Record of an imspec run".into());
    let mut text = serde_json::to_string_pretty(&schema).map_err(Error::Write)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::Octets;
    use crate::sample;
    use proptest::prelude::*;

    #[test]
    fn a_record_survives_the_file() {
        let record = sample::record();
        let text = to_string(&record).unwrap();
        let again = from_str(&text).unwrap();
        assert_eq!(again, record);
        assert_eq!(to_string(&again).unwrap(), text);
    }

    #[test]
    fn says_why_a_file_cannot_be_read() {
        let newer = from_str(r#"{"format": 99, "tool": "7.0.0", "shape": []}"#).unwrap_err();
        let older = from_str(r#"{"format": 1, "tool": "0.0.9", "shape": []}"#).unwrap_err();
        let damaged = from_str(r#"{"format": 2, "tool": "0.1.0"}"#).unwrap_err();
        let other = from_str(r#"{"hello": 1}"#).unwrap_err();
        let none = from_str("").unwrap_err();
        insta::assert_snapshot!(format!("{newer}\n{older}\n{damaged}\n{other}\n{none}"));
    }

    #[test]
    fn published_schema_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/schema/run.schema.json"
        );
        let current = schema().unwrap();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &current).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            published == current,
            "docs/schema/run.schema.json is not that of the record: run this test with UPDATE_SCHEMA=1"
        );
    }

    #[test]
    fn records_obey_the_published_schema() {
        let schema = serde_json::from_str(&schema().unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for record in [sample::record(), sample::interrupted()] {
            let mut value = serde_json::to_value(record).unwrap();
            let errors: Vec<_> = validator
                .iter_errors(&value)
                .map(|e| e.to_string())
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
            value["cases"][0]["verdict"] = "perhaps".into();
            assert!(!validator.is_valid(&value));
        }
    }

    #[test]
    fn a_record_survives_compression() {
        let record = sample::record();
        let path = std::env::temp_dir().join(format!("imspec-{}.json.zst", std::process::id()));
        std::fs::write(&path, to_zst(&record).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), record);
        std::fs::write(&path, "no such thing").unwrap();
        assert!(matches!(read(&path), Err(Error::Compressed(_))));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn records_of_every_format_are_read_and_rendered() {
        for format in 1..=FORMAT {
            let file = format!(
                "{}/records/format-{format}.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let record = read(Path::new(&file)).unwrap();
            assert_eq!(record.format, FORMAT);
            assert!(!record.cases.is_empty());
            let page = crate::html::render(&record).unwrap();
            assert!(page.contains(&record.cases[0].id));
            let schema = serde_json::from_str(&schema().unwrap()).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            assert!(validator.is_valid(&serde_json::to_value(&record).unwrap()));
        }
    }

    proptest! {
        #[test]
        fn octets_survive_json(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let octets = Octets::from(octets);
            let text = serde_json::to_string(&octets).unwrap();
            prop_assert_eq!(serde_json::from_str::<Octets>(&text).unwrap(), octets);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}") {
            let _ = from_str(&text);
        }
    }
}
