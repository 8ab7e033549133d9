//! Reports on disk.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use crate::badge::Badge;
use crate::record::RunRecord;
use crate::{annotations, ctrf, html, json, junit, markdown, statement, tap};

/// Names of the files that [`write_all`] writes, in its order.
pub const FILES: [&str; 4] = ["run.json", "junit.xml", "summary.md", "report.html"];

/// Writes all reports of a run into a directory, which is made if it is not there, and tells their paths.
///
/// Each file appears complete or not at all: it is written beside its place and then renamed, so that a
/// reader, or a run that is killed, never leaves half a report. Whether the page can be made or not, the record
/// is written: everything else can be rendered from it again.
pub fn write_all(record: &RunRecord, dir: &Path) -> io::Result<Vec<PathBuf>> {
    write_some(record, dir, &FILES)
}

/// The same for the files of these names; [`render`] knows the names.
pub fn write_some(record: &RunRecord, dir: &Path, names: &[&str]) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).map_err(|e| about(&e, dir))?;
    let write = |name: &str| {
        let path = dir.join(name);
        replace_with(&path, |file| match name {
            "report.html" => html::write(record, file).map_err(io::Error::other),
            _ => file.write_all(&render(record, name)?),
        })?;
        Ok(path)
    };
    // Side by side: the page and the record of a whole suite are megabytes each.
    std::thread::scope(|scope| {
        let writers: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || write(name)))
            .collect();
        let broke = || io::Error::other("a report could not be written: its writer broke");
        let wait = |it: ScopedJoinHandle<'_, _>| it.join().unwrap_or_else(|_| Err(broke()));
        // All of them are waited for, and the first error is told.
        let written: Vec<_> = writers.into_iter().map(wait).collect();
        written.into_iter().collect()
    })
}

/// What stands in the file of this name.
pub fn render(record: &RunRecord, name: &str) -> io::Result<Vec<u8>> {
    let text = match name {
        "run.json" => json::to_string(record).map_err(io::Error::other)?,
        "run.json.zst" => return json::to_zst(record).map_err(io::Error::other),
        "junit.xml" => junit::render(record).map_err(io::Error::other)?,
        "summary.md" => markdown::render(record),
        "results.tap" => tap::render(record),
        "ctrf.json" => ctrf::render(record).map_err(io::Error::other)?,
        "badge.json" => Badge::of(record).json().map_err(io::Error::other)?,
        "badge.svg" => Badge::of(record).svg(),
        "statement.md" => statement::document(record).markdown(),
        "statement.html" => {
            let page = statement::document(record).html();
            page.map_err(io::Error::other)?
        }
        "annotations.txt" => annotations::render(record),
        "report.html" => html::render(record).map_err(io::Error::other)?,
        _ => return Err(io::Error::other(format!("no report is called {name}"))),
    };
    Ok(text.into_bytes())
}

/// Writes a file so that it is there complete or not at all.
pub fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    replace_with(path, |file| file.write_all(octets))
}

fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::File::create(&beside).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    let done = written.and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // The first error is the one to tell; the rest of a file is only litter.
        let _ = fs::remove_file(&beside);
    }
    done.map_err(|e| about(&e, path))
}

fn about(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
