//! What may be said of histories that have no times.
//!
//! There nothing has returned before anything else began ([`History::has_real_time`]), so whatever is
//! violated is violated at any times the operations may have had. That a property of real time holds
//! is never shown: at other times it might not.

use crate::check::{Property, Status, Verdict};
use crate::history::History;

/// The properties that speak of what came before what in real time, and not of sessions and
/// versions alone.
pub(super) const OF_REAL_TIME: [Property; 30] = [
    Property::Fut,
    Property::Lin,
    Property::Reg,
    Property::Awl,
    Property::Ec,
    Property::Res,
    Property::Cnt,
    Property::Inv,
    Property::Bank,
    Property::SetLost,
    Property::SetStale,
    Property::QLost,
    Property::QOrd,
    Property::QUnexp,
    Property::QEmpty,
    Property::Lock,
    Property::Fence,
    Property::Leader,
    Property::Sib,
    Property::Dupid,
    Property::Torn,
    Property::G0Realtime,
    Property::G1cRealtime,
    Property::GSingleRealtime,
    Property::GNonadjacentRealtime,
    Property::G2ItemRealtime,
    Property::SPc,
    Property::SPsi,
    Property::SSi,
    Property::Sser,
];

/// The verdict, unless it says that a property of real time holds in a history without times.
pub(super) fn withheld(history: &History, verdict: Verdict) -> Verdict {
    let is_claimed = verdict.status == Status::Valid && OF_REAL_TIME.contains(&verdict.property);
    if history.has_real_time() || !is_claimed {
        return verdict;
    }
    let reason = "this history has no times: nobody knows what came before what in real time";
    Verdict::unknown(verdict.property, reason)
}
