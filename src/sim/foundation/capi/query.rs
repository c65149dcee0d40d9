//! The parameters of lists: filters, order, pages.

use std::collections::HashSet;
use std::str::FromStr;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::clock::Moment;
use super::failure;
use super::labels::Selector;
use super::resource::{Dated, Resource};

const PER_PAGE_DEFAULT: usize = 50;
const PER_PAGE_MAX: usize = 5000;

/// What one kind of resource takes beside what all take.
pub(super) struct Offer {
    pub(super) path: &'static str,
    pub(super) includes: &'static [&'static str],
    pub(super) orders: &'static [&'static str],
}

/// The parameters of a list.
pub(super) struct Query {
    per_page: usize,
    page: usize,
    guids: Option<HashSet<String>>,
    names: Option<HashSet<String>>,
    dates: Vec<DateFilter>,
    labels: Option<Selector>,
    order: Order,
    pub(super) include: Option<String>,
    /// All but the page, as they came; for the links.
    given: Vec<(String, String)>,
}

struct DateFilter {
    of_update: bool,
    relation: Relation,
    moments: Vec<Moment>,
}

#[derive(Clone, Copy)]
enum Relation {
    OneOf,
    Above,
    AboveOrEqual,
    Below,
    BelowOrEqual,
}

#[derive(Clone, Copy, Default)]
struct Order {
    by: By,
    falling: bool,
}

#[derive(Clone, Copy, Default)]
enum By {
    #[default]
    Id,
    Created,
    Updated,
    Name,
}

/// What is wrong with a parameter, in words.
type Fault = String;

impl Query {
    pub(super) fn parse(query: Option<&str>, offer: &Offer) -> Result<Self, Box<Response>> {
        let mut parsed = Self {
            per_page: PER_PAGE_DEFAULT,
            page: 1,
            guids: None,
            names: None,
            dates: Vec::new(),
            labels: None,
            order: Order::default(),
            include: None,
            given: Vec::new(),
        };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if let Err(fault) = parsed.take(&name, &value, offer) {
                let detail = format!("The query parameter is invalid: {fault}");
                return Err(Box::new(failure(
                    StatusCode::BAD_REQUEST,
                    10005,
                    "CF-BadQueryParameter",
                    &detail,
                )));
            }
            if name != "page" {
                parsed.given.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &str, value: &str, offer: &Offer) -> Result<(), Fault> {
        let (filter, relation) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((filter, relation)) => (filter, Some(relation)),
            None => (name, None),
        };
        let list = || Some(value.split(',').map(str::to_owned).collect());
        match (filter, relation) {
            ("per_page", None) => {
                self.per_page = number(value)
                    .filter(|n| (1..=PER_PAGE_MAX).contains(n))
                    .ok_or_else(|| format!("Per page must be between 1 and {PER_PAGE_MAX}"))?;
            }
            ("page", None) => {
                self.page = number(value).filter(|&n| n >= 1).ok_or("Page must be a positive integer")?;
            }
            ("guids", None) => self.guids = list(),
            ("names", None) => self.names = list(),
            ("label_selector", None) => {
                self.labels = Some(Selector::parse(value).ok_or("Invalid label_selector value")?);
            }
            ("created_ats" | "updated_ats", _) => {
                self.dates.push(DateFilter::parse(filter, relation, value)?);
            }
            ("order_by", None) => self.order = Order::parse(value, offer)?,
            ("include", None) if value.split(',').all(|one| offer.includes.contains(&one)) => {
                self.include = Some(value.to_owned());
            }
            ("include", None) => return Err(format!("Invalid included resource: '{value}'.")),
            _ => return Err(format!("Unknown query parameter(s): '{name}'.")),
        }
        Ok(())
    }

    fn wants<T: Resource>(&self, one: &Dated<T>) -> bool {
        let resource = &one.resource;
        let among = |wanted: &Option<HashSet<String>>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(text))
        };
        let labelled = |selector: &Selector| resource.labels().is_some_and(|labels| selector.matches(labels));
        (resource.listed() || self.guids.is_some())
            && among(&self.guids, resource.guid())
            && among(&self.names, resource.name())
            && self.labels.as_ref().is_none_or(labelled)
            && self
                .dates
                .iter()
                .all(|filter| filter.wants(if filter.of_update { one.updated_at } else { one.created_at }))
    }

    /// The paging head of the answer, and the resources of the page.
    pub(super) fn page<'a, T: Resource + 'a>(
        &self,
        base_url: &str,
        path: &str,
        all: impl Iterator<Item = &'a Dated<T>>,
    ) -> (Value, Vec<&'a Dated<T>>) {
        let mut all: Vec<_> = all.filter(|one| self.wants(one)).collect();
        self.order.sort(&mut all);
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
        query.extend_pairs(&self.given).append_pair("page", &page.to_string());
        query.finish()
    }
}

impl DateFilter {
    fn parse(filter: &str, relation: Option<&str>, value: &str) -> Result<Self, Fault> {
        let relation = match relation {
            None => Relation::OneOf,
            Some("gt") => Relation::Above,
            Some("gte") => Relation::AboveOrEqual,
            Some("lt") => Relation::Below,
            Some("lte") => Relation::BelowOrEqual,
            Some(other) => return Err(format!("Invalid relational operator: '{other}'")),
        };
        let moments: Option<Vec<_>> = value.split(',').map(Moment::parse).collect();
        let moments = moments.ok_or_else(|| {
            format!("{filter} has an invalid timestamp format. Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'")
        })?;
        if !matches!(relation, Relation::OneOf) && moments.len() > 1 {
            return Err(format!("{filter} only accepts one value when using a relational operator"));
        }
        Ok(Self { of_update: filter == "updated_ats", relation, moments })
    }

    fn wants(&self, moment: Moment) -> bool {
        self.moments.iter().any(|&bound| match self.relation {
            Relation::OneOf => moment == bound,
            Relation::Above => moment > bound,
            Relation::AboveOrEqual => moment >= bound,
            Relation::Below => moment < bound,
            Relation::BelowOrEqual => moment <= bound,
        })
    }
}

impl Order {
    fn parse(value: &str, offer: &Offer) -> Result<Self, Fault> {
        let (falling, column) = match value.strip_prefix('-') {
            Some(column) => (true, column),
            None => (false, value.strip_prefix('+').unwrap_or(value)),
        };
        if !offer.orders.contains(&column) {
            return Err(format!("Order by can only be: '{}'", offer.orders.join("', '")));
        }
        let by = match column {
            "created_at" => By::Created,
            "updated_at" => By::Updated,
            _ => By::Name,
        };
        Ok(Self { by, falling })
    }

    /// Those that are equal come in the order in which they were made.
    fn sort<T: Resource>(self, all: &mut [&Dated<T>]) {
        match self.by {
            By::Id => all.sort_unstable_by_key(|one| one.id),
            By::Created => all.sort_unstable_by_key(|one| (one.created_at, one.id)),
            By::Updated => all.sort_unstable_by_key(|one| (one.updated_at, one.id)),
            By::Name => all.sort_unstable_by_key(|one| (one.resource.name(), one.id)),
        }
        if self.falling {
            all.reverse();
        }
    }
}

fn number(text: &str) -> Option<usize> {
    usize::from_str(text).ok()
}
