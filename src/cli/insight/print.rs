//! Prints answers for people.

use super::calls::Moment;
use crate::api::wire::pb;
use crate::cli::curves::{self, Curve};
use crate::cli::output::{moment, name, table};
use crate::domain::quote::printable;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn day(time: Option<&Moment>) -> String {
    moment(time.map(|time| time.seconds)).chars().take(10).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn method(number: i32) -> String {
    let method = pb::ForecastMethod::try_from(number).unwrap_or_default();
    name(method.as_str_name(), "FORECAST_METHOD_").replace('_', "/")
}

/// A line of a portrait: what, and with what evidence.
fn line(what: &str, found: &str) {
    if !found.is_empty() {
        println!("{what:<16} {}", printable(found));
    }
}

pub(super) fn portrait(answer: &pb::GetPortraitResponse) {
    let Some(portrait) = &answer.portrait else { return };
    println!("{} as of {}\n", printable(&portrait.user_id), day(portrait.as_of.as_ref()));
    traits(portrait);
    buying(portrait);
    for tier in &portrait.tiers {
        let level = if tier.level.is_empty() { "none" } else { &tier.level };
        let mut found = format!("{level}, at {:.2}", tier.figure);
        if !tier.next_level.is_empty() {
            found += &format!("; {:.2} to {}", tier.missing, tier.next_level);
        }
        if tier.until.is_some() {
            found += &format!("; until {}", day(tier.until.as_ref()));
        }
        line(&format!("tier {}", tier.program), &found);
    }
    if let Some(forecast) = &portrait.forecast {
        println!();
        print_forecast(forecast);
    }
}

fn traits(portrait: &pb::Portrait) {
    let leanings = |all: &[pb::Leaning]| {
        let each = all.iter().map(|of| {
            format!(
                "{} {} ({} bought, {} other)",
                of.name,
                percent(of.share),
                of.purchases,
                of.other_events
            )
        });
        each.collect::<Vec<_>>().join(", ")
    };
    line("categories", &leanings(&portrait.categories));
    line("brands", &leanings(&portrait.brands));
    if let Some(band) = &portrait.price_band {
        let of = if band.paid { "paid" } else { "seen" };
        let found = format!(
            "{:.2} to {:.2}, median {:.2} ({} prices {of})",
            band.low, band.high, band.median, band.prices
        );
        line("prices", &found);
    }

    let most = |counts: &[u32]| {
        let best = counts.iter().enumerate().max_by_key(|(at, count)| (**count, usize::MAX - at));
        best.filter(|(_, count)| **count > 0).map(|(at, count)| (at, *count))
    };
    if let (Some((hour, of_hour)), Some((weekday, of_day))) =
        (most(&portrait.hours), most(&portrait.weekdays))
    {
        let found = format!(
            "{hour}:00 ({of_hour}), {} ({of_day}), of {} events",
            WEEKDAYS.get(weekday).unwrap_or(&""),
            portrait.events
        );
        line("usual time", &found);
    }
    let channels = portrait.channels.iter().map(|of| format!("{} ({})", of.channel, of.events));
    line("channels", &channels.collect::<Vec<_>>().join(", "));
    let next = portrait.next_categories.iter().map(|of| {
        format!("{} ({} of the list{})", of.name, of.items, if of.new { ", new" } else { "" })
    });
    line("next", &next.collect::<Vec<_>>().join(", "));
}

fn buying(portrait: &pb::Portrait) {
    let usual = portrait.usual_items.iter();
    let usual =
        usual.map(|of| format!("{} (in {} of {} orders)", of.item_id, of.orders, of.of_orders));
    line("usual basket", &usual.collect::<Vec<_>>().join(", "));

    if let Some(orders) = &portrait.orders {
        let found = format!(
            "{} from {} to {}, {:.2} spent, {:.2} by order, {:.1} items, {:.2} refunded",
            orders.count,
            day(orders.first_time.as_ref()),
            day(orders.last_time.as_ref()),
            orders.spend,
            orders.mean_spend,
            orders.mean_units,
            orders.refunded
        );
        line("orders", &found);
    }

    line("next order", &day(portrait.next_order_time.as_ref()));
    let due = portrait.due_items.iter().map(|of| {
        format!(
            "{} on {} (every {:.0} days, {} times)",
            of.item_id,
            day(of.due_time.as_ref()),
            of.usual_days,
            of.purchases
        )
    });
    line("due", &due.collect::<Vec<_>>().join(", "));

    if let Some(rfm) = &portrait.rfm {
        let found = format!(
            "{}{}{} {} ({:.0} days ago, {} orders, {:.2})",
            rfm.recency_score,
            rfm.frequency_score,
            rfm.monetary_score,
            rfm.segment,
            rfm.recency_days,
            rfm.frequency,
            rfm.monetary
        );
        line("RFM", &found);
    }
}

fn print_forecast(forecast: &pb::Forecast) {
    let rows = forecast.horizons.iter().map(|of| {
        vec![
            of.days.to_string(),
            percent(of.churn_risk),
            format!("{:.2}", of.purchases),
            of.purchases_median.to_string(),
            format!("{} to {}", of.purchases_low, of.purchases_high),
            format!("{:.2}", of.spend),
            format!("{:.2} to {:.2}", of.spend_low, of.spend_high),
        ]
    });
    let header =
        ["days", "churn risk", "purchases", "median", "80 % of them", "spend", "80 % of it"];
    println!("{}", table(&header, &header, rows.collect()));
    let alive = forecast.alive.map_or("unknown".to_owned(), percent);
    println!(
        "still a buyer: {alive}; purchases by {}, chances by {}",
        method(forecast.purchases_method),
        method(forecast.again_method)
    );
}

pub(super) fn description(answer: &pb::DescribeRecommenderResponse) {
    answer.sentences.iter().for_each(|sentence| println!("{sentence}"));
    let rows = answer.sources.iter().map(|of| {
        let source = name(of.source().as_str_name(), "SOURCE_");
        vec![source, percent(of.weight), of.description.clone()]
    });
    println!("\n{}", table(&["source", "weight", ""], &["weight"], rows.collect()));
}

pub(super) fn overview(answer: &pb::GetOverviewResponse) {
    println!("as of {}\n", day(answer.as_of.as_ref()));
    groups("segment", &answer.segments);
    for tier in &answer.tiers {
        println!();
        groups(&tier.program, &tier.levels);
    }
    println!("\nforecasts, on the last {} days:", answer.horizon_days);
    accuracies(&answer.methods);
    println!(
        "purchases by {}, chances by {}",
        method(answer.purchases_method),
        method(answer.again_method)
    );
}

fn groups(what: &str, groups: &[pb::BuyerGroup]) {
    let rows = groups.iter().filter(|group| group.buyers > 0 || !group.name.is_empty());
    let rows = rows.map(|group| {
        let name = if group.name.is_empty() { "(none)" } else { &group.name };
        vec![
            name.to_owned(),
            group.buyers.to_string(),
            group.orders.to_string(),
            format!("{:.2}", group.spend),
            percent(group.spend_share),
        ]
    });
    let header = [what, "buyers", "orders", "spend", "share"];
    println!("{}", table(&header, &header[1..], rows.collect()));
}

fn accuracies(methods: &[pb::ForecastAccuracy]) {
    let rows = methods.iter().map(|of| {
        let range = |low: f64, high: f64| {
            if high > 0.0 { format!(" ({low:.3} to {high:.3})") } else { String::new() }
        };
        let figure = |value: Option<f64>, range: String| {
            value.map_or("-".to_owned(), |value| format!("{value:.3}{range}"))
        };
        vec![
            method(of.method),
            figure(of.auc, range(of.auc_low, of.auc_high)),
            figure(of.mean_error, range(of.mean_error_low, of.mean_error_high)),
            of.failure.clone(),
        ]
    });
    let header = ["method", "AUC of buys again", "mean error of purchases", ""];
    println!("{}", table(&header, &header[1..3], rows.collect()));
}

pub(super) fn cohorts(answer: &pb::GetCohortsResponse) {
    let columns = answer.cohorts.iter().map(|cohort| cohort.came.len()).max().unwrap_or(0);
    let numbers: Vec<String> = (1..columns).map(|at| at.to_string()).collect();
    let mut header = vec!["cohort", "users"];
    header.extend(numbers.iter().map(String::as_str));
    let rows = answer.cohorts.iter().map(|cohort| {
        let share = |came: &u32| percent(f64::from(*came) / f64::from(cohort.users.max(1)));
        let again = cohort.came.iter().skip(1).map(share);
        let first = [cohort.start_date.clone(), cohort.users.to_string()];
        let mut row: Vec<String> = first.into_iter().chain(again).collect();
        row.resize(header.len(), String::new());
        row
    });
    let rows = rows.collect();
    println!("{}", table(&header, &header[1..], rows));
}

pub(super) fn activity(answer: &pb::GetActivityResponse) {
    let rows = answer.periods.iter().map(|of| {
        let by_order = |sum: f64| {
            if of.orders > 0 { format!("{:.2}", sum / f64::from(of.orders)) } else { String::new() }
        };
        vec![
            of.start_date.clone(),
            of.active_users.to_string(),
            of.new_users.to_string(),
            of.orders.to_string(),
            by_order(of.units),
            format!("{:.2}", of.revenue),
            by_order(of.revenue),
            format!("{:.2}", of.refunded),
        ]
    });
    let header = ["from", "active", "new", "orders", "items each", "revenue", "each", "refunded"];
    println!("{}", table(&header, &header[1..], rows.collect()));
}

/// Active and new users over time.
pub(super) fn activity_curves(answer: &pb::GetActivityResponse) -> String {
    let curve = |name: &str, figure: fn(&pb::ActivityPeriod) -> u64| Curve {
        name: name.to_owned(),
        points: answer
            .periods
            .iter()
            .filter_map(|of| {
                let date: jiff::civil::Date = of.start_date.parse().ok()?;
                let moment = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
                Some((moment.as_second(), figure(of) as f64))
            })
            .collect(),
    };
    let curves =
        [curve("active users", |of| of.active_users), curve("new users", |of| of.new_users)];
    curves::draw("users by period", &curves)
}

pub(super) fn backtest(answer: &pb::BacktestForecastsResponse) {
    println!(
        "{} users had bought before, {} of them bought again; 95 % intervals\n",
        answer.users, answer.bought_again
    );
    accuracies(&answer.methods);
    if let Some(answered) = &answer.answered {
        println!(
            "\nanswered: chances by {} (AUC {:.3}), purchases by {} (mean error {:.3}), \
             as chosen on the time before the cut",
            method(answer.again_method),
            answered.auc.unwrap_or(0.0),
            method(answer.purchases_method),
            answered.mean_error.unwrap_or(0.0)
        );
    }
}
