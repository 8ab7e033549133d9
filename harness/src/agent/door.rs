//! Who may still come in at a listener of an agent. A server that opens connection after connection must
//! cost neither memory nor the trace of a case more than a fixed amount.

/// Connections that come to one listener in a case before it is closed, those that were refused included.
const CAME: usize = 2000;

/// The door of one listener.
#[derive(Debug)]
pub(super) struct Door {
    /// Connections that may be open at the same time.
    most: usize,
    came: usize,
    refused: bool,
}

/// What is to be done about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is taken.
    Taken,
    /// It is closed; with what is to be noted about it.
    Refused(Option<String>),
    /// It is closed, and the listener with it; with what is to be noted about it.
    Last(String),
}

impl Door {
    /// A door through which `most` may be in at the same time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            came: 0,
            refused: false,
        }
    }

    /// Somebody connects while `open` others are there. `what` names the protocol for the reader.
    pub(super) fn knock(&mut self, open: usize, what: &str, from: impl std::fmt::Display) -> Entry {
        self.came += 1;
        if self.came > CAME {
            return Entry::Last(format!(
                "the {what} connection from {from} is one of more than {CAME} to this listener in one case; it \
                 is closed, and takes no more"
            ));
        }
        let most = self.most;
        if open < most {
            return Entry::Taken;
        }
        let first = !std::mem::replace(&mut self.refused, true);
        Entry::Refused(first.then(|| {
            format!(
                "the {what} connection from {from} was refused: {most} are open; further ones are refused \
                 without a note"
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_be_there_and_the_first_refusal_is_told() {
        let mut door = Door::new(3);
        for open in 0..3 {
            assert_eq!(door.knock(open, "MSRP", "x"), Entry::Taken);
        }
        assert!(matches!(
            door.knock(3, "MSRP", "x"),
            Entry::Refused(Some(_))
        ));
        assert_eq!(door.knock(3, "MSRP", "x"), Entry::Refused(None));
        assert_eq!(door.knock(2, "MSRP", "x"), Entry::Taken, "one has left");
    }

    #[test]
    fn who_comes_again_and_again_finds_it_closed() {
        let mut door = Door::new(16);
        for turn in 0..CAME {
            assert!(!matches!(
                door.knock(turn % 100, "SIP", "x"),
                Entry::Last(_)
            ));
        }
        let Entry::Last(why) = door.knock(0, "SIP", "127.0.0.1:9") else {
            unreachable!("the listener is still open");
        };
        assert!(why.contains("SIP connection from 127.0.0.1:9"), "{why}");
    }
}
