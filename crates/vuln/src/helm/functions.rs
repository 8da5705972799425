//! The functions of templates: Go's own, Sprig's common ones and Helm's.
//!
//! One that is not known is an error of the template, which is then not judged: never a guess. Random and secret
//! making functions give fixed texts, so that a chart renders the same twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use data_encoding::{BASE32, BASE64};
use oci::Digest;

use super::text;
use super::value::Value;
use crate::version::{self, Scheme};

type Outcome = Result<Value, String>;

/// API groups that every cluster has end so, or have no dot; of early versions no cluster need have any.
const KNOWN_GROUP: &str = ".k8s.io";

/// A method of what Helm gives charts: API versions, files.
pub(super) fn method(name: &str, arguments: &[Value]) -> Value {
    match (name, arguments) {
        ("Has", [asked, ..]) => {
            let asked = asked.text();
            let group = asked.split('/').next().unwrap_or_default();
            let early = asked.contains("alpha") || asked.contains("beta");
            Value::Bool(!early && (!group.contains('.') || group.ends_with(KNOWN_GROUP)))
        }
        // Files beside the templates are not read.
        ("Get" | "AsConfig" | "AsSecrets", _) => "".into(),
        ("Lines", _) => Vec::new().into(),
        _ => Value::Nil,
    }
}

/// Calls a function; what is piped is the last argument. Errors end a template anyway, so `mustX` is `x`.
pub(super) fn call(name: &str, arguments: &[Value]) -> Outcome {
    if let Some(rest) =
        name.strip_prefix("must").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    {
        let (first, rest) = rest.split_at(1);
        return call(&format!("{}{rest}", first.to_ascii_lowercase()), arguments);
    }
    if let Some(result) = text::call(name, arguments) {
        return result.map_err(|why| format!("{name}: {why}"));
    }
    let result = logic(name, arguments)
        .or_else(|| numbers(name, arguments))
        .or_else(|| lists(name, arguments))
        .or_else(|| maps(name, arguments))
        .or_else(|| documents(name, arguments));
    match result {
        Some(outcome) => outcome.map_err(|why| format!("{name}: {why}")),
        None => Err(format!("function {name} with {} arguments is not known", arguments.len())),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            (a.float() - b.float()).abs() < f64::EPSILON
        }
        (Value::List(x), Value::List(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| same(x, y))
        }
        (Value::Map(_), Value::Map(_)) => a.json(0).ok().is_some_and(|a| b.json(0) == Ok(a)),
        _ => a.kind() == b.kind() && a.text() == b.text(),
    }
}

fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a < b,
        _ => a.float() < b.float(),
    }
}

fn logic(name: &str, arguments: &[Value]) -> Option<Outcome> {
    Some(Ok(match (name, arguments) {
        ("not" | "empty", [a]) => (!a.truth()).into(),
        ("eq", [a, others @ ..]) => others.iter().any(|b| same(a, b)).into(),
        ("ne", [a, b]) => (!same(a, b)).into(),
        ("lt", [a, b]) => less(a, b).into(),
        ("gt", [a, b]) => less(b, a).into(),
        ("le", [a, b]) => (!less(b, a)).into(),
        ("ge", [a, b]) => (!less(a, b)).into(),
        ("default", [fallback, rest @ ..]) => {
            rest.last().filter(|value| value.truth()).unwrap_or(fallback).clone()
        }
        ("coalesce", all) => all.iter().find(|value| value.truth()).cloned().unwrap_or_default(),
        ("ternary", [yes, no, condition]) => if condition.truth() { yes } else { no }.clone(),
        ("all", all) => all.iter().all(Value::truth).into(),
        ("any", all) => all.iter().any(Value::truth).into(),
        ("required", [message, value]) => match value {
            Value::Nil => return Some(Err(message.text())),
            Value::Text(text) if text.is_empty() => return Some(Err(message.text())),
            value => value.clone(),
        },
        ("fail", [message]) => return Some(Err(message.text())),
        ("kindIs" | "typeIs" | "typeIsLike", [kind, value]) => is_kind(&kind.text(), value).into(),
        ("kindOf" | "typeOf", [value]) => value.kind().into(),
        ("deepEqual", [a, b]) => same(a, b).into(),
        ("lookup", [_, _, _, _]) => Value::from_iter([]),
        ("semverCompare", [wanted, version]) => {
            return Some(fits(&wanted.text(), &version.text()).map(Value::Bool));
        }
        _ => return None,
    }))
}

fn is_kind(kind: &str, value: &Value) -> bool {
    let own = value.kind();
    kind == own
        || matches!(
            (kind, own),
            ("float64" | "int", "int64" | "float64")
                | ("map[string]interface {}" | "chartutil.Values", "map")
                | ("[]interface {}", "slice")
        )
}

/// Whether a version meets a requirement like `>=1.19-0 <2`.
fn fits(wanted: &str, version: &str) -> Result<bool, String> {
    let clean = |text: &str| text.trim().trim_start_matches('v').to_owned();
    let version = clean(version);
    let one = |part: &str| -> Result<bool, String> {
        let at = part.find(|c: char| c.is_ascii_digit() || c == 'v').unwrap_or(part.len());
        let (sign, number) = part.split_at(at);
        let number = clean(number);
        let order = version::compare(Scheme::Semver, &version, &number).map_err(|error| error.to_string())?;
        let heads = |count: usize| version.split('.').take(count).eq(number.split('.').take(count));
        Ok(match sign.trim() {
            ">=" | "=>" => order.is_ge(),
            ">" => order.is_gt(),
            "<=" | "=<" => order.is_le(),
            "<" => order.is_lt(),
            "!=" => order.is_ne(),
            "^" => order.is_ge() && heads(1),
            "~" => order.is_ge() && heads(2),
            _ => order.is_eq(),
        })
    };
    for alternative in wanted.split("||") {
        let spaced = alternative.replace(',', " ");
        let mut parts: Vec<String> = Vec::new();
        for word in spaced.split_whitespace() {
            match parts.last_mut() {
                Some(last) if !last.contains(|c: char| c.is_ascii_digit()) => last.push_str(word),
                _ => parts.push(word.to_owned()),
            }
        }
        let mut all = true;
        for part in &parts {
            all &= part == "*" || one(part)?;
        }
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}

fn numbers(name: &str, arguments: &[Value]) -> Option<Outcome> {
    let whole = |join: fn(i64, i64) -> Option<i64>| -> Option<Outcome> {
        let (first, rest) = arguments.split_first()?;
        let sum = rest.iter().try_fold(first.int(), |sum, next| join(sum, next.int()));
        Some(sum.map(Value::Int).ok_or_else(|| "out of range".to_owned()))
    };
    match (name, arguments) {
        ("int" | "int64" | "atoi", [a]) => Some(Ok(Value::Int(a.int()))),
        ("float64", [a]) => Some(Ok(Value::Float(a.float()))),
        ("add", _) => whole(i64::checked_add),
        ("sub", _) => whole(i64::checked_sub),
        ("mul", _) => whole(i64::checked_mul),
        ("div", [_, _]) => whole(i64::checked_div),
        ("mod", [_, _]) => whole(i64::checked_rem),
        ("add1", [a]) => Some(Ok(Value::Int(a.int().saturating_add(1)))),
        ("max", _) => whole(|a, b| Some(a.max(b))),
        ("min", _) => whole(|a, b| Some(a.min(b))),
        ("floor", [a]) => Some(Ok(Value::Float(a.float().floor()))),
        ("ceil", [a]) => Some(Ok(Value::Float(a.float().ceil()))),
        ("until", [count]) => {
            Some(Ok((0..count.int().clamp(0, 10_000)).map(Value::Int).collect::<Vec<_>>().into()))
        }
        ("len", [a]) => Some(Ok(Value::Int(i64::try_from(a.len()).unwrap_or(i64::MAX)))),
        _ => None,
    }
}

fn lists(name: &str, arguments: &[Value]) -> Option<Outcome> {
    let owned = |items: &[Value]| Value::from(items.to_vec());
    Some(Ok(match (name, arguments) {
        ("list" | "tuple", all) => owned(all),
        ("first", [list]) => list.items().first().cloned().unwrap_or_default(),
        ("last", [list]) => list.items().last().cloned().unwrap_or_default(),
        ("rest", [list]) => owned(list.items().get(1..).unwrap_or_default()),
        ("initial", [list]) => owned(list.items().split_last().map_or(&[], |(_, rest)| rest)),
        ("append", [list, item]) => [list.items(), std::slice::from_ref(item)].concat().into(),
        ("prepend", [list, item]) => [std::slice::from_ref(item), list.items()].concat().into(),
        ("concat", all) => {
            all.iter().flat_map(|list| list.items().iter().cloned()).collect::<Vec<_>>().into()
        }
        ("reverse", [list]) => list.items().iter().rev().cloned().collect::<Vec<_>>().into(),
        ("compact", [list]) => {
            list.items().iter().filter(|item| item.truth()).cloned().collect::<Vec<_>>().into()
        }
        ("uniq", [list]) => {
            let mut out: Vec<Value> = Vec::new();
            for item in list.items() {
                if !out.iter().any(|known| same(known, item)) {
                    out.push(item.clone());
                }
            }
            out.into()
        }
        ("without", [list, others @ ..]) => {
            let kept = list.items().iter().filter(|item| !others.iter().any(|other| same(item, other)));
            kept.cloned().collect::<Vec<_>>().into()
        }
        ("has", [item, list]) => list.items().iter().any(|known| same(known, item)).into(),
        ("sortAlpha", [list]) => {
            let mut texts: Vec<String> = list.items().iter().map(Value::text).collect();
            texts.sort();
            texts.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        ("slice", [list, bounds @ ..]) => {
            let at = |index: usize, usual: usize| {
                bounds.get(index).map_or(usual, |bound| usize::try_from(bound.int()).unwrap_or(0))
            };
            let (from, to) = (at(0, 0), at(1, list.len()));
            owned(list.items().get(from..to.max(from)).unwrap_or_default())
        }
        _ => return None,
    }))
}

fn maps(name: &str, arguments: &[Value]) -> Option<Outcome> {
    Some(Ok(match (name, arguments) {
        ("dict", pairs) => {
            pairs.chunks(2).map(|pair| (pair[0].text(), pair.get(1).cloned().unwrap_or_default())).collect()
        }
        ("get", [map, key]) => match map.get(&key.text()) {
            Value::Nil => "".into(),
            value => value,
        },
        ("dig", [path @ .., fallback, map]) => {
            let found = path.iter().fold(map.clone(), |value, key| value.get(&key.text()));
            if matches!(found, Value::Nil) { fallback.clone() } else { found }
        }
        ("index", [value, path @ ..]) => path.iter().fold(value.clone(), |value, key| match &value {
            Value::List(items) => {
                usize::try_from(key.int()).ok().and_then(|at| items.get(at).cloned()).unwrap_or_default()
            }
            other => other.get(&key.text()),
        }),
        ("hasKey", [Value::Map(members), key]) => members.borrow().contains_key(&key.text()).into(),
        ("hasKey", [_, _]) => false.into(),
        ("set", [map @ Value::Map(members), key, value]) => {
            members.borrow_mut().insert(key.text(), value.clone());
            map.clone()
        }
        ("unset", [map @ Value::Map(members), key]) => {
            members.borrow_mut().remove(&key.text());
            map.clone()
        }
        ("keys", all) => {
            let mut keys = Vec::new();
            for map in all {
                if let Value::Map(members) = map {
                    keys.extend(members.borrow().keys().map(|key| Value::from(key.as_str())));
                }
            }
            keys.into()
        }
        ("values", [Value::Map(members)]) => members.borrow().values().cloned().collect::<Vec<_>>().into(),
        ("pick" | "omit", [Value::Map(members), keys @ ..]) => {
            let named = |key: &String| keys.iter().any(|wanted| wanted.text() == *key) == (name == "pick");
            let members = members.borrow();
            members
                .iter()
                .filter(|(key, _)| named(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        }
        ("deepCopy", [value]) => value.deep_copy(0),
        // The first map stays, and wins (merge) or loses (mergeOverwrite).
        ("merge" | "mergeOverwrite", [Value::Map(first), rest @ ..]) => {
            let mut out = Value::Map(Rc::new(RefCell::new(first.borrow().clone())));
            for next in rest {
                out = if name.ends_with("erge") { next.merged(&out, 0) } else { out.merged(next, 0) };
            }
            if let Value::Map(members) = out {
                let members: BTreeMap<String, Value> = members.borrow().clone();
                *first.borrow_mut() = members;
            }
            Value::Map(Rc::clone(first))
        }
        _ => return None,
    }))
}

fn documents(name: &str, arguments: &[Value]) -> Option<Outcome> {
    let [value] = arguments else {
        return match (name, arguments.len()) {
            ("genCA" | "genSelfSignedCert" | "genSignedCert", _) => {
                Some(Ok([("Cert", "generated"), ("Key", "generated")]
                    .map(|(key, text)| (key.to_owned(), text.into()))
                    .into_iter()
                    .collect()))
            }
            ("genPrivateKey" | "derivePassword" | "htpasswd" | "now" | "uuidv4" | "date", _) => {
                Some(Ok("generated".into()))
            }
            _ => None,
        };
    };
    Some(match name {
        "toYaml" => value.yaml().map(Value::from),
        "toJson" | "toRawJson" => value.json(0).map(|json| json.to_string().into()),
        "toPrettyJson" => value.json(0).and_then(|json| {
            serde_json::to_string_pretty(&json).map(Value::from).map_err(|error| error.to_string())
        }),
        "fromYaml" | "fromYamlArray" => super::yaml(&value.text()),
        "fromJson" | "fromJsonArray" => serde_json::from_str(&value.text())
            .map(|json: serde_json::Value| Value::from(&json))
            .map_err(|error| error.to_string()),
        "b64enc" => Ok(BASE64.encode(value.text().as_bytes()).into()),
        "b64dec" => BASE64
            .decode(value.text().as_bytes())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned().into())
            .map_err(|error| error.to_string()),
        "b32enc" => Ok(BASE32.encode(value.text().as_bytes()).into()),
        "sha256sum" => Ok(Digest::sha256(value.text().as_bytes()).hex().into()),
        "sha1sum" | "adler32sum" => Ok("0".into()),
        "randAlphaNum" | "randAlpha" | "randAscii" | "randNumeric" => {
            let length = usize::try_from(value.int().clamp(0, 1024)).unwrap_or(0);
            Ok("0".repeat(length).into())
        }
        "genPrivateKey" | "htpasswd" | "date" => Ok("generated".into()),
        _ => return None,
    })
}
