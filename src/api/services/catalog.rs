//! CatalogService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::wire::pb::catalog_service_server::CatalogService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, items, pb};
use crate::domain::quote::quoted;
use crate::domain::{Error, Item, ItemChange, ItemField, Result, Violation, limits};
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
                .and_then(|()| items::item(given))
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
            said => items::available(said)?,
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
        Ok(pb::GetItemResponse {
            item: Some(items::item_proto(request.item_id, found)),
            reputation,
        })
    }

    fn list(&self, request: pb::ListItemsRequest) -> Result<pb::ListItemsResponse> {
        let (from, size) = convert::page(request.page_size, &request.page_token)?;
        let (page, next, total) = self.engine.directory().items(from, size);
        Ok(pb::ListItemsResponse {
            items: page.into_iter().map(|(id, item)| items::item_proto(id, item)).collect(),
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

fn reputation(reputation: Reputation) -> pb::Reputation {
    let Reputation { ratings, mean_rating, reviews, mean_sentiment, quality } = reputation;
    pb::Reputation { ratings, mean_rating, reviews, mean_sentiment, quality }
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
