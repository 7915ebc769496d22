//! The modules of a crate import each other in one direction: no two folders are in a cycle of imports.
//!
//! A `use`, or a path such as `crate::error::Error`, is an import of the module that defines the name, however it is
//! re-exported. A re-export itself imports nothing. Tests inside of modules do not count.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "the ways in which a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, UseTree, Visibility};

/// The path of a module in its crate; empty for the root.
type ModulePath = Vec<String>;

#[test]
fn no_folders_import_each_other_in_a_cycle() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    find_sources(&repository, &mut sources);
    assert!(sources.len() >= 11, "the crates of this repository: {sources:?}");
    let cycles: Vec<String> = sources.iter().flat_map(|source| Crate::read(source).cycles()).collect();
    assert!(cycles.is_empty(), "these imports are on a cycle:\n{}", cycles.join("\n"));
}

#[test]
fn cycles_between_folders_are_found() {
    let cycles = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        Crate::parse("x", files.collect()).cycles()
    };
    let by_name = [("lib.rs", ""), ("a/mod.rs", "use crate::b::B; pub struct A;"), ("b.rs", "fn b(_: crate::a::A) {}")];
    assert!(cycles(&by_name).contains(&"x/a -> x/b: a/mod.rs imports b::B".to_owned()), "{:?}", cycles(&by_name));
    let re_exported = [
        ("lib.rs", ""),
        ("a/mod.rs", "mod one; mod two; pub use one::One;"),
        ("a/one.rs", "use crate::b::B; pub struct One;"),
        ("a/two.rs", "pub struct Two;"),
        ("b/mod.rs", "pub struct B; use crate::a::One;"),
    ];
    assert!(!cycles(&re_exported).is_empty(), "a re-exported name is imported from where it is defined");
    let one_way =
        [("lib.rs", "pub use a::A;"), ("a/mod.rs", "use crate::b::B; pub struct A;"), ("b.rs", "pub struct B;")];
    assert_eq!(cycles(&one_way), [""; 0]);
    let one_folder = [
        ("lib.rs", ""),
        ("a/mod.rs", ""),
        ("a/b.rs", "use super::c::C;"),
        ("a/c.rs", "use super::b::B; pub struct C;"),
    ];
    assert_eq!(cycles(&one_folder), [""; 0], "files of one folder may");
}

/// Finds the source folders of all crates.
fn find_sources(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() || name == "target" || name.starts_with('.') {
            continue;
        }
        if name == "src" {
            sources.push(path);
        } else {
            find_sources(&path, sources);
        }
    }
}

/// The modules of one crate.
struct Crate {
    name: String,
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    file: String,
    /// Imported paths, with the path of the (inline) module that they start from.
    imports: Vec<(ModulePath, Vec<String>)>,
    /// Names that `pub use` hands on, and what they are.
    re_exports: BTreeMap<String, Vec<String>>,
    /// Names that `use` brings into scope, and what they are.
    names: BTreeMap<String, Vec<String>>,
}

impl Crate {
    fn read(source: &Path) -> Self {
        fn read_folder(source: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read_folder(source, &path, files);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(source).unwrap().to_string_lossy().into_owned();
                    files.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        read_folder(source, source, &mut files);
        let repository = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let name = fs::canonicalize(source).unwrap().strip_prefix(repository).unwrap().display().to_string();
        Self::parse(&name, files)
    }

    fn parse(name: &str, files: BTreeMap<String, String>) -> Self {
        let has_library = files.contains_key("lib.rs");
        let path_of = |file: &str| -> ModulePath {
            let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            match file {
                "lib.rs" => return Vec::new(),
                "main.rs" if !has_library => return Vec::new(),
                _ if path.last().is_some_and(|last| last == "mod") => drop(path.pop()),
                _ => {}
            }
            path
        };
        let modules = files.iter().map(|(file, text)| {
            let path = path_of(file);
            let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
            let module =
                Module { file: file.clone(), imports: Vec::new(), re_exports: BTreeMap::new(), names: BTreeMap::new() };
            let mut reader = ImportReader { at: path.clone(), module };
            reader.visit_file(&syntax);
            (path, reader.module)
        });
        Self { name: name.to_owned(), modules: modules.collect() }
    }

    /// Returns the module in which a path ends that is written in the module `at`; `None` if it is of another crate.
    fn resolve(&self, at: &ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        let known = |path: &ModulePath| self.modules.contains_key(path);
        let (first, rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => at[..at.len().saturating_sub(1)].to_vec(),
            child if known(&[at.as_slice(), &[child.to_owned()]].concat()) => {
                [at.as_slice(), &[child.to_owned()]].concat()
            }
            name => {
                let target = self.modules.get(at)?.names.get(name).filter(|target| target.first() != Some(first))?;
                let path: Vec<String> = target.iter().chain(rest).cloned().collect();
                return if depth < 10 { self.resolve(at, &path, depth + 1) } else { None };
            }
        };
        for (index, segment) in rest.iter().enumerate() {
            if segment == "super" {
                module.pop();
                continue;
            }
            let child = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if known(&child) {
                module = child;
                continue;
            }
            // A name of this module. Another module may define it.
            let Some(target) = self.modules.get(&module).and_then(|module| module.re_exports.get(segment)) else {
                break;
            };
            let path: Vec<String> = target.iter().chain(&rest[index + 1..]).cloned().collect();
            return if depth < 10 { self.resolve(&module, &path, depth + 1) } else { None };
        }
        // What is left names an item, or an inline module.
        (0..=module.len()).rev().map(|end| module[..end].to_vec()).find(known)
    }

    /// Describes the imports that are on a cycle through more than one folder.
    fn cycles(&self) -> Vec<String> {
        let mut edges: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for module in self.modules.values() {
            for (at, path) in &module.imports {
                if let Some(target) = self.resolve(at, path, 0)
                    && let Some(target_module) = self.modules.get(&target)
                    && target_module.file != module.file
                {
                    let path = path.iter().filter(|segment| *segment != "crate").cloned().collect::<Vec<_>>();
                    let why = format!("{} imports {}", module.file, path.join("::"));
                    edges.entry((&module.file, &target_module.file)).or_insert(why);
                }
            }
        }
        let mut cycles = BTreeSet::new();
        // Files of different folders, with the files that make a folder a module.
        for (from, to) in on_cycle(edges.keys().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()) {
            if self.folder_of(&from) != self.folder_of(&to) {
                let why = edges.get(&(from.as_str(), to.as_str())).unwrap();
                cycles.insert(format!("{0}/{from} -> {0}/{to}: {why}", self.name));
            }
        }
        // The rooms of each folder: its files, and its folders as a whole.
        let folders: BTreeSet<String> = self.modules.values().flat_map(|module| ancestors(&module.file)).collect();
        for folder in &folders {
            let mut rooms: BTreeMap<(String, String), &str> = BTreeMap::new();
            for ((from, to), why) in &edges {
                if let (Some(from), Some(to)) = (room(folder, from), room(folder, to))
                    && from != to
                {
                    rooms.entry((from, to)).or_insert(why);
                }
            }
            for (from, to) in on_cycle(rooms.keys().cloned().collect()) {
                if folders.contains(&from) || folders.contains(&to) {
                    let why = rooms.get(&(from.clone(), to.clone())).unwrap();
                    cycles.insert(format!("{0}/{from} -> {0}/{to}: {why}", self.name));
                }
            }
        }
        cycles.into_iter().collect()
    }

    /// The folder of a file. `listen.rs` belongs to `listen/` if there is one.
    fn folder_of(&self, file: &str) -> String {
        let own = file.trim_end_matches(".rs");
        if self.modules.values().any(|module| module.file.starts_with(&format!("{own}/"))) {
            return own.to_owned();
        }
        file.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
    }
}

/// All folders above a file; the source folder is the empty text.
fn ancestors(file: &str) -> Vec<String> {
    let ends = file.match_indices('/').map(|(end, _)| file[..end].to_owned());
    ends.chain([String::new()]).collect()
}

/// The room of a folder that a file is in: a file of its own, or a folder. `None` for a file outside, and for the file
/// that makes the folder a module.
fn room(folder: &str, file: &str) -> Option<String> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let name = file.strip_prefix(&prefix)?.split('/').next()?;
    let name = name.trim_end_matches(".rs");
    (!["mod", "lib", "main"].contains(&name)).then(|| format!("{prefix}{name}"))
}

/// Returns the edges of a graph that are on a cycle.
fn on_cycle(edges: BTreeSet<(String, String)>) -> Vec<(String, String)> {
    let reaches = |start: &str, goal: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(node) = open.pop() {
            if node == goal {
                return true;
            }
            if seen.insert(node.clone()) {
                open.extend(edges.iter().filter(|(from, _)| *from == node).map(|(_, to)| to.clone()));
            }
        }
        false
    };
    edges.iter().filter(|(from, to)| reaches(to, from)).cloned().collect()
}

/// Collects the imports of a file.
struct ImportReader {
    /// The module that is read: the file's, or an inline one in it.
    at: ModulePath,
    module: Module,
}

impl<'ast> Visit<'ast> for ImportReader {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_none() || item.attrs.iter().any(is_for_tests) {
            return;
        }
        self.at.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_re_export = !matches!(item.vis, Visibility::Inherited);
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        for (name, path) in paths {
            self.module.names.insert(name.clone(), path.clone());
            if is_re_export {
                self.module.re_exports.insert(name, path);
            } else {
                self.module.imports.push((self.at.clone(), path));
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.module.imports.push((self.at.clone(), segments));
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
}

/// Lists the paths of a `use` with the names that they have in scope.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, paths: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, paths);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            paths.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => {
            let path = prefix.iter().cloned().chain([name.ident.to_string()]).collect();
            paths.push((name.ident.to_string(), path));
        }
        UseTree::Rename(rename) => {
            let path = prefix.iter().cloned().chain([rename.ident.to_string()]).collect();
            paths.push((rename.rename.to_string(), path));
        }
        UseTree::Glob(_) => paths.push(("*".to_owned(), prefix.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, paths)),
    }
}
