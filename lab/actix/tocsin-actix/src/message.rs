//! The view of a request that is signed.

use actix_web::{HttpRequest, web::Bytes};

/// One request: octets as they were on the wire, neither decoded nor normalised. A field sent twice is here twice.
///
/// It has no `Debug`, because a live signature belongs in no log.
#[derive(Clone)]
pub struct Message {
    /// As sent: "POST".
    pub method: String,
    /// The path before the first "?", percent-encoding untouched.
    pub path: String,
    /// What comes after the first "?"; "" if there is none.
    pub query: String,
    /// Name and value of every field line.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw body.
    pub body: Bytes,
}

impl Message {
    /// A request from its parts, the target as in the request line: "/order?x=1".
    #[must_use]
    pub fn new(method: &str, target: &str, headers: Vec<(String, Vec<u8>)>, body: Bytes) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method: method.into(), path: path.into(), query: query.into(), headers, body }
    }

    /// A request as actix-web received it, with the body that was read from it.
    #[must_use]
    pub fn received(request: &HttpRequest, body: Bytes) -> Self {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
        Self::new(request.method().as_str(), target, headers.collect(), body)
    }

    /// The values of every field of that name; names are compared without case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.headers.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }
}
