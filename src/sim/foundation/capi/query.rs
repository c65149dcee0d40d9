//! The parameters of lists, and pages of them.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::failure;

const PER_PAGE_DEFAULT: usize = 50;
const PER_PAGE_MAX: usize = 5000;

/// The parameters of a list.
pub(super) struct Query {
    per_page: usize,
    page: usize,
    guids: Option<Vec<String>>,
    pub(super) include: Option<String>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>, includes: &[&str]) -> Result<Self, Box<Response>> {
        let mut parsed = Self { per_page: PER_PAGE_DEFAULT, page: 1, guids: None, include: None };
        let bad = |detail: String| {
            let detail = format!("The query parameter is invalid: {detail}");
            Box::new(failure(StatusCode::BAD_REQUEST, 10005, "CF-BadQueryParameter", &detail))
        };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "per_page" => {
                    parsed.per_page = value
                        .parse()
                        .ok()
                        .filter(|n| (1..=PER_PAGE_MAX).contains(n))
                        .ok_or_else(|| bad(format!("Per page must be between 1 and {PER_PAGE_MAX}")))?;
                }
                "page" => {
                    parsed.page = value
                        .parse()
                        .ok()
                        .filter(|&n| n >= 1)
                        .ok_or_else(|| bad("Page must be a positive integer".to_owned()))?;
                }
                "guids" => parsed.guids = Some(value.split(',').map(str::to_owned).collect()),
                "include" if includes.contains(&&*value) => parsed.include = Some(value.into_owned()),
                "include" => return Err(bad(format!("Invalid included resource: '{value}'."))),
                _ => return Err(bad(format!("Unknown query parameter(s): '{name}'."))),
            }
        }
        Ok(parsed)
    }

    pub(super) fn wants(&self, guid: &str) -> bool {
        self.guids.as_ref().is_none_or(|guids| guids.iter().any(|wanted| wanted == guid))
    }

    /// The paging head of the answer, and the resources of the page.
    pub(super) fn page<'a, T>(&self, base_url: &str, path: &str, all: Vec<&'a T>) -> (Value, Vec<&'a T>) {
        let pages = all.len().div_ceil(self.per_page).max(1);
        let link = |page: usize| json!({ "href": format!("{base_url}{path}?{}", self.text(page)) });
        let head = json!({
            "pagination": {
                "total_results": all.len(),
                "total_pages": pages,
                "first": link(1),
                "last": link(pages),
                "next": if self.page < pages { link(self.page + 1) } else { Value::Null },
                "previous": if self.page > 1 { link(self.page - 1) } else { Value::Null },
            },
        });
        let skip = (self.page - 1).saturating_mul(self.per_page);
        (head, all.into_iter().skip(skip).take(self.per_page).collect())
    }

    fn text(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(guids) = &self.guids {
            query.append_pair("guids", &guids.join(","));
        }
        if let Some(include) = &self.include {
            query.append_pair("include", include);
        }
        query.append_pair("page", &page.to_string());
        query.append_pair("per_page", &self.per_page.to_string());
        query.finish()
    }
}
