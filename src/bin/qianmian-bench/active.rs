//! Users who have just clicked: each views 1 to 5 items of the list that they are shown, so that no
//! prepared list holds for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::cli::backend::Backend;
use qianmian::cli::{Failure, output};

use crate::server::Server;

/// Most clicks of a user.
const CLICKS: usize = 5;
/// Events of a batch.
const BATCH: usize = 500;
/// How often it is looked whether lists are made,
const PAUSE: Duration = Duration::from_millis(500);
/// the share of a core below which they are, and the longest wait.
const IDLE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(120);
/// Lists whose stages are looked at.
const DIAGNOSED: usize = 300;

/// Lets every user click.
///
/// # Errors
/// Where a call fails.
pub(crate) async fn click(address: &str, users: &[String]) -> Result<(), Failure> {
    let backend = Backend::connect(address).await?;
    let refused = |status: tonic::Status| status.message().to_owned();
    let mut events = Vec::new();
    for (at, user) in users.iter().enumerate() {
        let clicks = 1 + at % CLICKS;
        let request = pb::RecommendRequest {
            user_id: user.clone(),
            limit: clicks as i32,
            ..pb::RecommendRequest::default()
        };
        let shown = backend.recommend(request).await.map_err(refused)?.items;
        let click = |item: pb::ScoredItem| pb::Event {
            kind: pb::EventKind::View.into(),
            user_id: user.clone(),
            item_id: item.item_id,
            ..pb::Event::default()
        };
        events.extend(shown.into_iter().map(click));
    }

    for batch in events.chunks(BATCH) {
        backend.write_events(batch.to_vec()).await.map_err(refused)?;
    }
    Ok(())
}

/// Waits until the server has made the lists of these users, which it does after their clicks, and prints
/// what that took. A user's next page comes some seconds after a click, not at once.
pub(crate) fn wait_for_lists(server: &Server, users: usize) {
    let began = Instant::now();
    let at_start = server.cpu_seconds();
    let mut before = at_start;
    while began.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
        let now = server.cpu_seconds();
        let used = now.zip(before).map_or(0.0, |(now, before)| now - before);
        before = now;
        if used < IDLE * PAUSE.as_secs_f64() {
            break;
        }
    }

    let used = before.zip(at_start).map_or(0.0, |(end, start)| end - start);
    println!(
        "lists of {users} active users, made in the background: {:.1} s, {:.0} µs of the processor each\n",
        began.elapsed().as_secs_f64(),
        used * 1e6 / users.max(1) as f64
    );
}

/// Prints where the time of these users' lists goes: the mean of each stage.
///
/// # Errors
/// Where a call fails.
pub(crate) async fn print_stages(
    address: &str,
    users: &[String],
    limit: i32,
) -> Result<(), Failure> {
    let mut lists = RecommendationServiceClient::connect(format!("http://{address}")).await?;
    let mut stages: BTreeMap<String, f64> = BTreeMap::new();
    let mut count = 0.0;
    for user in users.iter().cycle().take(2 * DIAGNOSED.min(users.len())) {
        let request = pb::RecommendRequest {
            user_id: user.clone(),
            limit,
            ..pb::RecommendRequest::default()
        };
        let asked = pb::DiagnoseRequest { request: Some(request) };
        let told = lists.diagnose(asked).await?.into_inner();
        count += 1.0;
        for stage in told.stages {
            let source = Some(stage.source).filter(|source| !source.is_empty());
            let name = source.map_or(stage.name.clone(), |of| format!("{} {of}", stage.name));
            *stages.entry(name).or_default() += stage.micros;
        }
    }

    let mut rows: Vec<(String, f64)> =
        stages.into_iter().map(|(name, micros)| (name, micros / count)).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let all: f64 = rows.iter().map(|(_, micros)| micros).sum();
    let row = |(name, micros): (String, f64)| {
        vec![name, format!("{micros:.1}"), format!("{:.2}", micros / all)]
    };
    println!("where the time of a list of an active user goes, by Diagnose, one at a time:\n");
    let rows = rows.into_iter().filter(|(_, micros)| *micros >= 0.05).map(row);
    println!("{}", output::table(&["stage", "µs", "share"], &["µs", "share"], rows.collect()));
    Ok(())
}
