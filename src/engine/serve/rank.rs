//! Orders items that the caller chose.

use std::collections::HashSet;
use std::sync::Arc;

use super::query::Recommender;
use super::request::{Answer, RecommendRequest, ScoredItem};
use crate::domain::Result;
use crate::live::Filter;
use crate::model::Source;
use crate::recommend::RepeatPolicy;

impl Recommender {
    /// Orders the given items, each once, regardless of availability and of what the user
    /// bought; unknown items come last.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub async fn rank(
        self: &Arc<Self>,
        user_id: String,
        session: Vec<String>,
        items: Vec<String>,
    ) -> Result<Answer> {
        let filter = Arc::new(Filter { include_unavailable: true, ..Filter::default() });
        let request = RecommendRequest {
            user_id,
            session,
            limit: items.len(),
            filter,
            candidates: Some(items),
            repeat: Some(RepeatPolicy::Allow),
            placement: "rank".to_owned(),
            // The caller chose the items; rules do not.
            rules: Some(Arc::default()),
            ..RecommendRequest::default()
        };

        let request = Arc::new(request);
        let mut answer = self.on_request_thread(&request).await?;

        let mut listed: HashSet<String> =
            answer.entries.iter().map(|entry| entry.item_id.clone()).collect();
        for item_id in request.candidates.iter().flatten() {
            if listed.insert(item_id.clone()) {
                let (item_id, explanation) = (item_id.clone(), None);
                let source = Source::Catalog;
                let propensity = 1.0;
                let (idx, score) = (None, 0.0);
                let unknown = ScoredItem { item_id, idx, score, source, propensity, explanation };
                answer.entries.push(unknown);
            }
        }
        self.expose(&answer, &request);
        Ok(answer)
    }
}
