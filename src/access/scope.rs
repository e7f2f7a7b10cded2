//! What the holder of a key may do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A group of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Lists, rankings and items.
    Read,
    /// Writes events.
    Events,
    /// Reads and writes items.
    Catalog,
    /// Reads, writes and erases users.
    Users,
    /// Trains, pushes, activates and deletes models.
    Models,
    /// Everything, in every store.
    Admin,
    /// Copies every store, for a server that follows.
    Follow,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 7] = [
        Scope::Read,
        Scope::Events,
        Scope::Catalog,
        Scope::Users,
        Scope::Models,
        Scope::Admin,
        Scope::Follow,
    ];

    /// Its name on the command line and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Events => "events",
            Scope::Catalog => "catalog",
            Scope::Users => "users",
            Scope::Models => "models",
            Scope::Admin => "admin",
            Scope::Follow => "follow",
        }
    }

    /// Whether it is for every store.
    pub fn opens_all(self) -> bool {
        matches!(self, Scope::Admin | Scope::Follow)
    }

    /// The scope with a name.
    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The names of scopes, for a message.
pub fn names<'s>(scopes: impl IntoIterator<Item = &'s Scope>) -> String {
    scopes.into_iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}

/// Whether `held` allows what any of `needed` does; admin allows everything.
pub fn allow(held: &BTreeSet<Scope>, needed: &[Scope]) -> bool {
    held.contains(&Scope::Admin) || needed.iter().any(|scope| held.contains(scope))
}
