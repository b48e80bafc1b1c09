//! The gate's table: every row of the posture, every blocker, every way to lose evidence.

use std::collections::BTreeMap;

use aegisbpf::posture::gate::{Asked, Decision, Measured, Obstacle, Refusal, RuleFacts, Verdict};
use aegisbpf::posture::gate::{decide, degraded, recheck};
use aegisbpf::posture::lsm_list::LsmList;
use aegisbpf::posture::{Blocker, Class, GateMode, Mode, State, Tier};

const LISTED: &str = "lockdown,bpf";
const UNLISTED: &str = "lockdown,yama";

fn asked(mode: Mode, fallbacks: &[Tier], gate_mode: GateMode) -> Asked {
    Asked {
        mode,
        fallbacks: fallbacks.to_vec(),
        gate_mode,
        signal: 9,
    }
}

fn enforce(fallbacks: &[Tier], gate_mode: GateMode) -> Asked {
    asked(Mode::Enforce, fallbacks, gate_mode)
}

/// A machine with this list, where the tiers came out like this and everything observes.
fn measured(list: &str, lsm: Verdict, signal: Verdict) -> Measured {
    let by_tier = |lsm, signal| {
        BTreeMap::from([
            ((Tier::Lsm, Class::File), lsm),
            ((Tier::Signal, Class::File), signal),
        ])
    };
    Measured {
        lsm_list: LsmList::Known(list.split(',').map(str::to_owned).collect()),
        btf: true,
        enforcing: by_tier(lsm, signal),
        observing: by_tier(Verdict::NotTried, Verdict::Verified),
    }
}

fn rule(id: &str, obstacles: &[(Tier, &str, bool)]) -> RuleFacts {
    RuleFacts {
        id: id.to_owned(),
        class: Class::File,
        obstacles: obstacles
            .iter()
            .map(|(tier, reason, pending)| {
                let obstacle = Obstacle {
                    reason: (*reason).to_owned(),
                    pending: *pending,
                };
                (*tier, obstacle)
            })
            .collect(),
    }
}

fn two_rules() -> Vec<RuleFacts> {
    vec![rule("a", &[]), rule("b", &[])]
}

/// What holds for every decision, whatever was measured.
fn check_invariants(decision: &Decision, rules: &[RuleFacts]) {
    assert_eq!(decision.enforced + decision.unenforced.len(), rules.len());
    assert_eq!(decision.enforce_capable, decision.blockers.is_empty());
    assert_eq!(decision.refusal.is_some(), decision.state == State::Refused);
    let fallback = matches!(decision.state, State::EnforceModret | State::EnforceSignal);
    let enforcing = fallback || decision.state == State::Enforce;
    assert!(enforcing || decision.enforced == 0, "{decision:?}");
    if fallback {
        assert!(!decision.enforce_capable, "{decision:?}");
    }
}

/// Asked, list, LSM, signal → state, audit_only, enforce_capable, blockers.
type Row<'a> = (
    Asked,
    &'a str,
    Verdict,
    Verdict,
    State,
    bool,
    bool,
    &'a [Blocker],
);

#[test]
fn every_row_of_the_posture_table() {
    use GateMode::{AuditFallback as Fallback, FailClosed as Closed};
    use Verdict::{CanaryFailed as Failed, NotTried as Untried, Rejected, Verified as Good};
    let (disabled, failed) = ([Blocker::BpfLsmDisabled], [Blocker::LsmCanaryFailed]);
    let (signal, off): (&[Tier], &[Tier]) = (&[Tier::Signal], &[]);
    let audit = |fallbacks, gate_mode| asked(Mode::Audit, fallbacks, gate_mode);
    #[rustfmt::skip]
    let rows: [Row; 15] = [
        (enforce(off, Closed), LISTED, Good, Untried, State::Enforce, false, true, &[]),
        (enforce(off, Fallback), LISTED, Good, Untried, State::Enforce, false, true, &[]),
        (enforce(signal, Closed), LISTED, Good, Good, State::Enforce, false, true, &[]),
        (enforce(signal, Closed), UNLISTED, Untried, Good, State::EnforceSignal, false, false, &disabled),
        (enforce(signal, Fallback), UNLISTED, Untried, Good, State::EnforceSignal, false, false, &disabled),
        (enforce(signal, Closed), LISTED, Failed, Good, State::EnforceSignal, false, false, &failed),
        (enforce(off, Fallback), UNLISTED, Untried, Untried, State::AuditFallback, true, false, &disabled),
        // Verified and not opted in is not enough.
        (enforce(off, Fallback), UNLISTED, Untried, Good, State::AuditFallback, true, false, &disabled),
        (enforce(off, Closed), UNLISTED, Untried, Good, State::Refused, false, false, &disabled),
        // Opted in and not verified is not enough either.
        (enforce(signal, Fallback), UNLISTED, Untried, Failed, State::AuditFallback, true, false, &disabled),
        (enforce(signal, Closed), UNLISTED, Untried, Failed, State::Refused, false, false, &disabled),
        (enforce(signal, Closed), UNLISTED, Untried, Rejected, State::Refused, false, false, &disabled),
        (enforce(off, Closed), LISTED, Failed, Untried, State::Refused, false, false, &failed),
        (audit(off, Closed), LISTED, Good, Untried, State::Audit, true, true, &[]),
        (audit(signal, Fallback), UNLISTED, Untried, Untried, State::Audit, true, false, &disabled),
    ];
    for (asked, list, lsm, signal, state, audit_only, capable, blockers) in rows {
        let rules = two_rules();
        let decision = decide(&asked, &measured(list, lsm, signal), &rules);
        let row = format!("{asked:?} {list} {lsm:?} {signal:?} → {decision:?}");
        assert_eq!(decision.state, state, "{row}");
        assert_eq!(decision.audit_only, audit_only, "{row}");
        assert_eq!(decision.enforce_capable, capable, "{row}");
        assert_eq!(decision.blockers, blockers, "{row}");
        check_invariants(&decision, &rules);
    }
}

#[test]
fn the_strongest_verified_fallback_wins_and_never_shines_as_the_lsm() {
    use Verdict::{CanaryFailed as Failed, NotTried as Untried, Rejected, Verified as Good};
    let (modret, signal): (&[Tier], &[Tier]) = (&[Tier::Modret], &[Tier::Signal]);
    let both: &[Tier] = &[Tier::Signal, Tier::Modret];
    let (closed, watch) = (GateMode::FailClosed, GateMode::AuditFallback);
    // Asked, LSM listed and verified, modret, signal → state.
    let rows = [
        (modret, closed, false, Good, Untried, State::EnforceModret),
        (both, closed, false, Good, Good, State::EnforceModret),
        (both, closed, false, Failed, Good, State::EnforceSignal),
        (both, closed, false, Rejected, Good, State::EnforceSignal),
        (both, closed, true, Good, Good, State::Enforce),
        (modret, closed, false, Failed, Good, State::Refused),
        (modret, watch, false, Failed, Good, State::AuditFallback),
        // Verified and not opted in.
        (signal, closed, false, Good, Failed, State::Refused),
        (&[], closed, false, Good, Good, State::Refused),
    ];
    for (fallbacks, gate_mode, lsm, modret, signal, state) in rows {
        let (list, lsm) = if lsm {
            (LISTED, Good)
        } else {
            (UNLISTED, Untried)
        };
        let mut measured = measured(list, lsm, signal);
        measured
            .enforcing
            .insert((Tier::Modret, Class::File), modret);
        let rules = two_rules();
        let decision = decide(&enforce(fallbacks, gate_mode), &measured, &rules);
        let row = format!("{fallbacks:?} {list} {modret:?} {signal:?} → {decision:?}");
        assert_eq!(decision.state, state, "{row}");
        assert_eq!(decision.enforce_capable, state == State::Enforce, "{row}");
        check_invariants(&decision, &rules);
    }
}

#[test]
fn a_decision_without_its_evidence_enforces_nothing() {
    let rules = two_rules();
    let measured = measured(LISTED, Verdict::Verified, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &measured, &rules);
    let degraded = degraded(decision, &rules);
    assert_eq!(degraded.state, State::Degraded);
    assert_eq!((degraded.enforced, degraded.unenforced.len()), (0, 2));
    assert!(degraded.tiers.is_empty());
}

#[test]
fn blockers_name_the_measured_cause() {
    use Verdict::{CanaryFailed, NotTried, Rejected};
    let asked = enforce(&[], GateMode::FailClosed);
    let blockers = |measured: &Measured| decide(&asked, measured, &two_rules()).blockers;

    let unlisted = measured(UNLISTED, NotTried, NotTried);
    assert_eq!(blockers(&unlisted), [Blocker::BpfLsmDisabled]);
    // A canary that fails where the LSM isn't listed is no second cause.
    let probed = measured(UNLISTED, CanaryFailed, NotTried);
    assert_eq!(blockers(&probed), [Blocker::BpfLsmDisabled]);
    // And one that was met there, against the list, is still no claim's ground.
    let unreadable = Measured {
        lsm_list: LsmList::Unreadable {
            reason: String::new(),
        },
        ..unlisted.clone()
    };
    assert_eq!(blockers(&unreadable), [Blocker::LsmListUnreadable]);
    let rejected = measured(LISTED, Rejected, NotTried);
    assert_eq!(blockers(&rejected), [Blocker::LsmProgramRejected]);
    let failed = measured(LISTED, CanaryFailed, NotTried);
    assert_eq!(blockers(&failed), [Blocker::LsmCanaryFailed]);
    let no_btf = Measured {
        btf: false,
        ..measured(LISTED, NotTried, NotTried)
    };
    assert_eq!(blockers(&no_btf), [Blocker::BtfMissing]);
    let both = Measured {
        btf: false,
        ..unlisted
    };
    let expected = [Blocker::BpfLsmDisabled, Blocker::BtfMissing];
    assert_eq!(blockers(&both), expected);
}

#[test]
fn an_lsm_that_fires_without_being_listed_is_not_claimed() {
    let seam = measured(UNLISTED, Verdict::Verified, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &seam, &two_rules());
    assert_eq!(decision.state, State::Refused);
    assert!(!decision.enforce_capable);
    assert_eq!(decision.blockers, [Blocker::BpfLsmDisabled]);
}

#[test]
fn a_rule_beyond_its_tier_refuses_or_is_watched_and_is_always_listed() {
    let rules = [
        rule("short", &[]),
        rule("long", &[(Tier::Signal, "too long", false)]),
    ];
    let machine = measured(UNLISTED, Verdict::NotTried, Verdict::Verified);

    let closed = decide(
        &enforce(&[Tier::Signal], GateMode::FailClosed),
        &machine,
        &rules,
    );
    assert_eq!(closed.refusal, Some(Refusal::RuleBeyondTier));
    let reasons: Vec<&str> = closed
        .unenforced
        .iter()
        .map(|u| u.reason.as_str())
        .collect();
    assert!(reasons[1].ends_with("too long"), "{reasons:?}");
    check_invariants(&closed, &rules);

    let open = decide(
        &enforce(&[Tier::Signal], GateMode::AuditFallback),
        &machine,
        &rules,
    );
    assert_eq!(open.state, State::EnforceSignal);
    assert_eq!(open.enforced, 1);
    assert_eq!(open.unenforced[0].rule, "long");
    check_invariants(&open, &rules);

    // The obstacle of a tier that isn't relied on is nobody's concern.
    let lsm = measured(LISTED, Verdict::Verified, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &lsm, &rules);
    assert_eq!((decision.state, decision.enforced), (State::Enforce, 2));
}

#[test]
fn a_watched_rule_says_whether_it_is_really_watched() {
    let rules = [
        rule("short", &[]),
        rule("long", &[(Tier::Signal, "too long", false)]),
    ];
    let asked = asked(Mode::Audit, &[], GateMode::FailClosed);
    let machine = measured(UNLISTED, Verdict::NotTried, Verdict::NotTried);
    let decision = decide(&asked, &machine, &rules);
    let reasons: Vec<&str> = decision
        .unenforced
        .iter()
        .map(|unenforced| unenforced.reason.as_str())
        .collect();
    assert_eq!(reasons, ["observed only", "not even observed: too long"]);
    let blind = Measured {
        observing: BTreeMap::new(),
        ..machine
    };
    let decision = decide(&asked, &blind, &rules);
    assert!(decision.tiers.is_empty());
    assert!(
        decision.unenforced[0]
            .reason
            .starts_with("not even observed")
    );
}

#[test]
fn a_pending_rule_is_listed_and_refuses_nothing() {
    let rules = [rule("later", &[(Tier::Lsm, "pending: …", true)])];
    let machine = measured(LISTED, Verdict::Verified, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &machine, &rules);
    assert_eq!(decision.state, State::Enforce);
    assert_eq!((decision.enforced, decision.unenforced.len()), (0, 1));
    check_invariants(&decision, &rules);
}

#[test]
fn a_policy_without_rules_has_the_posture_that_its_machine_has() {
    let machine = measured(LISTED, Verdict::Verified, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &machine, &[]);
    assert_eq!((decision.state, decision.enforced), (State::Enforce, 0));
    let machine = measured(UNLISTED, Verdict::NotTried, Verdict::NotTried);
    let decision = decide(&enforce(&[], GateMode::FailClosed), &machine, &[]);
    assert_eq!(decision.state, State::Refused);
}

#[test]
fn lost_evidence_degrades_and_new_evidence_restores() {
    let asked = enforce(&[Tier::Signal], GateMode::AuditFallback);
    let rules = two_rules();
    let good = measured(UNLISTED, Verdict::NotTried, Verdict::Verified);
    let bad = measured(UNLISTED, Verdict::NotTried, Verdict::CanaryFailed);
    let claimed = decide(&asked, &good, &rules).state;

    let lost = recheck(&asked, claimed, &bad, &rules);
    assert_eq!(lost.state, State::Degraded);
    assert!(!lost.audit_only && !lost.enforce_capable);
    assert_eq!((lost.enforced, lost.unenforced.len()), (0, 2));
    check_invariants(&lost, &rules);

    assert_eq!(recheck(&asked, claimed, &good, &rules).state, claimed);
}

#[test]
fn a_lost_lsm_is_named_as_the_blocker() {
    let asked = enforce(&[], GateMode::FailClosed);
    let bad = measured(LISTED, Verdict::CanaryFailed, Verdict::NotTried);
    let lost = recheck(&asked, State::Enforce, &bad, &two_rules());
    assert_eq!(lost.state, State::Degraded);
    assert!(!lost.enforce_capable);
    assert_eq!(lost.blockers, [Blocker::LsmCanaryFailed]);
}

#[test]
fn a_rule_that_was_not_kept_takes_the_claim_until_new_evidence_is_in() {
    let asked = enforce(&[Tier::Signal], GateMode::FailClosed);
    let good = measured(UNLISTED, Verdict::NotTried, Verdict::Verified);
    let rules = two_rules();
    let claimed = decide(&asked, &good, &rules);
    assert_eq!(claimed.state, State::EnforceSignal);

    let missed = degraded(claimed.clone(), &rules);
    assert_eq!(missed.state, State::Degraded);
    assert_eq!((missed.enforced, missed.unenforced.len()), (0, rules.len()));
    assert!(missed.tiers.is_empty());
    assert_eq!(missed.blockers, claimed.blockers);
    check_invariants(&missed, &rules);

    assert_eq!(recheck(&asked, claimed.state, &good, &rules), claimed);
}

#[test]
fn a_watching_agent_never_becomes_degraded_or_enforcing() {
    let asked = enforce(&[Tier::Signal], GateMode::AuditFallback);
    for signal in [Verdict::Verified, Verdict::CanaryFailed] {
        let machine = measured(UNLISTED, Verdict::NotTried, signal);
        let rules = two_rules();
        let decision = recheck(&asked, State::AuditFallback, &machine, &rules);
        assert_eq!(decision.state, State::AuditFallback, "{signal:?}");
        assert!(decision.audit_only);
        check_invariants(&decision, &rules);
    }
}
