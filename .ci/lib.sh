# Functions of the other scripts in this directory, which source this file.
#
# The tests need servers and programs. Each is named by a variable, such as TEST_DATABASE_URL. When the variable is not
# set, a server on this machine is used, or one is started for this run. Programs are installed if they are missing.

# Tools that are not on PATH are installed here.
readonly TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}/threadline-ci"
SCRATCH=""
CHILDREN=()

step() { printf '\n==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Stops the servers that this run has started.
clean_up() {
    local child
    for child in "${CHILDREN[@]}"; do
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
    if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
}
trap clean_up EXIT

scratch() {
    if [ -z "$SCRATCH" ]; then
        SCRATCH="$(mktemp -d)"
        chmod 755 "$SCRATCH"
    fi
}

open_port() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Waits up to 60 s for a server: wait_for PORT NAME LOG
wait_for() {
    local port=$1 name=$2 log=$3 tries
    for tries in $(seq 300); do
        if open_port "$port"; then return; fi
        sleep 0.2
    done
    cat "$log" >&2
    fail "$name did not start on port $port within 60 s"
}

# Prints a free port, the given one or one of the next 50. Below 32768: from there on, systems give
# ports to outgoing connections, and one of those would hold the port without listening.
free_port() {
    local port
    for port in $(seq "$1" "$(($1 + 50))"); do
        if ! open_port "$port"; then
            echo "$port"
            return
        fi
    done
    fail "no free port from $1 on"
}

# Prints the path of a program of PostgreSQL. Debian installs them outside of PATH.
postgres_program() {
    if have "$1"; then
        command -v "$1"
    else
        find /usr/lib/postgresql -path "*/bin/$1" 2>/dev/null | sort -V | tail -n 1
    fi
}

# Installs a Debian package, if this user may: as root, or with a sudo that asks for no password.
install_package() {
    local as_root=()
    have apt-get || return 0
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 0
        as_root=(sudo)
    fi
    step "Install $1"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

start_postgres() {
    if [ -z "$(postgres_program initdb)" ]; then install_package postgresql; fi
    if ! have openssl; then install_package openssl; fi
    have openssl || fail "no openssl to make a certificate for PostgreSQL with; install it, or set TEST_DATABASE_URL"
    local initdb postgres port owner=()
    initdb="$(postgres_program initdb)"
    postgres="$(dirname "$initdb")/postgres"
    [ -n "$initdb" ] || fail "no PostgreSQL: install it, or set TEST_DATABASE_URL"
    scratch
    port="$(free_port 25432)"
    mkdir "$SCRATCH/postgres"
    # It refuses to run as root.
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || fail "no user postgres to run PostgreSQL as; set TEST_DATABASE_URL"
        chown postgres "$SCRATCH/postgres"
        owner=(setpriv --reuid postgres --regid "$(id -g postgres)" --clear-groups)
    fi
    "${owner[@]}" "$initdb" -D "$SCRATCH/postgres" -U postgres -A trust --no-sync >/dev/null
    # Not a CA: clients refuse a CA as the certificate of a server.
    printf '%s\n' '[req]' 'distinguished_name = name' 'x509_extensions = extensions' '[name]' '[extensions]' \
        'basicConstraints = CA:FALSE' 'subjectAltName = DNS:localhost' >"$SCRATCH/certificate.cnf"
    # PostgreSQL refuses a key that others can read.
    (umask 077 && "${owner[@]}" openssl req -new -x509 -nodes -days 2 -subj /CN=localhost \
        -config "$SCRATCH/certificate.cnf" -keyout "$SCRATCH/postgres/server.key" -out "$SCRATCH/postgres/server.crt" 2>/dev/null)
    # No fsync: this data is needed for one run only.
    "${owner[@]}" "$postgres" -D "$SCRATCH/postgres" -p "$port" -c ssl=on -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=off -c max_connections=300 >"$SCRATCH/postgres.log" 2>&1 &
    CHILDREN+=($!)
    wait_for "$port" PostgreSQL "$SCRATCH/postgres.log"
    export TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres"
}

start_redis() {
    if ! have redis-server; then install_package redis-server; fi
    have redis-server || fail "no Redis: install it, or set TEST_REDIS_URL"
    scratch
    local port
    port="$(free_port 26379)"
    redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$SCRATCH" >"$SCRATCH/redis.log" 2>&1 &
    CHILDREN+=($!)
    wait_for "$port" Redis "$SCRATCH/redis.log"
    export TEST_REDIS_URL="redis://127.0.0.1:$port"
}

# Succeeds if the server on this machine has TLS, and lets `postgres` in without a password or with the usual one of
# test images.
postgres_here() {
    have psql || return 1
    local password tls
    for password in "" postgres; do
        tls="$(PGCONNECT_TIMEOUT=3 PGPASSWORD="$password" psql -w -h 127.0.0.1 -U postgres -tAc 'show ssl' postgres 2>/dev/null)" || continue
        [ "$tls" = on ] || return 1
        export TEST_DATABASE_URL="postgres://postgres${password:+:$password}@127.0.0.1:5432/postgres"
        return 0
    done
    return 1
}

# Sets TEST_DATABASE_URL and TEST_REDIS_URL. From here on, a test whose server or program is missing fails.
find_servers() {
    step "Servers for the tests"
    export THREADLINE_TEST_REQUIRE_ALL=1
    if [ -z "${TEST_DATABASE_URL:-}" ]; then postgres_here || start_postgres; fi
    if [ -z "${TEST_REDIS_URL:-}" ]; then
        if open_port 6379; then export TEST_REDIS_URL="redis://127.0.0.1:6379"; else start_redis; fi
    fi
    echo "PostgreSQL: ${TEST_DATABASE_URL##*@}"
    echo "Redis: ${TEST_REDIS_URL##*@}"
}

# Installs a Python package into a virtual environment: python_package DIRECTORY REQUIREMENT VARIABLE
python_package() {
    if ! have python3 || ! python3 -c 'import ensurepip' 2>/dev/null; then install_package python3-venv; fi
    have python3 || fail "no Python: install Python 3.11 or newer, or set $3"
    if [ ! -f "$1/installed" ]; then
        python3 -m venv --clear "$1"
        "$1/bin/pip" install --quiet --disable-pip-version-check "$2"
        touch "$1/installed"
    fi
}

# Starts a server that speaks S3, and sets TEST_S3_URL.
start_s3() {
    step "A server that speaks S3"
    if [ -z "${TEST_S3_URL:-}" ]; then
        local port venv="$TOOLS/moto-$1"
        python_package "$venv" "moto[server,s3]==$1" TEST_S3_URL
        scratch
        port="$(free_port 25000)"
        "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$SCRATCH/s3.log" 2>&1 &
        CHILDREN+=($!)
        wait_for "$port" S3 "$SCRATCH/s3.log"
        export TEST_S3_URL="http://127.0.0.1:$port"
    fi
    echo "S3: $TEST_S3_URL"
}

# Installs ChatKit's Python package, and sets TEST_CHATKIT_PYTHON.
chatkit_python() {
    step "ChatKit's package for Python"
    local version=$1 venv="$TOOLS/chatkit-$1"
    if [ -z "${TEST_CHATKIT_PYTHON:-}" ]; then
        python_package "$venv" "openai-chatkit==$version" TEST_CHATKIT_PYTHON
        export TEST_CHATKIT_PYTHON="$venv/bin/python"
    fi
    "$TEST_CHATKIT_PYTHON" -c 'import importlib.metadata as m; print("openai-chatkit", m.version("openai-chatkit"))'
}

# Installs Chromium and ChromeDriver, and sets TEST_CHROMEDRIVER.
browser() {
    step "A browser"
    if [ -z "${TEST_CHROMEDRIVER:-}" ]; then
        if ! have chromedriver; then
            install_package chromium
            install_package chromium-driver
        fi
        have chromedriver || fail "no browser: install Chromium and ChromeDriver, or set TEST_CHROMEDRIVER"
        export TEST_CHROMEDRIVER="$(command -v chromedriver)"
    fi
    "$TEST_CHROMEDRIVER" --version
}

# Installs axe-core, a checker of accessibility, and sets TEST_AXE.
axe() {
    step "axe-core"
    local version=$1 venv="$TOOLS/axe-$1"
    if [ -z "${TEST_AXE:-}" ]; then
        python_package "$venv" "axe-core-python==$version" TEST_AXE
        TEST_AXE="$(compgen -G "$venv/lib/python*/site-packages/axe_core_python/axe.min.js" | head -n 1)" || true
        [ -n "$TEST_AXE" ] || fail "the package axe-core-python has no axe.min.js; set TEST_AXE"
        export TEST_AXE
    fi
    echo "axe-core: $TEST_AXE"
}

# The library that gives a process a wrong clock; the tests find it where Debian installs it.
fake_time() {
    step "libfaketime"
    if [ -z "${DURABILITY_FAKETIME:-}" ]; then
        if ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; then install_package libfaketime; fi
        DURABILITY_FAKETIME="$(compgen -G '/usr/lib/*/faketime/libfaketime.so.1' | head -n 1)" || true
        [ -n "$DURABILITY_FAKETIME" ] || fail "no libfaketime: install it, or set DURABILITY_FAKETIME"
        export DURABILITY_FAKETIME
    fi
    echo "libfaketime: $DURABILITY_FAKETIME"
}

# Disks of single processes, for tests of a full one. Ubuntu lets only root mount in a namespace, unless it is told otherwise.
own_disks() {
    step "Disks of processes"
    if unshare --user --map-root-user --mount mount -t tmpfs threadline /mnt 2>/dev/null; then return; fi
    if have sudo; then sudo -n sysctl -q kernel.apparmor_restrict_unprivileged_userns=0 || true; fi
    unshare --user --map-root-user --mount mount -t tmpfs threadline /mnt || fail "users cannot mount in a namespace of their own"
}

# PgBouncer; the tests find it where Debian installs it.
pooler() {
    step "PgBouncer"
    if [ -z "${TEST_PGBOUNCER:-}" ]; then
        if [ ! -x /usr/sbin/pgbouncer ] && ! have pgbouncer; then install_package pgbouncer; fi
        TEST_PGBOUNCER="$(PATH="$PATH:/usr/sbin" command -v pgbouncer)" || true
        [ -n "$TEST_PGBOUNCER" ] || fail "no PgBouncer: install it, or set TEST_PGBOUNCER"
        export TEST_PGBOUNCER
    fi
    "$TEST_PGBOUNCER" --version | head -n 1
}

# Prometheus and promtool, which check the alert rules, the metrics and the dashboard.
prometheus_programs() {
    step "Prometheus"
    if [ -z "${TEST_PROMETHEUS:-}" ]; then
        if ! have prometheus; then install_package prometheus; fi
        TEST_PROMETHEUS="$(command -v prometheus)" || fail "no Prometheus: install it, or set TEST_PROMETHEUS"
        export TEST_PROMETHEUS
    fi
    "$TEST_PROMETHEUS" --version 2>&1 | head -n 1
}

# The programs that check deploy/: ShellCheck, systemd-analyze, Node.js, and those in a virtual environment. Sets TEST_DEPLOY_PYTHON.
deploy_checks() {
    step "Checks of deploy/"
    if ! have shellcheck; then install_package shellcheck; fi
    if ! have systemd-analyze; then install_package systemd; fi
    if ! have node; then install_package nodejs; fi
    if [ -z "${TEST_DEPLOY_PYTHON:-}" ]; then
        local list=deploy/checks/requirements.txt venv
        venv="$TOOLS/deploy-$(cksum <"$list" | cut -d ' ' -f 1)"
        python_package "$venv" "--requirement=$list" TEST_DEPLOY_PYTHON
        export TEST_DEPLOY_PYTHON="$venv/bin/python"
    fi
    "$TEST_DEPLOY_PYTHON" -c 'import helm_python; print("Helm SDK", helm_python.helm_sdk_version())'
}

# Installs npm packages with the versions of a lock file, and sets PACKAGES to their directory: npm_packages SOURCE NAME VARIABLE
npm_packages() {
    PACKAGES="$TOOLS/$2-$(cksum <"$1/package-lock.json" | cut -d ' ' -f 1)"
    if [ -f "$PACKAGES/installed" ]; then return; fi
    if ! have npm; then install_package npm; fi
    have npm || fail "no npm: install Node.js 20.19 or newer with npm, or set $3"
    mkdir -p "$PACKAGES"
    cp "$1/package.json" "$1/package-lock.json" "$PACKAGES"
    npm ci --prefix "$PACKAGES" --ignore-scripts --no-audit --no-fund --silent
    touch "$PACKAGES/installed"
}

# The linters and generators of OpenAPI that are npm packages. Sets TEST_OPENAPI_TOOLS.
openapi_tools() {
    step "Linters and generators of OpenAPI"
    if [ -z "${TEST_OPENAPI_TOOLS:-}" ]; then
        npm_packages deploy/checks/openapi openapi TEST_OPENAPI_TOOLS
        export TEST_OPENAPI_TOOLS="$PACKAGES/node_modules/.bin"
    fi
    REDOCLY_TELEMETRY=off "$TEST_OPENAPI_TOOLS/redocly" --version 2>/dev/null
}

# Installs an OpenID provider for Node.js, and sets TEST_OIDC_PROVIDER.
openid_provider() {
    step "An OpenID provider"
    if ! have node; then install_package nodejs; fi
    if [ -z "${TEST_OIDC_PROVIDER:-}" ]; then
        npm_packages tests/identity/openid openid TEST_OIDC_PROVIDER
        export TEST_OIDC_PROVIDER="$PACKAGES"
    fi
    echo "oidc-provider: $TEST_OIDC_PROVIDER"
}

# Installs the cargo subcommand NAME, unless this version is installed: cargo_tool NAME VERSION
cargo_tool() {
    export PATH="$TOOLS/bin:$PATH"
    case "$(cargo "$1" --version 2>/dev/null)" in
        *" $2") ;;
        # Without optimisation it builds in a minute or two.
        *) cargo install "cargo-$1" --version "$2" --locked --debug --root "$TOOLS" ;;
    esac
    cargo "$1" --version
}
