#!/usr/bin/env bash
# Manual pages against the programs: every command has its page, every option stands in both, every setting too, and mandoc has
# nothing to say. The programs that were built are the arguments.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
man=$PC_SOURCE/docs/man

# Options as help lists them, and as the page lists them: "name argument", sorted.
help_options() { sed -nE 's/^  (-[a-z], |    )--([a-z-]+)( [A-Z]+)? .*/\2\3/p' "$1" | sort; }
page_options() { sed -nE 's/^\.It (Fl [a-z]( Ar [A-Z]+)? , )?Fl -([a-z-]+)( Ar ([A-Z]+))?$/\3 \5/p' "$1" | sed 's/ $//' | sort; }
page_letters() { sed -nE 's/^\.It Fl ([a-z])( Ar [A-Z]+)? , Fl -([a-z-]+).*/\1 \3/p' "$1" | sort; }
help_letters() { sed -nE 's/^  -([a-z]), --([a-z-]+).*/\1 \2/p' "$1" | sort; }

for program in "$@"; do
    name=${program##*/}
    "$program" --help >"$WORK/help"
    help_options "$WORK/help" >"$WORK/common"
    same "$(page_options "$man/$name.1")" "$(cat "$WORK/common")" "$name(1): the options of every command"
    same "$(page_letters "$man/$name.1")" "$(help_letters "$WORK/help")" "$name(1): their letters"
    commands=$(sed -nE '/^Commands:/,/^$/s/^  ([a-z-]+) .*/\1/p' "$WORK/help")
    same "$(sed -nE 's/^\.It Ic ([a-z-]+).*/\1/p' "$man/$name.1")" "$commands" "$name(1): the commands"
    for command in $commands; do
        [ "$command" != help ] || continue
        page=$man/$name-$command.1
        "$program" "$command" --help | sed '/^Options of every command/,$d' >"$WORK/help"
        same "$("$program" "$command" --help | awk 'length > 100')" "" "$name $command --help: no line is longer than 100 columns"
        same "$(page_options "$page" 2>&1)" "$(help_options "$WORK/help")" "$name-$command(1): options"
        same "$(page_letters "$page" 2>&1)" "$(help_letters "$WORK/help")" "$name-$command(1): letters"
        summary=$(sed -n 2p "$WORK/help")
        same "$(sed -n 's/^\.Nd //p' "$page" | head -c 1 | grep -c '[a-z]') $([ -n "$summary" ] && echo told)" "1 told" \
            "$name-$command(1): a name"
    done
    for page in "$man/$name"-*.1; do
        command=${page##*/"$name"-}
        same "$(grep -cx "${command%.1}" <<<"$commands")" 1 "${page##*/}: such a command exists"
    done
    : >"$WORK/empty.conf"
    "$program" -c "$WORK/empty.conf" config >"$WORK/config"
    same "$(sed -nE 's/^\.Ss Section ([a-z]+)/[\1]/p; s/^\.It Cm ([a-z-]+)/\1/p' "$man/$name.conf.5")" \
        "$(sed -nE 's/^(\[[a-z]+\])$/\1/p; s/^([a-z-]+) +=.*/\1/p' "$WORK/config")" "$name.conf(5): the settings, in order"
    same "$(sed -n '/^Default:/{n;s/^\.Ql //p}' "$man/$name.conf.5")" \
        "$(sed -nE 's/^[a-z-]+ += ([^ ](.*[^ ])?) +# default$/\1/p' "$WORK/config")" "$name.conf(5): their defaults"
done

if command -v mandoc >/dev/null; then
    # Pages that are not installed yet cannot be found; that is all it may say.
    same "$(mandoc -T lint "$man"/*.[157] 2>/dev/null | grep -v 'referenced manual not found')" "" "mandoc finds no fault"
else
    skip "mandoc" "mandoc is missing"
fi
finish
