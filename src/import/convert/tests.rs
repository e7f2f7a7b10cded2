//! Rows as shops export them, and what they are converted to.

use super::*;

const NOW: i64 = 1 << 60;

fn row(values: &[(Column, &str)]) -> Row {
    let mut row = Row::default();
    let defaults =
        [(Column::UserId, "u"), (Column::ItemId, "i"), (Column::Timestamp, "2020-01-01")];
    defaults.iter().chain(values).for_each(|(column, value)| row.set(*column, value));
    row
}

fn event_of(values: &[(Column, &str)]) -> (Event, Vec<String>) {
    let row = row(values);
    let dialect = Dialect::default();
    let converted = event(&row, &dialect, NOW).unwrap();
    let dropped = converted.dropped.into_iter().map(|refusal| refusal.reason).collect();
    (converted.value.event, dropped)
}

#[test]
fn what_is_not_required_is_dropped_and_the_purchase_kept() {
    for (column, text, reason) in [
        (Column::Price, "$9.99", "price is no number"),
        (Column::Price, "2,50", "price is no number"),
        (Column::Price, "NULL", "price is a word for an empty field"),
        (Column::Price, "-3", "price breaks a limit: it must be 0 to 1000000000000"),
        (Column::Price, "1e300", "price breaks a limit: it must be 0 to 1000000000000"),
        (Column::Quantity, "\\N", "quantity is a word for an empty field"),
        (Column::Quantity, "many", "quantity is no number"),
        (Column::Quantity, "0", "quantity is 0, or below it without a refund"),
        (Column::Quantity, "1e10", "quantity breaks a limit: it must be -1000000000 to 1000000000"),
        (Column::Rating, "good", "rating is no number"),
        (Column::BasketId, "NULL", "basket_id is a word for an empty field"),
        (
            Column::SessionId,
            "a\u{7}b",
            "session_id breaks a limit: it must hold no control character",
        ),
        (
            Column::EventId,
            &"x".repeat(300),
            "event_id breaks a limit: it must hold at most 256 bytes",
        ),
        (Column::Channel, "nan", "channel is a word for an empty field"),
        (Column::Brand, &"x".repeat(300), "brand breaks a limit: it must hold at most 256 bytes"),
    ] {
        let (event, dropped) = event_of(&[(column, text)]);
        let plain = Event::new(EventKind::Purchase, "u", "i", 1_577_836_800_000);
        assert_eq!((event, dropped), (plain, vec![reason.to_owned()]), "{text}");
    }
}

#[test]
fn a_negative_quantity_is_a_refund_unless_the_event_is_named() {
    let (event, dropped) = event_of(&[(Column::Quantity, "-2")]);
    assert_eq!((event.kind, event.quantity), (EventKind::Refund, 2.0));
    assert!(dropped.is_empty());
    let (event, _) = event_of(&[(Column::Quantity, "-2"), (Column::Event, "refund")]);
    assert_eq!((event.kind, event.quantity), (EventKind::Refund, 2.0));
    let (event, dropped) = event_of(&[(Column::Quantity, "-2"), (Column::Event, "purchase")]);
    assert_eq!((event.kind, event.quantity, dropped.len()), (EventKind::Purchase, 1.0, 1));
}

#[test]
fn refusals_name_the_column_and_what_helps() {
    let refused = |values: &[(Column, &str)]| {
        let row = row(values);
        let dialect = Dialect::default();
        match event(&row, &dialect, NOW).unwrap_err() {
            NoEvent::Refused(refusal) => (refusal.reason, refusal.help),
            NoEvent::Skipped(reason) => panic!("skipped: {reason}"),
        }
    };

    let (reason, help) = refused(&[(Column::Timestamp, "soon")]);
    assert_eq!(reason, "timestamp cannot be read");
    assert!(help.contains("--time-format"));
    assert!(refused(&[(Column::Timestamp, "1/2/2023")]).1.contains("day-first"));
    assert!(refused(&[(Column::Timestamp, "17")]).1.contains("unix"));
    assert_eq!(refused(&[(Column::UserId, " ")]).0, "user_id is empty");
    assert_eq!(
        refused(&[(Column::ItemId, &"x".repeat(300))]).0,
        "item_id breaks a limit: it must hold at most 256 bytes"
    );

    let (reason, help) = refused(&[(Column::Event, "dance")]);
    assert_eq!(reason, "event is of an unknown kind");
    assert!(help.contains("--event-map"));

    // Losing the sign would turn a return into a purchase.
    assert_eq!(refused(&[(Column::Quantity, "(2)")]).0, "quantity is below 0 and cannot be read");
    assert_eq!(refused(&[(Column::Event, "")]).0, "event is empty");

    // A time before 1970 in a valid spelling.
    assert_eq!(
        refused(&[(Column::Timestamp, "1960-01-01")]).0,
        "time breaks a limit: it must not be before 1970"
    );
}

#[test]
fn words_that_are_given_stand_for_empty_cells() {
    let dialect = Dialect { absent: vec!["NULL".into(), "0".into()], ..Dialect::default() };
    let row = row(&[(Column::UserId, "NULL"), (Column::Price, "0")]);
    let refused = event(&row, &dialect, NOW).unwrap_err();
    assert_eq!(refused, NoEvent::Refused(Refusal::new("user_id is empty", "")));
    let named = self::row(&[(Column::UserId, "NULL"), (Column::BasketId, "0")]);
    let kept = event(&named, &Dialect::default(), NOW).unwrap().value.event;
    assert_eq!((kept.user_id.as_str(), kept.basket_id.as_str()), ("NULL", "0"));
}

fn item_of(values: &[(Column, &str)]) -> (ItemChange, Vec<String>) {
    let converted = item(&row(values), &Dialect::default()).unwrap();
    let dropped = converted.dropped.into_iter().map(|refusal| refusal.reason).collect();
    (converted.value.1, dropped)
}

#[test]
fn items_take_what_the_row_says_and_nothing_else() {
    let (change, dropped) = item_of(&[
        (Column::Title, "Tea"),
        (Column::Category, "drinks/hot | gifts"),
        (Column::Available, "no"),
        (Column::Tags, "new|green"),
        (Column::ValidFrom, "2020-01-01"),
        (Column::Brand, ""),
    ]);

    assert!(dropped.is_empty(), "{dropped:?}");
    let before = Item { brand: "Old".into(), price: Some(3.0), ..Item::default() };
    let after = change.applied(Some(&before));
    assert_eq!((after.title.as_str(), after.available), ("Tea", false));
    assert_eq!(after.categories, ["drinks/hot", "gifts"]);
    assert_eq!(after.tags, ["new", "green"]);
    assert_eq!(after.validity.from_ms, Some(1_577_836_800_000));
    assert_eq!((after.brand.as_str(), after.price), ("", Some(3.0)));
}

#[test]
fn an_item_loses_a_bad_field_and_not_the_others() {
    let long = "t".repeat(1_300);
    let (change, dropped) = item_of(&[
        (Column::Title, &long),
        (Column::Category, &format!("good|{}", "c".repeat(300))),
        (Column::Brand, &"b".repeat(300)),
        (Column::Price, "9,99 €"),
        (Column::Available, "no"),
        (Column::ValidFrom, "2021-01-01"),
        (Column::ValidUntil, "2020-01-01"),
    ]);

    let before =
        Item { brand: "Old".into(), price: Some(3.0), available: false, ..Item::default() };
    let after = change.applied(Some(&before));
    assert_eq!((after.title.len(), after.categories), (1_024, vec!["good".to_owned()]));
    assert_eq!((after.brand.as_str(), after.price, after.available), ("Old", Some(3.0), false));
    assert_eq!(after.validity, Validity::default());
    assert_eq!(dropped.len(), 5, "{dropped:?}");
}

#[test]
fn availability_in_the_words_of_feeds() {
    for (text, available) in [
        ("in_stock", true),
        ("out of stock", false),
        ("Sold-Out", false),
        ("12", true),
        ("0", false),
        ("-1", false),
        ("TRUE", true),
        ("有货", true),
        ("缺货", false),
        ("OutOfStock", false),
        ("https://schema.org/OutOfStock", false),
        ("http://schema.org/InStock", true),
    ] {
        let (change, _) = item_of(&[(Column::Available, text)]);
        assert_eq!(change.applied(None).available, available, "{text}");
    }

    // An unreadable stock is refused; an empty cell sets nothing.
    let refused = item(&row(&[(Column::Available, "perhaps")]), &Dialect::default()).unwrap_err();
    assert_eq!(refused.reason, "available is neither true nor false");
    let (change, _) = item_of(&[(Column::Available, "")]);
    assert!(!change.says(ItemField::Available));

    // A word that stands for an empty cell elsewhere is a stock here.
    let dialect = Dialect { absent: vec!["0".into()], ..Dialect::default() };
    let change = item(&row(&[(Column::Available, "0")]), &dialect).unwrap().value.1;
    assert!(change.says(ItemField::Available) && !change.item.available);
}

#[test]
fn users_keep_their_objection() {
    let user_of = |values: &[(Column, &str)], attributes: &[(&str, &str)]| {
        let mut row = row(values);
        attributes.iter().for_each(|(name, value)| row.join_attribute(name, value));
        user(&row, &Dialect::default()).map(|user| user.value.1)
    };
    let said = user_of(&[(Column::Consent, "no")], &[("country", "SE"), ("age", "")]).unwrap();
    assert_eq!(said.consent, Some(false));
    assert_eq!(said.attributes, [("country".into(), Some("SE".into())), ("age".into(), None)]);
    assert_eq!(user_of(&[], &[]).unwrap().consent, None);
    let refused = user_of(&[(Column::Consent, "perhaps")], &[]).unwrap_err();
    assert_eq!(refused.reason, "consent is neither true nor false");
}
