//! The options that describe how a file is read, for every verb that reads one.

use std::collections::HashSet;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Failure;
use crate::import::encoding::Encoding;
use crate::import::event_names::EventNames;
use crate::import::time_format::TimeFormat;
use crate::import::{ColumnMap, Dialect, Plan, Preset, identity};

/// How files are read.
#[derive(Debug, Args)]
pub(super) struct DialectArgs {
    /// Names of columns, where they differ: user_id=CustomerID,item_id=StockCode; "a+b" joins two
    /// with "/"; attributes.NAME=COLUMN takes an attribute
    #[arg(long, value_name = "COLUMN=NAME,…", value_parser = str::parse::<ColumnMap>)]
    map: Option<ColumnMap>,
    /// Mapping and cleaning for a known log: online-retail, online-retail-ii
    #[arg(long, value_name = "NAME", value_parser = Preset::named, conflicts_with = "map")]
    preset: Option<Preset>,
    /// Items of which no row is taken, such as postage and fees
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    exclude_items: Vec<String>,
    /// Users of which no row is taken, such as bots
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    exclude_users: Vec<String>,
    /// Only events from this day or time on: 2024-01-31, or 2024-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only events before this day or time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Leave out rows that repeat another of the same file in everything
    #[arg(long)]
    drop_duplicates: bool,
    /// Read ids in upper case, without spaces around them and leading zeros
    #[arg(long)]
    unify_ids: bool,
    /// Encoding of text [default: UTF-8, or UTF-16 where the file begins with its mark]
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Encoding>)]
    encoding: Option<Encoding>,
    /// How times are written: auto, day-first, month-first, unix, unix-ms, unix-us, unix-ns,
    /// excel, or a pattern such as "%d.%m.%Y %H:%M" [default: auto]
    #[arg(long, value_name = "FORMAT", value_parser = str::parse::<TimeFormat>)]
    time_format: Option<TimeFormat>,
    /// Zone of times that name none, e.g. Asia/Shanghai [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What events are called: view_item=view,remove_from_cart=skip, *=skip for all others, or the
    /// names of a system: ga4, shopify, taobao, youzan
    #[arg(long, value_name = "NAME=KIND,…", value_parser = str::parse::<EventNames>)]
    event_map: Option<EventNames>,
    /// Numbers have a decimal comma: 1.234,50
    #[arg(long)]
    decimal_comma: bool,
    /// Words that stand for an empty cell, in every column: NULL,0
    #[arg(long, value_name = "WORD,…", value_delimiter = ',')]
    absent: Vec<String>,
}

/// A day, or a time, in milliseconds since 1970.
fn moment(given: &str) -> Result<i64, String> {
    let day = given.parse::<jiff::civil::Date>().and_then(|day| day.to_zoned(TimeZone::UTC));
    let time = day.map(|day| day.timestamp()).or_else(|_| given.parse::<Timestamp>());
    let time = time.map_err(|_| "must be a day, 2024-01-31, or a time, 2024-01-31T08:00:00Z")?;
    Ok(time.as_millisecond())
}

impl DialectArgs {
    /// The ids of an option, with what they become where ids are unified.
    fn excluded(&self, ids: &[String]) -> HashSet<String> {
        let unified = ids.iter().filter(|_| self.unify_ids).map(|id| identity::unified(id));
        ids.iter().cloned().chain(unified).collect()
    }

    /// The plan for reading a log.
    ///
    /// # Errors
    /// Where the time zone is unknown.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        let mut times = self.time_format.clone().unwrap_or_default();
        if let Some(zone) = &self.time_zone {
            times = times.in_zone(zone)?;
        }

        let plan = self.preset.map(Plan::preset).unwrap_or_default();
        let columns = self.map.clone().unwrap_or(plan.dialect.columns);
        let dialect = Dialect {
            columns,
            encoding: self.encoding,
            times,
            events: self.event_map.clone().unwrap_or_default(),
            decimal_comma: self.decimal_comma,
            absent: self.absent.clone(),
        };

        Ok(Plan {
            dialect,
            preset: plan.preset,
            excluded_items: self.excluded(&self.exclude_items),
            excluded_users: self.excluded(&self.exclude_users),
            times: (self.since, self.until),
            drop_duplicates: self.drop_duplicates,
            unify_ids: self.unify_ids,
        })
    }
}
