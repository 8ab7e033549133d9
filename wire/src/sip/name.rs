//! Header field names: case, compact forms, the usual spelling.

/// Names that this crate knows by heart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeaderName(&'static str);

/// The long name of a compact form (`s` → `Subject`), or the usual spelling of a known name; `None` for
/// a name that is not known. Case does not matter (RFC 3261 §7.3.1).
pub fn canonical(name: &str) -> Option<&'static str> { let _ = name; todo!() }

/// Whether two names mean the same header field.
pub fn same(a: &str, b: &str) -> bool { let _ = (a, b); todo!() }
