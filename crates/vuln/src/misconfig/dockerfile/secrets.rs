//! Secrets that a Dockerfile leaves in the image: in ENV and ARG, in copied credential files, in set-up commands.

use super::super::shell::{commands, program};
use super::parse::Instruction;

/// Variables of tools that hold a credential.
const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_ID",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITLAB_TOKEN",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "HF_TOKEN",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "DOCKERHUB_PASSWORD",
    "FIREBASE_TOKEN",
    "CI_DEPLOY_PASSWORD",
    "CI_JOB_TOKEN",
    "GOOGLE_API_KEY",
    "LANGSMITH_API_KEY",
    "LANGCHAIN_API_KEY",
    "HEROKU_API_KEY",
    "NPM_TOKEN",
    "NODE_AUTH_TOKEN",
    "PYPI_TOKEN",
    "TWINE_PASSWORD",
    "SLACK_TOKEN",
    "SLACK_WEBHOOK_URL",
    "STRIPE_SECRET_KEY",
    "VAULT_TOKEN",
    "PGPASSWORD",
    "MYSQL_PWD",
];
/// Variables that name a credential file.
const FILES: &[&str] =
    &["AWS_CONFIG_FILE", "HF_TOKEN_PATH", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE"];
/// Words of a variable's name that mean a secret.
const WORDS: &[&str] = &[
    "APIKEY",
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASSWORD",
    "PWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "USR",
    "PSW",
    "PASSPHRASE",
];
/// Prefixes that front-end builds add to the variables that they embed.
const PREFIXES: &[&str] = &["VITE_", "REACT_APP_", "NEXT_PUBLIC_"];

/// Whether a variable of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if CREDENTIALS.contains(&plain) {
        return true;
    }
    if FILES.contains(&plain) {
        return false;
    }
    let upper = plain.to_uppercase();
    let has = |words: &[&str]| upper.split('_').any(|part| words.contains(&part));
    has(WORDS) && !has(&["PUBLIC"])
}

/// Names and values of ENV and ARG.
pub(super) fn variables(instruction: &Instruction) -> Vec<(String, String)> {
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (word.clone(), String::new()),
    };
    match instruction.words.as_slice() {
        // The legacy form `ENV NAME value with spaces`.
        [name, rest @ ..] if instruction.name == "env" && !name.contains('=') => {
            vec![(name.clone(), rest.join(" "))]
        }
        words => words.iter().map(pair).collect(),
    }
}

/// The reasons why the instructions of the final stage leave a secret behind, each with its instruction.
pub(super) fn leaks(instructions: &[Instruction]) -> Vec<(&Instruction, String)> {
    let mut out = Vec::new();
    let copied: Vec<&str> = instructions
        .iter()
        .filter(|instruction| matches!(instruction.name.as_str(), "copy" | "add"))
        .filter_map(|instruction| instruction.words.last().map(String::as_str))
        .collect();
    for instruction in instructions {
        match instruction.name.as_str() {
            kind @ ("env" | "arg") => {
                for (name, value) in variables(instruction) {
                    if is_secret_name(&name) {
                        out.push((
                            instruction,
                            format!("`{name}` in {} stays in the image", kind.to_uppercase()),
                        ));
                    } else if FILES.contains(&name.as_str()) && is_copied(&value, &copied) {
                        let reason = format!("the credential file of `{name}` is copied into the image");
                        out.push((instruction, reason));
                    }
                }
            }
            "copy" => {
                let target = instruction.words.last().map(String::as_str).unwrap_or_default();
                let name = target.trim_start_matches('$').trim_matches(['{', '}']);
                if FILES.contains(&name) {
                    out.push((
                        instruction,
                        format!("the credential file of `{name}` is copied into the image"),
                    ));
                }
            }
            "run"
                if !instruction.flags.iter().any(|flag| flag.starts_with("--mount=type=secret"))
                    && sets_up(&instruction.command()) =>
            {
                out.push((instruction, "credentials are set up while building".to_owned()));
            }
            _ => {}
        }
    }
    out
}

fn is_copied(path: &str, copied: &[&str]) -> bool {
    let path = path.trim_matches(['"', '\'']);
    !path.is_empty()
        && copied.iter().any(|target| {
            let target = target.trim_matches(['"', '\'']);
            path == target
                || path.strip_prefix(target.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        })
}

fn sets_up(text: &str) -> bool {
    commands(text).iter().any(|command| {
        let joined = command.join(" ");
        let has = |flags: &[&str]| {
            command
                .iter()
                .any(|word| flags.iter().any(|flag| word == flag || word.starts_with(&format!("{flag}="))))
        };
        match program(command) {
            "aws" => {
                joined.contains("configure set aws_access_key_id")
                    || joined.contains("configure set aws_secret_access_key")
            }
            "gcloud" => joined.contains("auth activate-service-account"),
            "az" => joined.contains("login") && has(&["-p", "--password", "--federated-token"]),
            "doctl" => joined.contains("auth init") && has(&["-t", "--access-token"]),
            "docker" | "podman" | "buildah" | "helm" | "skopeo" | "crane" => {
                joined.contains("login") && has(&["-p", "--password"])
            }
            _ => false,
        }
    })
}
