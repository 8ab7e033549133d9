//! Comma lists, and which headers are none.

/// Splits at the commas that separate values: not in quoted strings, angle brackets or comments.
/// Gives the trimmed pieces and their offsets.
pub fn split(value: &[u8]) -> Vec<(usize, &[u8])> { let _ = value; todo!() }

/// Whether a comma separates values in this header (RFC 3261 §7.3.1): not in Date, Subject and other
/// text headers, nor in the authentication headers. Unknown headers are taken as lists only in
/// comparison.
pub fn is_list_header(canonical_name: &str) -> bool { let _ = canonical_name; todo!() }
