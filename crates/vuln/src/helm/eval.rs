//! Templates, executed: bounded in steps, depth and output.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::functions;
use super::parse::{self, Node, Operand, Pipeline};
use super::value::Value;

/// Most nodes and commands of one chart.
const MAX_STEPS: usize = 500_000;
/// Deepest nesting of blocks, parentheses and templates together; each takes several frames of the stack.
const MAX_DEPTH: usize = 150;
/// Longest output of one template, in bytes.
const MAX_OUTPUT_BYTES: usize = 8 << 20;

/// What names defined templates have, and how much work is left.
#[derive(Default)]
pub(super) struct Engine {
    defined: BTreeMap<String, Rc<Vec<Node>>>,
    steps: usize,
    depth: usize,
}

/// Whether execution goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What a template sees: the dot, the root and variables, the innermost last.
struct Scope {
    dot: Value,
    variables: Vec<(String, Value)>,
}

impl Engine {
    /// Takes a file's definitions; answers what the file itself prints.
    pub(super) fn load(&mut self, text: &str) -> Result<Vec<Node>, String> {
        let file = parse::parse(text)?;
        for (name, body) in file.defined {
            self.defined.insert(name, Rc::new(body));
        }
        Ok(file.body)
    }

    /// Defines a template.
    pub(super) fn define(&mut self, name: &str, body: &[Node]) {
        self.defined.insert(name.to_owned(), Rc::new(body.to_vec()));
    }

    /// Executes nodes with a root.
    pub(super) fn run(&mut self, nodes: &[Node], root: &Value) -> Result<String, String> {
        let mut out = String::new();
        let variables = vec![(String::new(), root.clone())];
        self.nodes(nodes, &mut Scope { dot: root.clone(), variables }, &mut out)?;
        Ok(out)
    }

    /// Executes a defined template.
    pub(super) fn include(&mut self, name: &str, dot: &Value) -> Result<String, String> {
        let body =
            self.defined.get(name).cloned().ok_or_else(|| format!("template `{name}` is not defined"))?;
        self.deeper(|engine| engine.run(&body, dot))
    }

    /// Executes a text as a template.
    pub(super) fn text(&mut self, text: &str, dot: &Value) -> Result<String, String> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let nodes = self.load(text)?;
        self.deeper(|engine| engine.run(&nodes, dot))
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("templates are nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(format!("more than {MAX_STEPS} steps")) } else { Ok(()) }
    }

    fn nodes(&mut self, nodes: &[Node], scope: &mut Scope, out: &mut String) -> Result<Flow, String> {
        self.deeper(|engine| engine.block(nodes, scope, out))
    }

    fn block(&mut self, nodes: &[Node], scope: &mut Scope, out: &mut String) -> Result<Flow, String> {
        let outer = scope.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, scope, out)?;
            if out.len() > MAX_OUTPUT_BYTES {
                return Err(format!("more than {MAX_OUTPUT_BYTES} bytes are printed"));
            }
            if flow != Flow::On {
                break;
            }
        }
        scope.variables.truncate(outer);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, scope: &mut Scope, out: &mut String) -> Result<Flow, String> {
        self.step()?;
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, scope)?;
                if pipeline.variables.is_empty() {
                    out.push_str(&value.text());
                }
            }
            Node::If { branches, otherwise } => {
                let outer = scope.variables.len();
                for (condition, body) in branches {
                    if self.pipeline(condition, scope)?.truth() {
                        let flow = self.nodes(body, scope, out)?;
                        scope.variables.truncate(outer);
                        return Ok(flow);
                    }
                }
                let flow = self.nodes(otherwise, scope, out)?;
                scope.variables.truncate(outer);
                return Ok(flow);
            }
            Node::With { branches, otherwise } => {
                let outer = scope.variables.len();
                for (condition, body) in branches {
                    let value = self.pipeline(condition, scope)?;
                    if value.truth() {
                        let dot = std::mem::replace(&mut scope.dot, value);
                        let flow = self.nodes(body, scope, out);
                        scope.dot = dot;
                        scope.variables.truncate(outer);
                        return flow;
                    }
                }
                let flow = self.nodes(otherwise, scope, out)?;
                scope.variables.truncate(outer);
                return Ok(flow);
            }
            Node::Range { over, body, otherwise } => self.range(over, body, otherwise, scope, out)?,
            Node::Template { name, with } => {
                let dot = match with {
                    Some(pipeline) => self.pipeline(pipeline, scope)?,
                    None => Value::Nil,
                };
                out.push_str(&self.include(name, &dot)?);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        scope: &mut Scope,
        out: &mut String,
    ) -> Result<(), String> {
        let plain = Pipeline { commands: over.commands.clone(), ..Pipeline::default() };
        let value = self.pipeline(&plain, scope)?;
        let pairs: Vec<(Value, Value)> = match &value {
            Value::List(items) => (0..).map(Value::Int).zip(items.iter().cloned()).collect(),
            Value::Map(members) => {
                members.borrow().iter().map(|(key, value)| (key.as_str().into(), value.clone())).collect()
            }
            Value::Int(count) => {
                (0..(*count).clamp(0, 10_000)).map(|n| (Value::Int(n), Value::Int(n))).collect()
            }
            Value::Nil => Vec::new(),
            other => return Err(format!("range over a {}", other.kind())),
        };
        if pairs.is_empty() {
            self.nodes(otherwise, scope, out)?;
            return Ok(());
        }
        let outer = scope.variables.len();
        let dot = scope.dot.clone();
        for (key, item) in pairs {
            match over.variables.as_slice() {
                [one] => scope.variables.push((one.clone(), item.clone())),
                [first, second] => {
                    scope.variables.push((first.clone(), key));
                    scope.variables.push((second.clone(), item.clone()));
                }
                _ => {}
            }
            scope.dot = item;
            let flow = self.nodes(body, scope, out);
            scope.variables.truncate(outer);
            scope.dot = dot.clone();
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, scope: &mut Scope) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, scope)?);
        }
        let value = value.unwrap_or_default();
        if let [name] = pipeline.variables.as_slice() {
            let known = scope.variables.iter_mut().rev().find(|(known, _)| known == name);
            match known {
                Some((_, old)) if pipeline.assign => *old = value.clone(),
                _ => scope.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        words: &[Operand],
        piped: Option<Value>,
        scope: &mut Scope,
    ) -> Result<Value, String> {
        self.step()?;
        let Some((first, rest)) = words.split_first() else { return Err("an empty command".to_owned()) };
        let Operand::Function(name) = first else {
            let arguments = self.arguments(rest, piped, scope)?;
            return match (self.operand(first, scope)?, last_field(first)) {
                // What Helm gives charts beside values are methods of Go.
                (Value::Nil, Some(method)) => Ok(functions::method(method, &arguments)),
                (value, _) => Ok(value),
            };
        };
        match name.as_str() {
            // These do not look at arguments that they do not need.
            "and" | "or" => {
                let wanted = name == "or";
                let mut last = Value::Nil;
                for word in rest {
                    last = self.operand(word, scope)?;
                    if last.truth() == wanted {
                        return Ok(last);
                    }
                }
                Ok(piped.unwrap_or(last))
            }
            "include" | "tpl" => {
                let arguments = self.arguments(rest, piped, scope)?;
                let [name_or_text, dot] = arguments.as_slice() else {
                    return Err(format!("{name} takes two arguments"));
                };
                let text = name_or_text.text();
                let made = if name == "include" { self.include(&text, dot) } else { self.text(&text, dot) };
                made.map(Value::from)
            }
            _ => functions::call(name, &self.arguments(rest, piped, scope)?),
        }
    }

    fn arguments(
        &mut self,
        words: &[Operand],
        piped: Option<Value>,
        scope: &mut Scope,
    ) -> Result<Vec<Value>, String> {
        let mut out = Vec::with_capacity(words.len() + 1);
        for word in words {
            out.push(self.operand(word, scope)?);
        }
        out.extend(piped);
        Ok(out)
    }

    fn operand(&mut self, operand: &Operand, scope: &mut Scope) -> Result<Value, String> {
        let walk = |value: Value, fields: &[String]| fields.iter().fold(value, |value, key| value.get(key));
        Ok(match operand {
            Operand::Field(fields) => walk(scope.dot.clone(), fields),
            Operand::Variable(name, fields) => {
                let found = scope.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map(|(_, value)| value.clone());
                walk(value.ok_or_else(|| format!("variable ${name} is not set"))?, fields)
            }
            Operand::Function(_) => self.command(std::slice::from_ref(operand), None, scope)?,
            Operand::Text(text) => text.as_str().into(),
            Operand::Int(number) => Value::Int(*number),
            Operand::Float(number) => Value::Float(*number),
            Operand::Bool(truth) => Value::Bool(*truth),
            Operand::Nil => Value::Nil,
            Operand::Parenthesis(pipeline, fields) => {
                let value = self.deeper(|engine| engine.pipeline(pipeline, scope))?;
                match (walk(value.clone(), fields), fields.last()) {
                    (Value::Nil, Some(method)) if !matches!(value, Value::Map(_)) => {
                        functions::method(method, &[value])
                    }
                    (found, _) => found,
                }
            }
        })
    }
}

fn last_field(operand: &Operand) -> Option<&str> {
    match operand {
        Operand::Field(fields) | Operand::Variable(_, fields) => fields.last().map(String::as_str),
        _ => None,
    }
}
