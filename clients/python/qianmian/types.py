"""What calls take and give, in Python's own types.

Enumerations of the protocol are words in lower case, as ``"add_to_cart"`` for
``EVENT_KIND_ADD_TO_CART``. Times are :class:`datetime.datetime`; those of answers are in UTC. An id
that is a whole number is its decimal text: ``17850`` and ``"17850"`` are the same user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

Id = str | int
Time = datetime | date


@dataclass(frozen=True)
class Hide:
    """What a user does not want to see: ``scope`` is "item", "group" or "category"."""

    scope: str = "item"
    reason: str = ""


@dataclass(frozen=True)
class Event:
    """An event of a user.

    Attributes:
        kind: "view", "add_to_cart", "favorite", "purchase", "refund", "rating",
            "impression", "click" or "hide".
        time: when; now where it is None. One without a zone is in the client's ``time_zone``.
        quantity: above 0; 1 where it is None.
        event_id: an id of your own, by which a retry is known; a random one where it is empty.
        recommendation_id: the answer that showed the item.
        rating: with the kind "rating".
        dwell_ms: with the kind "view": how long the page was looked at, in milliseconds.
        hide: with the kind "hide": how far it reaches, and why.
        review: with the kind "rating": what the user wrote.
    """

    user_id: Id
    item_id: Id
    kind: str = "purchase"
    time: Time | None = None
    quantity: float | None = None
    price: float | None = None
    event_id: str = ""
    basket_id: Id = ""
    session_id: Id = ""
    recommendation_id: str = ""
    channel: str = ""
    rating: float | None = None
    dwell_ms: int | None = None
    hide: Hide | None = None
    review: Review | None = None


@dataclass(frozen=True)
class Review:
    """What a user writes of an item; ``sentiment``, from -1 to 1, by the shop's own model, or else by a small
    list of words in English and Chinese."""

    text: str = ""
    sentiment: float | None = None


@dataclass(frozen=True)
class Reputation:
    """What users think of an item: ``quality`` is how far their ratings and reviews are above the store's
    means, in standard deviations."""

    ratings: int
    mean_rating: float | None
    reviews: int
    mean_sentiment: float | None
    quality: float


@dataclass(frozen=True)
class EventError:
    """An event that was refused: its place among those that were sent, and why."""

    index: int
    field: str
    message: str


@dataclass(frozen=True)
class Acknowledgement:
    """What is on disk of a stream of events so far.

    Attributes:
        batches: batches that are answered.
        recorded: new events of the newest batch; ``duplicates`` were known already.
        errors: those of its events that were refused.
    """

    batches: int
    recorded: int
    duplicates: int
    offset: int
    errors: list[EventError]


@dataclass(frozen=True)
class Offer:
    """An item in one context; ``price`` None: its price everywhere."""

    availability: str = "unspecified"
    price: float | None = None


@dataclass(frozen=True)
class Item:
    """An item of the catalogue.

    Attributes:
        categories: paths from the general to the specific, as "home/lighting".
        availability: "available", "unavailable", or "unspecified", which counts as available.
        valid_from, valid_until: when it may be offered; without bound where they are None.
        description: a longer text, by which similar items are found.
        group_id: the product that it is a variant of.
        margin: what the shop earns with one.
        embeddings: vectors of your own by name, as ``{"text": [0.1, 0.7]}``.
        offers: availability and price by context (a branch, a country, a currency).
    """

    item_id: Id
    title: str = ""
    categories: Sequence[str] = ()
    brand: str = ""
    price: float | None = None
    tags: Sequence[str] = ()
    availability: str = "unspecified"
    attributes: Mapping[str, str] = field(default_factory=dict)
    valid_from: Time | None = None
    valid_until: Time | None = None
    description: str = ""
    group_id: Id = ""
    margin: float | None = None
    embeddings: Mapping[str, Sequence[float]] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)


@dataclass(frozen=True)
class User:
    """A user. ``consent`` is "given", "denied", or "unspecified", which counts as given."""

    user_id: Id
    attributes: Mapping[str, str] = field(default_factory=dict)
    consent: str = "unspecified"


@dataclass(frozen=True)
class Attribute:
    """An attribute of an item, with its value."""

    name: str
    value: str


@dataclass(frozen=True)
class PriceRange:
    """A range of prices, both ends included; at least one is given."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Condition:
    """A condition on an item: exactly one of these."""

    category: str | None = None
    brand: str | None = None
    tag: str | None = None
    attribute: Attribute | None = None
    price: PriceRange | None = None
    all_of: Sequence[Condition] | None = None
    any_of: Sequence[Condition] | None = None
    none_of: Sequence[Condition] | None = None


@dataclass(frozen=True)
class Filter:
    """Which items may be offered: in one of the categories, and where the condition holds."""

    categories: Sequence[str] = ()
    include_unavailable: bool = False
    condition: Condition | None = None


@dataclass(frozen=True)
class Variety:
    """How much the items of a list differ.

    Attributes:
        diversifier: "mmr" or "dpp".
        likeness: by what items are alike: "behaviour" or "content".
        relevance: weight of relevance against variety, 0 to 1; .7 where it is None.
        max_of_brand, max_of_category: maximum number of items of one; 0: no limit.
        one_of_group: whether at most one item of a group is shown.
        exploration: share of the places, after the first, for new and rare items, 0 to 0.5.
    """

    diversifier: str = "unspecified"
    likeness: str = "unspecified"
    relevance: float | None = None
    max_of_brand: int = 0
    max_of_category: int = 0
    one_of_group: bool = False
    exploration: float = 0.0


@dataclass(frozen=True)
class RecommendRequest:
    """What a personalised list is asked for; see :meth:`Client.recommend`.

    Attributes:
        limit: length of the list, 1 to 500; 0: as the placement says, else 20.
        session_item_ids: items of the running session, oldest first.
        exclude_item_ids: items that are not to be offered.
    """

    user_id: Id = ""
    session_item_ids: Sequence[Id] = ()
    limit: int = 0
    filter: Filter | None = None
    exclude_item_ids: Sequence[Id] = ()
    strategy: str = "unspecified"
    repeat_policy: str = "unspecified"
    exclude_purchased_days: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    explain: bool = False
    variety: Variety | None = None
    placement: str = ""
    page_category: str = ""
    page_item_ids: Sequence[Id] = ()
    paged: bool = False
    page_token: str = ""
    context: str = ""
    session_id: str = ""
    forced_variants: Sequence[str] = ()


@dataclass(frozen=True)
class SourceShare:
    """A source's part of a score."""

    source: str
    share: float


@dataclass(frozen=True)
class LedBy:
    """An event of the user that led to an item, and its part of the score."""

    item_id: str
    kind: str
    time: datetime | None
    share: float


@dataclass(frozen=True)
class Rhythm:
    """How often an item is bought: the usual days between, and those since the user's last."""

    usual_days: float
    since_days: float


@dataclass(frozen=True)
class RulePart:
    """A rule's part of a score."""

    rule: str
    part: float


@dataclass(frozen=True)
class Explanation:
    """Why an item is in a list; ``blend_score``, ``second_stage``, ``room``, ``fatigue``,
    ``objective``, ``variety`` and the parts of ``rules`` sum to its score.

    Attributes:
        shares: the parts of the sources, largest first; they sum to ``blend_score``.
        led_by: the user's events that led to it.
        similar_users: how many of the most similar users took it.
        shared: what it has in common with the item of the first of ``led_by``.
        sentence_en, sentence_zh: the leading reason as a sentence.
    """

    blend_score: float
    shares: list[SourceShare]
    second_stage: float
    room: float
    fatigue: float
    objective: float
    variety: float
    rules: list[RulePart]
    led_by: list[LedBy]
    similar_users: int
    shared: list[Attribute]
    rhythm: Rhythm | None
    sentence_en: str
    sentence_zh: str


@dataclass(frozen=True)
class ScoredItem:
    """An item of a list: its score, higher is better, and the source it came from.

    Attributes:
        propensity: the probability with which it is at its place; 1 without chance.
        explanation: why it is in the list, where that was asked.
    """

    item_id: str
    score: float
    source: str
    propensity: float
    explanation: Explanation | None


@dataclass(frozen=True)
class ScoredUser:
    """A user of a list: the similarity, 0 to 1."""

    user_id: str
    score: float


@dataclass(frozen=True)
class ItemList:
    """A list, best first.

    Attributes:
        recommendation_id: names the answer in later events.
        generation: the model that it came from; 0 before the first.
    """

    recommendation_id: str
    generation: int
    items: list[ScoredItem]


@dataclass(frozen=True)
class Ranking(ItemList):
    """Every candidate, best first; ``basis`` as of :class:`Recommendation`."""

    basis: str


@dataclass(frozen=True)
class Recommendation(ItemList):
    """A personalised list.

    Attributes:
        basis: what it was built on: "history", "session", "attributes" or "popular".
        reduced: whether the deadline was too near for the second stage.
        cohort: of a list by attributes: the narrowest cohort that it came from.
        repeat_policy: whether bought items could come back; ``repeat_reason``: what decided it.
        placement: the placement that was asked for; ``title``: what stands above its list.
        about_item_id: the item that the list is about, where the placement picked one.
        next_page_token: asks for the next page, where that was wanted.
        variant: what it is of an experiment, as "experiment/variant".
        stale: whether a server that follows another made it without what it has of users.
    """

    basis: str
    reduced: bool
    cohort: str
    repeat_policy: str
    repeat_reason: str
    placement: str
    title: str
    about_item_id: str
    next_page_token: str
    variant: str
    stale: bool


@dataclass(frozen=True)
class ItemSelection:
    """The items of a rule: those of any of these."""

    item_ids: Sequence[Id] = ()
    condition: Condition | None = None
    arrived_within_days: int = 0


@dataclass(frozen=True)
class Pin:
    """Puts items at a place, counted from 1, and those that follow it."""

    place: int


@dataclass(frozen=True)
class Boost:
    """Multiplies scores, by 1 to 100."""

    factor: float


@dataclass(frozen=True)
class Bury:
    """Multiplies scores, by 0.01 to 1."""

    factor: float


@dataclass(frozen=True)
class Include:
    """Only these are offered."""


@dataclass(frozen=True)
class Exclude:
    """None of these is offered."""


@dataclass(frozen=True)
class SlotQuota:
    """At least ``min`` of the first ``of`` places."""

    min: int
    of: int


@dataclass(frozen=True)
class ShareTarget:
    """A share of all places that are shown, 0.001 to 0.5, which a controller holds."""

    share: float


@dataclass(frozen=True)
class AttributeValues:
    """An attribute of the user with some of its values."""

    name: str
    values: Sequence[str]


@dataclass(frozen=True)
class WeeklyHours:
    """Hours of days ("mon", …; every day where there are none), as "17:00" to "23:00"."""

    start: str
    end: str
    days: Sequence[str] = ()


@dataclass(frozen=True)
class DateRange:
    """A span of days as "2026-12-24", both included."""

    first: str
    last: str
    name: str = ""


@dataclass(frozen=True)
class Schedule:
    """The times in which a rule holds, in the store's time zone."""

    start_time: Time | None = None
    end_time: Time | None = None
    weekly: Sequence[WeeklyHours] = ()
    dates: Sequence[DateRange] = ()


@dataclass(frozen=True)
class RuleCondition:
    """When a rule holds: all of these hold."""

    placements: Sequence[str] = ()
    user_attributes: Sequence[AttributeValues] = ()
    page_categories: Sequence[str] = ()
    schedule: Schedule | None = None
    segments: Sequence[str] = ()


@dataclass(frozen=True)
class Rule:
    """A rule, with exactly one of ``pin``, ``boost``, ``bury``, ``include``, ``exclude``, ``quota`` and
    ``target``."""

    name: str
    items: ItemSelection | None
    when: RuleCondition | None = None
    priority: int = 0
    disabled: bool = False
    pin: Pin | None = None
    boost: Boost | None = None
    bury: Bury | None = None
    include: Include | None = None
    exclude: Exclude | None = None
    quota: SlotQuota | None = None
    target: ShareTarget | None = None


@dataclass(frozen=True)
class RuleSet:
    """The rules of a store; ``time_zone`` as "Asia/Shanghai", UTC where it is empty."""

    rules: Sequence[Rule] = ()
    time_zone: str = ""


@dataclass(frozen=True)
class Applied:
    """The version that is in force, and what stands out in it."""

    version: int
    warnings: list[str]


@dataclass(frozen=True)
class DecisionVersion:
    """A version of rules or placements."""

    version: int
    time: datetime | None
    note: str


@dataclass(frozen=True)
class TargetReport:
    """What a target has done: the share that is wanted and that was shown, the factor of its items'
    scores, and the share of the model's own score that the rules cost."""

    rule: str
    wanted: float
    shown: float
    lists: int
    factor: float
    cost: float


@dataclass(frozen=True)
class Rules:
    """A version of the rules, the versions that are kept, newest first, and what targets have done."""

    rules: RuleSet | None
    versions: list[DecisionVersion]
    targets: list[TargetReport]


@dataclass(frozen=True)
class ItemChange:
    """An item that comes into lists, or leaves them, and their number."""

    item_id: str
    lists: int


@dataclass(frozen=True)
class DryRun:
    """What rules would change.

    Attributes:
        users: users whose lists were made; ``changed``: lists that change.
        cost_before: the share of the model's own score that the rules in force take;
            ``cost_after``: the same of those that are tried.
    """

    users: int
    changed: int
    entering: list[ItemChange]
    leaving: list[ItemChange]
    cost_before: float
    cost_after: float
    warnings: list[str]


@dataclass(frozen=True)
class Objective:
    """What a list is for: weights, 0 to 100, of purchases, clicks and margin, and against returns."""

    buy: float = 1.0
    click: float = 0.0
    margin: float = 0.0
    returns: float = 0.0


@dataclass(frozen=True)
class TradeOffPoint:
    """An objective of one strength: what is to be expected, relative to lists without it."""

    strength: float
    conversions: float
    margin: float | None
    returns: float


@dataclass(frozen=True)
class TradeOff:
    """What an objective would cost and bring, by strength, on the lists of ``users``."""

    users: int
    points: list[TradeOffPoint]


@dataclass(frozen=True)
class Placement:
    """A named bundle of what a list is made of.

    Attributes:
        shows: "personal", "similar_items", "bought_together", "popular", "because_you_took",
            "favorites" or "price_drops".
        title: what stands above the list; "{item}" is the item that it is about.
        window: with "popular": "7_days", "30_days" or "all_time".
        weights: of the sources, in place of the model's.
        rules: "in_force", "without", or "version" with ``rules_version``.
        generation: the kept model that makes its list; 0: the one that answers.
    """

    name: str
    title: str = ""
    shows: str = "unspecified"
    limit: int = 0
    window: str = "unspecified"
    strategy: str = "unspecified"
    condition: Condition | None = None
    repeat_policy: str = "unspecified"
    exclude_purchased_days: int = 0
    variety: Variety | None = None
    objective: Objective | None = None
    weights: Sequence[SourceWeight] = ()
    rules: str = "unspecified"
    rules_version: int = 0
    generation: int = 0
    slot: RandomSlot | None = None
    for_segments: Sequence[PlacementForSegment] = ()


@dataclass(frozen=True)
class PlacementForSegment:
    """What users in a saved segment see of a placement: the settings of another one."""

    segment: str
    placement: str


@dataclass(frozen=True)
class SourceWeight:
    """The weight of a source of a placement."""

    source: str
    weight: float


@dataclass(frozen=True)
class RandomSlot:
    """A position, from 1, whose item is drawn by chance among the best ``candidates``; 20 where that is
    0. :meth:`Client.replay_placement` reads what it earned."""

    position: int
    candidates: int = 0


@dataclass(frozen=True)
class ExperimentVariant:
    """What some of the users see: the settings of ``placement``; of the tested one where that is empty."""

    name: str
    share: float
    placement: str = ""


@dataclass(frozen=True)
class RampStep:
    """A smaller share of users until so long after the start."""

    until_hours: float
    traffic: float


@dataclass(frozen=True)
class Experiment:
    """Variants of a placement, compared on real users.

    Attributes:
        layer: experiments of one layer share its users; the placement's name where it is empty.
        method: "split" or "interleaving".
        metric: what decides: "conversion", "revenue" or "click_through".
        min_effect: the smallest lift worth having, as a share; 0.02 where it is 0.
        guardrail: a conversion lower than the control's by more than this share stops it; None: never.
        segments: only users in one of these saved segments take part; all where it is empty.
        state: "draft", "running" or "stopped"; set by the server, as are the times and the reason.
    """

    name: str
    placement: str
    variants: Sequence[ExperimentVariant]
    control: str
    traffic: float = 1.0
    layer: str = ""
    method: str = "unspecified"
    ramp: Sequence[RampStep] = ()
    metric: str = "unspecified"
    min_effect: float = 0.0
    guardrail: float | None = None
    state: str = "unspecified"
    start_time: datetime | None = None
    end_time: datetime | None = None
    stop_reason: str = ""
    segments: Sequence[str] = ()


@dataclass(frozen=True)
class Experiments:
    """All experiments, oldest first, and the share of users that none concerns."""

    experiments: list[Experiment]
    holdout: float


@dataclass(frozen=True)
class LiftReport:
    """An estimate with its intervals of 95 %: for a report that may be read at any time, and for one that
    is read once."""

    value: float
    always_valid_low: float
    always_valid_high: float
    fixed_horizon_low: float
    fixed_horizon_high: float


@dataclass(frozen=True)
class FigureReport:
    """A metric of a variant; ``lift`` is over the control, ``adjusted_lift`` by what users did before."""

    metric: str
    value: float
    standard_error: float
    users: int
    lift: LiftReport | None
    adjusted_lift: LiftReport | None
    sentence: str


@dataclass(frozen=True)
class VariantReport:
    """A variant's figures."""

    name: str
    share: float
    users: int
    figures: list[FigureReport]


@dataclass(frozen=True)
class Preference:
    """How much users prefer the second of two interleaved variants."""

    clicks: LiftReport | None
    revenue: LiftReport | None
    users: int


@dataclass(frozen=True)
class DayReport:
    """The conversion of every variant at the end of a day."""

    day: datetime | None
    conversions: list[float]
    users: list[int]


@dataclass(frozen=True)
class ExperimentReport:
    """An experiment with its figures and its verdict, which may be read daily.

    Attributes:
        verdict: "unspecified" while nothing was shown, "too_early", "void", "undecided", "better",
            "worse", "futile" or "harmful".
    """

    experiment: Experiment | None
    variants: list[VariantReport]
    sample_ratio_p: float
    mixed_users: int
    verdict: str
    verdict_variant: str
    sentence: str
    users_needed: float | None
    days_left: float | None
    preference: Preference | None
    days: list[DayReport]


@dataclass(frozen=True)
class MetricGroup:
    """What the lists of a group brought; see the protocol's message for each field."""

    time: datetime | None
    placement: str
    variant: str
    generation: int
    source: str
    lists: int
    shown: int
    impressions: int
    clicks: int
    carts: int
    purchases: int
    revenue: float
    shared_purchases: float
    shared_revenue: float
    refunds: int
    refunded: float
    dwell_ms: float | None
    unattributed: int
    click_through_rate: float
    cart_rate: float
    conversion_rate: float
    revenue_per_thousand: float
    items_shown: int | None
    catalogue_share: float | None
    seen: int


@dataclass(frozen=True)
class ReplayEstimate:
    """An estimate with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Replay:
    """What a placement would have earned by slot; ``refusal`` says why that must not be used."""

    slots: int
    left_out: int
    logged: ReplayEstimate | None
    ips: ReplayEstimate | None
    snips: ReplayEstimate | None
    dr: ReplayEstimate | None
    effective_slots: float
    refusal: str


@dataclass(frozen=True)
class PlacementSet:
    """The placements of a store."""

    placements: Sequence[Placement] = ()


@dataclass(frozen=True)
class Placements:
    """A version of the placements, and the versions that are kept, newest first."""

    placements: PlacementSet | None
    versions: list[DecisionVersion]


@dataclass(frozen=True)
class Restriction:
    """What keeps items from being offered, and how many it removed."""

    name: str
    removed: int


@dataclass(frozen=True)
class FunnelStage:
    """A stage of a list: the candidates that left it, and how long it took."""

    name: str
    source: str
    passed: int | None
    micros: float


@dataclass(frozen=True)
class Diagnosis:
    """A list, how it came about, and what stands out.

    Attributes:
        items: how many items the store knows.
        restrictions: what each removed of those left before it, in order.
    """

    recommendation: Recommendation
    items: int
    restrictions: list[Restriction]
    stages: list[FunnelStage]
    findings: list[str]


@dataclass(frozen=True)
class UserList:
    """Similar users, best first."""

    recommendation_id: str
    generation: int
    users: list[ScoredUser]


@dataclass(frozen=True)
class ModelCheck:
    """What the gate looked at: a figure, the limit in words, and the verdict ("passed",
    "failed", "overridden" or "not_judged")."""

    name: str
    figure: float
    limit: str
    verdict: str


@dataclass(frozen=True)
class ModelLineage:
    """Where the pushed part of a model came from."""

    generation: int
    base_generation: int
    pushed_by: str
    note: str
    push_time: datetime | None
    trained_until_time: datetime | None
    log_offset: int | None
    contents: list[str]
    size_bytes: int
    sha256: str
    forced: bool
    checks: list[ModelCheck]


@dataclass(frozen=True)
class ShadowComparison:
    """What was seen of a shadow: the lists compared, and the mean share of the first ten items
    that its lists have in common with those that were shown."""

    lists: int
    overlap: float
    same_first: float
    seconds: float


@dataclass(frozen=True)
class Model:
    """A kept model.

    Attributes:
        role: "staged", "shadow", "canary", "active" or "retired".
        quality: measured quality by name.
        left_out: the sources for which its training had no memory.
        erased_to_offset: its tables and vectors are made without the users erased before.
    """

    generation: int
    role: str
    share: float
    offset: int
    create_time: datetime | None
    train_seconds: float
    users: int
    items: int
    interactions: int
    seed: int
    settings_json: str
    quality: Mapping[str, float]
    size_bytes: int
    left_out: Sequence[str]
    lineage: ModelLineage | None
    shadow: ShadowComparison | None
    erased_to_offset: int

    @property
    def checks(self) -> list[ModelCheck]:
        """What the gate found of its pushed part."""
        return self.lineage.checks if self.lineage else []


@dataclass(frozen=True)
class Training:
    """A training; ``started`` is False where one ran already, which is then this one."""

    training_id: str
    started: bool


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is. ``state`` is "running", "succeeded" or "failed"; ``progress`` is a
    share of the whole."""

    training_id: str
    state: str
    stage: str
    stage_number: int
    stage_count: int
    elapsed_seconds: float
    generation: int
    error: str
    progress: float | None
    remaining_seconds: float | None
    quality: Mapping[str, float]
    previous_quality: Mapping[str, float]


@dataclass(frozen=True)
class SettingDifference:
    """A setting in which two models differ."""

    path: str
    value_json: str
    other_value_json: str


@dataclass(frozen=True)
class ModelComparison:
    """How two models differ: their settings, and their lists for the same users."""

    model: Model
    other: Model
    settings: list[SettingDifference]
    lists: int
    overlap: float
    same_first: float


@dataclass(frozen=True)
class Quota:
    """How fast a key or a store may be used; 0: without limit."""

    requests_per_second: int = 0
    burst: int = 0
    bytes_per_second: int = 0


@dataclass(frozen=True)
class Key:
    """An API key, without its secret."""

    name: str
    scopes: list[str]
    store: str
    quota: Quota | None
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class CreatedKey:
    """A new key, and its secret, which is shown this once."""

    key: Key
    secret: str = field(repr=False)


@dataclass(frozen=True)
class StoreLimits:
    """How large a store may become; 0: as the server's configuration has it."""

    max_users: int = 0
    max_items: int = 0
    memory_mib: int = 0
    quota: Quota | None = None


@dataclass(frozen=True)
class Store:
    """A store of a server; ``failure`` says why it did not open, where it did not."""

    name: str
    limits: StoreLimits | None
    created_at: datetime | None
    users: int
    items: int
    events: int
    generation: int
    memory_bytes: int
    failure: str


@dataclass(frozen=True)
class InsightSettings:
    """What people decide of insight."""

    rfm_segments: list[RfmSegment] = field(default_factory=list)
    tier_programs: list[TierProgram] = field(default_factory=list)
    segments: list[UserSegment] = field(default_factory=list)


@dataclass(frozen=True)
class UserSegment:
    """A saved segment: a named condition on users."""

    name: str
    condition: UserCondition | None


@dataclass(frozen=True)
class UserCondition:
    """A condition on a user: exactly one of these.

    Attributes:
        attribute: the profile has an attribute with one of some values.
        rfm_segment: the segment by scores.
        tier: a level of a program, or a higher one.
        category, brand: what the user turns to.
        channel: how the user came.
        figure: a number within a range.
        segment: another saved segment, which stands before this one.
    """

    attribute: AttributeValues | None = None
    rfm_segment: str | None = None
    tier: TierCondition | None = None
    category: LeaningCondition | None = None
    brand: LeaningCondition | None = None
    channel: str | None = None
    figure: FigureCondition | None = None
    segment: str | None = None
    all_of: Sequence[UserCondition] | None = None
    any_of: Sequence[UserCondition] | None = None
    none_of: Sequence[UserCondition] | None = None


@dataclass(frozen=True)
class TierCondition:
    """A level of a program of tiers, or a higher one."""

    program: str
    level: str


@dataclass(frozen=True)
class LeaningCondition:
    """The least share of a user's events that is of a category or brand; 0.2 where it is 0."""

    name: str
    min_share: float = 0.0


@dataclass(frozen=True)
class FigureCondition:
    """A range of a figure: "orders", "spend", "mean_spend", "days_since_first_order",
    "days_since_last_order", "days_since_last_event", "days_until_next_order", "churn_risk",
    "expected_purchases" or "expected_spend"; the last three are of 90 days.
    """

    figure: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class SegmentSize:
    """A saved segment and the number of users in it."""

    name: str
    users: int


@dataclass(frozen=True)
class AudienceOffer:
    """What is to be sent: items, and the share of their price that is given away."""

    items: ItemSelection
    discount: float = 0.0


@dataclass(frozen=True)
class AudienceMember:
    """A user of an audience.

    Attributes:
        gain: what their orders with the offer are expected to bring, in the store's currency.
        purchases: expected number of orders with one of the items.
        own_purchases: number of their orders with one of the items so far.
        affinity: their interest as a multiple of the mean.
    """

    user_id: str
    gain: float
    purchases: float
    own_purchases: int
    affinity: float


@dataclass(frozen=True)
class RfmSegment:
    """A named part of the buyers by their scores, each 1 to 5: 5 is best. A range that is
    absent holds every score.
    """

    name: str
    recency: ScoreRange | None = None
    frequency: ScoreRange | None = None
    monetary: ScoreRange | None = None


@dataclass(frozen=True)
class ScoreRange:
    """Scores from one to another, both included."""

    lowest: int
    highest: int


@dataclass(frozen=True)
class TierProgram:
    """A program of tiers. A user has a level once the figure reaches its threshold, and keeps
    it until the figure falls below `keep` of the threshold.
    """

    name: str
    measure: str = "unspecified"
    window_days: int | None = None
    keep: float | None = None
    levels: list[TierLevel] = field(default_factory=list)


@dataclass(frozen=True)
class TierLevel:
    """A level of a program."""

    name: str
    at_least: float


@dataclass(frozen=True)
class Portrait:
    """What a store knows of a user."""

    user_id: str
    as_of: datetime | None
    events: int
    first_event_time: datetime | None
    last_event_time: datetime | None
    categories: list[Leaning]
    brands: list[Leaning]
    price_band: PriceBand | None
    hours: list[int]
    weekdays: list[int]
    channels: list[ChannelUse]
    usual_items: list[UsualItem]
    orders: OrderSummary | None
    rfm: Rfm | None
    tiers: list[TierStanding]
    forecast: Forecast | None
    next_order_time: datetime | None
    due_items: list[DueItem]
    next_categories: list[NextCategory]
    segments: list[str]


@dataclass(frozen=True)
class Leaning:
    """What a user turns to, with the evidence."""

    name: str
    share: float
    purchases: int
    other_events: int
    last_time: datetime | None


@dataclass(frozen=True)
class PriceBand:
    """What a user pays for one item, in the store's currency."""

    low: float
    median: float
    high: float
    prices: int
    paid: bool


@dataclass(frozen=True)
class ChannelUse:
    """A channel."""

    channel: str
    events: int


@dataclass(frozen=True)
class UsualItem:
    """An item that a user often buys."""

    item_id: str
    orders: int
    of_orders: int


@dataclass(frozen=True)
class OrderSummary:
    """What a user ordered, of all times. An order is what has one basket_id, or without one
    what was bought on one day.
    """

    count: int
    first_time: datetime | None
    last_time: datetime | None
    spend: float
    refunded: float
    mean_spend: float
    mean_units: float


@dataclass(frozen=True)
class Rfm:
    """Recency, frequency and monetary value, with scores of 1 to 5 by fifths of the buyers;
    equal figures have equal scores.
    """

    recency_days: float
    frequency: int
    monetary: float
    recency_score: int
    frequency_score: int
    monetary_score: int
    segment: str


@dataclass(frozen=True)
class TierStanding:
    """A user's place in a program of tiers."""

    program: str
    level: str
    figure: float
    next_level: str
    missing: float
    until: datetime | None


@dataclass(frozen=True)
class Forecast:
    """What a user will buy."""

    alive: float | None
    spend_per_purchase: float
    horizons: list[ForecastHorizon]
    purchases_method: str
    again_method: str


@dataclass(frozen=True)
class ForecastHorizon:
    """What a user will buy in a number of days."""

    days: int
    churn_risk: float
    purchases: float
    purchases_low: int
    purchases_high: int
    spend: float
    spend_low: float
    spend_high: float
    purchases_median: int


@dataclass(frozen=True)
class DueItem:
    """An item that a user buys again and again."""

    item_id: str
    purchases: int
    last_time: datetime | None
    usual_days: float
    due_time: datetime | None


@dataclass(frozen=True)
class NextCategory:
    """A category that a user may turn to next."""

    name: str
    items: int
    new: bool


@dataclass(frozen=True)
class Overview:
    """The buyers of a store by kind."""

    as_of: datetime | None
    recency_days: list[float]
    frequency: list[float]
    monetary: list[float]
    segments: list[BuyerGroup]
    tiers: list[TierShare]
    horizon_days: int
    methods: list[ForecastAccuracy]
    purchases_method: str
    again_method: str


@dataclass(frozen=True)
class BuyerGroup:
    """Buyers of one kind."""

    name: str
    buyers: int
    orders: int
    spend: float
    spend_share: float


@dataclass(frozen=True)
class TierShare:
    """The buyers of a program by level."""

    program: str
    levels: list[BuyerGroup]


@dataclass(frozen=True)
class ForecastAccuracy:
    """How right a method is."""

    method: str
    auc: float | None
    mean_error: float | None
    failure: str
    auc_low: float
    auc_high: float
    mean_error_low: float
    mean_error_high: float


@dataclass(frozen=True)
class Cohort:
    """Users who came in one period for the first time."""

    start_date: str
    users: int
    came: list[int]


@dataclass(frozen=True)
class ActivityPeriod:
    """A period of a store."""

    start_date: str
    active_users: int
    new_users: int
    orders: int
    units: float
    revenue: float
    refunded: float


@dataclass(frozen=True)
class Backtest:
    """Forecasts against what happened."""

    users: int
    bought_again: int
    methods: list[ForecastAccuracy]
    answered: ForecastAccuracy | None
    purchases_method: str
    again_method: str


@dataclass(frozen=True)
class InsightVersions:
    """A version of the settings."""

    settings: InsightSettings | None
    versions: list[DecisionVersion]


@dataclass(frozen=True)
class UserTag:
    """What is believed of a user: its kind and name, as "category:tea", and why."""

    tag: str
    reason: str


@dataclass(frozen=True)
class UserTags:
    """The tags of a user, and those that they deleted."""

    tags: list[UserTag]
    deleted_tags: list[str]


@dataclass(frozen=True)
class SourceDescription:
    """A source of the lists, with its share of all weights."""

    source: str
    weight: float
    description: str


@dataclass(frozen=True)
class RecommenderDescription:
    """How lists are made."""

    generation: int
    sentences: list[str]
    sources: list[SourceDescription]
