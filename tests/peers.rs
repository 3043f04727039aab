//! What other checkers are known to get wrong, case by case.

use std::fmt::Write as _;

use rashomon::check::{Expected, Limits, Property, Status, Verdict, assess, linear};
use rashomon::history::{Format, History, read_bytes};
use rashomon::model::Value;

fn edn(text: &str) -> History {
    read_bytes("peer.edn", text.as_bytes(), Some(Format::Edn))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn verdict(history: &History, property: Property) -> Verdict {
    let assessment = assess(history, &Limits::default(), Expected::default());
    let verdict = assessment.verdict(property);
    verdict.unwrap_or_else(|| panic!("no verdict on {}", property.id())).clone()
}

// ---- transactions ----------------------------------------------------------------------------

// ---- single objects --------------------------------------------------------------------------

/// A register whose operations nearly all overlap: a search that tries orders one by one takes
/// exponential time, and a monitor of unique writes does not.
#[test]
fn weakness_11_many_operations_at_the_same_time_are_decided() {
    let register = |stale: bool| {
        let mut text = String::new();
        for process in 0..200 {
            let _ =
                writeln!(text, "{{:process {process} :type :invoke :f :write :value {process}}}");
        }
        for process in 0..200 {
            let _ = writeln!(text, "{{:process {process} :type :ok :f :write :value {process}}}");
        }
        for (process, value) in [(300, 7), (301, if stale { 8 } else { 7 }), (302, 7)] {
            let _ = writeln!(text, "{{:process {process} :type :invoke :f :read}}");
            let _ = writeln!(text, "{{:process {process} :type :ok :f :read :value {value}}}");
        }
        edn(&text)
    };
    let limits = Limits { search_steps: 0, ..Limits::default() };
    assert_eq!(linear::check(&register(false), &limits).status, Status::Valid);
    assert_eq!(linear::check(&register(true), &limits).status, Status::Invalid);
}

/// A search that has spent its budget stops there: it says so, counts its steps and not seconds, and
/// leaves nothing behind that keeps burning. Asked again it stops at the same step.
#[test]
fn weakness_11_a_search_out_of_budget_stops_and_says_so() {
    let mut text = String::new();
    for process in 0..24 {
        let _ =
            writeln!(text, "{{:process {process} :type :invoke :f :add :value {}}}", 1 << process);
    }
    for process in 0..24 {
        let _ = writeln!(text, "{{:process {process} :type :ok :f :add :value {}}}", 1 << process);
        let _ = writeln!(text, "{{:process {} :type :invoke :f :read}}", 100 + process);
    }
    for process in 0..24 {
        let value = (1 << (process + 1)) - 1;
        let _ = writeln!(text, "{{:process {} :type :ok :f :read :value {value}}}", 100 + process);
    }
    let history = edn(&text);
    let limits = Limits { search_steps: 5, ..Limits::default() };
    let first = linear::check(&history, &limits);
    assert_eq!(first.status, Status::Unknown);
    assert!(first.reason.as_ref().is_some_and(|reason| reason.contains("budget")), "{first:?}");
    assert_eq!(linear::check(&history, &limits), first);
}

/// Clients put reasons where the value of an indeterminate write was: `nil` or `:timed-out`. The
/// violation is still told, and told with the value that was invoked.
#[test]
fn weakness_12_the_value_of_an_indeterminate_completion_may_differ() {
    for reason in ["nil", ":timed-out", "9"] {
        let history = edn(&format!(
            "{{:process 0 :type :invoke :f :write :value 1}}\n\
             {{:process 0 :type :ok :f :write :value 1}}\n\
             {{:process 1 :type :invoke :f :write :value 2}}\n\
             {{:process 1 :type :info :f :write :value {reason}}}\n\
             {{:process 2 :type :invoke :f :read :value nil}}\n\
             {{:process 2 :type :ok :f :read :value 2}}\n\
             {{:process 2 :type :invoke :f :read :value nil}}\n\
             {{:process 2 :type :ok :f :read :value 1}}\n"
        ));
        let verdict = verdict(&history, Property::Lin);
        assert_eq!(verdict.status, Status::Invalid, "{reason}");
        let witness = &verdict.anomalies[0];
        assert!(witness.sentence.contains("= 2"), "{}", witness.sentence);
    }
}

/// Many keys in one history need no partition by hand, and many values no table of states: each
/// key is judged alone, and the violation names its key.
#[test]
fn weakness_13_many_keys_and_many_values_are_judged_together() {
    let mut text = String::new();
    for key in 0..50 {
        for value in 1000 * key..1000 * key + 40 {
            for kind in ["invoke", "ok"] {
                let what = format!(":type :{kind} :f :write :value [{key} {value}]");
                let _ = writeln!(text, "{{:process {key} {what}}}");
            }
        }
        let seen = if key == 31 { 31_000 } else { 1000 * key + 39 };
        let _ = writeln!(text, "{{:process {key} :type :invoke :f :read :value [{key} nil]}}");
        let _ = writeln!(text, "{{:process {key} :type :ok :f :read :value [{key} {seen}]}}");
    }
    let history = edn(&text);
    assert_eq!(history.key_count(), 50);
    let verdict = verdict(&history, Property::Lin);
    assert_eq!((verdict.status, verdict.count), (Status::Invalid, 1));
    let key = verdict.anomalies[0].key.expect("it concerns a key");
    assert_eq!(history.key_name(key).to_string(), "31");
}

/// A set that is read as `[0 0 0]` has its element three times.
#[test]
fn weakness_14_an_element_that_is_read_three_times_is_a_duplicate() {
    let history = edn("{:process 0 :type :invoke :f :add :value 0}\n\
         {:process 0 :type :ok :f :add :value 0}\n\
         {:process 1 :type :invoke :f :read :value nil}\n\
         {:process 1 :type :ok :f :read :value [0 0 0]}\n");
    let lost = verdict(&history, Property::SetLost);
    assert_eq!(lost.status, Status::Invalid);
    assert_eq!(lost.anomalies[0].kind, "duplicated-element");
    assert_eq!(verdict(&history, Property::Dupel).status, Status::Invalid);
    // As a set it is what was added, so there is an order that explains it.
    assert_eq!(verdict(&history, Property::Lin).status, Status::Valid);
}

/// A set whose reads come in the tuples of `jepsen.independent`, printed like any vector: it is not
/// taken for one set of pairs that lost everything.
#[test]
fn tuples_of_key_and_elements_are_told_from_pairs() {
    let history = edn("{:process 0 :type :invoke :f :add :value [0 1]}\n\
         {:process 0 :type :ok :f :add :value [0 1]}\n\
         {:process 1 :type :invoke :f :add :value [0 2]}\n\
         {:process 1 :type :ok :f :add :value [0 2]}\n\
         {:process 1 :type :invoke :f :read :value [0 nil]}\n\
         {:process 1 :type :ok :f :read :value [0 [1 2]]}\n");
    assert_eq!(verdict(&history, Property::SetLost).status, Status::Valid);
    assert_eq!(verdict(&history, Property::Thin).status, Status::Valid);
}

/// A message that is delivered twice is a violation, not a number beside a valid verdict.
#[test]
fn weakness_15_a_message_delivered_twice_is_a_violation() {
    let history = edn("{:process 0 :type :invoke :f :enqueue :value 5}\n\
         {:process 0 :type :ok :f :enqueue :value 5}\n\
         {:process 1 :type :invoke :f :dequeue :value nil}\n\
         {:process 1 :type :ok :f :dequeue :value 5}\n\
         {:process 1 :type :invoke :f :dequeue :value nil}\n\
         {:process 1 :type :ok :f :dequeue :value 5}\n");
    assert_eq!(verdict(&history, Property::QDup).status, Status::Invalid);
}

/// Sets without a final read are judged as far as the reads go: what was in a later read is kept,
/// what was lacking is said to be missing, and nobody is accused of having lost it.
#[test]
fn weakness_15_a_set_without_a_final_read_is_judged_as_far_as_it_goes() {
    let set = |last: &str| {
        edn(&format!(
            "{{:process 0 :type :invoke :f :add :value 1}}\n\
             {{:process 0 :type :ok :f :add :value 1}}\n\
             {{:process 0 :type :invoke :f :add :value 2}}\n\
             {{:process 0 :type :ok :f :add :value 2}}\n\
             {{:process 1 :type :invoke :f :read :value nil}}\n\
             {{:process 1 :type :ok :f :read :value {last}}}\n"
        ))
    };
    assert_eq!(verdict(&set("[1 2]"), Property::SetLost).status, Status::Valid);
    let missing = verdict(&set("[1]"), Property::SetLost);
    assert_eq!(missing.status, Status::Unknown);
    assert!(missing.reason.is_some_and(|reason| reason.contains("1 missing")));
}

/// A counter may fall: a decrement is an addition below zero, in the bounds of both sides.
#[test]
fn weakness_15_a_counter_may_be_decremented() {
    let counter = |seen: i64| {
        edn(&format!(
            "{{:process 0 :type :invoke :f :add :value 3}}\n\
             {{:process 0 :type :ok :f :add :value 3}}\n\
             {{:process 0 :type :invoke :f :add :value -5}}\n\
             {{:process 0 :type :ok :f :add :value -5}}\n\
             {{:process 1 :type :invoke :f :read :value nil}}\n\
             {{:process 1 :type :ok :f :read :value {seen}}}\n"
        ))
    };
    for (seen, expected) in [(-2, Status::Valid), (3, Status::Invalid), (-5, Status::Invalid)] {
        assert_eq!(verdict(&counter(seen), Property::Cnt).status, expected, "{seen}");
    }
}

/// An addition that certainly failed is in no bound.
#[test]
fn weakness_15_a_failed_addition_does_not_count() {
    let history = edn("{:process 0 :type :invoke :f :add :value 1}\n\
         {:process 0 :type :ok :f :add :value 1}\n\
         {:process 1 :type :invoke :f :add :value 1}\n\
         {:process 1 :type :fail :f :add :value 1}\n\
         {:process 2 :type :invoke :f :read :value nil}\n\
         {:process 2 :type :ok :f :read :value 2}\n");
    let verdict = verdict(&history, Property::Cnt);
    assert_eq!(verdict.status, Status::Invalid);
    assert_eq!(verdict.anomalies[0].kind, "counter-too-high");
}

/// A later write that is visible without the earlier one, in whatever order the keys are read.
#[test]
fn weakness_15_a_later_write_without_the_earlier_one_is_seen_in_either_order() {
    for (asked, reads) in [
        ("[:r 2 nil] [:r 1 nil]", "[:r 2 22] [:r 1 nil]"),
        ("[:r 1 nil] [:r 2 nil]", "[:r 1 nil] [:r 2 22]"),
    ] {
        let history = edn(&format!(
            "{{:process 0 :type :invoke :f :txn :value [[:w 1 11]]}}\n\
             {{:process 0 :type :ok :f :txn :value [[:w 1 11]]}}\n\
             {{:process 0 :type :invoke :f :txn :value [[:w 2 22]]}}\n\
             {{:process 0 :type :ok :f :txn :value [[:w 2 22]]}}\n\
             {{:process 1 :type :invoke :f :txn :value [{asked}]}}\n\
             {{:process 1 :type :ok :f :txn :value [{reads}]}}\n"
        ));
        assert_eq!(verdict(&history, Property::Mw).status, Status::Invalid, "{reads}");
    }
}

/// A register that is set back to what it was at first: who reads that does not tell which of the two
/// it was, and nobody is accused of having missed what came between.
#[test]
fn a_register_that_is_set_back_is_not_taken_for_one_that_was_never_written() {
    let mut text = String::new();
    for (process, asked, answered) in [
        (0, "[:w x 1] [:w y 1]", "[:w x 1] [:w y 1]"),
        (0, "[:w x 0] [:w y 0]", "[:w x 0] [:w y 0]"),
        (1, "[:r x nil] [:r y nil]", "[:r x 0] [:r y 0]"),
        (1, "[:r x nil] [:w x 0]", "[:r x 0] [:w x 0]"),
    ] {
        let what = format!("{{:process {process}, :f :txn");
        let _ = writeln!(text, "{what}, :type :invoke, :value [{asked}]}}");
        let _ = writeln!(text, "{what}, :type :ok, :value [{answered}]}}");
    }
    let mut history = edn(&text);
    history.begin_with(Value::Int(0));
    let verdicts = assess(&history, &Limits::default(), Expected::default()).verdicts;
    let violated = verdicts.iter().find(|one| one.status == Status::Invalid);
    assert_eq!(violated, None);
    assert_eq!(verdict(&history, Property::Lin).status, Status::Valid);
}

/// A kind of operation that never succeeded makes no history invalid: where nothing can be told the
/// answer is undecided.
#[test]
fn weakness_15_a_history_in_which_nothing_succeeded_is_undecided() {
    let history = edn("{:process 0 :type :invoke :f :write :value 1}\n\
         {:process 0 :type :fail :f :write :value 1}\n");
    let assessment = assess(&history, &Limits::default(), Expected::linearizable());
    assert_eq!(assessment.status, Status::Unknown);
    assert!(assessment.reason.is_some_and(|reason| reason.contains("none of 1 operations")));
}
