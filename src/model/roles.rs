//! Roles of the kept generations.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::Generation;

/// The role of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// Kept; it has not been active yet.
    Staged,
    /// Computed and compared on a share of requests, not shown.
    Shadow(f64),
    /// Answers a share of the users, always the same ones.
    Canary(f64),
    /// Answers all other requests.
    Active,
    /// Was active once.
    Retired,
}

/// The roles of all generations; those not named are retired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// The active one; none: the newest that is not named below.
    pub active: Option<Generation>,
    /// The canary.
    pub canary: Option<Part>,
    /// The shadow.
    pub shadow: Option<Part>,
    /// Those that have not been active yet.
    pub staged: BTreeSet<Generation>,
    /// Those that were active before, the latest last: rollback returns to it.
    pub answered: Vec<Generation>,
}

/// A generation with a share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The generation.
    pub generation: Generation,
    /// Its share, above 0 and up to 1.
    pub share: f64,
}

impl Role {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Staged => "staged",
            Role::Shadow(_) => "shadow",
            Role::Canary(_) => "canary",
            Role::Active => "active",
            Role::Retired => "retired",
        }
    }
}

impl Roles {
    /// Checks that the roles are possible.
    ///
    /// # Errors
    /// What is not.
    pub fn validate(&self) -> Result<(), String> {
        for (name, part) in [("canary", self.canary), ("shadow", self.shadow)] {
            if let Some(Part { share, .. }) = part
                && !(share > 0.0 && share <= 1.0)
            {
                return Err(format!("{name}.share must be above 0 and up to 1, is {share}"));
            }
        }
        Ok(())
    }

    /// A generation's role, where `active` is the active one.
    pub fn of(&self, generation: Generation, active: Generation) -> Role {
        let part = |part: Option<Part>| part.filter(|p| p.generation == generation);
        match (part(self.canary), part(self.shadow)) {
            _ if generation == active => Role::Active,
            (Some(canary), _) => Role::Canary(canary.share),
            (_, Some(shadow)) => Role::Shadow(shadow.share),
            _ if self.staged.contains(&generation) => Role::Staged,
            _ => Role::Retired,
        }
    }

    /// Gives a generation a role. A generation that had a unique role loses it: a canary is retired
    /// then, since it has answered, a shadow staged.
    pub fn assign(&mut self, generation: Generation, role: Role) {
        let active = self.active;
        let shadow_before = self.shadow.map(|shadow| shadow.generation);
        self.forget(generation);

        match role {
            Role::Active => {
                self.answered.extend(active.filter(|&active| active != generation));
                self.active = Some(generation);
            }
            Role::Canary(share) => self.canary = Some(Part { generation, share }),
            Role::Shadow(share) => {
                self.staged.extend(shadow_before.filter(|&before| before != generation));
                self.shadow = Some(Part { generation, share });
            }
            Role::Staged => {
                self.staged.insert(generation);
            }
            Role::Retired => {}
        }
    }

    /// Removes a generation from all roles.
    pub fn forget(&mut self, generation: Generation) {
        let other = |part: &Part| part.generation != generation;
        self.canary = self.canary.filter(other);
        self.shadow = self.shadow.filter(other);
        self.active = self.active.filter(|&active| active != generation);
        self.staged.remove(&generation);
        self.answered.retain(|&answered| answered != generation);
    }

    /// Makes the generation active that was active before, if there is one; the current one is not
    /// returned to later.
    pub fn go_back(&mut self) -> Option<Generation> {
        let before = self.answered.pop()?;
        self.active = Some(before);
        Some(before)
    }

    /// Removes generations for which `kept` does not hold.
    pub fn retain(&mut self, kept: impl Fn(Generation) -> bool) {
        self.staged.retain(|&generation| kept(generation));
        self.answered.retain(|&generation| kept(generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_has_one_role_and_some_roles_one_generation() {
        let mut roles = Roles::default();
        for generation in 1..=4 {
            roles.assign(generation, Role::Staged);
        }

        roles.assign(1, Role::Active);
        roles.assign(2, Role::Canary(0.1));
        roles.assign(3, Role::Shadow(0.5));
        let all = |roles: &Roles| [1, 2, 3, 4].map(|g| roles.of(g, roles.active.unwrap_or(0)));
        assert_eq!(all(&roles), [Role::Active, Role::Canary(0.1), Role::Shadow(0.5), Role::Staged]);
        roles.assign(2, Role::Active);
        roles.assign(4, Role::Shadow(0.2));
        assert_eq!(all(&roles), [Role::Retired, Role::Active, Role::Staged, Role::Shadow(0.2)]);
        assert_eq!(roles.answered, [1]);
        roles.assign(5, Role::Active);
        assert_eq!(roles.go_back(), Some(2));
        roles.assign(6, Role::Active);
        assert_eq!(roles.answered, [1, 2], "what was gone back from is not gone back to");
        roles.retain(|generation| generation > 1);
        assert_eq!((roles.go_back(), roles.go_back()), (Some(2), None));

        let text = serde_json::to_string(&roles).unwrap();
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), roles);
    }
}
