//! GraphiQL and the portal, from our own files (`api/playground/build.mjs` and `examples/portal/build.mjs`
//! make them): nothing is fetched from anywhere else, and the content security policy would not let it.

use std::{collections::HashMap, path::Path, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Path as Tail, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Deserialize;

use crate::content_coding::Coding;

/// Scripts, styles and workers from this origin alone. Styles may stand in the page: Monaco writes them.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The portal speaks to this process alone. Styles may stand in the page: its components write them.
const PORTAL_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; manifest-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The page that verifies a file asks the nodes that its visitor names. It has no log-in that it could give away.
const VERIFIER: &str = "verify.html";
const VERIFIER_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Why there is no playground, or no portal.
#[derive(Debug, thiserror::Error)]
#[error(
    "the pages in {directory} cannot be read ({what}); run `node api/playground/build.mjs`, or for the portal \
     `node examples/portal/build.mjs`"
)]
pub(crate) struct NotBuilt {
    directory: String,
    what: &'static str,
}

#[derive(Deserialize)]
struct Manifest {
    files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    path: String,
    #[serde(rename = "type")]
    media_type: String,
    sha256: String,
    immutable: bool,
    #[serde(default)]
    encodings: Encodings,
}

#[derive(Default, Deserialize)]
struct Encodings {
    br: Option<serde_json::Value>,
    gz: Option<serde_json::Value>,
}

struct Asset {
    media_type: HeaderValue,
    etag: HeaderValue,
    immutable: bool,
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

/// The built files, in memory: only what the manifest lists can be asked for.
#[derive(Clone)]
pub(crate) struct Playground(Arc<HashMap<String, Asset>>);

impl Playground {
    /// Reads the files that a `build.mjs` made.
    ///
    /// # Errors
    /// [`NotBuilt`] where one is missing.
    pub(crate) fn load(directory: &Path) -> Result<Self, NotBuilt> {
        let fail = |what| NotBuilt {
            directory: directory.display().to_string(),
            what,
        };
        let manifest =
            std::fs::read(directory.join("manifest.json")).map_err(|_| fail("no manifest.json"))?;
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|_| fail("manifest.json is of another version"))?;
        let read = |path: &str| {
            std::fs::read(directory.join(path))
                .map(Bytes::from)
                .map_err(|_| fail("a file is missing"))
        };
        let mut assets = HashMap::new();
        for file in manifest.files {
            let compressed = |known: &Option<serde_json::Value>, ending: &str| match known {
                Some(_) => read(&format!("{}.{ending}", file.path)).map(Some),
                None => Ok(None),
            };
            let asset = Asset {
                media_type: HeaderValue::from_str(&file.media_type)
                    .map_err(|_| fail("a media type is wrong"))?,
                etag: HeaderValue::from_str(&format!("\"{}\"", file.sha256))
                    .map_err(|_| fail("a digest is wrong"))?,
                immutable: file.immutable,
                brotli: compressed(&file.encodings.br, "br")?,
                gzip: compressed(&file.encodings.gz, "gz")?,
                plain: read(&file.path)?,
            };
            assets.insert(file.path, asset);
        }
        Ok(Self(Arc::new(assets)))
    }

    fn serve(&self, path: &str, policy: &'static str, asked: &HeaderMap) -> Response {
        let Some(asset) = self.0.get(path) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let built = [(Coding::Brotli, &asset.brotli), (Coding::Gzip, &asset.gzip)];
        let offered: Vec<Coding> = built
            .iter()
            .filter(|(_, file)| file.is_some())
            .map(|(coding, _)| *coding)
            .collect();
        let coding = Coding::wanted(asked, &offered);
        let file = built
            .iter()
            .find(|(built, _)| Some(*built) == coding)
            .and_then(|(_, file)| file.as_ref());
        let body = file.unwrap_or(&asset.plain);
        let caching = if asset.immutable {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let is_known = asked.get(header::IF_NONE_MATCH) == Some(&asset.etag);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            body.clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, asset.media_type.clone());
        headers.insert(header::ETAG, asset.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(policy),
        );
        if let (false, Some(coding)) = (is_known, coding) {
            let coding = HeaderValue::from_static(coding.as_str());
            headers.insert(header::CONTENT_ENCODING, coding);
        }
        response
    }
}

/// The page and its files.
pub(crate) fn router(playground: Playground) -> Router {
    Router::new()
        .route(
            "/playground",
            get(|State(p): State<Playground>, h: HeaderMap| async move {
                p.serve("index.html", POLICY, &h)
            }),
        )
        .route(
            "/playground/assets/{*file}",
            get(
                |State(p): State<Playground>, Tail(file): Tail<String>, h: HeaderMap| async move {
                    p.serve(&format!("assets/{file}"), POLICY, &h)
                },
            ),
        )
        .with_state(playground)
}

/// The portal and its files. Their addresses are relative, so that any folder of any server can hold them: the page
/// has its own below a `/`.
pub(crate) fn portal_router(portal: Playground) -> Router {
    Router::new()
        .route("/portal", get(|| async { Redirect::temporary("/portal/") }))
        .route(
            "/portal/",
            get(|State(p): State<Playground>, h: HeaderMap| async move {
                p.serve("index.html", PORTAL_POLICY, &h)
            }),
        )
        .route(
            "/portal/{*file}",
            get(
                |State(p): State<Playground>, Tail(file): Tail<String>, h: HeaderMap| async move {
                    p.serve(&file, portal_policy(&file), &h)
                },
            ),
        )
        .with_state(portal)
}

/// What a file of the portal may do.
fn portal_policy(file: &str) -> &'static str {
    if file == VERIFIER {
        VERIFIER_POLICY
    } else {
        PORTAL_POLICY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> Asset {
        Asset {
            media_type: HeaderValue::from_static("text/html; charset=utf-8"),
            etag: HeaderValue::from_static("\"1\""),
            immutable: false,
            plain: Bytes::copy_from_slice(name.as_bytes()),
            brotli: None,
            gzip: None,
        }
    }

    /// Pages of the portal, each of which says its name.
    fn built(names: &[&str]) -> Playground {
        let mut pages = HashMap::new();
        for name in names {
            pages.insert((*name).to_owned(), page(name));
        }
        Playground(Arc::new(pages))
    }

    #[test]
    fn only_what_was_built_is_served() {
        let portal = built(&["index.html", VERIFIER]);
        let status = |path: &str| {
            portal
                .serve(path, portal_policy(path), &HeaderMap::new())
                .status()
        };

        assert_eq!(status("index.html"), StatusCode::OK);
        for path in [
            "",
            "manifest.json",
            "../index.html",
            "./index.html",
            "/etc/passwd",
            "assets/../index.html",
            "index.html/",
            "INDEX.HTML",
        ] {
            assert_eq!(status(path), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_file_is_sent_as_it_is_accepted_and_was_built() {
        let mut both = page("plain");
        both.brotli = Some(Bytes::from_static(b"by brotli"));
        both.gzip = Some(Bytes::from_static(b"by gzip"));
        let pages = HashMap::from([("a".to_owned(), both), ("b".to_owned(), page("plain"))]);
        let pages = Playground(Arc::new(pages));
        for (path, accepted, coding) in [
            ("a", "gzip, deflate, br, zstd", Some("br")),
            ("a", "gzip;q=0.9, br;q=0.1", Some("gzip")),
            ("a", "gzip, br;q=0", Some("gzip")),
            ("a", "br;q=0, gzip;q=0", None),
            ("a", "zstd", None),
            ("b", "gzip, br", None),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            let answer = pages.serve(path, POLICY, &asked);
            let given = answer.headers().get(header::CONTENT_ENCODING);
            let given = given.and_then(|coding| coding.to_str().ok());
            assert_eq!(given, coding, "{path} {accepted}");
            let vary = answer.headers().get(header::VARY);
            assert_eq!(vary, Some(&HeaderValue::from_static("Accept-Encoding")));
        }
    }

    #[test]
    fn the_page_that_asks_other_peoples_nodes_is_the_only_one_that_may() {
        let portal = built(&["index.html", "sw.js", VERIFIER]);
        for (path, reaches) in [
            ("index.html", "connect-src 'self';"),
            ("sw.js", "connect-src 'self';"),
            (VERIFIER, "connect-src http: https:;"),
        ] {
            let answer = portal.serve(path, portal_policy(path), &HeaderMap::new());
            let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY);
            let policy = policy
                .and_then(|policy| policy.to_str().ok())
                .unwrap_or_default();
            for part in [
                reaches,
                "default-src 'none';",
                "script-src 'self';",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
        }
    }
}
