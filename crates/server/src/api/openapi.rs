//! `/api/openapi.json`: the OpenAPI 3.1 document of the native API, made from the table of routes.
//!
//! Every failure has one form (RFC 9457), so a route's failures follow from its shape: what it takes can be malformed,
//! what it names can be absent, what it changes can contradict.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::routes::{About, Endpoint, SchemaOf};

/// The document for these routes.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<super::problem::Document>();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let Some(about) = &endpoint.about else { continue };
        let entry = paths.entry(endpoint.path.clone()).or_insert_with(|| json!({}));
        entry[endpoint.method.as_str().to_ascii_lowercase()] =
            operation(endpoint, about, &mut schemas, problem.as_value());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bonded",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The native API of the registry. Images are pushed and pulled by the OCI Distribution API at /v2/.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "password": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "password": { "type": "http", "scheme": "basic" } },
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn operation(endpoint: &Endpoint, about: &About, schemas: &mut SchemaGenerator, problem: &Value) -> Value {
    let names = path_names(&endpoint.path);
    let mut parameters: Vec<Value> = names.iter().map(|name| path_parameter(name)).collect();
    parameters.extend(about.query.into_iter().flat_map(query_parameters));
    let mut operation = json!({
        "operationId": about.id,
        "summary": about.summary,
        "tags": [endpoint.path.split('/').nth(3).unwrap_or("api")],
        "responses": responses(endpoint, about, !parameters.is_empty(), !names.is_empty(), schemas, problem),
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = about.body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body(schemas) } } });
    }
    if about.open {
        operation["security"] = json!([{}, { "password": [] }]);
    }
    operation
}

fn path_names(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// Ids are numbers, everything else in a path is a name.
fn path_parameter(name: &str) -> Value {
    let schema = if name == "id" {
        json!({ "type": "integer", "format": "int64" })
    } else {
        json!({ "type": "string", "minLength": 1 })
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// One parameter for each member of the query's type.
fn query_parameters(query: SchemaOf) -> Vec<Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = query(&mut settings.into_generator()).to_value();
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let one = |(name, mut member): (String, Value)| {
        let description = member.as_object_mut().and_then(|object| object.remove("description"));
        json!({ "name": name, "in": "query", "description": description, "schema": member })
    };
    members.into_iter().map(one).collect()
}

fn responses(
    endpoint: &Endpoint,
    about: &About,
    takes_parameters: bool,
    names_something: bool,
    schemas: &mut SchemaGenerator,
    problem: &Value,
) -> Value {
    let done = match about.status {
        201 => "Created",
        202 => "Accepted: it is done later",
        _ => "Done",
    };
    let mut success = json!({ "description": done });
    if let Some(answer) = about.answer {
        success["content"] = json!({ "application/json": { "schema": answer(schemas) } });
    }
    if let Some(media_type) = about.text {
        success["content"] = json!({ media_type: { "schema": { "type": "string" } } });
    }
    if about.page {
        let text = "How many there are in all.";
        success["headers"]["X-Total-Count"] =
            json!({ "description": text, "schema": { "type": "integer", "minimum": 0 } });
    }
    if about.linked {
        let text = "The next page, with `rel=\"next\"`; none after the last one.";
        success["headers"]["Link"] = json!({ "description": text, "schema": { "type": "string" } });
    }
    if about.creates {
        success["headers"]["Location"] =
            json!({ "description": "Where it is.", "schema": { "type": "string" } });
    }
    let changes = !endpoint.method.is_safe();
    let failures = [
        (400, takes_parameters || about.body.is_some(), "A value is malformed."),
        (401, true, "Sign in, or the credentials are wrong."),
        (403, !about.open, "You may not do this; the detail says what is missing."),
        (404, names_something || about.body.is_some(), "It does not exist, or you may not see it."),
        (409, changes, "It contradicts what is there."),
        (413, about.body.is_some(), "The body is too large."),
        (429, true, "Too many wrong passwords; see Retry-After."),
        (500, true, "A defect; the request id in X-Request-Id names it in the log."),
        (503, true, "Cannot be done now; see Retry-After."),
        (507, changes, "No space is left."),
    ];
    let mut responses = Map::new();
    responses.insert(about.status.to_string(), success);
    for (status, _, description) in failures.into_iter().filter(|(_, applies, _)| *applies) {
        let content = json!({ "application/problem+json": { "schema": problem } });
        responses.insert(status.to_string(), json!({ "description": description, "content": content }));
    }
    Value::Object(responses)
}
