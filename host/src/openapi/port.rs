//! A port whose router and document are made from one table, so that an operation is served if and only if it is
//! documented. The operator's port is such a port. The clients' port has a router of its own, because names of models may
//! contain slashes.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::openapi::path::HttpMethod;

use super::document::{About, document};
use super::table::{OBJECT, Operation, Scope, Section, bytes, get};
use super::{html_reply, json_reply, page};

/// A row of a port's table: an operation, and what answers it.
pub struct Route<S> {
    operation: Operation,
    answer: Answer<S>,
}

enum Answer<S> {
    Handler(Box<MethodRouter<S>>),
    /// The port's document, for programs.
    Document,
    /// The same document as a page.
    Page,
}

impl Operation {
    /// The row of the operation, with its handler.
    pub fn to<H, T, S>(self, handler: H) -> Route<S>
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let handler = on(filter(&self.method), handler);
        Route { operation: self, answer: Answer::Handler(Box::new(handler)) }
    }
}

/// The rows of the port's document at `/openapi.json`, and of its page at `/docs`.
pub fn documents<S>() -> [Route<S>; 2] {
    let document = get("document", Scope::Server, "/openapi.json", &[OBJECT], &[], "This document");
    let page = get("docs", Scope::Server, "/docs", &[bytes("text/html")], &[], "This document as a page to read");
    [Route { operation: document, answer: Answer::Document }, Route { operation: page, answer: Answer::Page }]
}

/// The table of a port.
pub struct Port<S> {
    about: About,
    sections: Vec<Section>,
    /// Addresses, each with the method and the answer of an operation.
    routes: Vec<(String, HttpMethod, Answer<S>)>,
}

impl<S: Clone + Send + Sync + 'static> Port<S> {
    pub fn new(about: About) -> Port<S> {
        Port { about, sections: Vec::new(), routes: Vec::new() }
    }

    /// Adds a section with its rows.
    pub fn section(mut self, name: &'static str, about: &'static str, rows: Vec<Route<S>>) -> Port<S> {
        let mut operations = Vec::new();
        for Route { operation, answer } in rows {
            let addresses = operation.addresses();
            self.routes.extend(addresses.map(|address| (address, operation.method.clone(), answer.clone())));
            operations.push(operation);
        }
        self.sections.push(Section { name, about, operations });
        self
    }

    /// The router of all operations. The document is made when it is first asked for.
    pub fn into_router(self) -> Router<S> {
        let Port { about, sections, routes } = self;
        let json = Arc::new(LazyLock::new(move || document(&about, &sections)));
        let source = json.clone();
        let html = Arc::new(LazyLock::new(move || page::render(&source)));
        routes.into_iter().fold(Router::new(), |router, (address, method, answer)| {
            let (json, html) = (json.clone(), html.clone());
            let handler = match answer {
                Answer::Handler(handler) => *handler,
                Answer::Document => on(filter(&method), async move || json_reply(String::clone(&json))),
                Answer::Page => on(filter(&method), async move || html_reply(String::clone(&html))),
            };
            router.route(&address, handler)
        })
    }
}

impl<S: Clone> Clone for Answer<S> {
    fn clone(&self) -> Answer<S> {
        match self {
            Answer::Handler(handler) => Answer::Handler(handler.clone()),
            Answer::Document => Answer::Document,
            Answer::Page => Answer::Page,
        }
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}
