//! A fault, waited for.

use rashomon::model::{Action, Nanos};
use rashomon::target::{Target, TargetError};

/// Begins or ends a fault, and returns when it is in force or undone. Nothing else is under way.
pub(crate) fn act(target: &mut dyn Target, action: &Action) -> Result<(), TargetError> {
    let (Action::Begin(id, _) | Action::End(id, _)) = action else { panic!("this is no fault") };
    target.begin(action)?;
    while !target.settled(*id)? {
        assert_eq!(target.advance(Nanos::FOREVER), None, "nobody was asked");
    }
    Ok(())
}
