//! Requests that are signed as AWS and the stores that copy its interfaces want them: Signature Version 4
//! (AWS, *Signature Version 4 signing process*).
//!
//! What is signed is a text: the method, the path, the query in order, the headers `host`,
//! `x-amz-content-sha256` and `x-amz-date`, and the hash of the body. Paths of `s3` are signed as they are
//! sent; for every other service they are percent-encoded once more.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::model::rfc3339;

/// What requests are signed with.
pub(super) struct Signer {
    pub service: String,
    pub region: String,
    pub key: String,
    pub secret: String,
}

/// What of a request is signed. Headers have names in lower case and are in their order.
struct Canonical<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    /// The hash of the body.
    payload: &'a str,
}

impl Signer {
    /// Signs a request as of `seconds` since 1970; what it is sent with later is not signed.
    pub(super) fn sign(&self, request: &mut Request, seconds: u64) -> Result<(), String> {
        let url = request.url().clone();
        let host = url.host_str().ok_or("an address without a host")?;
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let payload = hex(&Sha256::digest(body));
        let time = rfc3339(seconds).replace(['-', ':'], "");
        let headers =
            [("host", &*host), ("x-amz-content-sha256", &*payload), ("x-amz-date", &*time)];
        let canonical = Canonical {
            method: request.method().as_str(),
            path: url.path(),
            query: url.query().unwrap_or_default(),
            headers: &headers,
            payload: &payload,
        };
        let authorization = self.authorization(&canonical, &time);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let all = request.headers_mut();
        all.insert(HeaderName::from_static("x-amz-content-sha256"), value(&payload)?);
        all.insert(HeaderName::from_static("x-amz-date"), value(&time)?);
        all.insert(AUTHORIZATION, value(&authorization)?);
        Ok(())
    }

    /// The header `Authorization` at a time like `20150830T123600Z`.
    fn authorization(&self, request: &Canonical<'_>, time: &str) -> String {
        let date = time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let path = match self.service.as_str() {
            "s3" => request.path.to_owned(),
            _ => encoded(request.path),
        };
        let mut query: Vec<String> = request
            .query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| if part.contains('=') { part.to_owned() } else { format!("{part}=") })
            .collect();
        query.sort();
        let headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let text =
            [request.method, &path, &query.join("&"), &headers.concat(), &names, request.payload];
        let hash = hex(&Sha256::digest(text.join("\n")));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let secret = format!("AWS4{}", self.secret);
        let key = [date, &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| keyed_hash(&key, part));
        let signature = hex(&keyed_hash(&key, &text));
        let key = &self.key;
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }
}

fn keyed_hash(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Percent-encoded, but for the slashes.
fn encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(signer: &Signer, request: &Canonical<'_>, time: &str) -> String {
        let authorization = signer.authorization(request, time);
        authorization.rsplit('=').next().expect("a signature").to_owned()
    }

    /// AWS, *Signature Version 4 test suite* (aws-sig-v4-test-suite).
    #[test]
    fn the_test_suite_of_aws_is_signed_alike() {
        let signer = Signer {
            service: "service".into(),
            region: "us-east-1".into(),
            key: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        };
        let time = "20150830T123600Z";
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", time)];
        for (method, path, query, expected) in [
            ("GET", "/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "GET",
                "/",
                "Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let request = Canonical { method, path, query, headers: &headers, payload: EMPTY };
            assert_eq!(signature(&signer, &request, time), expected, "{method} {path}?{query}");
        }
    }

    /// AWS, *Signature calculations for the authorization header* (Amazon S3).
    #[test]
    fn the_examples_of_s3_are_signed_alike() {
        let signer = Signer {
            service: "s3".into(),
            region: "us-east-1".into(),
            key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
        };
        let time = "20130524T000000Z";
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let plain = [host, ("x-amz-content-sha256", EMPTY), ("x-amz-date", time)];
        let range = [host, ("range", "bytes=0-9"), plain[1], plain[2]];
        let content = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", content),
            ("x-amz-date", time),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        for (method, path, query, headers, payload, expected) in [
            (
                "GET",
                "/test.txt",
                "",
                &range[..],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "/test%24file.text",
                "",
                &put[..],
                content,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                "lifecycle",
                &plain[..],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                "max-keys=2&prefix=J",
                &plain[..],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let request = Canonical { method, path, query, headers, payload };
            assert_eq!(signature(&signer, &request, time), expected, "{method} {path}?{query}");
        }
    }

    #[test]
    fn a_request_is_sent_with_what_was_signed() {
        let signer = Signer {
            service: "k2v".into(),
            region: "garage".into(),
            key: "GK1".into(),
            secret: "s".into(),
        };
        let url = reqwest::Url::parse("http://10.77.0.1:3904/lab/run?sort_key=k1").expect("a URL");
        let mut request = Request::new(reqwest::Method::PUT, url);
        *request.body_mut() = Some("1".into());
        signer.sign(&mut request, 1_795_219_200).expect("signed");
        let header = |name: &str| request.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("x-amz-date"), "20261121T000000Z");
        assert_eq!(header("x-amz-content-sha256"), hex(&Sha256::digest("1")));
        let signed = "AWS4-HMAC-SHA256 Credential=GK1/20261121/garage/k2v/aws4_request, \
                      SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=";
        assert!(header("authorization").starts_with(signed), "{}", header("authorization"));
    }
}
