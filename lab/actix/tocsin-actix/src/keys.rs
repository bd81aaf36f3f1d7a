//! Whose signatures count.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::GuardError;

/// 128 bits: NIST SP 800-131A rev. 2 section 10 disallows HMAC keys below 112; 16 octets is the first round size above.
const LEAST_SECRET_BYTES: usize = 16;

/// A shared secret, its key id, and the tenant that it belongs to.
#[derive(Clone)]
pub struct Secret {
    keyed: Hmac<Sha256>,
    pub(crate) key_id: String,
    pub(crate) tenant: String,
}

impl Secret {
    /// A secret of the tenant "main".
    ///
    /// # Errors
    ///
    /// It has fewer than 16 bytes.
    pub fn new(octets: &[u8], key_id: &str) -> Result<Self, GuardError> {
        let length = octets.len();
        if length < LEAST_SECRET_BYTES {
            return Err(GuardError::new(format!(
                "the secret has {length} bytes; wanted at least {LEAST_SECRET_BYTES}"
            )));
        }
        let keyed = Hmac::new_from_slice(octets).map_err(|_| GuardError::new("the secret is no key of an HMAC"))?;
        Ok(Self { keyed, key_id: key_id.into(), tenant: "main".into() })
    }

    /// The same secret for another tenant. All secrets of a tenant share what has been applied.
    #[must_use]
    pub fn of_tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Whether one of these is the signature of the pieces.
    pub(crate) fn signed(&self, pieces: &[&[u8]], signatures: &[[u8; 32]]) -> bool {
        let mut keyed = self.keyed.clone();
        for piece in pieces {
            keyed.update(piece);
        }
        // In constant time: == would tell a caller how many leading octets are right.
        signatures.iter().any(|given| keyed.clone().verify_slice(given).is_ok())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({:?})", self.key_id)
    }
}

/// The secrets of a service, in the order in which they are tried where a scheme has no key ids.
#[derive(Clone, Debug)]
pub struct KeyRing(Vec<Secret>);

impl KeyRing {
    /// A ring of secrets.
    ///
    /// # Errors
    ///
    /// There is none, or two tenants have the same secret: nobody could tell whose a message is.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, GuardError> {
        if secrets.is_empty() {
            return Err(GuardError::new("the key ring is empty; wanted at least one secret"));
        }
        for (index, secret) in secrets.iter().enumerate() {
            let own = secret.keyed.clone().finalize().into_bytes();
            let is_shared = |other: &Secret| {
                other.tenant != secret.tenant && other.keyed.clone().verify_slice(own.as_slice()).is_ok()
            };
            if secrets[..index].iter().any(is_shared) {
                return Err(GuardError::new("two tenants have the same secret; wanted one each"));
            }
        }
        Ok(Self(secrets))
    }

    /// Those with this key id; all of them where the scheme has none.
    pub(crate) fn candidates<'a>(&'a self, key_id: Option<&'a str>) -> impl Iterator<Item = &'a Secret> {
        self.0.iter().filter(move |secret| key_id.is_none_or(|wanted| secret.key_id == wanted))
    }
}
