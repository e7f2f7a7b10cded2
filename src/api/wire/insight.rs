//! Portraits and figures of users, and their settings, between the protocol and the domain.

use crate::api::wire::convert::timestamp;
use crate::api::wire::{pb, segments};
use crate::domain::Violation;
use crate::engine::insight::overview::{Came, Group, Overview};
use crate::engine::insight::user::{
    DueItem, NextCategory, OrderFigures, Rfm, UserInsight, UserTier,
};
use crate::insight::cohorts::Cohort;
use crate::insight::portrait::{Leaning, PriceBand};
use crate::insight::rfm::RfmSegment;
use crate::insight::tiers::{Level, Measure, TierProgram};
use crate::insight::trade::PeriodFigures;
use crate::insight::value::accuracy::Measured;
use crate::insight::value::models::Horizon;
use crate::insight::value::{Accuracy, Backtest, Forecast, Method, Tried};
use crate::insight::{InsightSettings, Period};

/// The settings of a request. Limits are the engine's to check.
///
/// # Errors
/// The field that is not one of the protocol's words.
pub fn settings(given: pb::InsightSettings) -> Result<InsightSettings, Violation> {
    let programs = given.tier_programs.into_iter().enumerate().map(|(at, program)| {
        tier_program(program).map_err(|violation| violation.within(&format!("tier_programs[{at}]")))
    });
    Ok(InsightSettings {
        rfm_segments: given.rfm_segments.into_iter().map(segment).collect(),
        tier_programs: programs.collect::<Result<_, _>>()?,
        segments: segments::segments(given.segments)?,
    })
}

fn segment(given: pb::RfmSegment) -> RfmSegment {
    // What does not fit is beyond the scores too, and refused as such.
    let score = |score: u32| u8::try_from(score).unwrap_or(u8::MAX);
    let range = |range: Option<pb::ScoreRange>| match range {
        None => [1, 5],
        Some(range) => [score(range.lowest), score(range.highest)],
    };
    RfmSegment {
        name: given.name,
        recency: range(given.recency),
        frequency: range(given.frequency),
        monetary: range(given.monetary),
    }
}

fn tier_program(given: pb::TierProgram) -> Result<TierProgram, Violation> {
    let measure = match pb::TierMeasure::try_from(given.measure) {
        Ok(pb::TierMeasure::Unspecified | pb::TierMeasure::Spend) => Measure::Spend,
        Ok(pb::TierMeasure::Orders) => Measure::Orders,
        Err(_) => {
            return Err(Violation::new(
                "measure",
                format!("must be 0 to 2, was {}", given.measure),
            ));
        }
    };
    let level = |level: pb::TierLevel| Level { name: level.name, at_least: level.at_least };
    Ok(TierProgram {
        name: given.name,
        measure,
        window_days: given.window_days,
        keep: given.keep.unwrap_or(1.0),
        levels: given.levels.into_iter().map(level).collect(),
    })
}

/// Settings as the protocol has them.
pub fn settings_proto(settings: &InsightSettings) -> pb::InsightSettings {
    let range = |[lowest, highest]: [u8; 2]| {
        Some(pb::ScoreRange { lowest: lowest.into(), highest: highest.into() })
    };
    let segment = |segment: &RfmSegment| pb::RfmSegment {
        name: segment.name.clone(),
        recency: range(segment.recency),
        frequency: range(segment.frequency),
        monetary: range(segment.monetary),
    };
    let level =
        |level: &Level| pb::TierLevel { name: level.name.clone(), at_least: level.at_least };
    let program = |program: &TierProgram| pb::TierProgram {
        name: program.name.clone(),
        measure: match program.measure {
            Measure::Spend => pb::TierMeasure::Spend.into(),
            Measure::Orders => pb::TierMeasure::Orders.into(),
        },
        window_days: program.window_days,
        keep: Some(program.keep),
        levels: program.levels.iter().map(level).collect(),
    };

    pb::InsightSettings {
        rfm_segments: settings.rfm_segments.iter().map(segment).collect(),
        tier_programs: settings.tier_programs.iter().map(program).collect(),
        segments: settings.segments.iter().map(segments::segment_proto).collect(),
    }
}

/// The period of a request.
///
/// # Errors
/// Where it is none of the protocol's.
pub fn period(given: i32) -> Result<Period, Violation> {
    match pb::Period::try_from(given) {
        Ok(pb::Period::Day) => Ok(Period::Day),
        Ok(pb::Period::Week) => Ok(Period::Week),
        Ok(pb::Period::Unspecified | pb::Period::Month) => Ok(Period::Month),
        Err(_) => Err(Violation::new("period", format!("must be 0 to 3, was {given}"))),
    }
}

/// Who counts in cohorts.
///
/// # Errors
/// Where it is none of the protocol's.
pub fn came(given: i32) -> Result<Came, Violation> {
    match pb::CohortBasis::try_from(given) {
        Ok(pb::CohortBasis::Unspecified | pb::CohortBasis::Orders) => Ok(Came::Ordered),
        Ok(pb::CohortBasis::Activity) => Ok(Came::Active),
        Err(_) => Err(Violation::new("basis", format!("must be 0 to 2, was {given}"))),
    }
}

/// A method as the protocol has it.
pub fn method(method: Method) -> pb::ForecastMethod {
    match method {
        Method::Rate => pb::ForecastMethod::Rate,
        Method::Nbd => pb::ForecastMethod::Nbd,
        Method::BgNbd => pb::ForecastMethod::BgNbd,
        Method::MbgNbd => pb::ForecastMethod::MbgNbd,
        Method::Trees => pb::ForecastMethod::Trees,
    }
}

/// A user's insight as the protocol has it.
pub fn portrait(user: UserInsight) -> pb::Portrait {
    let traits = user.portrait;
    let usual_items = traits.usual_items.iter().zip(user.usual_items);
    let usual_item = |(usual, item_id): (&crate::insight::portrait::UsualItem, String)| {
        pb::UsualItem { item_id, orders: usual.orders, of_orders: traits.orders }
    };
    let channel = |(channel, events): &(String, u32)| pb::ChannelUse {
        channel: channel.clone(),
        events: *events,
    };

    pb::Portrait {
        user_id: user.user_id,
        as_of: Some(timestamp(user.as_of_ms)),
        events: traits.events,
        first_event_time: traits.first_ms.map(timestamp),
        last_event_time: traits.last_ms.map(timestamp),
        categories: traits.categories.iter().map(leaning).collect(),
        brands: traits.brands.iter().map(leaning).collect(),
        price_band: traits.price_band.map(price_band),
        hours: traits.hours.to_vec(),
        weekdays: traits.weekdays.to_vec(),
        channels: traits.channels.iter().map(channel).collect(),
        usual_items: usual_items.map(usual_item).collect(),
        orders: user.orders.map(order_summary),
        rfm: user.rfm.map(rfm),
        tiers: user.tiers.into_iter().map(tier_standing).collect(),
        forecast: user.forecast.map(|of_user| forecast(&of_user, user.methods)),
        next_order_time: user.next_order_ms.map(timestamp),
        due_items: user.due.into_iter().map(due_item).collect(),
        next_categories: user.next_categories.into_iter().map(next_category).collect(),
        segments: user.segments,
    }
}

fn leaning(leaning: &Leaning) -> pb::Leaning {
    pb::Leaning {
        name: leaning.name.clone(),
        share: leaning.share,
        purchases: leaning.purchases,
        other_events: leaning.others,
        last_time: Some(timestamp(leaning.last_ms)),
    }
}

fn price_band(band: PriceBand) -> pb::PriceBand {
    let PriceBand { low, median, high, prices, were_paid } = band;
    pb::PriceBand { low, median, high, prices, paid: were_paid }
}

fn order_summary(orders: OrderFigures) -> pb::OrderSummary {
    pb::OrderSummary {
        count: orders.count,
        first_time: Some(timestamp(orders.first_ms)),
        last_time: Some(timestamp(orders.last_ms)),
        spend: orders.spend,
        refunded: orders.refunded,
        mean_spend: orders.mean_spend,
        mean_units: orders.mean_units,
    }
}

fn rfm(rfm: Rfm) -> pb::Rfm {
    pb::Rfm {
        recency_days: rfm.figures.recency_days,
        frequency: rfm.figures.frequency,
        monetary: rfm.figures.monetary,
        recency_score: rfm.scores.recency.into(),
        frequency_score: rfm.scores.frequency.into(),
        monetary_score: rfm.scores.monetary.into(),
        segment: rfm.segment,
    }
}

fn tier_standing(tier: UserTier) -> pb::TierStanding {
    pb::TierStanding {
        program: tier.program,
        level: tier.level,
        figure: tier.standing.figure,
        next_level: tier.next_level,
        missing: tier.standing.missing.unwrap_or(0.0),
        until: tier.standing.until_ms.map(timestamp),
    }
}

fn forecast(forecast: &Forecast, (purchases_by, again_by): (Method, Method)) -> pb::Forecast {
    let horizon = |horizon: &Horizon| pb::ForecastHorizon {
        days: horizon.days,
        churn_risk: 1.0 - horizon.again,
        purchases: horizon.purchases,
        purchases_low: horizon.purchases_range.0,
        purchases_high: horizon.purchases_range.1,
        spend: horizon.spend,
        spend_low: horizon.spend_range.0,
        spend_high: horizon.spend_range.1,
        purchases_median: horizon.purchases_median,
    };
    pb::Forecast {
        alive: forecast.alive,
        spend_per_purchase: forecast.spend_per_purchase,
        horizons: forecast.horizons.iter().map(horizon).collect(),
        purchases_method: method(purchases_by).into(),
        again_method: method(again_by).into(),
    }
}

fn due_item(due: DueItem) -> pb::DueItem {
    pb::DueItem {
        item_id: due.item_id,
        purchases: due.purchases,
        last_time: Some(timestamp(due.last_ms)),
        usual_days: due.usual_days,
        due_time: Some(timestamp(due.due_ms)),
    }
}

fn next_category(next: NextCategory) -> pb::NextCategory {
    pb::NextCategory { name: next.name, items: next.items, new: next.is_new }
}

/// The overview as the protocol has it.
pub fn overview(overview: Overview) -> pb::GetOverviewResponse {
    let tier = |(program, levels)| pb::TierShare { program, levels: groups(levels) };
    pb::GetOverviewResponse {
        as_of: Some(timestamp(overview.as_of_ms)),
        recency_days: overview.quintiles.recency_days.to_vec(),
        frequency: overview.quintiles.frequency.to_vec(),
        monetary: overview.quintiles.monetary.to_vec(),
        segments: groups(overview.segments),
        tiers: overview.tiers.into_iter().map(tier).collect(),
        horizon_days: overview.horizon_days,
        methods: overview.tried.into_iter().map(tried).collect(),
        purchases_method: method(overview.methods.0).into(),
        again_method: method(overview.methods.1).into(),
    }
}

fn groups(groups: Vec<Group>) -> Vec<pb::BuyerGroup> {
    let all: f64 = groups.iter().map(|group| group.spend).sum();
    let group = |group: Group| pb::BuyerGroup {
        name: group.name,
        buyers: group.buyers,
        orders: group.orders,
        spend: group.spend,
        spend_share: if all > 0.0 { group.spend / all } else { 0.0 },
    };
    groups.into_iter().map(group).collect()
}

fn tried(tried: Tried) -> pb::ForecastAccuracy {
    let Tried { method: by, accuracy, failure } = tried;
    pb::ForecastAccuracy { failure, ..accuracy_proto(by, accuracy) }
}

fn accuracy_proto(by: Method, accuracy: Option<Accuracy>) -> pb::ForecastAccuracy {
    pb::ForecastAccuracy {
        method: method(by).into(),
        auc: accuracy.map(|accuracy| accuracy.auc),
        mean_error: accuracy.map(|accuracy| accuracy.mae),
        ..pb::ForecastAccuracy::default()
    }
}

/// Cohorts as the protocol has them.
pub fn cohorts(cohorts: Vec<Cohort>, period: Period) -> pb::GetCohortsResponse {
    let cohort = |cohort: Cohort| pb::Cohort {
        start_date: period.first_day(cohort.period).to_string(),
        users: cohort.users.first().copied().unwrap_or(0),
        came: cohort.users,
    };
    pb::GetCohortsResponse { cohorts: cohorts.into_iter().map(cohort).collect() }
}

/// Periods as the protocol has them.
pub fn activity(periods: Vec<PeriodFigures>, period: Period) -> pb::GetActivityResponse {
    let figures = |of: PeriodFigures| pb::ActivityPeriod {
        start_date: period.first_day(of.period).to_string(),
        active_users: of.active,
        new_users: of.new,
        orders: of.sold.orders,
        units: of.sold.units,
        revenue: of.sold.revenue,
        refunded: of.sold.refunded,
    };
    pb::GetActivityResponse { periods: periods.into_iter().map(figures).collect() }
}

/// A backtest as the protocol has it.
pub fn backtest(backtest: Backtest) -> pb::BacktestForecastsResponse {
    let measured = |(by, measured): (Method, Measured)| pb::ForecastAccuracy {
        auc_low: measured.auc_range.0,
        auc_high: measured.auc_range.1,
        mean_error_low: measured.mae_range.0,
        mean_error_high: measured.mae_range.1,
        ..accuracy_proto(by, Some(measured.accuracy))
    };
    let answered = measured((backtest.chosen.0, backtest.answered));
    pb::BacktestForecastsResponse {
        users: backtest.users as u32,
        bought_again: backtest.bought_again as u32,
        methods: backtest.methods.into_iter().map(measured).collect(),
        answered: Some(pb::ForecastAccuracy {
            method: pb::ForecastMethod::Unspecified.into(),
            ..answered
        }),
        purchases_method: method(backtest.chosen.0).into(),
        again_method: method(backtest.chosen.1).into(),
    }
}
