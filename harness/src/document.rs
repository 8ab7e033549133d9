//! YAML files that people write: read with the place of every value, checked by hand, and complained about
//! with the source line and a caret. Scenarios, the catalogue and profiles are all read through this.
//!
//! ```text
//! text ─[tree::parse]→ Node ─[the caller's decoder]→ its own types, and Diagnostics
//! ```

pub mod diagnostic;
pub mod fields;
pub mod suggest;
pub mod tree;

pub use diagnostic::{Diagnostic, Diagnostics, Severity, Source};
pub use fields::{Fields, Key};
pub use tree::{Entry, Node, NodeKind, Scalar, Span};
