#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn links() -> Links {
    Links {
        base: "/crates/foo/1.0.0/src".to_owned(),
        folder: "docs".to_owned(),
        files: ["LICENSE", "docs/a b.md", "src/lib.rs"]
            .map(str::to_owned)
            .into(),
    }
}

fn rendered(text: &str) -> String {
    render(text, &links(), 100_000).html
}

/// Says what HTML has that no page may show; `None` where there is nothing. The library's parser reads it as a browser does.
fn harm(html: &str) -> Option<String> {
    const ELEMENTS: [&str; 12] = [
        "<script", "<style", "<iframe", "<form", "<input", "<img", "<svg", "<math", "<object",
        "<embed", "<base", "<meta",
    ];
    let lower = html.to_ascii_lowercase();
    let element = ELEMENTS.iter().find(|start| lower.contains(**start));
    if let Some(element) = element {
        return Some((*element).to_owned());
    }
    // Values are quoted, and `"` is escaped in them: what stands between quotes is no attribute.
    for tag in lower.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        for (place, part) in tag.split('"').enumerate() {
            let name = part.trim().trim_end_matches('=');
            let is_name = place % 2 == 0;
            if is_name && (name.contains(" on") || name.starts_with("on") || name.contains("style"))
            {
                return Some(part.to_owned());
            }
            if !is_name && part.trim_start().starts_with("javascript:") {
                return Some(part.to_owned());
            }
        }
        if let Some((_, id)) = tag.split_once(" id=\"")
            && !id.starts_with(gate::PREFIX)
        {
            return Some(id.to_owned());
        }
    }
    None
}

#[test]
fn a_readme_looks_as_its_author_meant_it() {
    for (text, html) in [
        (
            "# A `b` c!\n# A b c",
            "<h3 id=\"readme-a-b-c\">A <code>b</code> c!</h3>\n<h3 id=\"readme-a-b-c-1\">A b c</h3>\n",
        ),
        ("##### deep", "<h6 id=\"readme-deep\">deep</h6>\n"),
        (
            "<h1 align=\"center\">Foo</h1>",
            "<h3 align=\"center\">Foo</h3>",
        ),
        ("a\r\nb", "<p>a\nb</p>\n"),
        ("~~no~~", "<p><del>no</del></p>\n"),
        ("- [x] done", "<ul>\n<li>☑ done</li>\n</ul>\n"),
        (
            "| a |\n|--:|\n| b |",
            "<table tabindex=\"0\"><thead><tr><th align=\"right\">a</th></tr></thead><tbody>\n<tr><td align=\"right\">b</td></tr>\n</tbody></table>\n",
        ),
        (
            "<details><summary>More</summary>\n\n*this*\n\n</details>",
            "<details><summary>More</summary>\n<p><em>this</em></p>\n</details>",
        ),
        (
            "> [!NOTE]\n> this",
            "<blockquote class=\"markdown-alert-note\">\n<p>this</p>\n</blockquote>\n",
        ),
        (
            "```rust\nlet a: &str;\n```",
            "<pre tabindex=\"0\"><code><span class=\"kw\">let</span> a: &amp;str;\n</code></pre>\n",
        ),
        (
            "> ```toml\n> a = \"<b>\" # c\n> ```",
            "<blockquote>\n<pre tabindex=\"0\"><code>a = <span class=\"str\">\"&lt;b&gt;\"</span> <span class=\"com\"># c</span>\n</code></pre>\n</blockquote>\n",
        ),
        // As on crates.io: what does not say that it is Rust may be anything.
        (
            "```\nlet a;\n```\n\n    let b;",
            "<pre tabindex=\"0\"><code>let a;\n</code></pre>\n<pre tabindex=\"0\"><code>let b;</code></pre>\n",
        ),
    ] {
        assert_eq!(rendered(text), html, "{text}");
    }
}

#[test]
fn links_lead_to_web_sites_and_to_files_that_are_here() {
    const REL: &str = "rel=\"nofollow noopener noreferrer\"";
    for (text, html) in [
        (
            "[a](https://a.example/?b#c)",
            format!("<a href=\"https://a.example/?b#c\" {REL}>a</a>"),
        ),
        ("[a](#b)", format!("<a href=\"#readme-b\" {REL}>a</a>")),
        (
            "[a](../src/lib.rs#L10)",
            format!("<a href=\"/crates/foo/1.0.0/src/src/lib.rs\" {REL}>a</a>"),
        ),
        (
            "[a](/LICENSE)",
            format!("<a href=\"/crates/foo/1.0.0/src/LICENSE\" {REL}>a</a>"),
        ),
        (
            "[a](<./a b.md>)",
            format!("<a href=\"/crates/foo/1.0.0/src/docs/a%20b.md\" {REL}>a</a>"),
        ),
        (
            "![a](https://a.example/b.png)",
            format!("<a href=\"https://a.example/b.png\" {REL}>a</a>"),
        ),
        (
            "[![a](https://a.example/b.svg)](https://b.example)",
            format!("<a href=\"https://b.example\" {REL}>a</a>"),
        ),
        (
            "[![](https://a.example/b.svg)](https://b.example)",
            format!("<a href=\"https://b.example\" {REL}>image</a>"),
        ),
        (
            "<a href=\"https://b.example\"><img src=\"c.png\" alt=\"a\"></a>",
            format!("<a href=\"https://b.example\" {REL}>a </a>"),
        ),
        (
            "<img src=\"https://b.example/c\">",
            format!("<a href=\"https://b.example/c\" {REL}>image</a> "),
        ),
    ] {
        let made = rendered(text);
        assert!(made.contains(&html), "{text}: {made}");
    }
    for address in [
        "../../etc/passwd",
        "absent.md",
        "//evil.example/",
        "\\\\evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "%2e%2e/%2e%2e/x",
        "/search?q=a",
    ] {
        let made = rendered(&format!("[text](<{address}>)"));
        assert!(
            made.contains("text") && !made.contains("href"),
            "{address}: {made}"
        );
    }
}

#[test]
fn nothing_that_acts_is_left() {
    for text in [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/a></SCRIPT>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<img src=x onerror=alert(1)>",
        "<img src=\"x\" alt=\"\\\"><script>alert(1)</script>\">",
        "<svg onload=alert(1)><a xlink:href=\"javascript:alert(1)\">x</a></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<style>@import 'x';</style><p style=\"position:fixed\">x</p>",
        "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
        "<form action=/x><input name=a><button formaction=javascript:alert(1)>x</button></form>",
        "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
        "<a href=\" javascript:alert(1)\" onclick=\"x()\">x</a>",
        "[x](javascript&colon;alert(1))",
        "[x](<java\nscript:alert(1)>)",
        "<div id=content><a id=q name=q>x</a></div>",
        "<base href=//evil.example/><meta http-equiv=refresh content=0>",
        "<textarea><img src=x onerror=alert(1)></textarea>",
        "<xmp><img src=x onerror=alert(1)></xmp><plaintext><script>",
        "<template><script>alert(1)</script></template>",
        "`<script>`\n\n    <script>\n\n<!-- <script> -->",
        "[a]: <x onerror=1>\n[a]",
    ] {
        let made = rendered(text);
        assert_eq!(harm(&made), None, "{text}: {made}");
    }
}

#[test]
fn no_tag_swallows_what_stands_behind_it() {
    for name in [
        "title",
        "textarea",
        "style",
        "xmp",
        "iframe",
        "noembed",
        "noframes",
        "script",
        "plaintext",
    ] {
        let made = rendered(&format!("a <{name} x=y> *b*\n\n<b>c</b>"));
        let shown = format!("<p>a &lt;{name} x=\"y\"&gt; <em>b</em></p>\n<p><b>c</b></p>\n");
        assert_eq!(made, shown);
        let block = rendered(&format!("<{}>\n\nb\n</{name}>\n\n*c*", name.to_uppercase()));
        assert!(
            block.contains(&format!("&lt;{name}&gt;")) && block.ends_with("<p><em>c</em></p>\n"),
            "{block}"
        );
    }
    for name in ["template", "select", "svg", "math"] {
        assert_eq!(
            rendered(&format!("a <{name}>b</{name}> c")),
            "<p>a  c</p>\n"
        );
        let made = rendered(&format!("a <{name}>b\n\n<select>c\n\n*d*"));
        let shown = "<p>a b</p>\n<p>c</p>\n<p><em>d</em></p>\n";
        assert_eq!(made, shown, "{name}");
    }
}

#[test]
fn what_is_hidden_is_shown() {
    assert_eq!(
        rendered("gpj.\u{202e}exe\0"),
        "<p>gpj.\\u{202e}exe\\0</p>\n"
    );
}

#[test]
fn a_text_is_cut_between_blocks() {
    let text = "# One\n\ntwo\n\n".repeat(1000);
    let cut = render(&text, &links(), 2000);
    assert!(
        cut.is_cut && cut.html.len() <= 2000 && cut.html.len() > 500,
        "{}",
        cut.html.len()
    );
    assert!(cut.html.ends_with("</p>\n") || cut.html.ends_with("</h3>\n"));
    assert!(!render("short", &links(), 2000).is_cut);
    let one = render(&"<&".repeat(10_000), &links(), 2000);
    assert_eq!((one.html.as_str(), one.is_cut), ("", true));
    assert!(render(&"word ".repeat(100_000), &links(), 1 << 20).is_cut);
}

#[test]
fn code_is_shown_without_colours_rather_than_not_at_all() {
    let code = "```rust\nfn a() { \"<\"; 1; }\n```\n";
    let coloured = render(code, &links(), 2_000).html;
    assert!(
        coloured.contains("<span class=\"kw\">fn</span>"),
        "{coloured}"
    );
    let plain = render(code, &links(), coloured.len() - 1);
    assert!(
        !plain.is_cut && plain.html.contains("fn a() { \"&lt;\"; 1; }"),
        "{plain:?}"
    );
    // Of two blocks the second would be left out for the colours of both.
    let (two, both) = (
        code.repeat(2),
        render(&code.repeat(2), &links(), 4_000).html,
    );
    let plain = render(&two, &links(), both.len() - 1);
    assert!(!plain.is_cut && !plain.html.contains("<span"), "{plain:?}");
    // What is cut either way has colours as far as it goes.
    let long = render(&code.repeat(100), &links(), 4_000);
    assert!(long.is_cut && long.html.contains("<span class=\"kw\">fn</span>"));
}

#[test]
fn a_readme_gains_a_colour_by_a_class_and_nothing_else() {
    let made = rendered(
        "<span class=\"kw state bad skip\" style=\"color:red\">a</span><code class=\"kw\">b</code>",
    );
    assert_eq!(made, "<p><span class=\"kw\">a</span><code>b</code></p>\n");
    let made = rendered("```rust\n</code></pre><script>x</script> \"\" onclick=x> '</span>\n```");
    assert_eq!(harm(&made), None, "{made}");
    assert!(
        made.contains("&lt;/") && made.ends_with("</code></pre>\n"),
        "{made}"
    );
}

#[test]
fn what_is_too_deep_or_has_too_many_tags_is_shown_without_them() {
    let count = |html: &str, part: &str| html.matches(part).count();
    let deep = rendered(&format!("{}a", "> ".repeat(100)));
    assert_eq!(count(&deep, "<blockquote>"), 24);
    assert!(deep.contains('a'), "{deep}");
    let many = rendered(&"<b>a</b>\n".repeat(3_000));
    let (made, shown) = (count(&many, "<b>"), count(&many, "&lt;b&gt;"));
    assert_eq!((made, shown), (2_000, 1_000));
}

#[test]
fn bombs_take_bounded_time() {
    /// What a page asks for at most.
    const LARGEST: usize = 54 << 10;
    for part in [
        ">",
        "[",
        "![",
        "- ",
        "<b>",
        "<div>",
        "<p><b>",
        "*a **b ",
        "`",
        "[a](",
        "<table><tr><td>",
        "&",
        "[^a]",
        "|a|b\n|-|-\n",
        "<a href=x>",
        "> - ",
        "\\",
        "<!--",
        "<x y=\"",
        "```rust\n1'a\n```\n",
        "~~~rust\n1'a ",
    ] {
        let text = part.repeat((100_000).min(LONGEST / part.len()));
        let at = Instant::now();
        let made = render(&text, &links(), LARGEST);
        let took = at.elapsed();
        // Some hundredths of a second in a debug build; what grows with the square of the length takes minutes.
        assert!(took < Duration::from_secs(3), "{part}: {took:?}");
        assert!(made.html.len() <= LARGEST, "{part}");
        assert_eq!(harm(&made.html), None, "{part}");
    }
}

fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "<script>",
        "</script>",
        "<style>",
        "<svg>",
        "<math>",
        "<img src=x onerror=alert(1) ",
        "<a href=",
        "\"",
        "'",
        ">",
        "<",
        "javascript:alert(1)",
        "onload=x ",
        "[a](",
        ")",
        "![",
        "](",
        "\n\n",
        "\n",
        "    ",
        "`",
        "```\n",
        "```rust\n",
        "~~~toml\n",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<noscript>",
        "<table>",
        "<td>",
        "</p>",
        "<p ",
        "id=content ",
        "style=x ",
        "&lt;",
        "&#x3c;",
        "<mglyph>",
        "<title>",
        "<textarea>",
        "<iframe ",
        "srcdoc=",
        "| a |\n|---|\n",
        "[^1]",
        "[^1]: ",
        "# ",
        "> ",
        "- [ ] ",
        "\u{202e}",
        "\0",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn no_text_does_harm(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let made = rendered(&text);
        prop_assert_eq!(harm(&made), None, "{}: {}", text, made);
    }
}
