//! Scale sets and runner groups.

use axum::http::Method;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Request;
use super::answer::Answer;
use super::documents;
use crate::sandbox::world::{ScaleSetRefused, ScaleSetWish, Scope, World, take_one};

/// A scale set as clients write one: Go writes every field, and zero means "not said".
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScaleSetBody {
    name: Option<String>,
    #[serde(rename = "runnerGroupId")]
    runner_group_id: Option<u64>,
    labels: Option<Vec<LabelBody>>,
    #[serde(rename = "RunnerSetting", alias = "runnerSetting")]
    runner_setting: Option<SettingBody>,
}

#[derive(Debug, Deserialize)]
struct LabelBody {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SettingBody {
    #[serde(rename = "disableUpdate")]
    disable_update: Option<bool>,
}

impl ScaleSetBody {
    fn wish(self) -> ScaleSetWish {
        let labels = self.labels.unwrap_or_default().into_iter().filter_map(|label| label.name);
        let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
        ScaleSetWish {
            name: self.name.filter(|name| !name.is_empty()),
            group_id: self.runner_group_id.filter(|id| *id > 0),
            labels: (!labels.is_empty()).then_some(labels),
            disable_update: self.runner_setting.and_then(|setting| setting.disable_update),
        }
    }
}

/// Returns a set of the scope by the id in a path.
pub(super) fn find(world: &mut World, scope: &Scope, id: &str) -> Result<u64, Answer> {
    let set = id.parse().ok().and_then(|number| world.scale_set_of(number));
    let found = set.filter(|set| set.scope == *scope).map(|set| set.id);
    let Some(found) = found else { return Err(Answer::no_scale_set(id)) };
    if take_one(&mut world.settings.scale_sets.sets_not_found) {
        return Err(Answer::no_scale_set(id));
    }
    Ok(found)
}

/// Lists the scope's sets, or makes one.
pub(super) fn of_scope(world: &mut World, request: &Request, scope: &Scope) -> Answer {
    if request.method == Method::POST {
        let body: ScaleSetBody = match serde_json::from_slice(request.body) {
            Ok(body) => body,
            Err(error) => return malformed(&error),
        };
        return match world.create_scale_set(scope, body.wish()) {
            Ok(id) => show(world, request, id),
            Err(refused) => refuse(world, &refused, ""),
        };
    }
    if request.method != Method::GET {
        return Answer::no_route();
    }
    let group = match request.parameter("runnerGroupId").map(str::parse::<u64>) {
        Some(Err(_)) => return Answer::exception(StatusCode::BAD_REQUEST, "VssPropertyValidationException", GROUP),
        Some(Ok(group)) => Some(group),
        None => None,
    };
    let name = request.parameter("name").filter(|name| !name.is_empty());
    let service = request.service_url(world);
    let sets = world.scale_sets(scope).filter(|set| {
        group.is_none_or(|group| set.group_id == group) && name.is_none_or(|name| set.name.eq_ignore_ascii_case(name))
    });
    Answer::list(sets.map(|set| documents::scale_set(world, &service, set, None)))
}

const GROUP: &str = "The value of runnerGroupId is not valid.";

/// Shows, changes or deletes a set.
pub(super) fn one(world: &mut World, request: &Request, id: u64) -> Answer {
    match *request.method {
        Method::GET => show(world, request, id),
        Method::PATCH => {
            let body: ScaleSetBody = match serde_json::from_slice(request.body) {
                Ok(body) => body,
                Err(error) => return malformed(&error),
            };
            match world.update_scale_set(id, body.wish()) {
                Ok(()) => show(world, request, id),
                Err(refused) => refuse(world, &refused, &id.to_string()),
            }
        }
        Method::DELETE => match world.delete_scale_set(id) {
            Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
            Err(refused) => refuse(world, &refused, &id.to_string()),
        },
        _ => Answer::no_route(),
    }
}

fn show(world: &World, request: &Request, id: u64) -> Answer {
    let service = request.service_url(world);
    match world.scale_set_of(id) {
        Some(set) => Answer::ok(documents::scale_set(world, &service, set, Some(world.statistics(id)))),
        None => Answer::no_scale_set(&id.to_string()),
    }
}

/// Lists what is offered to a set and acquired by nobody.
pub(super) fn acquirable(world: &World, request: &Request, id: u64) -> Answer {
    let service = request.service_url(world);
    let offers: Vec<Value> = world.offers_to(id).iter().map(|offer| documents::entry(offer, &service, id)).collect();
    if offers.is_empty() { Answer::empty(StatusCode::NO_CONTENT) } else { Answer::list(offers) }
}

/// Lists the runner groups, or those of a name.
pub(super) fn groups(world: &World, request: &Request, scope: &Scope) -> Answer {
    let name = request.parameter("groupName").filter(|name| !name.is_empty());
    let groups = world.groups_at(scope).filter(|group| name.is_none_or(|name| group.name.eq_ignore_ascii_case(name)));
    let runners = |id| world.runners.values().filter(|runner| runner.scope == *scope && runner.group_id == id).count();
    Answer::list(groups.map(|group| documents::runner_group(group, runners(group.id))))
}

pub(super) fn malformed(error: &serde_json::Error) -> Answer {
    let message = format!("The request body is not what was expected: {error}");
    Answer::exception(StatusCode::BAD_REQUEST, "VssPropertyValidationException", &message)
}

fn refuse(world: &World, refused: &ScaleSetRefused, id: &str) -> Answer {
    match refused {
        ScaleSetRefused::Absent => Answer::no_scale_set(id),
        ScaleSetRefused::Nameless => {
            Answer::exception(StatusCode::BAD_REQUEST, "ArgumentException", "The name must not be empty.")
        }
        ScaleSetRefused::NoGroup(group) => Answer::exception(
            StatusCode::NOT_FOUND,
            "RunnerGroupNotFoundException",
            &format!("No runner group found with identifier {group}."),
        ),
        ScaleSetRefused::NameTaken { name, group } => Answer::exception(
            StatusCode::BAD_REQUEST,
            "RunnerScaleSetExistsException",
            &format!("Runner scale set {name} already exists in runner group {group}."),
        ),
        ScaleSetRefused::Running => super::agents::still_running(world, "A runner of the scale set"),
    }
}
