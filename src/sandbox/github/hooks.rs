//! The log of what the organization's webhook delivered: of each job that it was queued, taken and done, and whatever
//! else was put into it.

use serde_json::{Value, json};

use super::answer::{Answer, Request};
use super::documents::time;
use crate::sandbox::world::{Delivery, World};

/// Lists deliveries, the newest first. Pages are not numbered: each names the delivery that the next begins behind.
pub(super) fn deliveries(world: &World, request: &Request, hook: &str) -> Answer {
    if world.settings.delivery_hook.map(|id| id.to_string()).as_deref() != Some(hook) {
        return Answer::not_found();
    }
    let size = request.parameter("per_page").and_then(|text| text.parse().ok()).unwrap_or(30_usize).clamp(1, 100);
    let mut all = world.delivery_log();
    if let Some(cursor) = request.parameter("cursor") {
        let last = cursor.strip_prefix("v1_").and_then(|id| id.parse::<u64>().ok());
        let behind = all.iter().position(|one| Some(one.id) == last).map_or(all.len(), |nth| nth + 1);
        all.drain(..behind);
    }
    let has_next = all.len() > size;
    all.truncate(size);
    let link = all.last().filter(|_| has_next).map(|last| {
        let path = format!("{}/api/v3{}", request.base, request.path);
        format!("<{path}?per_page={size}&cursor=v1_{}>; rel=\"next\"", last.id)
    });
    Answer { link, ..Answer::ok(all.iter().map(document).collect()) }
}

fn document(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "guid": format!("00000000-0000-4000-8000-{:012x}", delivery.id),
        "delivered_at": time(delivery.at), "redelivery": false, "duration": 0.03, "status": "OK", "status_code": 200,
        "event": delivery.event, "action": delivery.action, "installation_id": null,
        "repository_id": delivery.repository_id, "throttled_at": null,
    })
}
