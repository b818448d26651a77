//! The OpenAPI document as an HTML page for people. It has no script and fetches nothing, so that it works offline and
//! within a strict content security policy.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The beginning of every page, with the styles.
pub const HEAD: &str = include_str!("page.html");

/// Renders the page from the document's JSON, so that the two cannot differ.
pub fn render(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut page = HEAD.to_owned();
    let title = text(&document["info"]["title"]);
    let (about, version) = (text(&document["info"]["description"]), text(&document["info"]["version"]));
    let _ = write!(page, "<title>{title}</title><h1>{title} <small>{version}</small></h1><p>{about}</p>");
    page.push_str(
        "<p>For programs: <a href=\"/openapi.json\">openapi.json</a>. Every error reply is an \
         <a href=\"#Error\">Error</a> with a code that does not change. A key is sent as <code>authorization: Bearer \
         KEY</code>.</p>",
    );
    for section in list(&document["tags"]) {
        let name = text(&section["name"]);
        let _ = write!(page, "<h2>{name}</h2><p>{}.</p>", text(&section["description"]));
        for (path, method, operation) in operations(&document) {
            if text(&operation["tags"][0]) == name {
                render_operation(&mut page, path, method, operation);
            }
        }
    }
    page.push_str("<h2>Objects</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        render_schema(&mut page, name, schema);
    }
    page
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = object(&document["paths"]);
    paths.flat_map(|(path, item)| object(item).map(move |(method, operation)| (path, method, operation)))
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let (id, shown) = (text(&operation["operationId"]), path.replace('{', "<i>{").replace('}', "}</i>"));
    let _ = write!(page, "<details id=\"{id}\"><summary><b class=\"{method}\">{}</b> ", method.to_uppercase());
    let _ = write!(page, "<code>{shown}</code> <span>{}</span></summary><dl>", text(&operation["summary"]));
    for parameter in list(&operation["parameters"]) {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let (kind, about) = (type_of(&parameter["schema"]), text(&parameter["description"]));
        let _ = write!(page, "<dt>{place}</dt><dd><code>{name}</code>: {kind}. {about}</dd>");
    }
    render_contents(page, "takes", &operation["requestBody"]["content"]);
    let mut refused = Vec::new();
    for (status, response) in object(&operation["responses"]) {
        match response["$ref"].as_str() {
            None => render_contents(page, status, &response["content"]),
            Some(_) => refused.push(status.as_str()),
        }
    }
    if !refused.is_empty() {
        let _ = write!(page, "<dt>refused</dt><dd>{}</dd>", refused.join(", "));
    }
    let key = match list(&operation["security"]).collect::<Vec<_>>()[..] {
        [] => "not needed",
        [_] => "needed",
        _ => "needed, unless the host allows anonymous callers",
    };
    let _ = write!(page, "<dt>key</dt><dd>{key}</dd></dl></details>");
}

fn render_contents(page: &mut String, what: &str, contents: &Value) {
    for (kind, content) in object(contents) {
        let schema = content.get("schema").map(|schema| format!("{} as ", type_of(schema))).unwrap_or_default();
        let _ = write!(page, "<dt>{what}</dt><dd>{schema}<code>{}</code></dd>", escape(kind));
    }
}

fn render_schema(page: &mut String, name: &str, schema: &Value) {
    let _ = write!(page, "<section id=\"{name}\"><h3>{name}</h3><p>{}</p>", text(&schema["description"]));
    let parts = list(&schema["allOf"]).chain([schema]);
    let fields: Vec<_> = parts.clone().flat_map(|part| object(&part["properties"])).collect();
    let required: Vec<&Value> = parts.flat_map(|part| list(&part["required"])).collect();
    if fields.is_empty() {
        let _ = write!(page, "<p>{}</p>", type_of(schema));
    } else {
        page.push_str("<table>");
        for (field, schema) in fields {
            let optional = if required.contains(&&Value::from(field.as_str())) { "" } else { " (optional)" };
            let (kind, about) = (type_of(schema), text(&schema["description"]));
            let _ = write!(page, "<tr><td><code>{field}</code>{optional}<td>{kind}<td>{about}");
        }
        page.push_str("</table>");
    }
    for part in list(&schema["allOf"]).filter(|part| part["$ref"].is_string()) {
        let _ = write!(page, "<p>and the fields of {}</p>", type_of(part));
    }
    page.push_str("</section>");
}

/// A schema in words, with a link to each named schema.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    let choice = ["oneOf", "anyOf"].iter().flat_map(|key| list(&schema[key])).map(type_of);
    let choice: Vec<String> = choice.chain(list(&schema["enum"]).map(code)).collect();
    if !choice.is_empty() {
        return choice.join(" or ");
    }
    let kinds = list(&schema["type"]).chain(schema["type"].is_string().then_some(&schema["type"]));
    let kinds: Vec<String> = kinds.map(|kind| type_in_words(kind.as_str().unwrap_or_default(), schema)).collect();
    if kinds.is_empty() { "anything".into() } else { kinds.join(" or ") }
}

fn type_in_words(kind: &str, schema: &Value) -> String {
    match kind {
        "array" => format!("list of {}", type_of(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", type_of(&schema["additionalProperties"]))
        }
        "object" if schema["properties"].is_object() => {
            let field = |(name, schema): (&String, &Value)| format!("<code>\"{name}\"</code>: {}", type_of(schema));
            format!("{{{}}}", object(&schema["properties"]).map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_owned(),
    }
}

fn code(value: &Value) -> String {
    format!("<code>{}</code>", escape(&value.to_string()))
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    let escaped = escape(value.as_str().unwrap_or_default());
    let parts = escaped.split('`').enumerate();
    // Text between two backticks is code.
    parts.map(|(number, part)| if number % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
