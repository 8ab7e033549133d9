//! `accounts.list` and `accounts.pattern`: the accounts of a server that has only a few.

use super::Decoder;
use crate::document::{Fields, Node};
use crate::sut::profile::Few;

/// Most accounts that a pattern may make.
const MOST: u32 = 10_000;

impl Decoder<'_> {
    /// The accounts that cases share; `None` where each case has its own.
    pub(super) fn few(&mut self, accounts: &Fields<'_>) -> Result<Option<Few>, ()> {
        let names = match (accounts.get("list"), accounts.get("pattern")) {
            (None, None) => {
                for name in ["count", "clean"] {
                    if let Some(span) = accounts.key_span(name) {
                        let title = format!("`{name}` without accounts that it is about");
                        self.wrong(span, title, "give `list` or `pattern`, too");
                        return Err(());
                    }
                }
                return Ok(None);
            }
            (Some(_), Some(node)) => {
                let title = "the accounts are listed already";
                self.wrong(&node.span, title, "`list` or `pattern`, one of them");
                return Err(());
            }
            (Some(node), None) => self.listed(node).ok_or(())?,
            (None, Some(node)) => self.counted(node, accounts).ok_or(())?,
        };
        let clean = match accounts.get("clean") {
            None => None,
            Some(node) => Some(self.command(node).ok_or(())?),
        };
        Ok(Some(Few { names, clean }))
    }

    fn listed(&mut self, node: &Node) -> Option<Vec<String>> {
        let items = node.as_list().unwrap_or_default();
        if items.is_empty() {
            self.wrong(&node.span, "no accounts", "a list of user parts");
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        for item in items {
            let name = self.user_part(item)?;
            if names.contains(&name) {
                let title = format!("the account `{name}` stands twice");
                self.wrong(&item.span, title, "given again here");
                return None;
            }
            names.push(name);
        }
        Some(names)
    }

    fn counted(&mut self, node: &Node, accounts: &Fields<'_>) -> Option<Vec<String>> {
        let pattern = self.text(node)?;
        if pattern.matches("${n}").count() != 1 || pattern.replace("${n}", "").contains("${") {
            let title = format!("`{pattern}` is no pattern of accounts");
            self.wrong(&node.span, title, "a user part with `${n}`, once");
            return None;
        }
        let Some(count) = accounts.get("count") else {
            self.wrong(
                &node.span,
                "a pattern without `count`",
                "how many there are",
            );
            return None;
        };
        let text = self.text(count)?;
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=MOST).contains(number));
        let Some(number) = number else {
            let title = format!("`{text}` is no number of accounts");
            self.wrong(&count.span, title, format!("1 to {MOST}"));
            return None;
        };
        Some(
            (1..=number)
                .map(|n| pattern.replace("${n}", &n.to_string()))
                .collect(),
        )
    }

    fn user_part(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let is_one = !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/%".contains(c));
        if !is_one {
            let title = format!("`{text}` is no user part");
            self.wrong(
                &node.span,
                title,
                "what stands before `@` in the address of an account",
            )
            .help("all of them are in the domain of the profile");
            return None;
        }
        Some(text)
    }
}
