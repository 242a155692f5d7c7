# shellcheck shell=bash
# Roots, leaves and CRLs by openssl alone, for the tests of the broker's side. Sourced after common.sh, in $WORK.
# shellcheck disable=SC2034 # for mosquitto.sh

ca() { # NAME: a root of its own
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -keyout "$1.key" -out "$1.crt" \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
    mkdir "$1.db" && : >"$1.db/index" && echo 1000 >"$1.db/number"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\ncrlnumber=%s/number\ndefault_md=sha256\ndefault_crl_days=30\nrand_serial=yes\npolicy=p\n[p]\ncommonName=supplied\n' \
        "$1.db" "$1.db" >"$1.db/conf"
}
# leaf NAME CA CN EXTENSIONS [DAYS]; the key is made unless NAME.csr is there already. An empty CN: a subject without one.
leaf() {
    local subject=/O=nobody
    [ -z "$3" ] || subject=/CN=$3
    [ -e "$1.csr" ] || openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf '%b\n' "$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -days "${5:-10}" -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}
# early NAME CA: from NAME.csr and NAME.ext a certificate that begins in 2040.
early() {
    openssl ca -batch -config "$2.db/conf" -keyfile "$2.key" -cert "$2.crt" -in "$1.csr" -out "$1.crt" -notext -outdir "$2.db" \
        -startdate 20400101000000Z -enddate 20410101000000Z -extfile "$1.ext" 2>/dev/null
}
crl() { openssl ca -batch -config "$1.db/conf" -keyfile "$1.key" -cert "$1.crt" "${@:2}" 2>/dev/null; }

# only_version TLSv1.2: the brokers started from here on speak this version alone (mosquitto's own tls_version is the oldest that it takes).
only_version() {
    MOSQUITTO_OPENSSL_CONF=$WORK/$1.cnf
    printf '%s\n' 'openssl_conf = init' '[init]' 'ssl_conf = ssl' '[ssl]' 'system_default = only' '[only]' \
        "MinProtocol = $1" "MaxProtocol = $1" >"$MOSQUITTO_OPENSSL_CONF"
}
