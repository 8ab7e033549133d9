//! One message in the making: its chunks are put together, and its octets go to the store piece by
//! piece, so that it needs no more memory than a few pieces however long it is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use imspec_wire::msrp::{Chunk, Conflict, Flag, Head, Limits, Outcome, Reassembly, Refusal};
use ring::digest;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::clock::Timestamp;
use crate::policy::SessionWishes;
use crate::store::{PIECE, Part, Piece, Store, StoreError};

/// Pieces of one message that may be on their way to the disk.
const WINDOW: usize = 4;
/// Octets of heads that are kept of one message; of more chunks only the first one's is.
const HEADS: usize = 64 * 1024;

/// Why octets were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What chunks that contradict one another make.
pub(super) enum Settled {
    /// A message of that many octets.
    Complete(u64),
    /// Nothing yet.
    Open,
    /// Nothing ever.
    Never,
}

/// A message that is not complete. Dropped, what it has in the store goes.
pub(super) struct Draft {
    store: Arc<dyn Store>,
    /// Bounds the pieces of all messages that are on their way to the disk.
    budget: Arc<Semaphore>,
    content: i64,
    reassembly: Reassembly,
    /// Octets that follow one another and lie in one piece, not handed to the store yet.
    run: BytesMut,
    run_at: u64,
    writes: VecDeque<JoinHandle<Result<(), StoreError>>>,
    /// The digest of the octets up to `hashed`; `None` once octets came out of order, and it must be
    /// worked out from what is stored.
    hash: Option<digest::Context>,
    hashed: u64,
    heads: Vec<Bytes>,
    head_octets: usize,
    /// The place among all heads of the first that has the first octet.
    first: Option<usize>,
    count: usize,
    /// Has the message become somebody else's business?
    is_done: bool,
    pub(super) wishes: SessionWishes,
    pub(super) first_chunk: Timestamp,
    pub(super) success_report: bool,
}

/// A complete message, and the octets of it that the store does not have yet.
pub(super) struct Finished {
    pub(super) part: Part,
    pub(super) pieces: Vec<Piece>,
}

impl Draft {
    pub(super) fn new(
        store: Arc<dyn Store>,
        budget: Arc<Semaphore>,
        limits: &Limits,
        now: Timestamp,
    ) -> Self {
        Self {
            content: store.new_content(),
            store,
            budget,
            reassembly: Reassembly::new(limits),
            run: BytesMut::new(),
            run_at: 0,
            writes: VecDeque::new(),
            hash: Some(digest::Context::new(&digest::SHA256)),
            hashed: 0,
            heads: Vec::new(),
            head_octets: 0,
            first: None,
            count: 0,
            is_done: false,
            wishes: SessionWishes::default(),
            first_chunk: now,
            success_report: false,
        }
    }

    /// A chunk begins.
    pub(super) fn begin(&mut self, head: &Head) -> Result<Chunk, Refusal> {
        let range = head.byte_range().and_then(Result::ok);
        let chunk = self.reassembly.begin(range)?;
        let has_first_octet = chunk.claimed().start == 1;
        let expires = expires(head);
        self.wishes.began(expires.as_deref(), has_first_octet);
        self.success_report |= head.success_report();
        self.keep_head(head, has_first_octet);
        Ok(chunk)
    }

    fn keep_head(&mut self, head: &Head, has_first_octet: bool) {
        let lines = head.as_bytes();
        // Without the empty line that says that a body follows.
        let lines = match lines.strip_suffix(b"\r\n\r\n") {
            Some(rest) => lines.get(..rest.len() + 2).unwrap_or_default(),
            None => lines,
        };
        let is_first = has_first_octet && self.first.is_none();
        if is_first {
            self.first = Some(self.count);
        }
        self.count += 1;
        self.head_octets += lines.len();
        if self.head_octets <= HEADS {
            self.heads.push(Bytes::copy_from_slice(lines));
        } else if is_first || self.first.is_none() && self.heads.is_empty() {
            // The message is known by this one alone.
            self.heads = vec![Bytes::copy_from_slice(lines)];
            self.first = Some(self.count - 1);
        }
    }

    /// More octets of a chunk.
    pub(super) async fn take(&mut self, chunk: &mut Chunk, octets: &[u8]) -> Result<(), Trouble> {
        let placed = self.reassembly.take(chunk, octets.len())?;
        let mut at = placed.range.start;
        if at == self.hashed
            && let Some(hash) = &mut self.hash
        {
            hash.update(octets);
            self.hashed = placed.range.end;
        } else {
            self.hash = None;
        }
        let mut octets = octets;
        while !octets.is_empty() {
            let end_of_run = self.run_at + self.run.len() as u64;
            if at != end_of_run || self.run.is_empty() {
                self.flush().await?;
                self.run_at = at;
            }
            let room = PIECE - usize::try_from(at % PIECE as u64).unwrap_or(0);
            let (now, later) = octets.split_at(room.min(octets.len()));
            self.run.extend_from_slice(now);
            at += now.len() as u64;
            octets = later;
            if at % PIECE as u64 == 0 {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// A chunk ends with that flag; what is the message now?
    pub(super) fn end(&mut self, chunk: &Chunk, head: &Head, flag: Flag) -> Outcome {
        if flag == Flag::Complete {
            self.wishes.last = expires(head);
        }
        self.reassembly.end(chunk, flag)
    }

    /// What follows from a contradiction. Totals that are claimed may be wrong: the chunk that ends in
    /// `$` ends the message where it does (RFC 4975 §7.3.1). Two such ends, or octets beyond the one,
    /// cannot be settled.
    pub(super) fn settle(&self, conflict: Conflict) -> Settled {
        if matches!(conflict, Conflict::Ends { .. }) {
            return Settled::Never;
        }
        if !self.reassembly.is_covered() {
            return Settled::Open;
        }
        match self.reassembly.total() {
            Some(end) if self.reassembly.coverage().end() <= end => Settled::Complete(end),
            _ => Settled::Never,
        }
    }

    /// How many octets are there.
    pub(super) fn coverage_octets(&self) -> u64 {
        self.reassembly.coverage().octets()
    }

    /// Hands the run over to the store.
    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.run.is_empty() {
            return Ok(());
        }
        while self.writes.len() >= WINDOW {
            self.written().await?;
        }
        let permit = Arc::clone(&self.budget)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let piece = self.piece();
        // It has its place in the order of writing from here on.
        let answer = self.store.write_content(piece);
        self.writes.push_back(tokio::spawn(async move {
            let result = answer.await;
            drop(permit);
            result
        }));
        Ok(())
    }

    fn piece(&mut self) -> Piece {
        Piece {
            content: self.content,
            at: self.run_at,
            octets: self.run.split().freeze(),
        }
    }

    /// Waits for the oldest write.
    async fn written(&mut self) -> Result<(), StoreError> {
        match self.writes.pop_front() {
            Some(write) => write.await.unwrap_or(Err(StoreError::Closed)),
            None => Ok(()),
        }
    }

    async fn all_written(&mut self) -> Result<(), StoreError> {
        while !self.writes.is_empty() {
            self.written().await?;
        }
        Ok(())
    }

    /// Waits until everything is in the store, and keeps nothing in memory.
    pub(super) async fn park(&mut self) -> Result<(), StoreError> {
        self.flush().await?;
        self.run = BytesMut::new();
        self.all_written().await
    }

    /// The message is complete, with that many octets.
    pub(super) async fn finish(
        &mut self,
        octets: u64,
        origin: String,
    ) -> Result<Finished, StoreError> {
        let hash = self.hash.take().filter(|_| self.hashed == octets);
        let digest = if let Some(hash) = hash {
            hash.finish()
        } else {
            self.park().await?;
            self.digest_of_stored(octets).await?
        };
        self.all_written().await?;
        let pieces = if self.run.is_empty() {
            Vec::new()
        } else {
            vec![self.piece()]
        };
        let all_heads = self.heads.len() == self.count;
        let part = Part {
            content: self.content,
            octets,
            sha256: digest.as_ref().try_into().unwrap_or_default(),
            origin,
            first: if all_heads {
                self.first.unwrap_or(0)
            } else {
                0
            },
            heads: self.kept_heads(all_heads),
            all_heads,
        };
        Ok(Finished { part, pieces })
    }

    fn kept_heads(&mut self, all: bool) -> Vec<Bytes> {
        let mut heads = std::mem::take(&mut self.heads);
        if !all {
            let first = self.first.unwrap_or(0).min(heads.len().saturating_sub(1));
            heads = heads.drain(..).skip(first).take(1).collect();
        }
        heads
    }

    async fn digest_of_stored(&self, octets: u64) -> Result<digest::Digest, StoreError> {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut at = 0;
        while at < octets {
            let piece = self.store.read_content(self.content, at, PIECE).await?;
            if piece.is_empty() {
                return Err(StoreError::Failed(format!(
                    "octet {at} of a message is not there"
                )));
            }
            hash.update(&piece);
            at += piece.len() as u64;
        }
        Ok(hash.finish())
    }

    /// The store has it: nothing of it is to be removed.
    pub(super) fn stored(mut self) {
        self.is_done = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done && self.coverage_octets() > 0 {
            // Asked for here, done after the writes that were asked for before, awaited by nobody.
            drop(self.store.drop_content(self.content));
        }
    }
}

/// The one Expires of a head. Several contradict one another, and so say nothing that could be read.
fn expires(head: &Head) -> Option<String> {
    let mut fields = head
        .headers_named("Expires")
        .map(|field| field.text().into_owned());
    let first = fields.next()?;
    match fields.next() {
        None => Some(first),
        Some(second) => Some(format!("{first}, {second}")),
    }
}
