//! Models as the protocol has them.

use crate::api::wire::{convert, pb};
use crate::domain::{Check, Verdict};
use crate::engine::Engine;
use crate::model::{Lineage, Manifest, Role};

/// A kept model as the protocol has it.
pub(super) fn model(engine: &Engine, manifest: Manifest) -> pb::Model {
    let role = engine.models().role(manifest.generation);
    let shadow = engine.recommender().shadow_comparison(manifest.generation);
    let shadow = shadow.filter(|_| matches!(role, Role::Shadow(_)));
    let (role, share) = match role {
        Role::Staged => (pb::ModelRole::Staged, 0.0),
        Role::Shadow(share) => (pb::ModelRole::Shadow, share),
        Role::Canary(share) => (pb::ModelRole::Canary, share),
        Role::Active => (pb::ModelRole::Active, 0.0),
        Role::Retired => (pb::ModelRole::Retired, 0.0),
    };

    pb::Model {
        generation: manifest.generation,
        active: role == pb::ModelRole::Active,
        offset: manifest.offset,
        erased_to_offset: manifest.erased_to(),
        create_time: Some(convert::timestamp(manifest.created_ms)),
        train_seconds: manifest.train_seconds,
        users: manifest.users as i64,
        items: manifest.items as i64,
        interactions: manifest.interactions as i64,
        seed: manifest.seed,
        settings_json: serde_json::to_string(&manifest.settings).unwrap_or_default(),
        quality: manifest.quality.into_iter().collect(),
        size_bytes: manifest.bytes as i64,
        left_out: manifest.left_out.iter().map(|source| source.name().to_owned()).collect(),
        role: role.into(),
        share,
        lineage: manifest.pushed.map(lineage),
        shadow: shadow.map(|(lists, seconds)| pb::ShadowComparison {
            lists: lists.lists,
            overlap: lists.overlap(),
            same_first: lists.same_first(),
            seconds,
        }),
    }
}

fn lineage(lineage: Lineage) -> pb::ModelLineage {
    pb::ModelLineage {
        generation: lineage.generation,
        base_generation: lineage.base,
        pushed_by: lineage.pushed_by,
        note: lineage.note,
        push_time: Some(convert::timestamp(lineage.pushed_ms)),
        trained_until_time: Some(convert::timestamp(lineage.trained_until_ms)),
        log_offset: lineage.log_offset,
        contents: lineage.contents,
        size_bytes: lineage.bytes,
        sha256: lineage.sha256,
        forced: lineage.forced,
        checks: lineage.checks.into_iter().map(check).collect(),
    }
}

fn check(check: Check) -> pb::ModelCheck {
    let verdict = match check.verdict {
        Verdict::Passed => pb::Verdict::Passed,
        Verdict::Failed => pb::Verdict::Failed,
        Verdict::Overridden => pb::Verdict::Overridden,
        Verdict::NotJudged => pb::Verdict::NotJudged,
    };
    pb::ModelCheck {
        name: check.name,
        figure: check.figure,
        limit: check.limit,
        verdict: verdict.into(),
    }
}
