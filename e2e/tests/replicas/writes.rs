//! Uploads while S3 misbehaves: nothing is acknowledged that is not there, short faults are not noticed, long ones are
//! a clear refusal, and the memory of failed uploads is given back.

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Plan, Stores};
use e2e::http::Response;
use e2e::image::noise;
use e2e::proxy::{Fault, FaultyHttp};
use e2e::registry::sha256;
use e2e::{Target, tools};

use crate::{Outcome, is_there, push};

/// Less than a part, and some parts.
const SMALL: usize = 300_000;
const LARGE: usize = 12_000_000;

/// Every answer comes within this.
const NO_HANG: Duration = Duration::from_mins(4);

/// A server whose bucket is behind a proxy, with memory for two uploads of one principal at a time.
pub(crate) fn behind_a_proxy() -> anyhow::Result<Option<(Cluster, FaultyHttp)>> {
    let Some(stores) = Stores::start()? else { return Ok(None) };
    let proxy = FaultyHttp::start(stores.s3.addr())?;
    let plan = Plan { s3_port: Some(proxy.port()), ..Plan::default() }
        .with("BONDED_LIMITS__UPLOAD_MEMORY", "64MiB")
        .with("BONDED_STORAGE__S3__STALL_TIMEOUT", "3s");
    Ok(Some((Cluster::on(stores, 1, &plan)?, proxy)))
}

/// A push that is answered in time.
fn timed_push(target: &Target, repo: &str, bytes: &[u8]) -> anyhow::Result<Response> {
    let start = Instant::now();
    let answer = push(target, repo, bytes)?;
    anyhow::ensure!(start.elapsed() < NO_HANG, "{} after {:?}", answer.status, start.elapsed());
    Ok(answer)
}

/// More uploads than there is memory for at once all come through.
fn memory_was_given_back(target: &Target, seed: u64) -> Outcome {
    let pushed: Vec<anyhow::Result<Response>> = std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..5)
            .map(|n| scope.spawn(move || push(target, "faulty/after", &noise(seed * 100 + n, LARGE))))
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap_or_else(|_| anyhow::bail!("a panic"))).collect()
    });
    for pushed in pushed {
        let pushed = pushed?;
        anyhow::ensure!(pushed.status == 201, "{} {}", pushed.status, pushed.text());
    }
    Ok(())
}

#[test]
fn short_bursts_of_failures_are_not_noticed() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let cases: [(usize, &str, &str, Fault); 12] = [
        (SMALL, "PUT", "/blobs/", Fault::Status(500)),
        (SMALL, "PUT", "/blobs/", Fault::Status(503)),
        (SMALL, "PUT", "/blobs/", Fault::CutAnswer),
        (SMALL, "PUT", "/blobs/", Fault::ResetBody),
        (LARGE, "POST", "uploads", Fault::Status(503)),
        (LARGE, "POST", "uploads", Fault::CutAnswer),
        (LARGE, "PUT", "partNumber", Fault::Status(500)),
        (LARGE, "PUT", "partNumber", Fault::CutAnswer),
        (LARGE, "PUT", "partNumber", Fault::ResetBody),
        (LARGE, "POST", "uploadId", Fault::Status(500)),
        (LARGE, "POST", "uploadId", Fault::ErrorIn200),
        (LARGE, "POST", "uploadId", Fault::CutAnswer),
    ];
    for (n, (size, method, mark, fault)) in cases.into_iter().enumerate() {
        let bytes = noise(n as u64, size);
        proxy.harm_next(2, method, mark, fault);
        let answer = timed_push(&target, "faulty/app", &bytes)?;
        assert_eq!(answer.status, 201, "{method} {mark} {fault:?}: {}", answer.text());
        proxy.heal();
        is_there(&target, "faulty/app", &bytes)?;
    }
    memory_was_given_back(&target, 1)
}

#[test]
fn lasting_failures_are_a_clear_refusal_and_give_their_memory_back() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let faults = [Fault::Status(500), Fault::Status(503), Fault::CutAnswer, Fault::ResetBody, Fault::Hang];
    for (n, fault) in faults.into_iter().enumerate() {
        proxy.judge(move |_| fault);
        let start = Instant::now();
        let answers: Vec<(Vec<u8>, anyhow::Result<Response>)> = std::thread::scope(|scope| {
            let target = &target;
            let pushes: Vec<_> = [SMALL, LARGE, SMALL, LARGE]
                .into_iter()
                .enumerate()
                .map(|(m, size)| {
                    scope.spawn(move || {
                        let bytes = noise((n * 10 + m) as u64 + 1_000, size);
                        let answer = timed_push(target, "faulty/app", &bytes);
                        (bytes, answer)
                    })
                })
                .collect();
            pushes
                .into_iter()
                .map(|push| push.join().unwrap_or_else(|_| (vec![], Err(anyhow::anyhow!("a panic")))))
                .collect()
        });
        tools::figure(&format!(
            "{fault:?} for all requests: refused within {:.0} s",
            start.elapsed().as_secs_f64()
        ));
        proxy.heal();
        for (bytes, answer) in answers {
            let answer = answer?;
            crate::is_retriable(&answer)?;
            let path = format!("/v2/faulty/app/blobs/{}", sha256(&bytes));
            assert_eq!(target.fetch(path)?.status, 404, "{fault:?}: not acknowledged, not there");
            let again = timed_push(&target, "faulty/app", &bytes)?;
            assert_eq!(again.status, 201, "{fault:?}, healed: {}", again.text());
            is_there(&target, "faulty/app", &bytes)?;
        }
        memory_was_given_back(&target, n as u64 + 2)?;
    }
    Ok(())
}

#[test]
fn an_upload_in_chunks_goes_on_where_it_was_after_the_bucket_was_away() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    for (n, first) in [100_000, 7_000_000].into_iter().enumerate() {
        let bytes = noise(n as u64 + 50, LARGE + first);
        let location = crate::open(&target, "faulty/app")?;
        assert_eq!(crate::patch(&target, &location, 0, &bytes[..first])?.status, 202);
        proxy.judge(|_| Fault::Status(503));
        crate::is_retriable(&crate::patch(&target, &location, first, &bytes[first..])?)?;
        proxy.heal();
        let status = target.fetch(location.clone())?;
        assert_eq!((status.status, crate::received(&status)), (204, first), "what was acknowledged is kept");
        assert_eq!(crate::patch(&target, &location, first, &bytes[first..])?.status, 202);
        assert_eq!(crate::finish(&target, &location, &bytes)?.status, 201);
        is_there(&target, "faulty/app", &bytes)?;
    }
    Ok(())
}

/// The most memory the process ever had, in bytes.
fn peak_memory(id: Option<u32>) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", id.unwrap_or_default()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

#[test]
fn many_uploads_to_a_slow_bucket_take_bounded_memory() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let before = peak_memory(cluster.servers[0].id())?;
    proxy.judge(|_| Fault::Slow(20));
    let contents: Vec<Vec<u8>> = (0..12).map(|n| noise(n + 500, 20_000_000)).collect();
    let answers: Vec<anyhow::Result<Response>> = std::thread::scope(|scope| {
        let target = &target;
        let pushes: Vec<_> =
            contents.iter().map(|bytes| scope.spawn(move || push(target, "slow/app", bytes))).collect();
        pushes.into_iter().map(|push| push.join().unwrap_or_else(|_| anyhow::bail!("a panic"))).collect()
    });
    proxy.heal();
    let grown = peak_memory(cluster.servers[0].id())?.saturating_sub(before);
    let mut kept = 0;
    for (bytes, answer) in contents.iter().zip(answers) {
        let answer = answer?;
        if answer.status == 201 {
            kept += 1;
            is_there(&target, "slow/app", bytes)?;
        } else {
            crate::is_retriable(&answer)?;
        }
    }
    tools::figure(&format!(
        "12 uploads of 20 MB to a slow bucket with 16 MiB for them: {kept} kept, peak memory + {} MiB",
        grown >> 20
    ));
    assert!(grown < 150 << 20, "{grown} bytes more than before");
    assert!(kept > 0);
    memory_was_given_back(&target, 9)
}
