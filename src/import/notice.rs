//! Hints for logs that seem to contain fees or need options, with the option that helps.

use super::Preset;

/// Words in the names of charges that are no goods.
const FEES: [&str; 32] = [
    "postage",
    "shipping",
    "carriage",
    "freight",
    "delivery",
    "fee",
    "fees",
    "charge",
    "charges",
    "commission",
    "discount",
    "voucher",
    "surcharge",
    "deposit",
    "tip",
    "manual",
    "adjustment",
    "samples",
    "versand",
    "versandkosten",
    "porto",
    "frais",
    "livraison",
    "envío",
    "spedizione",
    "送料",
    "运费",
    "邮费",
    "差价",
    "补差价",
    "服务费",
    "礼品卡",
];
/// Maximum number of words of such a name: a "delivery van toy" is a toy.
const MAX_WORDS: usize = 2;
/// Purchases from which on an item's pattern is visible.
const ENOUGH: u32 = 20;
/// Share of all baskets beyond which an item is bought with everything.
const EVERYWHERE: f64 = 1.0 / 3.0;
/// Relative spread of prices beyond which a price is not that of goods.
const SPREAD: f64 = 1.0;
/// Baskets from which on shares of baskets are meaningful.
const TARGET_BASKETS: u64 = 100;
/// Items named in one notice.
const NAMED: usize = 10;

/// An item's occurrences in a log.
#[derive(Debug, Clone, Copy)]
pub struct Met<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its title; empty without one.
    pub title: &'a str,
    /// Number of purchases.
    pub purchases: u32,
    /// Number of views, clicks and additions to a cart.
    pub looks: u32,
    /// Whether a row gave it a price above 0.
    pub is_priced: bool,
    /// Standard deviation of its prices as a share of their mean.
    pub price_spread: f64,
}

/// Hints from a header.
pub fn of_header(header: &[String]) -> Option<String> {
    let preset = Preset::of_header(header)?;
    Some(format!(
        "the columns are those of a log that holds postage, fees, samples and rows without a \
         customer; clean them with --preset {preset}"
    ))
}

/// The hint on columns that are not read.
pub fn of_unread(columns: &[&str]) -> Option<String> {
    if columns.is_empty() {
        return None;
    }
    let more = columns.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = columns[..columns.len().min(NAMED)].join(", ");
    Some(format!("columns that are not read: {named}{more}; --map takes one in"))
}

/// Hints on items that look like fees, in a log with this number of baskets.
pub fn of_items(items: &[Met<'_>], baskets: u64) -> Vec<String> {
    let purchases: u64 = items.iter().map(|met| u64::from(met.purchases)).sum();
    let looks: u64 = items.iter().map(|met| u64::from(met.looks)).sum();
    let priced = items.iter().filter(|met| met.is_priced).count();
    let named = pick(items, |met| is_fee(met.title) || is_fee(met.id));
    let unpriced =
        pick(items, |met| met.purchases >= ENOUGH && !met.is_priced && 2 * priced > items.len());

    // Bought but never viewed, in a log that records views.
    let unseen = pick(items, |met| met.purchases >= ENOUGH && met.looks == 0 && looks > purchases);
    let unsteady = pick(items, |met| met.purchases >= ENOUGH && met.price_spread > SPREAD);
    let everywhere = pick(items, |met| {
        baskets >= TARGET_BASKETS && f64::from(met.purchases) > EVERYWHERE * baskets as f64
    });
    let kinds = [
        (named, "are named like fees or vouchers"),
        (unpriced, "never have a price, where most items do"),
        (unsteady, "have a price of their own in almost every row, as fees and corrections do"),
        (everywhere, "are in more than a third of all baskets, whatever else is bought"),
        (unseen, "are bought and never viewed, as fees are"),
    ];

    let filled = kinds.into_iter().filter(|(ids, _)| !ids.is_empty());
    let notice = |(ids, what): (Vec<&str>, &str)| {
        let more = ids.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let ids = ids[..ids.len().min(NAMED)].join(",");
        format!(
            "items {ids}{more} {what}, and would be recommended; exclude them with \
             --exclude-items {ids}"
        )
    };
    filled.map(notice).collect()
}

/// The ids of the items for which a predicate holds, most purchases first.
fn pick<'a>(items: &[Met<'a>], holds: impl Fn(&Met<'a>) -> bool) -> Vec<&'a str> {
    let mut found: Vec<&Met<'a>> = items.iter().filter(|met| holds(met)).collect();
    found.sort_by(|a, b| b.purchases.cmp(&a.purchases).then(a.id.cmp(b.id)));
    found.into_iter().map(|met| met.id).collect()
}

fn is_fee(name: &str) -> bool {
    let words = || name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words().count() <= MAX_WORDS && words().any(|word| FEES.contains(&&*word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(id: &'static str, title: &'static str, purchases: u32, looks: u32) -> Met<'static> {
        Met { id, title, purchases, looks, is_priced: true, price_spread: 0.1 }
    }

    #[test]
    fn fees_are_named_with_the_option_that_leaves_them_out() {
        let items = [
            met("85123A", "WHITE HANGING HEART", 900, 2_000),
            met("POST", "POSTAGE", 300, 0),
            met("D", "Discount", 5, 0),
            met("toy", "Delivery van toy", 50, 90),
            Met { is_priced: false, ..met("gift", "Free gift", 40, 10) },
            met("运费", "", 3, 0),
            Met { price_spread: 3.0, ..met("M", "", 60, 5) },
        ];

        let notices = of_items(&items, 10_000);
        assert_eq!(notices.len(), 4, "{notices:?}");
        assert!(notices[0].ends_with("--exclude-items POST,D,运费"), "{}", notices[0]);
        assert!(notices[1].contains("items gift never have a price"), "{}", notices[1]);
        assert!(notices[2].contains("items M have a price of their own"), "{}", notices[2]);
        assert!(notices[3].contains("items POST are bought and never viewed"), "{}", notices[3]);
        assert!(of_items(&items[..1], 10_000).is_empty());
        let everywhere = of_items(&items[..1], 2_000);
        assert!(everywhere[0].contains("85123A are in more than a third of all baskets"));
    }

    #[test]
    fn a_known_header_is_noticed() {
        let header = ["InvoiceNo", "StockCode", "Description", "InvoiceDate", "CustomerID"];
        let header = header.map(str::to_owned);
        assert!(of_header(&header).unwrap().contains("--preset online-retail"));
        assert_eq!(of_header(&header[..3]), None);
        let two = ["Invoice", "StockCode", "Quantity", "InvoiceDate", "Price", "Customer ID"];
        assert!(of_header(&two.map(str::to_owned)).unwrap().contains("online-retail-ii"));
    }
}
