//! Cleaning for known logs: a mapping of columns and a rule for rows.

use super::{Column, ColumnMap, Dialect, Row};

/// A preset for a known log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// UCI Online Retail: every invoice line of a UK gift shop, 2010 to 2011.
    OnlineRetail,
    /// UCI Online Retail II: the same shop, 2009 to 2011, with other column names.
    OnlineRetailTwo,
}

/// The outcome of cleaning a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowDecision {
    /// Kept, as cleaned.
    Keep,
    /// Skipped as no signal of taste, for this reason.
    Skip(&'static str),
}

/// Codes of postage, fees, samples and corrections, not of goods.
const NOT_PRODUCTS: [&str; 11] =
    ["POST", "DOT", "M", "D", "S", "C2", "B", "PADS", "CRUK", "BANK CHARGES", "AMAZONFEE"];

impl Preset {
    /// The preset with this name.
    ///
    /// # Errors
    /// A sentence with the known names.
    pub fn named(name: &str) -> Result<Preset, String> {
        match name {
            "online-retail" => Ok(Preset::OnlineRetail),
            "online-retail-ii" => Ok(Preset::OnlineRetailTwo),
            _ => Err(format!("no preset {name:?}; there are: online-retail, online-retail-ii")),
        }
    }

    /// The log's mapping of columns.
    pub fn columns(self) -> ColumnMap {
        let [user, price, invoice] = match self {
            Preset::OnlineRetail => ["CustomerID", "UnitPrice", "InvoiceNo"],
            Preset::OnlineRetailTwo => ["Customer ID", "Price", "Invoice"],
        };
        let mut map = ColumnMap::default();
        map.set(Column::UserId, user);
        map.set(Column::ItemId, "StockCode");
        map.set(Column::Timestamp, "InvoiceDate");
        map.set(Column::Quantity, "Quantity");
        map.set(Column::Price, price);
        map.set(Column::BasketId, invoice);
        map.set(Column::Title, "Description");
        map
    }

    /// The preset of a log with this header, if it is a known one.
    pub fn of_header(header: &[String]) -> Option<&'static str> {
        let known = [
            ("online-retail", ["InvoiceNo", "StockCode", "InvoiceDate", "CustomerID"]),
            ("online-retail-ii", ["Invoice", "StockCode", "InvoiceDate", "Customer ID"]),
        ];
        let has = |name: &&str| header.iter().any(|column| column.trim() == *name);
        known.into_iter().find(|(_, names)| names.iter().all(has)).map(|(of, _)| of)
    }

    /// Whether a row that repeats another of the same file is dropped.
    pub fn drops_duplicates(self) -> bool {
        match self {
            Preset::OnlineRetail | Preset::OnlineRetailTwo => true,
        }
    }

    /// Cleans a row in place.
    pub fn clean(self, row: &mut Row, dialect: &Dialect) -> RowDecision {
        match self {
            Preset::OnlineRetail | Preset::OnlineRetailTwo => online_retail(row, dialect),
        }
    }
}

fn online_retail(row: &mut Row, dialect: &Dialect) -> RowDecision {
    let Some(code) = row.get(Column::ItemId).map(str::to_ascii_uppercase) else {
        return RowDecision::Keep;
    };
    if NOT_PRODUCTS.contains(&code.as_str()) || code.starts_with("GIFT") {
        return RowDecision::Skip("no product (postage, fee, sample, voucher)");
    }

    // "17850.0": the id passed through a spreadsheet's float.
    let customer = row.get(Column::UserId).map(|id| id.strip_suffix(".0").unwrap_or(id).to_owned());
    let Some(customer) = customer else {
        return RowDecision::Skip("no customer");
    };

    // The same code occurs as 85123A and 85123a.
    row.set(Column::ItemId, &code);
    row.set(Column::UserId, &customer);
    let number = |column| row.get(column).and_then(|text| dialect.number(text));
    let quantity = number(Column::Quantity);
    let price = number(Column::Price);

    if row.get(Column::BasketId).is_some_and(|invoice| invoice.starts_with(['C', 'c'])) {
        row.set(Column::Event, "refund");
        return RowDecision::Keep;
    }
    if quantity.is_some_and(|q| q <= 0.0) {
        return RowDecision::Skip("quantity of 0 or less (stock correction)");
    }
    if price.is_some_and(|p| p <= 0.0) {
        return RowDecision::Skip("price of 0 (gift, sample)");
    }
    RowDecision::Keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(
        invoice: &str,
        code: &str,
        quantity: &str,
        price: &str,
        customer: &str,
    ) -> (RowDecision, Row) {
        let mut row = Row::default();
        row.set(Column::BasketId, invoice);
        row.set(Column::ItemId, code);
        row.set(Column::Quantity, quantity);
        row.set(Column::Price, price);
        row.set(Column::UserId, customer);
        (Preset::OnlineRetail.clean(&mut row, &Dialect::default()), row)
    }

    #[test]
    fn the_dirt_of_online_retail() {
        let (verdict, row) = cleaned("536365", "85123a", "6", "2.55", "17850.0");
        assert_eq!(verdict, RowDecision::Keep);
        assert_eq!(
            (row.get(Column::ItemId), row.get(Column::UserId)),
            (Some("85123A"), Some("17850"))
        );
        let (verdict, row) = cleaned("C536379", "22139", "-1", "27.5", "14527.0");
        assert_eq!((verdict, row.get(Column::Event)), (RowDecision::Keep, Some("refund")));

        for (invoice, code, quantity, price, customer, why) in [
            ("1", "POST", "1", "18", "1.0", "no product"),
            ("1", "gift_0001_20", "1", "18", "1.0", "no product"),
            ("1", "22139", "56", "0", "", "no customer"),
            ("1", "22139", "-10", "1", "1.0", "quantity"),
            ("1", "22139", "1", "0.0", "1.0", "price"),
        ] {
            let (verdict, _) = cleaned(invoice, code, quantity, price, customer);
            assert!(
                matches!(verdict, RowDecision::Skip(said) if said.starts_with(why)),
                "{verdict:?}"
            );
        }
    }
}
