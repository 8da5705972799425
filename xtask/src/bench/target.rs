//! A server under load: its address and what the kernel says of its processes.

use std::net::ToSocketAddrs as _;
use std::str::FromStr;

use anyhow::Context as _;
use e2e::Target;

/// Kernel clock ticks per second (`getconf CLK_TCK`; fixed at 100 for user space on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// NAME=URL=PID of the command line.
#[derive(Debug, Clone)]
pub(crate) struct BenchTarget {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// The path of the URL, without a slash at its end.
    pub(crate) path: String,
    processes: Vec<u32>,
}

impl FromStr for BenchTarget {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, rest) = text.split_once('=').context("NAME=URL=PID")?;
        let (url, processes) = rest.rsplit_once('=').context("NAME=URL=PID")?;
        let rest = url.strip_prefix("http://").context("the URL begins with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.split_once(':').context("user:password@host")?), host),
            None => (None, authority),
        };
        let addr = host.to_socket_addrs().context("host:port")?.next().context("no such host")?;
        let credentials = user.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let processes =
            processes.split('+').map(str::parse).collect::<Result<_, _>>().context("PID[+PID…]")?;
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { name: name.to_owned(), target: Target { addr, credentials }, path, processes })
    }
}

impl BenchTarget {
    /// User and system time of its processes since they began, in microseconds.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let mut ticks = 0.0;
        for id in &self.processes {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))
                .with_context(|| format!("{}: no process {id}", self.name))?;
            // The name in parentheses may hold anything; fields are counted after it (proc(5): 14 utime, 15 stime).
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
            ticks += fields.filter_map(|f| f.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(ticks / TICKS_PER_SECOND * 1e6)
    }

    /// Resident memory now, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory since [`Self::reset_peak`], in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Forgets the peak so far (proc(5), clear_refs 5). Without the right to it the peak includes what was before.
    pub(crate) fn reset_peak(&self) {
        for id in &self.processes {
            let _ = std::fs::write(format!("/proc/{id}/clear_refs"), "5");
        }
    }

    fn status(&self, field: &str) -> u64 {
        let of = |id: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned();
            line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default()
        };
        self.processes.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_name_an_address_and_processes() {
        let target: BenchTarget = "ours=http://admin:s=cret@127.0.0.1:5000/files/=12+13".parse().unwrap();
        assert_eq!(target.name, "ours");
        assert_eq!(target.target.addr.to_string(), "127.0.0.1:5000");
        assert_eq!(target.target.credentials, Some(("admin".to_owned(), "s=cret".to_owned())));
        assert_eq!((target.path.as_str(), &target.processes[..]), ("/files", &[12, 13][..]));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "a",
            "a=http://x",
            "a=ftp://127.0.0.1:1=2",
            "a=http://127.0.0.1:1=x",
            "a=http://u@127.0.0.1:1=2",
        ] {
            assert!(text.parse::<BenchTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_own_process_has_used_cpu_and_memory() {
        let target: BenchTarget = format!("me=http://127.0.0.1:1={}", std::process::id()).parse().unwrap();
        assert!(target.cpu_us().unwrap() >= 0.0);
        assert!(target.resident_kib() > 100 && target.peak_kib() >= target.resident_kib() / 2);
    }
}
