"""Every method of both Python clients against a server: usage methods.py ADDRESS.

Leaves with 77 where the package, or pandas, polars or pyarrow, are not installed.
"""
import asyncio
import inspect
import re
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

try:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import qianmian
    from qianmian import AsyncClient, Client, Condition, Event, Filter, Hide, Item, Offer
    from qianmian import Exclude, ItemSelection, Objective, Pin, Placement, PlacementSet, PriceRange, RecommendRequest
    from qianmian import Experiment, ExperimentVariant, RampStep, RandomSlot
    from qianmian import Review
    from qianmian import AudienceOffer, FigureCondition, UserCondition, UserSegment
    from qianmian import InsightSettings, RfmSegment, ScoreRange, TierLevel, TierProgram
    from qianmian import Refused, Rule, RuleCondition, RuleSet, Schedule, User, Variety, WeeklyHours
    from qianmian import connection
    from qianmian.v1 import catalog_pb2, event_pb2, experiment_pb2, insight_pb2, key_pb2, model_pb2
    from qianmian.v1 import placement_pb2, recommendation_pb2, rule_pb2, store_pb2, user_pb2
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install -r tests/it/requirements.txt ./clients/python", file=sys.stderr)
    sys.exit(77)

FILES = (
    catalog_pb2, event_pb2, experiment_pb2, insight_pb2, key_pb2, model_pb2, placement_pb2,
    recommendation_pb2, rule_pb2, store_pb2, user_pb2,
)


def fails(kind, words: str, call) -> None:
    try:
        call()
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"taken, not refused with {words}")


# Methods by which servers follow each other.
OF_FOLLOWERS = ("CopyServer",)


def every_method_is_there() -> None:
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.name in OF_FOLLOWERS:
                    continue
                name = re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
                plain, awaited = (inspect.signature(getattr(c, name)) for c in (Client, AsyncClient))
                assert plain.parameters.keys() == awaited.parameters.keys(), name


def what_is_never_retried_is_in_the_protocol() -> None:
    known = {(s.name, m.name) for f in FILES for s in f.DESCRIPTOR.services_by_name.values() for m in s.methods}
    never = set(connection.NEVER_RETRIED)
    assert never <= known, never - known
    risky = {pair for pair in known if pair[1].startswith(("Apply", "Create", "Delete", "Push", "Rollback"))}
    assert risky <= never, risky - never


def tables(client: Client) -> None:
    before = next(iter(client.list_stores())).events
    columns = {"CustomerID": "user_id", "StockCode": "item_id", "InvoiceDate": "time"}
    frame = pd.DataFrame(
        {
            "CustomerID": [17850, 17851],
            "StockCode": ["lamp", "mug"],
            "InvoiceDate": pd.to_datetime(["2024-07-01 12:00:00.123456789", "2024-07-02 09:30"], format="ISO8601"),
            "price": [3.5, None],
        }
    )
    assert client.write_events(frame, columns=columns) == 2
    other = pl.DataFrame({"user_id": ["anna"], "item_id": ["lamp"], "time": [date(2024, 7, 3)]})
    assert client.write_events(other) == 1
    arrow = pa.table({"user_id": ["bo"], "item_id": ["mug"], "kind": ["view"]})
    assert sum(answer.recorded for answer in client.stream_events(arrow)) == 1
    assert next(iter(client.list_stores())).events == before + 4
    assert client.get_user(17850).user_id == client.get_user("17850").user_id == "17850"

    chosen = pd.DataFrame({"user_id": ["u", None, "v"], "item_id": ["lamp"] * 3}).dropna()
    assert client.write_events(chosen) == 2
    gaps = pd.DataFrame({"user_id": [1.0, 2.0], "item_id": ["a", "b"]})
    fails(TypeError, "user_id must be text or a whole number, was 1.0", lambda: client.write_events(gaps))
    fails(ValueError, "row 1: user_id is empty", lambda: client.write_events(pa.table({"user_id": ["u", None], "item_id": ["a", "b"]})))
    fails(ValueError, "['shop'] are no attributes of Event", lambda: client.write_events(arrow.append_column("shop", [["x"]])))
    fails(ValueError, "has no column item_id", lambda: client.write_events(pa.table({"user_id": ["u"]})))


def rules(client: Client, address: str) -> None:
    naive = Event("u", "lamp", time=datetime(2024, 7, 1, 12))
    assert client.write_events([naive]) == 1
    with Client(address) as strict:
        fails(ValueError, "time has no zone", lambda: strict.write_events([naive]))
    fails(ValueError, "kind must be one of", lambda: client.write_events([Event("u", "lamp", kind="buy")]))
    fails(TypeError, "quantity must be a number", lambda: client.write_events([Event("u", "lamp", quantity="x")]))
    fails(TypeError, "limit must be a whole number", lambda: client.recommend("u", limit="x"))
    twice = Event("u", "lamp", time=datetime(2024, 10, 27, 1, 30))
    fails(ValueError, "is not one time in Europe/London", lambda: client.write_events([twice]))
    fails(ValueError, "is not one time in Europe/London", lambda: list(client.stream_events([twice])))
    fails(TypeError, "user_ids must be a list", lambda: list(client.batch_recommend("anna")))
    fails(TypeError, "session[0] must be text", lambda: client.recommend(session=[1.5]))
    try:
        client.recommend("u", limit=501)
    except Refused as refused:
        assert refused.reason == "INVALID_ARGUMENT", refused.reason
        assert refused.violations == [("limit", "must be 1 to 500, was 501")], refused.violations
    else:
        raise AssertionError("taken")


def steer(client: Client) -> None:
    """Rules and placements: applied, read back as they were written, tried and taken back."""
    friday = Schedule(weekly=[WeeklyHours("17:00", "23:00", ["fri"])])
    late = RuleCondition(["recommend"], schedule=friday)
    pinned = Rule("first", ItemSelection(["mug"]), pin=Pin(1))
    written = RuleSet([pinned, Rule("off", ItemSelection(["a"]), late, exclude=Exclude())], "Europe/Paris")
    assert client.apply_rules(written, note="a try", expected_version=0).version == 1
    told = client.get_rules()
    assert told.rules and [rule.name for rule in told.rules.rules] == ["first", "off"], told
    assert client.get_rules(1).versions[0].note == "a try" and told.rules.rules[1].exclude == Exclude(), told
    at = datetime(2026, 11, 27, 18, tzinfo=timezone.utc)
    assert client.dry_run_rules(told.rules, users=2, time=at).users == 2
    shown = client.recommend("u")
    assert shown.items[0].item_id == "mug", shown
    fails(Refused, "of version 1, not 5", lambda: client.apply_rules(RuleSet(), expected_version=5))
    assert client.rollback_rules().version == 2 and client.get_rules().rules == RuleSet([], ""), client.get_rules()

    home = Placement("home", "For {item}", limit=1)
    assert client.apply_placements(PlacementSet([home, Placement("best", shows="popular")])).version == 1
    assert client.get_placements().placements.placements[1].window == "30_days", client.get_placements()
    shown = client.recommend("u", placement="home", paged=True)
    assert len(shown.items) == 1 and shown.title == "For " and shown.next_page_token, shown
    more = client.recommend("u", placement="home", page_token=shown.next_page_token)
    assert more.items and more.items != shown.items, more
    page = client.recommend_page(["home", "best"], RecommendRequest("u"))
    assert [each.placement for each in page] == ["home", "best"], page
    assert client.trade_off(Objective(margin=0.5), users=2).points[0].conversions == 1
    assert client.rollback_placements().version == 2


def compare(client: Client) -> None:
    """Experiments and reports: defined, started, read, adopted; a replay without a slot is refused."""
    slot = RandomSlot(1, 5)
    placements = [Placement("front", limit=2), Placement("other", strategy="popular", slot=slot)]
    client.apply_placements(PlacementSet(placements))
    variants = [ExperimentVariant("now", 0.5), ExperimentVariant("new", 0.5, "other")]
    ramp = [RampStep(1.0, 0.5)]
    defined = Experiment("first", "front", variants, "now", ramp=ramp, guardrail=0.1, metric="revenue")
    assert client.put_experiment(defined, note="a try").state == "draft"
    assert client.start_experiment("first").state == "running"
    fails(Refused, "must not shrink", lambda: client.put_experiment(replace(defined, traffic=0.5)))
    shown = client.recommend("u", placement="front", forced_variants=["first/new"])
    assert shown.variant == "first/new!" and shown.items, shown
    assert client.recommend(session_id="visit", session=["lamp"], placement="front") is not None
    report = client.get_experiment_report("first")
    assert report.experiment and report.experiment.variants == variants and report.sentence, report
    assert client.adopt_variant("first", "new").stop_reason == "new takes over"
    client.set_holdout(0.25)
    assert client.list_experiments().holdout == 0.25
    client.put_experiment(replace(defined, name="second"))
    client.start_experiment("second")
    assert client.stop_experiment("second", "enough").state == "stopped"
    client.delete_experiment("second")
    assert [each.name for each in client.list_experiments().experiments] == ["first"]
    client.set_holdout(0.0)
    groups = client.get_metrics(["placement", "day"])
    assert all(group.time for group in groups), groups
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
    none = lambda: client.replay_placement("other", "front", reward="revenue", start=long_ago, end=long_ago)
    fails(Refused, "must have shown lists", none)
    client.apply_placements(PlacementSet())


def know(client: Client) -> None:
    """Insight: portraits, the users as a whole, segments and tiers; a backtest without a past is refused."""
    levels = [TierLevel("silver", 1.0), TierLevel("gold", 5_000.0)]
    club = TierProgram("club", "spend", window_days=365, keep=0.8, levels=levels)
    all_of_them = RfmSegment("buyers", recency=ScoreRange(1, 5))
    settings = InsightSettings([all_of_them], [club])
    version = client.apply_insight_settings(settings, note="a try")
    kept = client.get_insight_settings()
    assert kept.settings and kept.settings.tier_programs == [club] and kept.versions[0].note == "a try", kept
    disordered = replace(club, levels=list(reversed(levels)))
    fails(Refused, "levels[1].at_least", lambda: client.apply_insight_settings(InsightSettings([], [disordered])))
    assert client.upsert_items([Item("a", "Tea", ["kitchen/tea"], price=2)]) == 1
    portrait = client.get_portrait("u")
    assert portrait.events and portrait.categories and len(portrait.hours) == 24, portrait
    assert portrait.orders and portrait.orders.count and portrait.rfm and portrait.rfm.segment == "buyers", portrait
    assert portrait.tiers[0].program == "club" and portrait.forecast and portrait.forecast.horizons, portrait
    assert "u" in [each.user_id for each in client.export_portraits()]
    overview = client.get_overview()
    assert overview.segments[1].name == "buyers" and overview.segments[1].buyers, overview
    assert client.get_cohorts(period="day")[0].came and client.get_cohorts(basis="activity")
    assert client.get_activity(period="week")[-1].active_users
    big = UserSegment("big", UserCondition(figure=FigureCondition("orders", min=1)))
    not_big = UserSegment("rest", UserCondition(none_of=[UserCondition(segment="big")]))
    client.apply_insight_settings(replace(settings, segments=[big, not_big]))
    kept = client.get_insight_settings()
    assert kept.settings and kept.settings.segments == [big, not_big], kept
    assert "big" in client.get_portrait("u").segments
    sizes = {segment.name: segment.users for segment in client.list_segments()}
    assert sizes["big"] and sizes.keys() == {"big", "rest"}, sizes
    audience = list(client.export_audience(AudienceOffer(ItemSelection(["b"])), segments=["big"], days=60))
    assert audience and audience[0].user_id == "u" and audience[0].own_purchases == 1, audience
    assert client.record_contacts(["u", "unheard"]) == 1
    rested = list(client.export_audience(segments=["big"], not_contacted_days=1))
    assert "u" not in [member.user_id for member in rested], rested
    fails(Refused, "cut_time", lambda: client.backtest_forecasts(datetime.now(timezone.utc), 30))
    assert client.rollback_insight_settings() == version + 2

    tags = client.list_user_tags("u").tags
    assert tags and all(tag.reason for tag in tags), tags
    client.delete_user_tag("u", "prices")
    assert client.list_user_tags("u").deleted_tags == ["prices"]
    assert client.get_user_data("u")["events"], client.get_user_data("u")
    review = Review("Lovely, I like it", sentiment=None)
    client.write_events([Event("u", "a", "rating", rating=5, review=review), Event("v", "a", "rating", rating=4)])
    reputation = client.get_reputation("a")
    assert reputation and (reputation.ratings, reputation.mean_rating) == (2, 4.5), reputation
    assert (reputation.reviews, reputation.mean_sentiment) == (1, 1.0) and client.get_reputation("b") is None
    client.write_events([Event("u-phone", "b")])
    assert client.link_users("u", ["u-phone", "u-card"]) == 2 and client.link_users("u", ["u-card"]) == 0
    assert client.get_aliases("u-phone") == ["u-phone", "u-card"] and client.get_user("u-card").user_id == "u"
    fails(Refused, "alias_ids[0]: is an alias of \"u\"", lambda: client.link_users("v", ["u-phone"]))
    assert client.unlink_users(["u-phone", "u-card", "v"]) == 2 and client.get_aliases("u") == []
    client.set_personalisation("visitor", False, record_events=False)
    assert client.write_events([Event("visitor", "a")]) == 0
    described = client.describe_recommender("chinese")
    assert described.generation == 1 and described.sources[0].weight > 0, described


def calls(client: Client) -> None:
    items = [
        Item("lamp", "A lamp", ["home/lighting"], "Acme", 9.5, attributes={"colour": "red"}),
        Item("mug", price=4, valid_from=datetime(2024, 1, 1, tzinfo=timezone.utc)),
    ]
    assert client.upsert_items(items) == 2
    assert client.upsert_items([Item("mug", price=5)], fields=["price"]) == 1
    mug = client.get_item("mug")
    assert (mug.price, mug.valid_from) == (5, items[1].valid_from), mug
    assert client.upsert_items(pa.table({"item_id": ["cup"], "title": ["A cup"]})) == 1
    assert client.get_item("cup").title == "A cup"
    assert client.set_availability(["lamp", "nothing"], True) == ["nothing"]
    assert {"lamp", "mug", "cup"} <= {item.item_id for item in client.list_items()}
    client.delete_item("cup")

    assert client.upsert_users([User("anna", {"country": "SE"}, "given")]) == 1
    assert client.get_user("anna").attributes == {"country": "SE"}
    assert "anna" in [user.user_id for user in client.list_users()]

    cheap = Filter(condition=Condition(all_of=[Condition(brand="Acme"), Condition(price=PriceRange(max=10))]))
    only = client.recommend("anna", filter=cheap, attributes={"device": "app"}, repeat_policy="allow")
    assert [item.item_id for item in only.items] in ([], ["lamp"]), only
    assert only.repeat_reason == "request" and only.repeat_policy == "allow", only
    lists = dict(client.batch_recommend(["u", "v"], limit=2))
    assert lists.keys() == {"u", "v"} and lists["u"].generation == 1, lists
    assert client.similar_items("a").items and client.popular(window="all_time").items
    assert client.similar_users("u").users[0].user_id == "v"
    assert client.bought_together(["a"], limit=3).generation == 1
    ranked = client.rank(["b", "unheard"], user_id="u")
    assert ranked.basis == "history" and ranked.items[-1].item_id == "unheard", ranked

    why = client.recommend("u", explain=True, variety=Variety(relevance=0.5, max_of_brand=3)).items[0].explanation
    assert why and abs(sum(part.share for part in why.shares) - why.blend_score) < 1e-6, why
    told = client.diagnose(RecommendRequest("u", limit=3))
    assert told.items > 3 and told.stages and told.recommendation.items[0].explanation, told
    steer(client)
    compare(client)
    know(client)
    described = Item("d", "Lamp", embeddings={"image": [1, 0.5]}, offers={"SE": Offer(price=3)})
    assert client.upsert_items([described]) == 1
    assert client.get_item("d").embeddings == {"image": [1, 0.5]}, client.get_item("d")
    assert client.get_item("d").offers["SE"].price == 3
    assert client.write_events([Event("v", "d", "hide", hide=Hide("group", "seen"))]) == 1

    started = client.train()
    steps = list(client.watch_training(started.training_id))
    assert steps[-1].state == "succeeded" and steps[-1].generation == 2, steps[-1]
    assert client.get_model().generation == 2 and client.get_model(1).role == "retired"
    assert client.compare_models(1, 2, users=5).other.generation == 2
    assert client.activate_model(1).generation == 1
    client.delete_model(2)
    assert client.get_push("none") == 0

    made = client.create_store("eu")
    assert made.name == "eu" and made.created_at is not None, made
    limits = qianmian.StoreLimits(max_users=10, quota=qianmian.Quota(requests_per_second=5))
    assert client.update_store("eu", limits).limits == limits
    assert [store.name for store in client.list_stores()] == ["default", "eu"]
    client.delete_store("eu")
    client.delete_user("anna")


async def awaited(address: str) -> None:
    async with AsyncClient(address, time_zone="UTC") as client:
        assert await client.write_events([Event("carl", "a"), Event(7, "b")]) == 2
        answers = await asyncio.gather(*(client.recommend("carl", limit=n + 1) for n in range(20)))
        assert all(answer.basis == "history" for answer in answers)
        lists = {user: found async for user, found in client.batch_recommend(["u", "v"])}
        assert lists.keys() == {"u", "v"}
        streamed = [answer async for answer in client.stream_events([Event("carl", "mug")] * 1_500)]
        assert sum(answer.recorded for answer in streamed) == 1_500, streamed
        try:
            [answer async for answer in client.stream_events([Event("carl", "mug"), Event(1.5, "mug")])]
        except TypeError as error:
            assert "user_id must be text" in str(error), error
        else:
            raise AssertionError("taken")
        assert "carl" in [user.user_id async for user in client.list_users()]
        pushed = await client.push_embeddings(["a", "b"], [[1, 0], [0, 1]], role="staged", force=True)
        assert pushed.role == "staged" and pushed.checks, pushed
        try:
            await client.get_item("nothing")
        except Refused as refused:
            assert refused.reason == "NOT_FOUND"
        else:
            raise AssertionError("found")


def keys(client: Client) -> None:
    made = client.create_key("shop", ["read", "events"], expires_in=timedelta(days=1))
    assert made.secret.startswith("qm_") and made.secret not in repr(made)
    assert made.key.scopes == ["read", "events"] and made.key.expires_at is not None
    # From the first key on every call needs one.
    fails(Refused, "key", client.list_keys)


def main(address: str) -> None:
    every_method_is_there()
    what_is_never_retried_is_in_the_protocol()
    with Client(address, time_zone="Europe/London") as client:
        calls(client)
        tables(client)
        rules(client, address)
        asyncio.run(awaited(address))
        keys(client)


main(sys.argv[1])
