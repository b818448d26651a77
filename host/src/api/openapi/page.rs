//! The document as a page to read: no script, nothing fetched from elsewhere.

use std::fmt::Write;

use serde_json::{Map, Value};

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Bulkhead</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
code, pre { font: 14px/1.5 ui-monospace, monospace; } pre { background: #f4f4f4; padding: .5rem 1rem; overflow: auto; }
h2 { margin-top: 2.5rem; } section { border-top: 1px solid #ddd; padding: .3rem 0; } h3 { margin: .5rem 0 0; }
.method { display: inline-block; min-width: 3.5rem; color: #0a5; } p { margin: .2rem 0; }
@media (prefers-color-scheme: dark) { body { background: #151515; color: #ddd; } pre { background: #222; } }
</style><h1>Bulkhead</h1>";

/// From the document as JSON, so that the page can show nothing else.
pub fn render(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut page = HEAD.to_owned();
    let about = document["info"]["description"].as_str().unwrap_or_default();
    let _ = write!(page, "<p>{about} The same for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>");
    page.push_str("<h2>Addresses</h2>");
    for (path, item) in object(&document["paths"]) {
        for (method, operation) in object(item) {
            render_operation(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2>Objects</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        let schema = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(page, "<section id=\"{name}\"><h3>{name}</h3><pre>{}</pre></section>", escape(&schema));
    }
    page
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let method = method.to_uppercase();
    let summary = escape(operation["summary"].as_str().unwrap_or_default());
    let _ = write!(page, "<section><h3><code><span class=\"method\">{method}</span> {}</code></h3>", escape(path));
    let _ = write!(page, "<p>{summary}</p>");
    render_contents(page, "takes", &operation["requestBody"]["content"]);
    for (status, response) in object(&operation["responses"]) {
        render_contents(page, status, &response["content"]);
    }
    page.push_str("</section>");
}

fn render_contents(page: &mut String, what: &str, contents: &Value) {
    for (kind, content) in object(contents) {
        let list = if content["schema"]["items"].is_object() { "list of " } else { "" };
        let schema = content["schema"]["$ref"].as_str().or(content["schema"]["items"]["$ref"].as_str());
        let name = schema.and_then(|schema| schema.rsplit('/').next()).unwrap_or_default();
        let _ = write!(page, "<p>{what}: {list}<a href=\"#{name}\">{name}</a> <code>{}</code></p>", escape(kind));
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
