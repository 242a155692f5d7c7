#!/usr/bin/env bash
# plantca broker: a server certificate for a fresh key or for a request; no key is ever written over.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
broker() { "$PLANTCA" broker "$@"; }
san() { openssl x509 -in "$1" -noout -ext subjectAltName | tail -n 1 | tr -d ' '; }

expect 2 "neither request nor new key" broker -o broker.crt
expect 2 "both" broker --csr a --new-key b
expect 2 "a key to standard output" broker --new-key -
expect 2 "key and certificate in one file" broker --new-key same -o ./same
expect 2 "a name that is none" broker --new-key broker.key --cn 'a b'
expect 2 "subject alternative names that are none" broker --new-key broker.key --san 'MAIL:a@b'
echo precious >old.key
expect 5 "a key file that exists" broker --new-key old.key -o broker.crt --json
json "is refused by name" 'd["error"]["name"] == "file-exists"'
same "$(cat old.key)" precious "and stands"
ln -s elsewhere dangling
expect 5 "a dangling link in its place" broker --new-key dangling -o broker.crt
expect 4 "the token cannot be reached" broker --new-key fresh.key -o broker.crt -c "$(without_token)"
printf '000000\n' >wrong && chmod 600 wrong
expect 3 "a wrong PIN" broker --new-key fresh.key -o broker.crt --pin-file wrong
same "$(ls fresh.key broker.crt elsewhere same a b 2>/dev/null)" "" "no key or certificate is left of these"

check "--new-key" broker --new-key broker.key -o broker.crt --json
json "tells both files" 'd["key_file"] == "broker.key" and d["file"] == "broker.crt" and d["profile"] == "broker"'
same "$(mode broker.key) $(mode broker.crt)" "600 644" "modes 0600 and 0644"
same "$(head -n 1 broker.key)" "-----BEGIN PRIVATE KEY-----" "the key is PKCS#8"
same "$(openssl pkey -in broker.key -pubout)" "$(openssl x509 -in broker.crt -noout -pubkey)" "the key is the certificate's"
check "it verifies as a server's" openssl verify -x509_strict -purpose sslserver -CAfile "$WORK/state/ca.crt" broker.crt
check "for localhost" openssl verify -verify_hostname localhost -CAfile "$WORK/state/ca.crt" broker.crt
check "for 127.0.0.1" openssl verify -verify_ip 127.0.0.1 -CAfile "$WORK/state/ca.crt" broker.crt
expect 2 "not as a client's" openssl verify -purpose sslclient -CAfile "$WORK/state/ca.crt" broker.crt
same "$(san broker.crt)" "DNS:mqtt.voke.lovinka.com,DNS:localhost,DNS:cpi-mosquitto,IPAddress:127.0.0.1" "today's names"
check "BROKER_CN" env BROKER_CN=broker.example "$PLANTCA" broker --new-key two.key -o two.crt
same "$(openssl x509 -in two.crt -noout -subject -nameopt RFC2253)" "subject=CN=broker.example" "is the CN"
same "$(san two.crt | grep -c DNS:broker.example)" 1 "and among the names"
check "--cn and --san" broker --cn three.example --san 'DNS:other.example, IP:10.1.2.3' --new-key three.key -o three.crt
same "$(san three.crt | tr , '\n' | sort | tr '\n' ' ')" "DNS:other.example DNS:three.example IPAddress:10.1.2.3 " "win"

long=$(printf 'a%.0s' {1..63})
check "IPv6, and one name told twice" broker --cn six.example --new-key six.key -o six.crt \
    --san 'IP:2001:db8::1, IP:2001:0db8:0:0:0:0:0:1, IP:::ffff:10.1.2.3, DNS:Six.Example, DNS:*.six.example'
same "$(san six.crt)" "IPAddress:2001:DB8:0:0:0:0:0:1,IPAddress:0:0:0:0:0:FFFF:A01:203,DNS:Six.Example,DNS:*.six.example" "each once"
check "an address as the CN" broker --cn 10.9.8.7 --san DNS:localhost --new-key seven.key -o seven.crt
same "$(san seven.crt)" "DNS:localhost,IPAddress:10.9.8.7" "is an IP name"
for name in '' DNS: DNS:a..b DNS:a. DNS:.a DNS:-a.b DNS:a-.b DNS:a_b.c 'DNS:a b' DNS:1.2.3 DNS:10.0.0.1 'DNS:*' 'DNS:a.*.b' "DNS:${long}a" \
    "DNS:$long.$long.$long.$long" $'DNS:a\nb' DNS:ä.example IP: IP:1.2.3 IP:1.2.3.256 IP:01.2.3.4 IP:1.2.3.4/8 IP:::g IP:fe80::1%eth0 \
    URI:urn:x a.example DNS:a,,DNS:b; do
    expect 2 "no name: $(printf %q "$name")" broker --san "$name" --new-key no.key -o no.crt -c "$(without_token)"
done
for name in '' a..b a. -a a_b 1.2.3 1.2.3.4.5 ::g "$long.$long"; do
    expect 2 "no name for the CN: $(printf %q "$name")" broker --cn "$name" --new-key no.key -o no.crt -c "$(without_token)"
done
same "$(ls no.* 2>/dev/null)" "" "nothing is left of these"

new_csr four.example four.key four.csr
check "--csr" broker --cn four.example --csr four.csr -o four.crt
same "$(openssl pkey -in four.key -pubout)" "$(openssl x509 -in four.crt -noout -pubkey)" "certifies the request's key"
piped() { broker --cn four.example --csr - <four.csr | openssl x509 -noout; }
check "from standard input to standard output" piped
new_csr five.example five.key five.csr
for name in "$UUID1" "${UUID1^^}"; do
    expect 5 "a plant's name, $name" broker --cn "$name" --new-key plant.key -o plant.crt --json
    json "is refused" 'd["error"]["name"] == "broker-plant"'
    same "$(ls plant.* 2>/dev/null)" "" "and nothing is left"
done
expect 5 "a request for another name" broker --cn six.example --csr five.csr -o bad.crt
said 'five\.csr' "names the file"
expect 1 "a request that is not there" broker --csr none.csr
finish
