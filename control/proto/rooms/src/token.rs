//! Tokens: JSON web tokens that a node's keys signed (RFC 7519), and static ones for simple set-ups.

use core::fmt;

use hashbrown::HashMap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use raceway_units::UnixTime;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::grants::{Grants, RoomScope};
use crate::limits;
use crate::name::{DisplayName, Identity, NameError, RoomName};

/// A key that tokens are signed with.
pub struct Key {
    name: String,
    algorithm: Algorithm,
    verifies: DecodingKey,
    signs: Option<EncodingKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why something is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret that can be guessed.
    #[error("the secret has {octets} octets, fewer than {}: write a longer random one", limits::SECRET_MIN)]
    Short {
        /// That it has.
        octets: usize,
    },
    /// Not PEM, or of something else.
    #[error("no ECDSA P-256 key in PEM form: {0}")]
    Pem(String),
    /// The name stands twice.
    #[error("two keys have the name {0:?}")]
    Twice(String),
    /// Too many.
    #[error("more than {} keys", limits::KEYS_MAX)]
    Many,
}

impl Key {
    /// HMAC with SHA-256 (`HS256`).
    ///
    /// # Errors
    /// When the secret is too short.
    pub fn hmac(name: &str, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < limits::SECRET_MIN {
            return Err(KeyError::Short { octets: secret.len() });
        }
        let (verifies, signs) = (DecodingKey::from_secret(secret), Some(EncodingKey::from_secret(secret)));
        Ok(Self { name: name.to_owned(), algorithm: Algorithm::HS256, verifies, signs })
    }

    /// ECDSA on P-256 with SHA-256 (`ES256`); only whoever has the private key can sign.
    ///
    /// # Errors
    /// When `pem` is not the public half of such a key.
    pub fn ecdsa(name: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let verifies = DecodingKey::from_ec_pem(pem).map_err(|error| KeyError::Pem(error.to_string()))?;
        Ok(Self { name: name.to_owned(), algorithm: Algorithm::ES256, verifies, signs: None })
    }
}

/// Why a token grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any.
    #[error("the token has {octets} octets, at most {} are taken", limits::TOKEN_MAX)]
    Long {
        /// That it has.
        octets: usize,
    },
    /// Neither a static token nor a JSON web token.
    #[error("the token is none that is known here")]
    Unknown,
    /// Signed by a key that is not configured.
    #[error("no key of this node is called {0:?} (\"kid\" in the token's header)")]
    UnknownKey(String),
    /// Several keys, and the token names none.
    #[error("the token does not say by which key it is signed (\"kid\" in its header)")]
    NoKeyNamed,
    /// Signed in another way than its key is for.
    #[error("the key {key:?} is for {expected}, and the token is signed with {found}")]
    Algorithm {
        /// Its name.
        key: String,
        /// What it is for.
        expected: &'static str,
        /// What the token says.
        found: String,
    },
    /// Not signed by that key.
    #[error("the signature is not of the key {0:?}")]
    Signature(String),
    /// A claim that cannot be read.
    #[error("the claims cannot be read: {0}")]
    Claims(String),
    /// A name in it is none.
    #[error("{0}")]
    Name(#[from] NameError),
    /// Over.
    #[error("the token expired {0} s ago")]
    Expired(u64),
    /// Not yet.
    #[error("the token begins in {0} s: is one of the clocks wrong?")]
    NotYet(u64),
}

/// What stands in a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    room: String,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    subscribe: bool,
    #[serde(default)]
    admin: bool,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

/// A token that is compared as it stands.
struct Static {
    token: Box<[u8]>,
    grants: Grants,
}

/// The keys and static tokens of a node.
#[derive(Default)]
pub struct Keys {
    keys: HashMap<String, Key, foldhash::fast::RandomState>,
    statics: Vec<Static>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("keys", &self.keys.values()).field("statics", &self.statics.len()).finish()
    }
}

impl Keys {
    /// Takes one more key.
    ///
    /// # Errors
    /// When its name is taken, or there are too many.
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.keys.contains_key(&key.name) {
            return Err(KeyError::Twice(key.name));
        }
        if self.keys.len() == limits::KEYS_MAX {
            return Err(KeyError::Many);
        }
        self.keys.insert(key.name.clone(), key);
        Ok(())
    }

    /// Takes one more static token.
    ///
    /// # Errors
    /// When it can be guessed, or there are too many.
    pub fn add_static(&mut self, token: &str, grants: Grants) -> Result<(), KeyError> {
        if token.len() < limits::SECRET_MIN / 2 {
            return Err(KeyError::Short { octets: token.len() });
        }
        if self.statics.len() == limits::KEYS_MAX {
            return Err(KeyError::Many);
        }
        self.statics.push(Static { token: token.as_bytes().into(), grants });
        Ok(())
    }

    /// Whether nobody can have a token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.statics.is_empty()
    }

    /// What `token` grants.
    ///
    /// # Errors
    /// Why it grants nothing. The text holds nothing of the token but the name of its key.
    pub fn verify(&self, token: &str, now: UnixTime) -> Result<Grants, TokenError> {
        if token.len() > limits::TOKEN_MAX {
            return Err(TokenError::Long { octets: token.len() });
        }
        // All of them, so that the time taken does not tell which one is alike.
        let mut found = None;
        for known in &self.statics {
            if bool::from(known.token.as_ref().ct_eq(token.as_bytes())) {
                found = Some(&known.grants);
            }
        }
        if let Some(grants) = found {
            return Ok(grants.clone());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Unknown)?;
        let claims = self.claims(token, &header)?;
        grants(claims, now)
    }

    fn claims(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let key = self.key_of(header)?;
        if header.alg != key.algorithm {
            let (expected, found) = (algorithm_name(key.algorithm), format!("{:?}", header.alg));
            return Err(TokenError::Algorithm { key: key.name.clone(), expected, found });
        }
        // Time is compared in `grants`: the library reads a clock of its own.
        let mut validation = Validation::new(key.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        match jsonwebtoken::decode::<Claims>(token, &key.verifies, &validation) {
            Ok(decoded) => Ok(decoded.claims),
            Err(error) => Err(match error.kind() {
                jsonwebtoken::errors::ErrorKind::Json(why) => TokenError::Claims(why.to_string()),
                _ => TokenError::Signature(key.name.clone()),
            }),
        }
    }

    fn key_of(&self, header: &Header) -> Result<&Key, TokenError> {
        match &header.kid {
            Some(name) => self.keys.get(name).ok_or_else(|| TokenError::UnknownKey(name.clone())),
            None if self.keys.len() == 1 => self.keys.values().next().ok_or(TokenError::Unknown),
            None if self.keys.is_empty() => Err(TokenError::Unknown),
            None => Err(TokenError::NoKeyNamed),
        }
    }

    /// A token for `grants`, signed by the key of that name.
    ///
    /// # Errors
    /// When there is no such key, or it only verifies.
    pub fn sign(&self, name: &str, grants: &Grants, expires: UnixTime) -> Result<String, TokenError> {
        let unknown = || TokenError::UnknownKey(name.to_owned());
        let key = self.keys.get(name).ok_or_else(unknown)?;
        let signs = key.signs.as_ref().ok_or_else(unknown)?;
        let header = Header { kid: Some(name.to_owned()), ..Header::new(key.algorithm) };
        let room = match &grants.room {
            RoomScope::Any => "*".to_owned(),
            RoomScope::One(room) => room.to_string(),
        };
        let claims = Claims {
            sub: grants.identity.to_string(),
            name: grants.name.clone().map(String::from),
            room,
            publish: grants.publish,
            subscribe: grants.subscribe,
            admin: grants.admin,
            exp: expires.0,
            nbf: None,
        };
        jsonwebtoken::encode(&header, &claims, signs).map_err(|error| TokenError::Claims(error.to_string()))
    }
}

fn grants(claims: Claims, now: UnixTime) -> Result<Grants, TokenError> {
    if now.0 >= claims.exp {
        return Err(TokenError::Expired(now.0 - claims.exp));
    }
    let begins = claims.nbf.unwrap_or(0);
    if begins > now.0.saturating_add(limits::CLOCK_SKEW.as_secs()) {
        return Err(TokenError::NotYet(begins - now.0));
    }
    let room = match claims.room.as_str() {
        "*" => RoomScope::Any,
        name => RoomScope::One(RoomName::new(name)?),
    };
    Ok(Grants {
        identity: Identity::new(&claims.sub)?,
        is_shared: false,
        name: claims.name.as_deref().map(DisplayName::new).transpose()?,
        room,
        publish: claims.publish,
        subscribe: claims.subscribe,
        admin: claims.admin,
        expires: Some(UnixTime(claims.exp)),
    })
}

const fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        _ => "HS256",
    }
}
