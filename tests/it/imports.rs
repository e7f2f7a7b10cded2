//! The imports between files, read off their `use` paths: which folders have circles.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path below the crate: `["engine", "serve"]`.
type Module = Vec<String>;

/// Which modules import which.
pub(crate) struct Graph {
    edges: BTreeMap<Module, BTreeSet<Module>>,
    modules: BTreeSet<Module>,
}

impl Graph {
    /// The graph of files given by their paths below `src` and their texts.
    pub(crate) fn of(files: &[(String, String)]) -> Self {
        let files: Vec<(Module, String)> = files
            .iter()
            .filter(|(name, _)| !name.starts_with("bin/") && name != "main.rs")
            .map(|(name, text)| (module_of(name), code_of(text)))
            .collect();
        let modules: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
        let re_exports = re_exports(&files, &modules);

        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (own, text) in &files {
            for path in paths(own, text, &modules) {
                let target = resolve(path, &re_exports, &modules);
                if !target.is_empty() && target != *own {
                    edges.entry(own.clone()).or_default().insert(target);
                }
            }
        }
        Self { edges, modules }
    }

    /// A sentence for each circle of files within a folder.
    pub(crate) fn circles(&self) -> Vec<String> {
        let folders: BTreeSet<&[String]> =
            self.modules.iter().filter(|m| m.len() > 1).map(|m| &m[..m.len() - 1]).collect();
        let mut found = Vec::new();
        for folder in folders {
            let within = self.within(folder);
            for node in within.keys() {
                if let Some(circle) = circle_through(node, &within) {
                    found.push(format!("src/{}: {}", folder.join("/"), circle.join(" -> ")));
                }
            }
        }
        found
    }

    /// The edges between the nodes of a folder.
    fn within(&self, folder: &[String]) -> BTreeMap<String, BTreeSet<String>> {
        let node = |module: &Module| {
            let below = module.strip_prefix(folder)?;
            Some(below.first().map_or("mod", String::as_str).to_owned())
        };
        let mut within: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, targets) in &self.edges {
            for (from, to) in targets.iter().filter_map(|to| node(from).zip(node(to))) {
                if from != to {
                    within.entry(from).or_default().insert(to);
                }
            }
        }
        within
    }
}

/// A shortest way from a node back to itself.
fn circle_through(start: &str, edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut visited = BTreeSet::new();
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        for next in edges.get(way.last()?).into_iter().flatten() {
            let longer = [&way[..], std::slice::from_ref(next)].concat();
            if next == start {
                return Some(longer);
            }
            if visited.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

fn module_of(name: &str) -> Module {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// A file's text without its tests and comments.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The `use` statements of a text: whether each is public, and its tree.
fn uses(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((visibility, tree)) = statement(line.trim()) else { continue };

        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
        }
        let tree = tree.split(';').next().unwrap();
        found.push((visibility.starts_with("pub"), tree.to_owned()));
    }
    found
}

/// The visibility and the beginning of the tree of a line that opens a `use` statement.
fn statement(line: &str) -> Option<(&str, &str)> {
    let (visibility, tree) = line.split_once("use ")?;
    let item =
        visibility.is_empty() || (visibility.starts_with("pub") && visibility.ends_with(' '));
    let path = tree.split([':', ';']).next().unwrap();
    let named = path.chars().all(|c| c.is_alphanumeric() || c == '_');
    (item && named && path.len() < tree.len()).then_some((visibility, tree))
}

/// The paths of a `use` tree.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (prefix, inner) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap()]);
    let mut depth = 0;
    let parts = inner.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(&format!("{prefix}{}", part.trim()))).collect()
}

/// A path from the crate's root, if it leads into the crate.
fn absolute(own: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<Module> {
    let parts: Vec<&str> = path.split("::").map(str::trim).collect();
    let supers = parts.iter().take_while(|part| **part == "super").count();
    let mut base = own.clone();
    let rest = match parts[0] {
        "crate" => {
            base.clear();
            &parts[1..]
        }
        "super" => {
            base.truncate(base.len().saturating_sub(supers));
            &parts[supers..]
        }
        "self" => &parts[1..],
        child => {
            let module = [&own[..], &[child.to_owned()]].concat();
            return modules.contains(&module).then(|| {
                [&own[..], &parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()].concat()
            });
        }
    };
    base.extend(rest.iter().filter(|part| **part != "self").map(|part| (*part).to_owned()));
    Some(base)
}

/// Every path of a text into the crate: those of `use` statements that are no re-exports, and
/// those in expressions.
fn paths(own: &Module, text: &str, modules: &BTreeSet<Module>) -> Vec<Module> {
    let private = uses(text).into_iter().filter(|(public, _)| !public);
    let mut found: Vec<String> = private.flat_map(|(_, tree)| expand(&tree)).collect();
    for line in text.lines().filter(|line| !line.contains("use ") && !line.contains("(in ")) {
        for start in ["crate::", "super::"] {
            for (at, _) in line.match_indices(start) {
                let path = &line[at..];
                let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                found.push(path[..end.unwrap_or(path.len())].trim_end_matches(':').to_owned());
            }
        }
    }
    found.iter().filter_map(|path| absolute(own, path, modules)).collect()
}

/// What each public `use` stands for.
fn re_exports(files: &[(Module, String)], modules: &BTreeSet<Module>) -> BTreeMap<Module, Module> {
    let mut found = BTreeMap::new();
    for (own, text) in files {
        let public = uses(text).into_iter().filter(|(public, _)| *public);
        for path in public.flat_map(|(_, tree)| expand(&tree)) {
            if let Some(target) = absolute(own, &path, modules)
                && let Some(name) = target.last()
            {
                found.insert([&own[..], std::slice::from_ref(name)].concat(), target);
            }
        }
    }
    found
}

/// The module in which a path ends, re-exports followed.
fn resolve(
    mut path: Module,
    re_exports: &BTreeMap<Module, Module>,
    modules: &BTreeSet<Module>,
) -> Module {
    for _ in 0..8 {
        let exported = (1..=path.len()).rev().find_map(|len| {
            let target = re_exports.get(&path[..len]).filter(|target| target[..] != path[..len])?;
            Some([&target[..], &path[len..]].concat())
        });
        let Some(target) = exported else { break };
        path = target;
    }
    while !path.is_empty() && !modules.contains(&path) {
        path.pop();
    }
    path
}

#[test]
fn a_circle_is_found_and_a_story_is_none() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let story = [
        file("a/mod.rs", "mod b;\nmod c;\npub use b::{B, make};\n"),
        file("a/b.rs", "use super::c::C;\n"),
        file("a/c.rs", "use crate::d::D;\n"),
        file("d.rs", ""),
    ];
    assert!(Graph::of(&story).circles().is_empty());

    let mut circle = story.to_vec();
    circle[2].1 = "use super::B;\n".to_owned();
    assert_eq!(Graph::of(&circle).circles(), ["src/a: b -> c -> b", "src/a: c -> b -> c"]);
}
