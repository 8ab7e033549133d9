//! The scenario language (docs/language.md): its model, and how a file becomes one.
//!
//! ```text
//! text ─[load]→ Scenario ─[crate::plan]→ Case
//! ```

pub(crate) mod decode;
pub mod duration;
pub(crate) mod early;
pub mod known;
pub mod load;
pub mod model;
pub mod octets;
pub mod schema;
pub mod shape;
pub mod template;

pub use decode::Written;
pub use known::Known;
pub use load::ScenarioFile;
pub use model::{Case, CaseUser, Matcher, Pics, Scenario, Step, Verb};
pub use template::{Reference, Template};
