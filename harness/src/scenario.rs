//! The scenario language (docs/language.md): its model, and how a file becomes one.

pub mod model;
pub mod template;

pub use model::{Case, CaseUser, Matcher, Pics, Scenario, Step, Verb};
pub use template::{Reference, Template};
