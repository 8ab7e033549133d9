//! `:user`, `:domain` and `:account` in a query, for databases that know only numbered or nameless parameters.
//! The values never become part of the text: the server gets them apart from it.

use crate::sut::store::Account;

/// What stands for the account in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    User,
    Domain,
    Account,
}

impl Parameter {
    /// Its value for an account.
    pub(super) fn of(self, account: &Account) -> &str {
        match self {
            Self::User => &account.user,
            Self::Domain => &account.domain,
            Self::Account => &account.uri,
        }
    }

    /// Its place in a list of those that the query names, once each.
    pub(super) fn number(self, all: &[Self]) -> usize {
        all.iter().position(|one| *one == self).unwrap_or(0) + 1
    }
}

/// What quotes and comments look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `$tag$…$tag$`; a backslash is one.
    Postgres,
    /// `#` to the end of a line, a backslash in a text takes the next character as it is.
    Mysql,
}

/// A query with `place` in the place of each parameter, and the parameters in their order.
///
/// In quotes and comments nothing is a parameter, and neither is the type after `::`.
pub(super) fn replaced(
    query: &str,
    dialect: Dialect,
    mut place: impl FnMut(Parameter) -> String,
) -> String {
    let mut text = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = quoted(rest, &text, dialect);
        if length > 0 {
            text.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        if first == ':' && !text.ends_with(':') {
            let name_length = rest[1..]
                .find(|c: char| !is_of_name(c))
                .unwrap_or(rest.len() - 1);
            let parameter = match &rest[1..=name_length] {
                "user" => Some(Parameter::User),
                "domain" => Some(Parameter::Domain),
                "account" => Some(Parameter::Account),
                _ => None,
            };
            if let Some(parameter) = parameter {
                text.push_str(&place(parameter));
                rest = &rest[1 + name_length..];
                continue;
            }
        }
        text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    text
}

/// Octets of the quoted text or comment with which `rest` begins; 0 where none does.
fn quoted(rest: &str, before: &str, dialect: Dialect) -> usize {
    let to = |end: &str, from: usize| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    match rest.as_bytes() {
        [b'-', b'-', ..] => to("\n", 2),
        [b'#', ..] if dialect == Dialect::Mysql => to("\n", 1),
        [b'/', b'*', ..] => to("*/", 2),
        [mark @ (b'\'' | b'"' | b'`'), ..] => {
            let of_text = *mark == b'\'' || (*mark == b'"' && dialect == Dialect::Mysql);
            // E'…' of PostgreSQL.
            let escapes = dialect == Dialect::Mysql || before.ends_with(['e', 'E']);
            end_of_quotes(rest, *mark, of_text && escapes)
        }
        [b'$', ..] if dialect == Dialect::Postgres && !before.ends_with(is_of_name) => {
            let tag = rest[1..].find('$').map(|at| &rest[..at + 2]);
            match tag.filter(|tag| !tag[1..tag.len() - 1].contains(|c| !is_of_name(c))) {
                Some(tag) => to(tag, tag.len()),
                None => 0,
            }
        }
        _ => 0,
    }
}

/// A doubled mark ends one quoted text and begins the next, which comes to the same here.
fn end_of_quotes(rest: &str, mark: u8, escapes: bool) -> usize {
    let mut octets = rest.bytes().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        if octet == b'\\' && escapes {
            octets.next();
        } else if octet == mark {
            return at + 1;
        }
    }
    rest.len()
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(query: &str, dialect: Dialect) -> String {
        replaced(query, dialect, |parameter| format!("<{parameter:?}>"))
    }

    #[test]
    fn only_the_three_names_are_parameters() {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            assert_eq!(
                shown(
                    "SELECT a::user, b FROM t WHERE u = :user AND d=:domain OR :account, :users, ::text",
                    dialect
                ),
                "SELECT a::user, b FROM t WHERE u = <User> AND d=<Domain> OR <Account>, :users, ::text"
            );
        }
    }

    #[test]
    fn quotes_and_comments_stay_as_they_are() {
        for (query, dialect) in [
            ("':user' || 'it''s :user' || \":user\"", Dialect::Postgres),
            (
                "-- :user\n/* :user */ $$ :user $$ $a_1$ $$ :user $a_1$",
                Dialect::Postgres,
            ),
            (r"E'\':user'", Dialect::Postgres),
            (r#"'\':user' "a\":user" `:user`"#, Dialect::Mysql),
            ("# :user\n-- :user", Dialect::Mysql),
            ("'never closed :user", Dialect::Mysql),
        ] {
            assert_eq!(shown(query, dialect), query);
        }
        assert_eq!(shown(r"'\' :user", Dialect::Postgres), r"'\' <User>");
        assert_eq!(shown("$1 :user $2", Dialect::Postgres), "$1 <User> $2");
        assert_eq!(shown("# :user", Dialect::Postgres), "# <User>");
        assert_eq!(
            shown("t$a$ :user $a$", Dialect::Postgres),
            "t$a$ <User> $a$"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in r"[:'\x22`$#*/\\\-a-z \n\u{e9}]{0,40}") {
            for dialect in [Dialect::Postgres, Dialect::Mysql] {
                let kept = replaced(&text, dialect, |parameter| match parameter {
                    Parameter::User => ":user".into(),
                    Parameter::Domain => ":domain".into(),
                    Parameter::Account => ":account".into(),
                });
                prop_assert_eq!(&kept, &text);
            }
        }
    }
}
