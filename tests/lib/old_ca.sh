# shellcheck shell=bash
# A CA as scripts of old keep one: its key in a file, its index by openssl ca, devices/<id>/device.crt and device.key. Sourced after
# setup.sh, whose new_key it uses; folders are relative to the current one.

# old_ca FOLDER SUBJECT: a CA as the scripts of old make one.
old_ca() {
    mkdir -p "$1/newcerts"
    : >"$1/index.txt"
    echo 1000 >"$1/serial"
    echo 1000 >"$1/crlnumber"
    cat >"$1/ca.cnf" <<CNF
[ca]
default_ca = old
[old]
dir = $PWD/$1
database = \$dir/index.txt
new_certs_dir = \$dir/newcerts
serial = \$dir/serial
crlnumber = \$dir/crlnumber
certificate = \$dir/ca.crt
private_key = \$dir/ca.key
default_md = sha256
default_days = 700
default_crl_days = 30
policy = any
x509_extensions = device
crl_extensions = crl
[any]
commonName = supplied
[device]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = clientAuth
[crl]
authorityKeyIdentifier = keyid
CNF
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1/ca.key" -out "$1/ca.crt" -days 3000 -subj "$2" \
        -addext basicConstraints=critical,CA:TRUE 2>/dev/null
    old_crl "$1"
}
old_crl() { openssl ca -config "$1/ca.cnf" -gencrl -out "$1/ca.crl" "${@:2}" 2>/dev/null; }
# old_bare FOLDER: from here on its certificates have no extensions, as a plain openssl ca makes them.
old_bare() { sed -i '/^x509_extensions/d' "$1/ca.cnf"; }
# old_device FOLDER CN [OPTION…]: FOLDER/devices/CN/device.crt and device.key.
old_device() {
    mkdir -p "$1/devices/$2"
    [ -e "$1/devices/$2/device.key" ] || new_key "$1/devices/$2/device.key"
    openssl req -new -key "$1/devices/$2/device.key" -subj "/CN=$2" -out "$1/devices/$2/device.csr"
    openssl ca -batch -config "$1/ca.cnf" -in "$1/devices/$2/device.csr" -out "$1/devices/$2/device.crt" "${@:3}" 2>/dev/null
}
