//! From a request to its caller, and to the address of the token service as the client can reach it.

use http::{HeaderMap, Uri, header::AUTHORIZATION};
use registry::{Caller, Error};

use crate::app::App;
use crate::http::RequestContext;

impl App {
    /// The authenticated (or anonymous) caller of a request.
    pub async fn caller(
        &self,
        context: Option<&RequestContext>,
        headers: &HeaderMap,
    ) -> Result<Caller, Error> {
        let address = context.map(|context| context.client.to_string());
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let header = values.next().map(http::HeaderValue::as_bytes);
        if values.next().is_some() {
            return Err(Error::InvalidCredentials);
        }
        let from = address.as_deref().unwrap_or_default();
        let mut principal = self.registry.authenticator().authenticate(header, from).await?;
        principal.address = context.map(|context| context.client);
        let request_id = context.map(|context| context.id.as_str().to_owned());
        Ok(Caller { principal, address, request_id })
    }

    /// The URL of the token service: the configured external URL, else the scheme and host of the request itself.
    pub fn realm(&self, context: Option<&RequestContext>, uri: &Uri, headers: &HeaderMap) -> String {
        let configured = self.config.server.external_url.as_ref().map(ToString::to_string);
        let seen = || {
            let connection = &context?.connection;
            self.proxies.origin(connection, uri, headers).base_url()
        };
        let base =
            configured.or_else(seen).unwrap_or_else(|| format!("http://{}", self.config.server.listen));
        format!("{base}/service/token")
    }
}
