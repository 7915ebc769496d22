use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::sync::LazyLock;
use threadline_gateway::bench::Table;
use threadline_gateway::routes_text;
use threadline_gateway::rule::Verb;

static TABLE: LazyLock<Table> = LazyLock::new(Table::of_the_api);

/// Verb and path template of each rule.
static ROUTES: LazyLock<Vec<(Verb, String)>> = LazyLock::new(|| {
    let verb = |name: &str| match name {
        "GET" => Verb::Get,
        "POST" => Verb::Post,
        "PUT" => Verb::Put,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        other => panic!("unknown verb {other}"),
    };
    let text = routes_text();
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (verb(words[0]), words[1].to_owned())).collect()
});

/// Binds a request. The first byte selects the route. Then come, each in a line of its own, the path variables
/// separated by spaces, the query, and a header. The rest is the body.
///
/// # Panics
///
/// If the parameters are not a JSON object.
pub fn check_rest_binder(data: &[u8]) {
    let Some((route, rest)) = data.split_first() else { return };
    let (verb, template) = &ROUTES[usize::from(*route) % ROUTES.len()];
    let mut lines = rest.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [variables, query, header, body] = [line(), line(), line(), line()];
    let mut variables = variables.split(|byte| *byte == b' ');
    let mut path = Vec::new();
    for part in template.split('/').skip(1) {
        path.push(b'/');
        path.extend_from_slice(if part.starts_with('{') { variables.next().unwrap_or(b"x") } else { part.as_bytes() });
    }
    if !query.is_empty() {
        path.push(b'?');
        path.extend_from_slice(query);
    }
    let Ok(uri) = Uri::try_from(path) else { return };
    let mut headers = HeaderMap::new();
    let mut header = header.splitn(2, |byte| *byte == b':');
    if let (Some(name), Some(value)) = (header.next(), header.next())
        && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
    {
        headers.append(name, value);
    }
    if let Some(params) = TABLE.bind(*verb, &uri, &headers, body) {
        let params: serde_json::Value = serde_json::from_str(params.get()).expect("JSON");
        assert!(params.is_object(), "{params}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let id = "0199a1b2-0000-7000-8000-000000000001";
        let message = r#"{"message":{"role":"user","content":[{"type":"input_text","text":"Add task: Buy milk"}]}}"#;
        let seeds: Vec<Vec<u8>> = (0..ROUTES.len())
            .flat_map(|route| {
                let route = u8::try_from(route).unwrap();
                ["limit=2&order=asc&after=%C3%A4&x=1", ""].map(|query| {
                    let text = format!("{id} {id} 3\n{query}\nlast-event-id:{id}:7\n{message}");
                    [&[route], text.as_bytes()].concat()
                })
            })
            .collect();
        assert!(seeds.len() > 20);
        let bound = |seed: &Vec<u8>| std::panic::catch_unwind(|| check_rest_binder(seed)).is_ok();
        assert!(seeds.iter().all(bound));
        crate::run_bounded(check_rest_binder, &seeds);
    }
}
