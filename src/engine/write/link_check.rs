//! Whether ids may become aliases of a user.

use super::names::Names;
use crate::domain::quote::quoted;
use crate::domain::{Result, UserIdx, Violation};
use crate::live::links::MAX_ALIASES;
use crate::live::{Links, Profiles, Shared};

/// What the store knows of ids before a link.
pub(super) struct LinkCheck<'a, 'g> {
    pub(super) users: &'a Names<'g>,
    pub(super) links: &'a Shared<Links>,
    pub(super) profiles: &'a Shared<Profiles>,
}

impl LinkCheck<'_, '_> {
    /// Those of `aliases` that are not linked to the user yet.
    ///
    /// # Errors
    /// The id that cannot be linked: an alias of another user, a user with aliases, one whose decisions on
    /// personalisation differ from the user's, the user.
    pub(super) fn new_links<'n>(&self, id: &str, aliases: &'n [String]) -> Result<Vec<&'n str>> {
        let links = self.links.read();
        let user = self.users.get(id);
        if let Some(of) = user.filter(|user| links.is_alias(*user)) {
            let message = format!("is an alias of {}: link to that", self.name(links.resolve(of)));
            return Err(Violation::new("user_id", message).into());
        }

        let mut new: Vec<&str> = Vec::new();
        for (at, alias) in aliases.iter().enumerate() {
            let refused = |message: String| Violation::new(format!("alias_ids[{at}]"), message);
            if alias == id {
                return Err(refused(format!("is the user, {}", quoted(id))).into());
            }
            let idx = self.users.get(alias);
            let linked = idx.filter(|idx| links.is_alias(*idx)).map(|idx| links.resolve(idx));
            if linked.is_some() && linked == user || new.contains(&alias.as_str()) {
                continue;
            }
            if let Some(other) = linked {
                let message = format!("is an alias of {}: unlink it first", self.name(other));
                return Err(refused(message).into());
            }
            if idx.is_some_and(|idx| !links.aliases(idx).is_empty()) {
                let message = "has aliases of its own: link those, or link the user to it";
                return Err(refused(message.to_owned()).into());
            }
            self.check_decisions(user, idx).map_err(refused)?;
            new.push(alias);
        }

        let all = new.len() + user.map_or(0, |user| links.aliases(user).len());
        if all > MAX_ALIASES {
            let message = format!("must leave the user at most {MAX_ALIASES} aliases, not {all}");
            return Err(Violation::new("alias_ids", message).into());
        }
        Ok(new)
    }

    /// Refuses to make one user of two of whom one objected: neither may be overruled.
    fn check_decisions(&self, user: Option<UserIdx>, alias: Option<UserIdx>) -> Result<(), String> {
        let profiles = self.profiles.read();
        let of = |idx: Option<UserIdx>| {
            idx.map_or((true, true), |idx| (profiles.consents(idx), profiles.records(idx)))
        };
        // An id without a past has decided nothing.
        if alias.is_none() || of(user) == of(alias) {
            return Ok(());
        }
        let whose = if of(alias) == (true, true) { "the user" } else { "it" };
        Err(format!(
            "has another consent than the user: {whose} objected to personalisation; set both alike first"
        ))
    }

    fn name(&self, idx: UserIdx) -> String {
        quoted(&self.users.name(idx))
    }
}
