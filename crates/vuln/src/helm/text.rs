//! Functions of templates that work on texts.

use super::value::Value;

type Outcome = Result<Value, String>;

/// Longest text that is made by repeating or indenting, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Calls a function, if it is one of these.
pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Outcome> {
    match arguments {
        [] => None,
        [one] => of_one(name, &one.text()).or_else(|| join(name, arguments)),
        [first, second] => of_two(name, first, second).or_else(|| join(name, arguments)),
        [first, second, third] => of_three(name, first, second, third).or_else(|| join(name, arguments)),
        _ => join(name, arguments),
    }
}

fn of_one(name: &str, text: &str) -> Option<Outcome> {
    let title = |text: &str| {
        let mut previous = ' ';
        let mut upper = |c: char| {
            let starts = previous == ' ';
            previous = c;
            if starts { c.to_uppercase().to_string() } else { c.to_string() }
        };
        text.chars().map(&mut upper).collect::<String>()
    };
    Some(Ok(match name {
        "lower" => text.to_lowercase().into(),
        "upper" => text.to_uppercase().into(),
        "title" => title(text).into(),
        "untitle" => {
            let mut chars = text.chars();
            chars.next().map(|c| c.to_lowercase().chain(chars).collect::<String>()).unwrap_or_default().into()
        }
        "trim" => text.trim().into(),
        "toString" => text.into(),
        "quote" => serde_json::Value::from(text).to_string().into(),
        "squote" => format!("'{text}'").into(),
        "nospace" => text.split_whitespace().collect::<String>().into(),
        "snakecase" => cased(text, '_').into(),
        "kebabcase" => cased(text, '-').into(),
        "camelcase" => text.split(['_', '-', ' ']).map(&title).collect::<String>().into(),
        "base" => text.rsplit('/').next().unwrap_or_default().into(),
        "dir" => text.rsplit_once('/').map_or(".", |(dir, _)| dir).into(),
        "ext" => text.rfind('.').map_or("", |at| &text[at..]).into(),
        _ => return None,
    }))
}

fn cased(text: &str, between: char) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(between);
        }
        if matches!(c, ' ' | '-' | '_') { out.push(between) } else { out.extend(c.to_lowercase()) }
    }
    out
}

fn of_two(name: &str, first: &Value, second: &Value) -> Option<Outcome> {
    let (a, b) = (first.text(), second.text());
    let (a, b) = (a.as_str(), b.as_str());
    Some(Ok(match name {
        "trimSuffix" => b.strip_suffix(a).unwrap_or(b).into(),
        "trimPrefix" => b.strip_prefix(a).unwrap_or(b).into(),
        "trimAll" => b.trim_matches(|c| a.contains(c)).into(),
        "hasPrefix" => b.starts_with(a).into(),
        "hasSuffix" => b.ends_with(a).into(),
        "contains" => b.contains(a).into(),
        "trunc" => {
            let (length, all) = (first.int(), b.chars().count());
            let size = usize::try_from(length.unsigned_abs()).unwrap_or(all).min(all);
            let skip = if length < 0 { all - size } else { 0 };
            b.chars().skip(skip).take(size).collect::<String>().into()
        }
        "indent" | "nindent" => return Some(indented(name, first.int(), b)),
        "repeat" => {
            let count = usize::try_from(first.int()).unwrap_or(0);
            if count.saturating_mul(b.len()) > MAX_BYTES {
                return Some(Err("the text becomes too long".to_owned()));
            }
            b.repeat(count).into()
        }
        "splitList" => b.split(a).map(Value::from).collect::<Vec<_>>().into(),
        "split" => b.split(a).enumerate().map(|(at, part)| (format!("_{at}"), part.into())).collect(),
        "join" => second.items().iter().map(Value::text).collect::<Vec<_>>().join(a).into(),
        "cat" => format!("{a} {b}").into(),
        "regexMatch" => return Some(pattern(a).map(|regex| regex.is_match(b).into())),
        "regexFind" => {
            return Some(pattern(a).map(|regex| regex.find(b).map_or("", |found| found.as_str()).into()));
        }
        _ => return None,
    }))
}

fn of_three(name: &str, first: &Value, second: &Value, third: &Value) -> Option<Outcome> {
    let (a, b, c) = (first.text(), second.text(), third.text());
    Some(match name {
        "replace" => Ok(c.replace(&a, &b).into()),
        "substr" => {
            let from = usize::try_from(first.int()).unwrap_or(0);
            let to = usize::try_from(second.int()).unwrap_or(c.len());
            Ok(c.get(from..to.min(c.len())).unwrap_or_default().into())
        }
        "regexReplaceAll" => {
            let with = c.replace("${1}", "$1");
            pattern(&a).map(|regex| regex.replace_all(&b, with.as_str()).into_owned().into())
        }
        "regexReplaceAllLiteral" => {
            pattern(&a).map(|regex| regex.replace_all(&b, regex::NoExpand(&c)).into_owned().into())
        }
        _ => return None,
    })
}

fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text).size_limit(MAX_BYTES).build().map_err(|error| error.to_string())
}

fn indented(name: &str, width: i64, text: &str) -> Outcome {
    let width = usize::try_from(width).ok().filter(|width| *width <= 200).ok_or("no such indentation")?;
    if text.len().saturating_add(width.saturating_mul(text.lines().count())) > 8 * MAX_BYTES {
        return Err("the text becomes too long".to_owned());
    }
    let pad = " ".repeat(width);
    let body = text.split('\n').map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n");
    Ok(if name == "nindent" { format!("\n{body}") } else { body }.into())
}

/// Functions of any number of arguments.
fn join(name: &str, arguments: &[Value]) -> Option<Outcome> {
    let texts = || arguments.iter().map(Value::text);
    Some(Ok(match name {
        "print" => texts().collect::<String>().into(),
        "println" => format!("{}\n", texts().collect::<Vec<_>>().join(" ")).into(),
        "cat" => texts().collect::<Vec<_>>().join(" ").into(),
        "quote" => {
            texts().map(|text| serde_json::Value::from(text).to_string()).collect::<Vec<_>>().join(" ").into()
        }
        "printf" => return Some(formatted(&arguments[0].text(), &arguments[1..])),
        _ => return None,
    }))
}

/// Go's `Sprintf` for `%s %d %v %q %t %x %f %%`; width and flags are passed over but for zero padding.
fn formatted(format: &str, arguments: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut next = arguments.iter();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        let verb = loop {
            match chars.next().ok_or("a format ends early")? {
                c @ ('0'..='9' | '-' | '+' | '.' | '#' | ' ') => flags.push(c),
                c => break c,
            }
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = next.next() else { return Err("a format has too few arguments".to_owned()) };
        let text = match verb {
            's' | 'v' | 't' => value.text(),
            'd' => value.int().to_string(),
            'q' => serde_json::Value::from(value.text()).to_string(),
            'x' => format!("{:x}", value.int()),
            'f' | 'g' => {
                let places = flags.split_once('.').and_then(|(_, places)| places.parse::<usize>().ok());
                places.map_or_else(|| value.text(), |places| format!("{:.*}", places.min(20), value.float()))
            }
            other => return Err(format!("format %{other} is not known")),
        };
        let width: usize = flags
            .trim_start_matches(['0', '-', '+'])
            .split('.')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or(0);
        let missing = width.min(200).saturating_sub(text.chars().count());
        let pad = if flags.starts_with('0') { "0" } else { " " };
        if flags.starts_with('-') {
            out.push_str(&text);
            out.push_str(&" ".repeat(missing));
        } else {
            out.push_str(&pad.repeat(missing));
            out.push_str(&text);
        }
    }
    Ok(out.into())
}
