//! The tokens that the service gives out: JWTs whose signature is worth nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

/// Returns a JWT that says of itself how long it is valid. `id` makes it another one than any before.
pub(in crate::sandbox) fn jwt(id: &str, issued: Timestamp, expires: Timestamp) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "typ": "JWT", "alg": "RS256" }));
    let claims = part(json!({
        "iss": "ghascale-sandbox", "jti": id, "nbf": issued.as_second(), "iat": issued.as_second(),
        "exp": expires.as_second(),
    }));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode("sandbox"))
}
