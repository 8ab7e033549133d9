//! `;name=value` parameters, with quoted values.

/// Parameters in order, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, Option<String>)>);

impl Params {
    /// The value of the first parameter of that name (any case), unquoted; `Some("")` for a bare one.
    pub fn get(&self, name: &str) -> Option<&str> { let _ = name; todo!() }
    /// Whether a parameter of that name is there.
    pub fn has(&self, name: &str) -> bool { self.get(name).is_some() }
    /// Name and value in order; values unquoted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> { self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref())) }
}
