//! CatalogService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::wire::pb::catalog_service_server::CatalogService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, pb};
use crate::domain::quote::quoted;
use crate::domain::{
    Error, Item, ItemChange, ItemField, Offer, Result, Validity, Violation, limits,
};
use crate::engine::Engine;
use crate::live::Reputation;

/// Reads and writes the catalogue.
#[derive(Debug, Clone)]
pub struct CatalogApi {
    engine: Arc<Engine>,
}

impl CatalogApi {
    /// Serves an engine's catalogue.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn upsert(&self, request: pb::UpsertItemsRequest) -> Result<pb::UpsertItemsResponse> {
        let ids = request.items.iter().map(|item| item.item_id.as_str());
        convert::batch("items", ids, |i| format!("items[{i}].item_id"))?;
        let mask = request.update_mask.map(Mask::new).transpose()?;
        let changes = request.items.into_iter().enumerate().map(|(i, given)| {
            let known = self.engine.live().item(&given.item_id).is_some();
            let id = if known { limits::id } else { limits::new_id };
            id("item_id", &given.item_id)
                .and_then(|()| item(given))
                .map(|(id, item)| (id, Mask::change(mask.as_ref(), item)))
                .map_err(|v| Error::Invalid(v.within(&format!("items[{i}]"))))
        });

        let receipt = self.engine.writer().change_items(changes.collect::<Result<_>>()?).await?;
        Ok(pb::UpsertItemsResponse { upserted: receipt.recorded as i32, offset: receipt.offset })
    }

    async fn set_available(
        &self,
        request: pb::SetAvailabilityRequest,
    ) -> Result<pb::SetAvailabilityResponse> {
        let ids = request.item_ids.iter().map(String::as_str);
        convert::batch("item_ids", ids, |i| format!("item_ids[{i}]"))?;
        let mut each = request.item_ids.iter().enumerate();
        each.try_for_each(|(i, id)| limits::id(&format!("item_ids[{i}]"), id))?;
        let unsaid = || Violation::new("availability", "must be AVAILABLE or UNAVAILABLE");
        let available = match request.availability {
            0 => return Err(unsaid().into()),
            said => available(said)?,
        };

        let all = request.item_ids.into_iter();
        let (known, unknown): (Vec<_>, Vec<_>) =
            all.partition(|id| self.engine.directory().knows_item(id));
        let mut answer = pb::SetAvailabilityResponse {
            updated: 0,
            unknown_item_ids: unknown,
            offset: self.engine.live().offset(),
        };

        if !known.is_empty() {
            let receipt = self.engine.writer().set_availability(known, available).await?;
            answer.updated = receipt.recorded as i32;
            answer.offset = receipt.offset;
        }
        Ok(answer)
    }

    async fn delete(&self, request: pb::DeleteItemRequest) -> Result<pb::DeleteItemResponse> {
        limits::id("item_id", &request.item_id)?;
        let receipt = self.engine.writer().delete_item(&request.item_id).await?;
        Ok(pb::DeleteItemResponse { offset: receipt.offset })
    }

    fn get(&self, request: pb::GetItemRequest) -> Result<pb::GetItemResponse> {
        limits::id("item_id", &request.item_id)?;
        let (idx, found) = self.engine.directory().item(&request.item_id)?;
        let reputation = self.engine.live().reviews.read().of(idx).map(reputation);
        Ok(pb::GetItemResponse { item: Some(proto(request.item_id, found)), reputation })
    }

    fn list(&self, request: pb::ListItemsRequest) -> Result<pb::ListItemsResponse> {
        let (from, size) = convert::page(request.page_size, &request.page_token)?;
        let (page, next, total) = self.engine.directory().items(from, size);
        Ok(pb::ListItemsResponse {
            items: page.into_iter().map(|(id, item)| proto(id, item)).collect(),
            next_page_token: next.map_or_else(String::new, |next| next.to_string()),
            total_size: total as i64,
        })
    }
}

/// The fields that an update mask names.
struct Mask {
    fields: Vec<ItemField>,
    attributes: Vec<String>,
}

impl Mask {
    fn new(mask: prost_types::FieldMask) -> Result<Self, Violation> {
        limits::count("update_mask.paths", mask.paths.len(), 1, limits::MAX_PATHS)?;
        let mut fields = Vec::new();
        let mut attributes = Vec::new();
        for (i, path) in mask.paths.into_iter().enumerate() {
            if let Some(field) = ItemField::ALL.into_iter().find(|field| field.name() == path) {
                fields.push(field);
                continue;
            }

            let attribute = path.strip_prefix("attributes.").filter(|name| !name.is_empty());
            let attribute = attribute.ok_or_else(|| {
                let known = ItemField::ALL.map(ItemField::name).join(", ");
                let message =
                    format!("must be one of {known}, attributes.NAME, was {}", quoted(&path));
                Violation::new(format!("update_mask.paths[{i}]"), message)
            })?;
            attributes.push(attribute.to_owned());
        }
        Ok(Self { fields, attributes })
    }

    /// The change that a request asks for: the whole item, where there is no mask.
    fn change(mask: Option<&Self>, item: Item) -> ItemChange {
        let Some(mask) = mask else { return ItemChange::whole(item) };
        let mut change = ItemChange::of(item);
        mask.fields.iter().for_each(|field| change.add(*field));
        mask.attributes.iter().for_each(|name| change.add_attribute(name));
        change
    }
}

fn available(availability: i32) -> Result<bool, Violation> {
    match pb::Availability::try_from(availability) {
        Ok(pb::Availability::Unspecified | pb::Availability::Available) => Ok(true),
        Ok(pb::Availability::Unavailable) => Ok(false),
        Err(_) => {
            let message = format!("must be 0, 1 or 2, was {availability}");
            Err(Violation::new("availability", message))
        }
    }
}

fn item(given: pb::Item) -> Result<(String, Item), Violation> {
    let item = Item {
        title: given.title,
        categories: given.categories,
        brand: given.brand,
        price: given.price,
        tags: given.tags,
        available: available(given.availability)?,
        attributes: given.attributes.into_iter().collect(),
        validity: Validity {
            from_ms: moment("valid_from", given.valid_from)?,
            until_ms: moment("valid_until", given.valid_until)?,
        },
        description: given.description,
        group_id: given.group_id,
        margin: given.margin,
        embeddings: given.embeddings.into_iter().map(|(name, e)| (name, e.values.into())).collect(),
        offers: given.offers.into_iter().map(offer).collect::<Result<_, _>>()?,
    };

    item.validate()?;
    Ok((given.item_id, item))
}

fn offer((context, given): (String, pb::Offer)) -> Result<(String, Offer), Violation> {
    let field = format!("offers[{}]", quoted(&context));
    let available = available(given.availability).map_err(|v| v.within(&field))?;
    Ok((context, Offer { available, price: given.price }))
}

fn moment(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<i64>, Violation> {
    time.map(|time| convert::milliseconds(field, &time)).transpose()
}

fn availability(available: bool) -> pb::Availability {
    if available { pb::Availability::Available } else { pb::Availability::Unavailable }
}

fn reputation(reputation: Reputation) -> pb::Reputation {
    let Reputation { ratings, mean_rating, reviews, mean_sentiment, quality } = reputation;
    pb::Reputation { ratings, mean_rating, reviews, mean_sentiment, quality }
}

fn proto(item_id: String, item: Item) -> pb::Item {
    let offer = |offer: Offer| pb::Offer {
        availability: availability(offer.available).into(),
        price: offer.price,
    };

    pb::Item {
        item_id,
        title: item.title,
        categories: item.categories,
        brand: item.brand,
        price: item.price,
        tags: item.tags,
        availability: availability(item.available).into(),
        attributes: item.attributes.into_iter().collect(),
        valid_from: item.validity.from_ms.map(convert::timestamp),
        valid_until: item.validity.until_ms.map(convert::timestamp),
        description: item.description,
        group_id: item.group_id,
        margin: item.margin,
        embeddings: item
            .embeddings
            .into_iter()
            .map(|(name, values)| (name, pb::Embedding { values: values.to_vec() }))
            .collect(),
        offers: item.offers.into_iter().map(|(context, of)| (context, offer(of))).collect(),
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogApi {
    async fn upsert_items(
        &self,
        request: Request<pb::UpsertItemsRequest>,
    ) -> Result<Response<pb::UpsertItemsResponse>, Status> {
        self.upsert(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn set_availability(
        &self,
        request: Request<pb::SetAvailabilityRequest>,
    ) -> Result<Response<pb::SetAvailabilityResponse>, Status> {
        self.set_available(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn delete_item(
        &self,
        request: Request<pb::DeleteItemRequest>,
    ) -> Result<Response<pb::DeleteItemResponse>, Status> {
        self.delete(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn get_item(
        &self,
        request: Request<pb::GetItemRequest>,
    ) -> Result<Response<pb::GetItemResponse>, Status> {
        self.get(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn list_items(
        &self,
        request: Request<pb::ListItemsRequest>,
    ) -> Result<Response<pb::ListItemsResponse>, Status> {
        self.list(request.into_inner()).map(Response::new).map_err(from_error)
    }
}
