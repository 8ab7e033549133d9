//! Which frames of a message stand in the trace: all of a few, the first and the last of very many.

use std::collections::VecDeque;

use imspec_reports::record::EventKind;

use super::super::desk::Moment;

/// Frames of one message that are noted at its beginning, and again at its end.
pub(super) const NOTED: u64 = 32;

/// Frames of a message that is being received: nobody knows how many will come.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    frames: u64,
    last: VecDeque<Held>,
    left_out: u64,
    /// The last frame that was left out.
    gone: u64,
    over: bool,
}

/// A frame that is held back, and what was answered to it.
#[derive(Debug)]
pub(super) struct Held {
    number: u64,
    pub(super) frame: (Moment, EventKind),
    pub(super) answer: Option<(Moment, EventKind)>,
}

impl Ledger {
    /// A frame came. Gives its number, and the frame itself where it is to be noted now.
    pub(super) fn frame(&mut self, moment: Moment, kind: EventKind) -> (u64, Option<EventKind>) {
        self.frames += 1;
        let number = self.frames;
        if self.over || number <= NOTED {
            return (number, Some(kind));
        }
        self.last.push_back(Held {
            number,
            frame: (moment, kind),
            answer: None,
        });
        if self.last.len() as u64 > NOTED
            && let Some(gone) = self.last.pop_front()
        {
            self.gone = gone.number;
            self.left_out += 1;
        }
        (number, None)
    }

    /// The frame of that number was answered. Gives the answer back where it is to be noted now.
    pub(super) fn answer(
        &mut self,
        number: u64,
        moment: Moment,
        kind: EventKind,
    ) -> Option<EventKind> {
        // Answers may be written long after their frames, and after the last one.
        if number > NOTED && number <= self.gone {
            return None;
        }
        if self.over || number <= NOTED {
            return Some(kind);
        }
        if let Some(held) = self.last.iter_mut().find(|held| held.number == number) {
            held.answer = Some((moment, kind));
        }
        None
    }

    /// The message is over: what is to be noted before its last frame, and how many were left out.
    pub(super) fn close(&mut self) -> (Vec<Held>, u64) {
        self.over = true;
        let left_out = std::mem::take(&mut self.left_out);
        (self.last.drain(..).collect(), left_out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_frame_is_noted_held_or_counted_in_the_order_in_which_it_came(frames in 0_u64..300) {
            let mut ledger = Ledger::default();
            let mut seen: Vec<u64> = Vec::new();
            for turn in 1..=frames {
                let (number, now) = ledger.frame(Moment::default(), kind(turn.to_string()));
                prop_assert_eq!(number, turn);
                seen.extend(now.map(|_| number));
            }
            let (held, left_out) = ledger.close();
            prop_assert!(held.len() as u64 <= NOTED);
            seen.extend(held.iter().map(|held| held.number));
            prop_assert_eq!(seen.len() as u64 + left_out, frames);
            let first = seen.iter().copied().take_while(|number| *number <= NOTED);
            prop_assert_eq!(first.count() as u64, frames.min(NOTED));
            prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(seen.last().copied().unwrap_or_default(), frames, "the last one is there");
        }
    }

    fn kind(text: String) -> EventKind {
        EventKind::Note { text }
    }

    #[test]
    fn of_very_many_frames_the_first_and_the_last_are_noted() {
        let mut ledger = Ledger::default();
        let mut noted = 0;
        for _ in 1..=100 {
            let moment = Moment::default();
            let (number, now) = ledger.frame(moment, kind("frame".into()));
            let text = format!("answer {number}");
            let answer = ledger.answer(number, moment, kind(text));
            noted += usize::from(now.is_some()) + usize::from(answer.is_some());
        }
        assert_eq!(noted, 64);
        let (last, left_out) = ledger.close();
        assert_eq!((last.len(), left_out), (32, 36));
        let answers: Vec<_> = last
            .iter()
            .filter_map(|held| held.answer.as_ref())
            .collect();
        assert_eq!(answers.len(), 32);
        assert_eq!(answers[0].1, kind("answer 69".into()));
        assert!(
            ledger
                .frame(Moment::default(), kind("late".into()))
                .1
                .is_some()
        );
    }

    #[test]
    fn what_is_answered_after_the_end_is_noted_if_its_frame_was() {
        let mut ledger = Ledger::default();
        for _ in 1..=100 {
            ledger.frame(Moment::default(), kind("frame".into()));
        }
        let _ = ledger.close();
        let noted = (1..=100).filter(|number| {
            let answer = ledger.answer(*number, Moment::default(), kind("answer".into()));
            answer.is_some()
        });
        let noted: Vec<u64> = noted.collect();
        assert_eq!(noted, (1..=32).chain(69..=100).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_few_frames_all_are_noted() {
        let mut ledger = Ledger::default();
        for _ in 1..=40 {
            ledger.frame(Moment::default(), kind("frame".into()));
        }
        let (last, left_out) = ledger.close();
        assert_eq!((last.len(), left_out), (8, 0));
    }
}
