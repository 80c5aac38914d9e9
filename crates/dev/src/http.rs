//! The client by which everything here asks: plain HTTP on this machine. It believes no certificate.

/// A fresh client. `reqwest`'s own `new` panics: it wants to choose among stacks for TLS, and there is none in it.
///
/// # Panics
///
/// Where the system gives no resolver of names.
pub fn client() -> reqwest::Client {
    let built = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::believing_nobody())
        .build();
    built.expect("the system has a resolver of names")
}

/// Asks for one thing.
///
/// # Errors
///
/// When nobody answers.
pub async fn get(url: impl AsRef<str>) -> reqwest::Result<reqwest::Response> {
    client().get(url.as_ref()).send().await
}
