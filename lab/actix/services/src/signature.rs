//! Lower- or upper-case hex HMAC-SHA256, as home-made webhooks have it: time, method and path are not signed.

use actix_web::HttpRequest;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What the header X-Signature holds: nothing without one, None where it is no hex.
#[must_use]
pub fn signature_of(request: &HttpRequest) -> Option<Vec<u8>> {
    let digits = request.headers().get("X-Signature").map_or(&b""[..], |value| value.as_bytes());
    // from_str_radix would take "+f" too.
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if is_hex { digits.chunks(2).map(octet).collect() } else { None }
}

/// Whether a signature is that of the octets, found out in constant time.
#[must_use]
pub fn is_signed(secret: &[u8], octets: &[u8], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(octets);
    mac.verify_slice(signature).is_ok()
}
