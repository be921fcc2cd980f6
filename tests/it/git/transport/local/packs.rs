//! How large packs are, beside those of git.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::support::data::unbundle;
use crate::support::repo::{git, git_command};

/// Asks for what leads from one commit to another, and returns the size of the pack.
fn pack_size(answer: impl tokio::io::AsyncRead + Unpin + 'static) -> u64 {
    use crates_ferry::git::wire::upload_pack::{Fetch, FetchResponse};
    use crates_ferry::git::wire::{Advertisement, PacketReader, Protocol, Sideband};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut packets = PacketReader::new(answer);
        Advertisement::read(&mut packets).await.unwrap();
        let answer = FetchResponse::read(&mut packets, Protocol::V2, &Fetch::default()).await;
        assert!(answer.unwrap().pack_follows);
        let mut pack = Sideband::new(&mut packets);
        let mut size = 0;
        while let Some(data) = pack.data().await.unwrap() {
            size += data.len() as u64;
        }
        size
    })
}

fn request(tip: &str, base: &str) -> Vec<u8> {
    use crates_ferry::git::wire::PacketWriter;
    let mut request = PacketWriter::new();
    request.line("command=fetch").delimiter();
    for line in ["no-progress", "ofs-delta", "thin-pack"] {
        request.line(line);
    }
    request
        .line(&format!("want {tip}"))
        .line(&format!("shallow {base}"))
        .line(&format!("have {base}"))
        .line("done");
    request.flush().flush().finish().to_vec()
}

/// Returns the size of the pack that git sends.
fn gits_size(repo: &Path, request: &[u8]) -> u64 {
    let mut process = git_command(repo)
        .env("GIT_PROTOCOL", "version=2")
        .args(["upload-pack", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(request).unwrap();
    let output = process.wait_with_output().unwrap();
    pack_size(std::io::Cursor::new(output.stdout))
}

/// Returns the size of the pack that the local transport sends.
fn our_size(repo: &Path, request: &[u8]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bytes = runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let remote = crates_ferry::git::transport::local::LocalRemote::new(
            repo,
            &crate::support::client::limits(),
        );
        let mut stream = remote
            .open(crates_ferry::git::transport::Service::UploadPack)
            .await
            .unwrap();
        stream.writer.write_all(request).await.unwrap();
        stream.writer.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        stream.reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    pack_size(std::io::Cursor::new(bytes))
}

#[test]
fn packs_of_real_commits_are_as_small_as_those_of_git() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["packed.git", "loose.git"] {
        git(
            folder.path(),
            &["init", "-q", "--bare", "-b", "master", name],
        );
    }
    let (packed, loose) = (
        folder.path().join("packed.git"),
        folder.path().join("loose.git"),
    );
    if !unbundle("index-2020.bundle", &packed) {
        return;
    }
    let there = packed.to_str().unwrap();
    git(&packed, &["branch", "old", "master~2000"]);
    git(&loose, &["fetch", "-q", there, "old:master"]);
    let unpack = [
        "-c",
        "fetch.unpackLimit=1000000",
        "fetch",
        "-q",
        there,
        "master:master",
    ];
    git(&loose, &unpack);
    for repo in [&packed, &loose] {
        for commits in [20, 200, 2000] {
            let tip = git(repo, &["rev-parse", "master"]);
            let base = git(repo, &["rev-parse", &format!("master~{commits}")]);
            let request = request(&tip, &base);
            let (ours, gits) = (our_size(repo, &request), gits_size(repo, &request));
            println!(
                "{commits} commits of {}: {ours} bytes, git {gits}",
                repo.display()
            );
            assert!(
                ours * 10 <= gits * 11,
                "{commits} commits: {ours} bytes, git {gits}"
            );
        }
    }
}
