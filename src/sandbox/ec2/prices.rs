//! `DescribeSpotPriceHistory`: the prices of now, each beside one of an hour ago where older ones are asked for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use super::query::Parameters;
use super::xml::Xml;
use super::{Refusal, World, dry_run};

const PAGE: usize = 1000;
/// What a price is listed under.
const PRODUCT: &str = "Linux/UNIX";

pub(super) fn describe_spot_price_history(world: &World, parameters: &Parameters) -> Result<Xml, Refusal> {
    dry_run(parameters)?;
    let size = parameters.number("MaxResults")?.map_or(PAGE, |size| size as usize).clamp(1, PAGE);
    let (types, products) = (parameters.list("InstanceType"), parameters.list("ProductDescription"));
    let (mut of_types, mut zones): (Option<Vec<String>>, Option<Vec<String>>) = (None, None);
    for filter in parameters.structures("Filter") {
        let values = filter.list("Value").into_iter().map(str::to_owned).collect();
        match filter.need("Name")? {
            "availability-zone" => zones = Some(values),
            "instance-type" => of_types = Some(values),
            name => {
                let message = format!("The filter '{name}' is invalid");
                return Err(Refusal::new("InvalidParameterValue", message));
            }
        }
    }
    let start = parameters.get("StartTime").and_then(|at| at.parse::<Timestamp>().ok());
    let skip = match parameters.get("NextToken") {
        None => 0,
        Some(token) => read_token(token)?,
    };
    let (now, earlier) = (world.now(), world.now() - Duration::from_hours(1));
    let mut entries = Vec::new();
    for ((instance_type, zone), price) in &world.spot_prices {
        let is_asked = (types.is_empty() || types.contains(&instance_type.as_str()))
            && of_types.as_ref().is_none_or(|types| types.contains(instance_type))
            && (products.is_empty() || products.contains(&PRODUCT))
            && zones.as_ref().is_none_or(|zones| zones.contains(zone));
        if !is_asked {
            continue;
        }
        entries.push((instance_type, zone, price.as_str(), now));
        // EC2 tells the price that held at the start, and every change since.
        if start.is_none_or(|start| start <= earlier) {
            entries.push((instance_type, zone, "9.990000", earlier));
        }
    }
    let page = entries.iter().skip(skip).take(size).map(|(instance_type, zone, price, at)| {
        Xml::default()
            .text("instanceType", instance_type)
            .text("productDescription", PRODUCT)
            .text("spotPrice", price)
            .text("timestamp", &at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
            .text("availabilityZone", zone)
    });
    let answer = Xml::default().list("spotPriceHistorySet", page);
    Ok(if entries.len() > skip + size {
        answer.text("nextToken", &BASE64.encode((skip + size).to_string()))
    } else {
        answer.text("nextToken", "")
    })
}

fn read_token(token: &str) -> Result<usize, Refusal> {
    let read = || String::from_utf8(BASE64.decode(token).ok()?).ok()?.parse().ok();
    read().ok_or_else(|| Refusal::new("InvalidParameterValue", "Unable to parse pagination token"))
}
