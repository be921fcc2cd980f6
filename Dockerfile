# The image of crates-ferry: Debian, the certificates of public CAs, the programs, and a user without rights.
#
#   docker build -t crates-ferry .
#   docker run -p 8080:8080 -v crates:/ferry crates-ferry up
#   docker run --rm -e FERRY_MIRROR_URL -e SSH_PRIVATE_KEY -e SSH_KNOWN_HOSTS crates-ferry sync --dry-run
#
# It wants no disk, no rights and little memory: --read-only --cap-drop ALL --memory 64m is enough. As the image of a GitLab
# job it needs `entrypoint: [""]`. ci/check-image builds and proves it.

FROM rust:1.95-bookworm AS build
WORKDIR /build

# More than a megabyte less of each program: addresses that depend on where it is loaded take bits, and not 24 bytes each. The
# system below is new enough to read that (glibc 2.36); a linker that does not know it ignores it.
ENV RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs"

# The dependencies are a layer of their own, which lasts until one of these files changes; cargo wants to see every member of
# the workspace. Empty libraries stand in for ours; what was made of them goes again, so that no stale build of one can pass
# for the real one.
COPY Cargo.toml Cargo.lock ./
COPY fuzz/Cargo.toml fuzz/
COPY src/git/Cargo.toml src/git/
COPY src/ground/Cargo.toml src/ground/
RUN touch src/lib.rs src/git/lib.rs src/ground/lib.rs \
    && cargo build --release --locked --lib \
    && cargo clean --release --package crates-ferry --package crates-ferry-git --package crates-ferry-ground

COPY askama.toml build.rs ./
COPY src src
# There is no repository here, so `--version` learns the commit and its date from these.
ARG REVISION
ARG COMMIT_DATE
ARG SOURCE_DATE_EPOCH
RUN CRATES_FERRY_COMMIT="$REVISION" CRATES_FERRY_COMMIT_DATE="$COMMIT_DATE" cargo install --path . --locked --root /out

# Debian's own certificates. /etc/ssl/certs of the machine that builds may hold a company's besides, which must not be trusted
# wherever the image runs. awk ends the last line of each file.
RUN awk 1 /usr/share/ca-certificates/mozilla/*.crt >/out/ca-certificates.crt


FROM debian:bookworm-slim

# The home folder is also where a mounted ferry.yml is found. Anybody may enter it: some hosts choose the user id themselves.
RUN groupadd --gid 10001 ferry \
    && useradd --uid 10001 --gid ferry --no-log-init --no-create-home --home-dir /ferry --shell /bin/sh ferry \
    && install --directory --owner=ferry --group=ferry /ferry
WORKDIR /ferry

COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/ /usr/local/bin/

# The C library keeps what threads give back, for each of them apart. With two arenas for all of them the API server has a quarter
# less memory after it has taken in a database dump.
ENV MALLOC_ARENA_MAX=2

# Loopback of a container is nobody's. Both `up` and `serve` listen here.
ENV FERRY_SERVE_LISTEN=0.0.0.0:8080
EXPOSE 8080

USER 10001:10001
ENTRYPOINT ["crates-ferry"]
CMD ["--help"]

# Who publishes the image adds --label org.opencontainers.image.source=URL.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="crates-ferry" \
    org.opencontainers.image.description="Carries the crates.io index to a git host you own, without ever cloning it" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
