//! Experiments over the wire: who sees what, what may be concluded, what is stopped, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::experiment_service_client::ExperimentServiceClient;
use qianmian::api::wire::pb::report_service_client::ReportServiceClient;
use qianmian::engine::EngineOptions;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::merchandise::recommend;
use crate::support::{self, Server, purchases, trained};

/// A shop of two tastes with a model, and users `u0` to `u399`.
pub(crate) async fn shop(data: &Path, options: EngineOptions) -> Server {
    let server = Server::start(data, options).await;
    let names: Vec<(String, String)> = (0..2_400)
        .map(|n| (format!("u{}", n % 400), format!("i{}", (n % 2) * 20 + (n * 7 + n / 400) % 20)))
        .collect();
    let rows: Vec<_> = names.iter().map(|(user, item)| (user.as_str(), item.as_str(), 1)).collect();
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    place(&server, vec![placement("home"), single("bestsellers", pb::Source::Popular)])
        .await
        .unwrap();
    server
}

pub(crate) fn placement(name: &str) -> pb::Placement {
    let repeat_policy = pb::RepeatPolicy::Allow.into();
    pb::Placement { name: name.into(), limit: 6, repeat_policy, ..Default::default() }
}

pub(crate) fn single(name: &str, source: pb::Source) -> pb::Placement {
    pb::Placement { strategy: source.into(), ..placement(name) }
}

pub(crate) async fn place(server: &Server, placements: Vec<pb::Placement>) -> Result<u32, Status> {
    let placements = Some(pb::PlacementSet { placements });
    let request = pb::ApplyPlacementsRequest { placements, ..Default::default() };
    let applied = server.placements().apply_placements(request).await;
    applied.map(|applied| applied.into_inner().version)
}

pub(crate) fn client(server: &Server) -> ExperimentServiceClient<Channel> {
    ExperimentServiceClient::new(server.channel.clone())
}

pub(crate) fn variant(name: &str, share: f64, placement: &str) -> pb::ExperimentVariant {
    pb::ExperimentVariant { name: name.into(), share, placement: placement.into() }
}

pub(crate) fn experiment(name: &str) -> pb::Experiment {
    pb::Experiment {
        name: name.into(),
        placement: "home".into(),
        variants: vec![variant("blend", 0.5, ""), variant("popular", 0.5, "bestsellers")],
        control: "blend".into(),
        traffic: 1.0,
        ..Default::default()
    }
}

pub(crate) async fn put(
    server: &Server,
    experiment: pb::Experiment,
) -> Result<pb::Experiment, Status> {
    let request = pb::PutExperimentRequest { experiment: Some(experiment), note: String::new() };
    let put = client(server).put_experiment(request).await;
    put.map(|put| put.into_inner().experiment.unwrap())
}

pub(crate) async fn start(server: &Server, name: &str) -> Result<pb::Experiment, Status> {
    let request = pb::StartExperimentRequest { name: name.into() };
    let started = client(server).start_experiment(request).await;
    started.map(|started| started.into_inner().experiment.unwrap())
}

pub(crate) async fn running(server: &Server, experiment: pb::Experiment) {
    let name = experiment.name.clone();
    put(server, experiment).await.unwrap();
    assert_eq!(start(server, &name).await.unwrap().state(), pb::ExperimentState::Running);
}

pub(crate) async fn report(server: &Server, name: &str) -> pb::GetExperimentReportResponse {
    let request = pb::GetExperimentReportRequest { name: name.into() };
    client(server).get_experiment_report(request).await.unwrap().into_inner()
}

pub(crate) async fn metrics(server: &Server, by: &[pb::MetricDimension]) -> Vec<pb::MetricGroup> {
    let group_by = by.iter().map(|of| (*of).into()).collect();
    let request = pb::GetMetricsRequest { group_by, ..Default::default() };
    let mut reports = ReportServiceClient::new(server.channel.clone());
    reports.get_metrics(request).await.unwrap().into_inner().groups
}

pub(crate) async fn home(server: &Server, user: &str) -> pb::RecommendResponse {
    let request = pb::RecommendRequest {
        user_id: user.into(),
        placement: "home".into(),
        ..Default::default()
    };
    recommend(server, request).await
}

/// Asks for the lists of these users; returns them by variant.
pub(crate) async fn show(
    server: &Server,
    users: u32,
) -> BTreeMap<String, Vec<(String, pb::RecommendResponse)>> {
    let mut shown: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for user in (0..users).map(|n| format!("u{n}")) {
        let list = home(server, &user).await;
        shown.entry(list.variant.clone()).or_default().push((user, list));
    }
    shown
}

/// An event of the first item of a list.
pub(crate) fn event(kind: pb::EventKind, user: &str, list: &pb::RecommendResponse) -> pb::Event {
    pb::Event {
        kind: kind.into(),
        user_id: user.into(),
        item_id: list.items[0].item_id.clone(),
        price: Some(10.0),
        recommendation_id: list.recommendation_id.clone(),
        ..Default::default()
    }
}

pub(crate) async fn write(server: &Server, events: Vec<pb::Event>) {
    let written = server.events().write_events(pb::WriteEventsRequest { events }).await.unwrap();
    assert_eq!(written.into_inner().errors, []);
}

/// Waits until as many lists are recorded.
pub(crate) async fn recorded(server: &Server, lists: i64) {
    for _ in 0..200 {
        let groups = metrics(server, &[]).await;
        if groups.first().is_some_and(|group| group.lists >= lists) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the lists are not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_from_its_start_to_the_winner() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    running(&server, experiment("first")).await;
    assert_eq!(report(&server, "first").await.sentence, "No user has seen a list of it yet.");

    let shown = show(&server, 400).await;
    let names: Vec<_> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, ["first/blend", "first/popular"]);
    let (blend, popular) = (&shown["first/blend"], &shown["first/popular"]);
    assert!((160..240).contains(&blend.len()), "{}", blend.len());
    assert!(popular.iter().all(|(_, list)| list.items == popular[0].1.items), "the same for all");
    let again = home(&server, &popular[0].0).await;
    assert_eq!(again.variant, "first/popular", "a user stays with their variant");

    // All who see the blend buy, none of the others.
    recorded(&server, 401).await;
    let bought = blend.iter().map(|(user, list)| event(pb::EventKind::Purchase, user, list));
    write(&server, bought.collect()).await;
    let found = report(&server, "first").await;
    let of = |at: usize| &found.variants[at];
    assert_eq!((of(0).users, of(1).users), (blend.len() as i64, popular.len() as i64));
    assert_eq!((of(0).figures[0].value, of(1).figures[0].value), (1.0, 0.0));
    assert_eq!((of(0).figures[1].value, found.mixed_users), (10.0, 0));
    assert_eq!(found.verdict(), pb::ExperimentVerdict::Worse, "{}", found.sentence);
    assert!(found.sample_ratio_p > 0.001);

    // The same after a restart, from the log.
    let before = found;
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    let after = report(&server, "first").await;
    assert_eq!(after.variants, before.variants);
    assert_eq!(home(&server, &popular[0].0).await.variant, "first/popular");

    let adopt =
        |variant: &str| pb::AdoptVariantRequest { name: "first".into(), variant: variant.into() };
    let refused = client(&server).adopt_variant(adopt("best")).await.unwrap_err();
    assert!(refused.message().starts_with("variant: must be one of first"), "{refused:?}");
    let adopted = client(&server).adopt_variant(adopt("popular")).await.unwrap().into_inner();
    let adopted = adopted.experiment.unwrap();
    assert_eq!(adopted.state(), pb::ExperimentState::Stopped);
    assert_eq!(adopted.stop_reason, "popular takes over");
    let list = home(&server, &blend[0].0).await;
    assert_eq!((list.variant.as_str(), &list.items), ("", &popular[0].1.items));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tested_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    let refused = |changed: pb::Experiment| {
        let server = &server;
        async move { put(server, changed).await.unwrap_err().message().to_owned() }
    };
    let one = || experiment("one");
    let said = refused(pb::Experiment {
        variants: vec![variant("a", 0.7, ""), variant("b", 0.6, "")],
        control: "a".into(),
        ..one()
    });
    assert!(said.await.ends_with("must have shares that sum to 1, sum to 1.2999999999999998"));
    let said = refused(pb::Experiment { control: "none".into(), ..one() }).await;
    assert_eq!(said, "experiment.control: must name one of the variants, was \"none\"");
    let nothing = vec![variant("blend", 0.5, ""), variant("b", 0.5, "gone")];
    let said = refused(pb::Experiment { variants: nothing, ..one() }).await;
    let expected = "experiment.variants[1].placement: must be a placement of the store";
    assert!(said.starts_with(expected), "{said}");
    let said = refused(pb::Experiment { placement: "hom".into(), ..one() }).await;
    assert!(said.starts_with("experiment.placement: must be a placement"), "{said}");
    let said = refused(pb::Experiment { traffic: 1.5, ..one() }).await;
    assert!(said.starts_with("experiment.traffic: must be 0.001 to 1"), "{said}");
    let said = refused(pb::Experiment { name: "holdout".into(), ..one() }).await;
    assert!(said.starts_with("experiments[0].name: is taken"), "{said}");

    running(&server, pb::Experiment { traffic: 0.6, ..one() }).await;
    let shrunk = refused(pb::Experiment { traffic: 0.5, ..one() }).await;
    assert_eq!(shrunk, "traffic: must not shrink while one runs: was 0.6, became 0.5");
    let moved = vec![variant("blend", 0.4, ""), variant("popular", 0.6, "bestsellers")];
    let said = refused(pb::Experiment { variants: moved, traffic: 0.6, ..one() }).await;
    assert!(said.starts_with("variants: must stay as it is: one runs"), "{said}");
    put(&server, pb::Experiment { traffic: 0.7, ..one() }).await.unwrap();

    // A layer has no room for more than all of its users, and layers do not overlap.
    put(&server, pb::Experiment { traffic: 0.4, ..experiment("two") }).await.unwrap();
    let full = start(&server, "two").await.unwrap_err();
    assert!(full.message().contains("leave 30 % of its users"), "{full:?}");
    let other = pb::Experiment { layer: "other".into(), traffic: 0.3, ..experiment("two") };
    put(&server, other).await.unwrap();
    let overlapping = start(&server, "two").await.unwrap_err();
    assert!(overlapping.message().contains("layers overlap"), "{overlapping:?}");

    let gone = place(&server, vec![placement("home")]).await.unwrap_err();
    assert!(gone.message().contains("which the running experiment \"one\" uses"), "{gone:?}");
    let delete = pb::DeleteExperimentRequest { name: "one".into() };
    let runs = client(&server).delete_experiment(delete).await.unwrap_err();
    assert_eq!(runs.code(), Code::FailedPrecondition);
    let stop = pb::StopExperimentRequest { name: "one".into(), reason: "enough".into() };
    client(&server).stop_experiment(stop).await.unwrap();
    let delete = pb::DeleteExperimentRequest { name: "one".into() };
    client(&server).delete_experiment(delete).await.unwrap();
    let taken = refused(pb::Experiment { layer: "other".into(), ..one() }).await;
    assert!(
        taken.contains(".name: is taken"),
        "what was recorded under it is not another's: {taken}"
    );
    let unknown = pb::GetExperimentReportRequest { name: "none".into() };
    let unknown = client(&server).get_experiment_report(unknown).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn testers_the_hold_out_and_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    running(&server, experiment("first")).await;
    let request = |user: &str, session: &str, forced: &[&str]| pb::RecommendRequest {
        user_id: user.into(),
        session_id: session.into(),
        session_item_ids: vec!["i1".into()],
        placement: "home".into(),
        forced_variants: forced.iter().map(|of| (*of).into()).collect(),
        ..Default::default()
    };
    let forced = recommend(&server, request("u1", "", &["first/popular"])).await;
    assert_eq!(forced.variant, "first/popular!");
    let wrong = server.recommendations().recommend(request("u1", "", &["first/no"])).await;
    assert!(wrong.unwrap_err().message().starts_with("forced_variants: must be"));

    let variant = async |session: &str| recommend(&server, request("", session, &[])).await.variant;
    assert_eq!(variant("visit-1").await, variant("visit-1").await);
    assert_eq!(recommend(&server, request("", "", &[])).await.variant, "", "no one to remember");
    recorded(&server, 4).await;
    let found = report(&server, "first").await;
    let users: i64 = found.variants.iter().map(|variant| variant.users).sum();
    assert_eq!(users, 1, "one session; testers do not count");

    client(&server).set_holdout(pb::SetHoldoutRequest { share: 0.5 }).await.unwrap();
    let shown = show(&server, 200).await;
    let held = shown["holdout"].len();
    assert!((70..130).contains(&held), "{held}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_of_placements_lists_go_on_and_experiments_stop() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    place(&server, vec![placement("home")]).await.unwrap();
    place(&server, vec![placement("home"), single("bestsellers", pb::Source::Popular)])
        .await
        .unwrap();
    let similar = pb::Shows::SimilarItems.into();
    let about = pb::Placement { name: "about".into(), shows: similar, ..Default::default() };
    let all = vec![placement("home"), single("bestsellers", pb::Source::Popular), about];
    place(&server, all).await.unwrap();
    let other = vec![variant("blend", 0.5, ""), variant("popular", 0.5, "about")];
    let refused = put(&server, pb::Experiment { variants: other, ..experiment("kinds") }).await;
    assert!(refused.unwrap_err().message().contains("must show the same kind of list as \"home\""));

    running(&server, experiment("first")).await;
    let back = pb::RollbackPlacementsRequest { version: 2 };
    let warnings =
        server.placements().rollback_placements(back).await.unwrap().into_inner().warnings;
    assert!(warnings[0].contains("which the running experiment \"first\" uses"), "{warnings:?}");
    let shown = show(&server, 40).await;
    assert_eq!(shown.keys().collect::<Vec<_>>(), [""], "the tested placement as it is");
    let adopt = pb::AdoptVariantRequest { name: "first".into(), variant: "popular".into() };
    let gone = client(&server).adopt_variant(adopt).await.unwrap_err();
    assert!(gone.message().contains("needs the placement \"bestsellers\", which is gone"));
    let stop = pb::StopExperimentRequest { name: "first".into(), reason: "gone".into() };
    client(&server).stop_experiment(stop).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interleaving_names_the_list_that_users_click() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    let method = pb::ExperimentMethod::Interleaving.into();
    running(&server, pb::Experiment { method, ..experiment("both") }).await;
    let shown = show(&server, 200).await;
    let lists = &shown["both/both"];
    assert_eq!(lists.len(), 200);
    recorded(&server, 200).await;

    // Users click what the most popular items are not.
    let popular: Vec<String> = {
        let request = pb::RecommendRequest {
            user_id: "u1".into(),
            placement: "bestsellers".into(),
            limit: 6,
            ..Default::default()
        };
        recommend(&server, request).await.items.into_iter().map(|item| item.item_id).collect()
    };
    let mut clicks = Vec::new();
    for (user, list) in lists {
        assert_eq!(list.items.len(), 6);
        let own = list.items.iter().filter(|item| !popular.contains(&item.item_id));
        clicks.extend(own.map(|item| pb::Event {
            item_id: item.item_id.clone(),
            ..event(pb::EventKind::Click, user, list)
        }));
    }
    write(&server, clicks).await;
    let found = report(&server, "both").await;
    let preference = found.preference.unwrap();
    assert_eq!(preference.users, 200);
    assert!(preference.clicks.unwrap().always_valid_high < 0.0, "{:?}", preference.clicks);
    assert_eq!(found.verdict(), pb::ExperimentVerdict::Worse, "the control is better");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_harms_is_stopped_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    running(&server, pb::Experiment { guardrail: Some(0.1), ..experiment("harmful") }).await;
    let shown = show(&server, 400).await;
    recorded(&server, 400).await;
    let blend = shown["harmful/blend"].iter();
    let bought = blend.map(|(user, list)| event(pb::EventKind::Purchase, user, list));
    write(&server, bought.collect()).await;

    for _ in 0..400 {
        let all = client(&server).list_experiments(pb::ListExperimentsRequest {}).await.unwrap();
        let harmful = all.into_inner().experiments.remove(0);
        if harmful.state() == pb::ExperimentState::Stopped {
            assert!(harmful.stop_reason.contains("by more than the guardrail of 10.00 %"));
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the experiment still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_harms_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    assert_eq!(trained(&server.engine).await, 2);
    let assign = |generation, role: pb::ModelRole, share| pb::AssignModelRequest {
        generation,
        role: role.into(),
        share,
    };
    server.models().assign_model(assign(1, pb::ModelRole::Canary, 0.5)).await.unwrap();
    // The comparison begins with the guard's next look.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let shown: Vec<_> = show(&server, 400).await.into_values().flatten().collect();
    recorded(&server, 400).await;
    let of_active = shown.iter().filter(|(_, list)| list.generation == 2);
    let bought = of_active.map(|(user, list)| event(pb::EventKind::Purchase, user, list));
    write(&server, bought.collect()).await;

    for _ in 0..400 {
        let request = pb::GetModelRequest { generation: 1 };
        let model = server.models().get_model(request).await.unwrap().into_inner().model.unwrap();
        if model.role() == pb::ModelRole::Staged {
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the canary still answers");
}
