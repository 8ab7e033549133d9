//! Properties of the bodies that sessions carry: session descriptions and `message/cpim`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cpim;
mod offers;
mod sdp;
