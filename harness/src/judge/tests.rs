//! The laws of the verdict algebra, and judgements of traces made by hand.

use imspec_reports::record::Verdict;
use proptest::prelude::*;

use super::fold;

fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
    let one = prop_oneof![
        Just(Verdict::None),
        Just(Verdict::Pass),
        Just(Verdict::Inconclusive),
        Just(Verdict::Fail),
        Just(Verdict::Error),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn the_order_of_checks_does_not_matter((one, other) in verdicts().prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))) {
        prop_assert_eq!(fold(one), fold(other));
    }

    #[test]
    fn a_further_check_never_improves_a_verdict(some in verdicts(), more in verdicts()) {
        let before = fold(some.clone());
        let after = fold(some.into_iter().chain(more));
        prop_assert!(after >= before);
    }

    #[test]
    fn an_error_dominates(mut some in verdicts(), at in any::<prop::sample::Index>()) {
        let at = at.index(some.len() + 1);
        some.insert(at, Verdict::Error);
        prop_assert_eq!(fold(some), Verdict::Error);
    }

    #[test]
    fn parts_can_be_judged_apart(one in verdicts(), other in verdicts()) {
        let whole = fold(one.iter().chain(&other).copied());
        prop_assert_eq!(whole, fold([fold(one), fold(other)]));
    }
}

#[test]
fn nothing_judged_is_none_and_not_pass() {
    assert_eq!(fold([]), Verdict::None);
}
