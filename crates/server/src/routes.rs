//! The one table of routes. The router, the OpenAPI document and the tests' matrix of rights are made from it.
//!
//! Why: what is served, what is described and what is tested would differ sooner or later if they were three lists.
//! Only this file calls `Router::route`, so a route that is not in the table is not served.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, any, on};
use http::Method;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

use crate::app::App;

/// Makes a type's schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What the OpenAPI document says about a route.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the document")]
pub struct About {
    /// Its name for generated clients.
    pub id: &'static str,
    /// What it does, one sentence.
    pub summary: &'static str,
    /// Whether callers without credentials are answered too.
    pub open: bool,
    /// The query's parameters.
    pub query: Option<SchemaOf>,
    /// The body.
    pub body: Option<SchemaOf>,
    /// The status of success.
    pub status: u16,
    /// The body of success.
    pub answer: Option<SchemaOf>,
    /// The media type of success where it is no JSON.
    pub text: Option<&'static str>,
    /// It answers one page of a list, with the number of all in `X-Total-Count`.
    pub page: bool,
    /// It answers with a `Link` to the next page.
    pub linked: bool,
    /// It answers 201 with `Location`.
    pub creates: bool,
}

/// A route's name and what it does. Without more it needs a signed-in caller and answers 204.
pub const fn about(id: &'static str, summary: &'static str) -> About {
    About {
        id,
        summary,
        open: false,
        query: None,
        body: None,
        status: 204,
        answer: None,
        text: None,
        page: false,
        linked: false,
        creates: false,
    }
}

impl About {
    /// Callers without credentials are answered too, with what is public.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Takes these parameters in the query.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Takes this body.
    #[must_use]
    pub fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Answers 200 with this document.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self) -> Self {
        self.status = 200;
        self.answer = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Answers 200 with a text of this media type.
    #[must_use]
    pub fn text(self, media_type: &'static str) -> Self {
        Self { status: 200, text: Some(media_type), ..self }
    }

    /// Answers 200 with one page of these.
    #[must_use]
    pub fn pages<T: JsonSchema>(self) -> Self {
        Self { page: true, ..self.answers::<Vec<T>>() }
    }

    /// Says where the next page is.
    #[must_use]
    pub fn linked(mut self) -> Self {
        self.linked = true;
        self
    }

    /// Answers 202 with this document: it is done later.
    #[must_use]
    pub fn accepts<T: JsonSchema>(self) -> Self {
        Self { status: 202, ..self.answers::<T>() }
    }

    /// Answers 201 with this document and where it is.
    #[must_use]
    pub fn creates<T: JsonSchema>(self) -> Self {
        Self { status: 201, creates: true, ..self.answers::<T>() }
    }
}

/// A method on a path.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{names}` where values stand.
    pub path: String,
    /// What the OpenAPI document says; none where another specification describes the route.
    pub about: Option<About>,
}

/// Routes, and the router that serves them.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<Arc<App>>,
    endpoints: Vec<Endpoint>,
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route.
    #[must_use]
    pub fn add<H, T>(self, method: Method, path: &str, handler: H, about: impl Into<Option<About>>) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        // Every method of the table is one that axum filters by.
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let Self { router, mut endpoints } = self;
        endpoints.push(Endpoint { method, path: path.to_owned(), about: about.into() });
        Self { router: router.route(path, on(filter, handler)), endpoints }
    }

    /// Adds routes that one handler tells apart itself: it gets every method of `paths`.
    #[must_use]
    pub fn add_all<H, T>(self, paths: &[&str], handler: H, served: &[(Method, &str)]) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let Self { mut router, mut endpoints } = self;
        for path in paths {
            router = router.route(path, any(handler.clone()));
        }
        let served = served.iter().cloned();
        endpoints.extend(served.map(|(method, path)| Endpoint {
            method,
            path: path.to_owned(),
            about: None,
        }));
        Self { router, endpoints }
    }

    /// Adds the routes of `inner` below `prefix`.
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Self) -> Self {
        let below = inner.endpoints.into_iter();
        self.endpoints.extend(
            below.map(|endpoint| Endpoint { path: format!("{prefix}{}", endpoint.path), ..endpoint }),
        );
        Self { router: self.router.nest(prefix, inner.router), ..self }
    }

    /// Adds the routes of `other`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Changes the router, not its routes: layers and fallbacks.
    #[must_use]
    pub fn layered(self, change: impl FnOnce(Router<Arc<App>>) -> Router<Arc<App>>) -> Self {
        Self { router: change(self.router), ..self }
    }

    /// The table.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The router.
    pub fn into_router(self, app: Arc<App>) -> Router {
        self.router.with_state(app)
    }
}
