//! The rules of `data/misconfig/dockerfile.toml`, each a pure function over the parsed file.

use std::collections::{HashMap, HashSet};

use super::super::shell::{commands, program, runs};
use super::super::{Finding, Rule, rules_of};
use super::parse::{Dockerfile, Instruction, Stage, parse};
use super::{packages, secrets};

/// A violation: where, and what exactly.
type Hit<'a> = (Option<&'a Instruction>, String);
type Check = for<'a> fn(&'a Dockerfile) -> Vec<Hit<'a>>;

const CHECKS: &[(&str, Check)] = &[
    ("latest_tag", latest_tag),
    ("root_user", root_user),
    ("port22", port22),
    ("add_instead_of_copy", add_instead_of_copy),
    ("add_url", add_url),
    ("copy_from_references_current_from_alias", copy_from_itself),
    ("multiple_entrypoint_instructions_listed", |file| several(file, "entrypoint")),
    ("unix_ports_out_of_range", ports),
    ("workdir_path_not_absolute", workdir),
    ("run_using_sudo", |file| {
        run(file, |text| commands(text).iter().any(|command| program(command) == "sudo"))
    }),
    ("copy_with_more_than_two_arguments_not_ending_with_slash", copy_target),
    ("same_alias_in_different_froms", same_alias),
    ("run_command_cd_instead_of_workdir", cd),
    ("run_using_wget_and_curl", wget_and_curl),
    ("yum_clean_all_missing", |file| run(file, |text| packages::leaves_cache(text, "yum"))),
    ("multiple_cmd_instructions_listed", |file| several(file, "cmd")),
    ("update_instruction_alone", |file| run(file, packages::lonely_update)),
    ("missing_dnf_clean_all", |file| run(file, |text| packages::leaves_cache(text, "dnf"))),
    ("missing_zypper_clean", |file| run(file, |text| packages::leaves_cache(text, "zypper"))),
    ("apt_get_missing_yes_flag_to_avoid_manual_input", |file| run(file, packages::apt_asks)),
    ("maintainer_is_deprecated", |file| each(file, "maintainer", |_| true)),
    ("multiple_healthcheck_instructions", |file| several(file, "healthcheck")),
    ("run_apt_get_dist_upgrade", |file| run(file, packages::dist_upgrade)),
    ("missing_apk_no_cache", |file| run(file, packages::apk_caches)),
    ("no_healthcheck_instruction", no_healthcheck),
    ("missing_microdnf_clean_all", |file| run(file, |text| packages::leaves_cache(text, "microdnf"))),
    ("apt_get_missing_no_install_recommends", |file| run(file, packages::apt_recommends)),
    ("prevent_sys_workdir_mounts", system_workdir),
    ("leaked_secrets", leaked_secrets),
    ("pipe_to_shell", |file| run(file, pipes_to_shell)),
];

/// Checks a Dockerfile's text; `path` only names it in the findings.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    check_parsed(path, &parse(text))
}

/// Checks a parsed Dockerfile.
pub fn check_parsed(path: &str, file: &Dockerfile) -> Vec<Finding> {
    let mut out = Vec::new();
    if file.stages.is_empty() {
        return out;
    }
    let rules: &[Rule] = rules_of("dockerfile");
    for rule in rules {
        let Some((_, test)) = CHECKS.iter().find(|(name, _)| Some(*name) == rule.check.as_deref()) else {
            continue;
        };
        for (instruction, message) in test(file) {
            let lines = instruction.map(|instruction| (instruction.start_line, instruction.end_line));
            let shown =
                instruction.filter(|_| message.is_empty()).map(Instruction::display).unwrap_or_default();
            let message = if message.is_empty() { shown } else { message };
            out.push(rule.finding(path, lines, &message));
        }
    }
    out
}

fn instructions<'a>(file: &'a Dockerfile, name: &'a str) -> impl Iterator<Item = &'a Instruction> {
    file.stages.iter().flat_map(|stage| &stage.instructions).filter(move |entry| entry.name == name)
}

fn each<'a>(file: &'a Dockerfile, name: &'static str, test: impl Fn(&Instruction) -> bool) -> Vec<Hit<'a>> {
    instructions(file, name).filter(|entry| test(entry)).map(|entry| (Some(entry), String::new())).collect()
}

fn run(file: &Dockerfile, test: impl Fn(&str) -> bool) -> Vec<Hit<'_>> {
    each(file, "run", |entry| test(&entry.command()))
}

/// Several instructions of which only the last counts; they must not repeat within one stage.
fn several<'a>(file: &'a Dockerfile, name: &'static str) -> Vec<Hit<'a>> {
    file.stages
        .iter()
        .filter_map(|stage| {
            let all: Vec<&Instruction> =
                stage.instructions.iter().filter(|entry| entry.name == name).collect();
            let second = all.get(1)?;
            Some((Some(*second), format!("{} {} instructions in one stage", all.len(), name.to_uppercase())))
        })
        .collect()
}

fn latest_tag(file: &Dockerfile) -> Vec<Hit<'_>> {
    let mut variables: HashMap<String, String> = HashMap::new();
    let learn = |instructions: &[Instruction], variables: &mut HashMap<String, String>| {
        for instruction in instructions.iter().filter(|entry| entry.name == "arg") {
            variables.extend(secrets::variables(instruction));
        }
    };
    learn(&file.preamble, &mut variables);
    let aliases: HashSet<&str> = file.stages.iter().filter_map(|stage| stage.alias.as_deref()).collect();
    let mut out = Vec::new();
    for stage in &file.stages {
        let image = expand(&stage.image, &variables);
        // An argument that only the build knows decides: nothing can be said.
        let Some(image) = image.filter(|image| !image.is_empty()) else { continue };
        let name = image.to_lowercase();
        if name == "scratch" || aliases.contains(name.as_str()) || image.contains('@') {
            continue;
        }
        let last = image.rsplit('/').next().unwrap_or(&image);
        if last.split_once(':').is_none_or(|(_, tag)| tag == "latest") {
            out.push((stage.instructions.first(), format!("`{image}` has no fixed tag")));
        }
        // Some builders place ARG after the first FROM and use it in later ones.
        learn(&stage.instructions, &mut variables);
    }
    out
}

/// `${NAME}`, `$NAME`, `${NAME:-default}` with the known values; `None` when one is unknown or empty.
fn expand(text: &str, variables: &HashMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, fallback, tail) = match rest.strip_prefix('{') {
            Some(inner) => {
                let (inside, tail) = inner.split_once('}')?;
                match inside.split_once(":-").or_else(|| inside.split_once('-')) {
                    Some((name, fallback)) => (name, Some(fallback), tail),
                    None => (inside, None, tail),
                }
            }
            None => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (&rest[..end], None, &rest[end..])
            }
        };
        let value = variables.get(name).map(String::as_str).filter(|value| !value.is_empty()).or(fallback)?;
        out.push_str(value.trim_matches('"'));
        rest = tail;
    }
    out.push_str(rest);
    if out.contains('$') { None } else { Some(out) }
}

fn root_user(file: &Dockerfile) -> Vec<Hit<'_>> {
    // A final stage that builds on another stage of this file inherits its user.
    let mut stage = file.stages.last();
    for _ in 0..file.stages.len() {
        let Some(current) = stage else { break };
        if let Some(user) =
            current.instructions.iter().rfind(|entry| entry.name == "user" && !entry.words.is_empty())
        {
            let name = user.words.first().map(String::as_str).unwrap_or_default();
            let name = name.split(':').next().unwrap_or_default();
            return if matches!(name, "root" | "0") {
                vec![(Some(user), "the last USER is root".to_owned())]
            } else {
                Vec::new()
            };
        }
        stage = inherited(file, current);
    }
    vec![(None, "no USER is set, so the image runs as the base image's user, usually root".to_owned())]
}

fn inherited<'a>(file: &'a Dockerfile, stage: &Stage) -> Option<&'a Stage> {
    let position = file.stages.iter().position(|entry| std::ptr::eq(entry, stage))?;
    let name = stage.image.to_lowercase();
    file.stages[..position].iter().rfind(|entry| entry.alias.as_deref() == Some(name.as_str()))
}

fn port22(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "expose", |entry| {
        entry.words.iter().any(|word| matches!(word.as_str(), "22" | "22/tcp" | "22/udp"))
    })
}

fn ports(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "expose", |entry| {
        entry.words.iter().flat_map(|word| word.split('/').next().unwrap_or_default().split('-')).any(
            |port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && is_above(port, 65_535),
        )
    })
}

/// Whether a number of decimal digits is above a limit; one too long to parse is above any.
fn is_above(digits: &str, limit: u64) -> bool {
    digits.parse::<u64>().map_or(true, |value| value > limit)
}

fn is_remote(word: &str) -> bool {
    let word = word.trim_matches(['"', '\'']);
    ["http://", "https://", "git@", "git://", "ssh://"].iter().any(|scheme| word.starts_with(scheme))
}

fn add_instead_of_copy(file: &Dockerfile) -> Vec<Hit<'_>> {
    const ARCHIVES: &[&str] = &[".tar", ".tgz", ".txz", ".tbz", ".tbz2", ".tzst"];
    each(file, "add", |entry| {
        let special = entry.words.iter().any(|word| {
            let lower = word.to_lowercase();
            is_remote(&lower) || ARCHIVES.iter().any(|ending| lower.contains(ending)) || lower.contains('$')
        });
        // What `docker history` shows of ADD and COPY: `file:HASH in /path`.
        let history = entry.words.first().is_some_and(|word| is_content(word));
        !special && !history && !entry.words.is_empty()
    })
}

fn is_content(word: &str) -> bool {
    ["file:", "multi:", "dir:"].iter().any(|prefix| word.starts_with(prefix))
}

fn add_url(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "add", |entry| {
        let remote =
            entry.words.iter().any(|word| word.starts_with("http://") || word.starts_with("https://"));
        remote
            && !entry.words.iter().any(|word| is_repository(word))
            && !entry.flags.iter().any(|flag| flag.starts_with("--checksum="))
    })
}

/// A URL of a git repository, which is pinned by its commit.
fn is_repository(word: &str) -> bool {
    let path = word.split('#').next().unwrap_or(word);
    path.rsplit_once('.').is_some_and(|(_, ending)| ending == "git")
}

fn copy_from_itself(file: &Dockerfile) -> Vec<Hit<'_>> {
    let mut out = Vec::new();
    for stage in &file.stages {
        let Some(alias) = &stage.alias else { continue };
        for copy in stage.instructions.iter().filter(|entry| entry.name == "copy") {
            if copy
                .flags
                .iter()
                .filter_map(|flag| flag.strip_prefix("--from="))
                .any(|from| from.to_lowercase() == *alias)
            {
                out.push((Some(copy), format!("the stage `{alias}` cannot copy from itself")));
            }
        }
    }
    out
}

fn copy_target(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "copy", |entry| {
        let heredoc = entry.text.contains("<<");
        let history = entry.words.len() == 3 && is_content(&entry.words[0]) && entry.words[1] == "in";
        let target = entry.words.last().map(String::as_str).unwrap_or_default();
        entry.words.len() > 2
            && !history
            && !heredoc
            && !target.ends_with('/')
            && !matches!(target, "." | "..")
            && !target.ends_with("/.")
    })
}

fn same_alias(file: &Dockerfile) -> Vec<Hit<'_>> {
    let mut seen = HashSet::new();
    file.stages
        .iter()
        .filter_map(|stage| {
            let alias = stage.alias.as_deref()?;
            let first = seen.insert(alias);
            (!first).then(|| (stage.instructions.first(), format!("`{alias}` names two stages")))
        })
        .collect()
}

fn cd(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "run", |entry| {
        // In a subshell or a here-document script a change of directory is part of the script.
        let text = entry.command();
        let parts = commands(&text);
        !text.starts_with("<<")
            && !text.trim_start().starts_with('(')
            && parts.iter().any(|command| program(command) == "cd" && command.len() > 1)
    })
}

fn workdir(file: &Dockerfile) -> Vec<Hit<'_>> {
    each(file, "workdir", |entry| {
        let path = entry.words.first().map(String::as_str).unwrap_or_default();
        let bytes = path.as_bytes();
        let drive = bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
        !(path.starts_with('/') || path.starts_with('\\') || path.starts_with('$') || drive)
    })
}

fn system_workdir(file: &Dockerfile) -> Vec<Hit<'_>> {
    const SYSTEM: &[&str] = &["/proc", "/boot", "/dev", "/initrd", "/lost+found", "/sys"];
    each(file, "workdir", |entry| {
        let path = entry.words.first().map(String::as_str).unwrap_or_default();
        SYSTEM
            .iter()
            .any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    })
}

fn wget_and_curl(file: &Dockerfile) -> Vec<Hit<'_>> {
    let mut out = Vec::new();
    for stage in &file.stages {
        let uses = |tool: &str| {
            stage.instructions.iter().filter(|entry| entry.name == "run").find(|entry| {
                commands(&entry.command()).iter().any(|command| {
                    program(command) == tool
                        || program(command) == "sudo" && command.get(1).is_some_and(|word| word == tool)
                })
            })
        };
        if let (Some(wget), Some(_)) = (uses("wget"), uses("curl")) {
            out.push((Some(wget), "one stage uses both wget and curl".to_owned()));
        }
    }
    out
}

fn no_healthcheck(file: &Dockerfile) -> Vec<Hit<'_>> {
    match instructions(file, "healthcheck").next() {
        Some(_) => Vec::new(),
        None => vec![(None, "the image states no health check".to_owned())],
    }
}

fn leaked_secrets(file: &Dockerfile) -> Vec<Hit<'_>> {
    let last = file.stages.last().map(|stage| stage.instructions.as_slice()).unwrap_or_default();
    secrets::leaks(last).into_iter().map(|(instruction, reason)| (Some(instruction), reason)).collect()
}

/// `curl … | sh`.
fn pipes_to_shell(text: &str) -> bool {
    let parts: Vec<&str> = text.split('|').collect();
    parts.windows(2).any(|pair| {
        let fetched = commands(pair[0]);
        let fetches = fetched.last().is_some_and(|command| {
            matches!(program(command), "curl" | "wget") || runs(command, &["curl", "wget"], &[])
        });
        let shell = commands(pair[1]);
        let starts = shell.first().is_some_and(|command| {
            let name = if program(command) == "sudo" {
                command.get(1).map(String::as_str).unwrap_or_default()
            } else {
                program(command)
            };
            matches!(name.rsplit('/').next(), Some("sh" | "bash" | "zsh" | "ash" | "dash"))
        });
        fetches && starts && !pair[1].is_empty()
    })
}
