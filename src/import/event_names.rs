//! Names of kinds of events: those of known systems, and given ones.

use std::collections::HashMap;
use std::str::FromStr;

use crate::domain::EventKind;

/// The meaning of an event's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// An event of this kind.
    Kind(EventKind),
    /// Not a kind that is kept: left out.
    Skipped,
}

/// Names of events and their meaning, besides those that [`EventKind::parse`] knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventNames(HashMap<String, Named>);

/// The word for [`Named::Skipped`].
const SKIP: &str = "skip";

/// The name that matches all unknown names.
const ALL_OTHERS: &str = "*";

type Names = &'static [(&'static str, &'static str)];

/// The names of known systems.
///
/// - ga4: the recommended events of Google Analytics 4
///   (<https://developers.google.com/analytics/devguides/collection/ga4/reference/events>)
/// - shopify: the standard events of Shopify's web pixels
///   (<https://shopify.dev/docs/api/web-pixels-api/standard-events>)
/// - taobao: the terms of Taobao's published logs and of its sellers' reports
/// - youzan: the terms of Youzan's (有赞) reports on users and orders
const SYSTEMS: [(&str, Names); 4] =
    [("ga4", GA4), ("shopify", SHOPIFY), ("taobao", TAOBAO), ("youzan", YOUZAN)];

const GA4: Names = &[
    ("view_item", "view"),
    ("select_item", "click"),
    ("view_item_list", "impression"),
    ("add_to_cart", "add_to_cart"),
    ("add_to_wishlist", "favorite"),
    ("purchase", "purchase"),
    ("refund", "refund"),
    ("remove_from_cart", SKIP),
    ("view_cart", SKIP),
    ("begin_checkout", SKIP),
    ("add_shipping_info", SKIP),
    ("add_payment_info", SKIP),
    ("view_promotion", SKIP),
    ("select_promotion", SKIP),
    ("session_start", SKIP),
    ("first_visit", SKIP),
    ("page_view", SKIP),
    ("user_engagement", SKIP),
    ("scroll", SKIP),
    ("click", SKIP),
    ("search", SKIP),
    ("view_search_results", SKIP),
    ("login", SKIP),
    ("sign_up", SKIP),
    ("share", SKIP),
];

const SHOPIFY: Names = &[
    ("product_viewed", "view"),
    ("product_added_to_cart", "add_to_cart"),
    ("checkout_completed", "purchase"),
    ("product_removed_from_cart", SKIP),
    ("page_viewed", SKIP),
    ("collection_viewed", SKIP),
    ("search_submitted", SKIP),
    ("cart_viewed", SKIP),
    ("checkout_started", SKIP),
    ("checkout_contact_info_submitted", SKIP),
    ("checkout_address_info_submitted", SKIP),
    ("checkout_shipping_info_submitted", SKIP),
    ("payment_info_submitted", SKIP),
];

const TAOBAO: Names = &[
    ("pv", "view"),
    ("cart", "add_to_cart"),
    ("fav", "favorite"),
    ("buy", "purchase"),
    ("浏览", "view"),
    ("点击", "click"),
    ("曝光", "impression"),
    ("收藏", "favorite"),
    ("加购", "add_to_cart"),
    ("加购物车", "add_to_cart"),
    ("加入购物车", "add_to_cart"),
    ("购买", "purchase"),
    ("下单", "purchase"),
    ("成交", "purchase"),
    ("支付", "purchase"),
    ("付款", "purchase"),
    ("退款", "refund"),
    ("退货", "refund"),
    ("评价", "rating"),
];

const YOUZAN: Names = &[
    ("浏览", "view"),
    ("浏览商品", "view"),
    ("访问商品", "view"),
    ("点击", "click"),
    ("点击商品", "click"),
    ("曝光", "impression"),
    ("商品曝光", "impression"),
    ("收藏", "favorite"),
    ("收藏商品", "favorite"),
    ("加购", "add_to_cart"),
    ("加入购物车", "add_to_cart"),
    ("添加购物车", "add_to_cart"),
    ("购买", "purchase"),
    ("下单", "purchase"),
    ("付款", "purchase"),
    ("支付", "purchase"),
    ("支付成功", "purchase"),
    ("交易成功", "purchase"),
    ("交易完成", "purchase"),
    ("退款", "refund"),
    ("退款成功", "refund"),
    ("退货", "refund"),
    ("评价", "rating"),
];

impl FromStr for EventNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, kind)) => names.add(name.trim(), kind.trim())?,
                None => {
                    let system = SYSTEMS.iter().find(|(system, _)| *system == part);
                    let (_, known) = system.ok_or_else(|| {
                        let systems = SYSTEMS.map(|(system, _)| system).join(", ");
                        format!("{part:?} is neither NAME=KIND nor one of {systems}")
                    })?;
                    known.iter().try_for_each(|(name, kind)| names.add(name, kind))?;
                }
            }
        }
        Ok(names)
    }
}

impl EventNames {
    fn add(&mut self, name: &str, kind: &str) -> Result<(), String> {
        let named = match kind {
            SKIP => Named::Skipped,
            kind => Named::Kind(EventKind::parse(kind).ok_or_else(|| {
                let kinds = EventKind::ALL.map(EventKind::name).join(", ");
                format!("no kind {kind:?}; there are {kinds}, and {SKIP}")
            })?),
        };
        self.0.insert(name.to_lowercase(), named);
        Ok(())
    }

    /// The meaning of an event's name; none for an unknown one.
    pub fn named(&self, name: &str) -> Option<Named> {
        let given = || self.0.get(&name.to_lowercase()).copied();
        let given = if self.0.is_empty() { None } else { given() };
        let known = given.or_else(|| EventKind::parse(name).map(Named::Kind));
        known.or_else(|| self.0.get(ALL_OTHERS).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_given_come_before_those_of_systems_and_of_kinds() {
        let names: EventNames = "ga4, view_item=click,purchase=skip".parse().unwrap();
        assert_eq!(names.named("View_Item"), Some(Named::Kind(EventKind::Click)));
        assert_eq!(names.named("add_to_wishlist"), Some(Named::Kind(EventKind::Favorite)));
        assert_eq!(names.named("purchase"), Some(Named::Skipped));
        assert_eq!(names.named("begin_checkout"), Some(Named::Skipped));
        assert_eq!(names.named("refund"), Some(Named::Kind(EventKind::Refund)));
        assert_eq!(names.named("dance"), None);
        assert_eq!(EventNames::default().named("view_item"), None);
        let rest: EventNames = "*=skip".parse().unwrap();
        assert_eq!(rest.named("dance"), Some(Named::Skipped));
        assert_eq!(rest.named("buy"), Some(Named::Kind(EventKind::Purchase)));

        let names: EventNames = "taobao,shopify,youzan".parse().unwrap();
        assert_eq!(names.named("加购"), Some(Named::Kind(EventKind::AddToCart)));
        assert_eq!(names.named("checkout_completed"), Some(Named::Kind(EventKind::Purchase)));
        assert_eq!(names.named("支付成功"), Some(Named::Kind(EventKind::Purchase)));
    }

    #[test]
    fn what_is_no_map_says_what_there_is() {
        let error = |text: &str| text.parse::<EventNames>().unwrap_err();
        assert!(error("magento").contains("ga4, shopify, taobao, youzan"));
        assert!(error("a=dance").contains("view, add_to_cart"), "{}", error("a=dance"));
    }
}
