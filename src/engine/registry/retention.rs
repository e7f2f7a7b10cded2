//! Retention: which kept snapshots are beyond the limits of number and size.

use std::cmp::Reverse;

use crate::domain::Generation;
use crate::engine::options::ModelOptions;
use crate::model::Manifest;
use crate::model::roles::Role;

/// The generations to remove: the oldest beyond the limits, among retired and staged ones that are
/// not protected. Staged ones are kept before retired ones.
pub(super) fn beyond_limits(
    mut all: Vec<Manifest>,
    options: &ModelOptions,
    role: impl Fn(Generation) -> Role,
    is_protected: impl Fn(Generation) -> bool,
) -> Vec<Generation> {
    let rank = |generation| match role(generation) {
        _ if is_protected(generation) => 0,
        Role::Active | Role::Canary(_) | Role::Shadow(_) => 0,
        Role::Staged => 1,
        Role::Retired => 2,
    };
    all.sort_by_key(|m| (rank(m.generation), Reverse(m.generation)));

    let mut bytes = 0;
    let mut staged = 0;
    let mut retired = 0;
    let mut beyond = Vec::new();
    for Manifest { generation, bytes: size, .. } in all {
        bytes += size;
        let count = match role(generation) {
            Role::Staged => &mut staged,
            Role::Retired => &mut retired,
            Role::Active | Role::Canary(_) | Role::Shadow(_) => &mut 0,
        };
        *count += 1;

        let fits = options.keep_mib == 0 || bytes <= options.keep_mib << 20;
        let stays = rank(generation) == 0 || (fits && *count <= options.keep);
        if !stays {
            bytes -= size;
            beyond.push(generation);
        }
    }
    beyond
}
