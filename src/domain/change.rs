//! Changes of single fields of an item or a user; the other fields keep their values.

use super::{Item, User, Violation, limits};

/// A field of an item, by its name in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemField {
    /// The title that users see.
    Title,
    /// Its categories, all of them.
    Categories,
    /// Its brand.
    Brand,
    /// Its price.
    Price,
    /// Its tags, all of them.
    Tags,
    /// Whether it is available.
    Available,
    /// Its attributes, all of them.
    Attributes,
    /// The start of its validity.
    ValidFrom,
    /// The end of its validity.
    ValidUntil,
    /// Its description.
    Description,
    /// The group of its variants.
    GroupId,
    /// Its margin.
    Margin,
    /// Its named vectors, all of them.
    Embeddings,
    /// Its offers by context, all of them.
    Offers,
}

impl ItemField {
    /// Every field.
    pub const ALL: [ItemField; 14] = [
        ItemField::Title,
        ItemField::Categories,
        ItemField::Brand,
        ItemField::Price,
        ItemField::Tags,
        ItemField::Available,
        ItemField::Attributes,
        ItemField::ValidFrom,
        ItemField::ValidUntil,
        ItemField::Description,
        ItemField::GroupId,
        ItemField::Margin,
        ItemField::Embeddings,
        ItemField::Offers,
    ];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            ItemField::Title => "title",
            ItemField::Categories => "categories",
            ItemField::Brand => "brand",
            ItemField::Price => "price",
            ItemField::Tags => "tags",
            ItemField::Available => "availability",
            ItemField::Attributes => "attributes",
            ItemField::ValidFrom => "valid_from",
            ItemField::ValidUntil => "valid_until",
            ItemField::Description => "description",
            ItemField::GroupId => "group_id",
            ItemField::Margin => "margin",
            ItemField::Embeddings => "embeddings",
            ItemField::Offers => "offers",
        }
    }
}

/// The bits of all fields.
const WHOLE: u16 = (1 << ItemField::ALL.len()) - 1;

/// A change of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemChange {
    /// The new values; fields without a bit are ignored.
    pub item: Item,
    /// One bit for each changed field.
    fields: u16,
    /// Attributes that change one by one.
    attributes: Vec<String>,
}

impl ItemChange {
    /// A change of all fields.
    pub fn whole(item: Item) -> Self {
        Self { fields: WHOLE, ..Self::of(item) }
    }

    /// A change of no field yet, with the values of `item`.
    pub fn of(item: Item) -> Self {
        Self { item, fields: 0, attributes: Vec::new() }
    }

    /// Adds a field, with its value in `item`.
    pub fn add(&mut self, field: ItemField) {
        self.fields |= 1 << (field as u16);
    }

    /// Removes a field from the change.
    pub fn remove(&mut self, field: ItemField) {
        self.fields &= !(1 << (field as u16));
    }

    /// Removes fields whose new value is empty.
    pub fn remove_empty(&mut self) {
        let item = &self.item;
        let empty = [
            (ItemField::Title, item.title.is_empty()),
            (ItemField::Categories, item.categories.is_empty()),
            (ItemField::Brand, item.brand.is_empty()),
            (ItemField::Price, item.price.is_none()),
            (ItemField::Tags, item.tags.is_empty()),
            (ItemField::ValidFrom, item.validity.from_ms.is_none()),
            (ItemField::ValidUntil, item.validity.until_ms.is_none()),
            (ItemField::Description, item.description.is_empty()),
            (ItemField::GroupId, item.group_id.is_empty()),
            (ItemField::Margin, item.margin.is_none()),
            (ItemField::Embeddings, item.embeddings.is_empty()),
            (ItemField::Offers, item.offers.is_empty()),
        ];

        empty.into_iter().filter(|(_, empty)| *empty).for_each(|(field, _)| self.remove(field));
        self.attributes.retain(|name| self.item.attributes.contains_key(name));
    }

    /// Adds one attribute, with its value in `item`, or none.
    pub fn add_attribute(&mut self, name: &str) {
        self.attributes.push(name.to_owned());
    }

    /// Whether the change has a field.
    pub fn says(&self, field: ItemField) -> bool {
        self.fields >> (field as u16) & 1 == 1
    }

    /// Whether the change has all fields.
    pub fn is_whole(&self) -> bool {
        self.fields == WHOLE
    }

    /// The item after the change. An item without an entry before is available, and all its other
    /// fields are empty.
    pub fn applied(&self, before: Option<&Item>) -> Item {
        if self.is_whole() {
            return self.item.clone();
        }

        let mut item = before.cloned().unwrap_or_default();
        for field in ItemField::ALL.into_iter().filter(|&field| self.says(field)) {
            let said = &self.item;
            match field {
                ItemField::Title => item.title.clone_from(&said.title),
                ItemField::Categories => item.categories.clone_from(&said.categories),
                ItemField::Brand => item.brand.clone_from(&said.brand),
                ItemField::Price => item.price = said.price,
                ItemField::Tags => item.tags.clone_from(&said.tags),
                ItemField::Available => item.available = said.available,
                ItemField::Attributes => item.attributes.clone_from(&said.attributes),
                ItemField::ValidFrom => item.validity.from_ms = said.validity.from_ms,
                ItemField::ValidUntil => item.validity.until_ms = said.validity.until_ms,
                ItemField::Description => item.description.clone_from(&said.description),
                ItemField::GroupId => item.group_id.clone_from(&said.group_id),
                ItemField::Margin => item.margin = said.margin,
                ItemField::Embeddings => item.embeddings.clone_from(&said.embeddings),
                ItemField::Offers => item.offers.clone_from(&said.offers),
            }
        }

        for name in &self.attributes {
            match self.item.attributes.get(name) {
                Some(value) => item.attributes.insert(name.clone(), value.clone()),
                None => item.attributes.remove(name),
            };
        }
        item
    }

    /// Checks the changed fields, and the constraints on the whole item `after` the change.
    /// Unchanged fields that were written under wider limits stay.
    ///
    /// # Errors
    /// The field and its limit.
    pub fn check(&self, after: &Item) -> Result<(), Violation> {
        self.applied(None).validate()?;
        limits::count("attributes", after.attributes.len(), 0, limits::MAX_TAGS)?;
        after.validity.validate()
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.item.bytes() + self.attributes.iter().map(|name| name.len() + 24).sum::<usize>()
    }
}

/// A change of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// Consent to the use of their events, where it changes.
    pub consent: Option<bool>,
    /// Changed attributes; none: the attribute is removed.
    pub attributes: Vec<(String, Option<String>)>,
}

impl UserChange {
    /// The user after the change.
    pub fn applied(self, before: Option<&User>) -> User {
        let mut user = before.cloned().unwrap_or_default();
        user.consent = self.consent.unwrap_or(user.consent);
        for (name, value) in self.attributes {
            match value {
                Some(value) => user.attributes.insert(name, value),
                None => user.attributes.remove(&name),
            };
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offer, Validity};

    fn lamp() -> Item {
        Item {
            title: "Lamp".into(),
            categories: vec!["home".into()],
            brand: "Lux".into(),
            price: Some(9.0),
            tags: vec!["new".into()],
            available: true,
            attributes: [("colour".into(), "red".into()), ("size".into(), "m".into())].into(),
            validity: Validity { from_ms: Some(1), until_ms: Some(9) },
            description: "A lamp of brass".into(),
            group_id: "lamps".into(),
            margin: Some(2.5),
            embeddings: [("text".into(), vec![1.0, 0.0].into())].into(),
            offers: [("SE".into(), Offer { available: false, price: None })].into(),
        }
    }

    #[test]
    fn a_change_says_its_fields_and_leaves_the_rest() {
        for field in ItemField::ALL {
            let mut change = ItemChange::of(Item { available: false, ..Item::default() });
            change.add(field);
            let changed = change.applied(Some(&lamp()));
            assert_ne!(changed, lamp(), "{}", field.name());
            assert_eq!(changed.title.is_empty(), field == ItemField::Title);
            assert_eq!(changed.price.is_none(), field == ItemField::Price);
        }

        let whole = ItemChange::whole(Item::default());
        assert_eq!(whole.applied(Some(&lamp())), Item::default());
        assert_eq!(ItemChange::of(Item::default()).applied(Some(&lamp())), lamp());

        // Fields that an older version wrote and that do not change are no reason to refuse.
        let old = Item { brand: " Lux".into(), ..lamp() };
        let mut price = ItemChange::of(Item { price: Some(1.0), ..Item::default() });
        price.add(ItemField::Price);
        assert_eq!(price.check(&price.applied(Some(&old))), Ok(()));
        price.item.price = Some(-1.0);
        assert_eq!(price.check(&price.applied(Some(&old))).unwrap_err().field, "price");
        let mut until = ItemChange::of(Item::default());
        until.item.validity.until_ms = Some(1);
        until.add(ItemField::ValidUntil);
        assert_eq!(until.check(&until.applied(Some(&old))).unwrap_err().field, "valid_until");
    }

    #[test]
    fn attributes_change_one_by_one() {
        let mut change = ItemChange::of(Item::default());
        change.item.attributes.insert("colour".into(), "blue".into());
        change.add_attribute("colour");
        change.add_attribute("size");
        let changed = change.applied(Some(&lamp()));
        assert_eq!(changed.attributes, [("colour".into(), "blue".into())].into());

        let before = User { attributes: [("a".into(), "1".into())].into(), consent: false };
        let attributes = vec![("a".into(), None), ("b".into(), Some("2".into()))];
        let after = UserChange { consent: None, attributes }.applied(Some(&before));
        assert_eq!(after, User { attributes: [("b".into(), "2".into())].into(), consent: false });
        assert!(
            UserChange { consent: Some(true), ..UserChange::default() }
                .applied(Some(&before))
                .consent
        );
    }
}
