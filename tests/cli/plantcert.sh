#!/usr/bin/env bash
# plantcert as a program: usage, help, output that cannot be written; and a TPM that is not there, whatever the command.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
export PLANTCERT_CONFIG=$WORK/plantcert.conf
mkdir "$WORK/voke"
printf '[device]\nplant = %s\ndir = %s/voke\n[tpm]\ntcti = device:%s/no-such-tpm\n' "$UUID1" "$WORK" "$WORK" >"$PLANTCERT_CONFIG"
echo rubbish >"$WORK/rubbish"

check "--help" "$PLANTCERT" --help
said '^Usage: plantcert ' "help begins with the usage"
check "help COMMAND" "$PLANTCERT" help install
said 'Usage: plantcert install .* CHAIN$' "help of a command shows its operands"
check "--version" "$PLANTCERT" --version
said '^plantcert [0-9]+\.[0-9]+\.[0-9]+$' "the version"
expect 2 "no command" "$PLANTCERT"
one_line "that is one line"
expect 2 "unknown command" "$PLANTCERT" frobnicate
expect 2 "unknown option" "$PLANTCERT" keygen --frobnicate
said '^plantcert keygen: ' "the error line begins with program and command"
expect 2 "an operand too many" "$PLANTCERT" keygen now
expect 2 "an error in JSON" "$PLANTCERT" --json frobnicate
json "says what it is" 'd["error"]["code"] == 2 and d["error"]["name"] == "usage"'
expect 2 "a named configuration that is missing" "$PLANTCERT" -c "$WORK/none.conf" status

for command in keygen request; do
    expect 4 "$command: no TPM" "$PLANTCERT" --json "$command"
    json "  is told by name" 'd["error"]["name"] == "tpm-missing"'
    expect 2 "$command: a simulator that is not allowed" "$PLANTCERT" --json "$command" --tcti swtpm:host=127.0.0.1,port=1
    json "  is told by name" 'd["error"]["name"] == "tpm-simulator"'
    expect 4 "$command: a simulator that is allowed and not there" env PLANTCERT_ALLOW_SIMULATOR=yes \
        "$PLANTCERT" "$command" --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
done
same "$(find "$WORK/voke" -name '*.tpm')" "" "no key file was made"
"$PLANTCERT" config >/dev/full 2>"$WORK/err"
same "$?" 1 "a full disk behind stdout"
finish
