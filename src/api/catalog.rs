//! CatalogService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::pb::catalog_service_server::CatalogService;
use super::status::from_error;
use super::{convert, pb};
use crate::domain::{Error, Item, Result, Validity, Violation, limits};
use crate::engine::Engine;

/// Holds what the store knows of its items.
#[derive(Debug, Clone)]
pub struct CatalogApi {
    engine: Arc<Engine>,
}

impl CatalogApi {
    /// Reads and writes an engine's catalogue.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn upsert(&self, request: pb::UpsertItemsRequest) -> Result<pb::UpsertItemsResponse> {
        let ids = request.items.iter().map(|item| item.item_id.as_str());
        convert::batch("items", ids, |i| format!("items[{i}].item_id"))?;
        let items = request.items.into_iter().enumerate().map(|(i, given)| {
            let known = self.engine.item(&given.item_id).is_ok();
            let id = if known { limits::id } else { limits::new_id };
            id("item_id", &given.item_id)
                .and_then(|()| item(given))
                .map_err(|v| Error::Invalid(v.within(&format!("items[{i}]"))))
        });
        let receipt = self.engine.upsert_items(items.collect::<Result<_>>()?).await?;
        Ok(pb::UpsertItemsResponse { upserted: receipt.recorded as i32, offset: receipt.offset })
    }

    fn get(&self, request: pb::GetItemRequest) -> Result<pb::GetItemResponse> {
        limits::id("item_id", &request.item_id)?;
        let (_, found) = self.engine.item(&request.item_id)?;
        Ok(pb::GetItemResponse { item: Some(proto(request.item_id, found)) })
    }

    fn list(&self, request: pb::ListItemsRequest) -> Result<pb::ListItemsResponse> {
        let (from, size) = convert::page(request.page_size, &request.page_token)?;
        let (page, next, total) = self.engine.items(from, size);
        Ok(pb::ListItemsResponse {
            items: page.into_iter().map(|(id, item)| proto(id, item)).collect(),
            next_page_token: next.map_or_else(String::new, |next| next.to_string()),
            total_size: total as i64,
        })
    }
}

fn item(given: pb::Item) -> Result<(String, Item), Violation> {
    let available = match pb::Availability::try_from(given.availability) {
        Ok(pb::Availability::Unspecified | pb::Availability::Available) => true,
        Ok(pb::Availability::Unavailable) => false,
        Err(_) => {
            let message = format!("must be 0, 1 or 2, was {}", given.availability);
            return Err(Violation::new("availability", message));
        }
    };
    let item = Item {
        title: given.title,
        categories: given.categories,
        brand: given.brand,
        price: given.price,
        tags: given.tags,
        available,
        attributes: given.attributes.into_iter().collect(),
        validity: Validity {
            from_ms: moment("valid_from", given.valid_from)?,
            until_ms: moment("valid_until", given.valid_until)?,
        },
    };
    item.validate()?;
    Ok((given.item_id, item))
}

fn moment(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<i64>, Violation> {
    time.map(|time| convert::milliseconds(field, &time)).transpose()
}

fn proto(item_id: String, item: Item) -> pb::Item {
    let availability = match item.available {
        true => pb::Availability::Available,
        false => pb::Availability::Unavailable,
    };
    pb::Item {
        item_id,
        title: item.title,
        categories: item.categories,
        brand: item.brand,
        price: item.price,
        tags: item.tags,
        availability: availability.into(),
        attributes: item.attributes.into_iter().collect(),
        valid_from: item.validity.from_ms.map(convert::timestamp),
        valid_until: item.validity.until_ms.map(convert::timestamp),
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
