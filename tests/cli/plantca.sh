#!/usr/bin/env bash
# plantca as a program: usage, help, output that cannot be written, configuration; whatever the command.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
export PLANTCA_CONFIG=$WORK/plantca.conf
printf '[ca]\nstate = %s/state\n' "$WORK" >"$PLANTCA_CONFIG"

check "--help" "$PLANTCA" --help
said '^Usage: plantca ' "help begins with the usage"
check "help" "$PLANTCA" help
check "help COMMAND" "$PLANTCA" help sign
said 'Usage: plantca sign .* \[CSR\]$' "help of a command shows its operands"
check "COMMAND --help without its operands" "$PLANTCA" sign --help
check "COMMAND --help with an unsound configuration" env PLANTCA_CONFIG=/nowhere "$PLANTCA" status --help
check "help with an unsound configuration" env PLANTCA_CONFIG=/nowhere "$PLANTCA" help
check "--version" "$PLANTCA" --version
said '^plantca [0-9]+\.[0-9]+\.[0-9]+$' "the version"
check "--version --json" "$PLANTCA" --json --version
json "the version as JSON" 'd["program"] == "plantca" and d["version"]'

expect 2 "no command" "$PLANTCA"
one_line "that is one line"
expect 2 "unknown command" "$PLANTCA" frobnicate
one_line "that is one line, too"
expect 2 "unknown option before the command" "$PLANTCA" --frobnicate status
expect 2 "unknown option after the command" "$PLANTCA" status --frobnicate
said '^plantca status: ' "the error line begins with program and command"
expect 2 "an option of another command" "$PLANTCA" status --plant "$UUID1"
expect 2 "an operand too many" "$PLANTCA" status now
expect 2 "an option without its value" "$PLANTCA" list --expiring
expect 2 "an empty value" "$PLANTCA" --config= status
expect 2 "help of an unknown command" "$PLANTCA" help frobnicate
expect 2 "an error in JSON" "$PLANTCA" --json frobnicate
json "says what it is" 'd["error"]["code"] == 2 and d["error"]["name"] == "usage" and "frobnicate" in d["error"]["message"]'
expect 2 "an argument that is no UTF-8, in JSON" "$PLANTCA" --json "$(printf 'a\377b')"
json "is still JSON" 'd["error"]["code"] == 2'
expect 2 "a control character in an argument" "$PLANTCA" "$(printf 'a\033[31mb')"
same "$(tr -d '[:print:]\n' <"$WORK/err")" "" "does not reach the terminal"

expect 2 "a named configuration that is missing" "$PLANTCA" --config "$WORK/none.conf" config
said 'none\.conf' "names it"
expect 2 "one that the environment names" env PLANTCA_CONFIG="$WORK/none.conf" "$PLANTCA" config
expect 5 "no CA here" "$PLANTCA" status --json
json "is told by name" 'd["error"]["name"] == "ca-missing"'
same "$([ -e "$WORK/state" ] && echo there)" "" "and nothing was made"

for arguments in "--help" "--version" "config" "--json config" "--json status"; do
    # shellcheck disable=SC2086
    "$PLANTCA" $arguments >/dev/full 2>"$WORK/err"
    code=$?
    case $arguments in *status*) want=5 ;; *) want=1 ;; esac
    same "$code" "$want" "a full disk behind stdout: plantca $arguments exits $want"
done
"$PLANTCA" config >&- 2>"$WORK/err"
same "$?" 1 "stdout closed"
"$PLANTCA" config 2>&- >"$WORK/out"
same "$?" 0 "stderr closed"
exec 3> >(true)
wait $!
"$PLANTCA" config >&3 2>"$WORK/err"
same "$?" 1 "a reader that has gone away: an error and no death by a signal"
exec 3>&-
finish
