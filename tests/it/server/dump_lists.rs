//! Lists of crates, keywords and categories, as crates.io answers them, of what was imported.

use serde_json::json;

use super::dump::{expect, names, serve, site, value};
use crate::support::dump::Dump;
use crate::support::server::printed;

#[test]
fn lists_are_ordered_and_filtered_by_what_was_imported() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let server = serve(&site, &[]);
    let list = |query: &str| {
        names(
            &value(&server, &format!("/api/v1/crates?{query}"))["crates"],
            "name",
        )
    };
    for (query, expected) in [
        ("sort=downloads", "Toml-Edit serde serde_json"),
        ("sort=recent-downloads", "serde_json serde Toml-Edit"),
        ("sort=recent-updates", "serde serde_json Toml-Edit"),
        ("sort=new", "Toml-Edit serde_json serde"),
        ("sort=alpha", "serde serde_json Toml-Edit"),
        ("keyword=Encoding", "serde serde_json"),
        ("keyword=encoding&q=json", "serde_json"),
        ("all_keywords=encoding+serialization", "serde"),
        ("category=encoding", "serde"),
        ("category=development-tools", "Toml-Edit"),
        ("category=development-tools::test", ""),
        ("letter=T", "Toml-Edit"),
        (
            "ids[]=serde&ids[]=toml_edit&ids[]=absent",
            "Toml-Edit serde",
        ),
        ("user_id=1", "serde serde_json"),
        ("team_id=5", "serde"),
        ("user_id=1&letter=t", ""),
        ("include_yanked=no&keyword=encoding", "serde serde_json"),
        ("q=framework", "serde"),
    ] {
        assert_eq!(list(query).join(" "), expected, "{query}");
    }
    let page = value(
        &server,
        "/api/v1/crates?per_page=1&keyword=encoding&sort=alpha",
    );
    assert_eq!(
        page["meta"]["next_page"],
        "?keyword=encoding&sort=alpha&per_page=1&page=2"
    );
    for query in [
        "following=1",
        "seek=abc",
        "user_id=x",
        "letter=",
        "team_id=-1",
    ] {
        let refused = server.get(&format!("/api/v1/crates?{query}"));
        assert_eq!(refused.status, 400, "{query}: {}", refused.text());
    }
    let many = "keyword=a&".repeat(11);
    assert_eq!(server.get(&format!("/api/v1/crates?{many}")).status, 400);
}

#[test]
fn keywords_categories_and_the_summary_are_told() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let server = serve(&site, &[]);
    let keywords = value(&server, "/api/v1/keywords?sort=crates&per_page=1");
    assert_eq!(keywords["meta"], json!({ "total": 2 }));
    assert_eq!(names(&keywords["keywords"], "id"), ["encoding"]);
    expect(
        &value(&server, "/api/v1/keywords/ENCODING")["keyword"],
        json!({ "id": "encoding", "crates_cnt": 2 }),
    );
    let categories = value(&server, "/api/v1/categories");
    assert_eq!(
        names(&categories["categories"], "slug"),
        ["development-tools", "encoding"]
    );
    // Those of what is below it.
    assert_eq!(categories["categories"][0]["crates_cnt"], 1);
    let tools = &value(&server, "/api/v1/categories/development-tools")["category"];
    assert_eq!(names(&tools["subcategories"], "category"), ["Testing"]);
    let testing = &value(&server, "/api/v1/categories/development-tools%3A%3Atesting")["category"];
    assert_eq!(
        names(&testing["parent_categories"], "slug"),
        ["development-tools"]
    );
    let slugs = value(&server, "/api/v1/category_slugs");
    assert_eq!(
        slugs["category_slugs"][0],
        json!({ "id": "development-tools", "slug": "development-tools", "description": "Tools." })
    );
    for path in ["keywords/nobody", "keywords/absent", "categories/absent"] {
        assert_eq!(server.get(&format!("/api/v1/{path}")).status, 404, "{path}");
    }
    let summary = value(&server, "/api/v1/summary");
    expect(&summary, json!({ "num_crates": 3, "num_downloads": 3500 }));
    for (list, expected) in [
        ("most_downloaded", "Toml-Edit serde serde_json"),
        ("most_recently_downloaded", "serde_json serde Toml-Edit"),
        ("new_crates", "Toml-Edit serde_json serde"),
        ("just_updated", "serde serde_json Toml-Edit"),
    ] {
        assert_eq!(names(&summary[list], "name").join(" "), expected, "{list}");
    }
    assert_eq!(
        names(&summary["popular_keywords"], "id"),
        ["encoding", "serialization"]
    );
    assert_eq!(summary["popular_categories"].as_array().unwrap().len(), 2);
}

#[test]
fn dependents_are_listed_once_and_not_for_their_tests() {
    let site = site();
    let server = serve(&site, &[]);
    let told = value(&server, "/api/v1/crates/serde/reverse_dependencies");
    assert_eq!(told["meta"]["total"], 1);
    assert_eq!(names(&told["versions"], "crate"), ["serde_json"]);
    assert_eq!(names(&told["dependencies"], "kind"), ["normal"]);
}

#[test]
fn nothing_is_known_before_an_import_and_that_is_told() {
    let site = site();
    let server = serve(&site, &[]);
    let owners = server.get("/api/v1/crates/serde/owners");
    assert_eq!(owners.status, 404);
    assert!(
        owners.detail().contains("catalog.import"),
        "{}",
        owners.detail()
    );
    let refused = server.get("/api/v1/crates?user_id=1");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.detail().contains("no owners"),
        "{}",
        refused.detail()
    );
    assert_eq!(value(&server, "/api/v1/keywords")["meta"]["total"], 0);
    let stat = printed(&site.run(&["catalog", "stat"]), 0);
    assert!(
        stat.contains("crates: 3\nversions: 4\ndescribed: 0"),
        "{stat}"
    );
    assert!(stat.contains("dump: none was imported"), "{stat}");
}
