//! OIDC tokens: JSON Web Tokens (RFC 7519) that an issuer signs with one of its keys (RFC 7517). Uses jsonwebtoken for the
//! signature alone: which algorithms count, and what the claims mean, is decided here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claims::{Claims, shown};

/// The longest token, in bytes: GitLab's have some 2 KB.
pub(super) const LONGEST: usize = 16 << 10;
/// The longest id of a key, in bytes.
const LONGEST_ID: usize = 255;
/// The most keys of an issuer that are looked at.
const KEYS: usize = 100;

/// A token whose signature nobody has verified.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    token: &'t str,
    /// The one algorithm by which it may be verified.
    algorithm: Algorithm,
    /// The id of its key.
    pub(super) key: Option<String>,
    /// Who says that it is the issuer.
    pub(super) issuer: String,
}

/// What is used of a token's header. Keys that it brings along (`jwk`, `jku`, `x5c`, `x5u`) are not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11).
    crit: Option<IgnoredAny>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Why it is none that counts here.
    pub(super) fn read(token: &'t str) -> Result<Self, String> {
        let broken = |what: &str| format!("the token is no JSON Web Token: {what}");
        if token.len() > LONGEST {
            return Err(broken("it is too long"));
        }
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, _] = *parts.as_slice() else {
            return Err(broken("it has not three parts"));
        };
        let json = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = json(header).ok_or_else(|| broken("its header is not base64url"))?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| broken("its header is no JSON that names an algorithm"))?;
        if header.crit.is_some() {
            return Err("the token needs extensions (`crit`), and none are known here".to_owned());
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            other => {
                return Err(format!(
                    "the token is signed by `{}`, and only RS256, ES256 and EdDSA count",
                    shown(other)
                ));
            }
        };
        if header
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > LONGEST_ID)
        {
            return Err(broken("the id of its key is too long"));
        }
        let claims = json(claims).ok_or_else(|| broken("its claims are not base64url"))?;
        let claims: Claims = serde_json::from_slice(&claims)
            .map_err(|error| broken(&format!("its claims: {}", shown(&error.to_string()))))?;
        Ok(Self {
            token,
            algorithm,
            key: header.kid,
            issuer: claims.issuer,
        })
    }

    /// Verifies the signature, and returns what the token says.
    ///
    /// # Errors
    /// If another key, or nobody, has signed it.
    pub(super) fn verify(&self, keys: &Keys) -> Result<Claims, String> {
        let key = keys.find(self).ok_or("the issuer has no such key")?;
        let mut validation = Validation::new(self.algorithm);
        // These are checked by the rules, at the time that the server has.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(self.token, key, &validation);
        match decoded {
            Ok(decoded) => Ok(decoded.claims),
            Err(_) => Err("the token's signature is wrong".to_owned()),
        }
    }
}

/// The keys of an issuer by which tokens may be verified.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The one algorithm that goes with a key of its type: a public key of RSA is never the secret of an HMAC.
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A set of keys, each still as JSON: those of kinds that are not known are left out.
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// Reads a set of keys (JWKS).
    ///
    /// # Errors
    /// If it is none, or has no key that counts here.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(text)
            .map_err(|error| format!("the set of keys is none: {}", shown(&error.to_string())))?;
        let keys = set.keys.into_iter().take(KEYS);
        let keys: Vec<_> = keys
            .filter_map(|key| Key::of(&serde_json::from_value(key).ok()?))
            .collect();
        match keys.is_empty() {
            true => Err("the set of keys has none for RS256, ES256 or EdDSA".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// Says whether a token's key is there.
    pub(super) fn has(&self, token: &Unverified<'_>) -> bool {
        self.find(token).is_some()
    }

    /// Returns the key of a token: the one that it names, or the only one.
    fn find(&self, token: &Unverified<'_>) -> Option<&DecodingKey> {
        let found = match &token.key {
            Some(id) => self
                .0
                .iter()
                .find(|key| key.id.as_ref() == Some(id) && key.algorithm == token.algorithm),
            None => match self.0.as_slice() {
                [only] if only.algorithm == token.algorithm => Some(only),
                _ => None,
            },
        };
        found.map(|key| &key.key)
    }
}

impl Key {
    /// Takes a key that is for signatures, with the algorithm of its type.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let common = &jwk.common;
        let for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|it| *it == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|them| them.contains(&KeyOperations::Verify));
        let named = common.key_algorithm.map(|named| named.to_string());
        let is_named_so = named.is_none_or(|named| named == format!("{algorithm:?}"));
        if !for_signatures || !verifies || !is_named_so {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    const CLAIMS: &str = r#"{"iss":"https://a.example","aud":"x","exp":1}"#;

    #[test]
    fn only_algorithms_with_a_public_key_count() {
        let read = |header: &str| Unverified::read(&token(header, CLAIMS)).map(|it| it.algorithm);
        assert_eq!(read(r#"{"alg":"RS256","kid":"a"}"#), Ok(Algorithm::RS256));
        assert_eq!(read(r#"{"alg":"ES256"}"#), Ok(Algorithm::ES256));
        assert_eq!(read(r#"{"alg":"EdDSA"}"#), Ok(Algorithm::EdDSA));
        for alg in [
            "none", "None", "nOnE", "", "HS256", "HS512", "RS384", "PS256", "ES384", "rs256",
            "RS256 ",
        ] {
            let said = read(&format!("{{\"alg\":\"{alg}\"}}")).unwrap_err();
            assert!(
                said.contains("only RS256, ES256 and EdDSA count"),
                "{alg}: {said}"
            );
        }
        for header in [
            r#"{"kid":"a"}"#,
            r#"{"alg":"HS256","alg":"RS256"}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":null}"#,
            "[]",
            "",
        ] {
            assert!(read(header).is_err(), "{header}");
        }
        let said = read(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#).unwrap_err();
        assert!(said.contains("crit"), "{said}");
    }

    #[test]
    fn a_key_goes_with_the_algorithm_of_its_type_alone() {
        let rsa = |more: &str| {
            format!(
                r#"{{"keys":[{{"kty":"RSA","kid":"a","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u","e":"AQAB"{more}}}]}}"#
            )
        };
        let read = |set: &str| Keys::read(set.as_bytes()).map(|keys| keys.0[0].algorithm);
        assert_eq!(read(&rsa("")), Ok(Algorithm::RS256));
        assert_eq!(
            read(&rsa(r#","use":"sig","alg":"RS256","key_ops":["verify"]"#)),
            Ok(Algorithm::RS256)
        );
        for more in [
            r#","use":"enc""#,
            r#","alg":"PS256""#,
            r#","alg":"HS256""#,
            r#","key_ops":["encrypt"]"#,
        ] {
            assert!(read(&rsa(more)).is_err(), "{more}");
        }
        for key in [
            r#"{"kty":"oct","kid":"a","k":"c2VjcmV0"}"#,
            r#"{"kty":"EC","kid":"a","crv":"P-384","x":"AA","y":"AA"}"#,
            r#"{"kty":"strange"}"#,
        ] {
            assert!(read(&format!("{{\"keys\":[{key}]}}")).is_err(), "{key}");
        }
        assert!(read("{\"keys\":[]}").is_err() && read("{}").is_err() && read("[]").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(
            text in "\\PC*",
            header in "\\PC*",
            claims in "\\{(\"(iss|aud|exp|jti|ref)\":(\"\\PC{0,3}\"|[0-9.e+-]{1,6}|\\[\\]|null),?){0,4}\\}?",
            keys in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = Unverified::read(&text);
            let _ = Unverified::read(&token(&header, &claims));
            let _ = Unverified::read(&token("{\"alg\":\"RS256\"}", &claims));
            let _ = Keys::read(&keys);
        }
    }
}
