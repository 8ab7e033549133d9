//! Case bodies, packed: cut into pieces, each different piece once, deflated, as base64 in the page.
//!
//! Thirteen hundred traces as markup are fifty megabytes; nobody opens more than a few. A browser inflates
//! a pack (some dozens of cases) when the first case in it is opened.

use std::collections::HashMap;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;

use super::body;
use super::view::Links;
use crate::record::CaseRecord;

/// Octets of different pieces after which a pack is closed: what a browser inflates and reads in a blink.
const FULL: usize = 256 * 1024;

/// Some cases, one after the other.
#[derive(Debug)]
pub(super) struct Pack {
    /// Index of the first case in the record.
    pub(super) first: usize,
    /// Base64 of deflated JSON: `{"p": [pieces], "c": [[indices of the pieces of a case]]}`.
    pub(super) octets: String,
}

/// Cases that are packed at once; then what is ready is passed on, and forgotten.
const BATCH: usize = 1_024;
/// A run of more cases is packed in haste: its page is larger, and is there in seconds all the same.
const MANY: usize = 4_000;

/// All cases in their order, packed on as many threads as there are processors.
pub(super) fn all(
    cases: &[CaseRecord],
    links: &Links<'_>,
    take: &mut dyn FnMut(Pack) -> io::Result<()>,
) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let level = Compression::new(if cases.len() > MANY { 1 } else { 6 });
    for (n, batch) in cases.chunks(BATCH).enumerate() {
        let share = batch.len().div_ceil(threads).max(1);
        let packs: io::Result<Vec<Vec<Pack>>> = std::thread::scope(|scope| {
            let shares = batch.chunks(share).enumerate();
            let workers: Vec<_> = shares
                .map(|(m, cases)| {
                    let first = n * BATCH + m * share;
                    scope.spawn(move || some(first, cases, links, level))
                })
                .collect();
            let broke = |_| Err(io::Error::other("a thread that packs traces broke"));
            let packs = workers
                .into_iter()
                .map(|it| it.join().unwrap_or_else(broke));
            packs.collect()
        });
        packs?.into_iter().flatten().try_for_each(&mut *take)?;
    }
    Ok(())
}

fn some(
    first: usize,
    cases: &[CaseRecord],
    links: &Links<'_>,
    level: Compression,
) -> io::Result<Vec<Pack>> {
    let mut packs = Vec::new();
    let mut open = Open::default();
    let mut begins = first;
    for (n, case) in cases.iter().enumerate() {
        open.add(body::whole(case, links));
        if open.size >= FULL {
            packs.push(std::mem::take(&mut open).close(begins, level)?);
            begins = first + n + 1;
        }
    }
    if !open.cases.is_empty() {
        packs.push(open.close(begins, level)?);
    }
    Ok(packs)
}

/// A pack as it is written.
#[derive(Serialize)]
struct Written<'p> {
    p: &'p [String],
    c: &'p [Vec<u32>],
}

/// A pack in the making.
#[derive(Default)]
struct Open {
    known: HashMap<String, u32>,
    pieces: Vec<String>,
    cases: Vec<Vec<u32>>,
    size: usize,
}

impl Open {
    fn add(&mut self, body: Vec<String>) {
        let mut indices = Vec::with_capacity(body.len());
        for piece in body {
            if let Some(known) = self.known.get(&piece) {
                indices.push(*known);
                continue;
            }
            // A pack is closed long before its pieces cannot be counted.
            let index = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
            self.size += piece.len();
            self.pieces.push(piece.clone());
            self.known.insert(piece, index);
            indices.push(index);
        }
        self.cases.push(indices);
    }

    fn close(self, first: usize, level: Compression) -> io::Result<Pack> {
        let written = Written {
            p: &self.pieces,
            c: &self.cases,
        };
        let json = serde_json::to_vec(&written)?;
        let mut deflate = DeflateEncoder::new(Vec::new(), level);
        deflate.write_all(&json)?;
        Ok(Pack {
            first,
            octets: STANDARD.encode(deflate.finish()?),
        })
    }
}
