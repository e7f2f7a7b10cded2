//! Users between the protocol and the domain.

use super::pb;
use crate::domain::{User, Violation};

/// A user and their id.
///
/// # Errors
/// The field that breaks a limit.
pub fn user(given: pb::User) -> Result<(String, User), Violation> {
    let consent = match pb::Consent::try_from(given.consent) {
        Ok(pb::Consent::Unspecified | pb::Consent::Given) => true,
        Ok(pb::Consent::Denied) => false,
        Err(_) => {
            let message = format!("must be 0, 1 or 2, was {}", given.consent);
            return Err(Violation::new("consent", message));
        }
    };
    let user = User { attributes: given.attributes.into_iter().collect(), consent };
    user.validate()?;
    Ok((given.user_id, user))
}

/// A user for an answer.
pub fn user_proto(user_id: String, user: User) -> pb::User {
    let consent = if user.consent { pb::Consent::Given } else { pb::Consent::Denied };
    let attributes = user.attributes.into_iter().collect();
    pb::User { user_id, attributes, consent: consent.into() }
}
