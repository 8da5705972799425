//! Downloads while S3 misbehaves: never a complete 200 with wrong bytes, short faults are not noticed, long ones are a
//! clear refusal or a broken transfer, nothing hangs.

use std::time::{Duration, Instant};

use e2e::Target;
use e2e::http::{Request, Response};
use e2e::image::noise;
use e2e::proxy::Fault;
use e2e::registry::sha256;

use crate::writes::behind_a_proxy;
use crate::{Outcome, is_retriable, is_there, push};

const SMALL: usize = 100_000;
const LARGE: usize = 3_000_000;
/// Every answer comes within this.
const NO_HANG: Duration = Duration::from_mins(4);

fn pull(target: &Target, bytes: &[u8], range: Option<(usize, usize)>) -> anyhow::Result<Response> {
    let start = Instant::now();
    let mut get = Request::new("GET", format!("/v2/faulty/app/blobs/{}", sha256(bytes)));
    if let Some((first, last)) = range {
        get = get.header("Range", format!("bytes={first}-{last}"));
    }
    let answer = target.send(&get)?;
    anyhow::ensure!(start.elapsed() < NO_HANG, "{} after {:?}", answer.status, start.elapsed());
    Ok(answer)
}

#[test]
fn short_bursts_of_failures_are_not_noticed() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let mut seed = 0;
    for size in [SMALL, LARGE] {
        for (method, fault) in [
            ("HEAD", Fault::Status(500)),
            ("HEAD", Fault::CutAnswer),
            ("GET", Fault::Status(503)),
            ("GET", Fault::CutAnswer),
            ("GET", Fault::Truncate(0)),
            ("GET", Fault::Truncate(70_001)),
            ("GET", Fault::Hang),
            ("GET", Fault::Slow(40_000)),
        ] {
            seed += 1;
            let bytes = noise(seed, size);
            assert_eq!(push(&target, "faulty/app", &bytes)?.status, 201);
            proxy.harm_next(2, method, "/blobs/", fault);
            let got = pull(&target, &bytes, None)?;
            let whole = got.status == 200 && got.complete && got.body == bytes;
            assert!(whole, "{method} {fault:?} of {size}: {} with {} bytes", got.status, got.body.len());
            proxy.harm_next(2, method, "/blobs/", fault);
            let part = pull(&target, &bytes, Some((50_000, 99_999)))?;
            assert_eq!((part.status, part.body == bytes[50_000..100_000]), (206, true), "{method} {fault:?}");
            proxy.heal();
        }
    }
    Ok(())
}

#[test]
fn lasting_failures_never_end_as_a_complete_200() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let (small, large) = (noise(1, SMALL), noise(2, LARGE));
    for bytes in [&small, &large] {
        assert_eq!(push(&target, "faulty/app", bytes)?.status, 201);
    }
    for (method, fault) in [
        ("", Fault::Status(500)),
        ("", Fault::CutAnswer),
        ("", Fault::Hang),
        ("GET", Fault::Status(503)),
        ("GET", Fault::Truncate(0)),
        ("GET", Fault::Truncate(60_000)),
        ("GET", Fault::CutAnswer),
        ("GET", Fault::Hang),
    ] {
        proxy.judge(move |line| if line.starts_with(method) { fault } else { Fault::Nothing });
        let answers: Vec<anyhow::Result<Response>> = std::thread::scope(|scope| {
            let target = &target;
            let pulls: Vec<_> = [(&small, None), (&large, None), (&large, Some((1, 2_000_000)))]
                .into_iter()
                .map(|(bytes, range)| scope.spawn(move || pull(target, bytes, range)))
                .collect();
            pulls.into_iter().map(|pull| pull.join().unwrap_or_else(|_| anyhow::bail!("a panic"))).collect()
        });
        for (answer, expected) in answers.into_iter().zip([&small[..], &large, &large[1..2_000_001]]) {
            let answer = answer?;
            match answer.status {
                // Begun and broken off, or brought to its end in many small steps.
                200 | 206 => {
                    assert!(!answer.complete || answer.body == expected, "{method} {fault:?}: wrong bytes");
                }
                _ => is_retriable(&answer)?,
            }
            assert!(answer.status < 300 || answer.body_bytes < 1_000, "{method} {fault:?}");
        }
        proxy.heal();
        for bytes in [&small, &large] {
            is_there(&target, "faulty/app", bytes)?;
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_in_the_bucket_never_leaves_as_a_complete_200() -> Outcome {
    let Some((cluster, proxy)) = behind_a_proxy()? else { return Ok(()) };
    let target = cluster.replica(0);
    let bytes = noise(5, LARGE);
    assert_eq!(push(&target, "faulty/app", &bytes)?.status, 201);
    // The transfer ends early under the full length every time it gets to the second frame.
    proxy.judge(|line| if line.starts_with("GET") { Fault::Truncate(1) } else { Fault::Nothing });
    let got = pull(&target, &bytes, None)?;
    assert!(got.status != 200 || !got.complete, "{} complete", got.status);
    proxy.heal();
    // A fault on the way is no damage: nothing was quarantined for it.
    is_there(&target, "faulty/app", &bytes)
}
