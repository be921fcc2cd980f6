#!/usr/bin/env bash
# A container engine and the base images for ci/check-image, which reads this file and has `step` and `fail`.
#
# find_or_start_engine   uses the engine that answers; else starts one that ends with the script
# find_or_make_bases     sees to the Dockerfile's base images: there, pulled, or made on the spot
#
# Base images are made only in an engine of our own, never under their names in somebody else's: Debian by debootstrap, Rust by
# adding a linker, this machine's toolchain, and the CAs that this machine trusts, so that cargo gets through a company's proxy.

engine_folder=$(realpath -m "${FERRY_ENGINE_DIR:-/var/tmp/crates-ferry-engine}")
engine_is_ours=

engine_answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

find_or_start_engine() {
    case ${DOCKER_HOST:-unix://} in
    unix://* | tcp://localhost:* | tcp://127.*) ;;
    *) fail "DOCKER_HOST is $DOCKER_HOST: the engine has to run on this machine, as the git servers listen on loopback" ;;
    esac
    if engine_answers; then
        step "the engine that is there: $(docker version --format '{{.Server.Version}}')"
    elif [[ -n ${DOCKER_HOST:-} ]]; then
        fail "nobody answers at DOCKER_HOST, $DOCKER_HOST; unset it to have an engine started for the time of the check"
    else
        start_engine
    fi
}

# ------------------------------------------------------------------------------------------------ an engine of our own

start_engine() {
    step "no engine answers; starting one in $engine_folder"
    install_engine
    mkdir -p "$engine_folder"
    # A folder that somebody else put there first would be theirs to change.
    [[ -O $engine_folder ]] || fail "$engine_folder belongs to somebody else; name another folder in FERRY_ENGINE_DIR"
    chmod 700 "$engine_folder"
    exec {engine_lock}>"$engine_folder/lock"
    flock --timeout 1800 "$engine_lock" || fail "another check has kept $engine_folder busy for half an hour"
    engine_is_ours=yes
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # The client of the engine's own version, also where another one comes first.
    mkdir -p "$engine_folder/bin"
    ln -sf /usr/bin/docker "$engine_folder/bin/docker"
    export PATH=$engine_folder/bin:$PATH DOCKER_HOST=unix://$engine_folder/docker.sock
    # Newer clients have it as their default, where they have it.
    if [[ $(docker --version) == "Docker version 20."* ]]; then export DOCKER_BUILDKIT=1; fi
    # One that outlived a check which was killed is taken over, and ended with this one.
    if ! engine_answers; then run_dockerd; fi
}

install_engine() {
    local package missing=()
    for package in docker.io:/usr/sbin/dockerd docker.io:/usr/bin/docker debootstrap:/usr/sbin/debootstrap; do
        [[ -x ${package#*:} ]] || missing+=("${package%%:*}")
    done
    ((EUID == 0)) || fail "no container engine answers, and none can be started without being root"
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "no container engine answers, and there is no apt-get to install one"
    echo "installing ${missing[*]}"
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"; } >/dev/null; then
        fail "no container engine answers, and apt-get cannot install ${missing[*]}"
    fi
}

# Without bridge and iptables it needs no more of the machine than mounts and cgroups; the check uses the host's network.
run_dockerd() {
    local log=$engine_folder/dockerd.log _
    rm -f "$engine_folder/dockerd.pid"
    setsid dockerd --data-root "$engine_folder/data" --exec-root "$engine_folder/exec" \
        --pidfile "$engine_folder/dockerd.pid" --host "$DOCKER_HOST" --bridge=none --iptables=false --ip6tables=false \
        --ip-forward=false >"$log" 2>&1 </dev/null {engine_lock}>&- &
    for _ in {1..150}; do
        if engine_answers; then return; fi
        if ! kill -0 $! 2>/dev/null; then break; fi
        sleep 0.2
    done
    tail -n 20 "$log" >&2
    fail "dockerd does not start here, see above; it takes root with the right to mount and to make cgroups"
}

# Ends the engine with all that it runs; what is stored stays.
stop_engine() {
    local pid mount _
    pid=$(cat "$engine_folder/dockerd.pid" 2>/dev/null || true)
    if [[ -n $pid ]]; then
        kill "$pid" 2>/dev/null || true
        for _ in {1..150}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
    fi
    while read -r mount; do
        umount "$mount" || true
    done < <(awk -v below="$engine_folder/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r)
}

# ------------------------------------------------------------------------------------------------------- base images

find_or_make_bases() {
    build_base=$(bases | head -n 1)
    runtime_base=$(bases | tail -n 1)
    find_or_make "$runtime_base" make_runtime_base
    find_or_make "$build_base" make_build_base
}

bases() { sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile; }

find_or_make() {
    if [[ -n $(image_id "$1") ]]; then return; fi
    step "docker pull $1"
    if timeout 600 docker pull --quiet "$1"; then return; fi
    [[ -n $engine_is_ours ]] || fail "the engine neither has $1 nor can pull it"
    step "making $1 on the spot, as it cannot be pulled"
    "$2" "$1"
}

# debian:SUITE-slim
make_runtime_base() {
    local suite=${1#debian:} rootfs=$engine_folder/rootfs log=$engine_folder/debootstrap.log
    rm -rf "$rootfs"
    if ! debootstrap --variant=minbase "${suite%-slim}" "$rootfs" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "debootstrap cannot make ${suite%-slim}, see above"
    fi
    tar -C "$rootfs" --numeric-owner --exclude='./var/cache/apt/archives/*' --exclude='./var/lib/apt/lists/*' -c . |
        docker import --change 'CMD ["bash"]' - "$1" ||
        fail "the engine cannot keep an image here, see above; it takes root with the right to mount"
    rm -rf "$rootfs"
}

# rust:VERSION-SUITE
make_build_base() {
    local context=$engine_folder/context
    rm -rf "$context"
    mkdir -p "$context/certificates"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$context/certificates" {} + 2>/dev/null || true
    cat >"$context/Dockerfile" <<END
FROM $runtime_base
RUN apt-get update -qq \\
    && apt-get install -y -qq --no-install-recommends ca-certificates gcc libc6-dev \\
    && rm -rf /var/lib/apt/lists/*
COPY certificates /usr/local/share/ca-certificates
RUN update-ca-certificates
COPY bin /usr/local/bin
COPY lib /usr/local/lib
ENV CARGO_HOME=/usr/local/cargo
END
    rustc --version
    tar -c -C "$context" Dockerfile certificates -C "$(rustc --print sysroot)" bin lib |
        docker build --quiet --network host --tag "$1" -
    rm -rf "$context"
}
