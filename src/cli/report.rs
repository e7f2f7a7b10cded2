//! `qianmian report`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::backend::Target;
use super::curves::{Curve, draw};
use super::output::{moment, name, table};
use super::{Failure, decisions, output};
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::now_ms;

/// Print what the lists of a store brought
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian report --server 127.0.0.1:50051\n  \
                        qianmian report --by day,placement --days 7 --plot clicks.svg --data DIR\n  \
                        qianmian report --by source --json --data DIR")]
pub struct Report {
    /// Lists of this many days until now
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=400))]
    days: i64,
    /// What to group by
    #[arg(long, value_enum, value_delimiter = ',', default_value = "placement")]
    by: Vec<By>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw the click-through rate over time, as SVG; with `--by hour` or `--by day`
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Hour,
    Day,
    Placement,
    Variant,
    Generation,
    Source,
}

impl Report {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let is_timed = self.by.iter().any(|by| matches!(by, By::Hour | By::Day));
        if self.plot.is_some() && !is_timed {
            return Err("--plot draws over time: add --by day or --by hour".into());
        }

        let backend = self.target.open(&config).await?;
        let now_seconds = now_ms() / 1_000;
        let from = now_seconds - self.days * 86_400;
        let by = self.by.iter().map(|by| dimension(*by).into()).collect();
        let metrics = backend.metrics(from, now_seconds + 1, by).await;
        let metrics = metrics.map_err(|status| status.message().to_owned())?;

        if let Some(file) = &self.plot {
            let svg = draw("clicks by item seen", &curves(&metrics.groups));
            std::fs::write(file, svg).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        if self.json {
            return output::json(&decisions::as_json(&metrics)?);
        }
        print(&self.by, &metrics.groups);
        Ok(())
    }
}

fn dimension(by: By) -> pb::MetricDimension {
    match by {
        By::Hour => pb::MetricDimension::Hour,
        By::Day => pb::MetricDimension::Day,
        By::Placement => pb::MetricDimension::Placement,
        By::Variant => pb::MetricDimension::Variant,
        By::Generation => pb::MetricDimension::Generation,
        By::Source => pb::MetricDimension::Source,
    }
}

fn print(by: &[By], groups: &[pb::MetricGroup]) {
    let figures = [
        "lists",
        "seen",
        "clicks",
        "CTR",
        "carts",
        "bought",
        "CR",
        "revenue",
        "per 1,000",
        "refunded",
        "items",
        "dwell s",
    ];
    let own: Vec<String> = by.iter().map(|by| format!("{by:?}").to_lowercase()).collect();
    let header: Vec<&str> = own.iter().map(String::as_str).chain(figures).collect();

    let rows = groups.iter().map(|group| {
        let own = by.iter().map(|by| match by {
            By::Hour | By::Day => moment(group.time.as_ref().map(|time| time.seconds)),
            By::Placement => group.placement.clone(),
            By::Variant => group.variant.clone(),
            By::Generation => group.generation.to_string(),
            By::Source => name(group.source().as_str_name(), "SOURCE_"),
        });
        let figures = [
            group.lists.to_string(),
            group.seen.to_string(),
            group.clicks.to_string(),
            format!("{:.2} %", 100.0 * group.click_through_rate),
            group.carts.to_string(),
            group.purchases.to_string(),
            format!("{:.2} %", 100.0 * group.conversion_rate),
            format!("{:.2}", group.revenue),
            format!("{:.2}", group.revenue_per_thousand),
            format!("{:.2}", group.refunded),
            group.items_shown.map_or_else(String::new, |items| items.to_string()),
            group.dwell_ms.map_or_else(String::new, |ms| format!("{:.1}", ms / 1_000.0)),
        ];
        own.chain(figures).collect()
    });
    println!("{}", table(&header, &figures, rows.collect()));
    let unattributed: i64 = groups.iter().map(|group| group.unattributed).sum();
    if unattributed > 0 {
        println!("{unattributed} events name a recommendation that is not known");
    }
}

/// A curve for every group that is not of time.
fn curves(groups: &[pb::MetricGroup]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for group in groups {
        let Some(time) = &group.time else { continue };
        let parts = [group.placement.as_str(), group.variant.as_str()];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let source = Some(group.source()).filter(|of| *of != pb::Source::Unspecified);
        let source = source.map(|of| name(of.as_str_name(), "SOURCE_"));
        let generation = Some(group.generation).filter(|of| *of > 0);
        let generation = generation.map(|of| format!("generation {of}"));
        let of =
            parts.map(str::to_owned).chain(source).chain(generation).collect::<Vec<_>>().join(" ");

        let point = (time.seconds, group.click_through_rate);
        match curves.iter_mut().find(|curve| curve.name == of) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name: of, points: vec![point] }),
        }
    }
    curves
}
