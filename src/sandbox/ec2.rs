//! EC2's Query API (version 2016-11-15): the actions that ghascale uses, and `InvalidAction` for any other.

mod prices;
mod query;
mod xml;

use std::collections::{BTreeMap, BTreeSet};

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, StatusCode, header};

pub(super) use self::query::Parameters;
use self::xml::Xml;
use super::world::{Instance, LaunchRequest, Refusal, World};
use crate::ages::age;
use crate::engine::{InstanceState, Market};

/// The access key that this EC2 knows; the secret is not looked at.
pub(super) const ACCESS_KEY: &str = "sandbox";

/// The most instances on one page, and how many there are on a page where the caller asks for no number.
const PAGE: usize = 1000;

/// EC2's bucket of launches, by account and region.
const LAUNCHES_AT_ONCE: u32 = 5;

/// Launch templates by id and name, and the image each names.
const LAUNCH_TEMPLATES: [(&str, &str, &str); 1] = [("lt-0123456789abcdef0", "runner", "ami-0123456789abcdef0")];

/// Answers one call. `fault` is what EC2 answers in place of doing it.
pub(super) fn answer(
    world: &mut World,
    headers: &HeaderMap,
    parameters: &Parameters,
    fault: Option<Refusal>,
    request_id: &str,
) -> Response {
    let action = parameters.get("Action").unwrap_or_default();
    let result = authenticate(headers).and_then(|()| match (action, fault) {
        ("RunInstances", fault) => run_instances(world, parameters, fault),
        (_, Some(refusal)) => Err(refusal),
        ("DescribeInstances", None) => describe_instances(world, parameters),
        ("TerminateInstances", None) => terminate_instances(world, parameters),
        ("CreateTags", None) => create_tags(world, parameters),
        ("DeleteTags", None) => delete_tags(world, parameters),
        ("DescribeSubnets", None) => describe_subnets(world, parameters),
        ("DescribeSpotPriceHistory", None) => prices::describe_spot_price_history(world, parameters),
        ("DescribeImages", None) => describe_images(world, parameters),
        _ => Err(Refusal::new("InvalidAction", format!("The action {action} is not valid for this web service."))),
    });
    match result {
        Ok(xml) => respond(StatusCode::OK, request_id, xml.answer(action, request_id)),
        Err(refusal) => refuse(&refusal, None, request_id),
    }
}

/// Returns EC2's answer to a call that it refuses; without a status, that which EC2 has for the code.
pub(super) fn refuse(refusal: &Refusal, status: Option<StatusCode>, request_id: &str) -> Response {
    let body = xml::error(&refusal.code, &refusal.message, request_id);
    respond(status.unwrap_or_else(|| status_of(&refusal.code)), request_id, body)
}

fn respond(status: StatusCode, request_id: &str, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/xml;charset=UTF-8".to_owned()), (REQUEST_ID, request_id.to_owned())];
    (status, headers, body).into_response()
}

const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-amzn-requestid");

/// Returns the HTTP status that EC2 sends with a code: capacity is among its server errors.
fn status_of(code: &str) -> StatusCode {
    match code {
        "DryRunOperation" => StatusCode::PRECONDITION_FAILED,
        "UnauthorizedOperation" => StatusCode::FORBIDDEN,
        "AuthFailure" => StatusCode::UNAUTHORIZED,
        "RequestLimitExceeded" | "ServiceUnavailable" | "Unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        code if code.starts_with("Insufficient") || code.starts_with("Internal") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 Credential="))
        .is_some_and(|credential| credential.starts_with(&format!("{ACCESS_KEY}/")));
    if known {
        return Ok(());
    }
    Err(Refusal::new("AuthFailure", "AWS was not able to validate the provided access credentials"))
}

fn dry_run(parameters: &Parameters) -> Result<(), Refusal> {
    if parameters.flag("DryRun") {
        return Err(Refusal::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set."));
    }
    Ok(())
}

fn run_instances(world: &mut World, parameters: &Parameters, fault: Option<Refusal>) -> Result<Xml, Refusal> {
    if is_throttled(world) {
        return Err(Refusal::new("RequestLimitExceeded", "Request limit exceeded."));
    }
    let request = launch_request(parameters)?;
    world.validate(&request)?;
    dry_run(parameters)?;
    let ids = world.launch(&request, fault)?;
    let instances: Vec<_> = ids.iter().filter_map(|id| world.instances.get(id)).collect();
    let reservation = instances.first().map(|instance| instance.reservation.clone()).unwrap_or_default();
    Ok(Xml::default()
        .text("reservationId", &reservation)
        .text("ownerId", OWNER)
        .list("instancesSet", instances.into_iter().map(|instance| instance_xml(world, instance))))
}

/// Takes a launch out of EC2's bucket; returns whether there was none.
fn is_throttled(world: &mut World) -> bool {
    let Some(every) = world.settings.launches_every else { return false };
    let full_at = world.launches_full_at.max(world.now) + every;
    let is_one_too_many = age(full_at, world.now) > every * LAUNCHES_AT_ONCE;
    if !is_one_too_many {
        world.launches_full_at = full_at;
    }
    is_one_too_many
}

const OWNER: &str = "123456789012";

fn launch_request(parameters: &Parameters) -> Result<LaunchRequest, Refusal> {
    let user_data = BASE64
        .decode(parameters.get("UserData").unwrap_or_default())
        .map_err(|_| Refusal::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."))?;
    let mut tags = BTreeMap::new();
    for specification in parameters.structures("TagSpecification") {
        if specification.get("ResourceType") == Some("instance") {
            tags.extend(tags_of(&specification)?);
        }
    }
    // The subnet and the groups stand in the first network interface where one is given.
    let interfaces = parameters.structures("NetworkInterface");
    let placed = interfaces.first().filter(|interface| interface.get("SubnetId").is_some()).unwrap_or(parameters);
    Ok(LaunchRequest {
        image: image(parameters)?,
        instance_type: parameters.need("InstanceType")?.to_owned(),
        subnet: placed.need("SubnetId")?.to_owned(),
        market: match parameters.get("InstanceMarketOptions.MarketType") {
            Some("spot") => Market::Spot,
            _ => Market::OnDemand,
        },
        security_groups: placed.list("SecurityGroupId").into_iter().map(str::to_owned).collect(),
        min: parameters.number("MinCount")?.unwrap_or(0),
        max: parameters.number("MaxCount")?.unwrap_or(0),
        tags,
        user_data,
        client_token: parameters.get("ClientToken").map(str::to_owned),
        parameters: parameters.without("ClientToken"),
    })
}

fn image(parameters: &Parameters) -> Result<String, Refusal> {
    if let Some(image) = parameters.get("ImageId") {
        return Ok(image.to_owned());
    }
    let (id, name) =
        (parameters.get("LaunchTemplate.LaunchTemplateId"), parameters.get("LaunchTemplate.LaunchTemplateName"));
    if id.is_none() && name.is_none() {
        return Err(Refusal::new("MissingParameter", "The request must contain the parameter ImageId"));
    }
    let known =
        LAUNCH_TEMPLATES.iter().find(|(known_id, known_name, _)| Some(*known_id) == id || Some(*known_name) == name);
    known.map(|(.., image)| (*image).to_owned()).ok_or_else(|| {
        let code = if id.is_some() {
            "InvalidLaunchTemplateId.NotFound"
        } else {
            "InvalidLaunchTemplateName.NotFoundException"
        };
        let asked = id.or(name).unwrap_or_default();
        Refusal::new(code, format!("The specified launch template, {asked}, does not exist."))
    })
}

/// Reads tags, refusing those that EC2 refuses.
fn tags_of(parameters: &Parameters) -> Result<BTreeMap<String, String>, Refusal> {
    let mut tags = BTreeMap::new();
    for tag in parameters.structures("Tag") {
        let (key, value) = (tag.need("Key")?, tag.get("Value").unwrap_or_default());
        if key.starts_with("aws:") {
            let message = "Tag keys starting with 'aws:' are reserved for internal use";
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if key.chars().count() > 128 || value.chars().count() > 256 {
            let message = "Tag key exceeds 128 characters or tag value exceeds 256 characters";
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > 50 {
        return Err(Refusal::new("TagLimitExceeded", "You have reached the maximum number of tags"));
    }
    Ok(tags)
}

fn describe_instances(world: &World, parameters: &Parameters) -> Result<Xml, Refusal> {
    dry_run(parameters)?;
    let ids = parameters.list("InstanceId");
    let size = parameters.number("MaxResults")?;
    if size.is_some() && !ids.is_empty() {
        let message = "The parameter MaxResults cannot be used with the parameter InstanceId";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    if size.is_some_and(|size| !(5..=1000).contains(&size)) {
        let message = format!(
            "Value ( {} ) for parameter maxResults is invalid. Expecting a value greater than 5.",
            size.unwrap_or(0)
        );
        return Err(Refusal::new("InvalidParameterValue", message));
    }
    must_exist(world, &ids)?;
    let filters = parameters.structures("Filter").iter().map(Filter::read).collect::<Result<Vec<_>, _>>()?;
    let after = match parameters.get("NextToken") {
        Some(token) => Some(read_token(token)?),
        None => None,
    };
    let mut found = world
        .instances
        .values()
        .filter(|instance| world.is_visible(instance))
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id.as_str()))
        .filter(|instance| filters.iter().all(|filter| filter.takes(instance)))
        .filter(|instance| after.as_ref().is_none_or(|after| instance.id > *after));
    let page: Vec<_> = found.by_ref().take(size.map_or(PAGE, |size| size as usize)).collect();
    let answer = Xml::default().list(
        "reservationSet",
        page.iter().map(|instance| {
            Xml::default()
                .text("reservationId", &instance.reservation)
                .text("ownerId", OWNER)
                .list("instancesSet", [instance_xml(world, instance)])
        }),
    );
    Ok(match (found.next(), page.last()) {
        (Some(_), Some(last)) => answer.text("nextToken", &BASE64.encode(&last.id)),
        _ => answer,
    })
}

fn read_token(token: &str) -> Result<String, Refusal> {
    BASE64
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|id| id.starts_with("i-"))
        .ok_or_else(|| Refusal::new("InvalidParameterValue", "Unable to parse pagination token"))
}

/// One filter: any of its values, `*` and `?` as wildcards.
struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filter {
    const NAMES: [&str; 6] =
        ["tag-key", "instance-state-name", "instance-id", "client-token", "instance-type", "subnet-id"];

    fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let name = parameters.need("Name")?.to_owned();
        if !name.starts_with("tag:") && !Self::NAMES.contains(&name.as_str()) {
            return Err(Refusal::new("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        }
        Ok(Self { name, values: parameters.list("Value").into_iter().map(str::to_owned).collect() })
    }

    fn takes(&self, instance: &Instance) -> bool {
        let matches = |text: &str| self.values.iter().any(|pattern| matches_wildcard(pattern, text));
        match self.name.as_str() {
            "tag-key" => instance.tags.keys().any(|key| matches(key)),
            "instance-state-name" => matches(state_name(instance.state)),
            "instance-id" => matches(&instance.id),
            "client-token" => matches(&instance.client_token),
            "instance-type" => matches(&instance.instance_type),
            "subnet-id" => instance.state != InstanceState::Terminated && matches(&instance.subnet),
            name => {
                let key = name.strip_prefix("tag:").unwrap_or_default();
                instance.tags.get(key).is_some_and(|value| matches(value))
            }
        }
    }
}

fn matches_wildcard(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches_wildcard(rest, &text[at..]))
        }
        Some(wanted) => text.chars().next().is_some_and(|found| {
            (wanted == '?' || wanted == found)
                && matches_wildcard(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
        }),
    }
}

/// Refuses the whole call if one of its instances is unknown, as EC2 does.
fn must_exist(world: &World, ids: &[&str]) -> Result<(), Refusal> {
    for id in ids {
        if !id.starts_with("i-") || !id[2..].chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Refusal::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
        }
    }
    let missing: BTreeSet<_> = ids
        .iter()
        .filter(|id| !world.instances.get(**id).is_some_and(|instance| world.is_visible(instance)))
        .copied()
        .collect();
    match missing.len() {
        0 => Ok(()),
        1 => Err(Refusal::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{}' does not exist", missing.first().unwrap_or(&"")),
        )),
        _ => {
            let list = missing.into_iter().collect::<Vec<_>>().join(", ");
            Err(Refusal::new("InvalidInstanceID.NotFound", format!("The instance IDs '{list}' do not exist")))
        }
    }
}

fn terminate_instances(world: &mut World, parameters: &Parameters) -> Result<Xml, Refusal> {
    let ids = parameters.list("InstanceId");
    if ids.is_empty() {
        return Err(Refusal::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    must_exist(world, &ids)?;
    dry_run(parameters)?;
    let zone_of = |world: &World, id: &str| {
        let subnet = world.instances.get(id).and_then(|instance| world.subnets.get(&instance.subnet));
        subnet.map(|subnet| subnet.zone.clone())
    };
    let protected: Vec<_> =
        ids.iter().filter(|id| world.instances.get(**id).is_some_and(|instance| instance.protected)).collect();
    if let Some(id) = protected.first() {
        // It keeps those of its zone, and no others.
        let held: BTreeSet<_> = protected.iter().map(|id| zone_of(world, id)).collect();
        for other in &ids {
            if !held.contains(&zone_of(world, other)) {
                world.terminate(other);
            }
        }
        let message = format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        );
        return Err(Refusal::new("OperationNotPermitted", message));
    }
    let changes: Vec<_> = ids
        .iter()
        .map(|id| {
            let before = world.terminate(id);
            let after = world.instances.get(*id).map_or(InstanceState::Terminated, |instance| instance.state);
            Xml::default()
                .text("instanceId", id)
                .element("currentState", &state_xml(after))
                .element("previousState", &state_xml(before))
        })
        .collect();
    Ok(Xml::default().list("instancesSet", changes))
}

fn create_tags(world: &mut World, parameters: &Parameters) -> Result<Xml, Refusal> {
    let ids = parameters.list("ResourceId");
    let tags = tags_of(parameters)?;
    must_exist(world, &ids)?;
    dry_run(parameters)?;
    for id in ids {
        if let Some(instance) = world.instances.get_mut(id) {
            instance.tags.extend(tags.clone());
        }
    }
    Ok(Xml::default().text("return", "true"))
}

fn delete_tags(world: &mut World, parameters: &Parameters) -> Result<Xml, Refusal> {
    let ids = parameters.list("ResourceId");
    must_exist(world, &ids)?;
    dry_run(parameters)?;
    let tags = parameters.structures("Tag");
    for id in ids {
        let Some(instance) = world.instances.get_mut(id) else { continue };
        for tag in &tags {
            let key = tag.need("Key")?;
            // With a value, only the tag that has it.
            if tag.get("Value").is_none_or(|value| instance.tags.get(key).is_some_and(|held| held == value)) {
                instance.tags.remove(key);
            }
        }
    }
    Ok(Xml::default().text("return", "true"))
}

fn describe_subnets(world: &World, parameters: &Parameters) -> Result<Xml, Refusal> {
    dry_run(parameters)?;
    let ids = parameters.list("SubnetId");
    if let Some(id) = ids.iter().find(|id| !world.subnets.contains_key(**id)) {
        return Err(Refusal::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")));
    }
    let mut wanted: Option<Vec<String>> = None;
    for filter in parameters.structures("Filter") {
        match filter.need("Name")? {
            "subnet-id" => wanted = Some(filter.list("Value").into_iter().map(str::to_owned).collect()),
            name => return Err(Refusal::new("InvalidParameterValue", format!("The filter '{name}' is invalid"))),
        }
    }
    let asked = world.subnets.iter().filter(|(id, _)| ids.is_empty() || ids.contains(&id.as_str()));
    let asked = asked.filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)));
    Ok(Xml::default().list(
        "subnetSet",
        asked.map(|(id, subnet)| {
            Xml::default()
                .text("subnetId", id)
                .text("state", "available")
                .text("vpcId", VPC)
                .text("availableIpAddressCount", &subnet.free_addresses.to_string())
                .text("availabilityZone", &subnet.zone)
        }),
    ))
}

const VPC: &str = "vpc-0123456789abcdef0";

fn describe_images(world: &World, parameters: &Parameters) -> Result<Xml, Refusal> {
    dry_run(parameters)?;
    let ids = parameters.list("ImageId");
    if let Some(id) = ids.iter().find(|id| !world.images.contains_key(**id)) {
        return Err(Refusal::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist")));
    }
    let asked = world.images.iter().filter(|(id, _)| ids.is_empty() || ids.contains(&id.as_str()));
    Ok(Xml::default().list(
        "imagesSet",
        asked.map(|(id, architecture)| {
            Xml::default()
                .text("imageId", id)
                .text("imageState", "available")
                .text("imageOwnerId", OWNER)
                .text("architecture", architecture)
                .text("imageType", "machine")
                .text("rootDeviceName", "/dev/xvda")
        }),
    ))
}

fn instance_xml(world: &World, instance: &Instance) -> Xml {
    let zone = world.subnets.get(&instance.subnet).map_or("", |subnet| subnet.zone.as_str());
    let mut xml = Xml::default()
        .text("instanceId", &instance.id)
        .text("imageId", &instance.image)
        .element("instanceState", &state_xml(instance.state))
        .text("instanceType", &instance.instance_type)
        .text("launchTime", &instance.launched_at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
        .element("placement", &Xml::default().text("availabilityZone", zone).text("tenancy", "default"))
        .element("monitoring", &Xml::default().text("state", "disabled"))
        .text("amiLaunchIndex", "0")
        .text("architecture", world.images.get(&instance.image).copied().unwrap_or("x86_64"))
        .text("clientToken", &instance.client_token);
    if instance.market == Market::Spot {
        let request = format!("sir-{}", instance.id.chars().rev().take(8).collect::<String>());
        xml = xml.text("instanceLifecycle", "spot").text("spotInstanceRequestId", &request);
    }
    if let Some((code, message)) = instance.state_reason {
        xml = xml
            .text("reason", message)
            .element("stateReason", &Xml::default().text("code", code).text("message", message));
    }
    // Once terminated, an instance no longer has a place (polis#2796).
    if instance.state != InstanceState::Terminated {
        xml = xml.text("subnetId", &instance.subnet).text("vpcId", VPC).list(
            "groupSet",
            instance.security_groups.iter().map(|group| Xml::default().text("groupId", group).text("groupName", group)),
        );
    }
    xml.list("tagSet", instance.tags.iter().map(|(key, value)| Xml::default().text("key", key).text("value", value)))
}

fn state_xml(state: InstanceState) -> Xml {
    let code = match state {
        InstanceState::Pending => "0",
        InstanceState::Running => "16",
        InstanceState::ShuttingDown => "32",
        InstanceState::Terminated => "48",
        InstanceState::Stopping => "64",
        InstanceState::Stopped => "80",
    };
    Xml::default().text("code", code).text("name", state_name(state))
}

/// Returns EC2's word for a state.
pub(super) fn state_name(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Running => "running",
        InstanceState::ShuttingDown => "shutting-down",
        InstanceState::Terminated => "terminated",
        InstanceState::Stopping => "stopping",
        InstanceState::Stopped => "stopped",
    }
}
