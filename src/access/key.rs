//! One API key as it is stored, and what a new one is made from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::quota::Quota;
use super::scope::Scope;
use super::secret::SecretHash;
use crate::domain::Violation;
use crate::domain::limits;

/// An API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name, which no other key has.
    pub name: String,
    /// What its holder may do.
    pub scopes: BTreeSet<Scope>,
    /// The store that it opens; none with [`Scope::Admin`] and [`Scope::Follow`], which open every store.
    pub store: Option<String>,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// Its quota.
    pub quota: Quota,
    /// Time of its creation in milliseconds since 1970.
    pub created_ms: i64,
    /// Time from which on it is refused.
    pub expires_ms: Option<i64>,
    /// Time of its revocation.
    pub revoked_ms: Option<i64>,
}

impl Key {
    /// Whether it is not valid any more at `now_ms` for its age.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires| expires <= now_ms)
    }
}

/// What a new key is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySpec {
    /// Its name.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The store that it opens; none with a scope that opens every store.
    pub store: Option<String>,
    /// Its quota.
    pub quota: Quota,
    /// How long it is valid in milliseconds; none: without end.
    pub valid_ms: Option<i64>,
}

/// Shortest and longest time for which a key is valid: a second, a century.
const VALID_MS: std::ops::RangeInclusive<i64> = 1_000..=36_500 * 86_400_000;

impl KeySpec {
    /// A key with `scopes` of `store`, without a quota and an end.
    pub fn new(name: &str, scopes: &[Scope], store: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            store: store.map(str::to_owned),
            quota: Quota::default(),
            valid_ms: None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The field and its limit.
    pub fn validate(&self) -> Result<(), Violation> {
        limits::name("name", &self.name)?;
        limits::count("scopes", self.scopes.len(), 1, Scope::ALL.len())?;
        let distinct: BTreeSet<Scope> = self.scopes.iter().copied().collect();
        if distinct.len() < self.scopes.len() {
            return Err(Violation::new("scopes", "must not repeat a scope"));
        }

        if distinct.contains(&Scope::Follow) && distinct.len() > 1 {
            return Err(Violation::new("scopes", "must hold the scope follow alone"));
        }

        let opening_all = distinct.iter().find(|scope| scope.opens_all());
        match (&self.store, opening_all) {
            (Some(_), Some(scope)) => {
                let name = scope.name();
                let message =
                    format!("must be empty with the scope {name}, which opens every store");
                return Err(Violation::new("store", message));
            }
            (Some(store), None) => limits::name("store", store)?,
            (None, Some(_)) => {}
            (None, None) => return Err(Violation::new("store", "must name a store, is empty")),
        }

        if let Some(valid) = self.valid_ms
            && !VALID_MS.contains(&valid)
        {
            let message = format!(
                "must be {} to {} seconds, was {}",
                VALID_MS.start() / 1_000,
                VALID_MS.end() / 1_000,
                valid as f64 / 1e3
            );
            return Err(Violation::new("expires_in", message));
        }
        self.quota.validate("quota")
    }
}
