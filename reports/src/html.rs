//! HTML (in the making).
use crate::record::RunRecord;
/// The record as a page.
pub fn render(_: &RunRecord) -> Result<String, minijinja::Error> {
    Ok(String::new())
}
